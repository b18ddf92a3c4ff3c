"""How C is cut into tiles, panels and tasks: decided from sizes and layouts alone.

A tile is `height` rows (after the first `full` tiles a row less) times `vectors` vectors. A panel
is the columns of B that a row of tiles needs. A task is a group of tiles × a group of panels.
"""

from __future__ import annotations

import math

from flambeau.ir.record import frozen, replace

from .kernel import K_LIMIT, KEPT
from .spec import Machine, Shape

TASK_WORK = 1 << 19  # floating-point operations of a task, or more
MOST_TASKS = 32
ENOUGH_TASKS = 8  # rows are cut only where columns do not give as many
LARGE_A = 1 << 20  # bytes of A from which a task goes through half of it
LARGEST_A = 1 << 20  # bytes of A that tasks go through, once for each of their panels, at most
SHORT_K = 16  # steps up to which writing C costs more than reading panels again
SHORT_SUMS, FIRST_CACHE = 64, 1 << 15  # steps, and bytes of a B, for which broad tiles are better
LARGE_C = 1 << 18  # elements of C from which that holds for more steps
TALLEST, WIDEST = 28, 8  # rows and vectors of a tile, at most


@frozen
class Cut:
    """Tiles, panels and groups. `by_rows`: a task goes through C row by row of tiles."""

    vectors: int
    height: int
    tiles: int
    full: int
    panels: int
    groups_m: int
    groups_n: int
    by_rows: bool

    @property
    def tasks(self) -> int:
        return self.groups_m * self.groups_n


def ceil(x: int, y: int) -> int:
    return -(-x // y)


def power_of_two(n: int) -> int:
    """The next one that is not below n: sizes of memory, so that few kernels serve many sizes."""
    return 1 << (n - 1).bit_length()


def cut_up(
    shape: Shape, lanes: int, machine: Machine, wide: bool, tall: bool, varied: bool = False
) -> Cut:
    """Tiles of about equal heights, and enough tasks; with few rows they may be `wide`.

    `tall`: B is read from the cache again and again, so a task goes through C by rows. `varied`:
    tiles have an even height, or one less, for as many kernels are needed as there are heights.
    """
    needed = ceil(shape.n, lanes)
    thin, broad = is_mostly_output(shape) and needed > 8, machine.registers // 8
    if not thin and (needed % broad or not is_short(shape, machine.vector_bytes // lanes, tall)):
        broad = 2
    vectors = min(needed, broad)
    rows = shape.m + shape.m % 2 if varied else shape.m
    while wide and vectors < min(WIDEST, needed) and fits(rows, vectors + 1, machine):
        vectors += 1
    tallest = min(TALLEST, (machine.registers - vectors - 1) // vectors)
    tallest -= tallest % 2 if varied else 0
    tiles, panels = ceil(shape.m, tallest), ceil(shape.n, vectors * lanes)
    if tall and tiles < MOST_TASKS:
        tiles += tiles % 2  # two threads then have as many rows each
    while varied and ceil(shape.m, tiles) % 2 and shape.m % tiles:
        tiles += 1
    height = ceil(shape.m, tiles)
    height += height % 2 if varied else 0
    full = shape.m - tiles * (height - 1)
    cut = Cut(vectors, height, tiles, full, panels, 1, 1, thin or tall)
    wanted = wanted_tasks(shape, panels * vectors * lanes)
    return grouped(cut, shape, wanted, machine.vector_bytes // lanes)


def is_mostly_output(shape: Shape) -> bool:
    """Whether it matters more in which order C is written than how B is read."""
    steps = SHORT_K if shape.m * shape.n < LARGE_C else 4 * SHORT_K
    return shape.m > TALLEST and shape.k <= steps


def is_short(shape: Shape, itemsize: int, tall: bool) -> bool:
    """Whether sums are so short that storing C in longer rows pays, though B is read more often."""
    if shape.m <= TALLEST or shape.k > SHORT_SUMS:
        return False
    return not tall or shape.k * shape.n * itemsize <= FIRST_CACHE


def fits(rows: int, vectors: int, machine: Machine) -> bool:
    """Whether a tile, a row of B and an element of A fit the registers."""
    return rows * vectors + vectors + 1 <= machine.registers


def wanted_tasks(shape: Shape, columns: int, task_work: int = TASK_WORK) -> int:
    """How many tasks each matrix of the batch should give; `columns` are with unused lanes."""
    matrices = math.prod(shape.batch)
    work = 2 * shape.m * columns * shape.k * matrices
    least = 2 if work >= task_work // 2 else 1
    wanted = ceil(min(max(least, work // task_work), MOST_TASKS), matrices)
    return power_of_two(wanted)


def grouped(cut: Cut, shape: Shape, wanted: int, itemsize: int) -> Cut:
    """The cut with its tasks chosen."""
    if cut.by_rows:
        cut = replace(cut, groups_m=min(cut.tiles, wanted))
        return replace(cut, groups_n=min(cut.panels, ceil(wanted, cut.groups_m)))
    groups_n = min(cut.panels, wanted)
    groups_m = min(cut.tiles, ceil(min(wanted, ENOUGH_TASKS), groups_n))
    bytes_a = shape.m * shape.k * itemsize
    if bytes_a >= LARGE_A and (cut.panels > ENOUGH_TASKS or shape.m > shape.n):
        groups_m = max(groups_m, min(cut.tiles, max(2, ceil(bytes_a, LARGEST_A))))
        groups_n = min(groups_n, max(1, 2 * MOST_TASKS // groups_m))
    cut = replace(cut, groups_m=groups_m, groups_n=groups_n)
    return keepable(cut) if shape.k > K_LIMIT else cut


def keepable(cut: Cut) -> Cut:
    """Smaller tasks, so that all sums of a task can be kept between blocks of k."""
    panels = min(ceil(cut.panels, cut.groups_n), 4)
    tiles = min(ceil(cut.tiles, cut.groups_m), KEPT // panels)
    return replace(cut, groups_m=ceil(cut.tiles, tiles), groups_n=ceil(cut.panels, panels))
