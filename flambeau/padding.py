"""nn.functional.pad: more elements around the last dims, or fewer.

All but constants are the input's own elements in another place, so they are tables for
ops/resample.py (as in resizing.py), and so are their derivatives.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.resizing import by_tables, other_way
from flambeau.tensor import FUNCTIONS

MODES = {"reflect": "reflection", "replicate": "replication", "circular": "circular"}


def pad(input, pad, mode="constant", value=None):
    """More elements before and after the last dims: a value, or the tensor's own again.

    pad: (before, after) of the last dim, then of the one before it, …; negative numbers take
    elements away. mode: 'constant', 'reflect', 'replicate' or 'circular'.
    """
    ends = whole_numbers(pad)
    if mode == "constant":
        return FUNCTIONS["constant_pad_nd"](input, ends, 0 if value is None else value)
    if len(ends) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if mode not in MODES:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if value is not None and value != 0:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    dims = len(ends) // 2
    check_ranks(input, dims, mode)
    size = input._spec.size[input.ndim - dims :]
    pairs = [(ends[2 * d], ends[2 * d + 1]) for d in reversed(range(dims))]
    for d, (n, (before, after)) in enumerate(zip(size, pairs), input.ndim - dims):
        check_end(mode, n, before, after, d, input._spec.size)
    facts = [(both_ways, mode, n, *pair) for n, pair in zip(size, pairs)]
    return by_tables(f"{MODES[mode]}_pad{dims}d", input, facts, False)


def whole_numbers(pad: Any) -> tuple[int, ...]:
    if not isinstance(pad, (tuple, list)):
        raise TypeError(f"pad(): argument 'pad' (position 2) must be tuple of ints, not "
                        f"{type(pad).__name__}")  # fmt: skip
    for place, n in enumerate(pad):
        if not hasattr(n, "__index__"):
            raise TypeError("pad(): argument 'pad' (position 2) must be tuple of ints, but found "
                            f"element of type {type(n).__name__} at pos {place}")  # fmt: skip
    return tuple(n.__index__() for n in pad)


def check_ranks(input: Any, dims: int, mode: str) -> None:
    """Inputs have channels, and may have a batch; bool is refused by all modes but one."""
    if not 1 <= dims <= 3 or input.ndim not in (dims + 1, dims + 2):
        raise NotImplementedError(
            f"Padding size {2 * dims} is not supported for {input.ndim}D input tensor.\n"
            "Supported combinations for non-constant padding:\n"
            "  - 2D or 3D input: padding size = 2 (pads last dimension)\n"
            "  - 3D or 4D input: padding size = 4 (pads last 2 dimensions)\n"
            "  - 4D or 5D input: padding size = 6 (pads last 3 dimensions)"
        )
    if mode == "circular":
        return
    if 0 in input._spec.size[-dims - 1 :]:
        raise RuntimeError(f"Expected {dims + 1}D or {dims + 2}D (batch mode) tensor with possibly "
                           "0 batch size and other non-zero dimensions for input, but got: "
                           f"{list(input.shape)}")  # fmt: skip
    if input.dtype.kind == "b":
        raise NotImplementedError(f"\"{MODES[mode]}_pad{dims}d\" not implemented for 'Bool'")


def check_end(mode: str, n: int, before: int, after: int, dim: int, size: Any) -> None:
    """How much more there can be."""
    if mode == "reflect" and (before >= n or after >= n):
        raise RuntimeError(
            "Argument #4: Padding size should be less than the corresponding input dimension, but "
            f"got: padding ({before}, {after}) at dimension {dim} of input {list(size)}"
        )
    if mode == "circular" and (before > n or after > n):
        raise RuntimeError("Padding value causes wrapping around more than once.")
    if n + before + after < 0:
        raise RuntimeError("Negative padding value is resulting in an empty dimension")


def both_ways(mode: str, size: int, before: int, after: int) -> tuple[np.ndarray, ...]:
    """Which element stands where, and where each element stands."""
    at = np.arange(-before, size + after)
    if mode == "reflect":
        at = size - 1 - np.abs(size - 1 - np.abs(at))
    elif mode == "circular":  # what is left of the input after negative padding goes around
        start = max(-before, 0)
        left = size - start - max(-after, 0)
        at = start + (at - start) % max(left, 1)
    index = np.clip(at, 0, max(size - 1, 0))[None]
    weight = np.ones(index.shape)
    return index, weight, *other_way((index, weight), size)
