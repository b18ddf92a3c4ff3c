"""Copies operands into squares of 1 KB of bfloat16, as the processor's tile registers take them.

A square is 16 lines (rows of A, columns of B) × 32 steps along k. Of A, it holds line after line;
of B, pair of steps after pair of steps, and for each the pairs of all lines side by side. Seen as
32-bit elements, one is the transpose of the other. A wider float fills a square with each of its
`pieces`. Steps that the operand lacks are zero; lines that it lacks may be anything, as nobody uses
their products.
"""

from __future__ import annotations

from flambeau.ir.record import frozen

from ....ir import dtype as types
from ....ir.dtype import DType
from ...builder import Builder, Value
from ...values import stored
from .micro import moved
from .pack import divided, first_line, transposed
from .pieces import HIGH, PIECES, pieces_of
from .tiles import LINES, ROW, SQUARE, STEPS

WORDS = (
    "source", "target", "lines", "k", "line", "step", "full", "height", "panels", "blocks",
    "panel_bytes", "chunk", "chunks", "group", "groups",
)  # fmt: skip


@frozen
class Pairs:
    """How squares are filled. `order`: 'lines' or 'steps' are contiguous, or neither ('any').

    `by_lines`: squares hold line after line, else pair after pair; `squares` are side by side in
    a panel, each as often as there are pieces; `batch` loops.
    """

    source: DType
    order: str
    by_lines: bool
    squares: int
    batch: int

    @property
    def words(self) -> tuple[str, ...]:
        loops = (f"{what}{i}" for i in range(self.batch) for what in ("size", "from", "to"))
        return WORDS + tuple(loops)

    @property
    def pieces(self) -> int:
        return PIECES[self.source]

    @property
    def block_bytes(self) -> int:
        """Of the squares of one block of steps."""
        return self.pieces * self.squares * SQUARE


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
    square_functions(b, pairs)
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
        to = moved(b, target, b.mul(panel.index, w["panel_bytes"]))
        fill_block(b, pairs, w, source, to, panel.index, block.index)


def fill_block(
    b: Builder, pairs: Pairs, w: dict[str, Value], source: Value, target: Value, panel: Value,
    block: Value, name: str = "",
) -> None:  # fmt: skip
    """The squares of one block of steps of a panel, which begins at `target`.

    name: of the functions for squares.
    """
    at = b.mul(block, STEPS)
    steps = b.smin(b.sub(w["k"], at), STEPS)
    target = moved(b, target, b.mul(block, pairs.block_bytes))
    line = first_line(b, panel, w)
    lines = b.sub(w["lines"], line)
    here = moved(b, moved(b, source, b.mul(at, w["step"])), b.mul(line, w["line"]))
    filler = whole_or_rest(b, steps, name)
    for i in range(pairs.squares):
        place = moved(b, here, w["line"], i * LINES)
        there = moved(b, target, i * pairs.pieces * SQUARE)
        square = Square(place, there, w["line"], w["step"],
                        b.sub(lines, i * LINES) if i else lines, steps)  # fmt: skip
        with b.when(b.icmp("sgt", square.lines, 0)):
            b.invoke(filler, *(getattr(square, key) for key in PARAMS))


# -- one square


def square_functions(b: Builder, pairs: Pairs, suffix: str = "") -> None:
    """`void whole(…)` and `void rest(…)`: fill a square that has all its steps, or fewer."""
    values = {key: Value(kind, f"%{key}") for key, kind in PARAMS.items()}
    for name, whole in (("whole", True), ("rest", False)):
        with b.function(name + suffix, "void", list(values.values())):
            fill(b, pairs, Square(**values), whole)
            b.line("ret void")


def whole_or_rest(b: Builder, steps: Value, suffix: str) -> Value:
    whole = b.icmp("eq", steps, STEPS)
    return b.op(f"select i1 {whole}, ptr @whole{suffix}, ptr @rest{suffix}", "ptr")


def fill(b: Builder, pairs: Pairs, square: Square, whole: bool) -> None:
    """Read the square as it lies, and transpose it where it is wanted the other way."""
    as_wanted = pairs.by_lines == (pairs.order == "steps")
    if pairs.order == "any":
        from_any(b, pairs, square, whole)
    elif pairs.source is types.bfloat16:
        rows = (from_steps if pairs.order == "steps" else from_lines)(b, square, whole)
        put(b, square, 0, rows if as_wanted else transposed(b, rows))
    else:
        read = by_line if pairs.order == "steps" else by_step
        vectors = read(b, pairs.source, square, whole)
        if not as_wanted:
            vectors = [*transposed(b, vectors[:LINES]), *transposed(b, vectors[LINES:])]
        put_pieces(b, pairs, square, vectors)


