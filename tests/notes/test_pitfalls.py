"""Note "My own notes on PyTorch": shapes, backward twice, models from linear to softmax, files."""

import math
import pickle

import numpy as np
import pytest


def test_size_and_numpy(torch):
    x = torch.from_numpy(np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert x.size() == (2, 2)
    assert x.numpy().tolist() == [[1, 2], [3, 4]]


def test_tensor_and_variable_are_one(torch):
    assert isinstance(torch.autograd.Variable(torch.ones(2)), torch.Tensor)
    x = torch.autograd.Variable(torch.ones(2), requires_grad=True)
    assert x.requires_grad and type(x) is torch.Tensor


def test_data_item_grad(torch):
    x = torch.tensor([2.0], requires_grad=True)
    assert x.data.tolist() == [2] and not x.data.requires_grad
    assert x.item() == 2 and type(x.item()) is float
    assert x.grad is None
    (x * x).backward()
    assert x.grad.tolist() == [4]


def test_data_is_the_memory_itself_and_unseen_by_autograd(torch):
    x = torch.tensor([2.0], requires_grad=True)
    y = x * x
    x.data.fill_(10.0)
    assert x.item() == 10
    y.backward()
    assert x.grad.tolist() == [20]  # of what was written, with no complaint


def test_detach_shares_memory_and_autograd_sees(torch):
    x = torch.tensor([2.0], requires_grad=True)
    y = x * x
    x.detach().fill_(10.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


@pytest.mark.parametrize("dtype", ["int64", "int32", "bool", "uint8"])
def test_only_floating_numbers_have_gradients(torch, dtype):
    dtype = getattr(torch, dtype)
    says = "[Oo]nly Tensors of floating point and complex dtype can require gradients"
    with pytest.raises(RuntimeError, match=says):
        torch.tensor([1, 0], dtype=dtype, requires_grad=True)
    with pytest.raises(RuntimeError, match="only Tensors of floating point"):
        torch.zeros(2, dtype=dtype).requires_grad_()


def test_max_along_rows_gives_values_and_places(torch):
    x = torch.tensor([[1.0, 5.0, 2.0], [7.0, 0.0, 7.5]])
    max_value, max_idx = torch.max(x, dim=1)
    assert max_value.tolist() == [5, 7.5] and max_idx.tolist() == [1, 2]
    assert max_idx.dtype is torch.int64
    both = torch.max(x, dim=1)
    assert torch.equal(both.values, both[0]) and torch.equal(both.indices, both[1])
    assert torch.max(x).item() == 7.5


def test_sum_along_rows(torch):
    x = torch.tensor([[1.0, 5.0], [7.0, 0.0]])
    assert torch.sum(x, dim=1).tolist() == [6, 7]
    assert torch.sum(x, dim=1, keepdim=True).shape == (2, 1)


def test_dimensions_come_and_go(torch):
    x = torch.randn(3, 4)
    x = x.unsqueeze(0)
    assert x.shape == (1, 3, 4)
    x = x.unsqueeze(1)
    assert x.shape == (1, 1, 3, 4)
    x = x.squeeze(0)
    assert x.shape == (1, 3, 4)
    x = x.squeeze()
    assert x.shape == (3, 4)
    assert x.squeeze(0).shape == (3, 4)  # a dimension of another size stays


def test_dimensions_change_places(torch):
    x = torch.randn(3, 4, 5)
    permuted = x.permute(1, 0, 2)
    assert permuted.shape == torch.Size([4, 3, 5]) and permuted[1, 2, 3] == x[2, 1, 3]
    swapped = permuted.transpose(0, 2)
    assert swapped.shape == torch.Size([5, 3, 4]) and swapped[3, 2, 1] == x[2, 1, 3]


def test_view_with_any_size(torch):
    x = torch.randn(3, 4, 5)
    first = x[0, 1].clone()
    x = x.view(-1, 5)
    assert x.shape == torch.Size([12, 5]) and torch.equal(x[1], first)
    x = x.view(3, 20)
    assert x.shape == torch.Size([3, 20]) and torch.equal(x[0, 5:10], first)


def test_calls_with_an_underscore_change_the_tensor_itself(torch):
    x = torch.arange(6.0).view(2, 3)
    memory = x.data_ptr()
    assert x.unsqueeze_(0) is x and x.shape == (1, 2, 3)
    assert x.transpose_(1, 0) is x and x.shape == (2, 1, 3) and x.data_ptr() == memory
    assert x.squeeze_() is x and x.t_() is x and x.tolist() == [[0, 3], [1, 4], [2, 5]]
    x, y = torch.ones(3, 3), torch.ones(3, 3)
    memory = x.data_ptr()
    x.add_(y)
    assert x.data_ptr() == memory and x.sum() == 18


def test_backward_twice_needs_a_kept_graph(torch):
    x = torch.tensor([2.1], requires_grad=True)
    y = 2 * x**2 - 0.2 * x
    y.backward(retain_graph=True)
    assert x.grad.item() == pytest.approx(8.2)
    y.backward()
    assert x.grad.item() == pytest.approx(8.2 + 8.2)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        y.backward()
    assert x.grad.item() == pytest.approx(16.4)


def test_a_graph_that_keeps_nothing_can_be_walked_again(torch):
    """Freed is what formulas read; addition reads nothing."""
    x = torch.tensor([2.0], requires_grad=True)
    y = x + 1
    y.backward()
    y.backward()
    assert x.grad.item() == 2


def line(torch):
    x = torch.linspace(-1, 1, 20).view(-1, 1)
    return x, 3 * x + 0.5 + 0.05 * torch.randn(20, 1)


def test_gradients_of_the_squared_error(torch):
    x, y = line(torch)
    w, b = torch.randn(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    torch.mean((x * w + b - y) ** 2).backward()
    error = (w * x + b - y).detach()
    assert w.grad.item() == pytest.approx(2 / 20 * (x * error).sum().item(), rel=1e-4)
    assert b.grad.item() == pytest.approx(2 / 20 * error.sum().item(), rel=1e-4)


def test_gradient_descent_through_data(torch):
    """Each pass throws its graph away; the next line builds another, so nothing is missing."""
    x, y = line(torch)
    w, b = torch.randn(1, requires_grad=True), torch.zeros(1, requires_grad=True)

    def loss_now():
        return torch.mean((x * w + b - y) ** 2)

    with pytest.raises(AttributeError, match="zero_"):
        w.grad.zero_()  # before the first backward there is no gradient to zero
    loss_now().backward()
    for _ in range(200):
        loss = loss_now()
        w.grad.zero_()
        b.grad.zero_()
        loss.backward()
        w.data = w.data - 1e-1 * w.grad.data
        b.data = b.data - 1e-1 * b.grad.data
    assert w.is_leaf and w.requires_grad
    assert (w.item(), b.item()) == pytest.approx((3, 0.5), abs=0.05)
    assert f"loss: {loss.data}".startswith("loss: 0.00")  # a number, formatted as one


def test_without_zeroing_the_steps_grow(torch):
    w = torch.tensor([1.0], requires_grad=True)
    grads = []
    for _ in range(3):
        (2 * w).backward()
        grads.append(w.grad.item())
    assert grads == [2, 4, 6]


def two_classes(torch, count=60):
    x = torch.randn(count, 2)
    return x, (x[:, :1] - 2 * x[:, 1:] > 0).float()


def test_a_parameter_asks_for_gradients_by_itself(torch):
    w = torch.nn.Parameter(torch.randn(2, 1))
    assert w.requires_grad and isinstance(w, torch.Tensor) and w.is_leaf
    assert not torch.randn(2, 1).requires_grad
    assert repr(torch.nn.Parameter(torch.zeros(1))) == (
        "Parameter containing:\ntensor([0.], requires_grad=True)"
    )


def test_the_logistic_loss_takes_one_term_of_two(torch):
    logits = torch.tensor([2.0, -1.0, 0.0])
    chance = torch.sigmoid(logits)
    for label, terms in [(1.0, -chance.log()), (0.0, -(1 - chance).log())]:
        labels = torch.full((3,), label)
        both = -(labels * chance.log() + (1 - labels) * (1 - chance).log())
        assert torch.allclose(both, terms)
        joined = torch.nn.BCEWithLogitsLoss(reduction="none")(logits, labels)
        assert torch.allclose(joined, terms, atol=1e-6)
        assert torch.allclose(torch.nn.BCELoss(reduction="none")(chance, labels), terms, atol=1e-6)


def test_logits_do_not_overflow(torch):
    logits = torch.tensor([200.0, -200.0], requires_grad=True)
    loss = torch.nn.BCEWithLogitsLoss()(logits, torch.tensor([0.0, 1.0]))
    assert loss.item() == 200
    naive = -(1 - torch.sigmoid(logits)).log()
    assert math.isinf(naive[0].item())


def test_logistic_regression(torch):
    x, y = two_classes(torch)
    w, b = torch.nn.Parameter(torch.randn(2, 1)), torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([w, b], lr=1.0)
    criterion = torch.nn.BCEWithLogitsLoss()
    for _ in range(300):
        loss = criterion(x @ w + b, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    right = ((torch.sigmoid(x @ w + b) > 0.5).float() == y).float().mean()
    assert right > 0.95 and loss.item() < 0.2


def test_tanh_is_a_sigmoid_stretched(torch):
    x = torch.linspace(-3, 3, 13)
    assert torch.allclose(torch.sigmoid(x), 1 / (1 + torch.exp(-x)))
    assert torch.allclose(torch.tanh(x), 2 * torch.sigmoid(2 * x) - 1, atol=1e-6)
    assert torch.equal(torch.relu(x), torch.clamp(x, min=0))


def test_two_linear_layers_alone_are_one(torch):
    w1, w2, x = torch.randn(4, 2), torch.randn(3, 4), torch.randn(2, 5)
    assert torch.allclose(w2 @ (w1 @ x), (w2 @ w1) @ x, atol=1e-5)


def seq_net(nn):
    return nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))


def test_layers_of_a_sequential_are_found_by_index(torch):
    nn = torch.nn
    net = seq_net(nn)
    assert isinstance(net[0], nn.Linear) and isinstance(net[1], nn.Tanh) and net[-1] is net[2]
    assert net[0].weight.shape == (4, 2)
    assert len(net) == 3 and isinstance(net[:2], nn.Sequential)
    with pytest.raises(IndexError):
        net[3]
    optimizer = torch.optim.SGD(net.parameters(), 1.0)
    assert optimizer.param_groups[0]["lr"] == 1.0
    assert len(optimizer.param_groups[0]["params"]) == 4


def test_parameters_can_be_run_through_once(torch):
    param = seq_net(torch.nn).parameters()
    torch.optim.SGD(param, 1.0)
    with pytest.raises(ValueError, match="optimizer got an empty parameter list"):
        torch.optim.SGD(param, 1.0)


def test_a_hidden_layer_separates_what_a_line_cannot(torch):
    torch.manual_seed(0)
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    losses = []
    for net in (torch.nn.Linear(2, 1), seq_net(torch.nn)):
        optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
        for _ in range(200):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(net(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(math.log(2), abs=1e-3) and losses[1] < 0.1


def test_a_whole_network_loads_only_from_files_one_trusts(torch, tmp_path):
    net, path = seq_net(torch.nn), tmp_path / "save_seq_net.pth"
    torch.save(net, path)
    with pytest.raises(pickle.UnpicklingError, match="[Ww]eights.only"):
        torch.load(path)  # the note is from before this was the default
    loaded = torch.load(path, weights_only=False)
    x = torch.randn(3, 2)
    assert type(loaded) is type(net) and torch.allclose(loaded(x), net(x), atol=1e-6)
    assert loaded[0].weight is not net[0].weight and loaded[0].weight.requires_grad


def test_parameters_alone_load_into_a_network_defined_again(torch, tmp_path):
    net, path = seq_net(torch.nn), tmp_path / "save_seq_net_params.pth"
    torch.save(net.state_dict(), path)
    other = seq_net(torch.nn)
    assert not torch.equal(other[0].weight, net[0].weight)
    kept = other[0].weight
    assert str(other.load_state_dict(torch.load(path))) == "<All keys matched successfully>"
    assert torch.equal(other[0].weight, net[0].weight) and other[0].weight is kept
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]


def test_parameters_of_another_network_are_refused(torch, tmp_path):
    net = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Linear(4, 1))
    with pytest.raises(RuntimeError, match=r"(?s)Missing key.*1.weight.*Unexpected key.*2.weight"):
        net.load_state_dict(seq_net(torch.nn).state_dict())


def test_the_module_template(torch):
    nn = torch.nn

    class Template(nn.Module):
        def __init__(self, num_input, num_hidden):
            super(Template, self).__init__()  # noqa: UP008  (as the note has it)
            self.layer1 = nn.Linear(num_input, num_hidden)
            self.layer2 = nn.Sequential(nn.Tanh(), nn.Linear(num_hidden, num_hidden))

        def forward(self, x):
            x1 = self.layer1(x)
            return x1 + self.layer2(x1)

    net = Template(2, 3)
    assert isinstance(net.layer1, nn.Linear) and net.layer1.out_features == 3
    x = torch.randn(5, 2)
    h = net.layer1(x)
    assert torch.allclose(net(x), h + net.layer2[1](torch.tanh(h)))
    assert len(list(net.parameters())) == 4


def test_layers_before_super_init_are_refused(torch):
    class Hasty(torch.nn.Module):
        def __init__(self):
            self.layer = torch.nn.Linear(1, 1)

    with pytest.raises(AttributeError, match="before Module.__init__"):
        Hasty()


def test_softmax_sums_to_one(torch):
    z = torch.randn(5)
    assert torch.allclose(torch.softmax(z, 0), z.exp() / z.exp().sum())
    assert torch.softmax(z, 0).sum().item() == pytest.approx(1)


@pytest.mark.parametrize("chance, bits", [(0.1, 0.469), (0.5, 1.0)])
def test_entropy_is_highest_where_nothing_is_known(torch, chance, bits):
    p = torch.tensor([chance, 1 - chance])
    entropy = -(p * torch.log2(p)).sum().item()
    assert entropy == pytest.approx(bits, abs=5e-4)


def test_cross_entropy_of_distributions_and_of_labels(torch):
    scores = torch.randn(6, 4)
    labels = torch.tensor([0, 3, 1, 1, 2, 0])
    log_q = torch.log_softmax(scores, 1)
    p = torch.nn.functional.one_hot(labels, 4).float()
    criterion = torch.nn.CrossEntropyLoss()
    expected = -(p * log_q).sum() / 6
    assert torch.allclose(criterion(scores, labels), expected)
    assert torch.allclose(criterion(scores, p), expected)
    assert torch.allclose(torch.nn.NLLLoss()(log_q, labels), expected)


def test_two_classes_are_the_logistic_loss(torch):
    x, y = torch.randn(5), torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0])
    loss = -(y * torch.sigmoid(x).log() + (1 - y) * (1 - torch.sigmoid(x)).log()).mean()
    assert torch.allclose(torch.nn.functional.binary_cross_entropy_with_logits(x, y), loss)
    scores = torch.stack([torch.zeros(5), x], 1)
    assert torch.allclose(torch.nn.functional.cross_entropy(scores, y.long()), loss)


