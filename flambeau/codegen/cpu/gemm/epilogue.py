"""What is done with a finished tile: the stores of a `Matmul`, row by row, vector by vector."""

from __future__ import annotations

from flambeau.ir.record import frozen

from ....ir.dtype import DType
from ....ir.kernel import Access, Store
from ....ir.tree import Tree
from ...builder import Builder, Value
from ...emit import Emitter, Leaf
from ...scalar import cost
from ...values import computed, stored
from .micro import LINE, fetch

UNROLLED_WORK = 10  # operations up to which an epilogue is repeated for each row of a tile
SLOW_WORK = 10  # how many operations a transcendental one counts for


@frozen
class Epilogue:
    """The part of a `Matmul` that the code of its epilogue depends on."""

    batch: int
    accesses: tuple[Access, ...]
    scalars: tuple[DType, ...]
    stores: tuple[Store, ...]

    @property
    def words(self) -> tuple[str, ...]:
        names = [f"pointer{a}" for a in range(len(self.accesses))]
        for a, access in enumerate(self.accesses):
            names += [f"stride{a}.{s}" for s, n in enumerate(access.strides) if n is None]
        return (*names, *(f"scalar{j}" for j in range(len(self.scalars))))

    @property
    def is_cheap(self) -> bool:
        """Whether its code may be repeated for each row."""
        operations, slow = cost(*(store.value for store in self.stores))
        return operations + SLOW_WORK * slow <= UNROLLED_WORK


@frozen
class Place:
    """Where a tile lies in C: its batch indices, first row and column, and how many columns."""

    batch: tuple[Value, ...]
    row: Value
    column: Value
    columns: Value


