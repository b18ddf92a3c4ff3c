"""The loops around the micro-kernel: tasks, panels, tiles, blocks of k, and the epilogue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flambeau.ir.record import frozen, replace

from ...builder import Builder, Value
from .epilogue import Epilogue, Finish, Place
from .micro import Micro, Reads, column_masks, moved, multiply
from .pack import Pack, Panel, call_pack, divided, first_line, pack_function, share
from .words import loop_names

WORDS = (
    "a", "b", "k", "k_block", "n", "full", "height", "tiles", "panels", "task_tiles",
    "groups_m", "groups_n", "a_tile", "a_row", "a_step", "a_stride", "b_panel", "b_line", "b_step",
)  # fmt: skip
KEPT = 48  # tiles of sums that a task can keep while it goes through the blocks of k
K_LIMIT = 2048  # steps along k that a task packs at once, at most


@frozen
class Gemm:
    """A kernel: tiles of `micro.height` rows, if uneven then of one less; the epilogue.

    `by_rows`: a task finishes all panels of a row of tiles before the next row;
    `fetch_c`: it asks for a tile's memory before it computes what goes there.

    `pack_b`: a task packs the panels of B that it needs; else B's rows are read in place.
    """

    micro: Micro
    uneven: bool
    by_rows: bool
    fetch_c: bool
    pack_b: Pack | None
    epilogue: Epilogue

    @property
    def batch(self) -> int:
        return self.epilogue.batch

    @property
    def words(self) -> tuple[str, ...]:
        return WORDS + loop_names(self.batch) + self.epilogue.words


def gemm_text(gemm: Gemm, vector_bytes: int) -> str:
    """The module: the tiles of both heights, the packing, and the kernel `gemm`."""
    b = Builder(vector_bytes)
    for height in gemm.micro.heights(gemm.uneven):
        tile_function(b, gemm, replace(gemm.micro, height=height))
    if gemm.pack_b:
        pack_function(b, gemm.pack_b, "pack_b")
    with b.kernel("gemm") as frame:
        Driver(b, gemm).write(frame.begin, frame.end)
    return b.text()


# -- one tile

TILE = {"args": "ptr", "kept": "ptr", "a": "ptr", "b": "ptr", "k": "i64", "stride": "i64",
        "step": "i64", "row": "i64", "column": "i64", "columns": "i64", "fresh": "i1",
        "last": "i1"}  # fmt: skip


def tile_function(b: Builder, gemm: Gemm, micro: Micro) -> None:
    """`void tile<height>(…)`: multiply, and after the last block of k do the epilogue."""
    p = {name: Value(kind, f"%{name}") for name, kind in TILE.items()}
    batch = tuple(Value("i64", f"%batch{i}") for i in range(gemm.batch))
    with b.function(f"tile{micro.height}", "void", [*p.values(), *batch]):
        b.args = p["args"]
        reads = Reads(*(p[name] for name in ("a", "b", "k", "stride", "step", "columns")))
        place = Place(batch, p["row"], p["column"], p["columns"])
        if gemm.fetch_c:
            ending(b, gemm, micro, place, [None] * micro.vectors).fetch(micro.height, micro.vectors)
        start = initial(b, micro, p["kept"], p["fresh"])
        sums = multiply(b, micro, reads, start)
        if micro.keeps:
            done, on = b.fresh("done"), b.fresh("keep")
            b.branch(p["last"], done, on)
            b.label(on)
            keep(b, micro, p["kept"], sums)
            b.line("ret void")
            b.label(done)
        finish(b, gemm, micro, place, p["kept"], sums)
        b.line("ret void")


def cell(b: Builder, micro: Micro, kept: Value, at: int | Value) -> Value:
    """The address of a vector in the buffer of a tile's sums."""
    at = b.mul(at, micro.lanes) if isinstance(at, Value) else at * micro.lanes
    return b.element(kept, micro.element, at)