def three_layers(nn):
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))


def test_weights_from_numpy_replace_the_weight_alone(torch):
    net = three_layers(torch.nn)
    bias = net[0].bias.clone()
    values = np.random.default_rng(0).uniform(3, 5, size=(4, 3))
    parameter = net[0].weight
    net[0].weight.data = torch.from_numpy(values)
    assert net[0].weight is parameter and parameter.requires_grad
    assert parameter.tolist() == values.tolist() and torch.equal(net[0].bias, bias)
    values[0, 0] = 100.0
    assert parameter[0, 0].item() == 100  # the array itself, not a copy


def test_weights_from_numpy_are_doubles_which_products_refuse(torch):
    net = three_layers(torch.nn)
    net[0].weight.data = torch.from_numpy(np.ones((4, 3)))
    assert net[0].weight.dtype is torch.float64 and net[0].bias.dtype is torch.float32
    with pytest.raises(RuntimeError, match="must have the same dtype"):
        net(torch.ones(1, 3))
    assert net.float()(torch.ones(1, 3)).shape == (1, 2)


def test_a_loop_initialises_every_linear_layer(torch):
    net, draw = three_layers(torch.nn), np.random.default_rng(0)
    for layer in net:
        if isinstance(layer, torch.nn.Linear):
            shape = layer.weight.shape
            layer.weight.data = torch.from_numpy(draw.normal(0, 0.5, size=shape)).float()
            assert layer.weight.shape == shape
    assert net(torch.ones(1, 3)).dtype is torch.float32
    assert not hasattr(torch, "form_numpy")  # a slip of the note


def test_the_old_name_of_xavier_still_works_and_warns(torch):
    weight = torch.nn.Linear(300, 200).weight
    with pytest.warns(FutureWarning, match="xavier_uniform_"):
        torch.nn.init.xavier_uniform(weight)
    bound = math.sqrt(6 / (300 + 200))
    assert weight.abs().max() <= bound and weight.abs().max() > 0.95 * bound
    assert weight.requires_grad and weight.is_leaf


def test_xavier_keeps_the_variance_from_layer_to_layer(torch):
    x = torch.randn(400, 256)
    for _ in range(4):
        layer = torch.nn.Linear(256, 256, bias=False)
        assert torch.nn.init.xavier_uniform_(layer.weight) is layer.weight
        before, x = x.var().item(), layer(x).detach()
        assert x.var().item() == pytest.approx(before, rel=0.15)
