"""Composite rows along dims: softmax and its kin, variance, norms.

float16 and bfloat16 are computed in float32 from end to end, and rounded once.
"""

from __future__ import annotations

import math
from typing import Any

from flambeau.ir import dtype as dt
from flambeau.ir.dtype import DType
from flambeau.ir.layout import Spec
from flambeau.ir.op import Op
from flambeau.ops.declare import composite
from flambeau.ops.reduce import clean_dims, count_of, reductions, spread
from flambeau.ops.rules import one_dim, without_dims
from flambeau.ops.samples import Sample
from flambeau.ops.scan import along_one_dim
from flambeau.trace.modes import Mode


def wide(x: Any) -> Any:
    """In the type to compute in."""
    return x.to(dt.compute_dtype(x.dtype))


# ------------------------------------------------------------------ softmax


def softmax_arguments(input: Spec, dim: Any, dtype: Any) -> tuple[Any, ...]:
    return input, one_dim(dim, input.ndim), dtype


def softmax_shape(kernel: str) -> Any:
    def shape(mode: Mode, input: Spec, dim: int, dtype: DType | None) -> Any:
        result = dtype or input.dtype
        if result.kind != "f" and input.numel:
            raise NotImplementedError(f"\"{kernel}_lastdim_kernel_impl\" not implemented for "
                                      f"'{result.legacy}'")  # fmt: skip
        return ((input.size, result),)

    return shape


def shifted(input: Any, dim: int, dtype: DType | None) -> Any:
    """x - max x, which keeps exp in range."""
    x = wide(input if dtype is None else input.to(dtype))
    return x - x.amax((dim,), keepdim=True)


def softmax_expand(input: Any, dim: int, dtype: DType | None) -> Any:
    if not input.numel():
        return input.to(dtype or input.dtype).clone()
    e = shifted(input, dim, dtype).exp()
    share = e.sum((dim,), keepdim=True).reciprocal()  # a product costs a fraction of a division
    return (e * share).to(dtype or input.dtype)


def softmax_grad(g: Any, out: Any, call: Any) -> Any:
    g, y = wide(g), wide(out)
    product = g * y
    return product - y * product.sum((call.dim,), keepdim=True)


softmax = composite(
    "softmax(input, dim, dtype=None)",
    clean=softmax_arguments,
    shape=softmax_shape("softmax"),
    expand=softmax_expand,
    grad=dict(input=softmax_grad),
    samples=along_one_dim(),
)


def log_softmax_expand(input: Any, dim: int, dtype: DType | None) -> Any:
    if not input.numel():
        return input.to(dtype or input.dtype).clone()
    x = shifted(input, dim, dtype)
    return (x - x.exp().sum((dim,), keepdim=True).log()).to(dtype or input.dtype)


def log_softmax_grad(g: Any, out: Any, call: Any) -> Any:
    g = wide(g)
    return g - wide(out).exp() * g.sum((call.dim,), keepdim=True)


log_softmax = composite(
    "log_softmax(input, dim, dtype=None)",
    clean=softmax_arguments,
    shape=softmax_shape("log_softmax"),
    expand=log_softmax_expand,
    grad=dict(input=log_softmax_grad),
    samples=along_one_dim(),
)


# ------------------------------------------------------------------ logsumexp


def logsumexp_shape(mode: Mode, input: Spec, dim: Any, keepdim: bool) -> Any:
    dtype = input.dtype if input.dtype.kind in "fc" else mode.default_dtype
    return ((without_dims(input.size, dim, keepdim), dtype),)


def logsumexp_expand(input: Any, dim: Any, keepdim: bool) -> Any:
    """log of the sum of exp, shifted by the maximum where that is finite."""
    result = input.dtype if input.dtype.kind in "fc" else dt.float32
    x = wide(input.to(result))
    if not x.numel():
        return x.exp().sum(dim, keepdim=keepdim).log().to(result)
    top = (x.real if x.is_complex() else x).amax(dim, keepdim=True)
    top = top.masked_fill(top.abs() == math.inf, 0)
    total = (x - top).exp().sum(dim, keepdim=keepdim).log()
    return (total + (top if keepdim else top.reshape(total.shape))).to(result)


def logsumexp_arguments(input: Spec, dim: Any, keepdim: Any) -> tuple[Any, ...]:
    if dim is None:
        raise TypeError(
            "logsumexp(): argument 'dim' (position 2) must be tuple of ints, not NoneType"
        )
    return clean_dims(input, dim, keepdim)