def initial(b: Builder, micro: Micro, kept: Value, fresh: Value) -> list[Value]:
    """What the sums start from: zero, or what the block before has left."""
    zero = b.number(micro.vector, 0)
    if not micro.keeps:
        return [zero] * len(micro.cells)
    reload, begin, entry = b.fresh("reload"), b.fresh("begin"), b.block
    b.branch(fresh, begin, reload)
    b.label(reload)
    old = [b.load(micro.vector, cell(b, micro, kept, at)) for at in range(len(micro.cells))]
    b.jump(begin)
    b.label(begin)
    return [b.phi(micro.vector, (zero, entry), (value, reload)) for value in old]


def keep(b: Builder, micro: Micro, kept: Value, sums: list[Value]) -> None:
    for at, value in enumerate(sums):
        b.store(value, cell(b, micro, kept, at))


def ending(b: Builder, gemm: Gemm, micro: Micro, place: Place, masks: list[Value | None]) -> Finish:
    first = len(gemm.words) - len(gemm.epilogue.words)
    return Finish(b, gemm.epilogue, first, micro.lanes, place, masks)


def finish(
    b: Builder, gemm: Gemm, micro: Micro, place: Place, kept: Value, sums: list[Value]
) -> None:
    """The epilogue: spelt out for each row where it is cheap, else as a loop over the rows."""
    masks: list[Value | None] = [None] * micro.vectors
    if micro.ragged:
        masks = list(column_masks(b, micro.vectors, micro.lanes, place.columns))
    write_rows(b, micro, ending(b, gemm, micro, place, masks), kept, sums)


def write_rows(b: Builder, micro: Micro, end: Finish, kept: Value, sums: list[Value]) -> None:
    """All rows of a tile; `kept` is memory for its sums."""
    pointers = end.start
    if end.epilogue.is_cheap:
        for i in range(micro.height):
            row = b.add(end.place.row, i)
            end.write_row(pointers, row, sums[i * micro.vectors : (i + 1) * micro.vectors])
            pointers = end.next_row(pointers) if i < micro.height - 1 else pointers
        return
    keep(b, micro, kept, sums)
    with b.loop(0, micro.height, carry=pointers) as loop:
        first = b.mul(loop.index, micro.vectors)
        places = [cell(b, micro, kept, b.add(first, v)) for v in range(micro.vectors)]
        row = b.add(end.place.row, loop.index)
        end.write_row(loop.carried, row, [b.load(micro.vector, place) for place in places])
        loop.next = end.next_row(loop.carried)


def choose_tile(
    b: Builder, heights: tuple[int, ...], tall: Value, values: tuple[Value, ...]
) -> None:
    """Call the function for a tile: of the first height if it is `tall`, else of the second."""
    args = ", ".join(value.typed for value in values)
    names = [f"@tile{height}" for height in heights]
    chosen = Value("ptr", names[0])
    if len(names) == 2:
        chosen = b.op(f"select i1 {tall}, ptr {names[0]}, ptr {names[1]}", "ptr")
    b.line(f"call void {chosen}({args})")


# -- the loops around it


