"""Function transforms, alone and in each other: the values of PyTorch for the same lines."""

import pytest

from tests.beside import same

START = """
f = torch.func
x = torch.tensor([1.0, -2.0, 0.5])
y = torch.tensor([0.25, 3.0, -1.0])
A = torch.arange(12.0).view(3, 4) / 7
w = torch.tensor([2.0, 0.5, 1.0], requires_grad=True)
def cube(x): return (x ** 3).sum()
def two(a, b): return {"p": a * b, "s": (a.sin() * b).sum()}
def net(p, x): return ((x @ p["w"]).tanh() @ p["v"]).sum()
p = {"w": torch.linspace(-1, 1, 6).view(3, 2), "v": torch.tensor([[1.0], [-2.0]])}
rows = torch.linspace(-2, 2, 12).view(4, 3)
def plain(t):
    if isinstance(t, dict): return [plain(t[k]) for k in sorted(t)]
    if isinstance(t, (tuple, list)): return [plain(a) for a in t]
    return [t.requires_grad, list(t.shape), str(t.dtype), t.detach().tolist()] if isinstance(t, torch.Tensor) else t
"""  # noqa: E501

LINES = """
f.grad(cube)(x)
f.grad(f.grad(lambda t: t.sin()))(torch.tensor(0.3))
f.grad(f.grad(f.grad(lambda t: t ** 4)))(torch.tensor(1.5))
f.grad(lambda a, b: (a * b * b).sum(), argnums=1)(x, y)
f.grad(lambda a, b: (a * b * b).sum(), argnums=(0, -1))(x, y)
f.grad(net)(p, rows)
f.grad_and_value(lambda t: ((t * t).sum(), {"aux": t * 2}), has_aux=True)(x)
f.grad(lambda t: (t * w).sum())(x)
f.grad(lambda t: (t * t * w).sum())(x)
f.grad(lambda t: (t * t.detach()).sum())(x)
f.grad(lambda a: f.grad(lambda b: (a * b * b).sum())(x).sum())(y)
f.grad(lambda a: f.grad(lambda b: (a * b * b).sum())(a).sum())(y)
f.grad(lambda t: (t * t).sum())(torch.complex(x, y).abs())
f.vjp(two, x, y)[1]({"p": y, "s": torch.tensor(2.0)})
f.vjp(two, x, y)[0]
f.vjp(lambda t: (t * 2, t.sum()), x, has_aux=True)[2]
f.jvp(two, (x, y), (y, x))
f.jvp(lambda t: t.exp(), (x,), (y,))
f.jvp(lambda t: (t * 2, t + 1), (x,), (y,), has_aux=True)
f.jvp(lambda t: f.jvp(lambda s: s ** 3, (t,), (y,))[1], (x,), (y,))
f.jvp(f.grad(cube), (x,), (y,))
f.grad(lambda t: f.jvp(cube, (t,), (y,))[1])(x)
f.linearize(two, x, y)[1](y, x)
f.jacrev(torch.sin)(x)
f.jacfwd(torch.sin)(x)
f.jacrev(two, argnums=(0, 1))(x, y)
f.jacfwd(two, argnums=(0, 1))(x, y)
f.jacrev(lambda t: A.t() @ t)(x)
f.jacfwd(lambda t: A.t() @ t)(x)
f.jacrev(lambda t: (t * 2, t.sum()), has_aux=True)(x)
f.jacfwd(lambda t: (t * 2, t.sum()), has_aux=True)(x)
f.jacrev(lambda d: d["w"].sum(1))(p)
f.jacfwd(lambda d: d["w"].sum(1))(p)
f.jacrev(f.jacrev(torch.tanh))(x)
f.jacfwd(f.jacfwd(torch.tanh))(x)
f.jacrev(f.jacfwd(torch.tanh))(x)
f.hessian(cube)(x)
f.hessian(lambda a, b: (a * a * b).sum(), argnums=(0, 1))(x, y)
f.hessian(lambda t: torch.nn.functional.softplus(A.t() @ t).sum())(x)
f.jacfwd(lambda t: t[:0])(x)
f.jacrev(lambda t: t.new_ones(2) * 3)(x)
f.vmap(lambda t: t * 2)(rows)
f.vmap(lambda t: (t.sum(), t), in_dims=1, out_dims=(0, -1))(rows)
f.vmap(torch.dot)(rows, rows)
f.vmap(torch.dot, in_dims=(0, None))(rows, x)
f.vmap(f.vmap(torch.mul, in_dims=(None, 0)), in_dims=(0, None))(x, y)
f.vmap(lambda d, s: d["a"] * s, in_dims=({"a": 0}, None))({"a": rows}, 3.0)
f.vmap(lambda t: t.sum(), chunk_size=2)(rows)
f.vmap(lambda t: t * 2)(rows[:0])
f.vmap(lambda t: x, out_dims=None)(rows)
f.vmap(lambda t: t + torch.rand(2)[0], randomness="different")(x)
f.vmap(lambda t: torch.rand(3), randomness="same")(x)
f.vmap(f.grad(lambda t: (t ** 2).sum()))(rows)
f.vmap(f.grad(net), in_dims=(None, 0))(p, rows)
f.vmap(f.hessian(cube))(rows)
f.vmap(f.jacrev(torch.tanh))(rows)
f.vmap(lambda t: f.jvp(torch.sin, (t,), (y,))[1])(rows)
f.jacrev(lambda t: f.vmap(f.grad(cube))(t.expand(2, 3)))(x)
f.grad(lambda t: f.vmap(lambda r: (r * t).sum() ** 2)(rows).sum())(x)
torch.vmap(torch.sum)(rows)
f.functionalize(lambda t: t.add(1))(x)
(f.grad(lambda t: (t * t * w).sum())(x) * y).sum().backward() or w.grad
torch.no_grad()(f.grad(lambda t: (t * w).sum()))(x)
f.grad(lambda t: torch.no_grad()(cube)(t) * t.sum())(x)
f.grad(lambda t: (torch.ones(3).copy_(t) * t).sum())(x)
f.grad(lambda t: t)(x)
f.grad(lambda t: 1.0)(x)
f.grad(cube, argnums=2)(x)
f.grad(cube)(1.0)
f.grad(cube)(torch.arange(3))
f.vjp(lambda t: 1.0, x)
f.jvp(cube, x, x)
f.jvp(cube, (x,), (x, y))
f.jvp(cube, (x,), (y[:2],))
f.jacrev(lambda t: t > 0)(x)
f.jacfwd(lambda t: t > 0)(x)
f.linearize(cube, x)[1](y[:2])
f.vmap(torch.sum)(1.0)
f.vmap(torch.sum)(torch.tensor(1.0))
f.vmap(torch.sum, in_dims=(0, 0))(x)
f.vmap(torch.sum, in_dims=2)(rows)
f.vmap(torch.sum, in_dims=None)(rows)
f.vmap(torch.mul)(x, rows)
f.vmap(lambda t: 1.0)(x)
f.vmap(lambda t: t, out_dims=None)(x)
f.vmap(lambda t: t, out_dims=2)(x)
f.vmap(lambda t: t, out_dims=(0, 0))(x)
f.vmap(lambda t: torch.rand(2))(x)
f.vmap(lambda t: t, randomness="often")(x)
f.vmap(lambda t: t, chunk_size=0)(x)
f.vmap(lambda: x)()
""".strip().splitlines()


