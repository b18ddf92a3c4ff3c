"""Elementwise rows: sums, products and quotients."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.dtype import DType
from flambeau.ir.layout import Spec
from flambeau.ir.program import Number
from flambeau.ops.copies import cast, clone, copy, full
from flambeau.ops.declare import declare, elementwise, elementwise_result
from flambeau.ops.rules import by_first, if_tensor, not_for, same, tensors_only, to_float, zeros
from flambeau.ops.samples import binary, ternary
from flambeau.trace.modes import Mode

__all__ = ["cast", "clone", "copy", "full"]


# ------------------------------------------------------------------ sums and products


def is_one(alpha: Any) -> bool:
    """Whether a factor was left at its default."""
    return alpha.__class__ is int and alpha == 1


def scaled(x: Any, alpha: Any) -> Any:
    return x if is_one(alpha) else x * alpha


def sum_type(mode: Mode, input: Any, other: Any, alpha: Any) -> tuple[DType, DType]:
    """The operands decide, not alpha, which must fit."""
    dtype, result = same(mode, input, other)
    if isinstance(alpha, Number) and alpha.type is complex and dtype.kind != "c":
        raise RuntimeError("For non-complex input tensors, argument alpha must not be a complex "
                           "number.")  # fmt: skip
    if isinstance(alpha, Number) and alpha.type is float and dt.category(dtype) < 2:
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating "
                           "point number.")  # fmt: skip
    if isinstance(alpha, Number) and alpha.type is bool and dtype is not dt.bool_:
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    return dtype, result


def difference_type(mode: Mode, input: Any, other: Any, alpha: Any) -> tuple[DType, DType]:
    """As for sums, but not for truth values."""
    types = [number_or_tensor(f) for f in (input, other)]
    if types == [dt.bool_, dt.bool_]:
        raise RuntimeError("Subtraction, the `-` operator, with two bool tensors is not "
                           "supported. Use "
                           "the `^` or `logical_xor()` operator instead.")  # fmt: skip
    if dt.bool_ in types:
        raise RuntimeError("Subtraction, the `-` operator, with a bool tensor is not supported. "
                           "If you "
                           "are trying to invert a mask, use the `~` or `logical_not()` operator "
                           "instead.")  # fmt: skip
    return sum_type(mode, input, other, alpha)


def number_or_tensor(fact: Any) -> Any:
    """The type of a tensor; bool for a truth value."""
    if isinstance(fact, Spec):
        return fact.dtype
    return dt.bool_ if isinstance(fact, Number) and fact.type is bool else None


add = elementwise(
    "add(input, other, *, alpha=1)",
    numbers=("alpha",),
    dtype=sum_type,
    numpy=lambda x, y, alpha: x + scaled(y, alpha),
    scalar=lambda k, x, y, alpha: x + scaled(y, alpha),
    grad=dict(input=lambda g: g, other=lambda g, call: scaled(g, call.alpha)),
    samples=binary(alpha=(1, 2)),
)

sub = elementwise(
    "sub(input, other, *, alpha=1)",
    aliases="subtract",
    numbers=("alpha",),
    dtype=difference_type,
    numpy=lambda x, y, alpha: x - scaled(y, alpha),
    scalar=lambda k, x, y, alpha: x - scaled(y, alpha),
    grad=dict(input=lambda g: g, other=lambda g, call: scaled(g.neg(), call.alpha)),
    samples=binary(alpha=(1, 2)),
)


def rsub_shape(mode: Mode, input: Any, other: Any, alpha: Any) -> Any:
    """other comes first, for the strides too."""
    if isinstance(input, Number):
        raise TypeError("rsub(): argument 'input' (position 1) must be Tensor, not a number")
    dtype = difference_type(mode, input, other, alpha)[1]
    return (elementwise_result((other, input), dtype),)


rsub = declare(
    "elementwise",
    "rsub(input, other, *, alpha=1)",
    overload=if_tensor(1, 0, 1),
    numbers=("alpha",),
    infer=rsub_shape,
    compute=lambda mode, *facts: difference_type(mode, *facts)[0],
    numpy=lambda x, y, alpha: y - scaled(x, alpha),
    scalar=lambda k, x, y, alpha: y - scaled(x, alpha),
    grad=dict(input=lambda g, call: scaled(g.neg(), call.alpha), other=lambda g: g),
    samples=binary(alpha=(1, 2)),
)

mul = elementwise(
    "mul(input, other)",
    aliases="multiply",
    dtype=same,
    numpy=lambda x, y: x * y,
    scalar=lambda k, x, y: x * y,
    grad=dict(input=lambda g, other: g * other, other=lambda g, input: g * input),
    samples=binary(),
)

addcmul = elementwise(
    "addcmul(input, tensor1, tensor2, *, value=1)",
    numbers=("value",),
    dtype=not_for("b", "addcmul_cpu_out", by_first(same, 3)),
    numpy=lambda x, a, b, value: x + scaled(a, value) * b,
    scalar=lambda k, x, a, b, value: x + scaled(a, value) * b,
    grad=dict(
        input=lambda g: g,
        tensor1=lambda g, tensor2, call: scaled(g * tensor2, call.value),
        tensor2=lambda g, tensor1, call: scaled(g * tensor1, call.value),
    ),
    samples=ternary(value=(1, 2)),
)


def float_division(mode: Mode, *facts: Any) -> tuple[DType, DType]:
    dtype, result = same(mode, *facts)
    if dt.category(dtype) < 2:
        raise RuntimeError("Integer division with addcdiv is no longer supported, and in a future  "
                           "release addcdiv will perform a true division of tensor1 and tensor2.\n"
                           "  hint: turn one of them to a floating point type first")  # fmt: skip
    return dtype, result


addcdiv = elementwise(
    "addcdiv(input, tensor1, tensor2, *, value=1)",
    numbers=("value",),
    dtype=by_first(float_division, 3),
    numpy=lambda x, a, b, value: x + scaled(a, value) / b,
    scalar=lambda k, x, a, b, value: x + scaled(a, value) / b,
    grad=dict(
        input=lambda g: g,
        tensor1=lambda g, tensor2, call: scaled(g / tensor2, call.value),
        tensor2=lambda g, tensor1, tensor2, call: -scaled(g * (tensor1 / (tensor2 * tensor2)),
                                                          call.value),
    ),
    samples=ternary(value=(1, 2)),
)  # fmt: skip


def lerp_type(mode: Mode, input: Any, end: Any, weight: Any) -> tuple[DType, DType]:
    """All tensors have one type."""
    for name, spec in (("end", end), ("weight", weight)):
        if isinstance(spec, Spec) and spec.dtype is not input.dtype and spec.size:
            raise RuntimeError(f"expected dtype {input.dtype.legacy.lower()} for `{name}` but got "
                               f"dtype {spec.dtype.legacy.lower()}")  # fmt: skip
    return not_for("biu", "lerp_kernel_scalar", same)(mode, input)


def lerp_numpy(x: Any, y: Any, w: Any) -> Any:
    """From whichever end is nearer, so that both ends are met exactly."""
    return np.where(np.abs(w) < 0.5, x + w * (y - x), y - (y - x) * (1 - w))


lerp = elementwise(
    "lerp(input, end, weight)",
    out_type="unary",
    overload=if_tensor(2, 1, 0),
    dtype=lerp_type,
    numpy=lerp_numpy,
    scalar=lambda k, x, y, w: k.where(k.lt(k.abs(w), 0.5), x + w * (y - x), y - (y - x) * (1 - w)),
    grad=dict(
        input=lambda g, weight: g - g * weight,
        end=lambda g, weight: g * weight,
        weight=lambda g, input, end: g * (end - input),
    ),
    samples=ternary(numbers=False, third=0.3),
)


# ------------------------------------------------------------------ division

div = elementwise(
    "true_divide(input, other)",
    aliases="divide",
    node="DivBackward0",
    dtype=to_float,
    numpy=lambda x, y: x / y,
    scalar=lambda k, x, y: x / y,
    grad=dict(
        input=lambda g, other: g / other,
        other=lambda g, input, other: -g * ((input / other) / other),
    ),
    samples=binary(),
)


def no_zero(y: Any) -> None:
    """Integers cannot be divided by zero."""
    if y.dtype.kind != "f" and np.any(y == 0):
        raise RuntimeError("ZeroDivisionError")


def odd_rest(x: Any, y: Any) -> tuple[Any, Any]:
    """The remainder of a division towards zero, and where its sign is not that of the divisor."""
    no_zero(y)
    rest = np.fmod(x, y)
    return rest, (rest != 0) & ((rest < 0) != (y < 0))


def remainder_numpy(x: Any, y: Any) -> Any:
    rest, odd = odd_rest(x, y)
    return np.where(odd, rest + y, rest)


def trunc_numpy(x: Any, y: Any) -> Any:
    """Towards zero."""
    no_zero(y)
    if x.dtype.kind == "f":
        return np.trunc(x / y)
    rest, odd = odd_rest(x, y)
    return np.floor_divide(x, y) + np.where(odd, 1, 0).astype(x.dtype)


def floor_numpy(x: Any, y: Any) -> Any:
    """Down, from the exact remainder, since x / y itself may be rounded up to a whole number."""
    if x.dtype.kind != "f":
        no_zero(y)
        return np.floor_divide(x, y)
    rest, odd = odd_rest(x, y)
    quotient = (x - rest) / y
    quotient = np.where(odd, quotient - 1, quotient)
    down = np.floor(quotient)
    down = np.where(quotient - down > 0.5, down + 1, down)
    down = np.where(quotient == 0, np.copysign(np.zeros_like(quotient), x / y), down)
    return np.where(y == 0, x / y, down)


div_floor = elementwise(
    "div_floor(input, other)",
    public="",
    node="DivBackward2",
    dtype=not_for("bc", "div_floor_cpu", same),
    numpy=floor_numpy,
    scalar=lambda k, x, y: k.floor_div(x, y),
    grad=dict(input=zeros, other=zeros),
    may_fail=True,
    samples=binary(nonzero=True, kinked=True),
)

def refuse_derivative(g: Any) -> Any:
    """As PyTorch: what `div` with rounding_mode="floor" has, this one lacks."""
    raise RuntimeError("derivative for aten::floor_divide is not implemented\n  hint: "
                       "torch.div(input, other, rounding_mode='floor') has one")  # fmt: skip


floor_divide = elementwise(
    "floor_divide(input, other)",
    node="NotImplemented",
    dtype=not_for("bc", "div_floor_cpu", same),
    numpy=floor_numpy,
    scalar=lambda k, x, y: k.floor_div(x, y),
    grad=dict(input=refuse_derivative, other=refuse_derivative),
    may_fail=True,
    samples=binary(nonzero=True, kinked=True),
)

div_trunc = elementwise(
    "div_trunc(input, other)",
    public="",
    node="DivBackward2",
    dtype=not_for("bc", "div_trunc_cpu", same),
    numpy=trunc_numpy,
    scalar=lambda k, x, y: k.trunc_div(x, y),
    grad=dict(input=zeros, other=zeros),
    may_fail=True,
    samples=binary(nonzero=True, kinked=True),
)

remainder = elementwise(
    "remainder(input, other)",
    overload=if_tensor(1, 1, 0),
    dtype=not_for("bc", "remainder_cpu", same),
    numpy=remainder_numpy,
    scalar=lambda k, x, y: k.remainder(x, y),
    grad=dict(
        input=lambda g: g,
        other=lambda g, input, other: -g * (input / other).floor(),
    ),
    may_fail=True,
    samples=binary(nonzero=True, kinked=True),
)


def fmod_numpy(x: Any, y: Any) -> Any:
    no_zero(y)
    return np.fmod(x, y)


fmod = elementwise(
    "fmod(input, other)",
    overload=if_tensor(1, 1, 0),
    dtype=tensors_only("fmod", not_for("bc", "fmod_cpu", same), ("input",)),
    numpy=fmod_numpy,
    scalar=lambda k, x, y: k.fmod(x, y),
    grad=dict(
        input=lambda g: g,
        other=lambda g, input, other: -g * (input / other).trunc(),
    ),
    may_fail=True,
    samples=binary(nonzero=True, kinked=True),
)
