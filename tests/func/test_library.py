"""Operators of a program's own: what PyTorch gives for the same definitions."""

import itertools

import pytest

from tests.beside import same

pytest.importorskip("torch")
space = (f"flambeau_test_{n}" for n in itertools.count())  # PyTorch keeps what it was told

DEFINED = """
import numpy as np, importlib
from typing import List, Optional, Sequence, Tuple
lib = importlib.import_module(torch.__name__ + ".library")
Tensor = torch.Tensor
x = torch.tensor([0.5, 1.0, -2.0])
w = torch.tensor([0.5, 1.0, -2.0], requires_grad=True)
@lib.custom_op("SPACE::wave", mutates_args=())
def wave(x: Tensor, k: float = 2.0) -> Tensor:
    return torch.from_numpy(np.sin(x.numpy()) * np.float32(k))
def keep(ctx, inputs, output):
    x, ctx.k = inputs
    ctx.save_for_backward(x)
def back(ctx, g):
    return g * ctx.saved_tensors[0].cos() * ctx.k, None
wave.register_autograd(back, setup_context=keep)
@lib.custom_op("SPACE::bare", mutates_args=())
def bare(x: Tensor) -> Tensor: return x.exp()
@lib.custom_op("SPACE::again", mutates_args=())
def again(x: Tensor) -> Tensor: return x
@lib.custom_op("SPACE::step", mutates_args={"x"})
def step(x: Tensor, by: float) -> None: x.numpy()[...] += by
@lib.custom_op("SPACE::both", mutates_args=())
def both(xs: List[Tensor], *, scale: int = 3) -> Tuple[Tensor, Tensor]: return xs[0] * scale, xs[1] + 1
def keep_scale(ctx, inputs, keyword_only_inputs, output): ctx.scale = keyword_only_inputs["scale"]
both.register_autograd(lambda ctx, g, h: [g * ctx.scale, h], setup_context=keep_scale)
ops = getattr(torch.ops, "SPACE")
def big(x: Tensor, y: Optional[Tensor], z: List[Tensor], s: Sequence[int], a: int = 3, b: bool = False, *, c: str = "h", d: Optional[float] = None) -> Tuple[Tensor, List[Tensor]]: pass
def grads(call): return call.sum().backward(), w.grad
"""  # noqa: E501

LINES = """
wave(x), wave(x, 3.0), wave(x, k=1), ops.wave(x, 0.5), ops.wave.default(x)
grads(wave(w)), grads(ops.wave(w, k=5.0))
wave(w).requires_grad, wave(x).requires_grad, wave(w).grad_fn is not None
torch.autograd.grad(torch.autograd.grad(wave(w).sum(), w, create_graph=True)[0].sum(), w)
bare(w).requires_grad
bare(w).sum().backward()
grads(both([w, w * 2], scale=2)[1] + both([w, w])[0])
again(x)
step(x, 1.0), x, x._version
wave()
wave("a")
wave(x, "a")
wave(x, 1.0, 2.0)
wave(x, q=1)
ops.nothing
repr(wave).split("::")[1]
str(ops.wave.default).split(".")[1:]
lib.infer_schema(big, mutates_args=("x",))
lib.infer_schema(big, mutates_args=("q",))
lib.infer_schema(lambda x: x, mutates_args=())
lib.custom_op("SPACE::un", mutates_args=())(lambda x: x)
lib.custom_op("no_space", mutates_args=(), schema="(Tensor x) -> Tensor")(lambda x: x)
lib.custom_op("SPACE::s", mutates_args=(), schema="(Tensor x, int k) -> Tensor")(lambda x, k: x * k)(x, 2)
(lib.define("SPACE::f", "(Tensor x) -> Tensor"), lib.impl("SPACE::f", "cpu", lambda x: x + 1), ops.f(x))[2]
(lib.define("SPACE::f", "(Tensor x) -> Tensor"), lib.impl("SPACE::f", "cpu", lambda x: x * x), grads(ops.f(w)))[2]
(lib.define("SPACE::f", "(Tensor x) -> Tensor"), lib.impl("SPACE::f", "cpu", lambda x: x * x), lib.register_autograd("SPACE::f", lambda ctx, g: g * 7), grads(ops.f(w)))[3]
(lib.define("SPACE::f", "(Tensor x) -> Tensor"), ops.f(x))
(lib.define("SPACE::f", "(Tensor x) -> Tensor"), lib.define("SPACE::f", "(Tensor x) -> Tensor"))
[(l := lib.Library("SPACE", "FRAGMENT")), l.define("g(Tensor x) -> Tensor"), l.impl("g", lambda x: x * 3, "CompositeImplicitAutograd"), grads(ops.g(w))][1:]
lib.Library("SPACE", "OTHER")
""".strip().splitlines()  # noqa: E501


@pytest.mark.parametrize("line", LINES)
def test_as_pytorch(line):
    lines = [DEFINED.strip(), line]
    same(*"\n".join(lines).replace("SPACE", next(space)).splitlines(), words=0)
