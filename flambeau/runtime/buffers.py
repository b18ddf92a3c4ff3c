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
LITTLE = 1 << 12  # bytes of a block up to which nobody counts it
POOL_LIMIT = 1 << 29  # bytes kept for reuse; above it, blocks go back to the system
HUGE = 1 << 25  # bytes of a new block for which unused ones make room


class _Pool:
    """Free blocks by size class. Lists change by single operations, so threads may share them."""

    def __init__(self) -> None:
        self.free: dict[int, list[tuple[int, np.ndarray]]] = {}
        self.kept = 0

    def clear(self) -> None:
        """Give every unused block back to the system; whoever holds a list goes on using it."""
        for blocks in list(self.free.values()):
            blocks.clear()
        self.kept = 0


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
    """Memory and its address: `nbytes` bytes of the array `block`, from `start` on."""

    __slots__ = ("address", "nbytes", "block", "start", "owner", "__weakref__")

    address: int
    nbytes: int
    block: np.ndarray
    start: int
    owner: object  # kept alive: what the memory belongs to, where it is not this buffer's own

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


class Block(Buffer):
    """A whole block of the pool, which gets it back when nobody holds the Block any more."""

    __slots__ = ("capacity", "free")

    capacity: int
    free: list[tuple[int, np.ndarray]]  # where blocks of this size wait
    start, owner = 0, None  # of all of them

    def __del__(self, pool: _Pool = _pool) -> None:
        try:
            capacity, free = self.capacity, self.free
        except AttributeError:  # whoever made it was interrupted in the midst of it
            return
        if capacity > LITTLE:
            if pool.kept + capacity > POOL_LIMIT:
                if capacity > POOL_LIMIT // 4:
                    return
                pool.clear()  # simple and rare: start over rather than keep what nobody asks for
            pool.kept += capacity
        free.append((self.address, self.block))


_classes: dict[int, tuple[int, list[tuple[int, np.ndarray]]]] = {}  # bytes → their class


def allocate(nbytes: int) -> Buffer:
    """A buffer of undefined content (NaN in checked mode), aligned to 64 bytes."""
    known = _classes.get(nbytes)
    if known is None:
        capacity = size_class(nbytes)
        known = capacity, free_list(capacity)
        if len(_classes) < 4096:
            _classes[nbytes] = known
    return allocate_class(nbytes, *known)


def allocate_class(nbytes: int, capacity: int, free: list[tuple[int, np.ndarray]]) -> Buffer:
    """The same where the size class is known, and the list where its blocks wait."""
    try:
        address, block = free.pop()
        if capacity > LITTLE:
            _pool.kept -= capacity
    except IndexError:
        if capacity >= HUGE:
            capacity, free, (address, block) = huge(capacity, free)
        else:
            address, block = fresh(capacity)
    buffer = Block()
    buffer.address, buffer.block = address, block
    buffer.nbytes, buffer.capacity, buffer.free = nbytes, capacity, free
    if settings.check:
        block[:] = 0xFF  # all ones is NaN in every float type
    return buffer


def huge(
    capacity: int, free: list[tuple[int, np.ndarray]]
) -> tuple[int, list[tuple[int, np.ndarray]], tuple[int, np.ndarray]]:
    """An unused block that is up to twice as large; else a new one, for which unused ones go.

    So programs that take turns, each with much scratch memory, do so in the same block.
    """
    for larger in sorted(n for n in list(_free) if capacity < n <= 2 * capacity):
        try:
            found = _free[larger].pop()
        except IndexError:
            continue
        _pool.kept -= larger
        return larger, _free[larger], found
    _pool.clear()
    return capacity, free, fresh(capacity)


def free_list(capacity: int) -> list[tuple[int, np.ndarray]]:
    """Where blocks of a size class wait."""
    return _free.setdefault(capacity, [])


def part(whole: Buffer, start: int, nbytes: int) -> Buffer:
    """Some of a buffer's bytes, as a buffer that keeps the whole alive."""
    buffer = Buffer()
    buffer.nbytes, buffer.owner = nbytes, whole
    buffer.block, buffer.start = whole.block, whole.start + start
    buffer.address = whole.address + start
    return buffer


def scratch(nbytes: int) -> Buffer:
    """Memory for the length of one program's run; programs run one at a time, so they share it."""
    global _scratch
    if _scratch.nbytes < nbytes:
        _scratch = allocate(nbytes)
    if settings.check:
        _scratch.block[:] = 0xFF
    return _scratch


def adopt(memory: np.ndarray, owner: object) -> Buffer:
    """A buffer over bytes that somebody else owns; `owner` is kept alive."""
    buffer = Buffer()
    buffer.start, buffer.address, buffer.block = 0, memory.ctypes.data, memory
    buffer.nbytes, buffer.owner = memory.nbytes, owner
    return buffer


def empty_cache() -> None:
    """Give every unused block back to the system."""
    _pool.clear()


_scratch = allocate(64)
