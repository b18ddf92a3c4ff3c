"""The kernel of a convolution's weight gradient: a sum over all places of what the taps see there.

    C[(channel, tap), group · rows + row] = epilogue(Σ over images and places of
        X[image, group · channels + channel, place by tap] · G[place, group · rows + row])

This is the transpose of the weight, so that patches need not be transposed: they have a row for
each channel and tap, in which the places, here the steps, are contiguous, and are the operand that
is read element by element. The output's gradient G was packed before. The steps are cut into
blocks, between which a task keeps its sums, and into parts, whose sums are added in a launch of
their own (combine.py).
"""

from __future__ import annotations

from functools import lru_cache

from flambeau.ir.record import frozen, replace

from ...builder import Builder, Value
from ...values import stored
from .epilogue import Epilogue, Finish, Place
from .kernel import choose_tile, initial, keep, write_rows
from .micro import Micro, Reads, column_masks, moved, multiply
from .pack import divided, first_line, share
from .patches import Patches, call_patches, patches_function, words_of
from .windows import Windows

WORDS = (
    "b", "x", "steps", "block", "blocks", "parts", "b_group", "b_panel", "b_row", "x_group",
    "row_bytes", "full", "height", "tiles", "task_tiles", "panels", "groups_m",
    "groups_n", "rows",
)  # fmt: skip
PACKED = 2  # vectors of places that are packed together


@frozen
class WeightGradient:
    """A kernel: tiles, what is read, the epilogue over (row, column), or (part, row, column).

    `room`: bytes of the patches of a task; `kept`: how many tiles of sums it keeps.
    """

    micro: Micro
    uneven: bool
    room: int
    kept: int
    windows: Windows
    epilogue: Epilogue

    @property
    def own(self) -> tuple[str, ...]:
        """The words that the epilogue's come after."""
        return WORDS + self.windows.words

    @property
    def words(self) -> tuple[str, ...]:
        return self.own + self.epilogue.words

    @property
    def heights(self) -> tuple[int, ...]:
        return (self.micro.height, self.micro.height - 1)[: 2 if self.uneven else 1]


@lru_cache(maxsize=256)
def weight_gradient_text(code: WeightGradient, vector_bytes: int) -> str:
    """The module: the tiles of both heights, the packing, and the kernel `weight_gradient`."""
    b = Builder(vector_bytes)
    for height in code.heights:
        tile_function(b, code, replace(code.micro, height=height))
    patches_function(b, Patches(code.windows, code.micro.element, PACKED), code.own)
    with b.kernel("weight_gradient") as frame:
        Driver(b, code).write(frame.begin, frame.end)
    return b.text()


# -- one tile

PARAMS = {"args": "ptr", "kept": "ptr", "a": "ptr", "b": "ptr", "k": "i64", "part": "i64",
          "row": "i64", "column": "i64", "columns": "i64", "fresh": "i1", "last": "i1"}  # fmt: skip


def tile_function(b: Builder, code: WeightGradient, micro: Micro) -> None:
    """`void tile<height>(…)`: multiply, and after the last block do the epilogue."""
    p = {name: Value(kind, f"%{name}") for name, kind in PARAMS.items()}
    with b.function(f"tile{micro.height}", "void", [*p.values()]):
        b.args = p["args"]
        w = words_of(b, code.own)
        reads = Reads(p["a"], p["b"], p["k"], w["row_bytes"], w["b_row"], p["columns"])
        sums = multiply(b, micro, reads, initial(b, micro, p["kept"], p["fresh"]))
        if micro.keeps:
            done, on = b.fresh("done"), b.fresh("keep")
            b.branch(p["last"], done, on)
            b.label(on)
            keep(b, micro, p["kept"], sums)
            b.line("ret void")
            b.label(done)
        place = Place((p["part"],)[: code.epilogue.batch], p["row"], p["column"], p["columns"])
        masks: list[Value | None] = list(column_masks(b, micro.vectors, micro.lanes, p["columns"]))
        end = Finish(b, code.epilogue, len(code.own), micro.lanes, place, masks)
        write_rows(b, micro, end, p["kept"], sums)
        b.line("ret void")


