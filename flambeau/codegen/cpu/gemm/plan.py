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

TASK_WORK = 1 << 19  # floating-point operations of a task, or more
MOST_TASKS = 64
DIRECT_TILES = 4  # as many tiles may read B in place; where there are more, packing pays
DIRECT_PANELS = 3  # the same for A
CACHED_A = 1 << 19  # bytes of A that a task goes through again for each of its panels
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
    def task_panels(self) -> int:
        return max(1, ceil(self.panels, self.groups_n))


def ceil(x: int, y: int) -> int:
    return -(-x // y)


def plan(matmul: Matmul, shape: Shape, machine: Machine) -> Plan:
    """The launches for one shape."""
    if 0 in (*shape.batch, shape.m, shape.n):
        return Plan((), 0)
    lanes = machine.vector_bytes // matmul.element.itemsize
    a, b = operands(matmul, shape)
    cut = cut_up(shape, lanes, machine)
    launches: list[Launch] = []
    scratch = 0
    same = a.dtype is matmul.element
    if a.order == "any" or not same or (cut.panels > DIRECT_PANELS and shape.k):
        launch, a, scratch = pack_a(matmul, shape, machine, a, cut, lanes)
        launches.append(launch)
    in_place = b.order == "lines" and b.dtype is matmul.element and cut.tiles <= DIRECT_TILES
    pack_b = None
    if not in_place:
        pack_b = Pack(b.dtype, computed(matmul.element), lanes, cut.vectors, b.order)
    epilogue = Epilogue(len(shape.batch), accesses(matmul, shape), matmul.scalars, matmul.stores)
    along_k = not a.panel and a.order == "steps"
    micro = Micro(
        element=computed(matmul.element), lanes=lanes, height=cut.height, vectors=cut.vectors,
        along_k=along_k, ragged=shape.n % (cut.vectors * lanes) != 0, packed=pack_b is not None,
        keeps=shape.k > K_LIMIT,
    )  # fmt: skip
    gemm = Gemm(micro, pack_b, epilogue)
    values = gemm_values(matmul, shape, cut, gemm, a, b)
    tasks = math.prod(shape.batch) * ceil(cut.tiles, cut.task_tiles) * ceil(cut.panels, cut.task_panels)
    text = gemm_source(gemm, machine.vector_bytes)
    launches.append(Launch(text, "gemm", ordered(gemm.words, values), tasks))
    return Plan(tuple(launches), scratch)


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
        last = strides[-1] if strides[-1] in (0, 1) and shape.n > 1 else access.strides[-1]
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
    groups_m = min(tiles, ceil(wanted, groups_n))
    if panels > 1:
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
        "b_panel": columns * b.line, "b_line": b.line, "b_step": b.step,
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


def pack_a(
    matmul: Matmul, shape: Shape, machine: Machine, a: Operand, cut: Cut, lanes: int
) -> tuple[Launch, Operand, int]:
    """A launch that packs A, the packed operand, and the scratch bytes that it takes."""
    pack = Pack(a.dtype, computed(matmul.element), lanes, ceil(cut.height, lanes), a.order)
    k = max(1, shape.k)
    panel = k * pack.row_bytes
    chunk = ceil(min(k, PACK_STEPS), lanes) * lanes
    chunks = ceil(k, chunk)
    values: Words = {
        "source": a.where, "target": ("scratch", 0), "lines": shape.m, "k": shape.k,
        "line": a.line, "step": a.step, "full": cut.full, "height": cut.height,
        "panels": cut.tiles, "panel_bytes": panel, "chunk": chunk, "chunks": chunks,
    }  # fmt: skip
    tasks, used, strides = cut.tiles * chunks, cut.tiles * panel, []
    for i in reversed(range(len(shape.batch))):
        size = shape.batch[i] if a.batch[i] else 1
        strides.insert(0, used if a.batch[i] else 0)
        values |= {f"size{i}": size, f"from{i}": a.batch[i], f"to{i}": used}
        tasks, used = tasks * size, used * size
    batch = len(shape.batch)
    text = pack_source(pack, batch, machine.vector_bytes)
    launch = Launch(text, "pack", ordered(pack_words(batch), values), tasks)
    packed = Operand(("scratch", 0), matmul.element, 0, pack.row_bytes, tuple(strides), panel)
    return launch, packed, used
