"""The kernel of a convolution's weight gradient: a sum over all places of what the taps see there.

    Cᵀ[(channel, tap), group · rows + row] = Σ over images and places of
        X[image, group · channels + channel, place by tap] · G[place, group · rows + row]

This is the transpose of the weight, so that patches need not be transposed: they have a row for
each channel and tap, in which the places, here the steps, are contiguous, and are the operand that
is read element by element. The output's gradient G is transposed as it is packed, and so are
finished tiles: the epilogue's rows are those of the weight. The steps are cut into blocks, between
which a task keeps its sums, and into parts, whose sums are added in a launch of their own
(combine.py).
"""

from __future__ import annotations

from functools import lru_cache

from flambeau.ir.record import frozen, replace

from ...builder import Builder, Value, vector_of
from ...values import stored
from .epilogue import Epilogue, Finish, Place
from .kernel import choose_tile, initial, keep
from .micro import Micro, Reads, column_masks, moved, multiply
from .pack import (
    Pack,
    Panel,
    call_pack,
    divided,
    first_line,
    pack_function,
    share,
    transposed,
)
from .patches import Patches, Worded, call_patches, patches_function, words_of
from .windows import Windows

WORDS = (
    "g", "x", "steps", "block", "blocks", "parts", "g_image", "g_row", "x_group", "row_bytes",
    "full", "height", "tiles", "task_tiles", "panels", "groups_m",
    "groups_n", "rows",
)  # fmt: skip
PACKED = 2  # vectors of places that are packed together


@frozen
class WeightGradient(Worded):
    """A kernel: tiles, what is read, the epilogue over (row, column), or (part, row, column).

    `room`: bytes of the patches of a task; `steps`: of a block; `kept`: how many tiles of sums a
    task keeps.
    """

    NAMES = WORDS
    micro: Micro
    uneven: bool
    room: int
    steps: int
    kept: int
    pack: Pack
    windows: Windows
    epilogue: Epilogue


@lru_cache(maxsize=256)
def weight_gradient_text(code: WeightGradient, vector_bytes: int) -> str:
    """The module: the tiles of both heights, the packing, and the kernel `weight_gradient`."""
    b = Builder(vector_bytes)
    for height in code.micro.heights(code.uneven):
        tile_function(b, code, replace(code.micro, height=height))
    patches_function(b, Patches(code.windows, code.micro.element, PACKED), code.own)
    pack_function(b, code.pack, "pack_g")
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
        step = b.i64(code.pack.row_bytes)
        reads = Reads(p["a"], p["b"], p["k"], w["row_bytes"], step, p["columns"])
        sums = multiply(b, micro, reads, initial(b, micro, p["kept"], p["fresh"]))
        if micro.keeps:
            done, on = b.fresh("done"), b.fresh("keep")
            b.branch(p["last"], done, on)
            b.label(on)
            keep(b, micro, p["kept"], sums)
            b.line("ret void")
            b.label(done)
        finish(b, code, micro, p, sums)
        b.line("ret void")


