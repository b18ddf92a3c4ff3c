"""Loop nests → LLVM IR, and how their work is cut into tasks.

`nest_text` writes the kernel of a nest. `grain`, `chunk` and `tasks` say what a launch of it
needs to know for given sizes; they depend on sizes only, never on the number of threads, so that
results are the same bits on any number. The loops themselves are in `rows.py` and `columns.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ..ir.kernel import Nest, words
from ..settings import settings
from .builder import Builder
from .columns import ColumnWriter, column_block
from .rows import MapWriter, RowWriter
from .scalar import cost
from .tiles import STRIP, TILE, TileWriter

__all__ = ["checking", "chunk", "chunks", "grain", "nest_text", "tasks", "words"]

# What one task should cost at least, in units of one element moved or one operation: about 10 µs.
TASK_WORK = 1 << 17
TRANSCENDENTAL_WORK = 10
CHUNK = 1 << 14  # elements of a chunk of a split reduction
FEWEST_ROWS = 128  # of a chunk of a split column reduction


def checking() -> bool:
    """Whether kernels check every address (FLAMBEAU_CHECK=1)."""
    return settings.check


def nest_text(
    nest: Nest, name: str, builder: Callable[[], Builder], checked: bool = False
) -> str:
    """The module of a nest's kernel. See `words` for its arguments."""
    b = builder()
    writers = {"map": MapWriter, "tiles": TileWriter, "rows": RowWriter, "split": RowWriter}
    writers.get(nest.mode, ColumnWriter)(nest, b, checked).write(name)
    return b.text()


def element_work(nest: Nest) -> int:
    """What one turn of the innermost loop costs, in units of one operation."""
    operations, slow = cost(*nest.trees())
    return max(1, len(nest.accesses) + operations + TRANSCENDENTAL_WORK * slow)


def grain(nest: Nest, sizes: Sequence[int]) -> int:
    """How much one task does: elements (map), units (tiles), rows, columns, or chunks (split)."""
    work = element_work(nest)
    if nest.mode == "map":
        return max(1024, TASK_WORK // work // 1024 * 1024)
    if nest.mode == "tiles":
        return max(1, TASK_WORK // (work * TILE * max(1, min(STRIP, sizes[-1]))))
    if nest.mode == "rows":
        return max(1, TASK_WORK // (work * max(1, sizes[-1])))
    if nest.mode == "split":
        return max(1, TASK_WORK // (work * max(1, min(chunk(nest, sizes), sizes[-1]))))
    unit = column_block(nest)
    length = sizes[-2] if nest.mode == "columns" else chunk(nest, sizes)
    most = max(1, math.ceil(TASK_WORK / (work * max(1, length) * unit)))
    return even(math.ceil(sizes[-1] / unit), most) * unit


def even(count: int, most: int) -> int:
    """The size of the parts when `count` things are cut into equal parts of at most `most`."""
    return math.ceil(count / math.ceil(count / most)) if count else most


def chunk(nest: Nest, sizes: Sequence[int]) -> int:
    """The length of a chunk along the reduced loop of a split nest."""
    if nest.mode == "split":
        return CHUNK
    return max(FEWEST_ROWS, CHUNK * 2 // max(1, sizes[-1]))


def chunks(nest: Nest, sizes: Sequence[int]) -> int:
    """How many chunks, and so partial results, a split nest has along its reduced loop."""
    return -(-sizes[nest.reduced] // chunk(nest, sizes))


def tasks(nest: Nest, sizes: Sequence[int]) -> int:
    """How many tasks a launch has; 0 where there is nothing to do."""
    size = grain(nest, sizes)
    if nest.mode == "map":
        return -(-math.prod(sizes) // size)
    if nest.mode == "tiles":
        units = math.prod(sizes[:-2]) * -(-sizes[-2] // TILE) * -(-sizes[-1] // STRIP)
        return -(-units // size)
    if nest.mode == "rows":
        return -(-math.prod(sizes[:-1]) // size)
    if nest.mode == "split":
        return -(-math.prod(sizes[:-1]) * chunks(nest, sizes) // size)
    blocks = math.prod(sizes[:-2]) * -(-sizes[-1] // size)
    return blocks * (chunks(nest, sizes) if nest.mode == "split columns" else 1)
