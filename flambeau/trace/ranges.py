"""Index tensors whose values are there already are looked at when a call is made.

So a wrong index is an error of the call that was given it, as in PyTorch. What is still pending is
looked at by the kernels, when it runs (trace/flush.py). Which values a call takes is its row's
`bounds` (ops/declare.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from struct import Struct
from typing import Any

import numpy as np

from flambeau.hot import hot
from flambeau.ir.op import Bound, Op
from flambeau.runtime.buffers import Buffer
from flambeau.trace.entering import forget_numbers
from flambeau.trace.storage import Storage
from flambeau.trace.tensor import Recorded
from flambeau.trace.trie import State, Stretch

HANDFUL = 64  # elements that are sooner read one by one than NumPy begins
FEW = 1 << 16  # elements up to which a call that was seen before looks at an index once more

Places = tuple[tuple[int, int | None, Bound], ...]


def places_of(op: Op, facts: Sequence[Any]) -> Places:
    """Where the index tensors of a call stand, and what they may hold."""
    assert op.bounds is not None
    return tuple((op.position(b.param), b.item, b) for b in op.bounds(*facts))


def look(places: Places, args: tuple[Any, ...], most: int = FEW) -> None:
    """Raise what PyTorch raises where an index is out of range."""
    for place, item, bound in places:
        x = args[place] if item is None else args[place][item]
        if not isinstance(x, Recorded):
            continue
        storage = x._storage
        known = getattr(storage, "extremes", None)
        if known is not None and known[0] == storage.version:
            if bound.low <= known[1] and known[2] < bound.high:
                continue
        if storage.buffer is not None and not being_written(storage):
            look_at(x, bound, most)


def being_written(storage: Storage) -> bool:
    """Whether a write waits that its memory knows nothing of."""
    return storage.stretch is not None and storage.index != storage.born


def look_at(x: Any, bound: Bound, most: int) -> None:
    """Look at the whole storage, which is remembered; where that is not enough, at the tensor."""
    storage, spec = x._storage, x._spec
    dtype = spec.dtype.numpy
    if spec.dtype.kind not in "iu" or not spec.numel:
        return
    count = storage.nbytes // dtype.itemsize
    if count <= most and storage.rare is None:
        low, high = extremes_of(storage.buffer, dtype, count)
        storage.extremes = storage.version, low, high
        if bound.low <= low and high < bound.high:
            return
    if spec.numel <= most:
        bound.check(storage.buffer.array(spec.size, spec.stride, x._offset, dtype))


def extremes_of(buffer: Buffer, dtype: np.dtype, count: int) -> tuple[int, int]:
    """The least and the largest of so many whole numbers."""
    if count <= HANDFUL:
        numbers = reader(count, dtype.char)(buffer.block, buffer.start)
        return min(numbers), max(numbers)
    whole = buffer.array((count,), (1,), 0, dtype)
    return np.minimum.reduce(whole).item(), np.maximum.reduce(whole).item()


@cache
def reader(count: int, code: str) -> Any:
    """What reads so many numbers of a type."""
    return Struct(f"{count}{code}").unpack_from


@hot
def follow_looking(follow: Any, stretch: Stretch, state: State, args: tuple[Any, ...]) -> Any:
    """Look at a call's indices, then follow its edge. On an error nothing was recorded."""
    try:
        look(state.places, args)
    except Exception:
        assert state.parent is not None
        stretch.state = state.parent
        forget_numbers(stretch)
        raise
    return follow(stretch, state, args)
