"""Writes the kernel of a loop nest: coordinates, passes over rows, passes over columns.

The last loop is always the one that runs along vectors. A body is written twice: for whole vectors,
several at a time where it is cheap, and for the rest under a mask.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..ir.dtype import DType
from ..ir.kernel import Nest, Reduce, Stage, Store, Word, can_fail, words
from ..ir.tree import Result, Tree, walk
from . import reduce as reducing
from .accesses import AccessWriter
from .builder import Builder, Frame
from .emit import Emitter
from .reduce import State
from .scalar import cost
from .values import Value, computed

Known = dict[Tree, Value]
DIVISION_BY_ZERO = 1  # the code in the error record


@dataclass(slots=True)
class Place:
    """Where a body is written: pointers with all outer loops applied, and the vector's position."""

    pointers: list[Value]
    coords: dict[int, Value]  # counters of the loops around
    column: Value | None = None  # position along the last loop
    mask: Value | None = None


def vector_lanes(nest: Nest, vector_bytes: int) -> int:
    """How many elements are computed at once: as many as a register has of the main type."""
    dtypes = {node.dtype for node in walk(*nest.trees())} | {a.dtype for a in nest.accesses}
    sizes = {_bytes(computed(dtype)) for dtype in dtypes} - {0}
    main = 4 if 4 in sizes else max(sizes, default=1)
    return max(2, vector_bytes // main)


def _bytes(element: str) -> int:
    known = {"float": 4, "double": 8, "i1": 0}
    return known[element] if element in known else int(element[1:]) // 8


def unroll(nest: Nest, stage: Stage) -> int:
    """How many vectors a turn of the innermost loop does."""
    operations, slow = cost(*stage_trees(stage))
    work = operations + len(nest.accesses) + 12 * slow
    return 4 if work <= 8 else 2 if work <= 16 else 1


def stage_trees(stage: Stage) -> list[Tree]:
    """Every tree that the stage computes, as it is accumulated or stored."""
    trees = [reducing.value_tree(reduce) for reduce in stage.reduces]
    trees += [reduce.index for reduce in stage.reduces if reduce.index is not None]
    return trees + [store.value for store in stage.stores]


def column_vectors(nest: Nest) -> int:
    """How many vectors of columns are reduced side by side."""
    most = max((len(stage.reduces) for stage in nest.stages), default=1)
    operations, slow = cost(*nest.trees())
    return 1 if slow > 2 else 2 if slow or operations > 24 else 8 if most <= 1 else 4


def column_block(nest: Nest) -> int:
    """How many columns a task has at least; the same on all machines, so that tasks are."""
    return column_vectors(nest) * 16


class NestWriter:
    """Writes one nest's kernel."""

    def __init__(self, nest: Nest, b: Builder, checked: bool) -> None:
        self.nest, self.b, self.checked = nest, b, checked
        self.lanes = vector_lanes(nest, b.vector_bytes)
        self.word_at = {word: i for i, word in enumerate(words(nest, checked))}
        self.last = nest.loops - 1
        self.columns = "columns" in nest.mode
        self.outer = list(range(nest.reduced if self.columns else self.last))
        self._varying: dict[Tree, frozenset[int]] = {}

    def write(self, name: str) -> None:
        """The whole kernel."""
        with self.b.kernel(name) as frame:
            self._read_words(frame)
            if self.nest.mode == "map":
                self._map(frame)
            elif self.columns:
                self._columns(frame)
            else:
                self._rows(frame)

    def word(self, what: str, number: int = 0, second: int = 0) -> Value:
        return self.b.word(self.word_at[Word(what, number, second)])

    def _read_words(self, frame: Frame) -> None:
        nest, b = self.nest, self.b
        self.access = AccessWriter(nest, b, self.word_at, frame.thread, self.lanes, self.checked)
        self.sizes = [self.word("size", loop) for loop in range(nest.loops)]
        self.scalars = [self._scalar(j, dtype) for j, dtype in enumerate(nest.scalars)]
        self.grain = self.word("grain")
        self.error = None
        if can_fail(nest) or self.checked:
            self.error = b.op(f"inttoptr i64 {self.word('error')} to ptr", "ptr")

    def _scalar(self, j: int, dtype: DType) -> Value:
        b, where = self.b, self.word_at[Word("scalar", j)]
        if dtype.kind == "f":
            return b.word_float(where, computed(dtype))
        if dtype.kind == "b":
            return b.icmp("ne", b.word(where), 0)
        word = b.word(where)
        return word if dtype.itemsize == 8 else b.convert("trunc", word, computed(dtype))

    # -- coordinates

    def _count(self, loops: Sequence[int]) -> Value:
        """The number of turns of several loops together."""
        total = self.b.i64(1)
        for loop in loops:
            total = self.b.mul(total, self.sizes[loop])
        return total

    def _decompose(self, flat: Value, loops: Sequence[int]) -> list[Value]:
        """The counters of the loops at turn number `flat`."""
        coords: list[Value] = []
        for loop in reversed(loops[1:]):
            turn = self.b.int("udiv", flat, self.sizes[loop])
            coords.append(self.b.sub(flat, self.b.mul(turn, self.sizes[loop])))
            flat = turn
        return ([flat] + coords[::-1]) if loops else []

    def _advance(self, coords: list[Value], loops: Sequence[int]) -> list[Value]:
        """The counters one turn later, the last one first, as an odometer."""
        b, carry = self.b, self.b.i64(1)
        turned: list[Value] = []
        for place in reversed(range(len(loops))):
            more = b.add(coords[place], carry)
            if place:
                wraps = b.icmp("eq", more, self.sizes[loops[place]])
                carry = b.convert("zext", wraps, "i64")
                more = b.select(wraps, b.i64(0), more)
            turned.append(more)
        return turned[::-1]

    def _place(self, coords: list[Value]) -> Place:
        """Pointers for these counters of the outer loops."""
        counters = dict(zip(self.outer, coords, strict=True))
        pointers = [
            self.access.advance(a, pointer, counters)
            for a, pointer in enumerate(self.access.pointers)
        ]
        return Place(pointers, counters)

    # -- bodies

    def _emitter(self, place: Place, known: Known) -> Emitter:
        def report(zero: Value) -> None:
            if place.mask is not None and place.column is not None:
                zero = self.b.int("and", zero, place.mask)
            assert self.error is not None
            self.b.fail(self.error, self.b.any(zero), DIVISION_BY_ZERO)

        return Emitter(
            self.b, self.lanes, lambda leaf: self._leaf(leaf, place), known,
            report if self.error is not None else None,
        )  # fmt: skip

    def _leaf(self, leaf: Tree, place: Place) -> Value:
        b, number = self.b, leaf.data
        if leaf.kind == "argument":
            return b.splat(self.scalars[number], self.lanes)
        if leaf.kind == "load":
            return self.access.read(number, place.pointers[number], place.column, place.mask)
        if leaf.kind == "index" and number == self.last:
            assert place.column is not None, "the counter of the last loop is not constant"
            return b.add(b.splat(place.column, self.lanes), b.iota(self.lanes))
        if leaf.kind == "index":
            return b.splat(place.coords[number], self.lanes)
        raise ValueError(f"a loop nest has no leaf {leaf!r} at this place")

    def varying(self, tree: Tree) -> frozenset[int]:
        """The loops along which the value of a tree changes."""
        for node in walk(tree):
            if node not in self._varying:
                self._varying[node] = self._own_loops(node).union(
                    *(self._varying[arg] for arg in node.args)
                )
        return self._varying[tree]

    def _own_loops(self, node: Tree) -> frozenset[int]:
        if node.kind == "load":
            strides = self.nest.accesses[node.data].strides
            return frozenset(loop for loop, stride in enumerate(strides) if stride != 0)
        return frozenset([node.data] if node.kind == "index" else [])

    def _hoist(self, trees: Iterable[Tree], loop: int, place: Place, known: Known) -> None:
        """Compute here, into `known`, all that does not change along a loop."""
        emitter = self._emitter(place, known)
        for node in walk(*trees):
            if node.kind not in ("number", "result") and loop not in self.varying(node):
                emitter.emit(node)

    def _moving(self, stage: Stage) -> list[Store]:
        """The stores that are done for each element."""
        if self.nest.mode == "map":
            return list(stage.stores)
        if self.nest.mode.startswith("split"):
            return []
        strides = {s: self.nest.accesses[s.access].strides for s in stage.stores}
        return [s for s in stage.stores if strides[s][self.nest.reduced] != 0]

    def _body(self, stage: Stage, place: Place, known: Known, states: list[State]) -> list[State]:
        """One vector: every load and value first, then the partial results, then the stores."""
        emitter, stores = self._emitter(place, dict(known)), self._moving(stage)
        items = [self._item(emitter, reduce, place) for reduce in stage.reduces]
        values = [emitter.emit(store.value) for store in stores]
        done = [
            self._combine(reduce, state, item, place.mask)
            for reduce, state, item in zip(stage.reduces, states, items, strict=True)
        ]
        for store, value in zip(stores, values, strict=True):
            source = store.value.dtype
            self._store(store, value, source, place)
        return done

    def _store(self, store: Store, value: Value, source: DType, place: Place) -> None:
        pointer = place.pointers[store.access]
        self.access.write(store.access, value, source, pointer, place.column, place.mask)

    def _item(self, emitter: Emitter, reduce: Reduce, place: Place) -> State:
        value = emitter.emit(reducing.value_tree(reduce))
        if not reducing.is_arg(reduce):
            return [value]
        if reduce.index is not None:
            return [value, emitter.emit(reduce.index)]
        if self.columns:
            return [value, self.b.splat(place.coords[self.nest.reduced], self.lanes)]
        assert place.column is not None
        return [value, self.b.add(self.b.splat(place.column, self.lanes), self.b.iota(self.lanes))]

    def _combine(self, reduce: Reduce, state: State, item: State, mask: Value | None) -> State:
        after = reducing.combine(self.b, reduce, state, item)
        if mask is None or self.columns:  # masked columns are thrown away when they are stored
            return after
        return [self.b.select(mask, new, old) for new, old in zip(after, state, strict=True)]

    def _starts(self, stage: Stage) -> list[State]:
        return [reducing.start(self.b, reduce, self.lanes) for reduce in stage.reduces]

    # -- along a row

    def _along(
        self, stage: Stage, place: Place, known: Known, begin: Value, end: Value
    ) -> list[State]:
        """The bodies from begin to end along the last loop; the partial results of each reduce."""
        b, several = self.b, unroll(self.nest, stage)
        step = several * self.lanes
        full = b.add(begin, b.int("and", b.sub(end, begin), -step))
        states = [self._starts(stage) for _ in range(several)]
        with b.loop(begin, full, step, carry=flatten(states)) as loop:
            inside = refill(loop.carried, states)
            for u in range(several):
                column = b.add(loop.index, u * self.lanes) if u else loop.index
                here = Place(place.pointers, place.coords, column)
                inside[u] = self._body(stage, here, known, inside[u])
            loop.next = flatten(inside)
        states = refill(loop.results, states)
        with b.loop(full, end, self.lanes, carry=flatten(states[:1])) as rest:
            mask = b.active(b.sub(end, rest.index), self.lanes)
            here = Place(place.pointers, place.coords, rest.index, mask)
            inside = refill(rest.carried, states[:1])
            rest.next = flatten([self._body(stage, here, known, inside[0])])
        states[:1] = refill(rest.results, states[:1])
        return [
            reducing.together(b, reduce, [state[r] for state in states])
            for r, reduce in enumerate(stage.reduces)
        ]

    def _map(self, frame: Frame) -> None:
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

    def _rows(self, frame: Frame) -> None:
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

    def _to_piece(self, place: Place, piece: Value) -> None:
        """Move the pointers of what is stored to a chunk's partial result."""
        for a in {store.access for stage in self.nest.stages for store in stage.stores}:
            loops = {self.nest.reduced: piece}
            place.pointers[a] = self.access.advance(a, place.pointers[a], loops)

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

    def _store_late(self, stores: list[Store], place: Place, known: Known) -> None:
        """What is stored once a row, or once a column."""
        emitter = self._emitter(place, known)
        values = [emitter.emit(store.value) for store in stores]
        for store, value in zip(stores, values, strict=True):
            self._store(store, value, store.value.dtype, place)

    # -- down the columns

    def _columns(self, frame: Frame) -> None:
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
        step = several * self.lanes
        full = b.add(begin, b.int("and", b.sub(end, begin), -step))
        with b.loop(begin, full, step) as loop:
            columns = [b.add(loop.index, u * self.lanes) for u in range(several)]
            self._column_block(place, columns, None, first, last)
        with b.loop(full, end, self.lanes) as rest:
            mask = b.active(b.sub(end, rest.index), self.lanes)
            self._column_block(place, [rest.index], mask, first, last)

    def _column_block(
        self, place: Place, columns: list[Value], mask: Value | None, first: Value, last: Value
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

    def _moving_trees(self, stage: Stage) -> list[Tree]:
        return stage_trees(Stage(stage.reduces, tuple(self._moving(stage))))


def ceil_div(b: Builder, x: Value, y: Value) -> Value:
    """The quotient, rounded up."""
    return b.int("udiv", b.sub(b.add(x, y), 1), y)


def flatten(states: list[list[State]]) -> list[Value]:
    """The values of partial results, one after the other, for a loop to carry."""
    return [value for reduces in states for state in reduces for value in state]


def refill(values: Sequence[Value], like: list[list[State]]) -> list[list[State]]:
    """The inverse of `flatten`, in the shape of `like`."""
    source = iter(values)
    return [[[next(source) for _ in state] for state in reduces] for reduces in like]