# -- the loops around it


class Driver:
    """Writes the kernel: a task is a group of tiles × a group of panels of a part of the steps."""

    def __init__(self, b: Builder, code: WeightGradient) -> None:
        self.b, self.code, self.micro = b, code, code.micro
        self.w = words_of(b, code.own)
        self.kept = self.buffer(self.micro.tile_bytes * code.kept)
        self.patches = self.buffer(code.room)

    def buffer(self, size: int) -> Value:
        return self.b.op(f"alloca [{size} x i8], align 64", "ptr")

    def write(self, begin: Value, end: Value) -> None:
        b, w = self.b, self.w
        with b.loop(begin, end) as task:
            rest, group_m = divided(b, task.index, w["groups_m"])
            rest, group_n = divided(b, rest, w["groups_n"])
            group, part = divided(b, rest, w["parts"])
            tiles = share(b, group_m, w["tiles"], w["groups_m"])
            panels = share(b, group_n, w["panels"], w["groups_n"])
            first, past = share(b, part, w["blocks"], w["parts"])
            with b.loop(first, past) as block:
                start = b.mul(block.index, w["block"])
                steps = b.smin(b.sub(w["steps"], start), w["block"])
                ends = (b.icmp("eq", block.index, first),
                        b.icmp("eq", b.add(block.index, 1), past))  # fmt: skip
                top = self.pack(group, tiles, start, steps)
                self.block(group, tiles, panels, top, start, steps, part, ends)

    def pack(self, group: Value, tiles: tuple[Value, Value], start: Value, steps: Value) -> Value:
        """Pack the patches that the tiles need, channel by channel; where their rows begin."""
        b, w, windows = self.b, self.w, self.code.windows
        first, past = (first_line(b, tile, w) for tile in tiles)
        channel, before = divided(b, first, w["window"])
        last = b.int("udiv", b.sub(past, 1), w["window"])
        channels = b.add(b.sub(last, channel), 1)
        x = moved(b, b.word_pointer(WORDS.index("x")), b.mul(group, w["x_group"]))
        source = b.element(x, stored(windows.dtype), b.mul(channel, w["x_channel"]))
        with b.loop(0, steps, PACKED * windows.lanes) as at:
            target = b.element(self.patches, self.micro.element, at.index)
            number = b.add(start, at.index)
            call_patches(b, source, target, number, channels, w["row_bytes"])
        return moved(b, self.patches, b.mul(before, w["row_bytes"]))

    def block(
        self, group: Value, tiles: tuple[Value, Value], panels: tuple[Value, Value], top: Value,
        start: Value, steps: Value, part: Value, ends: tuple[Value, Value],
    ) -> None:  # fmt: skip
        """Some steps: all panels of the task, and for each panel all its tiles."""
        b, w, micro = self.b, self.w, self.micro
        g = moved(b, b.word_pointer(WORDS.index("b")), b.mul(group, w["b_group"]))
        g = moved(b, g, b.mul(start, w["b_row"]))
        row0 = first_line(b, tiles[0], w)
        assert b.args is not None
        with b.loop(*panels) as panel:
            there = moved(b, g, b.mul(panel.index, w["b_panel"]))
            column = b.mul(panel.index, micro.columns)
            columns = b.smin(b.sub(w["rows"], column), micro.columns)
            column = b.add(column, b.mul(group, w["rows"]))
            done = b.mul(b.sub(panel.index, panels[0]), w["task_tiles"])
            with b.loop(*tiles) as tile:
                slot = b.add(done, b.sub(tile.index, tiles[0]))
                kept = moved(b, self.kept, b.mul(slot, micro.tile_bytes if micro.keeps else 0))
                row = first_line(b, tile.index, w)
                here = moved(b, top, b.mul(b.sub(row, row0), w["row_bytes"]))
                choose_tile(
                    b,
                    self.code.heights,
                    b.icmp("slt", tile.index, w["full"]),
                    (b.args, kept, here, there, steps, part, row, column, columns, *ends),
                )
