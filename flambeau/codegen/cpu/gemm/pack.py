"""Copies an operand into panels, so that the micro-kernel reads it in order.

A panel holds `width` lines (rows of A, columns of B) side by side: for each step along k, one element
of each line. Lines that the operand lacks repeat the last one; nobody reads their products.
"""

from __future__ import annotations

from dataclasses import dataclass

from .text import Text

WORDS = (
    "source", "target", "lines", "k", "line", "step", "full", "height", "panels",
    "panel_bytes", "chunk", "chunks",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pack:
    """A packing kernel. `order`: 'lines' or 'steps' are contiguous, or neither ('any')."""

    source: str  # the LLVM type in memory: half, i16 (bfloat16), float, double
    element: str  # float or double
    width: int  # lanes of a vector
    vectors: int  # vectors side by side in a panel
    order: str
    batch: int

    @property
    def name(self) -> str:
        return f"pack_{self.source}_{self.element}_{self.vectors}x{self.width}_{self.order}{self.batch}"

    @property
    def words(self) -> tuple[str, ...]:
        loops = range(self.batch)
        return WORDS + tuple(f"{what}{b}" for b in loops for what in ("size", "from", "to"))

    @property
    def source_bytes(self) -> int:
        return {"half": 2, "i16": 2, "float": 4, "double": 8}[self.source]

    @property
    def element_bytes(self) -> int:
        return 4 if self.element == "float" else 8

    @property
    def row_bytes(self) -> int:
        return self.vectors * self.width * self.element_bytes


def pack_text(pack: Pack) -> str:
    """The kernel: a task packs one chunk of steps (a multiple of the width) of one panel."""
    t = Text()
    w = {name: t.load("i64", t.at("%args", 8 * i), 8) for i, name in enumerate(pack.words)}
    with t.loop("%begin", "%end") as task:
        rest, chunk = t.div(task, w["chunks"])
        rest, panel = t.div(rest, w["panels"])
        source, target = (t.op(f"inttoptr i64 {w[name]} to ptr") for name in ("source", "target"))
        for b in reversed(range(pack.batch)):
            rest, index = t.div(rest, w[f"size{b}"])
            source = t.at(source, t.mul(index, w[f"from{b}"]))
            target = t.at(target, t.mul(index, w[f"to{b}"]))
        first = first_line(t, panel, w["height"], w["full"])
        last = first_line(t, t.add(panel, 1), w["height"], w["full"])
        count = t.sub(t.least(last, w["lines"]), first)
        start = t.mul(chunk, w["chunk"])
        end = t.least(t.add(start, w["chunk"]), w["k"])
        source = t.at(source, t.mul(first, w["line"]))
        target = t.at(target, t.mul(panel, w["panel_bytes"]))
        copy = {"lines": copy_lines, "steps": copy_steps, "any": copy_any}[pack.order]
        copy(t, pack, w, source, target, count, start, end)
    return t.function(f"void @{pack.name}(ptr %args, i64 %begin, i64 %end, i64 %thread) nounwind")


def first_line(t: Text, panel: str, height: str, full: str) -> str:
    """Where a panel begins: the first `full` panels have `height` lines, the others one less."""
    return t.sub(t.mul(panel, height), t.most(t.sub(panel, full), 0))


def widen(t: Text, pack: Pack, value: str, lanes: str = "") -> str:
    """A value (or, with lanes such as '<16 x %s>', a vector) as it is computed with."""
    kind = lanes or "%s"
    if pack.source == pack.element:
        return value
    if pack.source == "half":
        return t.op(f"fpext {kind % 'half'} {value} to {kind % pack.element}")
    wide = t.op(f"zext {kind % 'i16'} {value} to {kind % 'i32'}")
    sixteen = f"splat (i32 16)" if lanes else "16"
    wide = t.op(f"shl {kind % 'i32'} {wide}, {sixteen}")
    return t.op(f"bitcast {kind % 'i32'} {wide} to {kind % 'float'}")


def masked_load(t: Text, pack: Pack, pointer: str, mask: str) -> str:
    vector = f"<{pack.width} x {pack.source}>"
    bits = {"half": "f16", "i16": "i16", "float": "f32", "double": "f64"}[pack.source]
    value = t.op(
        f"call {vector} @llvm.masked.load.v{pack.width}{bits}.p0(ptr {pointer},"
        f" i32 {pack.source_bytes}, <{pack.width} x i1> {mask}, {vector} zeroinitializer)"
    )
    return widen(t, pack, value, f"<{pack.width} x %s>")


def copy_lines(
    t: Text, pack: Pack, w: dict[str, str], source: str, target: str, count: str, start: str, end: str
) -> None:
    """Lines are contiguous: one masked vector load and one store for each vector of a step."""
    masks = [t.mask(t.sub(count, v * pack.width), pack.width) for v in range(pack.vectors)]
    with t.loop(start, end) as p:
        here = t.at(source, t.mul(p, w["step"]))
        there = t.at(target, t.mul(p, pack.row_bytes))
        for v, mask in enumerate(masks):
            value = masked_load(t, pack, t.at(here, v * pack.width * pack.source_bytes), mask)
            to = t.at(there, v * pack.width * pack.element_bytes)
            t.store(f"<{pack.width} x {pack.element}>", value, to, pack.element_bytes)


def copy_any(
    t: Text, pack: Pack, w: dict[str, str], source: str, target: str, count: str, start: str, end: str
) -> None:
    """Neither is contiguous: element by element."""
    with t.loop(start, end) as p:
        here = t.at(source, t.mul(p, w["step"]))
        there = t.at(target, t.mul(p, pack.row_bytes))
        with t.loop(0, count) as line:
            value = t.load(pack.source, t.at(here, t.mul(line, w["line"])), pack.source_bytes)
            to = t.at(there, t.mul(line, pack.element_bytes))
            t.store(pack.element, widen(t, pack, value), to, pack.element_bytes)


def copy_steps(
    t: Text, pack: Pack, w: dict[str, str], source: str, target: str, count: str, start: str, end: str
) -> None:
    """Steps are contiguous: squares of width × width elements are transposed in registers."""
    size = pack.width
    final = t.sub(count, 1)
    with t.loop(start, end, size) as p:
        mask = t.mask(t.sub(end, p), size)
        here = t.at(source, t.mul(p, pack.source_bytes))
        there = t.at(target, t.mul(p, pack.row_bytes))
        with t.loop(0, pack.vectors) as v:
            rows = []
            for r in range(size):
                line = t.least(t.add(t.mul(v, size), r), final)
                rows.append(masked_load(t, pack, t.at(here, t.mul(line, w["line"])), mask))
            to = t.at(there, t.mul(v, size * pack.element_bytes))
            for r, row in enumerate(transposed(t, rows, pack.element)):
                at = t.at(to, r * pack.row_bytes)
                t.store(f"<{size} x {pack.element}>", row, at, pack.element_bytes)


def transposed(t: Text, rows: list[str], element: str) -> list[str]:
    """The transpose of a square of vectors, by swapping blocks of half the size each time.

    With blocks of 1, 2, 4, … lanes: row r and row r + block exchange the odd blocks of one for the
    even blocks of the other.
    """
    size, block = len(rows), 1
    vector = f"<{size} x {element}>"
    while block < size:
        low, high = [], []
        for lane in range(size):
            even = lane & ~block
            low.append(even if not lane & block else even + size)
            high.append(even + block if not lane & block else even + block + size)
        fresh = list(rows)
        for r in range(size):
            if not r & block:
                fresh[r] = shuffled(t, vector, rows[r], rows[r + block], low)
                fresh[r + block] = shuffled(t, vector, rows[r], rows[r + block], high)
        rows, block = fresh, 2 * block
    return rows


def shuffled(t: Text, vector: str, x: str, y: str, lanes: list[int]) -> str:
    numbers = ", ".join(f"i32 {lane}" for lane in lanes)
    return t.op(f"shufflevector {vector} {x}, {vector} {y}, <{len(lanes)} x i32> <{numbers}>")
