"""What the taps of a kernel see: elements of an image, read where they lie.

The matrix of patches has a row for each channel and tap, and a column for each place of the kernel
in each image. It is never stored: a vector of 16 neighbouring places is read from the image, with
zeros around it. Places of one row of the output that are neighbours read neighbours; so with a
stride of 1 a vector is a few masked loads, one for each such run, and else it is gathered. What
depends on the places is computed once for all channels and taps, masks once for a tap.

The number of a column counts places, and then images. Each image may have a few numbers more than
places, so that no vector crosses from one image into the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from flambeau.ir.record import frozen, record

from ....ir.dtype import DType
from ....ir.layout import Ints
from ...builder import Builder, Value, element_of, lanes_of, vector_of
from ...instructions import mangled
from ...memory import size_of
from ...values import stored
from .pack import divided

MOST_RUNS = 4  # masked loads of a vector; where it would take more, it is gathered
MOST_UNUSED = 0.1  # of the numbers of an image: else vectors cross from one image into the next
W = dict[str, Value]


@frozen
class Windows:
    """How patches are read: all that the code depends on. `runs` is 0 where vectors are gathered;
    `crosses`: a vector may have places of several images."""

    dtype: DType
    dims: int
    lanes: int
    runs: int
    crosses: bool

    @property
    def words(self) -> tuple[str, ...]:
        each = ("out", "in", "taps", "stride", "before", "dilation", "x")
        spread = (f"{what}{d}" for d in range(self.dims) for what in each)
        return ("images", "area", "places", "x_image", "x_channel", "window", *spread)


@frozen
class Geometry:
    """The sizes of one convolution. `x`: strides over (image, channel, …) in elements;
    `before`: zeros in front of the image, or with a minus what is left out of it."""

    images: int
    places: Ints
    length: Ints
    taps: Ints
    stride: Ints
    before: Ints
    dilation: Ints
    x: Ints

    @property
    def window(self) -> int:
        return prod(self.taps)

    def area(self, lanes: int, crosses: bool) -> int:
        """How many numbers each image has."""
        real = prod(self.places)
        return real if crosses else -(-real // lanes) * lanes

    def windows(self, dtype: DType, lanes: int, may_cross: bool) -> Windows:
        """How the patches are read best."""
        real = prod(self.places)
        unused = 1 - real / self.area(lanes, False)
        crosses = may_cross and unused > MOST_UNUSED and self.images > 1
        row = self.places[-1]
        runs = 1 if row % lanes == 0 else -(-(lanes - 1) // row) + 1
        if lanes % row == 0:
            runs = lanes // row
        plain = self.stride[-1] == self.x[-1] == 1 and runs <= MOST_RUNS
        return Windows(dtype, len(self.places), lanes, runs if plain else 0, crosses)

    def values(self, windows: Windows) -> dict[str, int]:
        """The words by name."""
        facts = (self.places, self.length, self.taps, self.stride, self.before, self.dilation,
                 self.x[2:])  # fmt: skip
        names = ("out", "in", "taps", "stride", "before", "dilation", "x")
        found = {f"{name}{d}": n for name, each in zip(names, facts) for d, n in enumerate(each)}
        return found | {
            "images": self.images, "area": self.area(windows.lanes, windows.crosses),
            "places": prod(self.places), "x_image": self.x[0], "x_channel": self.x[1],
            "window": self.window,
        }  # fmt: skip


@record
class Run:
    """Lanes start ≤ lane < end lie in one row of the output. `origins`: where the first tap looks
    along each dim; `base`: where it reads lane 0, if that were in this run."""

    start: Value
    end: Value
    origins: list[Value]
    base: Value


class Runs:
    """A vector of places as runs."""

    def __init__(self, b: Builder, windows: Windows, w: W, source: Value, first: Value) -> None:
        self.b, self.windows, self.w = b, windows, w
        image, place = divided(b, first, w["area"])
        at = coordinates_of(b, place, [w[f"out{d}"] for d in range(windows.dims)])
        start, self.runs = b.i64(0), []
        for _ in range(windows.runs):
            run = self.run(source, image, at, start)
            self.runs.append(run)
            start = b.smin(b.add(start, b.sub(w[f"out{windows.dims - 1}"], at[-1])), windows.lanes)
            image, at = self.next_row(image, at)

    def run(self, source: Value, image: Value, at: list[Value], start: Value) -> Run:
        b, w, last = self.b, self.w, self.windows.dims - 1
        end = b.smin(b.add(start, b.sub(w[f"out{last}"], at[-1])), self.windows.lanes)
        inside = b.icmp("slt", image, w["images"])
        inside = b.int("and", inside, b.icmp("slt", at[0], w["out0"]))
        origins = [b.sub(b.mul(x, w[f"stride{d}"]), w[f"before{d}"]) for d, x in enumerate(at)]
        origins[-1] = b.sub(origins[-1], start)
        offset = b.mul(image, w["x_image"])
        for d, origin in enumerate(origins):
            offset = b.add(offset, b.mul(origin, w[f"x{d}"]))
        base = b.element(source, stored(self.windows.dtype), offset)
        return Run(start, b.select(inside, end, start), origins, base)

    def next_row(self, image: Value, at: list[Value]) -> tuple[Value, list[Value]]:
        """The first place of the row after this one."""
        b, w = self.b, self.w
        at, crosses = [*at[:-1], b.i64(0)], self.windows.crosses
        if len(at) == 1:
            return b.add(image, 1) if crosses else w["images"], at
        at[-2] = b.add(at[-2], 1)
        for d in reversed(range(0 if crosses else 1, len(at) - 1)):
            full = b.icmp("eq", at[d], w[f"out{d}"])
            at[d] = b.select(full, b.i64(0), at[d])
            more = b.op(f"zext i1 {full} to i64", "i64")
            if d:
                at[d - 1] = b.add(at[d - 1], more)
            else:
                image = b.add(image, more)
        return image, at

    def masks(self, tap: Sequence[Value]) -> list[Value]:
        """For each run, the lanes that a tap sees inside the image, as bits."""
        b, w, last = self.b, self.w, self.windows.dims - 1
        reach = [b.mul(k, w[f"dilation{d}"]) for d, k in enumerate(tap)]
        found = []
        for run in self.runs:
            column = b.add(run.origins[-1], reach[-1])
            low = b.smin(b.smax(b.sub(b.i64(0), column), run.start), self.windows.lanes)
            high = b.smax(b.smin(b.sub(w[f"in{last}"], column), run.end), low)
            bits = b.sub(b.int("shl", b.i64(1), high), b.int("shl", b.i64(1), low))
            for d in range(last):
                row = b.add(run.origins[d], reach[d])
                bits = b.select(b.icmp("ult", row, w[f"in{d}"]), bits, b.i64(0))
            found.append(b.op(f"trunc i64 {bits} to i{self.windows.lanes}", self.bits))
        return found

    @property
    def bits(self) -> str:
        return f"i{self.windows.lanes}"

    def load(self, offset: Value, masks: list[Value]) -> Value:
        """What a tap sees; `offset`: from its first element to this one's, in elements."""
        b, kind = self.b, stored(self.windows.dtype)
        value = Value(vector_of(kind, self.windows.lanes), "zeroinitializer")
        for run, bits in zip(self.runs, masks, strict=True):
            lanes = f"<{self.windows.lanes} x i1>"
            mask = b.op(f"bitcast {bits.typed} to {lanes}", lanes)
            value = load_over(b, value, b.element(run.base, kind, offset), mask)
        return b.widen(value, self.windows.dtype)


