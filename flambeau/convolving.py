"""Convolutions as nn.functional and torch have them, for one, two and three dims; fold and unfold.

Each brings its arguments into the form of the row `convolution` (ops/conv.py), or of the two rows
in ops/fold.py.
"""

from __future__ import annotations

import warnings
from typing import Any

from flambeau.ops.conv_sizes import spatial
from flambeau.tensor import FUNCTIONS
from flambeau.trace.tensor import Recorded

convolution = FUNCTIONS["convolution"]


def check_tensors(name: str, input: Any, weight: Any) -> None:
    for what, x in (("input", input), ("weight", weight)):
        if not isinstance(x, Recorded):
            raise TypeError(f"{name}(): argument '{what}' must be Tensor, not {type(x).__name__}")


def with_batch(name: str, input: Any, dims: int) -> tuple[Any, bool]:
    """The input with a batch dim, and whether it had one."""
    if input.ndim == dims + 2:
        return input, True
    if input.ndim == dims + 1:
        return input.unsqueeze(0), False
    raise RuntimeError(f"Expected {dims + 1}D (unbatched) or {dims + 2}D (batched) input to "
                       f"{name}, but got input of size: {list(input.shape)}")  # fmt: skip


def convolved(input: Any, weight: Any, bias: Any, *settings: Any) -> Any:
    """The row; for complex numbers three times, of real ones (by C. F. Gauss's product)."""
    if input._spec.dtype.kind != "c":
        return convolution(input, weight, bias, *settings)
    from flambeau import complex

    x, y, u, v = input.real, input.imag, weight.real, weight.imag
    b, c = (None, None) if bias is None else (bias.real, bias.imag)
    first, second = convolution(x, u, b, *settings), convolution(y, v, None, *settings)
    both = convolution(x + y, u + v, None if b is None else b + c, *settings)
    return complex(first - second, both - first - second)


def _conv(dims: int) -> Any:
    """conv1d, conv2d or conv3d."""
    name, zeros = f"conv{dims}d", (0,) * dims

    def function(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        check_tensors(name, input, weight)
        batched = True
        if len(input._spec.size) != dims + 2:
            input, batched = with_batch(name, input, dims)
        if isinstance(padding, str):
            input, padding = by_word(input, weight, padding, stride, dilation)
        out = convolved(input, weight, bias, stride, padding, dilation, False, zeros, groups)
        return out if batched else out.squeeze(0)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""Kernels at every place of the input, in {dims} dims.

        input: [n, channels, …] or [channels, …]; weight: [out, channels / groups, …]; padding:
        ints, 'valid' (none) or 'same' (as much output as input)."""
    return function


def by_word(input: Any, weight: Any, padding: str, stride: Any, dilation: Any) -> Any:
    """'valid' and 'same' as numbers; the input gets what is not the same on both sides."""
    dims = input.ndim - 2
    if padding == "valid":
        return input, (0,) * dims
    if padding != "same":
        raise RuntimeError(f"Invalid padding string: '{padding}'")
    if any(s != 1 for s in spatial("stride", stride, dims)):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    total = [d * (k - 1) for d, k in zip(spatial("dilation", dilation, dims), weight.shape[2:])]
    if any(n % 2 for n in total):
        warnings.warn("Using padding='same' with even kernel lengths and odd dilation may require "
                      "a zero-padded copy of the input be created", stacklevel=3)  # fmt: skip
        extra = [n for t in reversed(total) for n in (0, t % 2)]
        input = input.constant_pad_nd(tuple(extra))
    return input, tuple(n // 2 for n in total)


def _conv_transpose(dims: int) -> Any:
    """conv_transpose1d, 2d or 3d."""
    name = f"conv_transpose{dims}d"

    def function(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1,
                 dilation=1):  # fmt: skip
        check_tensors(name, input, weight)
        if isinstance(padding, str):
            raise TypeError(f"{name}(): argument 'padding' must be tuple of ints, not str")
        input, batched = with_batch(name, input, dims)
        out = convolved(input, weight, bias, stride, padding, dilation, True, output_padding,
                        groups)  # fmt: skip
        return out if batched else out.squeeze(0)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""The transpose of conv{dims}d: what its input gets from its output.

        input: [n, channels, …] or [channels, …]; weight: [channels, out / groups, …]."""
    return function


conv1d, conv2d, conv3d = map(_conv, (1, 2, 3))
conv_transpose1d, conv_transpose2d, conv_transpose3d = map(_conv_transpose, (1, 2, 3))


def conv_tbc(input, weight, bias, pad=0):
    """conv1d of [time, batch, channels] with a weight [taps, channels, out]."""
    check_tensors("conv_tbc", input, weight)
    for what, x, ndim in (("Input", input, 3), ("Weight", weight, 3), ("Bias", bias, 1)):
        if x.ndim != ndim:
            raise RuntimeError(f"{what} must have {ndim} dims: "
                               f"{'time, batch, in_channel' if ndim == 3 else 'channel'}."
                               )  # fmt: skip
    out = conv1d(input.permute((1, 2, 0)), weight.permute((2, 1, 0)), bias, padding=pad)
    return out.permute((2, 0, 1)).contiguous()


# ------------------------------------------------------------------ blocks


def pair(x: Any) -> tuple[int, int]:
    return tuple(x) if isinstance(x, (tuple, list)) else (x, x)  # type: ignore[return-value]


def unfold(input, kernel_size, dilation=1, padding=0, stride=1):
    """Every block that a kernel sees, as a column: [n, channels · taps, places]."""
    return FUNCTIONS["im2col"](input, kernel_size, dilation, padding, stride)


def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """The sum of blocks where they overlap: [n, channels · taps, places] → [n, channels, h, w]."""
    return FUNCTIONS["col2im"](input, output_size, kernel_size, dilation, padding, stride)
