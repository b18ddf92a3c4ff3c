"""Running sums and products along one loop, kept in the type in which PyTorch keeps them.

float32 is added up in float64, float16 and bfloat16 in float32, integers in int64. Where memory runs
along another dim, vectors of columns go down together; else several rows run side by side, because each
addition waits for the one before.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...ir import dtype as types
from ...ir.dtype import DType
from ...ir.layout import Ints
from ..builder import Builder
from ..emit import cast
from ..values import Value, computed, stored, vector_of
from .walks import Loop, Walk, WalkWriter, merged

LANES = 8
SIDE_BY_SIDE = 4  # vectors of columns that go down together


@dataclass(frozen=True, slots=True)
class Scan:
    """What a kernel depends on. Steps are strides along the vectors, of input and output."""

    step: str  # sum, prod
    source: DType
    dtype: DType
    outer: int
    vector: bool
    steps: tuple[int | None, ...]

    @property
    def name(self) -> str:
        steps = "_".join("n" if s is None else str(s) for s in self.steps)
        kinds = f"{self.source.name}_{self.dtype.name}"
        return f"scan_{self.step}_{kinds}_{self.outer}{self.vector:d}_{steps}"


def kept_in(dtype: DType) -> DType:
    """The type of the running total."""
    if dtype.kind == "f":
        return types.float32 if dtype.itemsize == 2 else types.float64
    return types.int64


def walk_of(size: Ints, source: Ints, target: Ints, dim: int) -> Walk:
    """The scanned dim in order; the dim with the shortest steps along vectors, unless that is it."""
    loops: list[Loop] = [(n, (a, b)) for n, a, b in zip(size, source, target)]
    others = merged(sorted((x for d, x in enumerate(loops) if d != dim and x[0] != 1),
                           key=lambda x: -abs(x[1][1])))  # fmt: skip
    along = abs(target[dim])
    columns: Loop = (1, (0, 0))
    if others and (abs(others[-1][1][1]) < along or others[-1][0] >= LANES):
        columns = others.pop()
    return Walk(tuple(others), (loops[dim],), columns)


def scan_of(step: str, source: DType, dtype: DType, walk: Walk) -> Scan:
    """The kernel for a walk."""
    n, strides = walk.columns
    steps = tuple(s if s == 1 else None for s in strides)
    return Scan(step, source, dtype, len(walk.outer), n > 1, steps)


class ScanWriter(WalkWriter):
    """Writes one kernel: input, output."""

    def __init__(self, spec: Scan, b: Builder) -> None:
        super().__init__(b, (stored(spec.source), stored(spec.dtype)), spec.outer, 1)
        self.spec, self.total = spec, kept_in(spec.dtype)

    def inside(self, pointers: list[Value]) -> None:
        if not self.spec.vector:
            self._down(pointers, [None], None, 1)
            return
        b, step = self.b, LANES * SIDE_BY_SIDE
        full = b.add(self.first, b.int("and", b.sub(self.last, self.first), -step))
        with b.loop(self.first, full, step) as turn:
            columns: list[Value | None] = [b.add(turn.index, LANES * v) for v in range(SIDE_BY_SIDE)]
            self._down(pointers, columns, None, LANES)
        with b.loop(full, self.last, LANES) as rest:
            mask = b.active(b.sub(self.last, rest.index), LANES)
            self._down(pointers, [rest.index], mask, LANES)

    def _down(
        self, pointers: list[Value], columns: list[Value | None], mask: Value | None, lanes: int
    ) -> None:
        """The scan itself, for some vectors of columns."""
        b = self.b
        kind = vector_of(computed(self.total), lanes)
        start = [b.number(kind, 0 if self.spec.step == "sum" else 1) for _ in columns]
        with b.loop(0, self.sizes[self.outer], carry=start) as turn:
            source, target = self.advanced(pointers, self.outer, turn.index)
            items = [self._read(source, column, mask, lanes) for column in columns]
            turn.next = [self._step(total, item) for total, item in zip(turn.carried, items)]
            for total, column in zip(turn.next, columns):
                self._write(total, target, column, mask, lanes)

    def _step(self, total: Value, item: Value) -> Value:
        return self.b.add(total, item) if self.spec.step == "sum" else self.b.mul(total, item)

    def _read(self, pointer: Value, column: Value | None, mask: Value | None, lanes: int) -> Value:
        b, dtype = self.b, self.spec.source
        if column is None:
            item = b.load_element(dtype, pointer)
        elif self.spec.steps[0] == 1:
            item = b.load_element(dtype, b.element(pointer, self.elements[0], column), lanes, mask)
        else:
            item = b.gather_element(dtype, pointer, self.places(0, column, lanes, None), mask)
        return cast(b, cast(b, item, dtype, self.spec.dtype), self.spec.dtype, self.total)

    def _write(
        self, total: Value, pointer: Value, column: Value | None, mask: Value | None, lanes: int
    ) -> None:
        b, dtype = self.b, self.spec.dtype
        value = cast(b, total, self.total, dtype)
        if column is None:
            b.store_element(dtype, value, pointer)
        elif self.spec.steps[1] == 1:
            b.store_element(dtype, value, b.element(pointer, self.elements[1], column), mask)
        else:
            b.scatter_element(dtype, value, pointer, self.places(1, column, lanes, None), mask)


def scan_text(spec: Scan, b: Builder) -> str:
    """The module of a kernel."""
    return ScanWriter(spec, b).write(spec.name)
