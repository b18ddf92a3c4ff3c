"""Elementwise rows: powers, bounds, and arithmetic of one operand."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.dtype import DType
from flambeau.ir.layout import Spec
from flambeau.ir.program import Number
from flambeau.ops.declare import elementwise
from flambeau.ops.outs import by_operand
from flambeau.ops.rules import (
    if_tensor,
    lifted,
    not_for,
    promoted,
    real_only,
    same,
    tensors_only,
    to_float,
    zeros,
)
from flambeau.ops.samples import Sample, binary, unary
from flambeau.trace.modes import Mode

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
    if x.dtype.kind in "fc" and exponent in SMALL:
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
    if x.dtype.kind in "fc":
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
    return grad.masked_fill(base.eq(0).logical_and(exponent.real.ge(0)), 0)


power2 = elementwise(
    "pow_tensor(input, other)",
    public="",
    node="PowBackward1",
    overload=if_tensor(0, 1, 2),
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
    dtype=real_only(
        "maximum not implemented for complex tensors.", tensors_only("maximum", same), RuntimeError
    ),
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
    dtype=real_only(
        "minimum not implemented for complex tensors.", tensors_only("minimum", same), RuntimeError
    ),
    inplace=False,
    numpy=np.minimum,
    scalar=lambda k, x, y: k.minimum(x, y),
    grad=dict(
        input=lambda g, input, other: half_where_equal(g, input, other, input > other),
        other=lambda g, input, other: half_where_equal(g, input, other, input < other),
    ),
    samples=binary(numbers=False),
)


def at_least(x: Any, low: Any) -> Any:
    """Where both are zeros of different signs it is x, which `np.maximum` does not say."""
    return np.where(x >= low, x, np.maximum(x, low))


def at_most(x: Any, high: Any) -> Any:
    return np.where(x <= high, x, np.minimum(x, high))


def bounded_numpy(x: Any, low: Any, high: Any) -> Any:
    """The upper bound wins over the lower one."""
    x = x if low is None else at_least(x, low)
    return x if high is None else at_most(x, high)


def bounded(k: Any, x: Any, low: Any, high: Any) -> Any:
    """Of equal operands `k.maximum` and `k.minimum` take the second."""
    x = x if low is None else k.maximum(low, x)
    return x if high is None else k.minimum(high, x)


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
    rule = not_for("b", "clamp_scalar_cpu", same)
    return real_only("clamp is not supported for complex types", rule)(mode, input, *bounds)


def clamp_row(signature: str, node: str, out_type: str) -> Any:
    """Numbers and tensors as bounds have nodes of different names."""
    return elementwise(
        signature,
        public="",
        out_type=out_type,
        node=node,
        dtype=clamp_type,
        numpy=bounded_numpy,
        scalar=bounded,
        grad=dict(input=clamp_grad, min=low_grad, max=high_grad),
        samples=lambda new: (
            Sample(new(3, 5), min=low, max=high) for low, high in ((-1, 1), (None, 0.5), (0, None),
            (1, -1))),
    )  # fmt: skip


def bound_type(kernel: str, pairwise: str) -> Any:
    """Truth values may be bounded by tensors, but not by a number."""
    by_number = real_only("clamp is not supported for complex types", not_for("b", kernel, same))
    by_tensor = not_for("c", pairwise, same)

    def types(mode: Mode, input: Any, bound: Any) -> tuple[DType, DType]:
        return (by_number if isinstance(bound, Number) else by_tensor)(mode, input, bound)

    return types


def one_bound(new: Any) -> Any:
    for bound in (0.5, new(3, 5), new(5)):
        yield Sample(new(3, 5), bound)


clamp_min = elementwise(
    "clamp_min(input, min)",
    out_type=by_operand,
    overload=if_tensor(1, 1, 0),
    dtype=tensors_only("clamp_min", bound_type("clamp_min_scalar_cpu", "maximum_cpu"), ("input",)),
    numpy=at_least,
    scalar=lambda k, x, low: k.maximum(low, x),
    grad=dict(
        input=lambda g, input, min: g.where(input >= min, 0),
        min=lambda g, input, min: g.where(input < min, 0),
    ),
    samples=one_bound,
)

clamp_max = elementwise(
    "clamp_max(input, max)",
    out_type=by_operand,
    overload=if_tensor(1, 1, 0),
    dtype=tensors_only("clamp_max", bound_type("clamp_max_scalar_cpu", "minimum_cpu"), ("input",)),
    numpy=at_most,
    scalar=lambda k, x, high: k.minimum(high, x),
    grad=dict(
        input=lambda g, input, max: g.where(input <= max, 0),
        max=lambda g, input, max: g.where(input > max, 0),
    ),
    samples=one_bound,
)

clamp = clamp_row("clamp_number(input, min=None, max=None)", "ClampBackward1", "unary")
clamp_tensor = clamp_row("clamp_tensor(input, min=None, max=None)", "ClampBackward0", "promotes")


# ------------------------------------------------------------------ one operand


def signed(mode: Mode, input: Spec) -> tuple[DType, DType]:
    if input.dtype is dt.bool_:
        raise RuntimeError("Negation, the `-` operator, on a bool tensor is not supported. If you "
                           "are trying to invert a mask, use the `~` or `logical_not()` operator "
                           "instead.")  # fmt: skip
    return input.dtype, input.dtype


neg = elementwise(
    "neg(input)",
    out_type="unary",
    aliases="negative",
    dtype=signed,
    numpy=lambda x: -x,
    scalar=lambda k, x: -x,
    grad=dict(input=lambda g: g.neg()),
    samples=unary(),
)

def size_type(mode: Mode, input: Spec) -> tuple[DType, DType]:
    """Real, of the input's precision."""
    dtype, _ = not_for("b", "abs_cpu", same)(mode, input)
    return dtype, dtype.to_real()


abs_ = elementwise(
    "abs(input)",
    out_type="unary",
    aliases="absolute",
    dtype=size_type,
    numpy=np.abs,
    scalar=lambda k, x: k.abs(x),
    grad=dict(input=lambda g, input: g * input.sgn()),
    holomorphic=False,
    samples=unary(),
)


def sign_numpy(x: Any) -> Any:
    """NaN has no sign here: 0."""
    if x.dtype.kind == "c":
        return unit_numpy(x)
    return x if x.dtype.kind == "b" else (x > 0).astype(x.dtype) - (x < 0).astype(x.dtype)


sign = elementwise(
    "sign(input)",
    out_type="unary",
    dtype=real_only(
        "Unlike NumPy, torch.sign is not intended to support complex numbers. "
        "Please use torch.sgn instead.",
        same,
    ),
    numpy=sign_numpy,
    scalar=lambda k, x: k.sign(x),
    grad=dict(input=zeros),
    samples=unary(),
)


def unit_numpy(x: Any) -> Any:
    """z / |z|, and 0 at 0."""
    size = np.abs(x)
    return np.where(size == 0, x.dtype.type(0), x / size)


def sgn_grad(g: Any, out: Any, input: Any) -> Any:
    """Only turning z changes z / |z|."""
    if not input.is_complex():
        return zeros(g)
    size = input.abs()
    along = (g - (out * (g.conj() * out).real)) / size
    return along.masked_fill(size.eq(0), 0)


sgn = elementwise(  # as sign, for real numbers
    "sgn(input)",
    out_type="unary",
    dtype=same,
    numpy=sign_numpy,
    scalar=lambda k, x: k.sign(x),
    grad=dict(input=sgn_grad),
    holomorphic=False,
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
