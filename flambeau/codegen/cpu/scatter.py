"""Writes by position: target[position[i] + …] = source[i], or combined with what is there.

A domain has dims along which the target moves (no two of their elements meet: they are cut into
tasks and walked by vectors) and dims along which only the position does (they run in order, so that
the last of equals wins and sums have one order). A negative position is left out. Positions were
checked before.
"""

from __future__ import annotations

from flambeau.ir.record import frozen

from ...ir.dtype import DType
from ...ir.layout import Ints
from ..builder import Builder
from ..emit import extreme
from ..memory import size_of
from ..values import Value, stored
from .walks import Walk, WalkWriter, merged

COMBINE = ("set", "sum", "prod", "amax", "amin")


@frozen
class Scatter:
    """What a kernel depends on. Steps: along the vectors, of target, source, position."""

    dtype: DType
    combine: str
    outer: int
    serial: int
    vector: bool
    steps: tuple[int | None, ...]

    @property
    def name(self) -> str:
        steps = "_".join("n" if s is None else str(s) for s in self.steps)
        loops = f"{self.outer}{self.serial}{self.vector:d}"
        return f"scatter_{self.combine}_{self.dtype.name}_{loops}_{steps}"


def walk_of(size: Ints, target: Ints, source: Ints, position: Ints) -> Walk:
    """Sort the dims of a domain into loops, and merge neighbours."""
    dims = [(n, strides) for n, *strides in zip(size, target, source, position) if n != 1]
    moving = sorted((d for d in dims if d[1][0]), key=lambda d: -abs(d[1][0]))
    serial = merged([(n, tuple(s)) for n, s in dims if not s[0]])
    outer = merged([(n, tuple(s)) for n, s in moving])
    beside = outer and abs(outer[-1][1][0]) == 1  # vectors pay where neighbours are written
    columns = outer.pop() if beside else (1, (0, 0, 0))
    return Walk(tuple(outer), tuple(serial), columns)


def scatter_of(dtype: DType, combine: str, walk: Walk) -> Scatter:
    """The kernel for a walk."""
    n, strides = walk.columns
    steps = tuple(s if s in (0, 1) else None for s in strides)
    return Scatter(dtype, combine, len(walk.outer), len(walk.serial), n > 1, steps)


class ScatterWriter(WalkWriter):
    """Writes one kernel: target, source, position."""

    def __init__(self, spec: Scatter, b: Builder) -> None:
        super().__init__(
            b, (stored(spec.dtype), stored(spec.dtype), "i64"), spec.outer, spec.serial
        )
        self.spec = spec
        lanes = min(16, max(2, b.vector_bytes // size_of(stored(spec.dtype))))
        self.lanes = lanes if spec.vector else 1

    def inside(self, pointers: list[Value]) -> None:
        self._in_order(self.outer, pointers)

    def _in_order(self, loop: int, pointers: list[Value]) -> None:
        """The serial loops, one inside the other."""
        if loop == self.loops - 1:
            self._columns(pointers)
            return
        with self.b.loop(0, self.sizes[loop]) as turn:
            self._in_order(loop + 1, self.advanced(pointers, loop, turn.index))

    def _columns(self, pointers: list[Value]) -> None:
        """One run of vectors; where all have one position it is read once."""
        b = self.b
        if self.spec.steps[2] != 0:
            self._along(pointers, None)
            return
        position = b.load("i64", pointers[2])
        with b.when(b.icmp("sge", position, 0)):
            target = b.element(pointers[0], self.elements[0], position)
            self._along([target, *pointers[1:]], position)

    def _along(self, pointers: list[Value], position: Value | None) -> None:
        b = self.b
        if not self.spec.vector:
            self._one(pointers, position)
            return
        full = b.add(self.first, b.int("and", b.sub(self.last, self.first), -self.lanes))
        with b.loop(self.first, full, self.lanes) as turn:
            self._vector(pointers, position, turn.index, None)
        with b.loop(full, self.last, self.lanes) as rest:
            mask = b.active(b.sub(self.last, rest.index), self.lanes)
            self._vector(pointers, position, rest.index, mask)

    def _one(self, pointers: list[Value], position: Value | None) -> None:
        b, dtype = self.b, self.spec.dtype
        assert position is not None
        value = b.load_element(dtype, pointers[1])
        if self.spec.combine != "set":
            value = self._combined(b.load_element(dtype, pointers[0]), value)
        b.store_element(dtype, value, pointers[0])

    def _vector(
        self, pointers: list[Value], position: Value | None, column: Value, mask: Value | None
    ) -> None:
        b, dtype = self.b, self.spec.dtype
        value = self._read(1, pointers[1], column, mask)
        if position is None:
            places = self._read(2, pointers[2], column, mask)
            valid = b.icmp("sge", places, 0)
            mask = valid if mask is None else b.int("and", mask, valid)
            places = b.add(places, self._places(0, column))
            if self.spec.combine != "set":
                value = self._combined(b.gather_element(dtype, pointers[0], places, mask), value)
            b.scatter_element(dtype, value, pointers[0], places, mask)
            return
        if self.spec.combine != "set":
            value = self._combined(self._read(0, pointers[0], column, mask), value)
        if self.spec.steps[0] == 1:
            target = b.element(pointers[0], self.elements[0], column)
            b.store_element(dtype, value, target, mask)
        else:
            b.scatter_element(dtype, value, pointers[0], self._places(0, column), mask)

    def _places(self, operand: int, column: Value) -> Value:
        return self.places(operand, column, self.lanes, self.spec.steps[operand])

    def _read(self, operand: int, pointer: Value, column: Value, mask: Value | None) -> Value:
        """A vector of an operand: one element repeated, neighbours, or gathered."""
        b, step, dtype = self.b, self.spec.steps[operand], self.spec.dtype
        if operand == 2:
            kind = f"<{self.lanes} x i64>"
            if step == 1:
                at = b.element(pointer, "i64", column)
                return b.load(kind, at) if mask is None else b.load_masked(kind, at, mask)
            return b.gather(kind, pointer, self._places(2, column), mask)
        if step == 0:
            return b.splat(b.load_element(dtype, pointer), self.lanes)
        if step == 1:
            return b.load_element(
                dtype, b.element(pointer, self.elements[operand], column), self.lanes, mask
            )
        return b.gather_element(dtype, pointer, self._places(operand, column), mask)

    def _combined(self, x: Value, y: Value) -> Value:
        b, dtype = self.b, self.spec.dtype
        if self.spec.combine in ("amax", "amin"):
            return extreme(b, self.spec.combine[1:], dtype, x, y)
        if self.spec.combine == "sum":
            return b.int("or", x, y) if dtype.kind == "b" else b.add(x, y)
        return b.int("and", x, y) if dtype.kind == "b" else b.mul(x, y)


def scatter_text(spec: Scatter, b: Builder) -> str:
    """The module of a kernel."""
    return ScatterWriter(spec, b).write(spec.name)


__all__ = ["COMBINE", "Scatter", "Walk", "scatter_of", "scatter_text", "walk_of"]
