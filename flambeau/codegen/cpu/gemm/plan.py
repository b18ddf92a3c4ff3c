"""Chooses, from the sizes alone, how a matrix multiplication is done.

Tiles and panels: C is cut into tiles of at most `tallest` rows and `vectors` vectors, all of about one
height. A panel is the columns of B that a row of a tile needs. Tasks are groups of tiles × groups of
panels, about `TASK_WORK` each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

from ....ir.dtype import DType
from ....ir.kernel import Access
from ...values import computed
from .epilogue import Epilogue
from .kernel import K_LIMIT, KEPT, Gemm, gemm_text
from .micro import Micro
from .pack import Pack, pack_text, pack_words
from .spec import Launch, Machine, Matmul, Plan, Shape, Where

TASK_WORK = 1 << 20  # floating-point operations of a task, or more
MOST_TASKS = 32
LEAST_TILES = 8  # that a task should have for each panel of B that it packs
DIRECT_TILES = 4  # as many tiles may read B in place; where there are more, packing pays
DIRECT_PANELS = 3  # the same for A
CACHED_A = 3 << 17  # bytes of A that a task goes through again for each of its panels
MOST_REPACKED = 2  # how often a panel of B may be packed by several tasks
PACK_GROUP, STRIPE = 16, 16  # panels and steps that are packed together where lines are contiguous
PACK_STEPS = 256  # steps along k that one packing task does

Words = dict[str, Where | int]
gemm_source = lru_cache(maxsize=None)(gemm_text)
pack_source = lru_cache(maxsize=None)(pack_text)


@dataclass(frozen=True, slots=True)
class Operand:
    """Where the kernel finds A or B: a named address, and strides in bytes."""

    where: Where
    dtype: DType
    line: int  # from one row of A (column of B) to the next
    step: int  # along k
    batch: tuple[int, ...]
    panel: int = 0  # from one packed panel to the next; 0 where the operand is read in place

    @property
    def order(self) -> str:
        """What is contiguous: 'lines', 'steps', or neither ('any')."""
        if self.line == self.dtype.itemsize:
            return "lines"
        return "steps" if self.step == self.dtype.itemsize else "any"


@dataclass(frozen=True, slots=True)
class Cut:
    """How C is cut: tiles of `height` rows (after the first `full` ones a row less), panels, tasks."""

    vectors: int
    height: int
    tiles: int
    full: int
    panels: int
    groups_m: int
    groups_n: int

    @property
    def task_tiles(self) -> int:
        return max(1, ceil(self.tiles, self.groups_m))

    @property
    def tasks(self) -> int:
        return ceil(self.tiles, self.task_tiles) * ceil(self.panels, self.task_panels)

    @property
    def task_panels(self) -> int:
        return max(1, ceil(self.panels, self.groups_n))


def ceil(x: int, y: int) -> int:
    return -(-x // y)


def plan(matmul: Matmul, shape: Shape, machine: Machine) -> Plan:
    """The launches for one shape."""
    if 0 in (*shape.batch, shape.m, shape.n):
        return Plan((), 0)
    lanes = machine.vector_bytes // matmul.element.itemsize
    cut = cut_up(shape, lanes, machine)
    packing = Packing(matmul, shape, machine)
    a, b = operands(matmul, shape)
    if a.order == "any" or a.dtype is not matmul.element or cut.panels > DIRECT_PANELS:
        a = packing.add(a, Lines(shape.m, cut.height, cut.full, cut.tiles))
    pack_b, columns = None, cut.vectors * lanes
    in_place = b.order == "lines" and b.dtype is matmul.element and cut.tiles <= DIRECT_TILES
    if not in_place and repacked(cut) > MOST_REPACKED:
        b = packing.add(b, Lines(shape.n, columns, cut.panels, cut.panels))
    elif not in_place:
        pack_b = Pack(b.dtype, computed(matmul.element), lanes, cut.vectors, b.order)
    micro = Micro(
        element=computed(matmul.element), lanes=lanes, height=cut.height, vectors=cut.vectors,
        along_k=not a.panel and a.order == "steps", ragged=shape.n % columns != 0,
        packed=not in_place, keeps=shape.k > K_LIMIT,
    )  # fmt: skip
    epilogue = Epilogue(len(shape.batch), accesses(matmul, shape), matmul.scalars, matmul.stores)
    gemm = Gemm(micro, cut.full < cut.tiles, pack_b, epilogue)
    values = gemm_values(matmul, shape, cut, gemm, a, b)
    launch = Launch(gemm_source(gemm, machine.vector_bytes), "gemm", ordered(gemm.words, values),
                    math.prod(shape.batch) * cut.tasks)  # fmt: skip
    return Plan((*packing.launches, launch), packing.scratch)


def repacked(cut: Cut) -> int:
    """How often each panel of B is packed if tasks do it themselves."""
    return ceil(cut.tiles, cut.task_tiles)


def operands(matmul: Matmul, shape: Shape) -> tuple[Operand, Operand]:
    """Both operands as they are given; a single line counts as contiguous."""
    size_a, size_b = matmul.a.itemsize, matmul.b.itemsize
    *batch_a, line_a, step_a = (stride * size_a for stride in shape.a)
    *batch_b, step_b, line_b = (stride * size_b for stride in shape.b)
    line_a, line_b = size_a if shape.m == 1 else line_a, size_b if shape.n == 1 else line_b
    return (
        Operand(("a", 0), matmul.a, line_a, step_a, tuple(batch_a)),
        Operand(("b", 0), matmul.b, line_b, step_b, tuple(batch_b)),
    )


def accesses(matmul: Matmul, shape: Shape) -> tuple[Access, ...]:
    """The accesses, with the stride along n compiled in where it is 0 or 1."""
    refined = []
    for access, strides in zip(matmul.accesses, shape.accesses, strict=True):
        last = access.strides[-1]
        if last is None and strides[-1] in (0, 1):
            last = strides[-1]
        refined.append(replace(access, strides=(*access.strides[:-1], last)))
    return tuple(refined)


def cut_up(shape: Shape, lanes: int, machine: Machine) -> Cut:
    """Tiles of equal heights, and enough tasks."""
    vectors = 1 if shape.n <= lanes else 2
    tallest = (machine.registers - vectors - 1) // vectors
    if vectors == 1:
        tallest = min(tallest, 28)
    tiles = ceil(shape.m, tallest)
    height = ceil(shape.m, tiles)
    panels = ceil(shape.n, vectors * lanes)
    matrices = math.prod(shape.batch)
    work = 2 * shape.m * shape.n * shape.k * matrices
    wanted = ceil(min(max(1, work // TASK_WORK), MOST_TASKS), matrices)
    groups_n = min(panels, wanted)
    groups_m = min(ceil(tiles, LEAST_TILES) if panels > 1 else tiles, ceil(wanted, groups_n))
    if panels > 1 and groups_n > 8:
        bytes_a = shape.m * shape.k * (machine.vector_bytes // lanes)
        groups_m = max(groups_m, min(tiles, ceil(bytes_a, CACHED_A)))
        if groups_m * groups_n > MOST_TASKS:
            groups_n = max(1, MOST_TASKS // groups_m)
    cut = Cut(vectors, height, tiles, shape.m - tiles * (height - 1), panels, groups_m, groups_n)
    if shape.k > K_LIMIT:
        cut = keepable(cut)
    return cut


def keepable(cut: Cut) -> Cut:
    """Smaller tasks, so that all sums of a task can be kept."""
    panels = min(cut.task_panels, 4)
    tiles = min(cut.task_tiles, KEPT // panels)
    return replace(cut, groups_m=ceil(cut.tiles, tiles), groups_n=ceil(cut.panels, panels))


def gemm_values(
    matmul: Matmul, shape: Shape, cut: Cut, gemm: Gemm, a: Operand, b: Operand
) -> Words:
    """The kernel's words by name."""
    along_k, columns = gemm.micro.along_k, gemm.micro.columns
    values: Words = {
        "a": a.where, "b": b.where, "k": shape.k, "k_block": K_LIMIT // 2, "n": shape.n,
        "full": cut.full, "height": cut.height, "tiles": cut.tiles, "panels": cut.panels,
        "task_tiles": cut.task_tiles, "task_panels": cut.task_panels,
        "groups_m": ceil(cut.tiles, cut.task_tiles), "groups_n": ceil(cut.panels, cut.task_panels),
        "a_tile": a.panel, "a_row": 0 if a.panel else a.line, "a_step": a.step,
        "a_stride": a.line if along_k else a.step,
        "b_panel": b.panel or columns * b.line, "b_line": b.line, "b_step": b.step,
    }  # fmt: skip
    for i, size in enumerate(shape.batch):
        values |= {f"size{i}": size, f"a_batch{i}": a.batch[i], f"b_batch{i}": b.batch[i]}
    for i, (access, strides) in enumerate(zip(gemm.epilogue.accesses, shape.accesses, strict=True)):
        values[f"pointer{i}"] = (f"access{i}", 0)
        for loop, stride in enumerate(access.strides):
            if stride is None:
                values[f"stride{i}.{loop}"] = strides[loop]
    return values | {f"scalar{j}": (f"scalar{j}", 0) for j in range(len(matmul.scalars))}


