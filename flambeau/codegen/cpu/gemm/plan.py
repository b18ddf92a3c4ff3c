"""Chooses, from the sizes alone, how a matrix multiplication is done, and fills in the words.

- a small C with a long sum: in parts, which are added (`combine`);
- few rows times a matrix with contiguous columns: dot products (`dot`);
- else: tiles in registers (`kernel`), whose operands are read in place, packed by the tasks that
  need them, or packed before by launches of their own (`pack`).
"""

from __future__ import annotations

import math
from functools import lru_cache

from flambeau.ir.record import frozen, replace

from ....ir.dtype import DType
from ....ir.kernel import Access
from ...values import computed
from .combine import (
    ROWS_OF_A_TASK,
    Combine,
    c_bytes,
    combine_text,
    in_parts,
    is_long,
    parts_of,
)
from .cut import MOST_TASKS, Cut, ceil, cut_up
from .dot import Dot, dot_text
from .epilogue import Epilogue
from .kernel import K_LIMIT, Gemm, gemm_text
from .micro import LINE, Micro
from .pack import Pack, pack_text, pack_words
from .spec import Launch, Machine, Matmul, Plan, Shape, Where
from .swap import is_better_turned, turned

DIRECT_TILES = 4  # as many tiles may read B in place; where there are more, packing pays
DIRECT_COLUMNS = 480  # as many columns may read A in place
DIRECT_BYTES = 1 << 16  # a B as small as this is read in place
CACHED_BYTES = 1 << 20  # of a B that stays in the cache; if smaller, with rows of whole lines: too
PACK_BYTES = 1 << 19  # bytes of A up to which it is read in place
SHARED_BYTES = 1 << 18  # bytes of B which all threads may read
FEW_ROWS, MANY_ROWS = 28, 2048  # rows worth to be shared; rows for which a copy of B always pays
TURNED_ROWS, TURNED_STEPS = 224, 512  # of a transposed A that is read row of tiles by row of tiles
PAGE = 1 << 12  # rows as far apart as this fall into the same places of the cache
MOST_REPACKED = 4  # how often a panel of B may be packed by several tasks
PACK_STEPS = 256  # steps along k that one packing task does
PACK_GROUP, STRIPE = 16, 16  # panels and steps packed together where lines are contiguous
AHEAD_A, AHEAD_B = 24, 4  # steps along k that operands are fetched ahead
FAR = 1 << 10
CACHED_C = 1 << 16  # elements of C up to which its memory needs not be asked for
FETCHED_K = 64
DOT_ROWS = 4
DOT_BYTES = 1 << 17  # of B, for each task of dot products

Words = dict[str, Where | int]
gemm_source = lru_cache(maxsize=256)(gemm_text)
pack_source = lru_cache(maxsize=256)(pack_text)
dot_source = lru_cache(maxsize=256)(dot_text)


@frozen
class Operand:
    """Where the kernel finds A or B: a named address, and strides in bytes."""

    where: Where
    dtype: DType
    line: int  # from one row of A (column of B) to the next
    step: int  # along k
    batch: tuple[int, ...]
    size: int  # bytes of one matrix
    panel: int = 0  # from one packed panel to the next; 0 where the operand is read in place

    @property
    def order(self) -> str:
        """What is contiguous: 'lines', 'steps', or neither ('any')."""
        if self.line == self.dtype.itemsize:
            return "lines"
        return "steps" if self.step == self.dtype.itemsize else "any"


@lru_cache(maxsize=4096)
def plan(matmul: Matmul, shape: Shape, machine: Machine) -> Plan:
    """The launches for one shape."""
    if 0 in (*shape.batch, shape.m, shape.n):
        return Plan((), 0)
    if is_long(shape):
        combine = combine_launch(matmul, shape, machine)
        return in_parts(matmul, shape, machine, whole_plan, combine)
    return whole_plan(matmul, shape, machine)