class Driver:
    """Writes the kernel: a task is a group of tiles × a group of panels of one batch."""

    def __init__(self, b: Builder, gemm: Gemm) -> None:
        self.b, self.gemm, self.micro = b, gemm, gemm.micro
        self.w = {name: b.word(i) for i, name in enumerate(gemm.words[: -len(gemm.epilogue.words)])}
        self.kept = b.room(self.micro.tile_bytes * (KEPT if self.micro.keeps else 1))
        if gemm.pack_b:
            self.panel = b.room(K_LIMIT * gemm.pack_b.row_bytes)

    def write(self, begin: Value, end: Value) -> None:
        b, w = self.b, self.w
        with b.loop(begin, end) as task:
            rest, group_n = divided(b, task.index, w["groups_n"])
            rest, group_m = divided(b, rest, w["groups_m"])
            first, second = b.word_pointer(0), b.word_pointer(1)
            batch: list[Value] = []
            for i in reversed(range(self.gemm.batch)):
                rest, index = divided(b, rest, w[f"size{i}"])
                first = moved(b, first, b.mul(index, w[f"a_batch{i}"]))
                second = moved(b, second, b.mul(index, w[f"b_batch{i}"]))
                batch.insert(0, index)
            with self.blocks() as (p, steps):
                a = moved(b, first, b.mul(p, w["a_step"]))
                b_ = moved(b, second, b.mul(p, w["b_step"]))
                self.block(group_m, group_n, a, b_, p, steps, tuple(batch))

    @contextmanager
    def blocks(self) -> Iterator[tuple[Value, Value]]:
        """The blocks of k: their first steps and lengths."""
        if not self.micro.keeps:
            yield self.b.i64(0), self.w["k"]
            return
        with self.b.loop(0, self.w["k"], self.w["k_block"]) as loop:
            left = self.b.sub(self.w["k"], loop.index)
            yield loop.index, self.b.smin(left, self.w["k_block"])

    def block(
        self, group_m: Value, group_n: Value, a: Value, b_: Value, p: Value, steps: Value,
        batch: tuple[Value, ...],
    ) -> None:  # fmt: skip
        """All panels of the task, and for each panel all its tiles."""
        b, w = self.b, self.w
        tile0, tile1 = share(b, group_m, w["tiles"], w["groups_m"])
        panel0, panel1 = share(b, group_n, w["panels"], w["groups_n"])
        if self.gemm.by_rows:
            with b.loop(tile0, tile1) as tile, b.loop(panel0, panel1) as panel:
                slot = self.slot(panel.index, panel0, tile.index, tile0)
                here = moved(b, b_, b.mul(panel.index, w["b_panel"]))
                spot = self.spot(panel.index)
                self.tile(tile.index, slot, a, here, w["b_step"], p, steps, *spot, batch)
            return
        with b.loop(panel0, panel1) as panel:
            spot = self.spot(panel.index)
            here, step = self.panel_of_b(b_, panel.index, spot[1], steps)
            with b.loop(tile0, tile1) as tile:
                slot = self.slot(panel.index, panel0, tile.index, tile0)
                self.tile(tile.index, slot, a, here, step, p, steps, *spot, batch)

    def slot(self, panel: Value, panel0: Value, tile: Value, tile0: Value) -> Value:
        """The number of a tile among those of its task."""
        b = self.b
        return b.add(b.mul(b.sub(panel, panel0), self.w["task_tiles"]), b.sub(tile, tile0))

    def spot(self, panel: Value) -> tuple[Value, Value]:
        """A panel's first column, and how many it has."""
        column = self.b.mul(panel, self.micro.columns)
        return column, self.b.smin(self.b.sub(self.w["n"], column), self.micro.columns)

    def panel_of_b(
        self, b_: Value, panel: Value, columns: Value, steps: Value
    ) -> tuple[Value, Value]:
        """Where a panel of B lies, and how far its rows are apart; it is packed if need be."""
        b, w = self.b, self.w
        here = moved(b, b_, b.mul(panel, w["b_panel"]))
        if not self.gemm.pack_b:
            return here, w["b_step"]
        source = Panel(here, self.panel, w["b_line"], w["b_step"], columns, steps)
        call_pack(b, "pack_b", source)
        return self.panel, b.i64(self.gemm.pack_b.row_bytes)

    def tile(
        self, tile: Value, slot: Value, a: Value, b_: Value, step: Value, p: Value, steps: Value,
        column: Value, columns: Value, batch: tuple[Value, ...],
    ) -> None:  # fmt: skip
        b, w, micro = self.b, self.w, self.micro
        row = first_line(b, tile, w)
        a = moved(b, moved(b, a, b.mul(tile, w["a_tile"])), b.mul(row, w["a_row"]))
        kept = moved(b, self.kept, b.mul(slot, micro.tile_bytes)) if micro.keeps else self.kept
        fresh = b.icmp("eq", p, 0)
        last = b.icmp("sge", b.add(p, steps), w["k"])
        assert b.args is not None
        place = (row, column, columns, fresh, last, *batch)
        values = (b.args, kept, a, b_, steps, w["a_stride"], step, *place)
        heights = self.gemm.micro.heights(self.gemm.uneven)
        choose_tile(b, heights, b.icmp("slt", tile, w["full"]), values)