logsumexp = composite(
    "logsumexp(input, dim, keepdim=False)",
    out_type="promotes",
    clean=logsumexp_arguments,
    shape=logsumexp_shape,
    expand=logsumexp_expand,
    grad=dict(
        input=lambda g, input, out, call: spread(g, call) * (input - spread(out, call)).exp()
    ),
    samples=reductions(whole=False),
)


# ------------------------------------------------------------------ variance


def variance_type(name: str, input: Spec) -> DType:
    if input.dtype.kind not in "fc":
        raise RuntimeError(f"{name} only support floating point and complex dtypes")
    return input.dtype


def variance_arguments(input: Spec, dim: Any, correction: Any, keepdim: Any) -> tuple[Any, ...]:
    return input, clean_dims(input, dim)[1], correction, bool(keepdim)


def variance_shape(name: str, results: int) -> Any:
    def shape(mode: Mode, input: Spec, dim: Any, correction: Any, keepdim: bool) -> Any:
        dtype = variance_type(name, input)
        size = without_dims(input.size, dim, keepdim)
        return ((size, dtype.to_real()), (size, dtype))[:results]

    return shape


def freedom(numel: int, correction: float) -> float:
    """How many of the deviations are free."""
    return max(numel - correction, 0)


def squares(x: Any) -> Any:
    """|x|², which is real."""
    return (x * x.conj()).real if x.is_complex() else x * x


def moments(input: Any, dim: Any, correction: Any, keepdim: bool) -> tuple[Any, Any]:
    """Variance and mean, in two passes."""
    x = wide(input)
    mean = x.mean(dim, keepdim=True)
    off = x - mean
    n = 1
    for d in dim:
        n *= x.shape[d]
    variance = squares(off).sum(dim, keepdim=keepdim) / freedom(n, correction)
    return variance, mean if keepdim else mean.reshape(variance.shape)


def variance_grad(g: Any, input: Any, call: Any) -> Any:
    """2 (x - mean) / (n - correction)."""
    n = freedom(count_of(call), call.correction)
    off = input - input.mean(call.dim, keepdim=True)
    factor = 2 / n if n else math.inf
    return spread(g, call) * (off * factor)


def deviation_grad(g: Any, input: Any, out: Any, call: Any) -> Any:
    return variance_grad((g / (out * 2)).masked_fill(out == 0, 0), input, call)


def mean_part(g: Any, call: Any) -> Any:
    return spread(g, call) / max(count_of(call), 1)


def variance_row(name: str, expand: Any, grad: Any, results: int = 1) -> Op:
    """var, std and their forms with the mean."""
    return composite(
        f"{name}(input, dim, correction, keepdim)",
        public="",
        clean=variance_arguments,
        shape=variance_shape("std and var" if results == 1 else name, results),
        expand=expand,
        grad=dict(input=grad),
        holomorphic=False,
        samples=lambda new: (
            Sample(new(*size), dim, correction, keepdim)
            for size, dim in (((5,), None), ((2, 3), 0), ((4, 3, 5), (0, 2)), ((7, 40), 1))
            for correction, keepdim in ((1, False), (0, True))
        ),
    )


var = variance_row(
    "var",
    lambda input, *rest: moments(input, *rest)[0].to(input.dtype.to_real()),
    lambda g, input, call: variance_grad(g, input, call),
)
std = variance_row(
    "std",
    lambda input, *rest: moments(input, *rest)[0].sqrt().to(input.dtype.to_real()),
    deviation_grad,
)
var_mean = variance_row(
    "var_mean",
    lambda input, *rest: variance_and_mean(input, *rest),
    lambda g, input, call: variance_grad(g[0], input, call) + mean_part(g[1], call),
    results=2,
)
std_mean = variance_row(
    "std_mean",
    lambda input, *rest: deviation_and_mean(input, *rest),
    lambda g, input, out, call: deviation_grad(g[0], input, out, call) + mean_part(g[1], call),
    results=2,
)


def variance_and_mean(input: Any, *rest: Any) -> tuple[Any, Any]:
    variance, mean = moments(input, *rest)
    return variance.to(input.dtype.to_real()), mean.to(input.dtype)


def deviation_and_mean(input: Any, *rest: Any) -> tuple[Any, Any]:
    variance, mean = moments(input, *rest)
    return variance.sqrt().to(input.dtype.to_real()), mean.to(input.dtype)


# ------------------------------------------------------------------ norms


