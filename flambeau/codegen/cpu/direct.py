"""Convolutions with few output channels: each image is copied into a frame of zeros, and multiplied
there.

    C[row, y, x] = epilogue(Σ over channels and taps of
        A[row, channel, ky, kx] · frame[channel, y + ky, x + kx])

With few rows of weights, to pack what the taps see for each place costs more than to multiply it.
In the frame a vector of neighbouring places is a plain load wherever the tap looks. A few rows of
places stay in registers; taps that see only zeros above or below are left out. A task is some
images of a group.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod

from flambeau.ir.record import frozen

from ...ir.dtype import DType
from ..builder import Builder, Value
from ..memory import size_of
from ..values import computed, stored, vector_of
from .gemm.convolving import Convolution, epilogue_values, refined
from .gemm.cut import MOST_TASKS, TASK_WORK, ceil
from .gemm.epilogue import Epilogue, Finish, Place
from .gemm.pack import divided
from .gemm.patches import words_of
from .gemm.spec import Launch, Machine, Plan
from .gemm.words import Words, ordered

MOST_ROWS = 8  # of the weights; with more, to pack for all of them pays
LEAST_USED = 0.6  # of the lanes of a row of places
FRAME_BYTES = 1 << 18  # which lie on the stack, and shall stay in a cache
FEWEST_IMAGES = 8
WORDS = (
    "a", "x", "images", "chunks", "per_task", "channels", "out0", "out1", "taps0", "taps1",
    "dilation0", "dilation1", "top", "filled", "columns", "start", "line", "plane", "x_group",
    "x_image", "x_channel", "x_row", "a_group", "a_row", "a_channel", "a_tap0", "a_tap1",
)  # fmt: skip


@frozen
class Direct:
    """A kernel: `rows` of weights, `vectors` of a row of places, `height` rows of places at once;
    the bytes of a frame; the epilogue over (image, row, place)."""

    element: DType
    image: DType
    weight: DType
    lanes: int
    rows: int
    vectors: int
    height: int
    room: int
    epilogue: Epilogue

    @property
    def words(self) -> tuple[str, ...]:
        return WORDS + self.epilogue.words

    @property
    def places(self) -> int:
        """How many vectors of places are worked on at once."""
        return self.height * self.vectors


# ------------------------------------------------------------------ the plan


def direct_plan(conv: Convolution, machine: Machine) -> Plan | None:
    """The launch for one convolution, which has elements; None where it is not one for this."""
    geometry, kernels = conv.geometry, conv.kernels
    lanes = machine.vector_bytes // conv.element.itemsize
    plain = all(s == 1 for s in geometry.stride) and geometry.x[-1] == 1
    if len(geometry.places) > 2 or not plain or kernels.rows > MOST_ROWS:
        return None
    height, width = ((1,) + geometry.places)[-2:]
    vectors = ceil(width, lanes)
    most = (machine.registers - 1) // ((kernels.rows + 1) * vectors)
    if width < LEAST_USED * vectors * lanes or not most or geometry.images < FEWEST_IMAGES:
        return None
    tall = ceil(height, ceil(height, most))
    taps, gaps = (((1,) + each)[-2:] for each in (geometry.taps, geometry.dilation))
    before, length = ((0,) + geometry.before)[-2:], ((1,) + geometry.length)[-2:]
    line = ceil(vectors * lanes + (taps[1] - 1) * gaps[1], lanes) * lanes
    plane = line * (ceil(height, tall) * tall + (taps[0] - 1) * gaps[0])
    size = (kernels.channels * plane + lanes) * conv.element.itemsize
    if size > FRAME_BYTES:
        return None
    frame = plane // line, line
    there = tuple(max(b, 0) for b in before)  # where the image begins in the frame
    skipped = tuple(max(-b, 0) for b in before)
    filled = tuple(max(0, min(n - s, f - t)) for n, s, f, t in zip(length, skipped, frame, there))
    x_row = geometry.x[2] if len(geometry.places) == 2 else 0
    steps = ((0,) + kernels.strides[3:])[-2:]
    work = 2 * kernels.rows * kernels.channels * prod(taps) * geometry.images * height * width
    wanted = min(max(2, work * kernels.groups // TASK_WORK), MOST_TASKS)
    per_task = ceil(geometry.images, min(geometry.images, ceil(wanted, kernels.groups)))
    chunks = ceil(geometry.images, per_task)
    epilogue = Epilogue(1, tuple(map(refined, conv.accesses, conv.strides)), conv.scalars,
                        conv.stores)  # fmt: skip
    values: Words = {
        "a": ("a", kernels.start * kernels.dtype.itemsize),
        "x": ("b", (skipped[0] * x_row + skipped[1]) * conv.image.itemsize),
        "images": geometry.images, "chunks": chunks, "per_task": per_task,
        "channels": kernels.channels, "out0": height, "out1": width, "taps0": taps[0],
        "taps1": taps[1], "dilation0": gaps[0], "dilation1": gaps[1], "top": there[0],
        "filled": filled[0], "columns": filled[1], "start": there[0] * line + there[1],
        "line": line, "plane": plane, "x_group": kernels.channels * geometry.x[1],
        "x_image": geometry.x[0], "x_channel": geometry.x[1], "x_row": x_row,
        "a_group": kernels.strides[0], "a_row": kernels.strides[1],
        "a_channel": kernels.strides[2], "a_tap0": steps[0], "a_tap1": steps[1],
    }  # fmt: skip
    room = max(4096, 1 << (size - 1).bit_length())
    code = Direct(conv.element, conv.image, kernels.dtype, lanes, kernels.rows, vectors, tall, room,
                  epilogue)  # fmt: skip
    text = direct_text(code, machine.vector_bytes)
    words = ordered(code.words, values | epilogue_values(epilogue, conv.strides))
    return Plan((Launch(text, "convolve", words, kernels.groups * chunks),), 0)


# ------------------------------------------------------------------ the kernel


@lru_cache(maxsize=256)
def direct_text(code: Direct, vector_bytes: int) -> str:
    """The module of the kernel `convolve`."""
    b = Builder(vector_bytes)
    with b.kernel("convolve") as frame:
        Driver(b, code).write(frame.begin, frame.end)
    return b.text()


class Driver:
    """Writes the kernel."""

    def __init__(self, b: Builder, code: Direct) -> None:
        self.b, self.code, self.w = b, code, words_of(b, WORDS)
        self.vector = vector_of(computed(code.element), code.lanes)
        self.frame = b.op(f"alloca [{code.room} x i8], align 64", "ptr")
        count = code.rows * code.places
        self.sums = b.op(f"alloca [{count} x {self.vector}], align 64", "ptr")
        last = b.sub(self.w["out1"], (code.vectors - 1) * code.lanes)
        self.masks: list[Value | None] = [None] * (code.vectors - 1)
        self.masks.append(b.active(last, code.lanes))

    def write(self, begin: Value, end: Value) -> None:
        b, w = self.b, self.w
        self.clear()
        with b.loop(begin, end) as task:
            group, chunk = divided(b, task.index, w["chunks"])
            a = self.at(b.word_pointer(WORDS.index("a")), self.code.weight, group, "a_group")
            x = self.at(b.word_pointer(WORDS.index("x")), self.code.image, group, "x_group")
            first = b.mul(chunk, w["per_task"])
            past = b.smin(b.add(first, w["per_task"]), w["images"])
            with b.loop(first, past) as image:
                self.fill(self.at(x, self.code.image, image.index, "x_image"))
                with b.loop(0, w["out0"], self.code.height) as y:
                    self.multiply(a, y.index)
                    self.finish(image.index, b.mul(group, self.code.rows), y.index)

    def at(self, base: Value, dtype: DType, number: Value, step: str) -> Value:
        """An address so many steps on."""
        return self.b.element(base, stored(dtype), self.b.mul(number, self.w[step]))

    def clear(self) -> None:
        """Zeros in the whole frame; what is around the image stays zero."""
        b, size = self.b, size_of(computed(self.code.element)) * self.code.lanes
        with b.loop(0, self.code.room, size) as loop:
            b.store(b.number(self.vector, 0), b.element(self.frame, "i8", loop.index))

    def fill(self, x: Value) -> None:
        """Copy an image into the frame."""
        b, w, code = self.b, self.w, self.code
        element, lanes = computed(code.element), code.lanes
        with b.loop(0, w["channels"]) as channel:
            plane = self.at(x, code.image, channel.index, "x_channel")
            there = b.add(b.mul(channel.index, w["plane"]), w["start"])
            with b.loop(0, w["filled"]) as row:
                source = self.at(plane, code.image, row.index, "x_row")
                line = b.element(self.frame, element, b.add(there, b.mul(row.index, w["line"])))
                with b.loop(0, w["columns"], lanes) as column:
                    mask = b.active(b.sub(w["columns"], column.index), lanes)
                    address = b.element(source, stored(code.image), column.index)
                    value = b.load_element(code.image, address, lanes, mask)
                    b.store_masked(value, b.element(line, element, column.index), mask)

    def multiply(self, a: Value, y: Value) -> None:
        """The sums of some rows of places, into memory."""
        b, w, code = self.b, self.w, self.code
        first = b.smax(b.sub(w["top"], b.add(y, code.height - 1)), 0)
        first = b.int("udiv", b.sub(b.add(first, w["dilation0"]), 1), w["dilation0"])
        below = b.sub(b.add(b.add(w["top"], w["filled"]), w["dilation0"]), b.add(y, 1))
        past = b.smin(b.int("udiv", b.smax(below, 0), w["dilation0"]), w["taps0"])
        sums = [b.number(self.vector, 0)] * (code.rows * code.places)
        with b.loop(0, w["channels"], carry=sums) as channel:
            weights = self.at(a, code.weight, channel.index, "a_channel")
            plane = b.add(b.mul(channel.index, w["plane"]), b.mul(y, w["line"]))
            with b.loop(first, past, carry=channel.carried) as tap:
                line = b.mul(b.mul(tap.index, w["dilation0"]), w["line"])
                here = b.element(self.frame, computed(code.element), b.add(plane, line))
                some = self.at(weights, code.weight, tap.index, "a_tap0")
                with b.loop(0, w["taps1"], carry=tap.carried) as along:
                    along.next = self.step(along.carried, some, here, along.index)
                tap.next = along.results
            channel.next = tap.results
        for i, value in enumerate(channel.results):
            b.store(value, b.element(self.sums, self.vector, i))

    def step(self, sums: list[Value], weights: Value, here: Value, tap: Value) -> list[Value]:
        """The sums after one tap more; in the order (row of places, row of weights, vector)."""
        b, w, code, element = self.b, self.w, self.code, computed(self.code.element)
        here = b.element(here, element, b.mul(tap, w["dilation1"]))
        weights = self.at(weights, code.weight, tap, "a_tap1")
        seen = []
        for _ in range(code.height):
            seen.append([b.load(self.vector, b.element(here, element, v * code.lanes))
                         for v in range(code.vectors)])  # fmt: skip
            here = b.element(here, element, w["line"])
        after = list(sums)
        for row in range(code.rows):
            weight = b.splat(b.load_element(code.weight, weights), code.lanes)
            weights = b.element(weights, stored(code.weight), w["a_row"])
            for y, line in enumerate(seen):
                for v, value in enumerate(line):
                    i = (y * code.rows + row) * code.vectors + v
                    after[i] = b.fma(weight, value, sums[i])
        return after

    def finish(self, image: Value, row: Value, y: Value) -> None:
        """The epilogue of the rows of places that there are."""
        b, w, code = self.b, self.w, self.code
        with b.loop(0, b.smin(b.sub(w["out0"], y), code.height)) as line:
            column = b.mul(b.add(y, line.index), w["out1"])
            place = Place((image,), row, column, w["out1"])
            end = Finish(b, code.epilogue, len(WORDS), code.lanes, place, self.masks)
            count = code.rows * code.vectors
            top = b.element(self.sums, self.vector, b.mul(line.index, count))
            with b.loop(0, code.rows, carry=[top, *end.start]) as loop:
                here, pointers = loop.carried[0], loop.carried[1:]
                values = [b.load(self.vector, b.element(here, self.vector, v))
                          for v in range(code.vectors)]  # fmt: skip
                end.write_row(pointers, b.add(row, loop.index), values)
                loop.next = [b.element(here, self.vector, code.vectors), *end.next_row(pointers)]
