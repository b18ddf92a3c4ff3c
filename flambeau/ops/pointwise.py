"""Elementwise rows: arithmetic of one, two or three numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.dtype import DType
from flambeau.ir.layout import Spec
from flambeau.ir.program import Number
from flambeau.ops.copies import cast, clone, copy, full
from flambeau.ops.declare import declare, elementwise, elementwise_result
from flambeau.ops.rules import by_first, lifted, not_for, promoted, same, to_float, zeros
from flambeau.ops.samples import Sample, binary, ternary, unary
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
    if isinstance(alpha, Number) and alpha.type is float and dt.category(dtype) < 2:
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating point "
                           "number.")  # fmt: skip
    if isinstance(alpha, Number) and alpha.type is bool and dtype is not dt.bool_:
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    return dtype, result


def difference_type(mode: Mode, input: Any, other: Any, alpha: Any) -> tuple[DType, DType]:
    """As for sums, but not for truth values."""
    types = [number_or_tensor(f) for f in (input, other)]
    if types == [dt.bool_, dt.bool_]:
        raise RuntimeError("Subtraction, the `-` operator, with two bool tensors is not supported. Use "
                           "the `^` or `logical_xor()` operator instead.")  # fmt: skip
    if dt.bool_ in types:
        raise RuntimeError("Subtraction, the `-` operator, with a bool tensor is not supported. If you "
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
    dtype = difference_type(mode, input, other, alpha)[1]
    return (elementwise_result((other, input), dtype),)


rsub = declare(
    "elementwise",
    "rsub(input, other, *, alpha=1)",
    node="RsubBackward1",
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
            raise RuntimeError(f"expected dtype {input.dtype.legacy.lower()} for `{name}` but got dtype "
                               f"{spec.dtype.legacy.lower()}")  # fmt: skip
    return not_for("biu", "lerp_kernel_scalar", same)(mode, input)


def lerp_numpy(x: Any, y: Any, w: Any) -> Any:
    """From whichever end is nearer, so that both ends are met exactly."""
    return np.where(np.abs(w) < 0.5, x + w * (y - x), y - (y - x) * (1 - w))


lerp = elementwise(
    "lerp(input, end, weight)",
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
    dtype=not_for("b", "div_floor_cpu", same),
    numpy=floor_numpy,
    scalar=lambda k, x, y: k.floor_div(x, y),
    grad=dict(input=zeros, other=zeros),
    may_fail=True,
    samples=binary(nonzero=True, kinked=True),
)

div_trunc = elementwise(
    "div_trunc(input, other)",
    public="",
    node="DivBackward2",
    dtype=not_for("b", "div_trunc_cpu", same),
    numpy=trunc_numpy,
    scalar=lambda k, x, y: k.trunc_div(x, y),
    grad=dict(input=zeros, other=zeros),
    may_fail=True,
    samples=binary(nonzero=True, kinked=True),
)

remainder = elementwise(
    "remainder(input, other)",
    dtype=not_for("b", "remainder_cpu", same),
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
    dtype=not_for("b", "fmod_cpu", same),
    numpy=fmod_numpy,
    scalar=lambda k, x, y: k.fmod(x, y),
    grad=dict(
        input=lambda g: g,
        other=lambda g, input, other: -g * (input / other).trunc(),
    ),
    may_fail=True,
    samples=binary(nonzero=True, kinked=True),
)


# ------------------------------------------------------------------ powers


def power_type(mode: Mode, input: Any, exponent: Any) -> tuple[DType, DType]:
    """The exponent counts as a number; negative ones need floats."""
    dtype = promoted(mode, input, Number(0, type(exponent)))
    if dt.category(dtype) < 2 and exponent < 0:
        raise RuntimeError("Integers to negative integer powers are not allowed.")
    if dtype is dt.bool_:
        raise NotImplementedError("\"pow\" not implemented for 'Bool'")
    return dtype, dtype


def power_numpy(x: Any, exponent: Any) -> Any:
    """Small powers by multiplication, as PyTorch has them."""
    if x.dtype.kind == "f" and exponent in SMALL:
        return SMALL[exponent](x)
    return np.power(x, np.asarray(exponent).astype(x.dtype))


SMALL: dict[float, Any] = {
    2: lambda x: x * x,
    3: lambda x: x * x * x,
    0.5: np.sqrt,
    -0.5: lambda x: 1 / np.sqrt(x),
    -1: lambda x: 1 / x,
    -2: lambda x: 1 / (x * x),
}


def power_grad(g: Any, input: Any, call: Any) -> Any:
    """n · x^(n - 1), and zero for n = 0 whatever x is."""
    n = call.exponent
    return zeros(g) if n == 0 else g * (input ** (n - 1) * n)


power = elementwise(  # x ** 2; the exponent is part of the program
    "pow_number(input, exponent)",
    public="",
    node="PowBackward0",
    dtype=power_type,
    numpy=power_numpy,
    scalar=lambda k, x, exponent: k.pow(x, exponent),
    grad=dict(input=power_grad),
    samples=lambda new: (Sample(new(2, 3), n) for n in (0, 1, 2, 3, 5, 2.0, 0.5, -1.0, 1.7)),
)


def power_of_tensors(x: Any, y: Any) -> Any:
    """Integer powers wrap; a negative exponent leaves 0, 1 or -1."""
    if x.dtype.kind == "f":
        return np.power(x, y)
    small = np.where(x == 1, 1, np.where(x + 1 == 0, np.where(y % 2 == 0, 1, -1), 0)).astype(
        x.dtype
    )
    return np.where(y < 0, small, np.power(x, np.maximum(y, 0)))


def base_grad(g: Any, input: Any, other: Any) -> Any:
    grad = g * (other * input ** (other - 1))
    return grad.masked_fill(other == 0, 0)


def exponent_grad(g: Any, out: Any, input: Any, other: Any) -> Any:
    """out · log(base), and 0 where 0 to a power ≥ 0 stays 0."""
    base, exponent = lifted(input, g), lifted(other, g)
    grad = g * (out * base.log())
    return grad.masked_fill(base.eq(0).logical_and(exponent.ge(0)), 0)


power2 = elementwise(
    "pow_tensor(input, other)",
    public="",
    node="PowBackward1",
    dtype=not_for("b", "pow", same),
    numpy=power_of_tensors,
    scalar=lambda k, x, y: k.pow(x, y),
    grad=dict(
        input=lambda g, input, other: base_grad(g, input, lifted(other, g)),
        other=exponent_grad,
    ),
    samples=binary(low=0.5, high=3),
)


# ------------------------------------------------------------------ bounds


def half_where_equal(g: Any, x: Any, y: Any, loses: Any) -> Any:
    """The winner gets the gradient; both get half of it where they are equal."""
    return (g / 2).where(x == y, g).masked_fill(loses, 0)


maximum = elementwise(
    "maximum(input, other)",
    dtype=same,
    inplace=False,
    numpy=np.maximum,
    scalar=lambda k, x, y: k.maximum(x, y),
    grad=dict(
        input=lambda g, input, other: half_where_equal(g, input, other, input < other),
        other=lambda g, input, other: half_where_equal(g, input, other, input > other),
    ),
    samples=binary(numbers=False),
)

minimum = elementwise(
    "minimum(input, other)",
    dtype=same,
    inplace=False,
    numpy=np.minimum,
    scalar=lambda k, x, y: k.minimum(x, y),
    grad=dict(
        input=lambda g, input, other: half_where_equal(g, input, other, input > other),
        other=lambda g, input, other: half_where_equal(g, input, other, input < other),
    ),
    samples=binary(numbers=False),
)


def bounded(k: Any, x: Any, low: Any, high: Any) -> Any:
    """The upper bound wins over the lower one."""
    x = x if low is None else k.maximum(x, low)
    return x if high is None else k.minimum(x, high)


def clamp_grad(g: Any, input: Any, min: Any, max: Any) -> Any:
    """It passes inside the bounds, which are inside too."""
    g = g if min is None else g.masked_fill(input < min, 0)
    return g if max is None else g.masked_fill(input > max, 0)


def low_grad(g: Any, input: Any, min: Any, max: Any) -> Any:
    grad = g.where(input < min, 0)
    return grad if max is None else grad.masked_fill(lifted(min, g) >= max, 0)


def high_grad(g: Any, input: Any, min: Any, max: Any) -> Any:
    if min is None:
        return g.where(input > max, 0)
    return g.where((input > max).logical_or(max < min), 0)


def clamp_type(mode: Mode, input: Any, *bounds: Any) -> tuple[DType, DType]:
    if all(b is None for b in bounds):
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    return not_for("b", "clamp_scalar_cpu", same)(mode, input, *bounds)


def clamp_row(signature: str, node: str, public: str) -> Any:
    """Numbers and tensors as bounds have nodes of different names."""
    return elementwise(
        signature,
        public=public,
        node=node,
        dtype=clamp_type,
        numpy=lambda x, low, high: bounded(np, x, low, high),
        scalar=bounded,
        grad=dict(input=clamp_grad, min=low_grad, max=high_grad),
        samples=lambda new: (
            Sample(new(3, 5), min=low, max=high) for low, high in ((-1, 1), (None, 0.5), (0, None),
            (1, -1))),
    )  # fmt: skip


clamp = clamp_row("clamp_number(input, min=None, max=None)", "ClampBackward1", "")
clamp_tensor = clamp_row("clamp_tensor(input, min=None, max=None)", "ClampBackward0", "")


# ------------------------------------------------------------------ one operand


def signed(mode: Mode, input: Spec) -> tuple[DType, DType]:
    if input.dtype is dt.bool_:
        raise RuntimeError("Negation, the `-` operator, on a bool tensor is not supported. If you are "
                           "trying to invert a mask, use the `~` or `logical_not()` operator "
                           "instead.")  # fmt: skip
    return input.dtype, input.dtype


neg = elementwise(
    "neg(input)",
    aliases="negative",
    dtype=signed,
    numpy=lambda x: -x,
    scalar=lambda k, x: -x,
    grad=dict(input=lambda g: g.neg()),
    samples=unary(),
)

abs_ = elementwise(
    "abs(input)",
    aliases="absolute",
    dtype=not_for("b", "abs_cpu", same),
    numpy=np.abs,
    scalar=lambda k, x: k.abs(x),
    grad=dict(input=lambda g, input: g * input.sgn()),
    samples=unary(),
)


def sign_numpy(x: Any) -> Any:
    """NaN has no sign here: 0."""
    return x if x.dtype.kind == "b" else (x > 0).astype(x.dtype) - (x < 0).astype(x.dtype)


sign = elementwise(
    "sign(input)",
    dtype=same,
    numpy=sign_numpy,
    scalar=lambda k, x: k.sign(x),
    grad=dict(input=zeros),
    samples=unary(),
)

sgn = elementwise(  # as sign, for real numbers
    "sgn(input)",
    dtype=same,
    numpy=sign_numpy,
    scalar=lambda k, x: k.sign(x),
    grad=dict(input=zeros),
    samples=unary(),
)

reciprocal = elementwise(
    "reciprocal(input)",
    dtype=to_float,
    numpy=lambda x: 1 / x,
    scalar=lambda k, x: 1 / x,
    grad=dict(input=lambda g, out: -g * (out * out)),
    samples=unary(),
)
