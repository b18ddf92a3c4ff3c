"""Memory: blocks with an address, taken from and given back to a pool.

A Buffer owns its block until nobody holds the Buffer. Blocks are NumPy byte arrays underneath, so that
NumPy's allocator (huge pages where they pay) is the only one. Foreign memory is held, never pooled.
"""

from __future__ import annotations

import threading

import numpy as np

from flambeau.ir.layout import Ints
from flambeau.settings import settings

ALIGNMENT = 64
POOL_LIMIT = 1 << 29  # bytes kept for reuse; above it, blocks go back to the system


class _Pool:
    """Free blocks by size class."""

    def __init__(self) -> None:
        self.free: dict[int, list[tuple[int, np.ndarray]]] = {}
        self.kept = 0
        self.lock = threading.Lock()

    def take(self, capacity: int) -> tuple[int, np.ndarray]:
        blocks = self.free.get(capacity)
        if blocks:
            try:
                block = blocks.pop()  # atomic: another thread may have emptied the list
                self.kept -= capacity
                return block
            except IndexError:
                return self.fresh(capacity)
        return self.fresh(capacity)

    def fresh(self, capacity: int) -> tuple[int, np.ndarray]:
        memory = np.empty(capacity + ALIGNMENT, np.uint8)
        start = memory.ctypes.data
        shift = -start % ALIGNMENT
        return start + shift, memory[shift : shift + capacity]

    def give(self, capacity: int, address: int, memory: np.ndarray) -> None:
        if self.kept + capacity > POOL_LIMIT:
            if capacity > POOL_LIMIT // 4:
                return
            self.free.clear()  # simple and rare: start over rather than keep sizes nobody asks for
            self.kept = 0
        self.kept += capacity
        self.free.setdefault(capacity, []).append((address, memory))


_pool = _Pool()


def size_class(nbytes: int) -> int:
    """Round up to one of four steps between powers of two, so that blocks are reused."""
    if nbytes <= 64:
        return 64
    step = 1 << max(nbytes.bit_length() - 3, 6)
    return -(-nbytes // step) * step


class Buffer:
    """A block of memory and its address. `memory` is the same bytes as a NumPy array."""

    __slots__ = ("address", "nbytes", "capacity", "memory", "owner", "__weakref__")

    address: int
    nbytes: int
    capacity: int  # 0: not from the pool
    memory: np.ndarray
    owner: object

    def __del__(self, give=_pool.give) -> None:  # type: ignore[no-untyped-def]
        if self.capacity:
            give(self.capacity, self.address, self.memory)

    def array(self, size: Ints, stride: Ints, offset: int, dtype: np.dtype) -> np.ndarray:
        """A NumPy view: `size`, `stride` and `offset` in elements of `dtype`."""
        item = dtype.itemsize
        if 0 in size:
            return np.empty(size, dtype)
        return np.ndarray(size, dtype, self.memory, offset * item, [s * item for s in stride])


def allocate(nbytes: int) -> Buffer:
    """A buffer of undefined content (NaN in checked mode), aligned to 64 bytes."""
    buffer = Buffer()
    buffer.capacity = 0
    capacity = size_class(nbytes)
    buffer.address, buffer.memory = _pool.take(capacity)
    buffer.nbytes, buffer.capacity, buffer.owner = nbytes, capacity, None
    if settings.check:
        buffer.memory[:] = 0xFF  # all ones is NaN in every float type
    return buffer


def adopt(memory: np.ndarray, owner: object) -> Buffer:
    """A buffer over bytes that somebody else owns; `owner` is kept alive."""
    buffer = Buffer()
    buffer.capacity = 0
    buffer.address, buffer.memory = memory.ctypes.data, memory
    buffer.nbytes, buffer.owner = memory.nbytes, owner
    return buffer


def empty_cache() -> None:
    """Give every unused block back to the system."""
    _pool.free.clear()
    _pool.kept = 0
