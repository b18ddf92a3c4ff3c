"""Loops of hand-written kernels: cut into tasks, run in order, or walked by vectors.

A walk has sizes and, for each operand, strides in elements. Kernels take both as words, so that one
kernel serves all sizes. How a walk is cut depends on sizes only: the same bits on any number of
threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from flambeau.ir.record import frozen

from ...ir.layout import Ints
from ..builder import Builder
from ..values import Value

TASK_WORK = 1 << 15  # elements that make a task
COLUMNS = 64  # what a task has at least along the vectors
Loop = tuple[int, Ints]  # how often it runs, and the strides of all operands


@frozen
class Walk:
    """Loops: parallel ones outside, those that run in order, and the one along vectors."""

    outer: tuple[Loop, ...]
    serial: tuple[Loop, ...]
    columns: Loop

    def block(self) -> int:
        """How many columns a task has."""
        n, rows = self.columns[0], prod(s for s, _ in self.serial)
        return n if rows * n < 2 * TASK_WORK else max(COLUMNS, -(-n // 4 // COLUMNS) * COLUMNS)

    def blocks(self) -> int:
        return -(-self.columns[0] // self.block())

    def grain(self) -> int:
        """How many blocks a task does."""
        return max(1, TASK_WORK // max(1, self.block() * prod(n for n, _ in self.serial)))

    def tasks(self) -> int:
        return -(-prod(n for n, _ in self.outer) * self.blocks() // self.grain())

    def words(self) -> list[int]:
        """The words of the kernel after the operands' addresses."""
        loops = [*self.outer, *self.serial, self.columns]
        found = [n for n, _ in loops] + [s for _, strides in loops for s in strides]
        return [*found, self.block(), self.blocks(), self.grain()]


def merged(loops: Sequence[Loop]) -> list[Loop]:
    """Neighbours that all operands walk as one become one."""
    found: list[Loop] = []
    for n, strides in loops:
        if found and all(a == b * n for a, b in zip(found[-1][1], strides)):
            found[-1] = found[-1][0] * n, strides
        else:
            found.append((n, strides))
    return found


class WalkWriter:
    """Writes the tasks of a kernel; what happens inside the outer loops is for `inside`."""

    def __init__(self, b: Builder, elements: Sequence[str], outer: int, serial: int) -> None:
        self.b, self.elements, self.outer = b, elements, outer
        self.loops = outer + serial + 1

    def inside(self, pointers: list[Value]) -> None:
        """Columns `first` ≤ c < `last` at one turn of the outer loops."""
        raise NotImplementedError(f"{type(self).__name__} must say what is done")

    def write(self, name: str) -> str:
        """The module with the kernel."""
        b, count = self.b, len(self.elements)
        with b.kernel(name) as frame:
            pointers = [b.word_pointer(n) for n in range(count)]
            self.sizes = [b.word(count + n) for n in range(self.loops)]
            at = count + self.loops
            self.strides = [[b.word(at + count * n + a) for a in range(count)]
                            for n in range(self.loops)]  # fmt: skip
            block, blocks, grain = (b.word(at + count * self.loops + n) for n in range(3))
            total = blocks
            for n in range(self.outer):
                total = b.mul(total, self.sizes[n])
            end = b.smin(b.mul(frame.end, grain), total)
            with b.loop(b.mul(frame.begin, grain), end) as turn:
                row = b.int("udiv", turn.index, blocks)
                self.first = b.mul(b.sub(turn.index, b.mul(row, blocks)), block)
                self.last = b.smin(b.add(self.first, block), self.sizes[-1])
                self.inside(self._at(row, pointers))
        return b.text()

    def _at(self, row: Value, pointers: list[Value]) -> list[Value]:
        """The pointers at one turn of the outer loops."""
        b = self.b
        for n in reversed(range(self.outer)):
            turn = b.int("udiv", row, self.sizes[n])
            pointers = self.advanced(pointers, n, b.sub(row, b.mul(turn, self.sizes[n])))
            row = turn
        return pointers

    def advanced(self, pointers: list[Value], loop: int, counter: Value) -> list[Value]:
        """The pointers when a loop has come to a counter."""
        b = self.b
        return [b.element(p, e, b.mul(counter, s))
                for p, e, s in zip(pointers, self.elements, self.strides[loop])]  # fmt: skip

    def places(self, operand: int, column: Value, lanes: int, step: int | None) -> Value:
        """Each lane's place in an operand, counted from the first column."""
        b = self.b
        each = b.add(b.splat(column, lanes), b.iota(lanes))
        return each if step == 1 else b.mul(each, b.splat(self.strides[-1][operand], lanes))
