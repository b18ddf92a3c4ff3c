"""Elementwise rows: inverses and relatives of the error function, entropies, logits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.program import Number
from flambeau.ops.declare import elementwise
from flambeau.ops.functions import function_of
from flambeau.ops.gamma import late, wide_only
from flambeau.ops.rules import by_first, lifted, not_for, to_float
from flambeau.ops.samples import binary, no_samples, unary

ROOT_PI = math.sqrt(math.pi)

# First guesses of erf's inverse: M. Giles, 'Approximating the erfinv function', GPU Computing Gems,
# Jade edition, 2011; by w = -log(1 - y²), in w - 2.5 below 5, in √w - 3 above.
NEAR = (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
        -0.00125372503, -0.00417768164, 0.246640727, 1.50140941)  # fmt: skip
FAR = (-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
       -0.0076224613, 0.00943887047, 1.00167406, 2.83297682)  # fmt: skip
LEVELS = 24  # of the continued fraction of erfc, A&S 7.1.14, where that is less than 1e-6


def horner(t: Any, coefficients: tuple[float, ...]) -> Any:
    """The polynomial, constant coefficient last."""
    total = t * 0 + coefficients[0]
    for c in coefficients[1:]:
        total = total * t + c
    return total


def erfinv_scalar(k: Any, y: Any) -> Any:
    """Newton's steps in float64: on erf; in float64's tails, which erf cannot tell, on log erfc."""
    given, y = y, k.cast(y, dt.float64)
    size = k.abs(y)
    q = 1 - size
    w = -k.log(q * (1 + size))
    guess = k.where(w < 5, horner(w - 2.5, NEAR), horner(k.sqrt(w) - 3, FAR)) * size
    x = guess
    for _ in range(2 if given.dtype is dt.float64 else 1):
        x = x - (k.erf(x) - size) * (ROOT_PI / 2) * k.exp(x * x)
    if given.dtype is dt.float64:
        tail = k.where(w < 16, guess, k.sqrt(w - 0.5 * k.log(w * math.pi)))
        x = k.where(q < 0.15, tail_inverse(k, tail, q), x)
    x = k.where(size < 1, x, k.where(k.eq(size, 1), size * math.inf, math.nan))
    return k.cast(k.copysign(x, y), given.dtype)


def tail_inverse(k: Any, x: Any, q: Any) -> Any:
    """The x with log erfc(x) = log q, from one nearby between 1 and 6.

    The polynomial is as exact as erf itself needs; the last digits are the continued fraction's.
    """
    from flambeau.codegen.mathlib import ERF_LIMIT, ERFC  # of which an import has no need

    log_q, (_, centre) = k.log(q), ERF_LIMIT["double"]
    values = ERFC["double"]  # -log erfc(x) in x - centre
    slopes = tuple(n * c for n, c in enumerate(values))[1:]
    for _ in range(3):
        t = x - centre
        x = x - (horner(t, values[::-1]) + log_q) / horner(t, slopes[::-1])
    fraction = x
    for n in range(LEVELS, 0, -1):
        fraction = x + n / 2 / fraction
    scaled = 1 / (ROOT_PI * fraction)
    step = (k.log(scaled) - x * x - log_q) * scaled * (ROOT_PI / 2)
    return k.where(q < 1e-6, x + step, x)


erfinv = elementwise(
    "erfinv(input)",
    dtype=not_for("c", "erfinv_vml_cpu", to_float),
    numpy=late("errors", "erfinv"),
    scalar=erfinv_scalar,
    grad=dict(input=lambda g, out: g * (ROOT_PI / 2 * (out * out).exp())),
    samples=unary(-0.95, 0.95),
)

ndtri = elementwise(
    "special_ndtri(input)",
    public="",
    dtype=wide_only("ndtri_cpu"),
    inplace=False,
    numpy=late("errors", "ndtri"),
    scalar=None,
    grad=dict(input=lambda g, out: g * (math.sqrt(2 * math.pi) * (out * out / 2).exp())),
    samples=unary(0.05, 0.95),
)

log_ndtr = elementwise(
    "special_log_ndtr(input)",
    public="",
    dtype=wide_only("log_ndtr_cpu"),
    inplace=False,
    numpy=late("errors", "log_ndtr"),
    scalar=None,
    grad=dict(input=lambda g, input: g * math.sqrt(2 / math.pi) / ERFCX(input * -math.sqrt(0.5))),
    samples=unary(),
)

erfcx = elementwise(
    "special_erfcx(input)",
    public="",
    dtype=wide_only("erfcx_cpu"),
    inplace=False,
    numpy=late("errors", "erfcx"),
    scalar=None,
    grad=dict(input=lambda g, input, out: g * (input * out * 2 - 2 / ROOT_PI)),
    samples=unary(),
)
ERFCX: Any = function_of(erfcx)


def entropy(x: Any) -> Any:
    """-x log x; 0 at 0, -∞ below."""
    inside = np.where(x > 0, x, x.dtype.type(1))
    usual = np.where(x > 0, -x * np.log(inside), np.where(x == 0, x * 0, x.dtype.type(-np.inf)))
    return np.where(np.isnan(x), x, usual)


def entropy_scalar(k: Any, x: Any) -> Any:
    inner = k.where(x > 0, -x * k.log(x), k.where(k.eq(x, 0), x, -math.inf))
    return k.where(k.isnan(x), x, inner)


entr = elementwise(
    "special_entr(input)",
    public="",
    dtype=not_for("c", "entr_cpu", to_float),
    inplace=False,
    numpy=entropy,
    scalar=entropy_scalar,
    grad=dict(input=lambda g, input: g * -(input.log() + 1)),
    samples=unary(0.2, 3),
)


# ------------------------------------------------------------------ x log y


def which_number(input: Any, other: Any) -> int:
    """PyTorch's overloads: two tensors, a number first, a number last."""
    return 1 if isinstance(input, Number) else 2 if isinstance(other, Number) else 0


