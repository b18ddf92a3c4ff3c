"""Elementwise rows: functions of two reals, greatest common divisors, exponents of floats."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.dtype import DType
from flambeau.ir.layout import Spec
from flambeau.ops import angles
from flambeau.ops.declare import elementwise, elementwise_result, structured
from flambeau.ops.rules import (
    if_tensor,
    not_for,
    real_only,
    same,
    tensors_only,
    to_float,
    zeros,
)
from flambeau.ops.samples import binary, no_samples, unary
from flambeau.trace.modes import Mode

# ------------------------------------------------------------------ angles and lengths


def atan2_scalar(k: Any, y: Any, x: Any) -> Any:
    """The angle whose tan is the smaller over the larger, moved to its octant."""
    across, up = k.abs(x), k.abs(y)
    steep = up > across
    low, high = k.where(steep, across, up), k.where(steep, up, across)
    endless = k.eq(low, math.inf)
    ratio = k.where(endless, 1.0, k.where(k.eq(high, 0), 0.0, low / high))
    angle = angles.atan(k, ratio)
    angle = k.where(steep, math.pi / 2 - angle, angle)
    left = k.copysign(1.0, x) < 0
    angle = k.copysign(k.where(left, math.pi - angle, angle), y)
    return k.where(k.isnan(x) | k.isnan(y), x + y, angle)


def per_square(x: Any, y: Any) -> Any:
    """1 / (x² + y²), and 0 at the origin."""
    square = x * x + y * y
    return square.reciprocal().masked_fill(square.eq(0), 0)


atan2 = elementwise(
    "atan2(input, other)",
    aliases="arctan2",
    dtype=not_for("c", "atan2_cpu", tensors_only("atan2", to_float)),
    numpy=np.arctan2,
    scalar=atan2_scalar,
    grad=dict(
        input=lambda g, input, other: g * (other * per_square(input, other)),
        other=lambda g, input, other: g * (-input * per_square(input, other)),
    ),
    samples=binary(numbers=False, nonzero=True),
)


def hypot_scalar(k: Any, x: Any, y: Any) -> Any:
    """Divided by the longer side, so that no square overflows."""
    a, b = k.abs(x), k.abs(y)
    long, short = k.where(a > b, a, b), k.where(a > b, b, a)
    ratio = k.where(k.eq(long, 0), 0.0, short / long)
    length = long * k.sqrt(1 + ratio * ratio)
    endless = k.eq(a, math.inf) | k.eq(b, math.inf)
    return k.where(endless, math.inf, k.where(k.isnan(x) | k.isnan(y), x + y, length))


hypot = elementwise(
    "hypot(input, other)",
    dtype=not_for("biuc", "hypot_cpu", tensors_only("hypot", same)),
    numpy=np.hypot,
    scalar=hypot_scalar,
    grad=dict(
        input=lambda g, input, out: g * (input / out),
        other=lambda g, other, out: g * (other / out),
    ),
    samples=binary(numbers=False, nonzero=True),
)


def degrees(name: str, node: str, factor: float) -> Any:
    return elementwise(
        f"{name}(input)",
        node=node,
        dtype=real_only(f"{name} is not supported for complex tensors.", to_float, RuntimeError),
        numpy=lambda x: x * x.dtype.type(factor),
        scalar=lambda k, x: x * factor,
        grad=dict(input=lambda g: g * factor),
        samples=unary(),
    )


deg2rad = degrees("deg2rad", "Deg2RadBackward0", math.pi / 180)
rad2deg = degrees("rad2deg", "Rad2DegBackward0", 180 / math.pi)


# ------------------------------------------------------------------ signs and steps


def sign_ratio(input: Any, out: Any) -> Any:
    """1 or -1; 0 at 0."""
    return (out / input).masked_fill(input.eq(0), 0)


copysign = elementwise(
    "copysign(input, other)",
    overload=if_tensor(1, 0, 1),
    dtype=not_for("c", "copysign_cpu", tensors_only("copysign", to_float, ("input",))),
    numpy=np.copysign,
    scalar=lambda k, x, y: k.copysign(x, y),
    grad=dict(input=lambda g, input, out: g * sign_ratio(input, out), other=zeros),
    samples=binary(nonzero=True),
)


def step_type(mode: Mode, input: Spec, values: Any) -> tuple[DType, DType]:
    dtype, result = real_only("heaviside is not yet implemented for complex tensors.",
                              tensors_only("heaviside", same), RuntimeError)(
                                  mode, input, values)  # fmt: skip
    if input.dtype is not values.dtype:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")
    return dtype, result


def refuse_step(g: Any) -> Any:
    raise RuntimeError("derivative for aten::heaviside is not implemented")


def step_numpy(x: Any, y: Any) -> Any:
    return np.where(x == 0, y, (x > 0).astype(x.dtype))


heaviside = elementwise(
    "heaviside(input, values)",
    out_type="exact",
    node="NotImplemented",
    dtype=step_type,
    numpy=step_numpy,
    scalar=lambda k, x, y: k.where(k.eq(x, 0), y, k.cast(0 < x, x.dtype)),
    grad=dict(input=refuse_step, values=refuse_step),
    samples=binary(numbers=False),
)


def next_number(x: Any, y: Any, digits: int | None) -> Any:
    """In float32 or float64, or in a narrow type of so many digits, widened to float32."""
    if digits is None:
        return np.nextafter(x, y)
    if digits == 10:
        return np.nextafter(x.astype(np.float16), y.astype(np.float16)).astype(np.float32)
    x, y = np.broadcast_arrays(x, y)
    grows = (y > x) == (x > 0)
    bits = np.ascontiguousarray(x).view(np.int32) + np.where(grows, 1 << 16, -(1 << 16))
    moved = bits.astype(np.int32).view(np.float32)
    moved = np.where(x == 0, np.copysign(np.float32(2.0**-133), y), moved)
    return np.where((x == y) | np.isnan(x) | np.isnan(y), x + y - x, moved)


nextafter = elementwise(
    "_nextafter(input, other, digits)",
    public="",
    node="NextafterBackward0",
    dtype=not_for("biuc", "nextafter_cpu", tensors_only("nextafter", same)),
    numpy=next_number,
    scalar=None,
    grad=dict(
        input=lambda g, input, other: g.masked_fill(input.eq(other), 0),
        other=zeros,
    ),
    samples=no_samples,
)


# ------------------------------------------------------------------ times a power of two


def ldexp_numpy(x: Any, y: Any) -> Any:
    """In two steps, since the power alone may overflow."""
    if x.dtype.kind == "c":
        return x * np.exp2(y)
    half = np.clip(np.floor(y / 2), -2000, 2000)
    return x * np.exp2(half) * np.exp2(y - half)


def ldexp_scalar(k: Any, x: Any, y: Any) -> Any:
    half = k.minimum(k.maximum(k.floor(y * 0.5), -2000.0), 2000.0)
    return x * k.exp2(half) * k.exp2(y - half)


ldexp = elementwise(
    "ldexp(input, other)",
    dtype=tensors_only("ldexp", to_float),
    numpy=ldexp_numpy,
    scalar=ldexp_scalar,
    grad=dict(
        input=lambda g, other: g * other.exp2(),
        other=lambda g, out: g * (out * math.log(2)),
    ),
    samples=binary(numbers=False),
)


# ------------------------------------------------------------------ extremes that pass over NaN


def passing_nan(name: str, numpy: Any, scalar: Any, wins: Any) -> Any:
    """fmax and fmin: the other number where one is NaN."""

    def chosen(input: Any, other: Any) -> Any:
        return wins(input, other).logical_or(other.isnan())

    return elementwise(
        f"{name}(input, other)",
        dtype=real_only(f"{name} not implemented for complex tensors.", tensors_only(name, same),
                        RuntimeError),
        inplace=False,
        numpy=numpy,
        scalar=lambda k, x, y: k.where(k.isnan(x), y, k.where(k.isnan(y), x, scalar(k, x, y))),
        grad=dict(
            input=lambda g, input, other: g.masked_fill(chosen(input, other).logical_not(), 0),
            other=lambda g, input, other: g.masked_fill(chosen(input, other), 0),
        ),
        samples=binary(numbers=False),
    )  # fmt: skip


# Of equal operands `k.maximum` and `k.minimum` take the second; PyTorch's fmax and fmin the first.
fmax = passing_nan("fmax", lambda x, y: np.where((x >= y) | (y != y), x, y),
                   lambda k, x, y: k.maximum(y, x), lambda x, y: x >= y)  # fmt: skip
fmin = passing_nan("fmin", lambda x, y: np.where((x <= y) | (y != y), x, y),
                   lambda k, x, y: k.minimum(y, x), lambda x, y: x <= y)  # fmt: skip


# ------------------------------------------------------------------ sums of exponentials


def logaddexp_numpy(x: Any, y: Any) -> Any:
    """Complex numbers: log(exp x + exp y), the larger real part taken out."""
    if x.dtype.kind != "c":
        return np.logaddexp(x, y)
    swap = x.real < y.real
    high, low = np.where(swap, y, x), np.where(swap, x, y)
    rest = np.where(high == low, x.dtype.type(0), low - high)
    return np.where(np.isnan(x) | np.isnan(y), x.dtype.type(complex(np.nan, np.nan)),
                    high + np.log1p(np.exp(rest)))  # fmt: skip


def sum_of_powers(exp: str, log1p: Any) -> Any:
    def scalar(k: Any, x: Any, y: Any) -> Any:
        high = k.maximum(x, y)
        rest = log1p(k, getattr(k, exp)(k.minimum(x, y) - high))
        return k.where(k.eq(x, y), high + log1p(k, getattr(k, exp)(x * 0)), high + rest)

    return scalar


def endless_scalar(inner: Any) -> Any:
    """Equal infinities: their difference would be NaN."""

    def scalar(k: Any, x: Any, y: Any) -> Any:
        both = k.eq(x, y) & k.eq(k.abs(x), math.inf)
        return k.where(both, x, inner(k, x, y))

    return scalar


def share(base: float) -> Any:
    """What of a sum of powers is this operand's."""

    def part(g: Any, x: Any, y: Any) -> Any:
        power = (y - x).exp() if base == math.e else (y - x).exp2()
        return g / (power + 1)

    return part


