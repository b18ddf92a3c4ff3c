"""The kernel of a convolution: weights times what their taps see, which is packed as it is read.

    C[image, group · rows + row, place] = epilogue(Σ over channels and taps of
        A[group, row, channel, tap] · X[image, group · channels + channel, place by tap])

A panel of B has the columns of a few vectors of places, a row for each channel and tap. A task is
a group of tiles × a group of panels; it packs each panel and multiplies it by all its tiles. Long
sums are cut into blocks of channels, between which the sums of a task are kept.
"""

from __future__ import annotations

from functools import lru_cache

from flambeau.ir.record import frozen, replace

from ...builder import Builder, Value
from ...values import stored
from .epilogue import Epilogue, Finish, Place
from .kernel import KEPT, choose_tile, initial, keep, write_rows
from .micro import Micro, Reads, moved, multiply
from .pack import divided, first_line, share
from .patches import Patches, Worded, call_patches, patches_function, words_of
from .windows import Windows, lanes_at, splat32

WORDS = (
    "a", "x", "channels", "block", "full", "height", "tiles", "panels", "task_tiles",
    "groups_m", "groups_n", "rows", "a_group", "a_tile", "a_row", "a_step", "a_stride",
    "x_group",
)  # fmt: skip


@frozen
class Convolve(Worded):
    """A kernel: tiles of `micro.height` rows, if uneven then of one less; what is read; the
    epilogue over (image, row, place). `depth`: rows of a panel that there is room for."""

    NAMES = WORDS
    micro: Micro
    uneven: bool
    depth: int
    windows: Windows
    epilogue: Epilogue


@lru_cache(maxsize=256)
def convolve_text(conv: Convolve, vector_bytes: int) -> str:
    """The module: the tiles of both heights, the packing, and the kernel `convolve`."""
    b = Builder(vector_bytes)
    for height in conv.micro.heights(conv.uneven):
        tile_function(b, conv, replace(conv.micro, height=height))
    patches = Patches(conv.windows, conv.micro.element, conv.micro.vectors)
    patches_function(b, patches, conv.own)
    with b.kernel("convolve") as frame:
        Driver(b, conv).write(frame.begin, frame.end)
    return b.text()


# -- the end of a tile


