"""Kernels that run down columns: passes over a few vectors of columns at a time."""

from __future__ import annotations

from ..ir.kernel import Nest, Stage
from ..ir.tree import Result
from . import reduce as reducing
from .builder import Frame
from .nest import Known, NestWriter, Place, ceil_div, flatten, refill
from .reduce import State
from .scalar import cost
from .values import Mask, Value


def column_vectors(nest: Nest) -> int:
    """How many vectors of columns are reduced side by side."""
    most = max((len(stage.reduces) for stage in nest.stages), default=1)
    operations, slow = cost(*nest.trees())
    return 1 if slow > 2 else 2 if slow or operations > 24 else 8 if most <= 1 else 4


def column_block(nest: Nest) -> int:
    """How many columns a task has at least; the same on all machines, so that tasks are."""
    return column_vectors(nest) * 16


class ColumnWriter(NestWriter):
    """Writes kernels of the modes columns and split columns."""

    def _tasks(self, frame: Frame) -> None:
        """A task is `grain` columns; with split, of one chunk of the rows."""
        b, reduced = self.b, self.nest.reduced
        blocks = ceil_div(b, self.sizes[self.last], self.grain)
        pieces, length = b.i64(1), self.sizes[reduced]
        if self.nest.mode == "split columns":
            length = self.word("chunk")
            pieces = ceil_div(b, self.sizes[reduced], length)
        with b.loop(frame.begin, frame.end) as task:
            rest = b.int("udiv", task.index, blocks)
            begin = b.mul(b.sub(task.index, b.mul(rest, blocks)), self.grain)
            end = b.smin(b.add(begin, self.grain), self.sizes[self.last])
            row = b.int("udiv", rest, pieces) if pieces.name != "1" else rest
            piece = b.sub(rest, b.mul(row, pieces))
            place = self._place(self._decompose(row, self.outer))
            first = b.mul(piece, length)
            last = b.smin(b.add(first, length), self.sizes[reduced])
            if self.nest.mode == "split columns":
                self._to_piece(place, piece)
            self._column_blocks(place, begin, end, first, last)

    def _column_blocks(
        self, place: Place, begin: Value, end: Value, first: Value, last: Value
    ) -> None:
        """Columns begin ≤ c < end over rows first ≤ r < last."""
        b, several = self.b, column_vectors(self.nest)
        while several > 1:
            step = several * self.lanes
            full = b.add(begin, b.int("and", b.sub(end, begin), -step))
            with b.loop(begin, full, step) as loop:
                columns = [b.add(loop.index, u * self.lanes) for u in range(several)]
                self._column_block(place, columns, None, first, last)
            begin, several = full, several // 2  # a vector alone waits for each sum
        with b.loop(begin, end, self.lanes) as rest:
            mask = b.first_lanes(b.sub(end, rest.index), self.lanes)
            self._column_block(place, [rest.index], mask, first, last)

    def _column_block(
        self, place: Place, columns: list[Value], mask: Mask | None, first: Value, last: Value
    ) -> None:
        """All passes over a few vectors of columns."""
        results: list[Known] = [{} for _ in columns]
        at = [Place(place.pointers, place.coords, column, mask) for column in columns]
        for stage in self.nest.stages:
            moving = self._moving(stage)
            if stage.reduces or moving:
                states = self._down(stage, at, results, first, last)
                for known, column_states in zip(results, states, strict=True):
                    for reduce, state in zip(stage.reduces, column_states, strict=True):
                        final = reducing.result(self.b, reduce, state)
                        known[Result(len(known), reduce.dtype)] = final
            late = [store for store in stage.stores if store not in moving]
            for here, known in zip(at, results, strict=True):
                self._store_late(late, here, dict(known))

    def _down(
        self, stage: Stage, at: list[Place], results: list[Known], first: Value, last: Value
    ) -> list[list[State]]:
        """One pass down a few vectors of columns; the partial results of each."""
        reduced, trees = self.nest.reduced, self._moving_trees(stage)
        known = [dict(result) for result in results]
        for here, mine in zip(at, known, strict=True):
            self._hoist(trees, reduced, here, mine)
        states = [self._starts(stage) for _ in at]
        with self.b.loop(first, last, carry=flatten(states)) as row:
            inside = refill(row.carried, states)
            pointers = [
                self.access.advance(a, pointer, {reduced: row.index})
                for a, pointer in enumerate(at[0].pointers)
            ]
            coords = {**at[0].coords, reduced: row.index}
            for u, here in enumerate(at):
                place = Place(pointers, coords, here.column, here.mask)
                inside[u] = self._body(stage, place, known[u], inside[u])
            row.next = flatten(inside)
        return refill(row.results, states)