logaddexp = elementwise(
    "logaddexp(input, other)",
    dtype=not_for("biu", "logaddexp_cpu", tensors_only("logaddexp", same)),
    inplace=False,
    numpy=logaddexp_numpy,
    scalar=endless_scalar(sum_of_powers("exp", lambda k, x: k.log1p(x))),
    grad=dict(
        input=lambda g, input, other: share(math.e)(g, input, other),
        other=lambda g, input, other: share(math.e)(g, other, input),
    ),
    samples=binary(numbers=False),
)

logaddexp2 = elementwise(
    "logaddexp2(input, other)",
    dtype=not_for("biuc", "logaddexp2_cpu", tensors_only("logaddexp2", same)),
    inplace=False,
    numpy=np.logaddexp2,
    scalar=endless_scalar(sum_of_powers("exp2", lambda k, x: k.log1p(x) * (1 / math.log(2)))),
    grad=dict(
        input=lambda g, input, other: share(2)(g, input, other),
        other=lambda g, input, other: share(2)(g, other, input),
    ),
    samples=binary(numbers=False),
)


# ------------------------------------------------------------------ sinc


def sinc_numpy(x: Any) -> Any:
    """sin(πx) / (πx), and 1 at 0."""
    y = x * x.dtype.type(np.pi)
    return np.where(x == 0, x.dtype.type(1), np.sin(y) / np.where(y == 0, x.dtype.type(1), y))


