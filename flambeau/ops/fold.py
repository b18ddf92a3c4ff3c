"""Blocks of an image as columns, and back: nn.functional's unfold and fold."""

from __future__ import annotations

from math import prod
from typing import Any

from flambeau.ir.layout import Ints, Spec
from flambeau.ir.op import Op
from flambeau.ops.conv import windows
from flambeau.ops.conv_sizes import conv_size
from flambeau.ops.declare import composite
from flambeau.ops.functions import function_of
from flambeau.ops.samples import Refused, Sample
from flambeau.ops.taps import gathered, padded, part
from flambeau.trace.modes import Mode


def two(name: str, given: Any) -> Ints:
    """Height and width, from one int for both or two."""
    many = tuple(given) if isinstance(given, (tuple, list)) else (given, given)
    if len(many) == 1:
        many *= 2
    if len(many) != 2:
        raise RuntimeError(f"It is expected {name} equals to 2, but got size {len(many)}")
    return tuple(int(n) for n in many)


def settings(
    kernel: Any, dilation: Any, padding: Any, stride: Any
) -> tuple[Ints, Ints, Ints, Ints]:
    """All four as pairs, after PyTorch's checks."""
    found = {"kernel_size": two("kernel_size", kernel), "dilation": two("dilation", dilation),
             "padding": two("padding", padding), "stride": two("stride", stride)}  # fmt: skip
    for name in ("kernel_size", "stride", "dilation"):
        if min(found[name]) <= 0:
            short, words = name.removesuffix("_size"), name.replace("_", " ")
            h, w = found[name]
            raise RuntimeError(f"{words} should be greater than zero, but got {short}_height: {h} "
                               f"{short}_width: {w}")  # fmt: skip
    if min(found["padding"]) < 0:
        h, w = found["padding"]
        raise RuntimeError(
            f"padding should be non-negative, but got pad_height: {h} pad_width: {w}"
        )
    return found["kernel_size"], found["dilation"], found["padding"], found["stride"]


def refuse_integers(kernel: str, input: Spec) -> None:
    if input.dtype.kind in "iu":
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{input.dtype.legacy}'")


def written(size: Any) -> str:
    return f"({', '.join(map(str, size))})"


def unfold_arguments(input: Spec, kernel: Any, dilation: Any, padding: Any,
                     stride: Any) -> tuple[Any, ...]:  # fmt: skip
    taps, gap, pad, step = settings(kernel, dilation, padding, stride)
    if input.ndim not in (3, 4) or 0 in input.size[-3:]:
        if input.ndim < 3:
            raise IndexError(f"Dimension out of range (expected to be in range of [{-input.ndim}, "
                             f"{input.ndim - 1}], but got {input.ndim})")  # fmt: skip
        raise RuntimeError("Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and "
                           f"other non-zero dimensions for input, but got: {list(input.size)}"
                           )  # fmt: skip
    places = conv_size(input.size[-2:], taps, step, pad, gap)
    if min(places) < 1:
        raise RuntimeError(f"Given input with spatial size {written(input.size[-2:])}, kernel_size="
                           f"{written(taps)}, dilation={written(gap)}, padding={written(pad)}, "
                           f"calculated shape of the array of sliding blocks as {written(places)}, "
                           "but its components must be at least one.")  # fmt: skip
    refuse_integers("im2col_out_cpu", input)
    return input, taps, gap, pad, step


def unfold_shape(mode: Mode, input: Spec, taps: Ints, dilation: Ints, padding: Ints,
                 stride: Ints) -> Any:  # fmt: skip
    *front, channels, h, w = input.size
    places = conv_size((h, w), taps, stride, padding, dilation)
    return (((*front, channels * prod(taps), prod(places)), input.dtype),)


def unfold_expand(input: Any, taps: Ints, dilation: Ints, padding: Ints, stride: Ints) -> Any:
    x = input if input.ndim == 4 else input.unsqueeze(0)
    places = conv_size(tuple(x.shape[2:]), taps, stride, padding, dilation)
    seen = windows(padded(x, padding, padding), taps, places, stride, dilation)
    *front, channels = input.shape[:-2]
    return seen.reshape((*front, channels * prod(taps), prod(places)))


