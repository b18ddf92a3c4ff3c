"""Composite rows that give elements mean 0 and variance 1: over batches, layers, groups.

What is normalised together is told by dims of the input, or of a view of it. float16 and bfloat16
are computed in float32 and rounded once.
"""

from __future__ import annotations

from math import prod
from typing import Any

from flambeau.ir import dtype as dt
from flambeau.ir.dtype import DType
from flambeau.ir.layout import Ints, Spec
from flambeau.ops.declare import composite
from flambeau.ops.functions import function_of
from flambeau.ops.samples import Refused, Sample, no_samples
from flambeau.ops.softmax import wide
from flambeau.ops.update import update
from flambeau.trace.modes import Mode
from flambeau.trace.trie import here

# ------------------------------------------------------------------ what all share


def moments(x: Any, dims: Ints) -> tuple[Any, Any, Any]:
    """x - mean, mean and variance, the dims kept."""
    mean = x.mean(dims, keepdim=True)
    off = x - mean
    return off, mean, (off * off).mean(dims, keepdim=True)


def scaled_and_moved(x: Any, weight: Any, bias: Any) -> Any:
    """x · weight + bias, each where it is given."""
    x = x if weight is None else x * wide(weight)
    return x if bias is None else x + wide(bias)


def count(x: Any, dims: Ints) -> int:
    return max(prod(x.shape[d] for d in dims), 1)


def normalized_grad(g: Any, unit: Any, rstd: Any, dims: Ints, g_mean: Any = None,
                    g_rstd: Any = None) -> Any:  # fmt: skip
    """What x gets from (x - mean) · rstd, from the mean and from rstd = (variance + eps)^(-1/2).

    unit: (x - mean) · rstd, which the forward direction made too; None: nothing comes from there.
    """
    n = count(unit, dims)
    along = (g * unit).sum(dims, keepdim=True)
    along = along if g_rstd is None else along + g_rstd * rstd
    level = g.sum(dims, keepdim=True) * rstd
    level = level if g_mean is None else level - g_mean
    return (g - unit * (along / n)) * rstd - level / n


def check_params(name: str, input: Spec, weight: Spec | None, bias: Spec | None) -> None:
    """Parameters have the input's type, or float32 beside a narrow one."""
    if input.dtype.kind != "f":
        raise NotImplementedError(f"\"{name}\" not implemented for '{input.dtype.legacy}'")
    narrow = input.dtype in (dt.float16, dt.bfloat16)
    for param in (weight, bias):
        if param is None or param.dtype is input.dtype:
            continue
        if not narrow or param.dtype is not dt.float32:
            raise RuntimeError("mixed dtype (CPU): all inputs must share same datatype.")


def statistics_type(input: Spec, weight: Any) -> DType:
    """The type of mean and rstd: float32 beside narrow inputs with float32 parameters."""
    return weight.dtype if isinstance(weight, Spec) else input.dtype


def over(x: Any, size: Ints) -> Any:
    """One number a channel, in a size that broadcasts."""
    return wide(x).reshape(size)


def statistics(x: Any, dims: Ints, eps: float, mean: Any, rstd: Any) -> tuple[Any, Any, Any]:
    """x - mean, mean and rstd: those that the call gave, or where derivatives of derivatives are
    recorded, functions of x."""
    if not here.stretch.mode.grad:
        return x - mean, mean, rstd
    off, mean, variance = moments(x, dims)
    return off, mean, (variance + eps).rsqrt()


# ------------------------------------------------------------------ layers


def layer_arguments(input: Spec, normalized_shape: Any, weight: Any, bias: Any,
                    eps: Any) -> tuple[Any, ...]:  # fmt: skip
    if isinstance(normalized_shape, int):
        raise TypeError("layer_norm(): argument 'normalized_shape' (position 2) must be tuple of "
                        "ints, not int")  # fmt: skip
    shape = tuple(int(n) for n in normalized_shape)
    if not shape:
        raise RuntimeError("Expected normalized_shape to be at least 1-dimensional, i.e., "
                           "containing at least one element, but got normalized_shape = "
                           "[]")  # fmt: skip
    for what, param in (("weight", weight), ("bias", bias)):
        if param is not None and param.size != shape:
            raise RuntimeError(f"Expected {what} to be of same shape as normalized_shape, but got "
                               f"{what} of shape {list(param.size)} and normalized_shape = "
                               f"{list(shape)}")  # fmt: skip
    if input.size[max(input.ndim - len(shape), 0) :] != shape:
        given = ", ".join(map(str, shape))
        raise RuntimeError(f"Given normalized_shape=[{given}], expected input with shape [*, "
                           f"{given}], but got input of size{list(input.size)}")  # fmt: skip
    check_params("LayerNormKernelImpl", input, weight, bias)
    return input, shape, weight, bias, float(eps)


