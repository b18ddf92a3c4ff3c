"""Note "Deep Learning with PyTorch, part 1": storages, a training loop, overfitting, modules."""

import warnings
from collections import OrderedDict

import pytest

CELSIUS = [0.5, 14.0, 15.0, 28.0, 11.0, 8.0, 3.0, -4.0, 6.0, 13.0, 21.0]
UNKNOWN = [35.7, 55.9, 58.2, 81.9, 56.3, 48.9, 33.9, 21.8, 48.4, 60.4, 68.4]


def test_size_stride_and_offset_find_an_element_in_the_storage(torch):
    base = torch.arange(24.0).view(4, 6)
    memory = torch.arange(24.0)  # the same values in one row
    for x in (base, base.t(), base[1:], base[:, 2:], base[1::2, ::3], base.t()[2:4]):
        for i in range(x.shape[0]):
            for j in range(x.shape[1]):
                place = x.storage_offset() + x.stride(0) * i + x.stride(1) * j
                assert x[i, j] == memory[place]
        assert x.untyped_storage().data_ptr() == base.untyped_storage().data_ptr()


def test_a_storage_has_one_dimension(torch):
    x = torch.tensor([[4.0, 1.0], [5.0, 3.0], [2.0, 1.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch would have us look at bytes only, by now
        storage = torch.TypedStorage(wrap_storage=x.untyped_storage(), dtype=x.dtype)
        assert storage.size() == 6 and len(storage) == 6
        assert storage.tolist() == [4, 1, 5, 3, 2, 1]
        with pytest.raises(RuntimeError, match="can't index"):
            storage[0, 0]
        storage[1] = 7.0
    assert x[0, 1] == 7
    assert x.untyped_storage().size() == 24


def test_strides_say_what_to_skip(torch):
    x = torch.zeros(3, 4, 5)
    assert x.stride() == (20, 5, 1) and x.storage_offset() == 0
    assert x[1].storage_offset() == 20 and x[1].stride() == (5, 1)
    assert x.transpose(0, 2).stride() == (1, 5, 20)
    assert x.unsqueeze(0).stride()[1:] == x.stride()


def test_dimensions_change_and_the_storage_does_not(torch):
    x = torch.arange(6)
    shapes = [x.view(2, 3), x.view(2, 3).t(), x.unsqueeze(1), x.expand(4, 6), x[2:]]
    for y in shapes:
        assert y.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
    assert x.untyped_storage().nbytes() == 6 * 8
    x[5] = 50
    assert [y.max().item() for y in shapes] == [50] * 5
    assert not x.view(2, 3).t().is_contiguous()
    assert x.view(2, 3).t().contiguous().untyped_storage().data_ptr() != x.data_ptr()


def thermometer(torch):
    celsius, unknown = torch.tensor(CELSIUS), torch.tensor(UNKNOWN)
    return 0.1 * unknown, celsius


def model(x, w, b):
    return w * x + b


def test_parameters_are_tracked_from_their_creation(torch):
    x, y = thermometer(torch)
    params = torch.tensor([1.0, 0.0], requires_grad=True)
    assert params.grad is None
    loss = ((model(x, *params) - y) ** 2).mean()
    loss.backward()
    by_hand = [(2 * (x - y) * x).mean().item(), (2 * (x - y)).mean().item()]
    assert params.grad.tolist() == pytest.approx(by_hand, rel=1e-5)


def test_training_by_hand(torch):
    x, y = thermometer(torch)
    params = torch.tensor([1.0, 0.0], requires_grad=True)
    for _ in range(3000):
        if params.grad is not None:
            params.grad.zero_()
        loss = ((model(x, *params) - y) ** 2).mean()
        loss.backward()
        with torch.no_grad():
            params -= 1e-2 * params.grad
    assert params.tolist() == pytest.approx([5.3489, -17.1980], rel=1e-3)  # about Fahrenheit
    assert loss.item() == pytest.approx(2.9286, abs=1e-3)


def test_writing_to_a_tracked_leaf_needs_no_grad(torch):
    params = torch.tensor([1.0, 0.0], requires_grad=True)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used in"):
        params -= 0.1


@pytest.mark.parametrize("name, lr, epochs", [("SGD", 1e-2, 3000), ("Adam", 1e-1, 1000)])
def test_training_with_an_optimizer(torch, name, lr, epochs):
    x, y = thermometer(torch)
    params = torch.tensor([1.0, 0.0], requires_grad=True)
    optimizer = getattr(torch.optim, name)([params], lr=lr)
    for _ in range(epochs):
        loss = ((model(x, *params) - y) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() == pytest.approx(2.9276, abs=0.05)


def test_zero_grad_forgets_and_step_moves(torch):
    params = torch.tensor([1.0, 0.0], requires_grad=True)
    optimizer = torch.optim.SGD([params], lr=0.5)
    params.sum().backward()
    params.sum().backward()
    assert params.grad.tolist() == [2, 2]  # backward alone moves nothing
    assert params.tolist() == [1, 0]
    optimizer.step()
    assert params.tolist() == [0, -1] and params.grad.tolist() == [2, 2]
    optimizer.zero_grad()
    assert params.grad is None  # not zeros, unless that is asked for
    params.sum().backward()
    optimizer.zero_grad(set_to_none=False)
    assert params.grad.tolist() == [0, 0]


def split(torch, x, y):
    order = torch.randperm(len(x))
    train, validation = order[:-2], order[-2:]
    assert sorted([*train.tolist(), *validation.tolist()]) == list(range(len(x)))
    return x[train], y[train], x[validation], y[validation]


def test_evaluation_needs_no_graph(torch):
    x, y, x_val, y_val = split(torch, *thermometer(torch))
    params = torch.tensor([1.0, 0.0], requires_grad=True)
    optimizer = torch.optim.SGD([params], lr=1e-2)
    for _ in range(50):
        loss = ((model(x, *params) - y) ** 2).mean()
        with torch.no_grad():
            val_loss = ((model(x_val, *params) - y_val) ** 2).mean()
        assert not val_loss.requires_grad and val_loss.grad_fn is None
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    same_function = ((model(x_val, *params) - y_val) ** 2).mean()
    assert same_function.requires_grad  # outside, the same lines track again
    with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
        val_loss.backward()


@pytest.mark.parametrize("is_train", [True, False])
def test_set_grad_enabled_takes_a_bool(torch, is_train):
    params = torch.tensor([1.0, 0.0], requires_grad=True)
    with torch.set_grad_enabled(is_train):
        assert torch.is_grad_enabled() is is_train
        loss = params.sum()
    assert loss.requires_grad is is_train and torch.is_grad_enabled()


def test_set_grad_enabled_as_a_function(torch):
    params = torch.tensor([1.0, 0.0], requires_grad=True)
    torch.set_grad_enabled(False)
    try:
        assert not params.sum().requires_grad
    finally:
        torch.set_grad_enabled(True)
    assert params.sum().requires_grad


def fit(torch, degree, weight_decay=0.0):
    """Training and validation loss of a polynomial through few points."""
    torch.manual_seed(3)
    x = torch.linspace(-1, 1, 9)
    y = torch.sin(3 * x) + 0.3 * torch.randn(9)
    x_val = x[:-1] + 0.125
    powers = [torch.stack([p**k for k in range(degree + 1)], 1) for p in (x, x_val)]
    w = torch.zeros(degree + 1, requires_grad=True)
    optimizer = torch.optim.LBFGS([w], max_iter=400, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = ((powers[0] @ w - y) ** 2).mean() + weight_decay * (w**2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        train = ((powers[0] @ w - y) ** 2).mean().item()
        return train, ((powers[1] @ w - torch.sin(3 * x_val)) ** 2).mean().item(), w.norm().item()


def test_losses_that_part_mean_overfitting_and_a_penalty_helps(torch):
    straight, cubic, wild = (fit(torch, degree) for degree in (0, 3, 8))
    assert straight[0] > cubic[0] > wild[0]  # too simple a model does not learn
    assert wild[1] > 2 * cubic[1] and wild[1] > 10 * wild[0]  # too large a one learns the noise
    tamed = fit(torch, 8, weight_decay=0.01)
    assert tamed[2] < wild[2] and tamed[1] < wild[1] and tamed[0] > wild[0]


def test_noise_in_the_inputs_smooths_too(torch):
    """Every point is taken forty times, each time a little beside where it is."""

    def slope(noise):
        torch.manual_seed(4)
        x = torch.linspace(-1, 1, 9, dtype=torch.float64)
        y = torch.sin(3 * x) + 0.3 * torch.randn(9, dtype=torch.float64)
        x, y = x.repeat(40), y.repeat(40)
        x = x + noise * torch.randn(360, dtype=torch.float64)
        powers = torch.stack([x**k for k in range(9)], 1)
        return torch.linalg.lstsq(powers, y[:, None]).solution.norm().item()

    assert slope(0.2) < 0.5 * slope(0.0)


def test_weight_decay_is_a_penalty_on_squares(torch):
    penalised = torch.tensor([1.0, -2.0], requires_grad=True)
    decayed = torch.tensor([1.0, -2.0], requires_grad=True)
    ((penalised**3).sum() + 0.1 / 2 * (penalised**2).sum()).backward()
    (decayed**3).sum().backward()
    torch.optim.SGD([penalised], lr=0.1).step()
    torch.optim.SGD([decayed], lr=0.1, weight_decay=0.1).step()
    assert torch.allclose(penalised, decayed)


def test_hardtanh_cuts_where_it_is_told(torch):
    x = torch.tensor([-5.0, -0.5, 0.5, 5.0, 50.0])
    assert torch.nn.Hardtanh()(x).tolist() == [-1, -0.5, 0.5, 1, 1]
    assert torch.nn.Hardtanh(0, 10)(x).tolist() == [0, 0, 0.5, 5, 10]  # the note's bounds


def test_sigmoid_is_a_class_in_nn_and_a_function_in_torch(torch):
    x = torch.linspace(-9, 9, 19)
    assert torch.allclose(torch.nn.Sigmoid()(x), torch.sigmoid(x))
    with pytest.raises(AttributeError, match="sigmoid"):
        torch.nn.sigmoid  # noqa: B018


@pytest.mark.parametrize("name, low", [("sigmoid", 0), ("tanh", -1)])
def test_activations_flatten_towards_both_ends(torch, name, low):
    x = torch.tensor([-20.0, -4.0, -2.0, 0.0, 2.0, 4.0, 20.0], requires_grad=True)
    y = getattr(torch, name)(x)
    assert y[0].item() == pytest.approx(low, abs=1e-6)
    assert y[-1].item() == pytest.approx(1, abs=1e-6)
    assert (y[1:] > y[:-1]).all()
    y.sum().backward()
    rising, falling = x.grad[:4], x.grad[3:]
    assert (rising[1:] > rising[:-1]).all() and (falling[1:] < falling[:-1]).all()


def test_weights_are_numbers_or_matrices_and_biases_fit(torch):
    x = torch.randn(5, 3)
    assert (2.0 * x + 1.0).shape == (5, 3)
    w, b = torch.randn(4, 3), torch.randn(4)
    assert torch.allclose(x @ w.t() + b, torch.nn.functional.linear(x, w, b), atol=1e-6)
    with pytest.raises(RuntimeError):
        x @ w.t() + torch.randn(3)


def test_a_module_needs_a_forward(torch):
    class Empty(torch.nn.Module):
        pass

    with pytest.raises(NotImplementedError, match='missing the required "forward" function'):
        Empty()(torch.zeros(1))


def three_ways(torch):
    """The same network as a Sequential, as one with names, and as a subclass."""
    nn = torch.nn

    class Subclass(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden_linear = nn.Linear(1, 13)
            self.hidden_activation = nn.Tanh()
            self.output_linear = nn.Linear(13, 1)

        def forward(self, x):
            return self.output_linear(self.hidden_activation(self.hidden_linear(x)))

    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden_linear = nn.Linear(1, 13)
            self.output_linear = nn.Linear(13, 1)

        def forward(self, x):
            return self.output_linear(torch.tanh(self.hidden_linear(x)))

    named = OrderedDict(
        [
            ("hidden_linear", nn.Linear(1, 13)),
            ("hidden_activation", nn.Tanh()),
            ("output_linear", nn.Linear(13, 1)),
        ]
    )
    return [
        nn.Sequential(nn.Linear(1, 13), nn.Tanh(), nn.Linear(13, 1)),
        nn.Sequential(named),
        Subclass(),
        Functional(),
    ]


def test_three_ways_to_write_one_network(torch):
    nets = three_ways(torch)
    weights = list(nets[0].state_dict().values())
    x = torch.randn(4, 1)
    for net in nets:
        assert isinstance(net, torch.nn.Module)
        net.load_state_dict(dict(zip(net.state_dict(), weights)))
        assert torch.allclose(net(x), nets[0](x), atol=1e-6)
        assert [p.shape for p in net.parameters()] == [(13, 1), (13,), (1, 13), (1,)]
    assert [name for name, _ in nets[0].named_parameters()][:2] == ["0.weight", "0.bias"]
    assert [name for name, _ in nets[1].named_parameters()][::3] == [
        "hidden_linear.weight",
        "output_linear.bias",
    ]
    assert nets[1].hidden_linear.weight is next(nets[1].parameters())
    assert repr(nets[2]) == (
        "Subclass(\n"
        "  (hidden_linear): Linear(in_features=1, out_features=13, bias=True)\n"
        "  (hidden_activation): Tanh()\n"
        "  (output_linear): Linear(in_features=13, out_features=1, bias=True)\n"
        ")"
    )


def test_modules_hold_modules(torch):
    inner = three_ways(torch)[2]
    outer = torch.nn.Sequential(inner, torch.nn.Sequential(torch.nn.ReLU()))
    assert [name for name, _ in outer.named_modules()] == [
        "",
        "0",
        "0.hidden_linear",
        "0.hidden_activation",
        "0.output_linear",
        "1",
        "1.0",
    ]
    assert next(outer.parameters()) is inner.hidden_linear.weight