def put_pieces(b: Builder, pairs: Pairs, square: Square, vectors: list[Value]) -> None:
    """Fill the squares of all pieces. vectors: first and second halves of lines, or steps."""
    pieces = [pieces_of(b, vector, pairs.pieces) for vector in vectors]
    for i in range(pairs.pieces):
        if pairs.by_lines:
            both = zip(pieces[:LINES], pieces[LINES:], strict=True)
            put(b, square, i, [halves(b, first[i], second[i]) for first, second in both])
        else:
            both = zip(pieces[0::2], pieces[1::2], strict=True)
            put(b, square, i, [interleaved(b, even[i], odd[i]) for even, odd in both])


def from_steps(b: Builder, square: Square, whole: bool) -> list[Value]:
    """Line after line of bfloat16, whose steps are contiguous: one load each."""
    rows = []
    for place in line_places(b, square):
        if whole:
            rows.append(b.load("<16 x i32>", place, 2))
        else:
            raw = b.load_masked("<32 x i16>", place, b.active(square.steps, STEPS))
            rows.append(b.op(f"bitcast <32 x i16> {raw} to <16 x i32>", "<16 x i32>"))
    return rows


def from_lines(b: Builder, square: Square, whole: bool) -> list[Value]:
    """Pair after pair of steps of bfloat16, whose lines are contiguous."""
    steps = [
        b.convert("zext", b.load_masked("<16 x i16>", place, mask), "i32")
        for place, mask in step_places(b, square, whole)
    ]
    pairs = zip(steps[0::2], steps[1::2], strict=True)
    return [b.int("or", even, b.int("shl", odd, 16)) for even, odd in pairs]


def by_line(b: Builder, source: DType, square: Square, whole: bool) -> list[Value]:
    """The first halves of all lines, then the second ones; steps are contiguous."""
    vectors, places = [], line_places(b, square)
    for half in (0, LINES):
        mask = None if whole else b.active(b.sub(square.steps, half), LINES)
        for place in places:
            at = b.element(place, stored(source), half)
            vectors.append(b.load_element(source, at, LINES, mask))
    return vectors


def by_step(b: Builder, source: DType, square: Square, whole: bool) -> list[Value]:
    """All steps; lines are contiguous."""
    return [
        b.load_element(source, place, LINES, mask) for place, mask in step_places(b, square, whole)
    ]


def line_places(b: Builder, square: Square) -> list[Value]:
    """Where lines begin; the last one again for those that the operand lacks."""
    final = b.sub(square.lines, 1)
    return [moved(b, square.source, b.mul(b.smin(final, i), square.line)) for i in range(LINES)]


def step_places(b: Builder, square: Square, whole: bool) -> list[tuple[Value, Value]]:
    """Where steps begin, and masks of the lines that they have."""
    mask, found = b.active(square.lines, LINES), []
    for number in range(STEPS):
        there = mask
        if not whole:
            present = b.icmp("sgt", square.steps, number)
            there = b.int("and", mask, b.splat(present, LINES))
        found.append((moved(b, square.source, square.step, number), there))
    return found


def halves(b: Builder, first: Value, second: Value) -> Value:
    """The row of a line: the high halves of its first steps, then those of its second ones."""
    shorts = f"<{STEPS} x i16>"
    first, second = (b.op(f"bitcast {x.typed} to {shorts}", shorts) for x in (first, second))
    row = b.shuffle(first, second, range(1, 2 * STEPS, 2))
    return b.op(f"bitcast {row.typed} to <{LINES} x i32>", f"<{LINES} x i32>")


def interleaved(b: Builder, even: Value, odd: Value) -> Value:
    """The row of a pair of steps: the high halves of both, for all lines."""
    return b.int("or", b.int("lshr", even, 16), b.int("and", odd, HIGH))


def put(b: Builder, square: Square, piece: int, rows: list[Value]) -> None:
    """Fill the square of a piece."""
    target = moved(b, square.target, piece * SQUARE)
    for i, row in enumerate(rows):
        b.store(row, moved(b, target, i * ROW), 64)


def from_any(b: Builder, pairs: Pairs, square: Square, whole: bool) -> None:
    """Neither is contiguous: element by element."""
    if not whole:
        for i in range(pairs.pieces):
            put(b, square, i, [b.number("<16 x i32>", 0)] * LINES)
    lines = b.smin(square.lines, LINES)
    with b.loop(0, square.steps) as step, b.loop(0, lines) as line:
        here = moved(b, square.source, b.mul(step.index, square.step))
        here = moved(b, here, b.mul(line.index, square.line))
        if pairs.by_lines:
            at = b.add(b.mul(line.index, STEPS), step.index)
        else:
            pair, odd = divided(b, step.index, b.i64(2))
            at = b.add(b.add(b.mul(pair, STEPS), b.mul(line.index, 2)), odd)
        value = b.load_element(pairs.source, here)
        for i, piece in enumerate(pieces_of(b, value, pairs.pieces)):
            high = b.convert("trunc", b.int("lshr", piece, 16), "i16")
            b.store(high, b.element(moved(b, square.target, i * SQUARE), "i16", at))
