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

from flambeau.ir.record import frozen

from ...ir.dtype import DType
from ..builder import Builder, Value
from ..values import computed, stored, vector_of
from . import frame
from .frame import FRAME_BYTES, Frame, frame_bytes, framed, touched
from .gemm.convolving import Convolution, epilogue_values, refined
from .gemm.cut import MOST_TASKS, TASK_WORK, ceil, power_of_two
from .gemm.epilogue import Epilogue, Finish, Place
from .gemm.pack import divided
from .gemm.patches import words_of
from .gemm.spec import Launch, Machine, Plan
from .gemm.words import Words, ordered

MOST_ROWS = 8  # of the weights; with more, to pack for all of them pays
WORDS = (
    "a", "x", "images", "chunks", "per_task", "a_group", "a_row", "a_channel", "a_tap0", "a_tap1",
    *frame.WORDS,
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
    around = framed(geometry, kernels.channels, lanes) if kernels.rows <= MOST_ROWS else None
    if around is None:
        return None
    most = (machine.registers - 1) // ((kernels.rows + 1) * around.vectors)
    if not most:
        return None
    height = ceil(around.places[0], ceil(around.places[0], most))
    plane = around.line * around.lines(height)
    size = frame_bytes(kernels.channels, plane, conv.element)
    if size > FRAME_BYTES:
        return None
    steps = ((0,) + kernels.strides[3:])[-2:]
    each = 2 * kernels.rows * kernels.channels * around.window * geometry.images
    work = each * kernels.groups * around.places[0] * around.places[1]
    wanted = min(max(2, work // TASK_WORK), MOST_TASKS)
    per_task = ceil(geometry.images, min(geometry.images, ceil(wanted, kernels.groups)))
    chunks = ceil(geometry.images, per_task)
    epilogue = Epilogue(1, tuple(map(refined, conv.accesses, conv.strides)), conv.scalars,
                        conv.stores)  # fmt: skip
    values: Words = around.values | {
        "a": ("a", kernels.start * kernels.dtype.itemsize),
        "x": ("b", around.skipped * conv.image.itemsize), "plane": plane,
        "images": geometry.images, "chunks": chunks, "per_task": per_task,
        "a_group": kernels.strides[0], "a_row": kernels.strides[1],
        "a_channel": kernels.strides[2], "a_tap0": steps[0], "a_tap1": steps[1],
    }  # fmt: skip
    room = power_of_two(size)
    code = Direct(conv.element, conv.image, kernels.dtype, lanes, kernels.rows, around.vectors,
                  height, room, epilogue)  # fmt: skip
    text = direct_text(code, machine.vector_bytes)
    words = ordered(code.words, values | epilogue_values(epilogue, conv.strides))
    return Plan((Launch(text, "convolve", words, kernels.groups * chunks),), 0)


# ------------------------------------------------------------------ the kernel


@lru_cache(maxsize=256)
def direct_text(code: Direct, vector_bytes: int) -> str:
    """The module of the kernel `convolve`."""
    b = Builder(vector_bytes)
    with b.kernel("convolve") as here:
        Driver(b, code).write(here.begin, here.end)
    return b.text()


class Driver:
    """Writes the kernel."""

    def __init__(self, b: Builder, code: Direct) -> None:
        self.b, self.code, self.w = b, code, words_of(b, WORDS)
        self.vector = vector_of(computed(code.element), code.lanes)
        self.frame = Frame(b, self.w, code.image, code.element, code.lanes, code.room)
        count = code.rows * code.places
        self.sums = b.room(count, self.vector)
        last = b.sub(self.w["out1"], (code.vectors - 1) * code.lanes)
        self.masks: list[Value | None] = [None] * (code.vectors - 1)
        self.masks.append(b.active(last, code.lanes))

    def write(self, begin: Value, end: Value) -> None:
        b, w = self.b, self.w
        self.frame.clear()
        with b.loop(begin, end) as task:
            group, chunk = divided(b, task.index, w["chunks"])
            a = self.at(b.word_pointer(WORDS.index("a")), self.code.weight, group, "a_group")
            x = self.at(b.word_pointer(WORDS.index("x")), self.code.image, group, "x_group")
            first = b.mul(chunk, w["per_task"])
            past = b.smin(b.add(first, w["per_task"]), w["images"])
            with b.loop(first, past) as image:
                self.frame.fill(self.at(x, self.code.image, image.index, "x_image"))
                with b.loop(0, w["out0"], self.code.height) as y:
                    self.multiply(a, y.index)
                    self.finish(image.index, b.mul(group, self.code.rows), y.index)

    def at(self, base: Value, dtype: DType, number: Value, step: str) -> Value:
        """An address so many steps on."""
        return self.b.element(base, stored(dtype), self.b.mul(number, self.w[step]))

    def multiply(self, a: Value, y: Value) -> None:
        """The sums of some rows of places, into memory."""
        b, w, code = self.b, self.w, self.code
        first, past = touched(b, w, (y, b.add(y, code.height - 1)))
        past = b.smin(past, w["taps0"])
        sums = [b.number(self.vector, 0)] * (code.rows * code.places)
        with b.loop(0, w["channels"], carry=sums) as channel:
            weights = self.at(a, code.weight, channel.index, "a_channel")
            plane = b.add(b.mul(channel.index, w["plane"]), b.mul(y, w["line"]))
            with b.loop(first, past, carry=channel.carried) as tap:
                line = b.mul(b.mul(tap.index, w["dilation0"]), w["line"])
                here = self.frame.at(b.add(plane, line))
                some = self.at(weights, code.weight, tap.index, "a_tap0")
                with b.loop(0, w["taps1"], carry=tap.carried) as along:
                    along.next = self.step(along.carried, some, here, along.index)
                tap.next = along.results
            channel.next = tap.results
        for i, value in enumerate(channel.results):
            b.store(value, b.element(self.sums, self.vector, i))

    def step(self, sums: list[Value], weights: Value, here: Value, tap: Value) -> list[Value]:
        """The sums after one tap more; in the order (row of places, row of weights, vector)."""
        b, w, code, element = self.b, self.w, self.code, self.frame.element
        here = b.element(here, element, b.mul(tap, w["dilation1"]))
        weights = self.at(weights, code.weight, tap, "a_tap1")
        seen = []
        for _ in range(code.height):
            seen.append(self.frame.vectors(here, code.vectors))
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