def whole_plan(matmul: Matmul, shape: Shape, machine: Machine) -> Plan:
    """The launches, without cutting k into parts."""
    lanes = machine.vector_bytes // matmul.element.itemsize
    names = ("a", "b")
    if is_better_turned(matmul, shape, lanes):
        (matmul, shape), names = turned(matmul, shape), ("b", "a")
    a, b = operands(matmul, shape, names)
    epilogue = Epilogue(len(shape.batch), accesses(matmul, shape), matmul.scalars, matmul.stores)
    few = shape.m <= DOT_ROWS and shape.k >= lanes // 2
    if few and b.order == "steps" and a.order == "steps":
        return dot_plan(Dot(matmul.a, matmul.b, matmul.element, lanes, epilogue), shape, a, b,
                        machine)  # fmt: skip
    return gemm_plan(matmul, shape, machine, epilogue, a, b)


def operands(
    matmul: Matmul, shape: Shape, names: tuple[str, str]
) -> tuple[Operand, Operand]:
    """Both operands as they are given, but single lines: a row of A has its steps only."""
    size_a, size_b = matmul.a.itemsize, matmul.b.itemsize
    *batch_a, line_a, step_a = (stride * size_a for stride in shape.a)
    *batch_b, step_b, line_b = (stride * size_b for stride in shape.b)
    line_a, line_b = 0 if shape.m == 1 else line_a, size_b if shape.n == 1 else line_b
    return (
        Operand((names[0], 0), matmul.a, line_a, step_a, tuple(batch_a),
                shape.m * shape.k * size_a),
        Operand((names[1], 0), matmul.b, line_b, step_b, tuple(batch_b),
                shape.n * shape.k * size_b),
    )  # fmt: skip


def accesses(matmul: Matmul, shape: Shape) -> tuple[Access, ...]:
    """The accesses, with the stride along n compiled in where it is 0 or 1."""
    refined = []
    for access, strides in zip(matmul.accesses, shape.accesses, strict=True):
        last = access.strides[-1]
        if last is None and strides[-1] in (0, 1):
            last = strides[-1]
        refined.append(replace(access, strides=(*access.strides[:-1], last)))
    return tuple(refined)


# -- dot products


def dot_plan(dot: Dot, shape: Shape, a: Operand, b: Operand, machine: Machine) -> Plan:
    """One launch; a task is a group of blocks of columns."""
    blocks, matrices = ceil(shape.n, dot.lanes), math.prod(shape.batch)
    wanted = min(MOST_TASKS, ceil(b.size * matrices, DOT_BYTES))
    groups = min(blocks, ceil(wanted, matrices))
    values: Words = {
        "a": a.where, "b": b.where, "k": shape.k, "n": shape.n, "m": shape.m, "a_row": a.line,
        "b_column": b.line, "blocks": blocks, "groups": groups,
    }  # fmt: skip
    values |= loop_words(shape, a, b) | epilogue_words(shape, dot.epilogue)
    text = dot_source(dot, machine.vector_bytes)
    return Plan((Launch(text, "dot", ordered(dot.words, values), matrices * groups),), 0)


# -- parts of k


def combine_launch(matmul: Matmul, shape: Shape, machine: Machine) -> Launch:
    """The launch that adds the products of the parts of k, and does the epilogue."""
    lanes = machine.vector_bytes // matmul.element.itemsize
    epilogue = Epilogue(len(shape.batch), accesses(matmul, shape), matmul.scalars, matmul.stores)
    combine = Combine(matmul.element, lanes, epilogue)
    _, parts, rest = parts_of(shape)
    groups = ceil(shape.m, ROWS_OF_A_TASK)
    values: Words = {
        "partial": ("scratch", 0), "parts": parts + (rest > 0), "m": shape.m, "n": shape.n,
        "part_bytes": c_bytes(matmul, shape), "groups": groups,
    }  # fmt: skip
    values |= {f"size{i}": size for i, size in enumerate(shape.batch)}
    values |= epilogue_words(shape, epilogue)
    text = combine_text(combine, machine.vector_bytes)
    tasks = math.prod(shape.batch) * groups
    return Launch(text, "combine", ordered(combine.words, values), tasks)


# -- tiles


