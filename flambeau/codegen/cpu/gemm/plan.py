"""Chooses, from the sizes alone, how a matrix multiplication is done, and fills in the words.

- one row times a large matrix with contiguous rows: sums of rows (`sweep`);
- a small C with a long sum: in parts, which are added (`combine`);
- few rows times a matrix with contiguous columns: dot products (`dot`);
- bfloat16, and large products of wider floats, where the processor has tile registers: by them
  (`amx`);
- else: tiles in registers (`kernel`), whose operands are read in place, packed by the tasks that
  need them, or packed before by launches of their own (`pack`).
"""

from __future__ import annotations

import math
from functools import lru_cache

from flambeau.ir.record import replace

from ...values import computed
from .amx_plan import amx_plan, is_for_amx, parts_for_tiles
from .combine import (
    ROWS_OF_A_TASK,
    Combine,
    c_bytes,
    combine_text,
    in_parts,
    is_long,
    parts_of,
    placed,
)
from .cut import MOST_TASKS, Cut, ceil, cut_up
from .dot import Dot, columns_at_once, dot_text, rows_at_once, suits_dots
from .epilogue import Epilogue
from .kernel import K_LIMIT, Gemm, gemm_text
from .micro import LINE, Micro
from .pack import Pack
from .packing import Lines, Packing
from .spec import Launch, Machine, Matmul, Plan, Shape
from .swap import is_better_turned, turned
from .sweep import ROWS as SWEPT_ROWS
from .sweep import Sweep, sweep_text
from .words import Operand, Words, accesses, epilogue_words, loop_words, operands, ordered

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
AHEAD_A, AHEAD_B, AHEAD_FAR = 24, 4, 8  # steps along k that operands are fetched ahead
DEEP_PANEL, AHEAD_DEEP = 1 << 16, 12  # bytes of a panel that the first cache cannot keep; steps
FAR = 1 << 10
CACHED_C = 1 << 16  # elements of C up to which its memory needs not be asked for
FETCHED_K = 64
DOT_BYTES = 1 << 17  # of B, for each task of dot products
SWEPT_BYTES, SWEPT_TASKS = 1 << 15, 16  # of B, for each task that sums rows, and how many at most
SWEPT_SUMS = 1 << 14  # bytes of sums that stay in the first cache

gemm_source = lru_cache(maxsize=256)(gemm_text)
sweep_source = lru_cache(maxsize=256)(sweep_text)
dot_source = lru_cache(maxsize=256)(dot_text)


