"""Modules print, save, load, hook and initialise as PyTorch's: the same code under both."""

import copy
import pickle
import warnings

import pytest

import flambeau

torch = pytest.importorskip("torch")

EXPRESSIONS = """
nn.functional.linear(torch.ones(1, 2), None)
nn.Module(1)
net(1, 2)
net.foo
net.register_parameter('a.b', None)
net.register_parameter('forward', None)
net.register_parameter('x', torch.ones(1))
net.register_buffer('x', 3)
net.add_module('x', 3)
net.train(3)
net.to(torch.int64)
net.cuda()
net.get_submodule('x.y')
net.get_parameter('0.weight').shape
net[0].get_buffer('weight')
net[0:2]
net[-1]
net[5]
[n for n, _ in net.named_modules()]
[n for n, _ in net.named_parameters()]
net.double()[0].weight.dtype
net.half().float()[0].bias
net.requires_grad_(False)[0].weight.requires_grad
net.state_dict()
net.load_state_dict(net.state_dict())
net.load_state_dict({'0.weight': torch.ones(3, 3), 'q': 1})
net.load_state_dict({'0.weight': torch.ones(8, 4)}, strict=False)
nn.ModuleList([nn.Linear(1, 1) for _ in range(4)])
nn.ModuleDict({'a': nn.ReLU()})
nn.ParameterList([nn.Parameter(torch.ones(2)), torch.ones(3)])
nn.ParameterDict({'a': nn.Parameter(torch.ones(2)), 'b': torch.ones(1)})
nn.Parameter(torch.ones(2))
nn.Parameter(torch.tensor([1]))
isinstance(nn.Buffer(torch.ones(2)), nn.Buffer)
nn.GELU(), nn.LeakyReLU(0.2, True), nn.ELU(inplace=True), nn.Softplus(), nn.Softmax(-1)
nn.SiLU(True), nn.Hardtanh(), nn.Threshold(1, 2), nn.PReLU(), nn.Softshrink(), nn.GLU()
nn.Embedding(3, 2, padding_idx=1), nn.Flatten(), nn.Unflatten(1, (2, 3)), nn.Dropout(0.2)
nn.LayerNorm(3), nn.RMSNorm(3), nn.MSELoss(), nn.CrossEntropyLoss()
nn.Dropout(2)
nn.Embedding(3, 2, padding_idx=5)
nn.Unflatten('a', 3)
nn.Linear(2, 2)(torch.ones(2, 3))
nn.Linear(0, 2)
nn.ModuleList(3)
nn.Sequential(1)
nn.ModuleList()[0]
nn.ModuleDict(3)
nn.L1Loss(size_average=False)
nn.LayerNorm(4)(torch.arange(8.0).reshape(2, 4)).detach()
nn.LayerNorm(3)(torch.ones(2, 2))
nn.Embedding(5, 3, padding_idx=1).weight
nn.functional.dropout(torch.ones(3, 4), 0.4)
nn.functional.dropout(torch.ones(3), 1.0)
nn.init.uniform_(torch.empty(2, 3), -1, 1)
nn.init.normal_(torch.empty(2, 3), 1, 2)
nn.init.xavier_uniform_(torch.empty(2, 3)), nn.init.xavier_normal_(torch.empty(2, 3))
nn.init.kaiming_uniform_(torch.empty(2, 3))
nn.init.kaiming_normal_(torch.empty(2, 3), mode='fan_out')
nn.init.orthogonal_(torch.empty(3, 2)), nn.init.orthogonal_(torch.empty(2, 3), gain=2)
nn.init.eye_(torch.empty(2, 3)), nn.init.dirac_(torch.empty(2, 2, 3))
nn.init.sparse_(torch.empty(4, 3), 0.3)
nn.init.trunc_normal_(torch.empty(4, 5), std=0.5), nn.init.trunc_normal_(torch.empty(20), std=2.0)
nn.init.trunc_normal_(torch.empty(20), 5.0)
nn.init.trunc_normal_(torch.empty(9), 0.0, 1.0, -0.2, 0.2)
nn.init.uniform(torch.empty(2))
nn.init.calculate_gain('x')
nn.init.xavier_uniform_(torch.empty(2))
copy.deepcopy(net)[0].weight is net[0].weight
pickle.loads(pickle.dumps(net))[0].bias
""".strip().splitlines()  # fmt: skip