class Ending(Finish):
    """The epilogue of a tile whose vectors of places may lie in different images."""

    def __init__(self, b: Builder, own: tuple[str, ...], windows: Windows, vectors: int,
                 epilogue: Epilogue, place: Place) -> None:  # fmt: skip
        w, lanes = words_of(b, own), windows.lanes
        self.crosses, self.vectors = windows.crosses, vectors
        firsts = [b.add(place.column, v * lanes) for v in range(self.vectors)]
        self.spots: list[tuple[Value, Value]] = []  # images and places; of each lane if it crosses
        masks = []
        for first in firsts:
            if self.crosses:
                self.spots.append(lanes_at(b, w, lanes, first))
                masks.append(b.icmp("ult", self.spots[-1][0], splat32(b, w["images"], lanes)))
                continue
            image, at = divided(b, first, w["area"])
            inside = b.icmp("slt", image, w["images"])
            left = b.select(inside, b.sub(w["places"], at), b.i64(0))
            masks.append(b.active(left, lanes))
            self.spots.append((b.smin(image, b.sub(w["images"], 1)), at))
        super().__init__(b, epilogue, len(own), lanes, place, list(masks))
        accesses = range(len(epilogue.accesses))
        self.start = [self.moved(a, spot) for a in accesses for spot in self.spots]
        self.steps = [step for step in self.steps for _ in self.spots]

    def corner(self, a: int) -> Value:
        """Where access `a` has the first place of the first image, in the tile's first row."""
        at = self.b.word_pointer(self.number[f"pointer{a}"])
        offset = self.bytes(a, 1, self.place.row)
        return at if offset is None else self.b.element(at, "i8", offset)

    def moved(self, a: int, spot: tuple[Value, Value]) -> Value:
        """Where access `a` has the first place of a vector."""
        at = self.start[a]
        for loop, index in zip((0, 2), () if self.crosses else spot):
            offset = self.bytes(a, loop, index)
            at = at if offset is None else self.b.element(at, "i8", offset)
        return at

    def index(self, loop: int, row: Value, v: int) -> Value:
        if loop == 1:
            return self.b.splat(row, self.lanes)
        spot = self.spots[v][loop // 2]
        if self.crosses:
            return self.b.convert("sext", spot, "i64")
        wide = self.b.splat(spot, self.lanes)
        return self.b.add(wide, self.b.iota(self.lanes)) if loop else wide

    def step(self, a: int) -> int | None:
        strides = self.epilogue.accesses[a].strides
        return strides[-1] if not self.crosses or strides[0] == strides[-1] == 0 else None

    def vector(self, a: int, pointers: list[Value], v: int) -> Value:
        return pointers[a * self.vectors + v]

    base = vector

    def lane_index(self, a: int, v: int) -> Value:
        """The element numbers of a vector's lanes, counted from its first one."""
        total = self.b.number(self.b.iota(self.lanes).type, 0)
        for loop in (0, 2) if self.crosses else (2,):
            stride = self.epilogue.accesses[a].strides[loop]
            if stride == 0:
                continue
            lanes = self.b.iota(self.lanes)
            if self.crosses:
                lanes = self.b.convert("sext", self.spots[v][loop // 2], "i64")
            if stride is None:
                word = self.b.word(self.number[f"stride{a}.{loop}"])
                lanes = self.b.mul(lanes, self.b.splat(word, self.lanes))
            total = self.b.add(total, lanes)
        return total


# -- one tile

PARAMS = {"args": "ptr", "kept": "ptr", "a": "ptr", "b": "ptr", "k": "i64", "stride": "i64",
          "row": "i64", "column": "i64", "fresh": "i1", "last": "i1"}  # fmt: skip


def tile_function(b: Builder, conv: Convolve, micro: Micro) -> None:
    """`void tile<height>(…)`: multiply, and after the last block do the epilogue."""
    p = {name: Value(kind, f"%{name}") for name, kind in PARAMS.items()}
    with b.function(f"tile{micro.height}", "void", [*p.values()]):
        b.args = p["args"]
        columns = b.i64(micro.columns)
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
        place = Place((), p["row"], p["column"], columns)
        end = Ending(b, conv.own, conv.windows, micro.vectors, conv.epilogue, place)
        write_rows(b, micro, end, p["kept"], sums)
        b.line("ret void")


# -- the loops around it


class Driver:
    """Writes the kernel."""

    def __init__(self, b: Builder, conv: Convolve) -> None:
        self.b, self.conv, self.micro = b, conv, conv.micro
        self.w = words_of(b, conv.own)
        self.kept = b.room(self.micro.tile_bytes * (KEPT if self.micro.keeps else 1))
        self.panel = b.room(conv.depth * self.micro.columns * self.micro.itemsize)

    def write(self, begin: Value, end: Value) -> None:
        b, w = self.b, self.w
        with b.loop(begin, end) as task:
            rest, group_n = divided(b, task.index, w["groups_n"])
            group, group_m = divided(b, rest, w["groups_m"])
            a = moved(b, b.word_pointer(WORDS.index("a")), b.mul(group, w["a_group"]))
            x = moved(b, b.word_pointer(WORDS.index("x")), b.mul(group, w["x_group"]))
            row = b.mul(group, w["rows"])
            tiles = share(b, group_m, w["tiles"], w["groups_m"])
            panels = share(b, group_n, w["panels"], w["groups_n"])
            with b.loop(0, w["channels"], w["block"]) as block:
                channels = b.smin(b.sub(w["channels"], block.index), w["block"])
                first = b.mul(block.index, w["window"])
                source = self.element(x, b.mul(block.index, w["x_channel"]))
                here = moved(b, a, b.mul(first, w["a_step"]))
                last = b.icmp("sge", b.add(block.index, channels), w["channels"])
                self.block(tiles, panels, here, source, row, channels,
                           (b.icmp("eq", block.index, 0), last))  # fmt: skip

    def element(self, base: Value, offset: Value) -> Value:
        return self.b.element(base, stored(self.conv.windows.dtype), offset)

    def block(
        self, tiles: tuple[Value, Value], panels: tuple[Value, Value], a: Value, source: Value,
        row: Value, channels: Value, ends: tuple[Value, Value],
    ) -> None:  # fmt: skip
        """Some channels: all panels of the task, and for each panel all its tiles."""
        b, w = self.b, self.w
        steps = b.mul(channels, w["window"])
        with b.loop(*panels) as panel:
            column = b.mul(panel.index, self.micro.columns)
            row_bytes = b.i64(self.micro.columns * self.micro.itemsize)
            call_patches(b, source, self.panel, column, channels, row_bytes)
            done = b.mul(b.sub(panel.index, panels[0]), w["task_tiles"])
            with b.loop(*tiles) as tile:
                slot = b.add(done, b.sub(tile.index, tiles[0]))
                self.tile(tile.index, slot, a, steps, row, column, ends)

    def tile(
        self, tile: Value, slot: Value, a: Value, steps: Value, row: Value, column: Value,
        ends: tuple[Value, Value],
    ) -> None:  # fmt: skip
        b, w, micro = self.b, self.w, self.micro
        first = first_line(b, tile, w)
        a = moved(b, moved(b, a, b.mul(tile, w["a_tile"])), b.mul(first, w["a_row"]))
        kept = moved(b, self.kept, b.mul(slot, micro.tile_bytes)) if micro.keeps else self.kept
        assert b.args is not None
        values = (b.args, kept, a, self.panel, steps, w["a_stride"], b.add(row, first), column,
                  *ends)  # fmt: skip
        heights = self.conv.micro.heights(self.conv.uneven)
        choose_tile(b, heights, b.icmp("slt", tile, w["full"]), values)
