"""How a product is done with tile registers: what is packed, and the tasks."""

from __future__ import annotations

import math
from functools import lru_cache

from flambeau.ir.record import replace

from ....ir import dtype as types
from ....ir.dtype import DType
from .amx import Amx, amx_text
from .cut import MOST_TASKS, Cut, ceil, grouped, power_of_two, wanted_tasks
from .epilogue import Epilogue
from .packing import Lines
from .pairs import Pairs, pairs_text
from .pieces import PIECES
from .spec import Launch, Machine, Matmul, Plan, Shape
from .tiles import BLOCK, LINES, ROW, SQUARE, STEPS, Tile, rows_word
from .words import Operand, Words, epilogue_words, loop_words, ordered

TASK_WORK = 1 << 22  # floating-point operations of a task, or more
CHUNK_BYTES = 1 << 16  # that a task packs, about
WORTH, LONG, SHORT, DEEP = 150, 384, 96, 64  # sizes from which packing wider floats pays
ENOUGH = 3 << 22  # multiplications, at least
FEWEST_LINES, FEWEST_TASKS = 256, 8  # of an operand that tasks pack themselves
SMALLEST, MOST_PARTS = 192, 4  # sides of a C for which k is cut: from this to twice as much
CACHED, ROOM = 1 << 21, 1 << 19  # bytes of the other operand's squares; that a task packs of A
MOST_REPACKED = 4  # how often a panel of B may be packed by tasks that read A in place
GROUP = 16  # panels packed together where lines are contiguous

amx_source = lru_cache(maxsize=256)(amx_text)
pairs_source = lru_cache(maxsize=256)(pairs_text)


def is_for_amx(matmul: Matmul, shape: Shape, machine: Machine) -> bool:
    """Whether tile registers multiply these operands, and packing their pieces pays."""
    if not machine.tiles or matmul.element is types.float64:
        return False
    if matmul.a is matmul.b is types.bfloat16:
        return True
    if math.prod(shape.batch) > 1 and min(shape.m, shape.n) >= SMALLEST:
        return shape.k >= DEEP
    less, more = sorted((shape.m, shape.n))
    long = more >= LONG and less >= SHORT
    enough = shape.k >= DEEP and shape.k * less * more >= ENOUGH
    return enough and (long or less * more >= WORTH * (less + more))


def amx_plan(
    matmul: Matmul, shape: Shape, machine: Machine, epilogue: Epilogue, a: Operand, b: Operand
) -> Plan:
    """Launches that pack B, and A unless its lines may be read where they lie.

    What each task packs for itself of one of them need not go from one processor's cache to the
    other's.
    """
    down, across = (2 if size > LINES else 1 for size in (shape.m, shape.n))
    tile = Tile(matmul.a, matmul.b, down, across)
    cut = cut_up(matmul, shape, tile)
    rows = Lines(shape.m, cut.height, cut.full, cut.tiles)
    columns = Lines(shape.n, tile.columns, cut.panels, cut.panels)
    in_place = matmul.a is types.bfloat16 and a.order == "steps" and shape.k % STEPS == 0
    packers = packed_by_tasks(matmul, shape, machine, in_place)
    square = LINES * a.line if in_place else PIECES[matmul.a] * SQUARE
    line, step = (a.line, ROW) if in_place else (ROW, down * square)
    packing, given_a, given_b = PairPacking(shape, machine), a, b
    pack_a, pack_b, room_a, room_b, blocks = None, None, 0, 0, ceil(shape.k, STEPS)
    if packers:
        cut = cut_for_packers(matmul, shape, machine, cut, packers, in_place)
    if "a" in packers:
        a = replace(a, panel=blocks * step)
        pack_a = Pairs(a.dtype, a.order, True, down, 0)
        room_a = power_of_two(ceil(cut.tiles, cut.groups_m) * a.panel)
    elif not in_place:
        a = packing.add(a, rows, down, by_lines=True)
    if "b" in packers:
        b = replace(b, panel=blocks * tile.b_block)
        pack_b, room_b = Pairs(b.dtype, b.order, False, across, 0), power_of_two(b.panel)
    else:
        b = packing.add(b, columns, across, by_lines=False)
    ragged = shape.n % tile.columns != 0
    amx = Amx(tile, pack_a, pack_b, room_a, room_b, in_place, ragged, shape.k > BLOCK, epilogue)
    values: Words = {
        "a": a.where, "b": b.where, "m": shape.m, "k": shape.k, "n": shape.n,
        "full": cut.full, "height": cut.height, "tiles": cut.tiles, "panels": cut.panels,
        "groups_m": cut.groups_m, "groups_n": cut.groups_n,
        "rows": rows_word(cut.height, down, across), "a_tile": a.panel,
        "a_row": line if in_place else 0, "a_block": step, "a_square": square, "a_stride": line,
        "a_line": given_a.line, "a_step": given_a.step, "b_panel": b.panel,
        "b_line": given_b.line, "b_step": given_b.step,
    }  # fmt: skip
    values |= loop_words(shape, a, b) | epilogue_words(shape, epilogue)
    tasks = math.prod(shape.batch) * cut.tasks
    text = amx_source(amx, machine.vector_bytes)
    launch = Launch(text, "amx", ordered(amx.words, values), tasks)
    return Plan((*packing.launches, launch), packing.scratch)


def cut_up(matmul: Matmul, shape: Shape, tile: Tile) -> Cut:
    """Tiles of about equal heights, and tasks for what is packed before."""
    tiles, panels = ceil(shape.m, tile.rows), ceil(shape.n, tile.columns)
    height = ceil(shape.m, tiles)
    full = shape.m - tiles * (height - 1)
    cut = Cut(tile.across, height, tiles, full, panels, 1, 1, by_rows=False)
    wanted = wanted_tasks(shape, panels * tile.columns, TASK_WORK)
    return grouped(cut, shape, wanted, PIECES[matmul.a] * types.bfloat16.itemsize)


