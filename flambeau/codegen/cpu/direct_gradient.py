"""The weight's gradient where few output channels see few channels: beside each image, in a frame.

    part[row, channel, ky, kx] = Σ over some images and all places of
        G[image, row, y, x] · frame[channel, y + ky, x + kx]

A vector holds sums of places 16 apart; those of a few rows and of all taps of a line of the kernel
stay in registers while the places are walked, and are added up across once a task. A task is some
images of a group; what the tasks have is added by a launch of its own (gemm/combine.py).
"""

from __future__ import annotations

from functools import lru_cache

from flambeau.ir.record import frozen

from ...ir.dtype import DType
from ...ir.kernel import Reduce
from ...ir.tree import Number
from .. import reduce as reducing
from ..builder import Builder, Value
from ..values import computed, stored, vector_of
from . import frame
from .frame import FRAME_BYTES, Frame, clear, frame_bytes, framed
from .gemm.combine import ROWS_OF_A_TASK, Combine, combine_text
from .gemm.convolving import epilogue_values, refined
from .gemm.cut import TASK_WORK, ceil, power_of_two
from .gemm.epilogue import Epilogue
from .gemm.pack import divided
from .gemm.patches import words_of
from .gemm.spec import Launch, Machine, Plan
from .gemm.weight_plan import Gradient
from .gemm.words import Words, ordered

MOST_ROWS = 8  # of the weight
MOST_SUMS = 512  # vectors of them, which are loaded and stored once for each image
FEWEST_STEPS = 24  # vectors of places of an image, for that to pay
MOST_TASKS = 16  # whose parts are added
WORDS = (
    "g", "x", "target", "images", "chunks", "per_task", "g_image", "g_row", "part",
    *frame.WORDS,
)  # fmt: skip


@frozen
class DirectGradient:
    """A kernel: `rows` of the weight, `block` of them at once, `taps` of a line of the kernel,
    `vectors` of a row of places, `sums` in all; the bytes of a frame."""

    element: DType
    grad: DType
    image: DType
    lanes: int
    rows: int
    block: int
    taps: int
    vectors: int
    sums: int
    room: int


# ------------------------------------------------------------------ the plan


