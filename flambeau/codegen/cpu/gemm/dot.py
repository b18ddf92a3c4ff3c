"""A few rows times a matrix whose columns are contiguous: each element of C is a dot product.

Vectors run along k. A task takes columns by as many as a vector has lanes, keeps a vector of
partial sums for each, and in the end adds each up, which leaves one vector of C's row.
"""

from __future__ import annotations

from flambeau.ir.record import frozen

from ....ir.dtype import DType
from ...builder import Builder, Value, vector_of
from ...values import computed, stored
from .epilogue import Epilogue, Finish, Place
from .micro import column_masks, moved
from .pack import divided, share
from .words import loop_names

WORDS = ("a", "b", "k", "n", "m", "a_row", "b_column", "blocks", "groups")


@frozen
class Dot:
    """A kernel of dot products: operand types, lanes of a vector, and the epilogue."""

    a: DType
    b: DType
    dtype: DType  # in which sums are kept
    lanes: int
    epilogue: Epilogue

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
            with b.loop(first, last) as block, b.loop(0, w["m"]) as row:
                one_block(b, dot, w, a, b_, block.index, row.index, tuple(batch))
    return b.text()


def one_block(
    b: Builder, dot: Dot, w: dict[str, Value], a: Value, b_: Value, block: Value, row: Value,
    batch: tuple[Value, ...],
) -> None:  # fmt: skip
    """One row of A times one block of columns, and the epilogue."""
    column = b.mul(block, dot.lanes)
    columns = b.sub(w["n"], column)
    final = b.sub(columns, 1)
    a = moved(b, a, b.mul(row, w["a_row"]))
    start = moved(b, b_, b.mul(column, w["b_column"]))
    lines = [moved(b, start, b.mul(b.smin(final, i), w["b_column"])) for i in range(dot.lanes)]
    total = added_up(b, partial_sums(b, dot, w["k"], a, lines))
    place = Place(batch, row, column, b.smin(columns, dot.lanes))
    masks: list[Value | None] = list(column_masks(b, 1, dot.lanes, place.columns))
    words = len(dot.words) - len(dot.epilogue.words)
    end = Finish(b, dot.epilogue, words, dot.lanes, place, masks)
    end.write_row(end.start, row, [total])


def partial_sums(b: Builder, dot: Dot, k: Value, a: Value, lines: list[Value]) -> list[Value]:
    """For each line a vector, whose lanes together are its dot product with `a`."""
    zero = b.number(vector_of(dot.element, dot.lanes), 0)
    rest = b.int("urem", k, dot.lanes)
    whole = b.sub(k, rest)
    with b.loop(0, whole, dot.lanes, carry=[zero] * dot.lanes) as loop:
        loop.next = more(b, dot, a, lines, loop.index, loop.carried, None)
    mask = b.active(rest, dot.lanes)
    return more(b, dot, a, lines, whole, loop.results, mask)


def more(
    b: Builder, dot: Dot, a: Value, lines: list[Value], at: Value, sums: list[Value],
    mask: Value | None,
) -> list[Value]:  # fmt: skip
    """The sums with a vector of steps along k added."""

    def part(pointer: Value, dtype: DType) -> Value:
        return b.load_element(dtype, b.element(pointer, stored(dtype), at), dot.lanes, mask)

    left = part(a, dot.a)
    return [b.fma(left, part(line, dot.b), s) for line, s in zip(lines, sums, strict=True)]


def added_up(b: Builder, rows: list[Value]) -> Value:
    """The sums of the lanes of as many vectors as a vector has lanes, as one vector.

    As in a transposition, pairs of vectors exchange blocks of 1, 2, 4, … lanes, but then they are
    added.
    """
    size, block = len(rows), 1
    while len(rows) > 1:
        low = [lane if not lane & block else lane - block + size for lane in range(size)]
        high = [lane + block if not lane & block else lane + size for lane in range(size)]
        pairs = zip(rows[::2], rows[1::2], strict=True)
        rows = [b.add(b.shuffle(x, y, low), b.shuffle(x, y, high)) for x, y in pairs]
        block *= 2
    return rows[0]
