"""The kernel of a convolution's weight gradient by tile registers: `weight_gradient` in squares.

Patches are A, their rows those of a channel and a tap; the output's gradient is B, transposed as it
is packed. Steps are places of images, and each image has whole vectors of them: half a block of
steps lies in one image.
"""

from __future__ import annotations

from functools import lru_cache

from flambeau.ir.record import frozen

from ....ir.dtype import DType
from ...builder import Builder, Value
from ...values import stored
from .epilogue import Epilogue, Place
from .micro import moved
from .pack import divided, share, transposed
from .pairs import halves, interleaved
from .patches import Worded, every_tap, words_of
from .pieces import PIECES, pieces_of
from .tiles import (
    LINES,
    ROW,
    SQUARE,
    STEPS,
    Squares,
    Tile,
    add_block,
    again_function,
    configure,
    instruct,
)
from .weight_gradient import write_turned
from .windows import Windows, places_at, tap_offset

WORDS = (
    "g", "x", "steps", "block", "blocks", "parts", "g_image", "g_row", "x_group", "a_square",
    "tiles", "task_tiles", "panels", "groups_m", "groups_n", "rows", "columns", "registers",
)  # fmt: skip


@frozen
class GradientTiles(Worded):
    """A kernel: its tiles, what is read, the epilogue over (row, column), or (part, row, column).

    `room`: bytes of the patches of a task; `steps`: of a block; `kept`: how many tiles of sums a
    task keeps; `slack`: rows in front of a task's first one that are packed with it.
    """

    NAMES = WORDS
    tile: Tile
    room: int
    steps: int
    kept: int
    slack: int
    gradient: DType
    windows: Windows
    epilogue: Epilogue


@lru_cache(maxsize=256)
def gradient_tiles_text(code: GradientTiles, vector_bytes: int) -> str:
    """The module: a tile, the packing of both operands, and the kernel `weight_gradient`."""
    b = Builder(vector_bytes)
    again_function(b, code.tile)
    tile_function(b, code)
    patches_function(b, code)
    half_function(b, code)
    with b.kernel("weight_gradient") as frame:
        Driver(b, code).write(frame.begin, frame.end)
    return b.text()


# -- packing

PATCHES = {"args": "ptr", "source": "ptr", "target": "ptr", "place": "i64", "channels": "i64",
           "row": "i64"}  # fmt: skip


def patches_function(b: Builder, code: GradientTiles) -> None:
    """`void patches(…)`: what some channels' taps see at a block of steps, from row `row` on."""
    p = {name: Value(kind, f"%{name}") for name, kind in PATCHES.items()}
    windows, count = code.windows, PIECES[code.tile.a]
    with b.function("patches", "void", [*p.values()]):
        b.args = p["args"]
        w = words_of(b, code.own)
        vectors = [
            places_at(b, windows, w, p["source"], b.add(p["place"], at)) for at in (0, LINES)
        ]
        with every_tap(b, windows, w) as (tap, number):
            masks = [vector.masks(tap) for vector in vectors]
            carry = [tap_offset(b, windows, w, tap), b.add(p["row"], number)]
            with b.loop(0, p["channels"], carry=carry) as loop:
                offset, row = loop.carried
                split = [
                    pieces_of(b, vector.load(offset, mask), count)
                    for vector, mask in zip(vectors, masks, strict=True)
                ]
                square, line = divided(b, row, b.i64(LINES))
                there = moved(b, p["target"], b.mul(square, w["a_square"]))
                there = moved(b, there, b.mul(line, ROW))
                for i, (first, second) in enumerate(zip(*split, strict=True)):
                    b.store(halves(b, first, second), moved(b, there, i * SQUARE), 64)
                loop.next = [b.add(offset, w["x_channel"]), b.add(row, w["window"])]
        b.line("ret void")


HALF = {"source": "ptr", "target": "ptr", "line": "i64", "lines": "i64", "steps": "i64"}