@lru_cache(maxsize=4096)
def plan(matmul: Matmul, shape: Shape, machine: Machine) -> Plan:
    """The launches for one shape."""
    if 0 in (*shape.batch, shape.m, shape.n):
        return Plan((), 0)
    if is_better_turned(matmul, shape, machine.vector_bytes // matmul.element.itemsize):
        made = plan_as_it_is(*turned(matmul, shape), machine)
        return replace(made, launches=placed(made, {"a": ("b", 0), "b": ("a", 0)}))
    return plan_as_it_is(matmul, shape, machine)


def plan_as_it_is(matmul: Matmul, shape: Shape, machine: Machine) -> Plan:
    """The launches, without turning the problem around."""
    if is_swept(matmul, shape):
        return sweep_plan(matmul, shape, machine)
    parts = parts_for_tiles(matmul, shape, machine)
    if parts == 1 and not is_long(shape):
        return whole_plan(matmul, shape, machine)
    cut = (shape.k // parts, parts, 0) if parts > 1 else parts_of(shape)
    combine = combine_launch(matmul, shape, machine, cut[1] + (cut[2] > 0))
    return in_parts(matmul, shape, machine, whole_plan, combine, cut)


def whole_plan(matmul: Matmul, shape: Shape, machine: Machine) -> Plan:
    """The launches, without cutting k into parts."""
    lanes = machine.vector_bytes // matmul.element.itemsize
    a, b = operands(matmul, shape)
    epilogue = Epilogue(len(shape.batch), accesses(matmul, shape), matmul.scalars, matmul.stores)
    if a.order == "steps" == b.order and suits_dots(shape.m, shape.k, lanes):
        rows = rows_at_once(shape.m)
        columns = columns_at_once(rows, lanes, machine.registers)
        dot = Dot(matmul.a, matmul.b, matmul.element, lanes, epilogue, rows, columns)
        return dot_plan(dot, shape, a, b, machine)
    if is_for_amx(matmul, shape, machine):
        return amx_plan(matmul, shape, machine, epilogue, a, b)
    return gemm_plan(matmul, shape, machine, epilogue, a, b)


# -- dot products


def dot_plan(dot: Dot, shape: Shape, a: Operand, b: Operand, machine: Machine) -> Plan:
    """One launch; a task is a group of blocks of columns."""
    blocks, matrices = ceil(shape.n, dot.columns), math.prod(shape.batch)
    wanted = min(MOST_TASKS, ceil(b.size * matrices, DOT_BYTES))
    groups = min(blocks, ceil(wanted, matrices))
    values: Words = {
        "a": a.where, "b": b.where, "k": shape.k, "n": shape.n, "m": shape.m, "a_row": a.line,
        "b_column": b.line, "blocks": blocks, "groups": groups,
    }  # fmt: skip
    values |= loop_words(shape, a, b) | epilogue_words(shape, dot.epilogue)
    text = dot_source(dot, machine.vector_bytes)
    return Plan((Launch(text, "dot", ordered(dot.words, values), matrices * groups),), 0)


# -- sums of rows


def is_swept(matmul: Matmul, shape: Shape) -> bool:
    """Whether C is one row, and B larger than what is worth a launch, its rows contiguous."""
    size = shape.k * shape.n * matmul.b.itemsize
    return shape.m == 1 < shape.b[-2] and shape.b[-1] == 1 and size >= 4 * SWEPT_BYTES


def sweep_plan(matmul: Matmul, shape: Shape, machine: Machine) -> Plan:
    """A launch that sums rows by parts of k, and one that adds the parts."""
    lanes = machine.vector_bytes // matmul.element.itemsize
    a, b = operands(matmul, shape)
    width = SWEPT_SUMS // matmul.element.itemsize
    matrices, groups = math.prod(shape.batch), ceil(shape.n, width)
    wanted = ceil(min(SWEPT_TASKS, b.size * matrices // SWEPT_BYTES), matrices * groups)
    length = ceil(ceil(shape.k, wanted), SWEPT_ROWS) * SWEPT_ROWS
    parts = ceil(shape.k, length)
    sweep = Sweep(matmul.a, matmul.b, matmul.element, lanes, len(shape.batch))
    values: Words = {
        "a": a.where, "b": b.where, "target": ("scratch", 0), "k": shape.k, "n": shape.n,
        "a_step": a.step, "b_step": b.step, "parts": parts, "length": length, "groups": groups,
        "width": width, "part_bytes": c_bytes(matmul, shape),
    }  # fmt: skip
    values |= loop_words(shape, a, b)
    text = sweep_source(sweep, machine.vector_bytes)
    launch = Launch(text, "sweep", ordered(sweep.words, values), matrices * parts * groups)
    combine = combine_launch(matmul, shape, machine, parts)
    return Plan((launch, combine), parts * c_bytes(matmul, shape))


# -- parts of k


def combine_launch(matmul: Matmul, shape: Shape, machine: Machine, parts: int) -> Launch:
    """The launch that adds the products of the parts of k, and does the epilogue."""
    lanes = machine.vector_bytes // matmul.element.itemsize
    epilogue = Epilogue(len(shape.batch), accesses(matmul, shape), matmul.scalars, matmul.stores)
    combine = Combine(matmul.element, lanes, epilogue)
    groups = ceil(shape.m, ROWS_OF_A_TASK)
    values: Words = {
        "partial": ("scratch", 0), "parts": parts, "m": shape.m, "n": shape.n,
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
    cut = cut_up(shape, lanes, machine, readable, is_tall(shape, a, b, cached), matmul.varied)
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
        along_k=a.order == "steps", ragged=shape.n % columns != 0 or matmul.varied and not in_place,
        packed=not in_place,
        keeps=shape.k > K_LIMIT, ahead_a=AHEAD_A if is_by_steps(a) else 0,
        ahead_b=steps_ahead(b, cut, in_place, shape.k * cut.vectors * machine.vector_bytes),
    )  # fmt: skip
    fetch_c = shape.k <= FETCHED_K and shape.m * shape.n > CACHED_C
    uneven = cut.full < cut.tiles or matmul.varied
    gemm = Gemm(micro, uneven, cut.by_rows, fetch_c, pack_b, epilogue)
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


def steps_ahead(b: Operand, cut: Cut, in_place: bool, panel: int) -> int:
    """How many steps ahead B is fetched; `panel` counts the bytes of one."""
    if in_place:
        return AHEAD_FAR if is_far_apart(b, cut) else 0
    if panel > DEEP_PANEL:
        return AHEAD_DEEP
    return AHEAD_B if cut.by_rows else 0


def is_far_apart(b: Operand, cut: Cut) -> bool:
    """Whether B's rows are so far apart that the processor will not foresee the next one."""
    return b.step >= FAR and b.size > (DIRECT_BYTES if cut.by_rows else PACK_BYTES)


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
