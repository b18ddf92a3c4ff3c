"""Copies an operand into panels, so that the micro-kernel reads it in order.

A panel holds lines (rows of A, columns of B) side by side: for each step along k, one element of
each line. Lines that the operand lacks are zero or repeat the last one; nobody uses their products.
"""

from __future__ import annotations

from flambeau.ir.record import frozen

from ....ir.dtype import DType
from ...builder import Builder, Value, vector_of
from ...values import stored
from .micro import moved


@frozen
class Pack:
    """How panels are filled. `order`: 'lines' or 'steps' are contiguous, or neither ('any')."""

    source: DType
    element: str  # the LLVM type that is computed with: 'float' or 'double'
    lanes: int
    vectors: int  # side by side in a panel
    order: str

    @property
    def itemsize(self) -> int:
        return 4 if self.element == "float" else 8

    @property
    def row_bytes(self) -> int:
        return self.vectors * self.lanes * self.itemsize

    @property
    def vector(self) -> str:
        return vector_of(self.element, self.lanes)


@frozen
class Panel:
    """One panel to fill: `lines` lines of `steps` steps, with strides in bytes."""

    source: Value
    target: Value
    line: Value
    step: Value
    lines: Value
    steps: Value


PARAMS = {"source": "ptr", "target": "ptr", "line": "i64", "step": "i64", "lines": "i64",
          "steps": "i64"}  # fmt: skip


def pack_function(b: Builder, pack: Pack, name: str) -> None:
    """Emit `void name(source, target, line, step, lines, steps)`."""
    values = {key: Value(kind, f"%{key}") for key, kind in PARAMS.items()}
    with b.function(name, "void", list(values.values())):
        panel = Panel(**values)
        {"lines": copy_lines, "steps": copy_steps, "any": copy_any}[pack.order](b, pack, panel)
        b.line("ret void")


def call_pack(b: Builder, name: str, panel: Panel) -> None:
    b.invoke(name, *(getattr(panel, key) for key in PARAMS))


def copy_lines(b: Builder, pack: Pack, panel: Panel) -> None:
    """Lines are contiguous: one masked vector load and one store for each vector of a step."""
    masks = [
        b.active(b.sub(panel.lines, v * pack.lanes) if v else panel.lines, pack.lanes)
        for v in range(pack.vectors)
    ]
    carry = [panel.source, panel.target]
    with b.loop(0, panel.steps, carry=carry) as loop:
        here, there = loop.carried
        for v, mask in enumerate(masks):
            place = b.element(here, stored(pack.source), v * pack.lanes)
            value = b.load_element(pack.source, place, pack.lanes, mask)
            b.store(value, b.element(there, pack.element, v * pack.lanes))
        loop.next = [moved(b, here, panel.step), moved(b, there, pack.row_bytes)]


def copy_any(b: Builder, pack: Pack, panel: Panel) -> None:
    """Neither is contiguous: element by element."""
    with b.loop(0, panel.steps) as step:
        here = moved(b, panel.source, b.mul(step.index, panel.step))
        there = moved(b, panel.target, b.mul(step.index, pack.row_bytes))
        with b.loop(0, panel.lines, carry=[here, there]) as line:
            value = b.load_element(pack.source, line.carried[0])
            b.store(value, line.carried[1])
            line.next = [
                moved(b, line.carried[0], panel.line),
                moved(b, line.carried[1], pack.itemsize),
            ]


def copy_steps(b: Builder, pack: Pack, panel: Panel) -> None:
    """Steps are contiguous: squares of lanes × lanes elements are transposed in registers.

    The last squares are stored whole: a panel has room for a multiple of `lanes` steps.
    """
    final = b.sub(panel.lines, 1)
    with b.loop(0, panel.steps, pack.lanes) as block:
        mask = b.active(b.sub(panel.steps, block.index), pack.lanes)
        here = b.element(panel.source, stored(pack.source), block.index)
        there = moved(b, panel.target, b.mul(block.index, pack.row_bytes))
        with b.loop(0, pack.vectors) as v:
            first = b.mul(v.index, pack.lanes)
            rows = []
            for r in range(pack.lanes):
                line = b.smin(b.add(first, r), final)
                place = moved(b, here, b.mul(line, panel.line))
                rows.append(b.load_element(pack.source, place, pack.lanes, mask))
            to = b.element(there, pack.element, first)
            for r, row in enumerate(transposed(b, rows)):
                b.store(row, b.element(to, "i8", r * pack.row_bytes))


