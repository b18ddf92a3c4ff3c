"""A row vector times a matrix whose rows are contiguous: B is read once, in the order it lies in.

A task takes some steps along k and some columns, and adds up rows of B, each times its element of
A. Its sums stay in the first cache; they are a part of C, and `combine` adds the parts.
"""

from __future__ import annotations

from flambeau.ir.record import frozen

from ....ir.dtype import DType
from ...builder import Builder, Value, vector_of
from ...values import computed, stored
from .micro import fetch, moved
from .pack import divided
from .words import loop_names

ROWS = 8  # of B that are added at once
AHEAD = 8  # rows ahead that B is fetched
WORDS = (
    "a", "b", "target", "k", "n", "a_step", "b_step", "parts", "part_bytes", "length", "groups",
    "width",
)  # fmt: skip


@frozen
class Sweep:
    """A kernel of sums of rows: operand types, the type of sums, lanes, loops of the batch."""

    a: DType
    b: DType
    dtype: DType
    lanes: int
    batch: int

    @property
    def element(self) -> str:
        return computed(self.dtype)

    @property
    def words(self) -> tuple[str, ...]:
        return WORDS + loop_names(self.batch)


@frozen
class Rows:
    """What one task adds up: the first elements of A, B and the sums, and strides in bytes."""

    a: Value
    b: Value
    sums: Value
    a_step: Value
    b_step: Value
    columns: Value


def sweep_text(sweep: Sweep, vector_bytes: int) -> str:
    """A module with the kernel `sweep`: a task is a part of k × a group of columns of a matrix."""
    b = Builder(vector_bytes)
    with b.kernel("sweep") as frame:
        w = {name: b.word(i) for i, name in enumerate(sweep.words)}
        with b.loop(frame.begin, frame.end) as task:
            one_task(b, sweep, w, task.index)
    return b.text()


def one_task(b: Builder, sweep: Sweep, w: dict[str, Value], task: Value) -> None:
    rest, group = divided(b, task, w["groups"])
    matrix, part = divided(b, rest, w["parts"])
    a, b_, target = b.word_pointer(0), b.word_pointer(1), b.word_pointer(2)
    rest = matrix
    for i in reversed(range(sweep.batch)):
        rest, index = divided(b, rest, w[f"size{i}"])
        a = moved(b, a, b.mul(index, w[f"a_batch{i}"]))
        b_ = moved(b, b_, b.mul(index, w[f"b_batch{i}"]))
    begin, column = b.mul(part, w["length"]), b.mul(group, w["width"])
    steps = b.smin(b.sub(w["k"], begin), w["length"])
    target = moved(b, target, b.mul(part, w["part_bytes"]))
    rows = Rows(
        a=moved(b, a, b.mul(begin, w["a_step"])),
        b=b.element(moved(b, b_, b.mul(begin, w["b_step"])), stored(sweep.b), column),
        sums=b.element(target, sweep.element, b.add(b.mul(matrix, w["n"]), column)),
        a_step=w["a_step"], b_step=w["b_step"],
        columns=b.smin(b.sub(w["n"], column), w["width"]),
    )  # fmt: skip
    for_vectors(b, sweep, rows, [])
    many = b.sub(steps, b.int("urem", steps, ROWS))
    for first, last, count in ((b.i64(0), many, ROWS), (many, steps, 1)):
        with b.loop(first, last, count) as step:
            here = Rows(
                moved(b, rows.a, b.mul(step.index, rows.a_step)),
                moved(b, rows.b, b.mul(step.index, rows.b_step)),
                rows.sums, rows.a_step, rows.b_step, rows.columns,
            )  # fmt: skip
            scalars = [
                b.splat(b.load_element(sweep.a, moved(b, here.a, here.a_step, i)), sweep.lanes)
                for i in range(count)
            ]
            for_vectors(b, sweep, here, scalars)


def for_vectors(b: Builder, sweep: Sweep, rows: Rows, scalars: list[Value]) -> None:
    """Add as many rows as there are scalars, each times its own; without any, clear the sums."""
    lines = [moved(b, rows.b, rows.b_step, i) for i in range(len(scalars))]
    ahead = [moved(b, rows.b, rows.b_step, AHEAD + i) for i in range(len(scalars))]
    rest = b.int("urem", rows.columns, sweep.lanes)
    whole = b.sub(rows.columns, rest)
    with b.loop(0, whole, sweep.lanes) as column:
        for line in ahead:
            fetch(b, b.element(line, stored(sweep.b), column.index))
        one_vector(b, sweep, rows, lines, scalars, column.index, None)
    with b.when(b.icmp("ne", rest, 0)):
        one_vector(b, sweep, rows, lines, scalars, whole, b.active(rest, sweep.lanes))


def one_vector(
    b: Builder, sweep: Sweep, rows: Rows, lines: list[Value], scalars: list[Value], column: Value,
    mask: Value | None,
) -> None:  # fmt: skip
    """A vector of sums with an element of each row added."""
    place = b.element(rows.sums, sweep.element, column)
    if scalars:
        total = b.load_element(sweep.dtype, place, sweep.lanes, mask)
    else:
        total = b.number(vector_of(sweep.element, sweep.lanes), 0)
    for line, scalar in zip(lines, scalars, strict=True):
        here = b.element(line, stored(sweep.b), column)
        total = b.fma(scalar, b.load_element(sweep.b, here, sweep.lanes, mask), total)
    b.store_element(sweep.dtype, total, place, mask)