def finish(
    b: Builder, code: WeightGradient, micro: Micro, p: dict[str, Value], sums: list[Value]
) -> None:
    """The epilogue, row by row of the weight, which are the tile's columns."""
    lanes, across = micro.lanes, -(-micro.height // micro.lanes)
    turned = b.room(micro.columns * across, micro.vector)
    zero = b.number(micro.vector, 0)
    for v in range(micro.vectors):
        column = sums[v :: micro.vectors]
        for at in range(across):
            square = column[at * lanes : (at + 1) * lanes]
            square += [zero] * (lanes - len(square))
            for lane, row in enumerate(transposed(b, square)):
                b.store(row, b.element(turned, micro.vector, (v * lanes + lane) * across + at))
    place = Place((p["part"],)[: code.epilogue.batch], p["column"], p["row"], b.i64(micro.height))
    write_turned(b, code.epilogue, len(code.own), place, p["columns"], turned, across, lanes,
                 micro.element)  # fmt: skip


def write_turned(
    b: Builder, epilogue: Epilogue, words: int, place: Place, rows: Value, turned: Value,
    across: int, lanes: int, element: str = "float",
) -> None:  # fmt: skip
    """The epilogue of some rows, each of `across` vectors of sums, which lie one after the other.

    words: the kernel's own, that the epilogue's come after.
    """
    kind = vector_of(element, lanes)
    masks: list[Value | None] = list(column_masks(b, across, lanes, place.columns))
    end = Finish(b, epilogue, words, lanes, place, masks)
    with b.loop(0, rows, carry=[turned, *end.start]) as loop:
        here, pointers = loop.carried[0], loop.carried[1:]
        values = [b.load(kind, b.element(here, kind, at)) for at in range(across)]
        end.write_row(pointers, b.add(place.row, loop.index), values)
        loop.next = [b.element(here, kind, across), *end.next_row(pointers)]


# -- the loops around it


class Driver:
    """Writes the kernel: a task is a group of tiles × a group of panels of a part of the steps."""

    def __init__(self, b: Builder, code: WeightGradient) -> None:
        self.b, self.code, self.micro = b, code, code.micro
        self.w = words_of(b, code.own)
        self.kept = b.room(self.micro.tile_bytes * code.kept)
        self.patches = b.room(code.room)
        self.panel = b.room(code.steps * code.pack.row_bytes)

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
                top = self.pack_patches(group, tiles, start, steps)
                self.block(group, tiles, panels, top, start, steps, part, ends)

    def pack_patches(
        self, group: Value, tiles: tuple[Value, Value], start: Value, steps: Value
    ) -> Value:
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
        row0 = first_line(b, tiles[0], w)
        assert b.args is not None
        with b.loop(*panels) as panel:
            column = b.mul(panel.index, micro.columns)
            columns = b.smin(b.sub(w["rows"], column), micro.columns)
            column = b.add(column, b.mul(group, w["rows"]))
            self.pack_gradient(column, columns, start, steps)
            done = b.mul(b.sub(panel.index, panels[0]), w["task_tiles"])
            with b.loop(*tiles) as tile:
                slot = b.add(done, b.sub(tile.index, tiles[0]))
                kept = moved(b, self.kept, b.mul(slot, micro.tile_bytes if micro.keeps else 0))
                row = first_line(b, tile.index, w)
                here = moved(b, top, b.mul(b.sub(row, row0), w["row_bytes"]))
                choose_tile(
                    b,
                    self.code.micro.heights(self.code.uneven),
                    b.icmp("slt", tile.index, w["full"]),
                    (b.args, kept, here, self.panel, steps, part, row, column, columns, *ends),
                )

    def pack_gradient(self, row: Value, rows: Value, start: Value, steps: Value) -> None:
        """Transpose a panel of the output's gradient, image by image.

        Each image has a whole number of vectors of steps; those beyond its places are zeros.
        """
        b, w, pack = self.b, self.w, self.code.pack
        g = moved(b, b.word_pointer(WORDS.index("g")), b.mul(row, w["g_row"]))
        end = b.add(start, steps)
        first, last = (b.int("udiv", x, w["area"]) for x in (start, b.sub(end, 1)))
        with b.loop(first, b.add(last, 1)) as image:
            begin = b.mul(image.index, w["area"])
            place = b.smax(b.sub(start, begin), 0)
            count = b.smin(b.sub(w["places"], place), b.sub(end, b.add(begin, place)))
            source = moved(b, g, b.mul(image.index, w["g_image"]))
            source = b.element(source, stored(pack.source), place)
            done = b.sub(b.add(begin, place), start)
            target = moved(b, self.panel, b.mul(done, pack.row_bytes))
            item = b.i64(pack.source.itemsize)
            call_pack(b, "pack_g", Panel(source, target, w["g_row"], item, rows, count))
