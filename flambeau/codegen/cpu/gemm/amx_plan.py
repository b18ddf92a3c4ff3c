"""How a product is done with tile registers: what is packed, and the tasks."""

from __future__ import annotations

import math
from functools import lru_cache

from flambeau.ir.record import replace

from ....ir import dtype as types
from .amx import Amx, amx_text
from .cut import Cut, ceil, grouped, wanted_tasks
from .epilogue import Epilogue
from .packing import Lines
from .pairs import Pairs, pairs_text
from .pieces import PIECES
from .spec import Launch, Machine, Matmul, Plan, Shape
from .tiles import BLOCK, LINES, ROW, SQUARE, STEPS, Tile, rows_word
from .words import Operand, Words, epilogue_words, loop_words, ordered

TASK_WORK = 1 << 22  # floating-point operations of a task, or more
CHUNK_BYTES = 1 << 16  # that a task packs, about
WORTH, DEEP = 160, 256  # rows × columns over rows + columns, and steps, that make packing pay
GROUP = 16  # panels packed together where lines are contiguous

amx_source = lru_cache(maxsize=256)(amx_text)
pairs_source = lru_cache(maxsize=256)(pairs_text)


def is_for_amx(matmul: Matmul, shape: Shape, machine: Machine) -> bool:
    """Whether tile registers multiply these operands, and packing their pieces pays."""
    if not machine.tiles or matmul.element is types.float64:
        return False
    if matmul.a is matmul.b is types.bfloat16:
        return True
    return shape.m * shape.n >= WORTH * (shape.m + shape.n) and shape.k >= DEEP


def amx_plan(
    matmul: Matmul, shape: Shape, machine: Machine, epilogue: Epilogue, a: Operand, b: Operand
) -> Plan:
    """Launches that pack B, and A unless its lines may be read where they lie."""
    down, across = (2 if size > LINES else 1 for size in (shape.m, shape.n))
    tiles, panels = ceil(shape.m, down * LINES), ceil(shape.n, across * LINES)
    height = ceil(shape.m, tiles)
    full = shape.m - tiles * (height - 1)
    cut = Cut(across, height, tiles, full, panels, 1, 1, by_rows=False)
    wanted = wanted_tasks(shape, panels * across * LINES, TASK_WORK)
    cut = grouped(cut, shape, wanted, PIECES[matmul.a] * types.bfloat16.itemsize)
    packing = PairPacking(shape, machine)
    in_place = matmul.a is types.bfloat16 and a.order == "steps" and shape.k % STEPS == 0
    line, step, square = a.line, STEPS * a.dtype.itemsize, LINES * a.line
    if not in_place:
        a = packing.add(a, Lines(shape.m, height, full, tiles), down, by_lines=True)
        square = PIECES[matmul.a] * SQUARE
        line, step = ROW, down * square
    columns = across * LINES
    b = packing.add(b, Lines(shape.n, columns, panels, panels), across, by_lines=False)
    tile = Tile(matmul.a, matmul.b, down, across)
    amx = Amx(tile, in_place, shape.n % columns != 0, shape.k > BLOCK, epilogue)
    values: Words = {
        "a": a.where, "b": b.where, "k": shape.k, "n": shape.n,
        "full": full, "height": height, "tiles": tiles, "panels": panels,
        "groups_m": cut.groups_m, "groups_n": cut.groups_n,
        "rows": rows_word(height, down, across), "a_tile": a.panel,
        "a_row": line if in_place else 0, "a_block": step, "a_square": square, "a_stride": line,
        "b_panel": b.panel,
    }  # fmt: skip
    values |= loop_words(shape, a, b) | epilogue_words(shape, epilogue)
    tasks = math.prod(shape.batch) * cut.tasks
    text = amx_source(amx, machine.vector_bytes)
    launch = Launch(text, "amx", ordered(amx.words, values), tasks)
    return Plan((*packing.launches, launch), packing.scratch)


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
