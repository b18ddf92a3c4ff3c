"""What pools accept: settings in one form, PyTorch's checks, and sizes."""

from __future__ import annotations

from typing import Any

from flambeau.ir.layout import Ints, Spec

WORDS = {1: "one int", 2: "two ints", 3: "three ints"}
LETTERS = {1: "W", 2: "HW", 3: "THW"}


def several(name: str, what: str, given: Any, dims: int) -> Ints:
    """One int for each dim, from one for all or as many."""
    many = tuple(given) if isinstance(given, (tuple, list)) else (given,)
    for n in many:
        if isinstance(n, bool) or not hasattr(n, "__index__"):
            raise TypeError(f"{name}(): argument '{what}' must be tuple of ints, not "
                            f"{type(n).__name__}")  # fmt: skip
    if len(many) not in (1, dims):
        either = "either be omitted, a" if what == "stride" else "either be a"
        either = "must " + either
        raise RuntimeError(f"{name}: {what} {either} single int, or a tuple of {WORDS[dims]}")
    return tuple(int(n) for n in (many if len(many) == dims else many * dims))


def pool_arguments(name: str, dims: int, kernel: Any, stride: Any, padding: Any,
                   dilation: Any) -> tuple[Ints, Ints, Ints, Ints]:  # fmt: skip
    """Kernel size, stride, padding and dilation; the stride is the kernel's size by default."""
    taps = several(name, "kernel_size", kernel, dims)
    none = stride is None or (isinstance(stride, (tuple, list)) and not stride)
    steps = taps if none else several(name, "stride", stride, dims)
    return taps, steps, several(name, "padding", padding, dims), several(
        name, "dilation", dilation, dims)  # fmt: skip


def pooled_size(size: Ints, taps: Ints, stride: Ints, padding: Ints, dilation: Ints,
                ceil_mode: bool) -> Ints:  # fmt: skip
    """How many places there are; with ceil_mode the last ones may reach over the end, but each must
    begin inside."""
    places = []
    for n, k, s, p, d in zip(size, taps, stride, padding, dilation):
        room = n + 2 * p - d * (k - 1) - 1
        count = (room + (s - 1 if ceil_mode else 0)) // s + 1
        places.append(count - 1 if ceil_mode and (count - 1) * s >= n + p else count)
    return tuple(places)


def check_pool(name: str, input: Spec, taps: Ints, stride: Ints, padding: Ints, dilation: Ints,
               ceil_mode: bool) -> Ints:  # fmt: skip
    """The number of places, after PyTorch's checks in PyTorch's order."""
    dims = len(taps)
    if 0 in stride:
        raise RuntimeError("stride should not be zero")
    if min(padding) < 0:
        raise RuntimeError(f"pad must be non-negative, but got pad: {min(padding)}")
    if min(dilation) <= 0:
        given = " ".join(f"dilation{c}: {d}" for c, d in zip(LETTERS[dims], dilation))
        raise RuntimeError(f"dilation should be greater than zero, but got {given}")
    if min(taps) <= 0 or min(stride) < 0:
        raise RuntimeError("kernel size should be greater than zero, but got "
                           + " ".join(f"k{c}: {k}" for c, k in zip(LETTERS[dims], taps))
                           )  # fmt: skip
    if input.ndim not in (dims + 1, dims + 2):
        raise RuntimeError(f"non-empty {dims + 1}D or {dims + 2}D (batch mode) tensor expected for "
                           "input")  # fmt: skip
    if 0 in input.size[-dims - 1 :]:
        raise RuntimeError(f"Expected {dims + 1}D or {dims + 2}D (batch mode) tensor with optional "
                           f"0 dim batch size for input, but got:{list(input.size)}")  # fmt: skip
    for p, k, d in zip(padding, taps, dilation):
        if p > (d * (k - 1) + 1) // 2:
            raise RuntimeError("pad should be at most half of effective kernel size, but got pad="
                               f"{p}, kernel_size={k} and dilation={d}")  # fmt: skip
    size = input.size[-dims:]
    places = pooled_size(size, taps, stride, padding, dilation, ceil_mode)
    if min(places) < 1:
        channels = input.size[-dims - 1]
        before, after = ("x".join(map(str, (channels, *n))) for n in (size, places))
        raise RuntimeError(f"Given input size: ({before}). Calculated output size: ({after}). "
                           "Output size is too small")  # fmt: skip
    return places


def overhang(size: Ints, places: Ints, taps: Ints, stride: Ints, padding: Ints,
             dilation: Ints) -> Ints:  # fmt: skip
    """How far the last place reaches behind the input."""
    return tuple((q - 1) * s + d * (k - 1) + 1 - n - p for n, q, k, s, p, d in
                 zip(size, places, taps, stride, padding, dilation))  # fmt: skip
