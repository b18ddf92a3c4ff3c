"""Rows that give elements other places by their dims alone: pixels, channels."""

from __future__ import annotations

from typing import Any

from flambeau.ir.layout import Ints, Spec
from flambeau.ir.op import Op
from flambeau.ops.declare import composite
from flambeau.ops.functions import function_of
from flambeau.ops.samples import Refused, Sample
from flambeau.trace.modes import Mode


def reordered(input: Any, split: Ints, order: Ints, size: Ints) -> Any:
    """The input in other dims, those in another order, as a fresh tensor."""
    return input.reshape(split).permute(order).clone(memory_format="contiguous_format").view(size)


def at_least_3d(name: str, input: Spec) -> None:
    if input.ndim < 3:
        raise RuntimeError(f"{name} expects input to have at least 3 dimensions, but got input "
                           f"with {input.ndim} dimension(s)")  # fmt: skip


def shuffle_arguments(input: Spec, upscale_factor: int) -> tuple[Any, ...]:
    at_least_3d("pixel_shuffle", input)
    r, channels = upscale_factor, input.size[-3]
    if r <= 0:
        raise RuntimeError(f"pixel_shuffle expects a positive upscale_factor, but got {r}")
    if channels % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square "
            f"of upscale_factor, but input.size(-3)={channels} is not divisible by {r * r}"
        )
    return input, r


def shuffle_size(size: Ints, r: int) -> Ints:
    *front, channels, h, w = size
    return (*front, channels // (r * r), h * r, w * r)


def unshuffle_size(size: Ints, r: int) -> Ints:
    *front, channels, h, w = size
    return (*front, channels * r * r, h // r, w // r)


def shuffle_expand(input: Any, r: int) -> Any:
    *front, channels, h, w = input.shape
    n = len(front)
    order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    split = (*front, channels // (r * r), r, r, h, w)
    return reordered(input, split, order, shuffle_size(tuple(input.shape), r))


def unshuffle_arguments(input: Spec, downscale_factor: int) -> tuple[Any, ...]:
    at_least_3d("pixel_unshuffle", input)
    r = downscale_factor
    if r <= 0:
        raise RuntimeError(f"pixel_unshuffle expects a positive downscale_factor, but got {r}")
    for word, d in (("height", -2), ("width", -1)):
        if input.size[d] % r:
            raise RuntimeError(f"pixel_unshuffle expects {word} to be divisible by "
                               f"downscale_factor, but input.size({d})={input.size[d]} is not "
                               f"divisible by {r}")  # fmt: skip
    return input, r


def unshuffle_expand(input: Any, r: int) -> Any:
    *front, channels, h, w = input.shape
    n = len(front)
    order = (*range(n), n, n + 2, n + 4, n + 1, n + 3)
    split = (*front, channels, h // r, r, w // r, r)
    return reordered(input, split, order, unshuffle_size(tuple(input.shape), r))


def channels_arguments(input: Spec, groups: int) -> tuple[Any, ...]:
    if input.ndim < 3:
        raise RuntimeError("channel_shuffle expects input with > 2 dims, but got input with sizes "
                           f"{list(input.size)}")  # fmt: skip
    if groups <= 0:
        raise RuntimeError("Number of groups to divide channels in must be positive. Value of "
                           f"groups:{groups}")  # fmt: skip
    if input.size[1] % groups:
        raise RuntimeError("Number of channels must be divisible by groups. Got "
                           f"{input.size[1]} channels and {groups} groups.")  # fmt: skip
    return input, groups


def channels_expand(input: Any, groups: int) -> Any:
    n, channels, *rest = input.shape
    split = (n, groups, channels // groups, *rest)
    order = (0, 2, 1, *range(3, 3 + len(rest)))
    return reordered(input, split, order, tuple(input.shape))


def row(signature: str, clean: Any, size: Any, expand: Any, grad: Any, samples: Any) -> Op:
    """A row whose result has the input's elements in other places."""

    def shape(mode: Mode, input: Spec, n: int) -> Any:
        return ((size(input.size, n), input.dtype),)

    return composite(signature, public="torch nn.functional", clean=clean, shape=shape,
                     expand=expand, grad=dict(input=grad), samples=samples)  # fmt: skip


def shuffle_samples(new: Any) -> Any:
    yield Sample(new(2, 8, 3, 2), 2)
    yield Sample(new(9, 2, 3), 3)
    yield Sample(new(1, 2, 4, 3, 1), 2)
    yield Refused(new(2, 3, 4, 4), 2, error=RuntimeError, says="divisible by the square")


def unshuffle_samples(new: Any) -> Any:
    yield Sample(new(2, 2, 4, 6), 2)
    yield Sample(new(1, 3, 6), 3)
    yield Refused(new(2, 3, 4, 5), 2, error=RuntimeError, says="width to be divisible")


def channels_samples(new: Any) -> Any:
    yield Sample(new(2, 6, 3), 3)
    yield Sample(new(2, 6, 3, 2), 2)
    yield Refused(new(2, 3, 4), 2, error=RuntimeError, says="divisible by groups")


SHUFFLE: Any
UNSHUFFLE: Any
CHANNELS: Any
pixel_shuffle = row(
    "pixel_shuffle(input, upscale_factor)", shuffle_arguments, shuffle_size, shuffle_expand,
    lambda g, call: UNSHUFFLE(g, call.upscale_factor), shuffle_samples,
)  # fmt: skip
pixel_unshuffle = row(
    "pixel_unshuffle(input, downscale_factor)", unshuffle_arguments, unshuffle_size,
    unshuffle_expand, lambda g, call: SHUFFLE(g, call.downscale_factor), unshuffle_samples,
)  # fmt: skip
channel_shuffle = row(
    "channel_shuffle(input, groups)", channels_arguments, lambda size, n: size, channels_expand,
    lambda g, call: CHANNELS(g, call.input.size[1] // call.groups), channels_samples,
)  # fmt: skip
SHUFFLE, UNSHUFFLE, CHANNELS = map(function_of, (pixel_shuffle, pixel_unshuffle, channel_shuffle))
