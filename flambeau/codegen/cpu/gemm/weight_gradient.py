"""The kernel of a convolution's weight gradient: a sum over all places of what the taps see there.

    C[group · rows + row, (channel, tap)] = epilogue(Σ over images and places of
        A[image, group · rows + row, place] · X[image, group · channels + channel, place by tap])

Places are the steps of this product, so a panel of B has a column for each channel and tap. As
neighbouring places lie side by side in the image, squares of places × columns are transposed in
registers. The steps are cut into blocks, between which a task keeps its sums, and into parts, whose
sums are added in a launch of their own (combine.py).
"""

from __future__ import annotations

from functools import lru_cache

from flambeau.ir.record import frozen, replace

from ...builder import Builder, Value
from .convolve import every_tap, words_of
from .epilogue import Epilogue, Finish, Place
from .kernel import KEPT, choose_tile, initial, keep, write_rows
from .micro import Micro, Reads, column_masks, moved, multiply
from .pack import divided, first_line, share, transposed
from .windows import Windows, coordinates_of, places_at, tap_offset

WORDS = (
    "a", "x", "blocks", "chunks", "chunk", "length", "a_image", "a_group", "a_tile", "a_row",
    "a_step", "a_stride", "x_group", "full", "height", "tiles", "panels", "task_tiles",
    "groups_m", "groups_n", "parts", "rows", "columns",
)  # fmt: skip


@frozen
class WeightGradient:
    """A kernel: tiles, what is read, the epilogue over (row, column), or (part, row, column).

    `room`: steps of a panel that there is room for; `taps`: how many the kernel has.
    """

    micro: Micro
    uneven: bool
    room: int
    taps: int
    windows: Windows
    epilogue: Epilogue

    @property
    def words(self) -> tuple[str, ...]:
        return WORDS + self.windows.words + self.epilogue.words

    @property
    def heights(self) -> tuple[int, ...]:
        return (self.micro.height, self.micro.height - 1)[: 2 if self.uneven else 1]


@lru_cache(maxsize=256)
def weight_gradient_text(code: WeightGradient, vector_bytes: int) -> str:
    """The module: the tiles of both heights, the packing, and the kernel `weight_gradient`."""
    b = Builder(vector_bytes)
    for height in code.heights:
        tile_function(b, code, replace(code.micro, height=height))
    patches_function(b, code)
    with b.kernel("weight_gradient") as frame:
        Driver(b, code).write(frame.begin, frame.end)
    return b.text()


# -- one tile

PARAMS = {"args": "ptr", "kept": "ptr", "a": "ptr", "b": "ptr", "k": "i64", "stride": "i64",
          "part": "i64", "row": "i64", "column": "i64", "fresh": "i1", "last": "i1"}  # fmt: skip


def tile_function(b: Builder, code: WeightGradient, micro: Micro) -> None:
    """`void tile<height>(…)`: multiply, and after the last block do the epilogue."""
    p = {name: Value(kind, f"%{name}") for name, kind in PARAMS.items()}
    with b.function(f"tile{micro.height}", "void", [*p.values()]):
        b.args = p["args"]
        w = words_of(b, code.words, code.epilogue)
        columns = b.sub(w["columns"], p["column"])
        step = b.i64(micro.columns * micro.itemsize)
        reads = Reads(p["a"], p["b"], p["k"], p["stride"], step, columns)
        sums = multiply(b, micro, reads, initial(b, micro, p["kept"], p["fresh"]))
        if micro.keeps:
            done, on = b.fresh("done"), b.fresh("keep")
            b.branch(p["last"], done, on)
            b.label(on)
            keep(b, micro, p["kept"], sums)
            b.line("ret void")
            b.label(done)
        place = Place((p["part"],)[: code.epilogue.batch], p["row"], p["column"], columns)
        words = len(code.words) - len(code.epilogue.words)
        masks: list[Value | None] = list(column_masks(b, micro.vectors, micro.lanes, columns))
        end = Finish(b, code.epilogue, words, micro.lanes, place, masks)
        write_rows(b, micro, end, p["kept"], sums)
        b.line("ret void")


# -- packing

PACK = {"args": "ptr", "source": "ptr", "target": "ptr", "column": "i64", "first": "i64",
        "steps": "i64"}  # fmt: skip


class Table:
    """Numbers on the stack, one for each of some things."""

    def __init__(self, b: Builder, kind: str, count: int) -> None:
        self.b, self.kind = b, kind
        self.start = b.op(f"alloca [{count} x {kind}], align 64", "ptr")

    def put(self, value: Value, index: Value) -> None:
        self.b.store(value, self.b.element(self.start, self.kind, index))

    def get(self, index: Value) -> Value:
        return self.b.load(self.kind, self.b.element(self.start, self.kind, index))


