"""What the kernels of all loop nests share: words, coordinates, bodies.

The last loop is always the one that runs along vectors. `rows.py` and `columns.py` have the rest:
in which order bodies are written, and how tasks cut the work.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from flambeau.ir.record import record

from ..ir.dtype import DType
from ..ir.failures import DIVISION_BY_ZERO, code_of
from ..ir.kernel import Nest, Reduce, Stage, Store, Word, can_fail, words
from ..ir.tree import Tree, walk
from . import reduce as reducing
from .accesses import AccessWriter
from .builder import Builder, Frame
from .emit import Emitter
from .reduce import State
from .values import Mask, Value, computed

Known = dict[Tree, Value]


@record
class Place:
    """Where a body is written: pointers with all outer loops applied, and the vector's position."""

    pointers: list[Value]
    coords: dict[int, Value]  # counters of the loops around
    column: Value | None = None  # position along the last loop
    mask: Mask | None = None


def vector_lanes(nest: Nest, vector_bytes: int) -> int:
    """How many elements are computed at once: as many as a register has of the main type."""
    dtypes = {node.dtype for node in walk(*nest.trees())} | {a.dtype for a in nest.accesses}
    sizes = {_bytes(computed(dtype)) for dtype in dtypes} - {0}
    main = 4 if 4 in sizes else max(sizes, default=1)
    in_turns = any(a.every == 2 for a in nest.accesses)  # half a vector is one too
    return max(4 if in_turns else 2, vector_bytes // main)


def _bytes(element: str) -> int:
    known = {"float": 4, "double": 8, "i1": 0}
    return known[element] if element in known else int(element[1:]) // 8


def stage_trees(stage: Stage) -> list[Tree]:
    """Every tree that the stage computes, as it is accumulated or stored."""
    trees = [reducing.value_tree(reduce) for reduce in stage.reduces]
    trees += [reduce.index for reduce in stage.reduces if reduce.index is not None]
    return trees + [store.value for store in stage.stores]


class NestWriter:
    """Writes one nest's kernel: what all modes have in common."""

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
            self._tasks(frame)

    def _tasks(self, frame: Frame) -> None:
        """All tasks of the frame."""
        raise NotImplementedError(f"{type(self).__name__} must say how tasks are done")

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
            lambda node, position: self._pick(node, position, place),
            partial(self._outside, place),
        )  # fmt: skip

    def _pick(self, node: Tree, position: Value, place: Place) -> Value:
        """Elements by position; one position for a whole vector is a plain read elsewhere."""
        b, a, pointer = self.b, node.data, place.pointers[node.data]
        if self.last not in self.varying(node.args[0]):
            start = b.element(pointer, self.access.element(a), b.extract(position, 0))
            return self.access.read(a, start, place.column, place.mask)
        return self.access.pick(a, pointer, position, place.column, place.mask)

    def _outside(
        self, place: Place, node: Tree, wrong: Value, index: Value, bound: Value
    ) -> None:
        """Report the first lane whose index is out of range."""
        b, (failure, dim) = self.b, node.data
        assert self.error is not None
        if place.mask is not None and place.column is not None:
            wrong = b.int("and", wrong, place.mask)
        with b.when(b.any(wrong)):
            kind = f"i{self.lanes}"
            bits = b.op(f"bitcast {wrong.typed} to {kind}", kind)
            lane = b.call(f"llvm.cttz.{kind}", kind, bits, b.number("i1", True))
            if self.lanes != 64:
                lane = b.convert("zext", lane, "i64")
            facts = b.extract(index, lane), b.extract(bound, lane), dim
            b.fail(self.error, b.number("i1", True), code_of(failure), *facts)

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
        if node.kind in ("load", "pick"):
            access = self.nest.accesses[node.data]
            moved = {loop for loop, stride in enumerate(access.strides) if stride != 0}
            return frozenset(moved | {self.last} if access.every == 2 else moved)
        if node.kind == "result" and self.columns:
            return frozenset([self.last])  # one for each column
        return frozenset([node.data] if node.kind == "index" else [])

    def _hoist(self, trees: Iterable[Tree], loop: int, place: Place, known: Known) -> None:
        """Compute here, into `known`, all that does not change along a loop."""
        emitter = self._emitter(place, known)
        for node in walk(*trees):
            if node.kind not in ("number", "result") and loop not in self.varying(node):
                emitter.emit(node)

    def _moving(self, stage: Stage) -> list[Store]:
        """The stores that are done for each element."""
        if self.nest.mode in ("map", "tiles"):
            return list(stage.stores)
        if self.nest.mode.startswith("split"):
            return []
        strides = {s: self.nest.accesses[s.access].strides for s in stage.stores}
        return [s for s in stage.stores if strides[s][self.nest.reduced] != 0]

    def _streamed(self, stage: Stage) -> list[int]:
        """The accesses through which a stage is the first to read memory from end to end.

        A worker's scratch is near anyway; to reach beyond its end would take lines from the next
        worker, who writes there.
        """
        accesses, number = self.nest.accesses, self.nest.stages.index(stage)
        before = {a for earlier in self.nest.stages[:number] for a in self._read(earlier)}
        fresh = [a for a in self._read(stage) - before if not accesses[a].per_thread]
        return [a for a in fresh if accesses[a].strides[-1] == 1]

    def _read(self, stage: Stage) -> set[int]:
        return {node.data for node in walk(*self._moving_trees(stage)) if node.kind == "load"}

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

    def _to_piece(self, place: Place, piece: Value) -> None:
        """Move the pointers of what is stored to a chunk's partial result."""
        for a in {store.access for stage in self.nest.stages for store in stage.stores}:
            loops = {self.nest.reduced: piece}
            place.pointers[a] = self.access.advance(a, place.pointers[a], loops)

    def _store_late(self, stores: list[Store], place: Place, known: Known) -> None:
        """What is stored once a row, or once a column."""
        emitter = self._emitter(place, known)
        values = [emitter.emit(store.value) for store in stores]
        for store, value in zip(stores, values, strict=True):
            self._store(store, value, store.value.dtype, place)

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
