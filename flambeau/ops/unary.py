"""Elementwise rows: functions of one real number, and rounding."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.dtype import DType
from flambeau.ir.layout import Spec
from flambeau.ir.op import Op
from flambeau.ops import angles
from flambeau.ops.declare import elementwise, elementwise_result, structured
from flambeau.ops.rules import not_for, real_only, same, to_float, zeros
from flambeau.ops.samples import Sample, unary
from flambeau.trace.modes import Mode

LN2, LN10 = math.log(2), math.log(10)


def curve(signature: str, numpy: Callable[..., Any], scalar: Callable[..., Any],
          grad: Callable[..., Any], low: float = -3.0, high: float = 3.0,
          dtype: Callable[..., Any] = to_float, **more: Any) -> Op:  # fmt: skip
    """A function of one number; integers become the default float."""
    return elementwise(
        signature, dtype=dtype, numpy=numpy, scalar=scalar, grad=dict(input=grad),
        samples=unary(low, high), **more,
    )  # fmt: skip


exp = curve("exp(input)", np.exp, lambda k, x: k.exp(x), lambda g, out: g * out)
exp2 = curve("exp2(input)", np.exp2, lambda k, x: k.exp2(x), lambda g, out: g * out * LN2)
expm1 = curve("expm1(input)", np.expm1, lambda k, x: k.expm1(x), lambda g, out: g * (out + 1))
log = curve("log(input)", np.log, lambda k, x: k.log(x), lambda g, input: g / input, low=0.2)
log2 = curve(
    "log2(input)", np.log2, lambda k, x: k.log2(x), lambda g, input: g / (input * LN2), low=0.2
)
log10 = curve(
    "log10(input)", np.log10, lambda k, x: k.log10(x), lambda g, input: g / (input * LN10), low=0.2
)
log1p = curve(
    "log1p(input)", np.log1p, lambda k, x: k.log1p(x), lambda g, input: g / (input + 1), low=-0.8,
    node="Log1PBackward0",
)  # fmt: skip
sqrt = curve("sqrt(input)", np.sqrt, lambda k, x: k.sqrt(x), lambda g, out: g / (out * 2), low=0.2)
rsqrt = curve(
    "rsqrt(input)", lambda x: 1 / np.sqrt(x), lambda k, x: k.rsqrt(x),
    lambda g, out: g * -0.5 * (out * out * out), low=0.2,
)  # fmt: skip
sin = curve("sin(input)", np.sin, lambda k, x: k.sin(x), lambda g, input: g * input.cos())
cos = curve("cos(input)", np.cos, lambda k, x: k.cos(x), lambda g, input: g * -input.sin())
tan = curve(
    "tan(input)", np.tan, lambda k, x: k.tan(x), lambda g, out: g * (out * out + 1), -1.2, 1.2
)
asin = curve(
    "asin(input)", np.arcsin, angles.asin,
    lambda g, input: g * (1 - input * input).rsqrt(), -0.9, 0.9, aliases="arcsin",
)  # fmt: skip
acos = curve(
    "acos(input)", np.arccos, angles.acos,
    lambda g, input: g * -(1 - input * input).rsqrt(), -0.9, 0.9, aliases="arccos",
)  # fmt: skip
atan = curve(
    "atan(input)", np.arctan, angles.atan,
    lambda g, input: g / (input * input + 1), aliases="arctan",
)  # fmt: skip
sinh = curve("sinh(input)", np.sinh, angles.sinh, lambda g, input: g * input.cosh())
cosh = curve("cosh(input)", np.cosh, angles.cosh, lambda g, input: g * input.sinh())
tanh = curve("tanh(input)", np.tanh, lambda k, x: k.tanh(x), lambda g, out: g * (1 - out * out))
asinh = curve(
    "asinh(input)", np.arcsinh, angles.asinh,
    lambda g, input: g * (input * input + 1).rsqrt(), aliases="arcsinh",
)  # fmt: skip
acosh = curve(
    "acosh(input)", np.arccosh, angles.acosh,
    lambda g, input: g * (input * input - 1).rsqrt(), 1.2, 4.0, aliases="arccosh",
)  # fmt: skip
atanh = curve(
    "atanh(input)", np.arctanh, angles.atanh,
    lambda g, input: g / (1 - input * input), -0.9, 0.9, aliases="arctanh",
)  # fmt: skip
sigmoid = curve(
    "sigmoid(input)", lambda x: 1 / (1 + np.exp(-x)), lambda k, x: k.sigmoid(x),
    lambda g, out: g * ((1 - out) * out), public="torch Tensor nn.functional special",
)  # fmt: skip


def mapped(function: Callable[[float], float]) -> Callable[..., Any]:
    """A function of Python's math module on arrays, for those that NumPy lacks."""
    ufunc = np.frompyfunc(function, 1, 1)
    return lambda x: np.asarray(ufunc(x.astype(np.float64))).astype(x.dtype)


erf = curve(
    "erf(input)", mapped(math.erf), lambda k, x: k.erf(x),
    lambda g, input: g * (input * input).neg().exp() * (2 / math.sqrt(math.pi)),
    dtype=not_for("c", "erf_vml_cpu", to_float),
    public="torch Tensor special",
)  # fmt: skip


def float_result(mode: Mode, input: Spec) -> Any:
    dtype = not_for("c", "erfc_vml_cpu", to_float)(mode, input)[1]
    return (elementwise_result((input,), dtype),)


