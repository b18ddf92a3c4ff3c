"""Elementwise rows: activation functions. Their slopes and bounds are run-time numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.dtype import DType
from flambeau.ir.layout import Spec
from flambeau.ir.op import Op
from flambeau.ops.declare import composite, declare, elementwise
from flambeau.ops.functions import function_of
from flambeau.ops.join import cat
from flambeau.ops.power import at_least, bounded, bounded_numpy
from flambeau.ops.rules import by_first, not_for, one_dim, refuse_complex, same, wanted_again, zeros
from flambeau.ops.samples import Sample, no_samples, unary
from flambeau.ops.unary import mapped
from flambeau.trace.modes import Mode


def activation(signature: str, kernel: str, *, public: str = "nn.functional", samples: Any = None,
               kinds: str = "biuc", **more: Any) -> Op:  # fmt: skip
    """A function of one float; the other arguments are numbers."""
    return elementwise(signature, public=public, dtype=not_for(kinds, kernel, by_first(same)),
                       samples=samples or unary(), **more)  # fmt: skip


def with_numbers(*choices: dict[str, Any]) -> Callable[..., Any]:
    """Samples with other slopes and bounds than the usual ones."""

    def make(new: Any) -> Any:
        yield from unary()(new)
        for choice in choices:
            yield Sample(new(3, 7), **choice)

    return make


link = elementwise(  # the first operand, whose derivative with respect to the second is 0, not none
    "_link(input, other)",
    public="",
    inplace=False,
    dtype=by_first(same),
    numpy=lambda x, y: x,
    scalar=lambda k, x, y: x,
    grad=dict(input=lambda g: g, other=zeros),
    samples=no_samples,
)
LINK: Any = function_of(link)


def linked(slope: Any, input: Any) -> Any:
    """A derivative that is constant in pieces: its own is 0, where somebody may ask for it."""
    return LINK(slope, input) if wanted_again(input) else slope


def relu_type(mode: Mode, input: Spec) -> tuple[DType, DType]:
    if input.dtype is dt.bool_:
        raise RuntimeError("Boolean inputs not supported for relu")
    refuse_complex(input, "clamp is not supported for complex types", NotImplementedError)
    return input.dtype, input.dtype


relu = elementwise(
    "relu(input)",
    dtype=relu_type,
    numpy=lambda x: at_least(x, 0),
    scalar=lambda k, x: k.maximum(0, x),
    grad=dict(input=lambda g, out: linked(g.masked_fill(out <= 0, 0), out)),
    samples=unary(),
)

threshold = elementwise(
    "threshold(input, threshold, value)",
    public="torch nn.functional",
    numbers=("threshold", "value"),
    dtype=not_for("bc", "threshold_cpu", by_first(same)),
    numpy=lambda x, threshold, value: np.where(x <= threshold, value, x),
    scalar=lambda k, x, threshold, value: k.where(k.le(x, threshold), value, x),
    grad=dict(
        input=lambda g, input, call: linked(g.masked_fill(input <= call.threshold, 0), input)
    ),
    samples=lambda new: (Sample(new(3, 4), 0.5, value) for value in (0, 2)),
)


def shrunk_grad(g: Any, input: Any, call: Any) -> Any:
    return linked(g.masked_fill(input.abs() <= call.lambd, 0), input)


hardshrink = activation(
    "hardshrink(input, lambd=0.5)",
    "hardshrink_cpu",
    out_type="unary",
    public="torch Tensor nn.functional",
    inplace=False,
    numbers=("lambd",),
    numpy=lambda x, lambd: np.where(np.abs(x) <= lambd, 0, x),
    scalar=lambda k, x, lambd: k.where(k.abs(x) <= lambd, 0, x),
    grad=dict(input=shrunk_grad),
    samples=with_numbers(dict(lambd=1.2)),
)

softshrink = activation(
    "softshrink(input, lambd=0.5)",
    "softshrink_check",
    out_type="unary",
    public="",
    inplace=False,
    numbers=("lambd",),
    numpy=lambda x, y: np.where(np.abs(x) <= y, 0, np.where(x > y, x - y, x + y)),
    scalar=lambda k, x, y: k.where(k.abs(x) <= y, 0, k.where(x > y, x - y, x + y)),
    grad=dict(input=shrunk_grad),
    samples=with_numbers(dict(lambd=1.2)),
)


def leaky_grad(g: Any, input: Any, call: Any) -> Any:
    return linked(g.where(input > 0, g * call.negative_slope), input)


leaky_relu = activation(
    "leaky_relu(input, negative_slope=0.01)",
    "leaky_relu_cpu",
    numbers=("negative_slope",),
    numpy=lambda x, slope: np.where(x > 0, x, x * np.asarray(slope, x.dtype)),
    scalar=lambda k, x, slope: k.where(x > 0, x, x * slope),
    grad=dict(input=leaky_grad),
    samples=with_numbers(dict(negative_slope=0.3), dict(negative_slope=-1.5)),
)


def elu_numpy(x: Any, alpha: Any, scale: Any, input_scale: Any) -> Any:
    alpha, scale, input_scale = (np.asarray(n, x.dtype) for n in (alpha, scale, input_scale))
    return np.where(x > 0, x * scale, np.expm1(x * input_scale) * (alpha * scale))


def elu_scalar(k: Any, x: Any, alpha: Any, scale: Any, input_scale: Any) -> Any:
    return k.where(x > 0, x * scale, k.expm1(x * input_scale) * alpha * scale)


def elu_grad(g: Any, input: Any, call: Any) -> Any:
    scaled = g * call.scale
    left = (input * call.input_scale).exp() * scaled * call.alpha * call.input_scale
    return scaled.where(input > 0, left)


def elu_row(name: str, node: str) -> Op:
    return activation(
        f"{name}(input, alpha=1.0, scale=1.0, input_scale=1.0)",
        "elu_cpu",
        out_type="unary",
        public="",
        node=node,
        numbers=("alpha", "scale", "input_scale"),
        numpy=elu_numpy,
        scalar=elu_scalar,
        grad=dict(input=elu_grad),
        samples=with_numbers(dict(alpha=1.6), dict(alpha=1.6, scale=1.05, input_scale=0.7)),
    )


elu = elu_row("elu", "EluBackward0")
celu = elu_row("celu_scaled", "CeluBackward0")


def hardtanh_type(mode: Mode, input: Spec, *bounds: Any) -> tuple[DType, DType]:
    if input.dtype is dt.bool_:
        raise RuntimeError("Bool inputs not supported for hardtanh")
    if input.dtype is dt.uint8 and any(isinstance(b, float) and b < 0 for b in bounds):
        raise RuntimeError("cannot do hardtanh on an unsigned type with negative limits")
    refuse_complex(input, "clamp is not supported for complex types", NotImplementedError)
    return input.dtype, input.dtype


def hardtanh_grad(g: Any, input: Any, call: Any) -> Any:
    outside = (input <= call.min_val).logical_or(input >= call.max_val)
    return linked(g.masked_fill(outside, 0), input)


hardtanh = elementwise(
    "hardtanh(input, min_val=-1.0, max_val=1.0)",
    public="nn.functional",
    numbers=("min_val", "max_val"),
    dtype=hardtanh_type,
    numpy=bounded_numpy,
    scalar=bounded,
    grad=dict(input=hardtanh_grad),
    samples=with_numbers(dict(min_val=0.0, max_val=6.0)),
)


# ------------------------------------------------------------------ smooth ones


def softplus_numpy(x: Any, beta: Any, threshold: Any) -> Any:
    """A straight line where the exponential would swamp the 1."""
    beta = np.asarray(beta, x.dtype)
    return np.where(x * beta > threshold, x, np.log1p(np.exp(x * beta)) / beta)


def softplus_scalar(k: Any, x: Any, beta: Any, threshold: Any) -> Any:
    return k.where(k.gt(x * beta, threshold), x, k.log1p(k.exp(x * beta)) / beta)


def softplus_grad(g: Any, input: Any, call: Any) -> Any:
    scaled = input * call.beta
    return g.where(scaled > call.threshold, g * scaled.sigmoid())


softplus = activation(
    "softplus(input, beta=1.0, threshold=20.0)",
    "softplus_cpu",
    out_type="unary",
    numbers=("beta", "threshold"),
    numpy=softplus_numpy,
    scalar=softplus_scalar,
    grad=dict(input=softplus_grad),
    samples=with_numbers(dict(beta=2.0), dict(beta=0.5, threshold=0.2)),
)


def silu_grad(g: Any, input: Any) -> Any:
    s = input.sigmoid()
    return g * (s * (1 + input * (1 - s)))


silu = activation(
    "silu(input)",
    "silu_cpu",
    kinds="biu",
    numpy=lambda x: x / (1 + np.exp(-x)),
    scalar=lambda k, x: x / (1 + k.exp(-x)),
    grad=dict(input=silu_grad),
)

HALF_ROOT, DENSITY = math.sqrt(0.5), 1 / math.sqrt(2 * math.pi)
TANH_SCALE, CUBIC = math.sqrt(2 / math.pi), 0.044715


def gelu_numpy(x: Any, approximate: str) -> Any:
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(TANH_SCALE * (x + CUBIC * x * x * x)))
    return 0.5 * x * (1 + ERF(x * HALF_ROOT))


ERF = mapped(math.erf)


# The share of a normal distribution below -u: exp(-u²/2) · t · P(t) with t = 1 / (1 + TAIL u); a
# minimax fit of our own for float32, of the form that C. Hastings gave (Approximations for Digital
# Computers, 1955).
TAIL = 0.265
BELOW = (0.10574214160442352, 0.10523667931556702, 0.10277276486158371, 0.060028839856386185,
         0.1386321783065796, -0.11736637353897095, 0.21871331334114075, -0.1446746289730072,
         0.030915092676877975)  # fmt: skip


def normal(k: Any, x: Any) -> tuple[Any, Any]:
    """The share of a normal distribution below x, and exp(-x²/2), which that one needs too."""
    bell = k.exp(x * x * -0.5)
    if x.dtype is not dt.float32:
        return 0.5 * (1 + k.erf(x * HALF_ROOT)), bell
    t = 1 / k.fma(k.abs(x), TAIL, 1.0)
    share = k.number(BELOW[-1], x.dtype)
    for coefficient in reversed(BELOW[:-1]):
        share = k.fma(share, t, coefficient)
    share = bell * (t * share)
    return k.where(x > 0, 1 - share, share), bell


def gelu_scalar(k: Any, x: Any, approximate: str) -> Any:
    if approximate == "tanh":
        return 0.5 * x * (1 + k.tanh(TANH_SCALE * (x + CUBIC * x * x * x)))
    return x * normal(k, x)[0]


def gelu_slope_scalar(k: Any, x: Any, approximate: str) -> Any:
    """Shares the error function with gelu where both are computed."""
    if approximate == "tanh":
        t = k.tanh(TANH_SCALE * (x + CUBIC * x * x * x))
        inner = (1 + 3 * CUBIC * x * x) * TANH_SCALE
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * inner
    below, bell = normal(k, x)
    return below + x * (bell * DENSITY)


def gelu_slope_numpy(x: Any, approximate: str) -> Any:
    if approximate == "tanh":
        t = np.tanh(TANH_SCALE * (x + CUBIC * x**3))
        return (1 + t) / 2 + x / 2 * (1 - t * t) * (1 + 3 * CUBIC * x * x) * TANH_SCALE
    return (1 + ERF(x * HALF_ROOT)) / 2 + x * np.exp(-x * x / 2) * DENSITY


gelu_slope = elementwise(
    "_gelu_slope(input, *, approximate='none')",
    public="",
    inplace=False,
    dtype=by_first(same),
    numpy=gelu_slope_numpy,
    scalar=gelu_slope_scalar,
    samples=no_samples,  # tested through the derivative of gelu
)
GELU_SLOPE: Any = function_of(gelu_slope)


def gelu_grad(g: Any, input: Any, call: Any) -> Any:
    """As one call, unless it has to be differentiated again."""
    again = wanted_again(g, input)
    return g * (slope_of_gelu if again else GELU_SLOPE)(input, approximate=call.approximate)


def slope_of_gelu(input: Any, approximate: str) -> Any:
    """The derivative of x · cdf(x), or of its approximation."""
    if approximate == "tanh":
        square = input * input
        t = ((input + CUBIC * square * input) * TANH_SCALE).tanh()
        inner = (1 + 3 * CUBIC * square) * TANH_SCALE
        return 0.5 * (1 + t) + 0.5 * input * (1 - t * t) * inner
    cdf = 0.5 * (1 + (input * HALF_ROOT).erf())
    return cdf + input * ((input * input * -0.5).exp() * DENSITY)


def gelu_arguments(input: Spec, approximate: str) -> tuple[Any, ...]:
    if approximate not in ("none", "tanh"):
        raise RuntimeError("approximate argument must be either none or tanh.")
    return input, approximate


gelu = activation(
    "gelu(input, *, approximate='none')",
    "GeluKernelImpl",
    out_type="unary",
    clean=gelu_arguments,
    numpy=gelu_numpy,
    scalar=gelu_scalar,
    grad=dict(input=gelu_grad),
    samples=with_numbers(dict(approximate="tanh")),
)


def logsigmoid_shape(mode: Mode, input: Spec) -> Any:
    """Row-major, unlike other elementwise results."""
    not_for("biuc", "log_sigmoid_cpu", same)(mode, input)
    return ((input.size, input.dtype),)


logsigmoid = declare(
    "elementwise",
    "logsigmoid(input)",
    out_type="unary",
    public="nn.functional",
    node="LogSigmoidBackward0",
    infer=logsigmoid_shape,
    compute=lambda mode, input: input.dtype,
    samples=unary(),
    numpy=lambda x: np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x))),
    scalar=lambda k, x: k.minimum(x, 0) - k.log1p(k.exp(-k.abs(x))),
    grad=dict(input=lambda g, input: g * input.neg().sigmoid()),
)


def mish_grad(g: Any, input: Any) -> Any:
    t = SOFTPLUS(input).tanh()
    return g * (t + input * input.sigmoid() * (1 - t * t))


def SOFTPLUS(x: Any) -> Any:  # noqa: N802 the row above, in terms that methods know
    return x.clamp_min(0) + (-x.abs()).exp().log1p()


mish = activation(
    "mish(input)",
    "mish_cpu",
    numpy=lambda x: x * np.tanh(np.log1p(np.exp(x))),
    scalar=lambda k, x: x * k.tanh(k.log1p(k.exp(x))),
    grad=dict(input=mish_grad),
)

hardsigmoid = activation(
    "hardsigmoid(input)",
    "hardsigmoid_cpu",
    numpy=lambda x: np.minimum(np.maximum(x + 3, 0), 6) / 6,
    scalar=lambda k, x: k.minimum(k.maximum(x + 3, 0), 6) / 6,
    grad=dict(input=lambda g, input: (g * (1 / 6)).masked_fill(input.abs() >= 3, 0)),
)


def hardswish_grad(g: Any, input: Any) -> Any:
    middle = (g * (input / 3 + 0.5)).masked_fill(input <= -3, 0)
    return g.where(input >= 3, middle)


hardswish = activation(
    "hardswish(input)",
    "hardswish_cpu",
    numpy=lambda x: x * np.minimum(np.maximum(x + 3, 0), 6) / 6,
    scalar=lambda k, x: x * k.minimum(k.maximum(x + 3, 0), 6) / 6,
    grad=dict(input=hardswish_grad),
)


# ------------------------------------------------------------------ two tensors

prelu_kernel = elementwise(
    "_prelu_kernel(input, weight)",
    public="",
    node="PreluKernelBackward0",
    inplace=False,
    dtype=not_for("biuc", "prelu_cpu", same),
    numpy=lambda x, w: np.where(x > 0, x, w * x),
    scalar=lambda k, x, w: k.where(x > 0, x, w * x),
    grad=dict(
        input=lambda g, input, weight: linked(g.where(input > 0, g * weight), input),
        weight=lambda g, input: (g * input).masked_fill(input > 0, 0),
    ),
    samples=lambda new: (Sample(new(*size), new(3)) for size in ((3,), (2, 3), (0, 3), (17, 3))),
)

rrelu_with_noise = elementwise(
    "_rrelu_with_noise(input, other)",
    public="",
    node="RreluWithNoiseBackward0",
    inplace=False,
    dtype=same,
    numpy=lambda x, noise: x * noise,
    scalar=lambda k, x, noise: x * noise,
    grad=dict(input=lambda g, other, out: linked(g * other, out)),
    samples=lambda new: (Sample(new(*size), new(*size)) for size in ((), (2, 3), (0,), (17, 33))),
)


def glu_arguments(input: Spec, dim: Any) -> tuple[Any, ...]:
    if not input.size:
        raise RuntimeError("glu does not support scalars because halving size must be even")
    dim = one_dim(dim, input.ndim)
    if input.size[dim] % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim} is size "
                           f"{input.size[dim]}")  # fmt: skip
    return input, dim


def glu_shape(mode: Mode, input: Spec, dim: int) -> Any:
    if input.dtype.kind != "f":
        raise NotImplementedError(f"\"glu_cpu\" not implemented for '{input.dtype.legacy}'")
    size = (*input.size[:dim], input.size[dim] // 2, *input.size[dim + 1 :])
    return ((size, input.dtype),)


def glu_expand(input: Any, dim: int) -> Any:
    first, second = input.chunk(2, dim)
    return first * second.sigmoid()


def glu_grad(g: Any, input: Any, call: Any) -> Any:
    first, second = input.chunk(2, call.dim)
    s = second.sigmoid()
    return CAT([g * s, g * first * (s * (1 - s))], call.dim)


CAT: Any = function_of(cat)

glu = composite(
    "_glu(input, dim)",
    public="",
    node="GluBackward0",
    clean=glu_arguments,
    shape=glu_shape,
    expand=glu_expand,
    grad=dict(input=glu_grad),
    samples=lambda new: (
        Sample(new(*size), dim) for size, dim in (((4,), 0), ((2, 6), -1), ((4, 3), 0), ((0, 4), 1))
    ),
)
