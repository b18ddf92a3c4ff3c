"""Running sums and products along one loop, kept in the type in which PyTorch keeps them.

float32 is added up in float64, float16 and bfloat16 in float32, integers in int64. Where memory
runs along another dim, vectors of columns go down together; else several rows run side by side,
because each addition waits for the one before.
"""

from __future__ import annotations

from flambeau.ir.record import frozen

from ...ir import dtype as types
from ...ir.dtype import DType
from ...ir.layout import Ints
from ..builder import Builder
from ..emit import cast
from ..values import Value, computed, stored, vector_of
from .walks import Loop, Walk, WalkWriter, merged

LANES = 8
SIDE_BY_SIDE = 4  # vectors of columns, or single rows, that are scanned together


@frozen
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
    """The scanned dim in order; of the others the one with the shortest steps along vectors."""
    loops: list[Loop] = [(n, (a, b)) for n, a, b in zip(size, source, target)]
    others = merged(sorted((x for d, x in enumerate(loops) if d != dim and x[0] != 1),
                           key=lambda x: -abs(x[1][1])))  # fmt: skip
    columns: Loop = (1, (0, 0))
    if others:
        columns = others.pop()
    return Walk(tuple(others), (loops[dim],), columns)


def scan_of(step: str, source: DType, dtype: DType, walk: Walk) -> Scan:
    """The kernel for a walk."""
    (_, strides), (_, down) = walk.columns, walk.serial[0]
    steps = tuple(s if s == 1 else None for s in strides)
    vector = 0 < abs(strides[1]) < abs(down[1])
    return Scan(step, source, dtype, len(walk.outer), vector, steps)


class ScanWriter(WalkWriter):
    """Writes one kernel: input, output."""

    def __init__(self, spec: Scan, b: Builder) -> None:
        super().__init__(b, (stored(spec.source), stored(spec.dtype)), spec.outer, 1)
        self.spec, self.total = spec, kept_in(spec.dtype)

    def inside(self, pointers: list[Value]) -> None:
        b, lanes = self.b, LANES if self.spec.vector else 1
        step = lanes * SIDE_BY_SIDE
        full = b.add(self.first, b.int("and", b.sub(self.last, self.first), -step))
        with b.loop(self.first, full, step) as turn:
            columns = [b.add(turn.index, lanes * v) for v in range(SIDE_BY_SIDE)]
            self._down(pointers, columns, None, lanes)
        with b.loop(full, self.last, lanes) as rest:
            mask = b.active(b.sub(self.last, rest.index), lanes) if lanes > 1 else None
            self._down(pointers, [rest.index], mask, lanes)

    def _down(
        self, pointers: list[Value], columns: list[Value], mask: Value | None, lanes: int
    ) -> None:
        """The scan itself, for some vectors of columns."""
        b = self.b
        kind = vector_of(computed(self.total), lanes)
        start = [b.number(kind, 0 if self.spec.step == "sum" else 1) for _ in columns]
        tops = [self.advanced(pointers, self.loops - 1, column) for column in columns]
        with b.loop(0, self.sizes[self.outer], carry=start) as turn:
            here = [self.advanced(top, self.outer, turn.index) for top in tops]
            items = [self._read(source, mask, lanes) for source, _ in here]
            turn.next = [self._step(total, item) for total, item in zip(turn.carried, items)]
            for total, (_, target) in zip(turn.next, here):
                self._write(total, target, mask, lanes)

    def _step(self, total: Value, item: Value) -> Value:
        return self.b.add(total, item) if self.spec.step == "sum" else self.b.mul(total, item)

    def _read(self, pointer: Value, mask: Value | None, lanes: int) -> Value:
        b, dtype = self.b, self.spec.source
        if lanes == 1 or self.spec.steps[0] == 1:
            item = b.load_element(dtype, pointer, lanes, mask)
        else:
            item = b.gather_element(dtype, pointer, self.places(0, b.i64(0), lanes, None), mask)
        return cast(b, cast(b, item, dtype, self.spec.dtype), self.spec.dtype, self.total)

    def _write(self, total: Value, pointer: Value, mask: Value | None, lanes: int) -> None:
        b, dtype = self.b, self.spec.dtype
        value = cast(b, total, self.total, dtype)
        if lanes == 1 or self.spec.steps[1] == 1:
            b.store_element(dtype, value, pointer, mask)
        else:
            b.scatter_element(dtype, value, pointer, self.places(1, b.i64(0), lanes, None), mask)


def scan_text(spec: Scan, b: Builder) -> str:
    """The module of a kernel."""
    return ScanWriter(spec, b).write(spec.name)