def layer_shape(mode: Mode, input: Spec, shape: Ints, weight: Any, bias: Any, eps: float) -> Any:
    kept = (*input.size[: input.ndim - len(shape)], *(1,) * len(shape))
    dtype = statistics_type(input, weight)
    return (input.size, input.dtype), (kept, dtype), (kept, dtype)


def layer_expand(input: Any, shape: Ints, weight: Any, bias: Any, eps: float) -> tuple[Any, ...]:
    x, dims = wide(input), tuple(range(input.ndim - len(shape), input.ndim))
    off, mean, variance = moments(x, dims)
    rstd = (variance + eps).rsqrt()
    out = scaled_and_moved(off * rstd, weight, bias).to(input.dtype)
    dtype = input.dtype if weight is None else weight.dtype
    return out, mean.to(dtype), rstd.to(dtype)


def last_dims(call: Any) -> Ints:
    return tuple(range(call.input.ndim - len(call.normalized_shape), call.input.ndim))


def layer_grad(g: Any, input: Any, weight: Any, out1: Any, out2: Any, call: Any) -> Any:
    gy = wide(g[0]) if weight is None else wide(g[0]) * wide(weight)
    dims = last_dims(call)
    off, _, rstd = statistics(wide(input), dims, call.eps, wide(out1), wide(out2))
    return normalized_grad(gy, off * rstd, rstd, dims)


def layer_weight_grad(g: Any, input: Any, out1: Any, out2: Any, call: Any) -> Any:
    off, _, rstd = statistics(wide(input), last_dims(call), call.eps, wide(out1), wide(out2))
    return (wide(g[0]) * (off * rstd)).sum_to_size(call.normalized_shape)


def layer_samples(new: Any) -> Any:
    for size, shape in (((2, 6, 5), (5,)), ((3, 4), (3, 4)), ((0, 3), (3,)), ((17, 33), (33,))):
        yield Sample(new(*size), shape)
        yield Sample(new(*size), shape, new(*shape), new(*shape), 1e-3)
    yield Sample(new(3, 4).t(), (3,), None, new(3))
    yield Refused(new(2, 3), (4,), error=RuntimeError, says="expected input with shape")


layer_norm = composite(
    "_layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5)",
    public="",
    node="NativeLayerNormBackward0",
    clean=layer_arguments,
    shape=layer_shape,
    expand=layer_expand,
    grad=dict(
        input=layer_grad,
        weight=layer_weight_grad,
        bias=lambda g, call: wide(g[0]).sum_to_size(call.normalized_shape),
    ),
    samples=layer_samples,
)

# ------------------------------------------------------------------ groups


def group_arguments(input: Spec, num_groups: Any, weight: Any, bias: Any,
                    eps: Any) -> tuple[Any, ...]:  # fmt: skip
    if input.ndim < 2:
        raise RuntimeError(
            f"Expected at least 2 dimensions for input tensor but received {input.ndim}"
        )
    channels = input.size[1]
    if num_groups <= 0:
        raise RuntimeError(f"Expected num groups to be greater than 0, got {num_groups}")
    if channels % num_groups:
        raise RuntimeError("Expected number of channels in input to be divisible by num_groups, "
                           f"but got input of shape {list(input.size)} and num_groups="
                           f"{num_groups}")  # fmt: skip
    for what, param in (("weight", weight), ("bias", bias)):
        if param is not None and param.size != (channels,):
            raise RuntimeError(f"Expected {what} to be a vector of size equal to the number of "
                               f"channels in input, but got {what} of shape {list(param.size)} "
                               f"and input of shape {list(input.size)}")  # fmt: skip
    check_params("GroupNormKernelImpl", input, weight, bias)
    return input, int(num_groups), weight, bias, float(eps)


def group_shape(mode: Mode, input: Spec, groups: int, weight: Any, bias: Any, eps: float) -> Any:
    kept = (input.size[0], groups)
    dtype = statistics_type(input, weight)
    return (input.size, input.dtype), (kept, dtype), (kept, dtype)