def product_with_log(name: str, kernel: str, function: str, **more: Any) -> Any:
    """x · log(y), or log(1 + y): 0 where x is, but NaN where y is."""
    from_one = function == "log1p"

    def numpy(x: Any, y: Any) -> Any:
        usual = x * getattr(np, function)(y)
        zero = (x == 0) & ~np.isnan(y)
        return np.where(np.isnan(y), y, np.where(zero, usual.dtype.type(0), usual))

    def scalar(k: Any, x: Any, y: Any) -> Any:
        usual = k.where(k.eq(x, 0), 0.0, x * getattr(k, function)(y))
        return k.where(k.isnan(y), y, usual)

    def first_grad(g: Any, input: Any, other: Any) -> Any:
        none = input.eq(0).logical_and(other <= (-1 if from_one else 0))
        return row(g, other).masked_fill(none, 0)

    def second_grad(g: Any, input: Any, other: Any) -> Any:
        return g * input / (other + 1 if from_one else other)

    op = elementwise(
        f"{name}(input, other)",
        overload=which_number,
        dtype=not_for("c", kernel, to_float),
        numpy=numpy,
        scalar=scalar,
        grad=dict(
            input=lambda g, input, other: first_grad(g, input, lifted(other, g)),
            other=second_grad,
        ),
        samples=binary(low=0.2),
        **more,
    )
    row = function_of(op)
    return op


xlogy = product_with_log("xlogy", "xlogy_cpu", "log")
xlog1py = product_with_log("special_xlog1py", "xlog1py_cpu", "log1p", public="", inplace=False,
                           node="SpecialXlog1PyBackward0")  # fmt: skip


# ------------------------------------------------------------------ log-odds


def between(x: Any, low: Any, high: Any) -> Any:
    return x if low is None else np.clip(x, x.dtype.type(low), x.dtype.type(high))


def logit_numpy(x: Any, low: Any, high: Any) -> Any:
    x = between(x, low, high)
    return np.log(x / (1 - x))


def logit_scalar(k: Any, x: Any, low: Any, high: Any) -> Any:
    if low is not None:
        x = k.minimum(k.maximum(x, low), high)
    return k.where(k.eq(x, 1), math.inf, k.log(x / (1 - x)))


def logit_grad(g: Any, input: Any, call: Any) -> Any:
    """1 / (x (1 - x)) inside; outside 0 where bounds are given, else NaN."""
    low, high, outside = (0.0, 1.0, math.nan) if call.low is None else (call.low, call.high, 0.0)
    grad = g / (input * (1 - input))
    return grad.masked_fill((input >= low).logical_and(input <= high).logical_not(), outside)


logit = elementwise(
    "_logit(input, low=None, high=None)",
    public="",
    node="LogitBackward0",
    dtype=by_first(not_for("c", "logit_cpu", to_float)),
    numpy=logit_numpy,
    scalar=logit_scalar,
    grad=dict(input=logit_grad),
    samples=no_samples,
)