@pytest.mark.parametrize("line", LINES)
def test_as_pytorch(line):
    same(*START.strip().splitlines(), f"plain({line})", tolerance=1e-5)


MODULES = """
torch.manual_seed(0)
f = torch.func
nets = [torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Tanh()).eval() for _ in range(3)]
x = torch.linspace(-1, 1, 6).view(2, 3)
params, buffers = f.stack_module_state(nets)
p = {k: v.detach() for k, v in nets[0].named_parameters()}
def loss(p, b, x): return f.functional_call(nets[0], (p, b), (x,)).pow(2).sum()
"""  # noqa: E501

MODULE_LINES = """
{k: (v.shape, v.requires_grad, v.is_leaf, v.tolist()) for k, v in params.items()}.__repr__()[:300]
f.vmap(loss, in_dims=(0, 0, None))(params, buffers, x).tolist()
[g.tolist() for g in f.grad(loss)(p, dict(nets[0].named_buffers()), x).values()]
[g.tolist() for g in f.vmap(f.grad(loss), in_dims=(None, None, 0))(p, dict(nets[0].named_buffers()), x.view(2, 1, 3)).values()]
f.functional_call(nets[0], {"0.weight": torch.zeros(4, 3)}, x).tolist()
f.functional_call(nets[0], [{"0.bias": x}, {"0.bias": x}], x)
f.functional_call(nets[0], {"no": x}, x, strict=True)
f.functional_call(nets[0], 3, x)
f.stack_module_state([])
f.replace_all_batch_norm_modules_(nets[0].train())(x).tolist()
[n for n, b in f.replace_all_batch_norm_modules_(nets[0]).named_buffers()]
f.stack_module_state([nets[0], torch.nn.ReLU().eval()])
f.stack_module_state([nets[0], torch.nn.Sequential()])
""".strip().splitlines()  # noqa: E501


@pytest.mark.parametrize("line", MODULE_LINES)
def test_modules_as_functions(line):
    same(*MODULES.strip().splitlines(), line, tolerance=1e-5)


def test_nothing_is_left_behind():
    """Neither gradients nor modes: what goes in comes out as it was."""
    import flambeau as torch

    x = torch.ones(3)
    assert not torch.func.grad(lambda t: (t**2).sum())(x).requires_grad
    assert x.grad is None and not x.requires_grad
    with torch.no_grad():
        torch.func.hessian(lambda t: (t**3).sum())(x)
        assert not torch.is_grad_enabled()
    with pytest.raises(ZeroDivisionError):
        torch.func.grad(lambda t: 1 / 0)(x)
    assert torch.is_grad_enabled()