def in_groups(x: Any, groups: int) -> Any:
    """[n, group, channel of the group, elements]."""
    n, channels, *rest = x.shape
    return x.reshape((n, groups, channels // groups, prod(rest)))


def each_channel(param: Any, groups: int) -> Any:
    """A number a channel, over such a view."""
    return None if param is None else wide(param).reshape((groups, -1, 1))


def group_expand(input: Any, groups: int, weight: Any, bias: Any, eps: float) -> tuple[Any, ...]:
    x = in_groups(wide(input), groups)
    off, mean, variance = moments(x, (2, 3))
    rstd = (variance + eps).rsqrt()
    made = scaled_and_moved(off * rstd, each_channel(weight, groups), each_channel(bias, groups))
    dtype = input.dtype if weight is None else weight.dtype
    kept = (x.shape[0], groups)
    out = made.view(tuple(input.shape)).to(input.dtype)
    return out, mean.view(kept).to(dtype), rstd.view(kept).to(dtype)


def per_group(x: Any) -> Any:
    """Statistics over the view in groups."""
    return wide(x).reshape((*x.shape, 1, 1))


def group_grad(g: Any, input: Any, weight: Any, out1: Any, out2: Any, call: Any) -> Any:
    groups = call.num_groups
    gy = in_groups(wide(g[0]), groups)
    gy = gy if weight is None else gy * each_channel(weight, groups)
    x, given = in_groups(wide(input), groups), (per_group(out1), per_group(out2))
    off, _, rstd = statistics(x, (2, 3), call.eps, *given)
    made = normalized_grad(gy, off * rstd, rstd, (2, 3), per_group(g[1]), per_group(g[2]))
    return made.reshape(call.input.size)


def group_weight_grad(g: Any, input: Any, out1: Any, out2: Any, call: Any) -> Any:
    x = in_groups(wide(input), call.num_groups)
    off, _, rstd = statistics(x, (2, 3), call.eps, per_group(out1), per_group(out2))
    made = in_groups(wide(g[0]), call.num_groups) * (off * rstd)
    return made.sum((0, 3)).reshape((-1,))


def group_samples(new: Any) -> Any:
    for size, groups in (((2, 6, 5), 3), ((2, 4), 2), ((1, 2, 3, 4), 1), ((3, 4, 2, 2, 2), 4)):
        yield Sample(new(*size), groups)
        yield Sample(new(*size), groups, new(size[1]), new(size[1]), 1e-3)
    yield Refused(new(2, 6, 4), 4, error=RuntimeError, says="divisible by num_groups")


group_norm = composite(
    "_group_norm(input, num_groups, weight=None, bias=None, eps=1e-5)",
    public="",
    node="NativeGroupNormBackward0",
    clean=group_arguments,
    shape=group_shape,
    expand=group_expand,
    grad=dict(
        input=group_grad,
        weight=group_weight_grad,
        bias=lambda g, call: wide(g[0]).sum((0, *range(2, call.input.ndim))),
    ),
    samples=group_samples,
)

# ------------------------------------------------------------------ batches


def channel_size(input: Any) -> Ints:
    """The size over which one number a channel broadcasts."""
    ndim = input.ndim
    return (1, input.shape[1] if hasattr(input, "shape") else input.size[1], *(1,) * (ndim - 2))


def all_but_channels(input: Any) -> Ints:
    return (0, *range(2, input.ndim))


def batch_arguments(input: Spec, weight: Any, bias: Any, *rest: Any) -> tuple[Any, ...]:
    *running, eps = rest
    if input.ndim < 2:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-input.ndim}, "
                         f"{input.ndim - 1}], but got 1)")  # fmt: skip
    names = ("running_mean", "running_var") if running else ()
    for what, param in zip((*names, "weight", "bias"), (*running, weight, bias)):
        if param is not None and param.numel != input.size[1]:
            raise RuntimeError(f"{what} should contain {input.size[1]} elements not {param.numel}")
    check_params("batch_norm", input, weight, bias)
    return (input, weight, bias, *rest[:-1], float(eps))


def batch_shape(mode: Mode, input: Spec, weight: Any, bias: Any, eps: float) -> Any:
    channels, dtype = (input.size[1],), dt.compute_dtype(input.dtype)
    return (input.size, input.dtype), (channels, dtype), (channels, dtype), (channels, dtype)


def by_channel(x: Any, scale: Any, shift: Any, size: Ints, dtype: Any) -> Any:
    """x · scale + shift, one of each a channel."""
    return (x * scale.reshape(size) + shift.reshape(size)).to(dtype)


def batch_moments(x: Any) -> tuple[Any, Any]:
    """Mean and variance of each channel, the dims kept.

    Those of each image first, which is near while it is walked over twice; then of all together
    (Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for computing sample
    variances, 1979).
    """
    inside = tuple(range(2, x.ndim))
    if not inside or not x.numel():
        return moments(x, all_but_channels(x))[1:]
    _, means, variances = moments(x, inside)
    mean = means.mean((0,), keepdim=True)
    apart = means - mean
    return mean, (variances + apart * apart).mean((0,), keepdim=True)


def batch_expand(input: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, ...]:
    """The result; mean, rstd and variance (over n, not n - 1) of each channel."""
    x, size = wide(input), channel_size(input)
    mean, variance = batch_moments(x)
    rstd = (variance + eps).rsqrt()
    scale = rstd if weight is None else rstd * over(weight, size)
    shift = -(mean * scale) if bias is None else over(bias, size) - mean * scale
    out = by_channel(x, scale, shift, size, input.dtype)
    return out, *(m.view((-1,)) for m in (mean, rstd, variance))


