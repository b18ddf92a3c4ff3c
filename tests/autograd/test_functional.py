"""autograd.functional, forward mode, batched gradients: PyTorch's values for the same lines."""

import pytest

from tests.beside import same

START = """
F, fa, grad = torch.autograd.functional, torch.autograd.forward_ad, torch.autograd.grad
x = torch.tensor([1.0, 2.0, 3.0])
y = torch.tensor([0.5, -1.0, 2.0])
w = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
unused = torch.ones(2, requires_grad=True)
z = w * w
def cube(x): return (x ** 3).sum()
def two(a, b): return a * b, (a + b).sum()
def q(a, b): return (a * a * b).sum()
def one(x): return torch.ones(2)
def linear(x): return x * 2
def first(a, b): return (a * a).sum()
def under(call):
    with fa.dual_level(): return call()
def dual(a, t): return fa.make_dual(a, t)
def plain(t):
    if isinstance(t, (tuple, list)): return [plain(a) for a in t]
    return [t.requires_grad, str(t.dtype), (t.detach() + 0).tolist()] if isinstance(t, torch.Tensor) else t
"""  # noqa: E501

PRODUCTS = [
    f"F.{name}({f}, {i}{v}, create_graph={create}, strict={strict})"
    for name, f, v in [
        ("jacobian", "torch.sin", ""), ("hessian", "cube", ""), ("vjp", "torch.sin", ", y"),
        ("jvp", "torch.sin", ", y"), ("vhp", "cube", ", y"), ("hvp", "cube", ", y"),
        ("jacobian", "linear", ""), ("hessian", "torch.sum", ""), ("vjp", "linear", ", y"),
        ("jvp", "linear", ", y"), ("vhp", "torch.sum", ", y"), ("hvp", "torch.sum", ", y"),
        ("jacobian", "one", ""), ("vjp", "one", ", x[:2]"), ("jvp", "one", ", y"),
    ]
    for i in "xw" for create in (False, True) for strict in (False, True)
]  # fmt: skip

LINES = """
F.jacobian(two, (x, y))
F.hessian(q, (x, y))
F.vjp(two, (x, y), (x, torch.ones(())))
F.jvp(two, (x, y), (x, x))
F.vhp(q, (x, y), (y, x))
F.hvp(q, (x, y), (y, x))
F.jacobian(first, (x, y))
F.jacobian(first, (x, y), strict=True)
F.hessian(first, (x, y))
F.hessian(first, (x, y), strict=True)
F.vjp(first, (x, y), strict=True)
F.jacobian(torch.sin, x, vectorize=True)
F.jacobian(torch.sin, x, vectorize=True, strategy="forward-mode")
F.jacobian(torch.sin, x, strategy="forward-mode")
F.jacobian(torch.sin, x, vectorize=True, strict=True)
F.jacobian(torch.sin, x, create_graph=True, strategy="forward-mode")
F.jacobian(torch.sin, x, strategy="sideways")
F.hessian(cube, x, vectorize=True)
F.hessian(cube, x, outer_jacobian_strategy="forward-mode")
F.hessian(cube, x, outer_jacobian_strategy="sideways")
F.hessian(lambda t: cube(t).reshape(1), x)
F.hessian(torch.sin, x)
F.hessian(lambda t: (cube(t),), x)
F.jacobian(torch.sin, 1.0)
F.jacobian(torch.sin, [x])
F.jacobian(torch.sin, (x, 1))
F.jacobian(lambda t: 1.0, x)
F.vjp(torch.sin, x)
F.vjp(cube, x)
F.vjp(torch.sin, x, torch.ones(4))
F.vjp(torch.sin, x, (y, y))
F.vjp(torch.sin, x, 1.0)
F.jvp(torch.sin, x)
F.jvp(torch.sin, x.sum())
F.jvp(torch.sin, x, torch.ones(4))
F.vhp(torch.sin, x, y)
F.hvp(cube, x)
F.hvp(lambda t: (cube(t), cube(t)), x, y)
grad(F.jacobian(lambda t: t ** 3, w, create_graph=True).sum(), w)
grad(F.hvp(cube, w, y, create_graph=True)[1].sum(), w)
grad(F.jvp(torch.exp, w, y, create_graph=True)[1].sum(), w)
grad(z, w, torch.eye(3), is_grads_batched=True)
grad(z, w, torch.eye(3), is_grads_batched=True, create_graph=True)[0].detach()
grad([z, z.sum()], [w], [torch.eye(3), torch.ones(3)], is_grads_batched=True)
grad([z, z.sum()], [w], [torch.eye(3), torch.ones(2)], is_grads_batched=True)
grad(z, [w, unused], torch.eye(3), is_grads_batched=True, allow_unused=True)
grad(z, [w, unused], torch.eye(3), is_grads_batched=True, materialize_grads=True)
grad(z, [w, unused], torch.eye(3), is_grads_batched=True)
grad(z, w, torch.eye(4), is_grads_batched=True)
grad(z, w, None, is_grads_batched=True)
(grad(z, w, torch.eye(3), is_grads_batched=True), z.sum().backward())
under(lambda: fa.unpack_dual(dual(x, y)))
under(lambda: fa.unpack_dual(dual(x, y) * dual(y, x)))
under(lambda: fa.unpack_dual(dual(x, y) * w))
under(lambda: fa.unpack_dual(dual(w, y) ** 2))
under(lambda: grad(fa.unpack_dual(dual(w, y) ** 2).tangent.sum(), w))
under(lambda: fa.unpack_dual(dual(x, y).detach()))
under(lambda: fa.unpack_dual(dual(x, y) > 1))
under(lambda: fa.unpack_dual(dual(x, y).floor()))
under(lambda: fa.unpack_dual(torch.cat([dual(x, y), x])))
under(lambda: fa.unpack_dual(torch.nn.functional.linear(dual(x, y), dual(y, x).view(1, 3)).relu()))
under(lambda: fa.unpack_dual(dual(torch.complex(x, y), torch.complex(y, x)).abs()))
under(lambda: fa.unpack_dual(x))
fa.unpack_dual(x)
dual(x, y)
fa.exit_dual_level()
under(lambda: fa.enter_dual_level())
under(lambda: dual(dual(x, y), y))
under(lambda: dual(x, 1))
under(lambda: dual(x.long(), x.long()))
under(lambda: dual(x, x.long()))
under(lambda: dual(x, x[:2]))
under(lambda: fa.make_dual(x, y, level=3))
under(lambda: fa.unpack_dual(1))
""".strip().splitlines()


@pytest.mark.parametrize("line", PRODUCTS + LINES)
def test_as_pytorch(line):
    same(*START.strip().splitlines(), f"plain({line})", tolerance=1e-5)