def erfc_numpy(x: Any) -> Any:
    return ERFC(x if x.dtype.kind == "f" else x.astype(np.float32))


ERFC = mapped(math.erfc)
erfc = structured(  # no kernel yet: 1 - erf(x) would lose the tail
    "erfc(input)",
    out_type="promotes",
    public="torch Tensor special",
    shape=float_result,
    numpy=erfc_numpy,
    inplace=True,
    grad=dict(input=lambda g, input: g * (input * input).neg().exp() * (-2 / math.sqrt(math.pi))),
    samples=unary(),
)


# ------------------------------------------------------------------ rounding


def rounding(name: str, numpy: Callable[..., Any], scalar: Callable[..., Any]) -> Op:
    """Integers stay as they are."""
    return elementwise(
        f"{name}(input)",
        out_type="unary",
        dtype=real_only(
            f"{name} is not supported for complex inputs", not_for("b", f"{name}_vml_cpu", same)
        ),
        numpy=lambda x: numpy(x) if x.dtype.kind == "f" else x,
        scalar=scalar,
        grad=dict(input=zeros),
        samples=unary(kinked=True),
    )


floor = rounding("floor", np.floor, lambda k, x: k.floor(x))
ceil = rounding("ceil", np.ceil, lambda k, x: k.ceil(x))
trunc = elementwise(
    "trunc(input)",
    out_type="unary",
    aliases="fix",
    dtype=real_only(
        "trunc is not supported for complex inputs", not_for("b", "trunc_vml_cpu", same)
    ),
    numpy=lambda x: np.trunc(x) if x.dtype.kind == "f" else x,
    scalar=lambda k, x: k.trunc(x),
    grad=dict(input=zeros),
    samples=unary(),
)


def round_numpy(x: Any, decimals: int) -> Any:
    """Halves to the even one; with decimals, of the number scaled."""
    if x.dtype.kind != "f":
        return x
    if not decimals:
        return np.rint(x)
    scale = x.dtype.type(10 ** abs(decimals))
    return np.rint(x * scale) / scale if decimals > 0 else np.rint(x / scale) * scale


def round_scalar(k: Any, x: Any, decimals: int) -> Any:
    scale = float(10 ** abs(decimals))
    if not decimals:
        return k.round(x)
    return k.round(x * scale) / scale if decimals > 0 else k.round(x / scale) * scale


def round_type(mode: Mode, input: Spec, decimals: int) -> tuple[DType, DType]:
    kinds, kernel = ("biuc", "round_cpu") if decimals else ("bc", "round_vml_cpu")
    return not_for(kinds, kernel, same)(mode, input)


round_ = elementwise(
    "round(input, *, decimals=0)",
    out_type="unary",
    overload=lambda input, decimals: 1 if decimals else 0,
    dtype=round_type,
    numpy=round_numpy,
    scalar=round_scalar,
    grad=dict(input=zeros),
    samples=lambda new: (
        Sample(new(3, 40, low=-200, high=200), **more)
        for more in ({}, dict(decimals=2), dict(decimals=-1))
    ),
)

frac = elementwise(
    "frac(input)",
    out_type="unary",
    dtype=not_for("biuc", "frac_cpu", same),
    numpy=lambda x: x - np.trunc(x),
    scalar=lambda k, x: x - k.trunc(x),
    grad=dict(input=lambda g: g),
    samples=unary(kinked=True),
)


def replacements(input: Spec, nan: Any, posinf: Any, neginf: Any) -> tuple[Any, ...]:
    """What is not given: 0, and the largest and smallest number of the type."""
    if input.dtype.kind not in "fc":
        return input, nan, posinf, neginf
    largest = LARGEST[input.dtype.to_real()]
    return (input, 0.0 if nan is None else nan, largest if posinf is None else posinf,
            -largest if neginf is None else neginf)  # fmt: skip


LARGEST = {
    dt.float16: 65504.0,
    dt.bfloat16: 3.3895313892515355e38,
    dt.float32: float(np.finfo(np.float32).max),
    dt.float64: float(np.finfo(np.float64).max),
}


def replaced(x: Any, nan: Any, posinf: Any, neginf: Any) -> Any:
    if x.dtype.kind == "c":  # either part by itself
        numbers = [np.real(n) for n in (nan, posinf, neginf)]
        out = np.array(x)
        out.real, out.imag = replaced(x.real, *numbers), replaced(x.imag, *numbers)
        return out
    if x.dtype.kind != "f":
        return x
    x = np.where(np.isnan(x), x.dtype.type(nan), x)
    x = np.where(x == np.inf, x.dtype.type(posinf), x)
    return np.where(x == -np.inf, x.dtype.type(neginf), x)


def replaced_scalar(k: Any, x: Any, nan: Any, posinf: Any, neginf: Any) -> Any:
    if x.dtype.kind != "f":
        return x
    x = k.where(k.isnan(x), nan, x)
    x = k.where(k.eq(x, math.inf), posinf, x)
    return k.where(k.eq(x, -math.inf), neginf, x)


nan_to_num = elementwise(
    "nan_to_num(input, nan=None, posinf=None, neginf=None)",
    out_type="unary",
    numbers=("nan", "posinf", "neginf"),
    clean=replacements,
    dtype=lambda mode, input, *rest: (input.dtype, input.dtype),
    numpy=replaced,
    scalar=replaced_scalar,
    grad=dict(input=lambda g, input: g.masked_fill(input.isfinite().logical_not(), 0)),
    samples=unary(),
)
