"""Note "Reading Dive into Deep Learning, chapters 2 to 4": steps to a derivative, and traps."""

import pytest


def four_steps(torch):
    x = torch.arange(4.0)
    x.requires_grad_(True)
    y = 2 * torch.dot(x, x)
    return x, y


def test_the_gradient_of_twice_the_square(torch):
    x, y = four_steps(torch)
    assert repr(x) == "tensor([0., 1., 2., 3.], requires_grad=True)"
    assert x.grad is None
    assert repr(y) == "tensor(28., grad_fn=<MulBackward0>)"  # y holds the graph
    y.backward()
    assert repr(x.grad) == "tensor([ 0.,  4.,  8., 12.])"
    assert torch.equal(x.grad, 4 * x)
    assert x.grad.shape == x.shape and not x.grad.requires_grad


def test_a_value_not_a_formula_is_derived(torch):
    x, y = four_steps(torch)
    y.backward()
    with torch.no_grad():
        x += 1  # the gradient is that of the old point
    assert x.grad.tolist() == [0, 4, 8, 12]


def test_what_is_derived_must_be_a_scalar(torch):
    x, _ = four_steps(torch)
    with pytest.raises(RuntimeError, match="only for scalar outputs"):
        (x * x).backward()
    (x * x).sum().backward()
    assert x.grad.tolist() == [0, 2, 4, 6]


def test_gradients_add_up_until_cleared(torch):
    x, y = four_steps(torch)
    y.backward()
    (2 * torch.dot(x, x)).backward()
    assert x.grad.tolist() == [0, 8, 16, 24]
    x.grad.zero_()
    x.sum().backward()
    assert x.grad.tolist() == [1, 1, 1, 1]
    x.grad = None
    x.sum().backward()
    assert x.grad.tolist() == [1, 1, 1, 1]


def test_a_second_backward_through_the_same_graph_is_refused(torch):
    x, y = four_steps(torch)
    y.backward()
    with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
        y.backward()
    assert x.grad.tolist() == [0, 4, 8, 12]


def test_a_python_function_with_branches_is_derived(torch):
    def f(a):
        b = a * 2
        while b.norm() < 1000:
            b = b * 2
        return b if b.sum() > 0 else 100 * b

    for value in (0.7, -0.3):
        a = torch.tensor(value, requires_grad=True)
        d = f(a)
        d.backward()
        assert a.grad.item() == pytest.approx(d.item() / value, rel=1e-6)


def test_no_grad_switches_off_for_a_block(torch):
    x, _ = four_steps(torch)
    with torch.no_grad():
        y = 2 * torch.dot(x, x)
        assert x.requires_grad  # a leaf stays what it is
    assert not y.requires_grad and y.grad_fn is None
    with pytest.raises(RuntimeError, match="does not require grad"):
        y.backward()
    assert torch.is_grad_enabled()


def test_no_grad_ends_with_an_error_too_and_decorates(torch):
    with pytest.raises(ValueError):
        with torch.no_grad():
            raise ValueError
    assert torch.is_grad_enabled()

    @torch.no_grad()
    def double(x):
        return 2 * x

    assert not double(torch.ones(1, requires_grad=True)).requires_grad


def test_requires_grad_can_be_switched_off_again(torch):
    x, _ = four_steps(torch)
    x.requires_grad_(False)
    assert not (2 * x).requires_grad


def test_detached_values_are_constants(torch):
    x = torch.arange(4.0, requires_grad=True)
    y = x * x
    u = y.detach()
    assert u.grad_fn is None and not u.requires_grad and torch.equal(u, y)
    z = u * x
    z.sum().backward()
    assert torch.equal(x.grad, u)
    x.grad.zero_()
    y.sum().backward()  # y itself still has its graph
    assert torch.equal(x.grad, 2 * x)


def test_names_are_those_of_numpy(torch):
    x = torch.arange(12).reshape(3, 4)
    assert x.sum().item() == 66 and x.T.shape == (4, 3) and x.mean(dtype=torch.float).item() == 5.5
    assert torch.cat((x, x), dim=0).shape == (6, 4)
    assert (x == x.clone()).all() and x[-1].tolist() == [8, 9, 10, 11]
    with pytest.raises(RuntimeError, match="mean"):
        x.mean()  # unlike NumPy: integers have no mean


def test_three_simple_networks_from_scratch_and_by_layers(torch):
    """Linear regression, softmax regression, a perceptron: both ways give the same losses."""
    nn, functional = torch.nn, torch.nn.functional
    x = torch.randn(16, 4)
    labels = torch.randint(0, 3, (16,))
    w1, w2 = torch.randn(3, 4) * 0.5, torch.randn(3, 3) * 0.5
    targets = x.sum(1, keepdim=True)

    def squared(outputs):
        return ((outputs[:, :1] - targets) ** 2).mean()

    def entropy(outputs):
        chances = outputs.exp() / outputs.exp().sum(1, keepdim=True)
        return -chances[range(16), labels].log().mean()

    models = [
        (
            nn.Sequential(nn.Linear(4, 3)),
            lambda x, ws: x @ ws[0].t(),
            squared,
            lambda y: functional.mse_loss(y[:, :1], targets),
        ),
        (
            nn.Sequential(nn.Linear(4, 3)),
            lambda x, ws: x @ ws[0].t(),
            entropy,
            lambda y: functional.cross_entropy(y, labels),
        ),
        (
            nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3)),
            lambda x, ws: torch.max(x @ ws[0].t(), torch.zeros(())) @ ws[1].t(),
            entropy,
            lambda y: functional.cross_entropy(y, labels),
        ),
    ]
    for net, by_hand, loss_by_hand, loss_by_layers in models:
        layers = [layer for layer in net if isinstance(layer, nn.Linear)]
        weights = [w.clone().requires_grad_() for w in (w1, w2)[: len(layers)]]
        for layer, w in zip(layers, weights):
            layer.bias = None
            layer.weight.data.copy_(w)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        for _ in range(5):
            mine = loss_by_hand(by_hand(x, weights))
            mine.backward()
            with torch.no_grad():
                for w in weights:
                    w -= 0.1 * w.grad
                    w.grad.zero_()
            loss = loss_by_layers(net(x))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            assert mine.item() == pytest.approx(loss.item(), rel=1e-4)