class Finish:
    """Writes the epilogue of one tile after another row."""

    def __init__(
        self, b: Builder, epilogue: Epilogue, words: int, lanes: int, place: Place,
        masks: list[Value | None],
    ) -> None:  # fmt: skip
        self.b, self.epilogue, self.lanes = b, epilogue, lanes
        self.place, self.masks = place, masks
        self.number = {name: words + i for i, name in enumerate(epilogue.words)}
        self.scalars = [self.argument(j) for j in range(len(epilogue.scalars))]
        self.start = [self.corner(a) for a in range(len(epilogue.accesses))]
        self.steps = [
            self.bytes(a, epilogue.batch, self.b.i64(1)) for a in range(len(epilogue.accesses))
        ]

    def argument(self, j: int) -> Value:
        """A run-time scalar, in each lane."""
        dtype, number = self.epilogue.scalars[j], self.number[f"scalar{j}"]
        kind = computed(dtype)
        if dtype.kind == "f":
            value = self.b.word_float(number, kind)
        else:
            word = self.b.word(number)
            value = word if kind == "i64" else self.b.convert("trunc", word, kind)
        return self.b.splat(value, self.lanes)

    def corner(self, a: int) -> Value:
        """The address that access `a` has at the tile's first element."""
        at = self.b.word_pointer(self.number[f"pointer{a}"])
        for loop, index in enumerate((*self.place.batch, self.place.row, self.place.column)):
            offset = self.bytes(a, loop, index)
            at = at if offset is None else self.b.element(at, "i8", offset)
        return at

    def bytes(self, a: int, loop: int, index: Value) -> Value | None:
        """How far `index` turns of a loop move an access; None where they do not move it."""
        access = self.epilogue.accesses[a]
        if access.strides[loop] == 0:
            return None
        if access.strides[loop] is None:
            index = self.b.mul(index, self.b.word(self.number[f"stride{a}.{loop}"]))
        return self.b.mul(index, access.dtype.itemsize)

    def fetch(self, rows: int, vectors: int) -> None:
        """Ask for the memory that the first store will write, so that it is there by then."""
        a = self.epilogue.stores[0].access
        size = self.epilogue.accesses[a].dtype.itemsize * self.lanes * vectors
        at, step = self.corner(a), self.bytes(a, self.epilogue.batch, self.b.i64(1))
        if self.epilogue.accesses[a].strides[-1] != 1 or step is None:
            return
        for row in range(rows):
            for line in range(0, size, LINE):
                fetch(self.b, self.b.element(at, "i8", line), write=True)
            at = self.b.element(at, "i8", step) if row < rows - 1 else at

    def next_row(self, pointers: list[Value]) -> list[Value]:
        return [
            pointer if step is None else self.b.element(pointer, "i8", step)
            for pointer, step in zip(pointers, self.steps, strict=True)
        ]

    def write_row(self, pointers: list[Value], row: Value, sums: list[Value]) -> None:
        """Store one row: everything is read before anything is written."""
        values = []
        for v, value in enumerate(sums):
            emitter = Emitter(self.b, self.lanes, self.leaf_at(pointers, row, v, value))
            values.append([emitter.emit(store.value) for store in self.epilogue.stores])
        for v, each in enumerate(values):
            for store, value in zip(self.epilogue.stores, each, strict=True):
                self.put(store.access, pointers, v, value)

    def leaf_at(self, pointers: list[Value], row: Value, v: int, value: Value) -> Leaf:
        def leaf(tree: Tree) -> Value:
            if tree.kind == "load":
                return self.get(tree.data, pointers, v)
            if tree.kind == "argument":
                return self.scalars[tree.data]
            if tree.kind == "index":
                return self.index(tree.data, row, v)
            if tree.kind == "leaf" and tree.data == "product":
                return value
            raise ValueError(f"an epilogue of a matmul cannot have the leaf {tree!r}")

        return leaf

    def index(self, loop: int, row: Value, v: int) -> Value:
        batch, b = self.epilogue.batch, self.b
        if loop <= batch:
            return b.splat(row if loop == batch else self.place.batch[loop], self.lanes)
        first = b.splat(b.add(self.place.column, v * self.lanes), self.lanes)
        return b.add(first, b.iota(self.lanes))

    def get(self, a: int, pointers: list[Value], v: int) -> Value:
        dtype, mask, step = self.epilogue.accesses[a].dtype, self.masks[v], self.step(a)
        if step == 0:
            return self.b.splat(self.b.load_element(dtype, self.base(a, pointers, v)), self.lanes)
        if step == 1:
            return self.b.load_element(dtype, self.vector(a, pointers, v), self.lanes, mask)
        index = self.lane_index(a, v)
        return self.b.gather_element(dtype, self.base(a, pointers, v), index, mask)

    def put(self, a: int, pointers: list[Value], v: int, value: Value) -> None:
        dtype, mask = self.epilogue.accesses[a].dtype, self.masks[v]
        if self.step(a) == 1:
            self.b.store_element(dtype, value, self.vector(a, pointers, v), mask)
        else:
            index = self.lane_index(a, v)
            self.b.scatter_element(dtype, value, self.base(a, pointers, v), index, mask)

    def step(self, a: int) -> int | None:
        """How many elements the next column is away, if that is known."""
        return self.epilogue.accesses[a].strides[-1]

    def vector(self, a: int, pointers: list[Value], v: int) -> Value:
        """Where the contiguous elements of a vector begin."""
        return self.b.element(pointers[a], stored(self.epilogue.accesses[a].dtype), v * self.lanes)

    def base(self, a: int, pointers: list[Value], v: int) -> Value:
        """From where `lane_index` counts the elements of a vector."""
        return pointers[a]

    def lane_index(self, a: int, v: int) -> Value:
        """The element numbers of a vector's lanes, counted from the tile's first column."""
        lane = self.b.add(self.b.iota(self.lanes), v * self.lanes)
        if self.epilogue.accesses[a].strides[-1] == 0:
            return self.b.number(lane.type, 0)
        stride = self.b.word(self.number[f"stride{a}.{self.epilogue.batch + 1}"])
        return self.b.mul(lane, self.b.splat(stride, self.lanes))
