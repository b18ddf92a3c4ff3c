"""A product by tile registers: the loops around a tile, and the epilogue, which rounds its sums.

Operands are bfloat16, or wider floats as their `pieces`.
"""

from __future__ import annotations

from flambeau.ir.record import frozen

from ...builder import Builder, Value
from .epilogue import Epilogue, Finish, Place
from .micro import column_masks, moved
from .pack import divided, first_line, share
from .pairs import Pairs, fill_block, square_functions
from .tiles import (
    LINES,
    STEPS,
    Squares,
    Tile,
    again_function,
    check_row,
    configure,
    instruct,
    multiply,
    multiply_deep,
    row_of,
)
from .words import loop_names

WORDS = (
    "a", "b", "m", "k", "n", "full", "height", "tiles", "panels", "groups_m", "groups_n", "rows",
    "a_tile", "a_row", "a_block", "a_square", "a_stride", "a_line", "a_step", "b_panel",
    "b_line", "b_step",
)  # fmt: skip


@frozen
class Amx:
    """A kernel: its tiles, and the epilogue.

    `pack_a`: a task packs the rows of A that it needs, into a buffer of `room_a` bytes; `pack_b`:
    it packs B panel by panel; `in_place`: A is read where it lies; `ragged`: the last panel of B is
    narrower than a tile; `deep`: k has several blocks.
    """

    tile: Tile
    pack_a: Pairs | None
    pack_b: Pairs | None
    room_a: int
    room_b: int
    in_place: bool
    ragged: bool
    deep: bool
    epilogue: Epilogue

    @property
    def batch(self) -> int:
        return self.epilogue.batch

    @property
    def words(self) -> tuple[str, ...]:
        return WORDS + loop_names(self.batch) + self.epilogue.words


def amx_text(amx: Amx, vector_bytes: int) -> str:
    """A module with the kernel `amx`: a task is a group of tiles × a group of panels."""
    b = Builder(vector_bytes)
    again_function(b, amx.tile)
    for pairs, name in ((amx.pack_a, "a"), (amx.pack_b, "b")):
        if pairs:
            square_functions(b, pairs, name)
    with b.kernel("amx") as frame:
        w = {name: b.word(i) for i, name in enumerate(amx.words[: -len(amx.epilogue.words)])}
        configure(b, w["rows"])
        sums = b.room(2 * amx.tile.bytes)
        rooms = [b.room(amx.room_a), b.room(amx.room_b)]
        with b.loop(frame.begin, frame.end) as task:
            one_task(b, amx, w, sums, rooms, task.index)
        instruct(b, "tilerelease")
    return b.text()


def one_task(
    b: Builder, amx: Amx, w: dict[str, Value], sums: Value, rooms: list[Value], task: Value
) -> None:
    """All panels of the task, and for each panel all its tiles."""
    rest, group_n = divided(b, task, w["groups_n"])
    rest, group_m = divided(b, rest, w["groups_m"])
    a, b_ = b.word_pointer(0), b.word_pointer(1)
    batch: list[Value] = []
    for i in reversed(range(amx.batch)):
        rest, index = divided(b, rest, w[f"size{i}"])
        a = moved(b, a, b.mul(index, w[f"a_batch{i}"]))
        b_ = moved(b, b_, b.mul(index, w[f"b_batch{i}"]))
        batch.insert(0, index)
    tile0, tile1 = share(b, group_m, w["tiles"], w["groups_m"])
    panel0, panel1 = share(b, group_n, w["panels"], w["groups_n"])
    if amx.pack_a:
        own = {"lines": w["m"], "full": w["full"], "height": w["height"], "k": w["k"],
               "line": w["a_line"], "step": w["a_step"], "panel": w["a_tile"]}  # fmt: skip
        a = packed(b, amx.pack_a, own, a, rooms[0], (tile0, tile1), "a")
    with b.loop(panel0, panel1) as panel:
        right = b_
        if amx.pack_b:
            own = {"lines": w["n"], "full": w["panels"], "height": b.i64(amx.tile.columns),
                   "k": w["k"], "line": w["b_line"], "step": w["b_step"],
                   "panel": w["b_panel"]}  # fmt: skip
            which = (panel.index, b.add(panel.index, 1))
            right = packed(b, amx.pack_b, own, b_, rooms[1], which, "b")
        with b.loop(tile0, tile1) as tile:
            one_tile(b, amx, w, sums, a, right, tile.index, panel.index, tuple(batch))


def packed(
    b: Builder, pairs: Pairs, w: dict[str, Value], source: Value, room: Value,
    panels: tuple[Value, Value], name: str,
) -> Value:  # fmt: skip
    """Pack some tiles' rows of A, or panels of B; where number 0 would begin if it were there."""
    start = moved(b, room, b.sub(b.i64(0), b.mul(panels[0], w["panel"])))
    blocks = b.int("udiv", b.add(w["k"], STEPS - 1), b.i64(STEPS))
    with b.loop(0, blocks) as block, b.loop(*panels) as panel:
        to = moved(b, start, b.mul(panel.index, w["panel"]))
        fill_block(b, pairs, w, source, to, panel.index, block.index, name)
    return start


def one_tile(
    b: Builder, amx: Amx, w: dict[str, Value], sums: Value, a: Value, b_: Value, tile: Value,
    panel: Value, batch: tuple[Value, ...],
) -> None:  # fmt: skip
    """Multiply, and do the epilogue.

    The registers are sized for tiles of `height` rows. One that is lower reads a row too many: in
    place, the one above it, which is A's, and not the one below.
    """
    row = first_line(b, tile, w)
    low = b.convert("zext", b.icmp("sge", tile, w["full"]), "i64")
    above = low if amx.in_place else b.i64(0)
    a = moved(b, moved(b, a, b.mul(tile, w["a_tile"])), b.mul(b.sub(row, above), w["a_row"]))
    b_ = moved(b, b_, b.mul(panel, w["b_panel"]))
    at = Squares(a, b_, w["a_block"], w["a_square"], w["a_stride"])
    (multiply_deep if amx.deep else multiply)(b, amx.tile, at, w["k"], sums)
    across, pitch = amx.tile.across, amx.tile.pitch
    column = b.mul(panel, amx.tile.columns)
    columns = b.smin(b.sub(w["n"], column), amx.tile.columns)
    masks: list[Value | None] = [None] * across
    if amx.ragged:
        masks = list(column_masks(b, across, LINES, columns))
    place = Place(batch, row, column, columns)
    end = Finish(b, amx.epilogue, len(amx.words) - len(amx.epilogue.words), LINES, place, masks)
    first = moved(b, sums, b.mul(above, pitch))
    with b.loop(0, b.sub(w["height"], low), carry=[first, *end.start]) as loop:
        here, pointers = loop.carried[0], loop.carried[1:]
        check_row(b, amx.tile, at, w["k"], loop.index, here, masks)
        end.write_row(pointers, b.add(row, loop.index), row_of(b, amx.tile, here))
        loop.next = [moved(b, here, pitch), *end.next_row(pointers)]