class Scattered:
    """A vector of places that are gathered one by one."""

    def __init__(self, b: Builder, windows: Windows, w: W, source: Value, first: Value) -> None:
        self.b, self.windows, self.w, self.source = b, windows, w, source
        lanes = windows.lanes
        image, place = lanes_at(b, w, lanes, first)
        inside = b.icmp("ult", image, splat32(b, w["images"], lanes))
        self.inside = b.int("and", inside, b.icmp("ult", place, splat32(b, w["places"], lanes)))
        self.index = wide(b, image, w["x_image"])
        self.origins: list[Value] = []
        rest = place
        for d in reversed(range(windows.dims)):
            at = rest
            if d:
                rest, at = lanes_divided(b, rest, w[f"out{d}"])
            origin = b.mul(at, splat32(b, w[f"stride{d}"], lanes))
            origin = b.sub(origin, splat32(b, w[f"before{d}"], lanes))
            self.origins.insert(0, origin)
            self.index = b.add(self.index, wide(b, origin, w[f"x{d}"]))

    def masks(self, tap: Sequence[Value]) -> list[Value]:
        """The lanes that a tap sees inside the image, as bits."""
        b, w, mask, lanes = self.b, self.w, self.inside, self.windows.lanes
        for d, k in enumerate(tap):
            reach = splat32(b, b.mul(k, w[f"dilation{d}"]), lanes)
            limit = splat32(b, w[f"in{d}"], lanes)
            mask = b.int("and", mask, b.icmp("ult", b.add(self.origins[d], reach), limit))
        return [b.op(f"bitcast {mask.typed} to i{lanes}", f"i{lanes}")]

    def load(self, offset: Value, masks: list[Value]) -> Value:
        """What a tap sees; `offset`: from its first element to this one's, in elements."""
        b, lanes = self.b, f"<{self.windows.lanes} x i1>"
        mask = b.op(f"bitcast {masks[0].typed} to {lanes}", lanes)
        base = b.element(self.source, stored(self.windows.dtype), offset)
        return b.gather_element(self.windows.dtype, base, self.index, mask)