def ordered(names: tuple[str, ...], values: Words) -> tuple[Where, ...]:
    found = (values[name] for name in names)
    return tuple(value if isinstance(value, tuple) else ("", value) for value in found)


@dataclass(frozen=True, slots=True)
class Lines:
    """How an operand's lines are cut into panels: `full` ones of `height` lines, then one less."""

    count: int
    height: int
    full: int
    panels: int


class Packing:
    """The launches that pack whole operands, and the scratch memory that they fill."""

    def __init__(self, matmul: Matmul, shape: Shape, machine: Machine) -> None:
        self.matmul, self.shape, self.machine = matmul, shape, machine
        self.launches: list[Launch] = []
        self.scratch = 0

    def add(self, operand: Operand, lines: Lines) -> Operand:
        """Pack an operand, and answer where it lies then."""
        element, shape = self.matmul.element, self.shape
        lanes = self.machine.vector_bytes // element.itemsize
        vectors = ceil(lines.height, lanes)
        pack = Pack(operand.dtype, computed(element), lanes, vectors, operand.order)
        panel = max(1, shape.k) * pack.row_bytes
        chunk = ceil(min(max(1, shape.k), PACK_STEPS), lanes) * lanes
        chunks = ceil(shape.k, chunk)
        group = min(lines.panels, PACK_GROUP) if operand.order == "lines" else 1
        groups = ceil(lines.panels, group)
        where = ("scratch", self.scratch)
        values: Words = {
            "source": operand.where, "target": where, "lines": lines.count, "k": shape.k,
            "line": operand.line, "step": operand.step, "full": lines.full,
            "height": lines.height, "panels": lines.panels, "panel_bytes": panel, "chunk": chunk,
            "chunks": chunks, "group": group, "groups": groups,
            "stripe": STRIPE if operand.order == "lines" else chunk,
        }  # fmt: skip
        tasks, used, strides = groups * chunks, lines.panels * panel, []
        for i in reversed(range(len(shape.batch))):
            size = shape.batch[i] if operand.batch[i] else 1
            strides.insert(0, used if operand.batch[i] else 0)
            values |= {f"size{i}": size, f"from{i}": operand.batch[i], f"to{i}": used}
            tasks, used = tasks * size, used * size
        batch = len(shape.batch)
        text = pack_source(pack, batch, self.machine.vector_bytes)
        self.launches.append(Launch(text, "pack", ordered(pack_words(batch), values), tasks))
        self.scratch += used
        return Operand(where, element, 0, pack.row_bytes, tuple(strides), panel)