def patches_function(b: Builder, code: WeightGradient) -> None:
    """`void patches(…)`: fill a panel with what some columns see in consecutive places."""
    p = {name: Value(kind, f"%{name}") for name, kind in PACK.items()}
    windows, micro = code.windows, code.micro
    lanes, runs = micro.lanes, max(1, windows.runs)
    with b.function("patches", "void", [*p.values()]):
        b.args = p["args"]
        w = words_of(b, code.words, code.epilogue)
        offsets, rows = Table(b, "i64", micro.columns), Table(b, "i64", micro.columns)
        masks = Table(b, f"i{lanes}", code.taps * runs)
        with b.loop(0, micro.columns) as loop:
            column = b.smin(b.add(p["column"], loop.index), b.sub(w["columns"], 1))
            channel, number = divided(b, column, w["window"])
            tap = coordinates_of(b, number, [w[f"taps{d}"] for d in range(windows.dims)])
            offset = b.add(b.mul(channel, w["x_channel"]), tap_offset(b, windows, w, tap))
            offsets.put(offset, loop.index)
            rows.put(b.mul(number, runs), loop.index)
        with b.loop(0, p["steps"], lanes) as block:
            vector = places_at(b, windows, w, p["source"], b.add(p["first"], block.index))
            with every_tap(b, windows, w) as (tap, number):
                for r, mask in enumerate(vector.masks(tap)):
                    masks.put(mask, b.add(b.mul(number, runs), r))
            there = moved(b, p["target"], b.mul(block.index, micro.columns * micro.itemsize))
            with b.loop(0, micro.columns, lanes) as across:
                square = []
                for lane in range(lanes):
                    at = b.add(across.index, lane)
                    first = rows.get(at)
                    seen = [masks.get(b.add(first, r)) for r in range(runs)]
                    square.append(vector.load(offsets.get(at), seen))
                to = b.element(there, micro.element, across.index)
                for r, row in enumerate(transposed(b, square)):
                    b.store(row, b.element(to, micro.element, r * micro.columns))
        b.line("ret void")


# -- the loops around it


class Driver:
    """Writes the kernel: a task is a group of tiles × a group of panels of a part of the steps."""

    def __init__(self, b: Builder, code: WeightGradient) -> None:
        self.b, self.code, self.micro = b, code, code.micro
        self.w = words_of(b, code.words, code.epilogue)
        self.kept = self.buffer(self.micro.tile_bytes * (KEPT if self.micro.keeps else 1))
        self.panel = self.buffer(code.room * self.micro.columns * self.micro.itemsize)

    def buffer(self, size: int) -> Value:
        return self.b.op(f"alloca [{size} x i8], align 64", "ptr")

    def write(self, begin: Value, end: Value) -> None:
        b, w = self.b, self.w
        with b.loop(begin, end) as task:
            rest, group_n = divided(b, task.index, w["groups_n"])
            rest, group_m = divided(b, rest, w["groups_m"])
            group, part = divided(b, rest, w["parts"])
            a = moved(b, b.word_pointer(WORDS.index("a")), b.mul(group, w["a_group"]))
            x = moved(b, b.word_pointer(WORDS.index("x")), b.mul(group, w["x_group"]))
            tiles = share(b, group_m, w["tiles"], w["groups_m"])
            panels = share(b, group_n, w["panels"], w["groups_n"])
            first, past = share(b, part, w["blocks"], w["parts"])
            with b.loop(first, past) as block:
                image, chunk = divided(b, block.index, w["chunks"])
                start = b.mul(chunk, w["chunk"])
                steps = b.smin(b.sub(w["length"], start), w["chunk"])
                here = moved(b, a, b.mul(image, w["a_image"]))
                here = moved(b, here, b.mul(start, w["a_step"]))
                number = b.add(b.mul(image, w["area"]), start)
                ends = (b.icmp("eq", block.index, first),
                        b.icmp("eq", b.add(block.index, 1), past))  # fmt: skip
                row = b.mul(group, w["rows"])
                self.block(tiles, panels, here, x, number, steps, part, row, ends)

    def block(
        self, tiles: tuple[Value, Value], panels: tuple[Value, Value], a: Value, x: Value,
        number: Value, steps: Value, part: Value, row: Value, ends: tuple[Value, Value],
    ) -> None:  # fmt: skip
        """Some steps: all panels of the task, and for each panel all its tiles."""
        b, w, micro = self.b, self.w, self.micro
        assert b.args is not None
        with b.loop(*panels) as panel:
            column = b.mul(panel.index, micro.columns)
            values = (b.args, x, self.panel, column, number, steps)
            b.line(f"call void @patches({', '.join(v.typed for v in values)})")
            done = b.mul(b.sub(panel.index, panels[0]), w["task_tiles"])
            with b.loop(*tiles) as tile:
                slot = b.add(done, b.sub(tile.index, tiles[0]))
                kept = moved(b, self.kept, b.mul(slot, micro.tile_bytes if micro.keeps else 0))
                first = first_line(b, tile.index, w)
                here = moved(b, a, b.mul(tile.index, w["a_tile"]))
                here = moved(b, here, b.mul(first, w["a_row"]))
                choose_tile(b, self.code.heights, b.icmp("slt", tile.index, w["full"]), (
                    b.args, kept, here, self.panel, steps, w["a_stride"], part,
                    b.add(row, first), column, *ends))  # fmt: skip