def gemm_plan(
    matmul: Matmul, shape: Shape, machine: Machine, epilogue: Epilogue, a: Operand, b: Operand
) -> Plan:
    """Launches that pack what is better packed, and the one that multiplies."""
    lanes = machine.vector_bytes // matmul.element.itemsize
    readable = b.order == "lines" and b.dtype is matmul.element
    cached = readable and is_cached(b, shape)
    cut = cut_up(shape, lanes, machine, readable, is_tall(shape, a, b, cached))
    packing, pack_b, columns = Packing(matmul, shape, machine), None, cut.vectors * lanes
    if a.order == "any" and shape.m == 1:
        a = replace(a, line=a.dtype.itemsize)  # one row: its elements are read one by one
    if a.dtype is not matmul.element or a.order == "any" or is_better_packed(a, shape, cut):
        a = packing.add(a, Lines(shape.m, cut.height, cut.full, cut.tiles))
    in_place = cached or readable and cut.tiles <= DIRECT_TILES
    if not in_place and (cut.by_rows or cut.groups_m > MOST_REPACKED):
        b = packing.add(b, Lines(shape.n, columns, cut.panels, cut.panels))
    elif not in_place:
        pack_b = Pack(b.dtype, computed(matmul.element), lanes, cut.vectors, b.order)
    micro = Micro(
        element=computed(matmul.element), lanes=lanes, height=cut.height, vectors=cut.vectors,
        along_k=a.order == "steps", ragged=shape.n % columns != 0, packed=not in_place,
        keeps=shape.k > K_LIMIT, ahead_a=AHEAD_A if is_by_steps(a) else 0,
        ahead_b=AHEAD_B if (cut.by_rows if not in_place else is_far_apart(b)) else 0,
    )  # fmt: skip
    fetch_c = shape.k <= FETCHED_K and shape.m * shape.n > CACHED_C
    gemm = Gemm(micro, cut.full < cut.tiles, cut.by_rows, fetch_c, pack_b, epilogue)
    values = gemm_words(shape, cut, gemm, a, b)
    tasks = math.prod(shape.batch) * cut.tasks
    text = gemm_source(gemm, machine.vector_bytes)
    launch = Launch(text, "gemm", ordered(gemm.words, values), tasks)
    return Plan((*packing.launches, launch), packing.scratch)


def is_better_packed(a: Operand, shape: Shape, cut: Cut) -> bool:
    """Whether A is read so often that a copy, which is read in order, pays."""
    if shape.n <= DIRECT_COLUMNS or cut.tiles == 1 or cut.by_rows:
        return False
    return a.size > PACK_BYTES or a.line % PAGE == 0 and cut.tiles > DIRECT_TILES


def is_by_steps(a: Operand) -> bool:
    """Whether each step along k reads lines of the cache of its own."""
    return bool(a.panel or a.order == "lines") and a.size > DIRECT_BYTES


def is_cached(b: Operand, shape: Shape) -> bool:
    """Whether reading B's rows where they lie costs no more than reading a copy."""
    whole = b.step % LINE == 0 and b.step % PAGE != 0 and shape.m < MANY_ROWS
    return b.size < CACHED_BYTES if whole else b.size <= DIRECT_BYTES


def is_tall(shape: Shape, a: Operand, b: Operand, cached: bool) -> bool:
    """Whether a task goes through few rows of A once, and again and again through B.

    Where results feed further products, as in a recurrent net, a thread then finds the rows that
    it wrote in its own cache.
    """
    if shape.m < FEW_ROWS:
        return False
    if a.order != "steps" and a.size > DIRECT_BYTES:
        # A product for a weight's gradient. What a row of tiles reads of A fits the first cache.
        many = shape.m >= TURNED_ROWS and shape.k <= TURNED_STEPS
        return cached and many and a.order == "lines"
    if cached:
        return shape.m >= shape.n or b.size <= SHARED_BYTES
    return shape.m >= MANY_ROWS and b.size <= CACHED_BYTES


def is_far_apart(b: Operand) -> bool:
    """Whether B's rows are so far apart that the processor will not foresee the next one."""
    return b.step >= FAR and b.size > PACK_BYTES