def transposed(b: Builder, rows: list[Value]) -> list[Value]:
    """The transpose of a square of vectors, by swapping blocks of 1, 2, 4, … lanes.

    Each time, row r and row r + block exchange the odd blocks of one for the even blocks of the
    other.
    """
    size, block = len(rows), 1
    while block < size:
        low = [lane if not lane & block else lane - block + size for lane in range(size)]
        high = [lane + block if not lane & block else lane + size for lane in range(size)]
        fresh = list(rows)
        for r in range(size):
            if not r & block:
                fresh[r] = b.shuffle(rows[r], rows[r + block], low)
                fresh[r + block] = b.shuffle(rows[r], rows[r + block], high)
        rows, block = fresh, 2 * block
    return rows


# -- packing as a launch of its own

WORDS = ("source", "target", "lines", "k", "line", "step", "full", "height", "panels",
         "panel_bytes", "chunk", "chunks", "group", "groups", "stripe")  # fmt: skip


def pack_words(batch: int) -> tuple[str, ...]:
    return WORDS + tuple(f"{what}{i}" for i in range(batch) for what in ("size", "from", "to"))


def pack_text(pack: Pack, batch: int, vector_bytes: int) -> str:
    """A module with the kernel `pack`: a task packs a chunk of steps of a group of panels.

    It does so in stripes of a few steps, so that panels whose lines share cache lines of the
    operand are filled together.
    """
    b = Builder(vector_bytes)
    pack_function(b, pack, "pack_panel")
    with b.kernel("pack") as frame:
        w = {name: b.word(i) for i, name in enumerate(pack_words(batch))}
        with b.loop(frame.begin, frame.end) as task:
            one_task(b, w, task.index, pack, batch)
    return b.text()


def one_task(b: Builder, w: dict[str, Value], task: Value, pack: Pack, batch: int) -> None:
    rest, chunk = divided(b, task, w["chunks"])
    rest, group = divided(b, rest, w["groups"])
    source, target = b.word_pointer(0), b.word_pointer(1)
    for i in reversed(range(batch)):
        rest, index = divided(b, rest, w[f"size{i}"])
        source = moved(b, source, b.mul(index, w[f"from{i}"]))
        target = moved(b, target, b.mul(index, w[f"to{i}"]))
    begin, first = b.mul(chunk, w["chunk"]), b.mul(group, w["group"])
    end = b.smin(b.add(begin, w["chunk"]), w["k"])
    past = b.smin(b.add(first, w["group"]), w["panels"])
    with b.loop(begin, end, w["stripe"]) as stripe, b.loop(first, past) as panel:
        steps = b.smin(b.sub(end, stripe.index), w["stripe"])
        one_stripe(b, w, pack, source, target, panel.index, stripe.index, steps)


def one_stripe(
    b: Builder, w: dict[str, Value], pack: Pack, source: Value, target: Value, panel: Value,
    start: Value, steps: Value,
) -> None:  # fmt: skip
    first = first_line(b, panel, w)
    last = b.smin(first_line(b, b.add(panel, 1), w), w["lines"])
    source = moved(b, moved(b, source, b.mul(first, w["line"])), b.mul(start, w["step"]))
    target = moved(b, target, b.mul(panel, w["panel_bytes"]))
    target = moved(b, target, b.mul(start, pack.row_bytes))
    lines = b.sub(last, first)
    call_pack(b, "pack_panel", Panel(source, target, w["line"], w["step"], lines, steps))


def divided(b: Builder, x: Value, y: Value) -> tuple[Value, Value]:
    """The quotient and the rest of two counts."""
    return b.int("udiv", x, y), b.int("urem", x, y)


def share(b: Builder, group: Value, count: Value, groups: Value) -> tuple[Value, Value]:
    """The part of `count` things that is a group's: all groups have about as many."""
    first = b.int("udiv", b.mul(group, count), groups)
    return first, b.int("udiv", b.mul(b.add(group, 1), count), groups)


def first_line(b: Builder, panel: Value, w: dict[str, Value]) -> Value:
    """Where a panel begins: the first `full` ones have `height` lines, the others one less."""
    short = b.smax(b.sub(panel, w["full"]), 0)
    return b.sub(b.mul(panel, w["height"]), short)
