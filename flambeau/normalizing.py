"""Normalisations as nn.functional and torch have them; the rows are in ops/norm.py."""

from __future__ import annotations

from typing import Any

from flambeau.ops.norm import BATCH, FOLLOW, GROUP, KNOWN, LAYER
from flambeau.ops.softmax import wide

# ------------------------------------------------------------------ layers


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5, cudnn_enable=True):
    """Mean 0 and variance 1 over the last dims, then weight and bias (J. Ba et al., 2016)."""
    return LAYER(input, normalized_shape, weight, bias, eps)[0]


def native_layer_norm(input, normalized_shape, weight, bias, eps):
    """layer_norm, the means and the inverse standard deviations."""
    out, mean, rstd = LAYER(input, normalized_shape, weight, bias, eps)
    return out, mean.detach(), rstd.detach()


def rms_norm(input, normalized_shape, weight=None, eps=None):
    """Root mean square 1 over the last dims, then weight (B. Zhang, R. Sennrich, 2019)."""
    shape = tuple(normalized_shape)
    check_rms(input, shape, weight)
    dims = tuple(range(-len(shape), 0))
    x = wide(input.contiguous())  # and so is the result
    from flambeau.info import finfo

    eps = finfo(x.dtype).eps if eps is None else eps
    out = x * (x.pow(2).mean(dims, keepdim=True) + eps).rsqrt()
    return (out if weight is None else out * weight).to(input.dtype)


def check_rms(input: Any, shape: tuple[int, ...], weight: Any) -> None:
    if not shape:
        raise RuntimeError("Expected normalized_shape to be at least 1-dimensional, i.e., "
                           "containing at least one element, but got normalized_shape = "
                           "[]")  # fmt: skip
    if weight is not None and tuple(weight.shape) != shape:
        raise RuntimeError("Expected weight to be of same shape as normalized_shape, but got "
                           f"weight of shape {list(weight.shape)} and normalized_shape = "
                           f"{list(shape)}")  # fmt: skip
    if tuple(input.shape[max(input.ndim - len(shape), 0) :]) != shape:
        given = ", ".join(map(str, shape))
        raise RuntimeError(f"Given normalized_shape=[{given}], expected input with shape "
                           f"[*{given}], but got input of size{list(input.shape)}")  # fmt: skip
    if input.dtype.kind not in "fc":
        raise NotImplementedError(f"\"rms_norm\" not implemented for '{input.dtype.legacy}'")


# ------------------------------------------------------------------ groups


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5):
    """Mean 0 and variance 1 over groups of channels (Y. Wu, K. He, 2018)."""
    if input.ndim < 2:
        raise RuntimeError(
            f"Expected at least 2 dimensions for input tensor but received {input.ndim}"
        )
    if num_groups == 0:
        raise ZeroDivisionError("integer division or modulo by zero")
    size = [input.shape[0] * input.shape[1] // num_groups, num_groups, *input.shape[2:]]
    check_values(size, f"[{', '.join(map(str, size))}]")
    return GROUP(input, num_groups, weight, bias, eps)[0]


def check_values(size: Any, shown: Any) -> None:
    """A variance needs two values."""
    n = size[0]
    for s in size[2:]:
        n *= s
    if n == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size "
                         f"{shown}")  # fmt: skip


def native_group_norm(input, weight, bias, N, C, HxW, group, eps):  # noqa: N803 PyTorch's names
    """group_norm, the means and the inverse standard deviations."""
    return GROUP(input, group, weight, bias, eps)


# ------------------------------------------------------------------ batches


def batch_norm(input, running_mean, running_var, weight=None, bias=None, training=False,
               momentum=0.1, eps=1e-5):  # fmt: skip
    """Mean 0 and variance 1 over all but channels, then weight and bias (S. Ioffe, C. Szegedy,
    2015). In training the running statistics, where given, follow those of the batch."""
    if training:
        check_values(input.shape, input.shape)
        if eps <= 0:
            raise ValueError(f"batch_norm eps must be positive during training, but got {eps}")
        if (running_mean is None) != (running_var is None):
            raise ValueError(
                "running_mean and running_var must either both be None or neither be None"
            )
    return normalized(input, weight, bias, running_mean, running_var, training, momentum, eps)[0]