def fold_arguments(input: Spec, output_size: Any, kernel: Any, dilation: Any, padding: Any,
                   stride: Any) -> tuple[Any, ...]:  # fmt: skip
    size = two("output_size", output_size)
    taps, gap, pad, step = settings(kernel, dilation, padding, stride)
    if input.ndim not in (2, 3) or 0 in input.size[-2:]:
        raise RuntimeError("Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch "
                           "size and non-zero dimensions for input, but got: "
                           f"{list(input.size)}")  # fmt: skip
    channels, count = input.size[-2:]
    if channels % prod(taps):
        raise RuntimeError("Expected size of input's dimension 1 to be divisible by the product of "
                           f"kernel_size, but got input.size(1)={channels} and kernel_size="
                           f"{written(taps)}.")  # fmt: skip
    places = conv_size(size, taps, step, pad, gap)
    if prod(places) != count or min(places) < 1:
        raise RuntimeError(f"Given output_size={written(size)}, kernel_size={written(taps)}, "
                           f"dilation={written(gap)}, padding={written(pad)}, stride="
                           f"{written(step)}, expected size of input's dimension 2 to match the "
                           f"calculated number of sliding blocks {places[0]} * {places[1]} = "
                           f"{prod(places)}, but got input.size(2)={count}.")  # fmt: skip
    refuse_integers("col2im_out_cpu", input)
    return input, size, taps, gap, pad, step


def fold_shape(mode: Mode, input: Spec, size: Ints, taps: Ints, *rest: Any) -> Any:
    *front, channels, _ = input.size
    return (((*front, channels // prod(taps), *size), input.dtype),)


def fold_expand(input: Any, size: Ints, taps: Ints, dilation: Ints, padding: Ints,
                stride: Ints) -> Any:  # fmt: skip
    *front, channels, _ = input.shape
    places = conv_size(size, taps, stride, padding, dilation)
    blocks = input.reshape((*front, channels // prod(taps), *taps, *places))
    at = len(front) + 1

    def seen(sources: Any, tap: Ints, starts: Ints, counts: Ints) -> Any:
        return part(sources.select(at, tap[0]).select(at, tap[1]), starts, counts, (1, 1))

    like = blocks.select(at, 0).select(at, 0)
    geometry = taps, stride, padding, dilation
    made = gathered(like, size, geometry, lambda a, b: padded(blocks, a, b), seen)
    return made.ne(0) if input.dtype.kind == "b" else made


def unfold_samples(new: Any) -> Any:
    yield Sample(new(2, 3, 5, 6), 3, 1, 0, 1)
    yield Sample(new(3, 5, 6), (2, 3), 2, 1, (2, 1))
    yield Sample(new(0, 3, 5, 6), 2, 1, 0, 1)
    yield Refused(new(2, 3, 3, 3), 5, 1, 0, 1, error=RuntimeError, says="sliding blocks")


def fold_samples(new: Any) -> Any:
    yield Sample(new(2, 12, 9), (4, 4), 2, 1, 0, 1)
    yield Sample(new(12, 20), (6, 7), (2, 3), 2, 1, (2, 1))
    yield Sample(new(2, 8, 4), (4, 4), 2, 1, 0, 2)
    yield Refused(new(2, 12, 8), (4, 4), 2, 1, 0, 1, error=RuntimeError, says="sliding blocks")


def block_row(name: str, node: str, clean: Any, shape: Any, expand: Any, grad: Any,
              samples: Any) -> Op:  # fmt: skip
    return composite(name, public="", node=node, clean=clean, shape=shape, expand=expand,
                     grad=dict(input=grad), samples=samples)  # fmt: skip


im2col: Any
col2im: Any
unfold = block_row(
    "im2col(input, kernel_size, dilation, padding, stride)",
    "Im2ColBackward0", unfold_arguments, unfold_shape, unfold_expand,
    lambda g, call: col2im(g, call.input.size[-2:], call.kernel_size, call.dilation, call.padding,
                           call.stride),
    unfold_samples,
)  # fmt: skip
fold = block_row(
    "col2im(input, output_size, kernel_size, dilation, padding, stride)",
    "Col2ImBackward0", fold_arguments, fold_shape, fold_expand,
    lambda g, call: im2col(g, call.kernel_size, call.dilation, call.padding, call.stride),
    fold_samples,
)  # fmt: skip
im2col, col2im = function_of(unfold), function_of(fold)