def packed_by_tasks(matmul: Matmul, shape: Shape, machine: Machine, in_place: bool) -> str:
    """The operands that tasks pack. What a task packs lies on its stack.

    That is B beside an A that is read in place; else both, of several small products, or of
    bfloat16 on few processors; else the longer one, where the other one's squares stay cached.
    """
    a, b = (squares_bytes(dtype, lines, shape.k) for dtype, lines in
            ((matmul.a, shape.m), (matmul.b, shape.n)))  # fmt: skip
    if in_place:
        fits = squares_bytes(matmul.b, 2 * LINES, shape.k) <= ROOM
        return "b" if fits and 2 * a <= CACHED else ""
    if math.prod(shape.batch) > 1 and max(shape.m, shape.n) <= 2 * SMALLEST and a <= 2 * ROOM:
        return "ab"
    few = matmul.a is matmul.b is types.bfloat16 and machine.processors <= MOST_PARTS
    if few and math.prod(shape.batch) == 1 and max(a, b) <= CACHED // 2:
        return "ab"
    longer, other = (matmul.a, b) if shape.m >= shape.n else (matmul.b, a)
    if max(shape.m, shape.n) < FEWEST_LINES or 2 * other > CACHED:
        return ""
    if squares_bytes(longer, 2 * LINES, shape.k) > ROOM:
        return ""
    return "a" if shape.m >= shape.n else "b"


def cut_for_packers(
    matmul: Matmul, shape: Shape, machine: Machine, cut: Cut, packers: str, in_place: bool
) -> Cut:
    """The cut with tasks for the operands that they pack: few repeat what others do."""
    if in_place:
        return replace(cut, groups_m=min(cut.groups_m, MOST_REPACKED))
    if packers == "b":
        return replace(cut, groups_m=1, groups_n=min(cut.panels, MOST_TASKS))
    if packers == "a":
        tile = squares_bytes(matmul.a, cut.height, shape.k)
        tiles = max(1, min(ROOM // tile, ceil(cut.tiles, FEWEST_TASKS)))
        return replace(cut, groups_m=ceil(cut.tiles, tiles), groups_n=1)
    tasks = 1 if math.prod(shape.batch) > 1 else min(machine.processors, cut.tasks)
    if shape.m >= shape.n:
        return replace(cut, groups_m=min(cut.tiles, tasks), groups_n=1)
    return replace(cut, groups_m=1, groups_n=min(cut.panels, tasks))


def squares_bytes(dtype: DType, lines: int, steps: int) -> int:
    """What an operand takes in squares."""
    return ceil(lines, LINES) * ceil(steps, STEPS) * PIECES[dtype] * SQUARE


def parts_for_tiles(matmul: Matmul, shape: Shape, machine: Machine) -> int:
    """Into how many parts k is cut, one a processor, so that each packs what it needs itself.

    That pays for a small C of about equal sides, on few processors.
    """
    parts, sides = machine.processors, (shape.m, shape.n)
    wide = matmul.a is matmul.b is types.float32 and machine.tiles and not shape.batch
    small = SMALLEST <= min(sides) and max(sides) <= 2 * SMALLEST
    if not wide or not small or not 1 < parts <= MOST_PARTS:
        return 1
    fits = squares_bytes(matmul.a, shape.m, shape.k // parts) <= 2 * ROOM
    return parts if fits and shape.k % parts == 0 and shape.k >= parts * 4 * STEPS else 1


class PairPacking:
    """The launches that pack operands into squares, and the scratch memory that they fill."""

    def __init__(self, shape: Shape, machine: Machine) -> None:
        self.shape, self.machine = shape, machine
        self.launches: list[Launch] = []
        self.scratch = 0

    def add(self, operand: Operand, lines: Lines, squares: int, by_lines: bool) -> Operand:
        """Pack an operand, and answer where it lies then."""
        blocks, beside = ceil(self.shape.k, STEPS), operand.order == "lines"
        group = min(lines.panels, GROUP) if beside else 1
        pairs = Pairs(operand.dtype, operand.order, by_lines, squares, len(self.shape.batch))
        chunk = max(1, CHUNK_BYTES // (group * pairs.block_bytes))
        panel = blocks * pairs.block_bytes
        values: Words = {
            "source": operand.where, "target": ("scratch", self.scratch), "lines": lines.count,
            "k": self.shape.k, "line": operand.line, "step": operand.step, "full": lines.full,
            "height": lines.height, "panels": lines.panels, "blocks": blocks,
            "panel_bytes": panel, "chunk": chunk, "chunks": ceil(blocks, chunk), "group": group,
            "groups": ceil(lines.panels, group),
        }  # fmt: skip
        strides: list[int] = []
        tasks, used = ceil(blocks, chunk) * ceil(lines.panels, group), lines.panels * panel
        for i, size in reversed(list(enumerate(self.shape.batch))):
            size = size if operand.batch[i] else 1
            strides.insert(0, used if operand.batch[i] else 0)
            values |= {f"size{i}": size, f"from{i}": operand.batch[i], f"to{i}": used}
            tasks, used = tasks * size, used * size
        text = pairs_source(pairs, self.machine.vector_bytes)
        self.launches.append(Launch(text, "pairs", ordered(pairs.words, values), tasks))
        where = ("scratch", self.scratch)
        self.scratch += used
        return replace(operand, where=where, batch=tuple(strides), size=used, panel=panel)
