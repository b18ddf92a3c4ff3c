"""The kernel of a convolution by tile registers: as `convolve`, with operands in squares of pieces.

The steps along k are, for each block of channels, pairs of channels for each tap: what two channels
see at a place becomes a row of squares without lying in memory before. Weights are packed in the
same order (`weight_squares`). A task is a group of tiles × a group of panels; it packs each panel
and multiplies it by all its tiles, and keeps their sums between blocks of channels.
"""

from __future__ import annotations

from functools import lru_cache

from flambeau.ir.record import frozen

from ...builder import Builder, Value
from ...values import stored
from .convolve import Ending
from .epilogue import Epilogue, Place
from .micro import moved
from .pack import divided, share
from .pairs import interleaved
from .patches import Worded, every_tap, words_of
from .pieces import PIECES, pieces_of
from .tiles import (
    ROW,
    SQUARE,
    STEPS,
    Squares,
    Tile,
    add_block,
    again_function,
    configure,
    instruct,
    row_of,
)
from .windows import Windows, places_at, tap_offset

WORDS = (
    "a", "x", "channels", "block", "block_bytes", "tiles", "panels", "task_tiles", "groups_m",
    "groups_n", "rows", "a_group", "a_square", "x_group", "registers",
)  # fmt: skip
PAIRS = STEPS // 2  # rows of a square of B


@frozen
class ConvolveTiles(Worded):
    """A kernel: its tiles, what is read, and the epilogue over (image, row, place).

    `room`: bytes of a panel; `kept`: how many tiles of sums a task keeps between blocks.
    """

    NAMES = WORDS
    tile: Tile
    room: int
    kept: int
    windows: Windows
    epilogue: Epilogue


@lru_cache(maxsize=256)
def convolve_tiles_text(conv: ConvolveTiles, vector_bytes: int) -> str:
    """The module: a tile, the packing of a panel, and the kernel `convolve`."""
    b = Builder(vector_bytes)
    again_function(b, conv.tile)
    tile_function(b, conv)
    panel_function(b, conv)
    with b.kernel("convolve") as frame:
        Driver(b, conv).write(frame.begin, frame.end)
    return b.text()


# -- a panel

PANEL = {"args": "ptr", "source": "ptr", "target": "ptr", "column": "i64", "channels": "i64"}


def panel_function(b: Builder, conv: ConvolveTiles) -> None:
    """`void panel(args, source, target, column, channels)`: what the taps see, in squares."""
    p = {name: Value(kind, f"%{name}") for name, kind in PANEL.items()}
    windows, tile, channels = conv.windows, conv.tile, p["channels"]
    with b.function("panel", "void", [*p.values()]):
        b.args = p["args"]
        w = words_of(b, conv.own)
        vectors = [
            places_at(b, windows, w, p["source"], b.add(p["column"], v * windows.lanes))
            for v in range(tile.across)
        ]
        whole = b.int("lshr", channels, 1)
        pairs = b.add(whole, b.int("and", channels, 1))
        zero = b.number("<16 x float>", 0)
        with every_tap(b, windows, w) as (tap, number):
            masks = [vector.masks(tap) for vector in vectors]

            def seen(offset: Value) -> list[Value]:
                return [vector.load(offset, mask) for vector, mask in zip(vectors, masks)]

            start, first = tap_offset(b, windows, w, tap), b.mul(number, pairs)
            with b.loop(0, whole, carry=[start]) as loop:
                after = b.add(loop.carried[0], w["x_channel"])
                even, odd = seen(loop.carried[0]), seen(after)
                put_pair(b, tile, p["target"], b.add(first, loop.index), even, odd)
                loop.next = [b.add(after, w["x_channel"])]
            with b.when(b.icmp("slt", whole, pairs)):
                even, odd = seen(loop.results[0]), [zero] * tile.across
                put_pair(b, tile, p["target"], b.add(first, whole), even, odd)
        used = b.mul(w["window"], pairs)
        with b.loop(used, b.mul(squares_of(b, used), PAIRS)) as pair:
            nothing = [zero] * tile.across
            put_pair(b, tile, p["target"], pair.index, nothing, nothing)
        b.line("ret void")


def squares_of(b: Builder, pairs: Value) -> Value:
    """How many blocks of steps hold that many pairs."""
    return b.int("lshr", b.add(pairs, PAIRS - 1), PAIRS.bit_length() - 1)


def put_pair(
    b: Builder, tile: Tile, target: Value, pair: Value, even: list[Value], odd: list[Value]
) -> None:
    """Fill the row of a pair of steps in the squares of all columns and pieces."""
    block, row = divided(b, pair, b.i64(PAIRS))
    there = moved(b, moved(b, target, b.mul(block, tile.b_block)), b.mul(row, ROW))
    count = PIECES[tile.b]
    for v, both in enumerate(zip(even, odd, strict=True)):
        first, second = (pieces_of(b, value, count) for value in both)
        for i in range(count):
            value = interleaved(b, first[i], second[i])
            b.store(value, moved(b, there, (v * count + i) * SQUARE), 64)


