"""Elementwise rows: the gamma function's family, and Hurwitz' zeta function."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.dtype import DType
from flambeau.ir.layout import Spec
from flambeau.ops.declare import elementwise
from flambeau.ops.functions import function_of
from flambeau.ops.rules import if_tensor, lifted, not_for, same, tensors_only, to_float
from flambeau.ops.samples import Sample, binary, unary
from flambeau.trace.modes import Mode


def late(module: str, name: str) -> Callable[..., Any]:
    """A function of a module of runtime/ on floats of any precision; imported when first called."""

    def numpy(*operands: Any) -> Any:
        from importlib import import_module

        function = getattr(import_module(f"flambeau.runtime.{module}"), name)
        return np.asarray(function(*operands)).astype(np.result_type(*operands), copy=False)

    return numpy


def wide_only(kernel: str, rule: Any = to_float) -> Any:
    """float32 and float64 alone, integers as the default float."""

    def checked(mode: Mode, *facts: Any) -> tuple[DType, DType]:
        compute, result = rule(mode, *facts)
        if compute not in (dt.float32, dt.float64):
            raise NotImplementedError(f"\"{kernel}\" not implemented for '{compute.legacy}'")
        return compute, result

    return checked


# ------------------------------------------------------------------ one element
#
# Stirling's series from 8 on, A&S 6.1.41; left of it by the recurrence, left of 0 by reflection.
# Between its zeros at 1 and 2 lgamma is a polynomial, so that it is exact beside them too. All in
# float64: float32 is rounded once.

FROM = 8  # B(2k) / (2k (2k - 1)), and B(2k) / (2k)
STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400)
# lgamma(t) / ((t - 1) (t - 2)) between 1 and 2, in t - 3/2: a minimax fit of our own
BETWEEN = (0.4831289505409809, -0.14595989591430594, 0.06291140107456435, -0.03130848750105423,
           0.016797098631279702, -0.009425622444761953, 0.005446457838840932,
           -0.0032120742227816725, 0.001922916320235218, -0.0011644113394103637,
           0.0007115189559445563, -0.00043803554734578006, 0.0002713147559915473,
           -0.00016856941335518394, 0.00010534938557504574, -6.794605657660751e-05,
           4.304723996368261e-05, -2.147021791014069e-05, 1.3149128515634528e-05,
           -1.8542551860812964e-05, 1.2169573513892752e-05)  # fmt: skip
SLOPES = tuple((2 * n + 1) * c for n, c in enumerate(STIRLING))


def series(t: Any, coefficients: tuple[float, ...]) -> Any:
    """The polynomial, constant coefficient first."""
    total = t * 0 + coefficients[-1]
    for c in coefficients[-2::-1]:
        total = total * t + c
    return total


def off_whole(k: Any, x: Any) -> Any:
    """π times the distance from the nearest whole number: sin and tan there are exact zeros."""
    return (x - k.round(x)) * math.pi


def lgamma_scalar(k: Any, x: Any) -> Any:
    given, x = x, k.cast(x, dt.float64)
    left = x < 0
    z = k.where(left, 1 - x, x)
    small = z < FROM
    far = k.where(small, 8.0, z)
    value = (far - 0.5) * (k.log(far) - 1) + series(1 / (far * far), STIRLING) / far
    value = value + (0.5 * math.log(2 * math.pi) - 0.5)
    value = k.where(small, lgamma_below(k, k.where(small, z, 1.0)), value)
    mirrored = math.log(math.pi) - k.log(k.abs(k.sin(off_whole(k, x)))) - value
    value = k.where(left, mirrored, value)
    return k.cast(k.where(k.isinf(x), math.inf, value), given.dtype)


def lgamma_below(k: Any, z: Any) -> Any:
    """From 0 to 8: the polynomial at t = 1 + u = z - n, and log((z - 1) (z - 2) … t)."""
    first = z < 1  # n = -1
    u = k.where(first, z, z - 1)
    product = k.where(first, z, 1.0)
    for _ in range(FROM - 2):
        above = u >= 1
        product = k.where(above, product * u, product)
        u = k.where(above, u - 1, u)
    total = k.number(BETWEEN[-1], u.dtype)
    for c in BETWEEN[-2::-1]:
        total = k.fma(total, u - 0.5, c)
    log = k.log(product)
    return k.fma(u * (u - 1), total, k.where(first, -log, log))


def digamma_scalar(k: Any, x: Any) -> Any:
    given, x = x, k.cast(x, dt.float64)
    left = x < 0
    z = k.where(left, 1 - x, x)
    small = z < FROM
    short, total = k.where(small, z, 1.0), z * 0
    for n in range(FROM):
        total = total + 1 / (short + n)
    z = k.where(small, z + FROM, z)
    square = 1 / (z * z)
    value = k.log(z) - 0.5 / z - series(square, SLOPES) * square
    value = k.where(small, value - total, value)
    angle = off_whole(k, x)
    mirrored = k.where(k.eq(angle, 0), math.nan, value - math.pi / k.tan(angle))
    value = k.where(left, mirrored, k.where(k.eq(z, math.inf), x, value))
    return k.cast(k.where(k.eq(x, 0), -1 / x, value), given.dtype)


lgamma = elementwise(
    "lgamma(input)",
    dtype=not_for("c", "lgamma_vml_cpu", to_float),
    numpy=late("gamma", "lgamma"),
    scalar=lgamma_scalar,
    grad=dict(input=lambda g, input: g * input.digamma()),
    samples=unary(0.2, 6),
)

digamma = elementwise(
    "digamma(input)",
    dtype=not_for("c", "digamma", to_float),
    numpy=late("gamma", "digamma"),
    scalar=digamma_scalar,
    grad=dict(input=lambda g, input: g * POLYGAMMA(input, 1)),
    samples=unary(0.2, 6),
)


def clean_order(input: Spec, n: Any) -> tuple[Any, Any]:
    if isinstance(n, bool) or not isinstance(n, int):
        raise TypeError(f"polygamma(): argument 'n' (position 1) must be int, not "
                        f"{type(n).__name__}")  # fmt: skip
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    return input, n


def polygamma_type(mode: Mode, input: Spec, n: int) -> tuple[DType, DType]:
    kernel = ("digamma", "trigamma")[n] if n < 2 else "polygamma"
    return not_for("c", kernel, to_float)(mode, input)


def polygamma_numpy(x: Any, n: int) -> Any:
    from flambeau.runtime import gamma

    return gamma.polygamma(n, x).astype(x.dtype)


polygamma = elementwise(
    "polygamma(input, n)",
    public="",
    clean=clean_order,
    dtype=polygamma_type,
    numpy=polygamma_numpy,
    scalar=None,
    grad=dict(input=lambda g, input, call: g * POLYGAMMA(input, call.n + 1)),
    samples=lambda new: (Sample(new(3, 4, low=0.2, high=6), n) for n in (0, 1, 2, 5)),
)
POLYGAMMA: Any = function_of(polygamma)


def refuse_order(name: str) -> Callable[..., Any]:
    """The derivative by the first argument, which PyTorch lacks."""

    def refuse(g: Any) -> Any:
        raise NotImplementedError(f"the derivative for '{name}' is not implemented.")

    return refuse


def incomplete(name: str, function: str, sign: int) -> Any:
    """igamma and igammac: of the order and the bound."""

    def grad(g: Any, input: Any, other: Any) -> Any:
        return g * (sign * ((input - 1) * other.log() - other - input.lgamma()).exp())

    return elementwise(
        f"{name}(input, other)",
        dtype=not_for("biuc", f"{name}_cpu", tensors_only(name, same)),
        numpy=late("gamma", function),
        scalar=None,
        grad=dict(input=refuse_order(f"{name}: input"), other=grad),
        samples=binary(0.3, 5, numbers=False),
    )


igamma = incomplete("igamma", "lower_gamma", 1)
igammac = incomplete("igammac", "upper_gamma", -1)

zeta = elementwise(
    "special_zeta(input, other)",
    public="",
    overload=lambda input, other: 1 if not isinstance(input, Spec) else if_tensor(1, 0, 2)(
        input, other
    ),
    dtype=wide_only("zeta_cpu"),
    inplace=False,
    numpy=late("gamma", "zeta"),
    scalar=None,
    grad=dict(
        input=refuse_order("zeta"),
        other=lambda g, input, other: g * -input * ZETA(lifted(input, g) + 1, other),
    ),
    samples=binary(1.2, 5),
)  # fmt: skip
ZETA: Any = function_of(zeta)
