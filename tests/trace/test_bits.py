"""The same call gives the same bits each time, in whichever tier it runs."""

import pytest

import flambeau as torch
import flambeau.nn.functional as F

CALLS = {
    **{name: getattr(torch, name) for name in (
        "exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "sigmoid", "erf", "sqrt", "rsqrt")},
    **{name: getattr(F, name) for name in ("gelu", "softplus", "silu", "mish", "elu", "celu")},
    **{f"pow {e}": lambda x, e=e: x ** e for e in (0.5, 2.0, 3.3, -1.5)},
    "softmax": lambda x: F.softmax(x, -1),
    "norm": lambda x: x / x.pow(2).sum(-1, keepdim=True).sqrt(),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_calls(name):
    x = torch.rand(7, 33) + 0.1
    first = CALLS[name](x)
    first.sum().item()
    for _ in range(30):
        assert torch.equal(CALLS[name](x), first)


def test_network():
    net = torch.nn.Sequential(torch.nn.Linear(33, 20), torch.nn.Tanh(), torch.nn.Linear(20, 5))
    x = torch.rand(7, 33)
    first = net(x)
    for _ in range(30):
        assert torch.equal(net(x), first)