def places_at(b: Builder, windows: Windows, w: W, source: Value, first: Value) -> Runs | Scattered:
    """The vector of places that begins with column number `first`."""
    return (Runs if windows.runs else Scattered)(b, windows, w, source, first)


def coordinates_of(b: Builder, number: Value, sizes: list[Value]) -> list[Value]:
    """Where something lies along each dim, by its number; what is left over is in the first."""
    at: list[Value] = []
    for size in reversed(sizes[1:]):
        number, x = divided(b, number, size)
        at.insert(0, x)
    return [number, *at]


def tap_offset(b: Builder, windows: Windows, w: W, tap: Sequence[Value]) -> Value:
    """How many elements a tap's are from those of the first."""
    total = b.i64(0)
    for d, k in enumerate(tap):
        total = b.add(total, b.mul(b.mul(k, w[f"dilation{d}"]), w[f"x{d}"]))
    return total


def lanes_at(b: Builder, w: W, lanes: int, first: Value) -> tuple[Value, Value]:
    """The image and the place of each lane of a vector of columns (as i32)."""
    image, place = divided(b, first, w["area"])
    place = b.add(splat32(b, place, lanes), b.iota(lanes, "i32"))
    more, place = lanes_divided(b, place, w["area"])
    return b.add(splat32(b, image, lanes), more), place


def splat32(b: Builder, x: Value, lanes: int) -> Value:
    return b.splat(b.op(f"trunc i64 {x} to i32", "i32"), lanes)


def wide(b: Builder, x: Value, times: Value) -> Value:
    """Lanes of i32, times a number, as i64."""
    long = b.convert("sext", x, "i64")
    return b.mul(long, b.splat(times, lanes_of(x.type)))


def lanes_divided(b: Builder, x: Value, y: Value) -> tuple[Value, Value]:
    """The quotient and the rest of lanes (i32), by doubles: exact, as they have 53 bits."""
    lanes = lanes_of(x.type)
    divisor = b.splat(b.op(f"sitofp i64 {y} to double", "double"), lanes)
    exact = b.fdiv(b.convert("sitofp", x, "double"), divisor)
    quotient = b.convert("fptosi", exact, "i32")
    return quotient, b.sub(x, b.mul(quotient, splat32(b, y, lanes)))


def load_over(b: Builder, below: Value, address: Value, mask: Value) -> Value:
    """`below`, with the lanes that the mask has loaded from memory."""
    kind = below.type
    name = f"llvm.masked.load.{mangled(kind)}.p0"
    b.declare(name, kind, ["ptr", "i32", mask.type, kind])
    align = size_of(element_of(kind))
    return b.op(f"call {kind} @{name}(ptr {address}, i32 {align}, {mask.typed}, {below.typed})",
                kind)  # fmt: skip