def direct_gradient_plan(gradient: Gradient, machine: Machine) -> Plan | None:
    """The launches for one gradient, which has elements; None where it is not one for this."""
    geometry, rows = gradient.geometry, gradient.rows
    item, lanes = gradient.element.itemsize, machine.vector_bytes // gradient.element.itemsize
    around = framed(geometry, gradient.channels, lanes) if rows <= MOST_ROWS else None
    if around is None:
        return None
    taps, columns = around.taps[1], gradient.channels * around.window
    most = (machine.registers - 2 - taps) // taps
    few = around.places[0] * around.vectors < FEWEST_STEPS
    plane = around.line * around.lines(1)
    size = frame_bytes(gradient.channels, plane, gradient.element)
    if most < 1 or few or rows * columns > MOST_SUMS or size > FRAME_BYTES:
        return None
    work = 2 * gradient.groups * rows * columns * geometry.images
    work *= around.places[0] * around.places[1]
    wanted = ceil(min(max(2, work // TASK_WORK), MOST_TASKS), gradient.groups)
    per_task = ceil(geometry.images, min(geometry.images, wanted))
    chunks = ceil(geometry.images, per_task)
    part = ceil(gradient.groups * rows * columns * item, 64) * 64
    values: Words = around.values | {
        "g": ("a", 0), "x": ("b", around.skipped * gradient.image.itemsize),
        "target": ("scratch", 0), "plane": plane, "images": geometry.images, "chunks": chunks,
        "per_task": per_task, "g_image": gradient.g[0],
        "g_row": gradient.g[1], "part": part // item,
    }  # fmt: skip
    code = DirectGradient(
        gradient.element, gradient.grad, gradient.image, lanes, rows, ceil(rows, ceil(rows, most)),
        taps, around.vectors, rows * columns, power_of_two(size),
    )  # fmt: skip
    text = direct_gradient_text(code, machine.vector_bytes)
    first = Launch(text, "weight_gradient", ordered(WORDS, values), gradient.groups * chunks)
    return Plan((first, added(gradient, columns, chunks, part, machine)), chunks * part)


def added(gradient: Gradient, columns: int, parts: int, size: int, machine: Machine) -> Launch:
    """The launch that adds the parts, `size` bytes each, and does the epilogue."""
    lanes, rows = machine.vector_bytes // gradient.element.itemsize, gradient.rows
    accesses = tuple(map(refined, gradient.accesses, gradient.strides))
    epilogue = Epilogue(0, accesses, gradient.scalars, gradient.stores)
    combine = Combine(gradient.element, lanes, epilogue)
    groups = ceil(gradient.groups * rows, ROWS_OF_A_TASK)
    values = epilogue_values(epilogue, gradient.strides) | {
        "partial": ("scratch", 0), "parts": parts, "m": gradient.groups * rows, "n": columns,
        "part_bytes": size, "groups": groups,
    }  # fmt: skip
    text = combine_text(combine, machine.vector_bytes)
    return Launch(text, "combine", ordered(combine.words, values), groups)


# ------------------------------------------------------------------ the kernel


@lru_cache(maxsize=256)
def direct_gradient_text(code: DirectGradient, vector_bytes: int) -> str:
    """The module of the kernel `weight_gradient`."""
    b = Builder(vector_bytes)
    with b.kernel("weight_gradient") as here:
        Driver(b, code).write(here.begin, here.end)
    return b.text()


class Driver:
    """Writes the kernel."""

    def __init__(self, b: Builder, code: DirectGradient) -> None:
        self.b, self.code, self.w = b, code, words_of(b, WORDS)
        self.vector = vector_of(computed(code.element), code.lanes)
        self.frame = Frame(b, self.w, code.image, code.element, code.lanes, code.room)
        self.sums = b.room(code.sums, self.vector)
        last = b.sub(self.w["out1"], (code.vectors - 1) * code.lanes)
        self.masks: list[Value | None] = [None] * (code.vectors - 1)
        self.masks.append(b.active(last, code.lanes))

    def write(self, begin: Value, end: Value) -> None:
        b, w, code = self.b, self.w, self.code
        self.frame.clear()
        with b.loop(begin, end) as task:
            group, chunk = divided(b, task.index, w["chunks"])
            row = b.mul(group, code.rows)
            g = self.moved(b.word_pointer(WORDS.index("g")), code.grad, row, "g_row")
            x = self.moved(b.word_pointer(WORDS.index("x")), code.image, group, "x_group")
            clear(b, self.sums, code.sums, self.vector)
            first = b.mul(chunk, w["per_task"])
            past = b.smin(b.add(first, w["per_task"]), w["images"])
            with b.loop(first, past) as image:
                self.frame.fill(self.moved(x, code.image, image.index, "x_image"))
                self.image(self.moved(g, code.grad, image.index, "g_image"))
            position = b.add(b.mul(chunk, w["part"]), b.mul(group, code.sums))
            self.store(position)

    def moved(self, base: Value, dtype: DType, number: Value, step: str) -> Value:
        """An address so many steps on."""
        return self.b.element(base, stored(dtype), self.b.mul(number, self.w[step]))

    def image(self, g: Value) -> None:
        """What one image adds: for each block of rows, channel and line of the kernel."""
        b, w, code = self.b, self.w, self.code
        for first in range(0, code.rows, code.block):
            rows = range(first, min(first + code.block, code.rows))
            with b.loop(0, w["channels"]) as channel, b.loop(0, w["taps0"]) as tap:
                self.line(g, rows, channel.index, tap.index)

    def line(self, g: Value, rows: range, channel: Value, tap: Value) -> None:
        """All taps of a line of the kernel, in some rows of the weight."""
        b, w, code = self.b, self.w, self.code
        number = b.mul(b.add(b.mul(channel, w["taps0"]), tap), code.taps)
        columns = code.sums // code.rows
        places = [b.element(self.sums, self.vector, b.add(number, row * columns + k))
                  for row in rows for k in range(code.taps)]  # fmt: skip
        down = b.mul(tap, w["dilation0"])
        first = b.smax(b.sub(w["top"], down), 0)
        past = b.smin(b.sub(b.add(w["top"], w["filled"]), down), w["out0"])
        start = b.add(b.mul(channel, w["plane"]), b.mul(down, w["line"]))
        sums = [b.load(self.vector, place) for place in places]
        with b.loop(first, past, carry=sums) as y:
            here = self.frame.at(b.add(start, b.mul(y.index, w["line"])))
            there = b.element(g, stored(code.grad), b.mul(y.index, w["out1"]))
            after = y.carried
            for v in range(code.vectors):
                after = self.step(after, here, there, rows, v)
            y.next = after
        for place, value in zip(places, y.results):
            b.store(value, place)

    def step(self, sums: list[Value], here: Value, there: Value, rows: range,
             v: int) -> list[Value]:  # fmt: skip
        """The sums after one vector of places more; in the order (row, tap)."""
        b, w, code, after = self.b, self.w, self.code, []
        seen, mask = [], self.masks[v]
        for k in range(code.taps):
            at = b.element(here, self.frame.element, b.mul(w["dilation1"], k))
            seen.append(b.load_element(code.element, b.element(at, self.frame.element,
                        v * code.lanes), code.lanes, mask))  # fmt: skip
        for i, row in enumerate(rows):
            at = self.moved(there, code.grad, b.i64(row), "g_row")
            at = b.element(at, stored(code.grad), v * code.lanes)
            g = b.load_element(code.grad, at, code.lanes, mask)
            after += [b.fma(g, x, sums[i * code.taps + k]) for k, x in enumerate(seen)]
        return after

    def store(self, position: Value) -> None:
        """The sums, added up across, from an element of the partial results on."""
        b, code, element = self.b, self.code, computed(self.code.element)
        target = b.element(b.word_pointer(WORDS.index("target")), element, position)
        total = Reduce("sum", Number(0, code.element), code.element)
        with b.loop(0, code.sums) as loop:
            lanes = b.load(self.vector, b.element(self.sums, self.vector, loop.index))
            (value,) = reducing.across(b, total, [lanes])
            b.store(value, b.element(target, element, loop.index))