def normalized(input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any,
               training: bool, momentum: float, eps: float) -> Any:  # fmt: skip
    """The result, mean and inverse standard deviation of each channel."""
    if input.numel() == 0:
        return of_nothing(input, weight, bias), input.new_zeros((0,)), input.new_zeros((0,))
    for name, x in (("running_mean", running_mean), ("running_var", running_var)):
        if x is None and not training:
            raise RuntimeError(f"{name} must be defined in evaluation mode")
        if x is not None and x.numel() != input.shape[1 if input.ndim > 1 else 0]:
            raise RuntimeError(f"{name} should contain {input.shape[1]} elements not {x.numel()}")
    if not training:
        out = KNOWN(input, weight, bias, running_mean, running_var, eps)
        return out, input.new_empty((0,)), input.new_empty((0,))
    out, mean, rstd, variance = BATCH(input, weight, bias, eps)
    if running_mean is not None:
        n = input._spec.numel // input._spec.size[1]
        share = float(momentum)  # of the batch; the variance of n - 1 is what is kept
        correction = n / (n - 1) if n > 1 else float("inf")
        FOLLOW(running_mean, running_var, mean.detach(), variance.detach(), 1 - share, share,
               share * correction)  # fmt: skip
    return out, mean.detach(), rstd.detach()


def of_nothing(input: Any, weight: Any, bias: Any) -> Any:
    """An input without elements, with parameters that get gradients of 0."""
    out = input.clone()
    out = out if weight is None else out * weight[0]
    return out if bias is None else out + bias[0]


def torch_batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps,
                     cudnn_enabled):  # fmt: skip
    """batch_norm, with torch's order of arguments."""
    return normalized(input, weight, bias, running_mean, running_var, training, momentum, eps)[0]


def native_batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps, *,
                      out=None):  # fmt: skip
    """batch_norm, the means and the inverse standard deviations."""
    made = normalized(input, weight, bias, running_mean, running_var, training, momentum, eps)
    if out is None:
        return made
    for target, result in zip(out, made):
        if target.dtype is not result.dtype:
            raise RuntimeError(f"expected scalar type {result.dtype.legacy} but found "
                               f"{target.dtype.legacy}")  # fmt: skip
        if target.shape != result.shape:
            target._resize_for_out(tuple(result.shape))
        target.copy_(result)
    return out


def instance_norm(input, running_mean=None, running_var=None, weight=None, bias=None,
                  use_input_stats=True, momentum=0.1, eps=1e-5):  # fmt: skip
    """Mean 0 and variance 1 over each channel of each image (D. Ulyanov et al., 2016)."""
    if use_input_stats:
        n = 1
        for s in input.shape[2:]:
            n *= s
        if n == 1:
            raise ValueError("Expected more than 1 spatial element when training, got input size "
                             f"{input.shape}")  # fmt: skip
    elif running_mean is None or running_var is None:
        raise RuntimeError(
            "Expected running_mean and running_var to be defined when use_input_stats is false"
        )
    n, channels, *rest = input.shape
    together = input.contiguous().view((1, n * channels, *rest))
    given = [None if x is None else x.repeat(n) for x in (weight, bias, running_mean, running_var)]
    out = normalized(together, *given, use_input_stats, momentum, eps)[0]
    if use_input_stats:
        for running, many in zip((running_mean, running_var), given[2:]):
            if running is not None:
                running.copy_(many.view((n, channels)).mean(0))
    return out.view(input.shape)


def torch_instance_norm(input, weight, bias, running_mean, running_var, use_input_stats, momentum,
                        eps, cudnn_enabled):  # fmt: skip
    """instance_norm, with torch's order of arguments."""
    return instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum,
                         eps)  # fmt: skip


# ------------------------------------------------------------------ neighbours, lengths, distances


def local_response_norm(input, size, alpha=1e-4, beta=0.75, k=1.0):
    """input / (k + alpha · mean square of its neighbours)^beta, neighbours being channels
    (A. Krizhevsky et al., 2012)."""
    from flambeau.tensor import FUNCTIONS

    if input.ndim < 3:
        raise ValueError("Expected 3D or higher dimensionality input (got "
                         f"{input.ndim} dimensions)")  # fmt: skip
    if input.numel() == 0:
        return input
    square = (input * input).unsqueeze(1)
    if input.ndim == 3:
        square = square.constant_pad_nd((0, 0, size // 2, (size - 1) // 2))
        square = FUNCTIONS["avg_pool2d"](square, (size, 1), 1).squeeze(1)
    else:
        n, _, channels, h, *rest = square.shape
        square = square.reshape((n, 1, channels, h, -1))
        square = square.constant_pad_nd((0, 0, 0, 0, size // 2, (size - 1) // 2))
        square = FUNCTIONS["avg_pool3d"](square, (size, 1, 1), 1).squeeze(1)
        square = square.reshape(input.shape)
    return input / (square * alpha + k).pow(beta)


def pairwise_distance(x1, x2, p=2.0, eps=1e-6, keepdim=False):
    """The p-norm of x1 - x2 + eps along the last dim."""
    width = max(x1.ndim, x2.ndim)
    last = -1 if width else None
    return (x1 - x2 + eps).norm(p, last, keepdim=keepdim)