def half_function(b: Builder, code: GradientTiles) -> None:
    """`void half(source, target, line, lines, steps)`: half a square of the output's gradient."""
    p = {name: Value(kind, f"%{name}") for name, kind in HALF.items()}
    count = PIECES[code.gradient]
    with b.function("half", "void", [*p.values()]):
        final, mask = b.sub(p["lines"], 1), b.active(p["steps"], LINES)
        rows = []
        for i in range(LINES):
            line = b.smax(b.smin(final, i), 0)
            place = moved(b, p["source"], b.mul(line, p["line"]))
            rows.append(b.load_element(code.gradient, place, LINES, mask))
        split = [pieces_of(b, step, count) for step in transposed(b, rows)]
        for i in range(count):
            for pair in range(LINES // 2):
                value = interleaved(b, split[2 * pair][i], split[2 * pair + 1][i])
                b.store(value, moved(b, p["target"], i * SQUARE + pair * ROW), 64)
        b.line("ret void")


# -- a tile

TILE = {"args": "ptr", "parts": "ptr", "sums": "ptr", "a": "ptr", "b": "ptr", "steps": "i64",
        "part": "i64", "row": "i64", "rows": "i64", "column": "i64", "columns": "i64",
        "fresh": "i1", "last": "i1"}  # fmt: skip


def tile_function(b: Builder, code: GradientTiles) -> None:
    """`void tile(…)`: multiply, and after the last block do the epilogue, row by row of the weight,
    which are the tile's columns."""
    p = {name: Value(kind, f"%{name}") for name, kind in TILE.items()}
    tile = code.tile
    with b.function("tile", "void", [*p.values()]):
        b.args = p["args"]
        w = words_of(b, code.own)
        at = Squares.packed(b, tile, p["a"], p["b"], w["a_square"])
        add_block(b, tile, at, p["steps"], p["rows"], p["parts"], p["sums"], p["fresh"])
        with b.when(p["last"]):
            finish(b, code, p)
        b.line("ret void")


def finish(b: Builder, code: GradientTiles, p: dict[str, Value]) -> None:
    """Transpose the sums, and do the epilogue."""
    tile = code.tile
    turned = b.room(tile.bytes)
    for r in range(tile.down):
        for c in range(tile.across):
            corner = moved(b, p["sums"], r * LINES * tile.pitch + c * ROW)
            square = [
                b.load("<16 x float>", moved(b, corner, i * tile.pitch), 64) for i in range(LINES)
            ]
            for lane, row in enumerate(transposed(b, square)):
                b.store(row, moved(b, turned, ((c * LINES + lane) * tile.down + r) * ROW), 64)
    place = Place((p["part"],)[: code.epilogue.batch], p["column"], p["row"], p["rows"])
    write_turned(b, code.epilogue, len(code.own), place, p["columns"], turned, tile.down, LINES)


# -- the loops around it


class Driver:
    """Writes the kernel: a task is a group of tiles × a group of panels of a part of the steps."""

    def __init__(self, b: Builder, code: GradientTiles) -> None:
        self.b, self.code, self.tile = b, code, code.tile
        self.w = words_of(b, code.own)
        self.parts = b.room(self.tile.bytes)
        self.kept = b.room(self.tile.bytes * code.kept)
        self.patches = b.room(code.room)
        self.panel = b.room(code.steps // STEPS * self.tile.b_block)

    def write(self, begin: Value, end: Value) -> None:
        b, w = self.b, self.w
        configure(b, w["registers"])
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
                self.pack_patches(group, tiles, start, steps)
                self.block(group, tiles, panels, start, steps, part, ends)
        instruct(b, "tilerelease")

    def pack_patches(
        self, group: Value, tiles: tuple[Value, Value], start: Value, steps: Value
    ) -> None:
        """Pack the patches that the tiles need, those of whole channels."""
        b, w, windows = self.b, self.w, self.code.windows
        assert b.args is not None
        first = b.mul(tiles[0], self.tile.rows)
        past = b.smin(b.mul(tiles[1], self.tile.rows), w["columns"])
        channel, before = divided(b, first, w["window"])
        last = b.int("udiv", b.sub(past, 1), w["window"])
        channels = b.add(b.sub(last, channel), 1)
        x = moved(b, b.word_pointer(WORDS.index("x")), b.mul(group, w["x_group"]))
        source = b.element(x, stored(windows.dtype), b.mul(channel, w["x_channel"]))
        row = b.sub(b.i64(self.code.slack), before)
        with b.loop(0, steps, STEPS, carry=[self.patches]) as at:
            target = at.carried[0]
            b.invoke("patches", b.args, source, target, b.add(start, at.index), channels, row)
            at.next = [moved(b, target, PIECES[self.tile.a] * SQUARE)]

    def block(
        self, group: Value, tiles: tuple[Value, Value], panels: tuple[Value, Value], start: Value,
        steps: Value, part: Value, ends: tuple[Value, Value],
    ) -> None:  # fmt: skip
        """Some steps: all panels of the task, and for each panel all its tiles."""
        b, w, tile = self.b, self.w, self.tile
        assert b.args is not None
        top = moved(b, self.patches, b.mul(w["a_square"], self.code.slack // LINES))
        with b.loop(*panels) as panel:
            column = b.mul(panel.index, tile.columns)
            columns = b.smin(b.sub(w["rows"], column), tile.columns)
            column = b.add(column, b.mul(group, w["rows"]))
            self.pack_gradient(column, columns, start, steps)
            done = b.mul(b.sub(panel.index, panels[0]), w["task_tiles"])
            with b.loop(*tiles) as number:
                past = b.sub(number.index, tiles[0])
                sums = moved(b, self.kept, b.mul(b.add(done, past), tile.bytes))
                row = b.mul(number.index, tile.rows)
                rows = b.smin(b.sub(w["columns"], row), tile.rows)
                here = moved(b, top, b.mul(b.mul(past, tile.down), w["a_square"]))
                b.invoke("tile", b.args, self.parts, sums, here, self.panel, steps, part, row,
                          rows, column, columns, *ends)  # fmt: skip

    def pack_gradient(self, row: Value, rows: Value, start: Value, steps: Value) -> None:
        """Pack a panel of the output's gradient, by half blocks of steps."""
        b, w, tile = self.b, self.w, self.tile
        size, count = self.code.gradient.itemsize, PIECES[self.code.gradient]
        g = moved(b, b.word_pointer(WORDS.index("g")), b.mul(row, w["g_row"]))
        whole = b.int("and", b.add(steps, STEPS - 1), -STEPS)
        with b.loop(0, whole, LINES) as at:
            image, place = divided(b, b.add(start, at.index), w["area"])
            inside = b.icmp("slt", at.index, steps)
            left = b.select(inside, b.sub(w["places"], place), b.i64(0))
            image = b.select(inside, image, b.i64(0))
            source = moved(b, moved(b, g, b.mul(image, w["g_image"])), b.mul(place, size))
            block, rest = divided(b, at.index, b.i64(STEPS))
            target = moved(b, self.panel, b.mul(block, tile.b_block))
            target = moved(b, target, b.mul(rest, ROW // 2))
            for c in range(tile.across):
                here = moved(b, source, w["g_row"], c * LINES) if c else source
                lines = b.sub(rows, c * LINES) if c else rows
                here = b.select(b.icmp("sgt", lines, 0), here, source)
                there = moved(b, target, c * count * SQUARE)
                b.invoke("half", here, there, w["g_row"], lines, left)
