"""Kernels that run along the last loop: maps, and passes over rows.

A body is written twice: for whole vectors, several at a time where it is cheap, and for the rest
under a mask.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..ir.kernel import Nest, Stage
from ..ir.tree import Result
from . import reduce as reducing
from .builder import Builder, Frame
from .nest import Known, NestWriter, Place, ceil_div, flatten, refill, stage_trees
from .reduce import State
from .scalar import cost
from .values import Value, lanes_of

# Bytes between what is read and what is brought near meanwhile. The processor does the same by
# itself, but begins anew at each page.
AHEAD = 4096


def unroll(nest: Nest, stage: Stage) -> int:
    """How many vectors a turn of the innermost loop does."""
    operations, slow = cost(*stage_trees(stage))
    work = operations + len(nest.accesses) + 12 * slow
    return 4 if work <= 8 else 2 if work <= 16 and not slow else 1


class RowWriter(NestWriter):
    """Writes kernels of the modes rows and split."""

    def _tasks(self, frame: Frame) -> None:
        """Tasks are `grain` rows each; with split, `grain` chunks of rows."""
        b, split = self.b, self.nest.mode == "split"
        pieces, length = b.i64(1), self.sizes[self.last]
        if split:
            length = self.word("chunk")
            pieces = ceil_div(b, self.sizes[self.last], length)
        begin = b.mul(frame.begin, self.grain)
        end = b.smin(b.mul(frame.end, self.grain), b.mul(self._count(self.outer), pieces))
        with b.when(b.icmp("slt", begin, end)):
            if split:
                self._split_rows(begin, end, pieces, length)
                return
            coords = self._decompose(begin, self.outer)
            with b.loop(begin, end, carry=coords) as row:
                place = self._place(row.carried)
                self._row(place, b.i64(0), length)
                row.next = self._advance(row.carried, self.outer)

    def _split_rows(self, begin: Value, end: Value, pieces: Value, length: Value) -> None:
        b = self.b
        with b.loop(begin, end) as turn:
            row = b.int("udiv", turn.index, pieces)
            piece = b.sub(turn.index, b.mul(row, pieces))
            place = self._place(self._decompose(row, self.outer))
            first = b.mul(piece, length)
            last = b.smin(b.add(first, length), self.sizes[self.last])
            self._to_piece(place, piece)
            self._row(place, first, last)

    def _row(self, place: Place, begin: Value, end: Value) -> None:
        """All passes over one row."""
        results: Known = {}
        for stage in self.nest.stages:
            known = dict(results)
            moving = self._moving(stage)
            late = [store for store in stage.stores if store not in moving]
            self._hoist(self._moving_trees(stage), self.last, place, known)
            if stage.reduces or moving:
                states = self._along(stage, place, known, begin, end)
                for reduce, state in zip(stage.reduces, states, strict=True):
                    final = reducing.result(self.b, reduce, reducing.across(self.b, reduce, state))
                    results[Result(len(results), reduce.dtype)] = self.b.splat(final, self.lanes)
            self._store_late(late, place, dict(results))

    def _along(
        self, stage: Stage, place: Place, known: Known, begin: Value, end: Value
    ) -> list[State]:
        """The bodies from begin to end along the last loop; the partial results of each reduce."""
        b, several, wide = self.b, unroll(self.nest, stage), self._width(stage)
        step = several * wide * self.lanes
        full = b.add(begin, b.int("and", b.sub(end, begin), -step))
        streamed = self._streamed(stage)
        with self._wider(wide):
            spread = {node: repeat(b, value, wide) for node, value in known.items()}
            states = [self._starts(stage) for _ in range(several)]
            with b.loop(begin, full, step, carry=flatten(states)) as loop:
                inside = refill(loop.carried, states)
                for u in range(several):
                    column = b.add(loop.index, u * self.lanes) if u else loop.index
                    here = Place(place.pointers, place.coords, column)
                    for a in streamed:
                        ahead = AHEAD // self.nest.accesses[a].dtype.itemsize
                        self.access.prefetch(a, place.pointers[a], b.add(column, ahead))
                    inside[u] = self._body(stage, here, spread, inside[u])
                loop.next = flatten(inside)
        states = [
            [[part(b, value, w, wide) for value in state] for state in reduces]
            for reduces in refill(loop.results, states)
            for w in range(wide)
        ]
        states[0] = self._rest(stage, place, known, full, end, states[0])
        return [
            reducing.together(b, reduce, [state[r] for state in states])
            for r, reduce in enumerate(stage.reduces)
        ]

    def _rest(
        self, stage: Stage, place: Place, known: Known, begin: Value, end: Value, state: list[State]
    ) -> list[State]:
        """The bodies from begin to end under a mask."""
        b = self.b
        with b.loop(begin, end, self.lanes, carry=flatten([state])) as rest:
            mask = b.first_lanes(b.sub(end, rest.index), self.lanes)
            here = Place(place.pointers, place.coords, rest.index, mask)
            (inside,) = refill(rest.carried, [state])
            rest.next = flatten([self._body(stage, here, known, inside)])
        (state,) = refill(rest.results, [state])
        return state

    def _width(self, stage: Stage) -> int:
        """How many registers a value has. A long chain of operations waits for itself; two chains
        side by side fill the gaps, where there are registers for them.
        """
        _, slow = cost(*stage_trees(stage))
        return 2 if slow and self.b.vector_bytes == 64 else 1

    @contextmanager
    def _wider(self, times: int) -> Iterator[None]:
        """Write what is inside for vectors that are so many times as wide."""
        lanes = self.lanes
        self.lanes = self.access.lanes = lanes * times
        yield
        self.lanes = self.access.lanes = lanes


def repeat(b: Builder, value: Value, times: int) -> Value:
    """A vector, and itself again after it."""
    return value if times == 1 else b.shuffle(value, value, range(times * lanes_of(value.type)))


def part(b: Builder, value: Value, number: int, parts: int) -> Value:
    """One of the equal parts of a vector."""
    size = lanes_of(value.type) // parts
    lanes = range(number * size, (number + 1) * size)
    return value if parts == 1 else b.shuffle(value, value, lanes)


class MapWriter(RowWriter):
    """Writes kernels of the mode map."""

    def _tasks(self, frame: Frame) -> None:
        """Tasks cut the elements, in the order of the loops, into runs of `grain`."""
        b, stage = self.b, self.nest.stages[0]
        begin = b.mul(frame.begin, self.grain)
        count = self._count(range(self.nest.loops))
        end = b.smin(b.mul(frame.end, self.grain), count)
        with b.when(b.icmp("slt", begin, end)):
            if not self.outer:
                self._map_row(stage, [], begin, end)
                return
            inner = self.sizes[self.last]
            first = b.int("udiv", begin, inner)
            last = b.int("udiv", b.sub(end, 1), inner)
            offset = b.sub(begin, b.mul(first, inner))
            limit = b.sub(end, b.mul(last, inner))
            coords = self._decompose(first, self.outer)
            with b.loop(first, b.add(last, 1), carry=coords) as row:
                start = b.select(b.icmp("eq", row.index, first), offset, b.i64(0))
                stop = b.select(b.icmp("eq", row.index, last), limit, inner)
                self._map_row(stage, row.carried, start, stop)
                row.next = self._advance(row.carried, self.outer)

    def _map_row(self, stage: Stage, coords: list[Value], begin: Value, end: Value) -> None:
        place, known = self._place(coords), Known()
        self._hoist(stage_trees(stage), self.last, place, known)
        self._along(stage, place, known, begin, end)