def gemm_words(shape: Shape, cut: Cut, gemm: Gemm, a: Operand, b: Operand) -> Words:
    """The kernel's words by name."""
    values: Words = {
        "a": a.where, "b": b.where, "k": shape.k, "k_block": K_LIMIT // 2, "n": shape.n,
        "full": cut.full, "height": cut.height, "tiles": cut.tiles, "panels": cut.panels,
        "task_tiles": ceil(cut.tiles, cut.groups_m), "groups_m": cut.groups_m,
        "groups_n": cut.groups_n, "a_tile": a.panel, "a_row": 0 if a.panel else a.line,
        "a_step": a.step, "a_stride": a.line if gemm.micro.along_k else a.step,
        "b_panel": b.panel or gemm.micro.columns * b.line, "b_line": b.line, "b_step": b.step,
    }  # fmt: skip
    return values | loop_words(shape, a, b) | epilogue_words(shape, gemm.epilogue)


def loop_words(shape: Shape, a: Operand, b: Operand) -> Words:
    """The sizes of the batch, and how it moves the operands."""
    values: Words = {}
    for i, size in enumerate(shape.batch):
        values |= {f"size{i}": size, f"a_batch{i}": a.batch[i], f"b_batch{i}": b.batch[i]}
    return values


def epilogue_words(shape: Shape, epilogue: Epilogue) -> Words:
    """Pointers, run-time strides and scalars."""
    values: Words = {f"scalar{j}": (f"scalar{j}", 0) for j in range(len(epilogue.scalars))}
    for i, (access, strides) in enumerate(zip(epilogue.accesses, shape.accesses, strict=True)):
        values[f"pointer{i}"] = (f"access{i}", 0)
        for loop, stride in enumerate(access.strides):
            if stride is None:
                values[f"stride{i}.{loop}"] = strides[loop]
    return values


def ordered(names: tuple[str, ...], values: Words) -> tuple[Where, ...]:
    found = (values[name] for name in names)
    return tuple(value if isinstance(value, tuple) else ("", value) for value in found)


# -- packing


@frozen
class Lines:
    """How an operand's lines are cut into panels: `full` ones of `height` lines, then one less."""

    count: int
    height: int
    full: int
    panels: int


class Packing:
    """The launches that pack whole operands, and the scratch memory that they fill."""

    def __init__(self, matmul: Matmul, shape: Shape, machine: Machine) -> None:
        self.element, self.shape, self.machine = matmul.element, shape, machine
        self.launches: list[Launch] = []
        self.scratch = 0

    def add(self, operand: Operand, lines: Lines) -> Operand:
        """Pack an operand, and answer where it lies then."""
        lanes = self.machine.vector_bytes // self.element.itemsize
        vectors = ceil(lines.height, lanes)
        pack = Pack(operand.dtype, computed(self.element), lanes, vectors, operand.order)
        values = self.words(operand, lines, pack)
        panel = values["panel_bytes"]
        strides: list[int] = []
        tasks, used = values["groups"] * values["chunks"], lines.panels * panel
        for i, size in reversed(list(enumerate(self.shape.batch))):
            size = size if operand.batch[i] else 1
            strides.insert(0, used if operand.batch[i] else 0)
            values |= {f"size{i}": size, f"from{i}": operand.batch[i], f"to{i}": used}
            tasks, used = tasks * size, used * size
        where = ("scratch", self.scratch)
        named: Words = {"source": operand.where, "target": where, **values}
        batch = len(self.shape.batch)
        text = pack_source(pack, batch, self.machine.vector_bytes)
        self.launches.append(Launch(text, "pack", ordered(pack_words(batch), named), tasks))
        self.scratch += used
        return Operand(where, self.element, 0, pack.row_bytes, tuple(strides), used, panel)

    def words(self, operand: Operand, lines: Lines, pack: Pack) -> dict[str, int]:
        """The numbers that a packing launch needs, apart from the batch's."""
        k = self.shape.k
        beside = operand.order == "lines"
        most = PACK_STEPS // 4 if beside else PACK_STEPS
        chunk = ceil(min(max(1, k), most), pack.lanes) * pack.lanes
        group = min(lines.panels, PACK_GROUP) if beside else 1
        return {
            "lines": lines.count, "k": k, "line": operand.line, "step": operand.step,
            "full": lines.full, "height": lines.height, "panels": lines.panels,
            "panel_bytes": ceil(k, pack.lanes) * pack.lanes * pack.row_bytes,
            "chunk": chunk, "chunks": ceil(k, chunk),
            "group": group, "groups": ceil(lines.panels, group),
            "stripe": STRIPE if beside else chunk,
        }  # fmt: skip