# -- a tile

TILE = {"args": "ptr", "part": "ptr", "sums": "ptr", "a": "ptr", "b": "ptr", "steps": "i64",
        "row": "i64", "rows": "i64", "column": "i64", "fresh": "i1", "last": "i1"}  # fmt: skip


def tile_function(b: Builder, conv: ConvolveTiles) -> None:
    """`void tile(…)`: multiply, and after the last block do the epilogue.

    `part` takes the sums of a block, `sums` those of all blocks.
    """
    p = {name: Value(kind, f"%{name}") for name, kind in TILE.items()}
    tile = conv.tile
    with b.function("tile", "void", [*p.values()]):
        b.args = p["args"]
        w = words_of(b, conv.own)
        at = Squares.packed(b, tile, p["a"], p["b"], w["a_square"])
        add_block(b, tile, at, p["steps"], p["rows"], p["part"], p["sums"], p["fresh"])
        with b.when(p["last"]):
            finish(b, conv, p)
        b.line("ret void")


def finish(b: Builder, conv: ConvolveTiles, p: dict[str, Value]) -> None:
    """The epilogue of all rows."""
    tile = conv.tile
    place = Place((), p["row"], p["column"], b.i64(tile.columns))
    end = Ending(b, conv.own, conv.windows, tile.across, conv.epilogue, place)
    with b.loop(0, p["rows"], carry=[p["sums"], *end.start]) as row:
        here, pointers = row.carried[0], row.carried[1:]
        end.write_row(pointers, b.add(p["row"], row.index), row_of(b, tile, here))
        row.next = [moved(b, here, tile.pitch), *end.next_row(pointers)]


# -- the loops around it


class Driver:
    """Writes the kernel."""

    def __init__(self, b: Builder, conv: ConvolveTiles) -> None:
        self.b, self.conv, self.tile = b, conv, conv.tile
        self.w = words_of(b, conv.own)
        self.part = b.room(self.tile.bytes)
        self.kept = b.room(self.tile.bytes * conv.kept)
        self.panel = b.room(conv.room)

    def write(self, begin: Value, end: Value) -> None:
        b, w = self.b, self.w
        configure(b, w["registers"])
        with b.loop(begin, end) as task:
            rest, group_n = divided(b, task.index, w["groups_n"])
            group, group_m = divided(b, rest, w["groups_m"])
            a = moved(b, b.word_pointer(WORDS.index("a")), b.mul(group, w["a_group"]))
            x = moved(b, b.word_pointer(WORDS.index("x")), b.mul(group, w["x_group"]))
            tiles = share(b, group_m, w["tiles"], w["groups_m"])
            panels = share(b, group_n, w["panels"], w["groups_n"])
            with b.loop(0, w["channels"], w["block"], carry=[a]) as block:
                channels = b.smin(b.sub(w["channels"], block.index), w["block"])
                offset = b.mul(block.index, w["x_channel"])
                source = b.element(x, stored(self.conv.windows.dtype), offset)
                last = b.icmp("sge", b.add(block.index, channels), w["channels"])
                ends = (b.icmp("eq", block.index, 0), last)
                self.block(tiles, panels, block.carried[0], source, group, channels, ends)
                block.next = [moved(b, block.carried[0], w["block_bytes"])]
        instruct(b, "tilerelease")

    def block(
        self, tiles: tuple[Value, Value], panels: tuple[Value, Value], a: Value, source: Value,
        group: Value, channels: Value, ends: tuple[Value, Value],
    ) -> None:  # fmt: skip
        """Some channels: all panels of the task, and for each panel all its tiles."""
        b, w, tile = self.b, self.w, self.tile
        assert b.args is not None
        pairs = b.int("lshr", b.add(channels, 1), 1)
        steps = b.mul(squares_of(b, b.mul(pairs, w["window"])), STEPS)
        with b.loop(*panels) as panel:
            column = b.mul(panel.index, tile.columns)
            b.invoke("panel", b.args, source, self.panel, column, channels)
            done = b.mul(b.sub(panel.index, panels[0]), w["task_tiles"])
            with b.loop(*tiles) as number:
                slot = b.add(done, b.sub(number.index, tiles[0]))
                sums = moved(b, self.kept, b.mul(slot, tile.bytes if self.conv.kept > 1 else 0))
                first = b.mul(number.index, tile.rows)
                rows = b.smin(b.sub(w["rows"], first), tile.rows)
                here = moved(b, a, b.mul(b.mul(number.index, tile.down), w["a_square"]))
                row = b.add(b.mul(group, w["rows"]), first)
                b.invoke("tile", b.args, self.part, sums, here, self.panel, steps, row, rows,
                          column, *ends)  # fmt: skip
