"""Memory: blocks with an address, taken from and given back to a pool.

A Buffer owns its block until nobody holds the Buffer. Blocks are NumPy byte arrays underneath, so
that NumPy's allocator (huge pages where they pay) is the only one. Foreign memory is held, never
pooled.
"""

from __future__ import annotations

import numpy as np

from flambeau.ir.layout import Ints
from flambeau.settings import settings

ALIGNMENT = 64
POOL_LIMIT = 1 << 29  # bytes kept for reuse; above it, blocks go back to the system


class _Pool:
    """Free blocks by size class. Lists change by single operations, so threads may share them."""

    def __init__(self) -> None:
        self.free: dict[int, list[tuple[int, np.ndarray]]] = {}
        self.kept = 0

    def give(self, capacity: int, address: int, memory: np.ndarray) -> None:
        if self.kept + capacity > POOL_LIMIT:
            if capacity > POOL_LIMIT // 4:
                return
            self.free.clear()  # simple and rare: start over rather than keep sizes nobody asks for
            self.kept = 0
        self.kept += capacity
        blocks = self.free.get(capacity)
        if blocks is None:
            blocks = self.free[capacity] = []
        blocks.append((address, memory))


_pool = _Pool()
_free = _pool.free


def fresh(capacity: int) -> tuple[int, np.ndarray]:
    """A new block: its aligned address, and the same bytes as an array."""
    memory = np.empty(capacity + ALIGNMENT, np.uint8)
    start = memory.ctypes.data
    shift = -start % ALIGNMENT
    return start + shift, memory[shift : shift + capacity]


def size_class(nbytes: int) -> int:
    """Round up to one of four steps between powers of two, so that blocks are reused."""
    if nbytes <= 64:
        return 64
    step = 1 << max(nbytes.bit_length() - 3, 6)
    return -(-nbytes // step) * step


class Buffer:
    """A block of memory and its address: `nbytes` bytes of the array `block`, from `start` on."""

    __slots__ = ("address", "nbytes", "capacity", "block", "start", "owner", "__weakref__")

    address: int
    nbytes: int
    capacity: int  # 0: not from the pool
    block: np.ndarray
    start: int
    owner: object  # kept alive: what the memory belongs to, where it is not this buffer's own

    def __del__(self, give=_pool.give) -> None:  # type: ignore[no-untyped-def]
        if self.capacity:
            give(self.capacity, self.address, self.block)

    @property
    def memory(self) -> np.ndarray:
        """The buffer's bytes."""
        return self.block[self.start : self.start + self.nbytes]

    def array(self, size: Ints, stride: Ints, offset: int, dtype: np.dtype) -> np.ndarray:
        """A NumPy view: `size`, `stride` and `offset` in elements of `dtype`."""
        item = dtype.itemsize
        if 0 in size:
            return np.empty(size, dtype)
        begin = self.start + offset * item
        return np.ndarray(size, dtype, self.block, begin, [s * item for s in stride])


_new = Buffer.__new__


def allocate(nbytes: int) -> Buffer:
    """A buffer of undefined content (NaN in checked mode), aligned to 64 bytes."""
    return allocate_class(nbytes, size_class(nbytes))


def allocate_class(nbytes: int, capacity: int) -> Buffer:
    """The same where the size class is known."""
    buffer = _new(Buffer)
    blocks = _free.get(capacity)
    try:
        buffer.address, buffer.block = blocks.pop()  # type: ignore[union-attr]
        _pool.kept -= capacity
    except (AttributeError, IndexError):
        buffer.capacity = 0  # nothing to give back should the next line fail
        buffer.address, buffer.block = fresh(capacity)
    buffer.nbytes, buffer.capacity, buffer.start, buffer.owner = nbytes, capacity, 0, None
    if settings.check:
        buffer.block[:] = 0xFF  # all ones is NaN in every float type
    return buffer


def part(whole: Buffer, start: int, nbytes: int) -> Buffer:
    """Some of a buffer's bytes, as a buffer that keeps the whole alive."""
    buffer = _new(Buffer)
    buffer.capacity, buffer.nbytes, buffer.owner = 0, nbytes, whole
    buffer.block, buffer.start = whole.block, whole.start + start
    buffer.address = whole.address + start
    return buffer


def adopt(memory: np.ndarray, owner: object) -> Buffer:
    """A buffer over bytes that somebody else owns; `owner` is kept alive."""
    buffer = _new(Buffer)
    buffer.capacity, buffer.start = 0, 0
    buffer.address, buffer.block = memory.ctypes.data, memory
    buffer.nbytes, buffer.owner = memory.nbytes, owner
    return buffer


def empty_cache() -> None:
    """Give every unused block back to the system."""
    _pool.free.clear()
    _pool.kept = 0
