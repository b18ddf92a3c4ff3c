"""Kernels over tiles: maps that read some of their memory across.

    x0[i, j] = x1[j, i]        x1 lies along i, x0 along j

To gather a vector of x1 touches as many cache lines as it has lanes, one element of each. So x1 is
read as it lies, a vector from each of 16 lines, and the square of 16 × 16 is turned in registers
and put aside; from there each line of it is read as a vector.
"""

from __future__ import annotations

from ..ir.dtype import DType
from ..ir.kernel import Nest
from ..ir.tree import Tree, walk
from .builder import Builder, Frame
from .nest import NestWriter, Place, ceil_div
from .values import Mask, Value, stored

TILE = 16  # turns of the loop before the last in a unit of work; the same on all machines
STRIP = 1024  # turns of the last loop in a unit: what it reads of one page is read soon again


def read_across(nest: Nest) -> list[int]:
    """The accesses that lie along the loop before the last."""
    loads = {node.data for node in walk(*nest.trees()) if node.kind == "load"}
    strides = {a: nest.accesses[a].strides for a in loads}
    return sorted(a for a in loads if strides[a][-2] == 1 and strides[a][-1] not in (0, 1, -1))


class TileWriter(NestWriter):
    """Writes kernels of the mode tiles."""

    def __init__(self, nest: Nest, b: Builder, checked: bool) -> None:
        super().__init__(nest, b, checked)
        self.lanes = min(self.lanes, TILE)
        self.across = self.last - 1
        self.outer = list(range(self.across))
        self.turned: dict[int, Value] = {}  # access → where its tile is put aside
        self.line: Value | None = None  # the line of the tile that a body is written for

    def _tasks(self, frame: Frame) -> None:
        """A task is `grain` units; one strip after the other, down each strip."""
        b, down, along = self.b, self.sizes[self.across], self.sizes[self.last]
        for a in read_across(self.nest):
            kind = stored(self.nest.accesses[a].dtype)
            self.turned[a] = b.room(self.lanes**2, kind)
        rows, strips = ceil_div(b, down, b.i64(TILE)), ceil_div(b, along, b.i64(STRIP))
        units = b.mul(b.mul(self._count(self.outer), strips), rows)
        begin = b.mul(frame.begin, self.grain)
        end = b.smin(b.mul(frame.end, self.grain), units)
        with b.loop(begin, end) as unit:
            rest = b.int("udiv", unit.index, rows)
            first = b.mul(b.sub(unit.index, b.mul(rest, rows)), TILE)
            out = b.int("udiv", rest, strips)
            left = b.mul(b.sub(rest, b.mul(out, strips)), STRIP)
            place = self._place(self._decompose(out, self.outer))
            last = b.smin(b.add(first, TILE), down)
            right = b.smin(b.add(left, STRIP), along)
            with b.loop(first, last, self.lanes) as line:
                self._strip(place, line.index, last, left, right)

    def _strip(self, place: Place, top: Value, bottom: Value, left: Value, right: Value) -> None:
        """The lines from top to bottom, at most as many as there are lanes, from left to right."""
        b = self.b
        lines = b.first_lanes(b.sub(bottom, top), self.lanes)
        bottom = b.smin(bottom, b.add(top, self.lanes))
        full = b.add(left, b.int("and", b.sub(right, left), -self.lanes))
        with b.loop(left, full, self.lanes) as loop:
            here = Place(place.pointers, place.coords, loop.index)
            self._tile(here, top, bottom, lines, right)
        with b.loop(full, right, self.lanes) as rest:
            mask = b.first_lanes(b.sub(right, rest.index), self.lanes)
            here = Place(place.pointers, place.coords, rest.index, mask)
            self._tile(here, top, bottom, lines, right)

    def _tile(self, place: Place, top: Value, bottom: Value, lines: Mask, right: Value) -> None:
        """One square: what is read across is turned, then comes the body, line by line."""
        for a in self.turned:
            self._turn(a, place, top, lines, right)
        with self.b.loop(top, bottom) as line:
            self.line = self.b.sub(line.index, top)
            pointers = [
                self.access.advance(a, pointer, {self.across: line.index})
                for a, pointer in enumerate(place.pointers)
            ]
            coords = {**place.coords, self.across: line.index}
            here = Place(pointers, coords, place.column, place.mask)
            self._body(self.nest.stages[0], here, {}, [])

    def _turn(self, a: int, place: Place, top: Value, lines: Mask, right: Value) -> None:
        """Read a square as it lies, and put it aside with lines and columns exchanged."""
        b, kind = self.b, self.access.element(a)
        start = self.access.advance(a, place.pointers[a], {self.across: top})
        read = []
        for n in range(self.lanes):
            assert place.column is not None
            column = b.add(place.column, n)
            if place.mask is not None:  # a line that is not there: the last one again
                column = b.smin(column, b.sub(right, 1))
            pointer = self.access.advance(a, start, {self.last: column})
            read.append(self.access.raw(a, pointer, lines))
        for n, vector in enumerate(transposed(b, read)):
            b.store(vector, b.element(self.turned[a], kind, n * self.lanes))

    def _leaf(self, leaf: Tree, place: Place) -> Value:
        if leaf.kind != "load" or leaf.data not in self.turned:
            return super()._leaf(leaf, place)
        assert self.line is not None
        dtype: DType = self.nest.accesses[leaf.data].dtype
        at = self.b.mul(self.line, self.lanes)
        where = self.b.element(self.turned[leaf.data], stored(dtype), at)
        return self.b.load_element(dtype, where, self.lanes)


def transposed(b: Builder, lines: list[Value]) -> list[Value]:
    """A square of elements, a vector each line, with lines and columns exchanged.

    Each step merges every line with the one half a square below, element by element; after as many
    steps as the number of lines has binary digits, each line holds what was a column.
    """
    size = len(lines)
    half, steps = size // 2, size.bit_length() - 1
    low = [lane // 2 + lane % 2 * size for lane in range(size)]
    high = [lane + half for lane in low]
    for _ in range(steps):
        pairs = [(lines[n], lines[n + half]) for n in range(half)]
        lines = [b.shuffle(x, y, order) for x, y in pairs for order in (low, high)]
    return lines
