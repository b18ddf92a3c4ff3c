"""A few rows times a matrix whose columns are contiguous: each element of C is a dot product.

Vectors run along k. A task takes a few columns and rows at a time, keeps a vector of partial sums
for each pair of them, and in the end adds each up, which leaves one vector for each row of C.
"""

from __future__ import annotations

from flambeau.ir.record import frozen

from ....ir.dtype import DType
from ...builder import Builder, Value, vector_of
from ...values import computed, stored
from .cut import power_of_two
from .epilogue import Epilogue, Finish, Place
from .micro import column_masks, moved
from .pack import divided, share
from .words import loop_names

WORDS = ("a", "b", "k", "n", "m", "a_row", "b_column", "blocks", "groups")


MOST_ROWS = 6  # of a tile
FEW, MANY = 4, 12  # rows for which dot products always pay, and only if they are long
LONG = 4  # vectors along k


def rows_at_once(m: int) -> int:
    """Rows of A in a tile: none of them is left over."""
    return max(n for n in range(1, MOST_ROWS + 1) if m % n == 0)


def columns_at_once(rows: int, lanes: int, registers: int) -> int:
    """Columns of B in a tile: three quarters of the registers hold sums."""
    return min(lanes, power_of_two(registers * 3 // 4 // rows + 1) // 2)


def suits_dots(m: int, k: int, lanes: int) -> bool:
    """Whether there are so few rows that columns are best read where they lie."""
    if m <= FEW:
        return k >= lanes // 2
    return m <= MANY and k >= LONG * lanes and rows_at_once(m) > 1


@frozen
class Dot:
    """A kernel of dot products: operand types, lanes of a vector, and the epilogue."""

    a: DType
    b: DType
    dtype: DType  # in which sums are kept
    lanes: int
    epilogue: Epilogue
    rows: int  # of A, and columns of B, whose dot products are made at once
    columns: int

    @property
    def batch(self) -> int:
        return self.epilogue.batch

    @property
    def element(self) -> str:
        return computed(self.dtype)

    @property
    def words(self) -> tuple[str, ...]:
        return WORDS + loop_names(self.batch) + self.epilogue.words


def dot_text(dot: Dot, vector_bytes: int) -> str:
    """A module with the kernel `dot`: a task is a group of blocks of columns of one batch."""
    b = Builder(vector_bytes)
    with b.kernel("dot") as frame:
        w = {name: b.word(i) for i, name in enumerate(dot.words[: -len(dot.epilogue.words)])}
        with b.loop(frame.begin, frame.end) as task:
            rest, group = divided(b, task.index, w["groups"])
            a, b_ = b.word_pointer(0), b.word_pointer(1)
            batch: list[Value] = []
            for i in reversed(range(dot.batch)):
                rest, index = divided(b, rest, w[f"size{i}"])
                a = moved(b, a, b.mul(index, w[f"a_batch{i}"]))
                b_ = moved(b, b_, b.mul(index, w[f"b_batch{i}"]))
                batch.insert(0, index)
            first, last = share(b, group, w["blocks"], w["groups"])
            with b.loop(first, last) as block, b.loop(0, w["m"], dot.rows) as row:
                one_block(b, dot, w, a, b_, block.index, row.index, tuple(batch))
    return b.text()


def one_block(
    b: Builder, dot: Dot, w: dict[str, Value], a: Value, b_: Value, block: Value, row: Value,
    batch: tuple[Value, ...],
) -> None:  # fmt: skip
    """Some rows of A times one block of columns, and the epilogue."""
    column = b.mul(block, dot.columns)
    columns = b.sub(w["n"], column)
    final = b.sub(columns, 1)
    start = moved(b, b_, b.mul(column, w["b_column"]))
    lines = [moved(b, start, b.mul(b.smin(final, i), w["b_column"])) for i in range(dot.columns)]
    rows = [moved(b, a, b.mul(b.add(row, i), w["a_row"])) for i in range(dot.rows)]
    sums = partial_sums(b, dot, w["k"], rows, lines)
    for i in range(dot.rows):
        total = added_up(b, sums[i * dot.columns : (i + 1) * dot.columns], dot.lanes)
        at = b.add(row, i)
        place = Place(batch, at, column, b.smin(columns, dot.columns))
        masks: list[Value | None] = list(column_masks(b, 1, dot.lanes, place.columns))
        words = len(dot.words) - len(dot.epilogue.words)
        end = Finish(b, dot.epilogue, words, dot.lanes, place, masks)
        end.write_row(end.start, at, [total])


def partial_sums(b: Builder, dot: Dot, k: Value, rows: list[Value],
                 lines: list[Value]) -> list[Value]:  # fmt: skip
    """For each row and line a vector, whose lanes together are their dot product."""
    zero = b.number(vector_of(dot.element, dot.lanes), 0)
    rest = b.int("urem", k, dot.lanes)
    whole = b.sub(k, rest)
    with b.loop(0, whole, dot.lanes, carry=[zero] * (dot.rows * dot.columns)) as loop:
        loop.next = more(b, dot, rows, lines, loop.index, loop.carried, None)
    mask = b.active(rest, dot.lanes)
    return more(b, dot, rows, lines, whole, loop.results, mask)


def more(
    b: Builder, dot: Dot, rows: list[Value], lines: list[Value], at: Value, sums: list[Value],
    mask: Value | None,
) -> list[Value]:  # fmt: skip
    """The sums with a vector of steps along k added."""

    def part(pointer: Value, dtype: DType) -> Value:
        return b.load_element(dtype, b.element(pointer, stored(dtype), at), dot.lanes, mask)

    left = [part(row, dot.a) for row in rows]
    right = [part(line, dot.b) for line in lines]
    pairs = [(x, y) for x in left for y in right]
    return [b.fma(x, y, s) for (x, y), s in zip(pairs, sums, strict=True)]


def added_up(b: Builder, rows: list[Value], size: int) -> Value:
    """The sums of the lanes of some vectors, as one vector, again and again if it has more lanes.

    As in a transposition, pairs of vectors exchange blocks of 1, 2, 4, … lanes, but then they are
    added.
    """
    block = 1
    while block < size:
        if len(rows) == 1:
            other = b.shuffle(rows[0], rows[0], [lane ^ block for lane in range(size)])
            rows, block = [b.add(rows[0], other)], 2 * block
            continue
        low = [lane if not lane & block else lane - block + size for lane in range(size)]
        high = [lane + block if not lane & block else lane + size for lane in range(size)]
        pairs = zip(rows[::2], rows[1::2], strict=True)
        rows = [b.add(b.shuffle(x, y, low), b.shuffle(x, y, high)) for x, y in pairs]
        block *= 2
    return rows[0]