def sinc_scalar(k: Any, x: Any) -> Any:
    y = x * math.pi
    return k.where(k.eq(x, 0), 1.0, k.sin(y) / y)


def sinc_grad(g: Any, input: Any, out: Any) -> Any:
    """(cos πx - sinc x) / x, and 0 at 0."""
    slope = ((input * math.pi).cos() - out) / input
    return g * slope.masked_fill(input.eq(0), 0)


sinc = elementwise(
    "sinc(input)",
    dtype=to_float,
    numpy=sinc_numpy,
    scalar=sinc_scalar,
    grad=dict(input=sinc_grad),
    samples=unary(),
)


# ------------------------------------------------------------------ whole numbers


def divisors(name: str, numpy: Any) -> Any:
    return elementwise(
        f"{name}(input, other)",
        dtype=not_for("bfc", f"{name}_cpu", tensors_only(name, same)),
        numpy=numpy,
        scalar=None,
        samples=binary(-20, 20, numbers=False),
    )


gcd = divisors("gcd", np.gcd)
lcm = divisors("lcm", np.lcm)


# ------------------------------------------------------------------ mantissa and exponent


def frexp_shape(mode: Mode, input: Spec) -> Any:
    if input.dtype.kind != "f":
        raise RuntimeError("torch.frexp() only supports floating-point dtypes")
    made = elementwise_result((input,), input.dtype)
    return made, (made[0], dt.int32, *made[2:])


frexp = structured(
    "_frexp(input)",
    public="",
    node="FrexpBackward0",
    shape=frexp_shape,
    numpy=np.frexp,
    grad=dict(input=lambda g, out1, input: g[0] / power_of_two(out1, input)),
    samples=no_samples,
)


def power_of_two(exponent: Any, like: Any) -> Any:
    return exponent.to(like.dtype).exp2()