def batch_along(gy: Any, x: Any, out1: Any, out2: Any, call: Any) -> tuple[Any, Any, Any]:
    """Σ gy · (x - mean) of each channel; mean and rstd."""
    size, dims = channel_size(call.input), all_but_channels(call.input)
    off, mean, rstd = statistics(x, dims, call.eps, out1.reshape(size), out2.reshape(size))
    return (gy * off).sum(dims), mean, rstd


def batch_grad(g: Any, input: Any, weight: Any, out1: Any, out2: Any, call: Any) -> Any:
    """With the sums that the gradients of weight and bias are, so that they are summed up once."""
    size, x, gy = channel_size(call.input), wide(input), wide(g[0])
    along, mean, rstd = batch_along(gy, x, out1, out2, call)
    n = count(x, all_but_channels(x))
    slope = along.reshape(size) * (rstd * rstd) / n
    level = gy.sum(all_but_channels(x)).reshape(size) / n - mean * slope
    scale = rstd if weight is None else rstd * over(weight, size)
    return (gy - x * slope - level) * scale


def batch_weight_grad(g: Any, input: Any, out1: Any, out2: Any, call: Any) -> Any:
    along, _, rstd = batch_along(wide(g[0]), wide(input), out1, out2, call)
    return along * rstd.reshape((-1,))


def batch_samples(new: Any) -> Any:
    for size in ((4, 3), (2, 3, 5), (2, 3, 4, 5), (2, 1, 2, 3, 2)):
        yield Sample(new(*size), None, None, 1e-5)
        yield Sample(new(*size), new(size[1]), new(size[1]), 1e-3)


batch_norm = composite(
    "_batch_norm(input, weight=None, bias=None, eps=1e-5)",
    public="",
    node="NativeBatchNormBackward0",
    clean=batch_arguments,
    shape=batch_shape,
    expand=batch_expand,
    grad=dict(
        input=batch_grad,
        weight=batch_weight_grad,
        bias=lambda g, call: wide(g[0]).sum(all_but_channels(call.input)),
    ),
    samples=batch_samples,
)


def known_shape(mode: Mode, input: Spec, *rest: Any) -> Any:
    return ((input.size, input.dtype),)


def known_expand(input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any,
                 eps: float) -> Any:  # fmt: skip
    scale = (wide(running_var) + eps).rsqrt()
    scale = scale if weight is None else scale * wide(weight)
    shift = -(wide(running_mean) * scale)
    shift = shift if bias is None else shift + wide(bias)
    return by_channel(wide(input), scale, shift, channel_size(input), input.dtype)


def known_grad(g: Any, weight: Any, running_var: Any, call: Any) -> Any:
    scale = (wide(running_var) + call.eps).rsqrt()
    scale = scale if weight is None else scale * wide(weight)
    return wide(g) * scale.reshape(channel_size(call.input))


def known_weight_grad(g: Any, input: Any, running_mean: Any, running_var: Any, call: Any) -> Any:
    off = wide(input) - over(running_mean, channel_size(call.input))
    total = (wide(g) * off).sum(all_but_channels(call.input))
    return total * (wide(running_var) + call.eps).rsqrt()


batch_norm_known = composite(  # with statistics that are given
    "_batch_norm_known(input, weight=None, bias=None, running_mean=None, running_var=None, "
    "eps=1e-5)",
    public="",
    node="NativeBatchNormBackward0",
    clean=batch_arguments,
    shape=known_shape,
    expand=known_expand,
    grad=dict(
        input=known_grad,
        weight=known_weight_grad,
        bias=lambda g, call: wide(g).sum(all_but_channels(call.input)),
    ),
    samples=no_samples,  # see tests/nn/test_layers_of_images.py
)


def follow_expand(running_mean: Any, running_var: Any, source: Any, other: Any, kept: Any,
                  mean_share: Any, var_share: Any) -> None:  # fmt: skip
    """running ← kept · running + share · now."""
    running_mean.mul_(kept).add_(source.to(running_mean.dtype), alpha=mean_share)
    running_var.mul_(kept).add_(other.to(running_var.dtype), alpha=var_share)


follow = update(  # source: the mean of a batch, other: its variance
    "follow_statistics(running_mean, running_var, source, other, kept, mean_share, var_share)",
    numbers="kept mean_share var_share",
    writes="running_mean running_var",
    expand=follow_expand,
)
LAYER, GROUP = function_of(layer_norm), function_of(group_norm)
BATCH, KNOWN, FOLLOW = map(function_of, (batch_norm, batch_norm_known, follow))
