"""Copies 16-bit operands into squares of 1 KB, as the processor's tile registers take them.

A square is 16 lines (rows of A, columns of B) × 32 steps along k. Of A, it holds line after line;
of B, pair of steps after pair of steps, and for each the pairs of all lines side by side. Seen as
32-bit elements, one is the transpose of the other. Steps that the operand lacks are zero; lines
that it lacks may be anything, as nobody uses their products.
"""

from __future__ import annotations

from flambeau.ir.record import frozen

from ...builder import Builder, Value
from .micro import moved
from .pack import divided, first_line, transposed

LINES, STEPS = 16, 32  # of a square
ROW = 64  # bytes of a row of a square
SQUARE = LINES * ROW
WORDS = (
    "source", "target", "lines", "k", "line", "step", "full", "height", "panels", "blocks",
    "panel_bytes", "chunk", "chunks", "group", "groups",
)  # fmt: skip


@frozen
class Pairs:
    """How squares are filled. `order`: 'lines' or 'steps' are contiguous, or neither ('any').

    `by_lines`: squares hold line after line, else pair after pair; `squares` are side by side in
    a panel; `batch` loops.
    """

    order: str
    by_lines: bool
    squares: int
    batch: int

    @property
    def words(self) -> tuple[str, ...]:
        loops = (f"{what}{i}" for i in range(self.batch) for what in ("size", "from", "to"))
        return WORDS + tuple(loops)


@frozen
class Square:
    """One square to fill: strides in bytes, and how many lines and steps the operand has."""

    source: Value
    target: Value
    line: Value
    step: Value
    lines: Value
    steps: Value


PARAMS = {"source": "ptr", "target": "ptr", "line": "i64", "step": "i64", "lines": "i64",
          "steps": "i64"}  # fmt: skip


def pairs_text(pairs: Pairs, vector_bytes: int) -> str:
    """A module with the kernel `pairs`: a task fills some blocks of steps of some panels."""
    b = Builder(vector_bytes)
    values = {key: Value(kind, f"%{key}") for key, kind in PARAMS.items()}
    fill = {"lines": from_lines, "steps": from_steps, "any": from_any}[pairs.order]
    for name, whole in (("whole", True), ("rest", False)):
        with b.function(name, "void", list(values.values())):
            fill(b, pairs, Square(**values), whole)
            b.line("ret void")
    with b.kernel("pairs") as frame:
        w = {name: b.word(i) for i, name in enumerate(pairs.words)}
        with b.loop(frame.begin, frame.end) as task:
            one_task(b, pairs, w, task.index)
    return b.text()


def one_task(b: Builder, pairs: Pairs, w: dict[str, Value], task: Value) -> None:
    """Block of steps after block of steps, and in each the squares of all panels of the task."""
    rest, chunk = divided(b, task, w["chunks"])
    rest, group = divided(b, rest, w["groups"])
    source, target = b.word_pointer(0), b.word_pointer(1)
    for i in reversed(range(pairs.batch)):
        rest, index = divided(b, rest, w[f"size{i}"])
        source = moved(b, source, b.mul(index, w[f"from{i}"]))
        target = moved(b, target, b.mul(index, w[f"to{i}"]))
    begin, first = b.mul(chunk, w["chunk"]), b.mul(group, w["group"])
    end = b.smin(b.add(begin, w["chunk"]), w["blocks"])
    past = b.smin(b.add(first, w["group"]), w["panels"])
    with b.loop(begin, end) as block, b.loop(first, past) as panel:
        at = b.mul(block.index, STEPS)
        steps = b.smin(b.sub(w["k"], at), STEPS)
        to = moved(b, target, b.mul(panel.index, w["panel_bytes"]))
        to = moved(b, to, b.mul(block.index, pairs.squares * SQUARE))
        line = first_line(b, panel.index, w)
        lines = b.sub(w["lines"], line)
        here = moved(b, moved(b, source, b.mul(at, w["step"])), b.mul(line, w["line"]))
        filler = whole_or_rest(b, steps)
        for i in range(pairs.squares):
            place = moved(b, here, w["line"], i * LINES)
            square = Square(place, moved(b, to, i * SQUARE), w["line"], w["step"],
                            b.sub(lines, i * LINES) if i else lines, steps)  # fmt: skip
            args = ", ".join(getattr(square, key).typed for key in PARAMS)
            with b.when(b.icmp("sgt", square.lines, 0)):
                b.line(f"call void {filler}({args})")


def whole_or_rest(b: Builder, steps: Value) -> Value:
    whole = b.icmp("eq", steps, STEPS)
    return b.op(f"select i1 {whole}, ptr @whole, ptr @rest", "ptr")


def from_steps(b: Builder, pairs: Pairs, square: Square, whole: bool) -> None:
    """Steps are contiguous: a line is one load, and turned into pairs by a transposition."""
    mask = None if whole else b.active(square.steps, STEPS)
    final, rows = b.sub(square.lines, 1), []
    for i in range(LINES):
        place = moved(b, square.source, b.mul(b.smin(final, i), square.line))
        if mask is None:
            rows.append(b.load("<16 x i32>", place, 2))
        else:
            raw = b.load_masked("<32 x i16>", place, mask)
            rows.append(b.op(f"bitcast <32 x i16> {raw} to <16 x i32>", "<16 x i32>"))
    put(b, square, rows if pairs.by_lines else transposed(b, rows))


def from_lines(b: Builder, pairs: Pairs, square: Square, whole: bool) -> None:
    """Lines are contiguous: two steps are interleaved."""
    mask = b.active(square.lines, LINES)

    def step(number: int) -> Value:
        place = moved(b, square.source, square.step, number)
        if whole:
            present = mask
        else:
            there = b.icmp("sgt", square.steps, number)
            present = b.int("and", mask, b.splat(there, LINES))
        return b.convert("zext", b.load_masked("<16 x i16>", place, present), "i32")

    rows = [
        b.int("or", step(number), b.int("shl", step(number + 1), 16))
        for number in range(0, STEPS, 2)
    ]
    put(b, square, transposed(b, rows) if pairs.by_lines else rows)


def put(b: Builder, square: Square, rows: list[Value]) -> None:
    for i, row in enumerate(rows):
        b.store(row, moved(b, square.target, i * ROW), 64)


def from_any(b: Builder, pairs: Pairs, square: Square, whole: bool) -> None:
    """Neither is contiguous: element by element."""
    if not whole:
        put(b, square, [b.number("<16 x i32>", 0)] * LINES)
    lines = b.smin(square.lines, LINES)
    with b.loop(0, square.steps) as step, b.loop(0, lines) as line:
        here = moved(b, square.source, b.mul(step.index, square.step))
        here = moved(b, here, b.mul(line.index, square.line))
        if pairs.by_lines:
            at = b.add(b.mul(line.index, STEPS), step.index)
        else:
            pair, odd = divided(b, step.index, b.i64(2))
            at = b.add(b.add(b.mul(pair, STEPS), b.mul(line.index, 2)), odd)
        b.store(b.load("i16", here), b.element(square.target, "i16", at))