def shown(torch, expression):
    """What an expression gives, warns of or raises, as text."""
    nn = torch.nn
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    names = {"torch": torch, "nn": nn, "net": net, "copy": copy, "pickle": pickle}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            text = str(eval(expression, names))
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
    return text.split("grad_fn")[0], [(w.category, str(w.message)) for w in caught]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_shows_what_pytorch_shows(expression):
    assert shown(flambeau, expression) == shown(torch, expression)


def hooked(torch):
    """The order and the arguments of all hooks of a small network."""
    torch.manual_seed(0)
    nn, seen = torch.nn, []
    net = nn.Sequential(nn.Linear(4, 2), nn.Tanh(), nn.Linear(2, 2))
    net[0].register_forward_pre_hook(lambda m, args: seen.append(("pre", args[0].shape)))
    net[2].register_forward_hook(lambda m, args, out: out * 2)
    handle = net.register_forward_hook(
        lambda m, args, kwargs, out: seen.append(("out", len(args), kwargs)), with_kwargs=True
    )
    net[1].register_full_backward_hook(
        lambda m, gi, go: seen.append(("back", gi[0].tolist(), go[0].tolist()))
    )
    net[2].register_full_backward_pre_hook(lambda m, go: (go[0] * 3,))
    net[2].register_full_backward_hook(lambda m, gi, go: (gi[0] * 5,))
    x = torch.ones(1, 4, requires_grad=True)
    net(x).sum().backward()
    handle.remove()
    net(x)
    return seen, x.grad.tolist()


def test_hooks():
    ours, theirs = hooked(flambeau), hooked(torch)
    assert [s[0] for s in ours[0]] == [s[0] for s in theirs[0]]
    assert ours[0][2][1][0] == pytest.approx(theirs[0][2][1][0], rel=1e-5)
    assert ours[1][0] == pytest.approx(theirs[1][0], rel=1e-5)


def clipped(torch, *args):
    params = [torch.nn.Parameter(torch.ones(n)) for n in (3, 2)]
    for n, param in enumerate(params):
        param.grad = torch.full(tuple(param.shape), n + 3.0)
    norm = torch.nn.utils.clip_grad_norm_(params, *args)
    return [norm.item(), *params[0].grad.tolist(), *params[1].grad.tolist()]


@pytest.mark.parametrize("args", [(1.0,), (100.0,), (1.0, 1.0), (1.0, float("inf")), (1.0, 3.0)])
def test_gradients_are_clipped(args):
    assert clipped(flambeau, *args) == pytest.approx(clipped(torch, *args))


def test_parameters_as_a_vector():
    nn = flambeau.nn
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    nn.utils.vector_to_parameters(flambeau.arange(13.0), net.parameters())
    assert net[1].bias.tolist() == [12.0]
    assert nn.utils.parameters_to_vector(net.parameters()).tolist() == list(range(13))


def test_attributes_are_looked_up_as_python_does():
    """What stands in front of a parameter hides it."""

    def results(torch):
        class Doubled(torch.nn.Linear):
            def __getattr__(self, name):
                found = super().__getattr__(name)
                return found * 2 if name == "weight" else found

        x = torch.ones(1, 3)
        hidden = torch.nn.Linear(3, 2)
        hidden.__dict__["weight"] = torch.zeros(2, 3)
        doubled = Doubled(3, 2, bias=False)
        once = torch.nn.functional.linear(x, doubled._parameters["weight"])
        return (hidden(x) == hidden.bias).all().item(), (doubled(x) == 2 * once).all().item()

    assert results(flambeau) == results(torch) == (True, True)