def norm_arguments(input: Spec, ord: Any, dim: Any, keepdim: Any, dtype: Any) -> tuple[Any, ...]:
    input_, dims, kept = clean_dims(input, dim, keepdim)
    if input.dtype.kind not in "fc":
        raise RuntimeError("linalg.vector_norm: Expected a floating point or complex tensor as "
                           f"input. Got {input.dtype.legacy}")  # fmt: skip
    if isinstance(ord, str):
        raise TypeError("linalg_vector_norm(): argument 'ord' (position 2) must be Number, not str")
    check_norm_dtype(input.dtype, dtype)
    if ord < 0 or ord == math.inf:
        check_extreme(input, ord, None if dim is None or dim == () else dims)
    return input, float(ord), dims, kept, dtype


def check_norm_dtype(given: Any, wanted: Any) -> None:
    """A norm may be asked for in a wider type only."""
    if wanted is None:
        return
    if wanted.kind not in "fc":
        raise RuntimeError("linalg.vector_norm: dtype should be floating point or complex, but got "
                           f"{wanted.legacy}")  # fmt: skip
    if dt.promote(given, wanted) is not wanted:
        raise RuntimeError(f"linalg.vector_norm: the dtype of the input ({given.legacy}) should be "
                           "convertible without narrowing to the specified dtype "
                           f"({wanted.legacy})")  # fmt: skip


def check_extreme(input: Spec, ord: float, dims: Any) -> None:
    """Such a norm of nothing is no number. dims None: over everything."""
    empty = [d for d, n in enumerate(input.size) if not n and (dims is None or d in dims)]
    if not empty:
        return
    place = "an empty tensor because the operation" if dims is None else (
        f"the dimension {empty[0]}because this dimension is empty and the operation")  # fmt: skip
    raise RuntimeError(f"linalg.vector_norm cannot compute the {ord:g} norm on {place} does not "
                       "have an identity")  # fmt: skip


def norm_shape(mode: Mode, input: Spec, ord: float, dim: Any, keepdim: bool, dtype: Any) -> Any:
    return ((without_dims(input.size, dim, keepdim), (dtype or input.dtype).to_real()),)


def norm_expand(input: Any, ord: float, dim: Any, keepdim: bool, dtype: Any) -> Any:
    x = wide(input if dtype is None else input.to(dtype))
    return power_mean(x, ord, dim, keepdim).to((dtype or input.dtype).to_real())


def power_mean(x: Any, ord: float, dim: Any, keepdim: bool) -> Any:
    """(Σ |x|^p)^(1/p), and its limits."""
    if ord == math.inf or ord == -math.inf:
        return x.abs().amax(dim, keepdim) if ord > 0 else x.abs().amin(dim, keepdim)
    if ord == 0:
        return x.ne(0).to(x.dtype.to_real()).sum(dim, keepdim=keepdim)
    if ord == 1:
        return x.abs().sum(dim, keepdim=keepdim)
    if ord == 2:
        return squares(x).sum(dim, keepdim=keepdim).sqrt()
    return (x.abs() ** ord).sum(dim, keepdim=keepdim) ** (1 / ord)


def norm_grad(g: Any, input: Any, out: Any, call: Any) -> Any:
    p = call.ord
    if p == 0:
        return None
    if p == 1:
        return input.sgn() * spread(g, call)
    if p == 2:
        return input * spread((g / out).masked_fill(out == 0, 0), call)
    if abs(p) == math.inf:
        winners = input.abs() == spread(out, call)
        count = winners.sum(call.dim, keepdim=True)
        return input.sgn() * winners * (spread(g, call) / count)
    factor = (g / out ** (p - 1)).masked_fill(out == 0, 0)
    slope = input.sgn() * input.abs() ** (p - 1)
    slope = slope.masked_fill(input == 0, 0) if p < 2 else slope
    return slope * spread(factor, call)


vector_norm = composite(
    "vector_norm(input, ord=2, dim=None, keepdim=False, *, dtype=None)",
    public="linalg",
    node="LinalgVectorNormBackward0",
    clean=norm_arguments,
    shape=norm_shape,
    expand=norm_expand,
    grad=dict(input=norm_grad),
    holomorphic=False,
    samples=lambda new: (
        Sample(new(*size), p, dim)
        for size, dim in (((5,), None), ((2, 3), 1), ((4, 3, 5), (0, 2)), ((), None))
        for p in (2, 1, 3.5, math.inf, -math.inf, 0)
    ),
)
