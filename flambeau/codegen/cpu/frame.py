"""A frame of zeros around an image, in which taps of a kernel look without asking where they are.

    frame[channel, y + before, x + before] = image[channel, y, x]

In it a vector of neighbouring places is a plain load for every tap. A line of the frame is long
enough for whole vectors of places; what is there behind the image is zero.
"""

from __future__ import annotations

from math import prod

from flambeau.ir.record import frozen

from ...ir.dtype import DType
from ...ir.layout import Ints
from ..builder import Builder, Value
from ..memory import size_of
from ..values import computed, stored, vector_of
from .gemm.cut import ceil
from .gemm.windows import Geometry, W
from .gemm.words import Words

LEAST_USED = 0.6  # of the lanes of a row of places
FRAME_BYTES = 1 << 18  # which lie on the stack, and shall stay in a cache
FEWEST_IMAGES = 8  # so that there are tasks
WORDS = (
    "channels", "out0", "out1", "taps0", "taps1", "dilation0", "dilation1", "top", "filled",
    "columns", "start", "line", "plane", "x_group", "x_image", "x_channel", "x_row",
)  # fmt: skip


@frozen
class Framed:
    """A convolution with a stride of 1 over two dims, the first of which may be one place."""

    places: Ints
    taps: Ints
    dilation: Ints
    vectors: int  # of a row of places
    line: int  # elements from one line of the frame to the next
    skipped: int  # elements of the image in front of the first that any tap sees
    values: Words

    @property
    def window(self) -> int:
        return prod(self.taps)

    def lines(self, height: int) -> int:
        """How many lines a plane has, where so many rows of places are worked on at once."""
        whole = ceil(self.places[0], height) * height
        return whole + (self.taps[0] - 1) * self.dilation[0]


def framed(geometry: Geometry, channels: int, lanes: int) -> Framed | None:
    """How the images are framed; None where that does not pay."""
    plain = all(s == 1 for s in geometry.stride) and geometry.x[-1] == 1
    if len(geometry.places) > 2 or not plain or geometry.images < FEWEST_IMAGES:
        return None
    places, taps, gaps = (
        ((1,) + each)[-2:] for each in (geometry.places, geometry.taps, geometry.dilation)
    )
    before, length = ((0,) + geometry.before)[-2:], ((1,) + geometry.length)[-2:]
    vectors = ceil(places[1], lanes)
    if places[1] < LEAST_USED * vectors * lanes:
        return None
    reach = tuple(p + (k - 1) * d for p, k, d in zip(places, taps, gaps))
    line = ceil(vectors * lanes + reach[1] - places[1], lanes) * lanes
    there = tuple(max(b, 0) for b in before)  # where the image begins in the frame
    skipped = tuple(max(-b, 0) for b in before)
    filled = tuple(max(0, min(n - s, r - t)) for n, s, r, t in zip(length, skipped, reach, there))
    row = geometry.x[2] if len(geometry.places) == 2 else 0
    values: Words = {
        "channels": channels, "out0": places[0], "out1": places[1], "taps0": taps[0],
        "taps1": taps[1], "dilation0": gaps[0], "dilation1": gaps[1], "top": there[0],
        "filled": filled[0], "columns": filled[1], "start": there[0] * line + there[1],
        "line": line, "x_group": channels * geometry.x[1], "x_image": geometry.x[0],
        "x_channel": geometry.x[1], "x_row": row,
    }  # fmt: skip
    return Framed(places, taps, gaps, vectors, line, skipped[0] * row + skipped[1], values)


def frame_bytes(channels: int, plane: int, element: DType) -> int:
    """The bytes of a frame, with what a vector reads behind it."""
    return channels * plane * element.itemsize + 64


class Frame:
    """Writes the code that clears and fills a frame."""

    def __init__(self, b: Builder, w: W, image: DType, element: DType, lanes: int,
                 size: int) -> None:  # fmt: skip
        self.b, self.w, self.image, self.lanes, self.size = b, w, image, lanes, size
        self.element = computed(element)
        self.vector = vector_of(self.element, lanes)
        self.memory = b.room(size)

    def clear(self) -> None:
        """Zeros everywhere; what is around the image stays zero."""
        clear(self.b, self.memory, self.size // (size_of(self.element) * self.lanes), self.vector)

    def fill(self, x: Value) -> None:
        """Copy the image at x."""
        b, w, lanes, source = self.b, self.w, self.lanes, stored(self.image)
        with b.loop(0, w["channels"]) as channel:
            plane = b.element(x, source, b.mul(channel.index, w["x_channel"]))
            there = b.add(b.mul(channel.index, w["plane"]), w["start"])
            with b.loop(0, w["filled"]) as row:
                here = b.element(plane, source, b.mul(row.index, w["x_row"]))
                line = self.at(b.add(there, b.mul(row.index, w["line"])))
                with b.loop(0, w["columns"], lanes) as column:
                    mask = b.active(b.sub(w["columns"], column.index), lanes)
                    address = b.element(here, source, column.index)
                    value = b.load_element(self.image, address, lanes, mask)
                    b.store_masked(value, b.element(line, self.element, column.index), mask)

    def at(self, position: Value) -> Value:
        """The address of an element."""
        return self.b.element(self.memory, self.element, position)

    def vectors(self, start: Value, count: int) -> list[Value]:
        """Neighbouring vectors."""
        places = (self.b.element(start, self.element, v * self.lanes) for v in range(count))
        return [self.b.load(self.vector, place) for place in places]


def clear(b: Builder, memory: Value, vectors: int, vector: str) -> None:
    """Fill some vectors with zeros."""
    with b.loop(0, vectors) as loop:
        b.store(b.number(vector, 0), b.element(memory, vector, loop.index))


def touched(b: Builder, w: W, lines: tuple[Value, Value]) -> tuple[Value, Value]:
    """first ≤ n < past: where lines `lines[0]` to `lines[1]` of the frame, moved on by n times the
    distance between taps, may have something of the image."""
    gap = w["dilation0"]
    first = b.smax(b.sub(w["top"], lines[1]), 0)
    first = b.int("udiv", b.sub(b.add(first, gap), 1), gap)
    below = b.sub(b.add(b.add(w["top"], w["filled"]), gap), b.add(lines[0], 1))
    return first, b.int("udiv", b.smax(below, 0), gap)
