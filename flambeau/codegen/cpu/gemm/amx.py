"""Products of bfloat16 by the processor's tile registers (Intel AMX).

A tile register holds 16 rows of 64 bytes. One instruction multiplies 16 lines of A by 16 of B over
32 steps along k, and adds to 16 × 16 sums in float32. Two by two squares of sums stay in registers
for all of k; then they go through memory to the epilogue, which rounds them once.
"""

from __future__ import annotations

from flambeau.ir.record import frozen

from ...builder import Builder, Value
from .epilogue import Epilogue, Finish, Place
from .micro import column_masks, moved
from .pack import divided, first_line, share
from .pairs import LINES, ROW, SQUARE, STEPS
from .words import loop_names

A_TILES, B_TILES = (4, 5), (6, 7)  # the numbers of tile registers; those below hold sums
COLUMN_BYTES = 0x0040_0040_0040_0040  # 64 for each of four tile registers, as 16-bit numbers
CONFIG, CONFIG_BYTES, CONFIG_ROWS = 64, (16, 24), 48  # size of a configuration, and where is what
WORDS = (
    "a", "b", "k", "n", "full", "height", "tiles", "panels", "groups_m", "groups_n", "rows",
    "a_tile", "a_row", "a_block", "a_square", "a_stride", "b_panel",
)  # fmt: skip


@frozen
class Amx:
    """A kernel: squares of sums in a tile, down and across, and the epilogue.

    `in_place`: A is read where it lies; `ragged`: the last panel of B is narrower than a tile.
    """

    down: int
    across: int
    in_place: bool
    ragged: bool
    epilogue: Epilogue

    @property
    def batch(self) -> int:
        return self.epilogue.batch

    @property
    def words(self) -> tuple[str, ...]:
        return WORDS + loop_names(self.batch) + self.epilogue.words

    @property
    def pitch(self) -> int:
        """Bytes from one row of a tile's sums to the next."""
        return self.across * ROW


def rows_word(height: int, down: int, across: int) -> int:
    """The rows of the eight tile registers, a byte each, for tiles of `height` rows.

    A register that is not used has rows as well: to have columns alone is an error.
    """
    rows = [LINES] * 8
    for r, lines in enumerate((min(height, LINES), height - LINES)[:down]):
        rows[A_TILES[r]] = lines
        rows[r * across : (r + 1) * across] = [lines] * across
    return int.from_bytes(bytes(rows), "little")


def amx_text(amx: Amx, vector_bytes: int) -> str:
    """A module with the kernel `amx`: a task is a group of tiles × a group of panels."""
    b = Builder(vector_bytes)
    with b.kernel("amx") as frame:
        w = {name: b.word(i) for i, name in enumerate(amx.words[: -len(amx.epilogue.words)])}
        configure(b, w["rows"])
        sums = b.op(f"alloca [{amx.down * LINES * amx.pitch} x i8], align 64", "ptr")
        with b.loop(frame.begin, frame.end) as task:
            one_task(b, amx, w, sums, task.index)
        tiles(b, "tilerelease")
    return b.text()


def tiles(b: Builder, name: str, *args: Value) -> None:
    """An instruction on tile registers."""
    b.declare(f"llvm.x86.{name}", "void", [value.type for value in args])
    b.line(f"call void @llvm.x86.{name}({', '.join(value.typed for value in args)})")


def register(number: int) -> Value:
    return Value("i8", str(number))


def configure(b: Builder, rows: Value) -> None:
    """Give the tile registers their sizes."""
    config = b.op(f"alloca [{CONFIG} x i8], align 64", "ptr")
    b.store(b.number("<8 x i64>", 0), config, 64)
    b.store(b.i64(1), config)  # the palette
    for place in CONFIG_BYTES:
        b.store(b.i64(COLUMN_BYTES), moved(b, config, place))
    b.store(rows, moved(b, config, CONFIG_ROWS))
    tiles(b, "ldtilecfg", config)


def one_task(b: Builder, amx: Amx, w: dict[str, Value], sums: Value, task: Value) -> None:
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
    with b.loop(panel0, panel1) as panel, b.loop(tile0, tile1) as tile:
        one_tile(b, amx, w, sums, a, b_, tile.index, panel.index, tuple(batch))


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
    multiply(b, amx, w, sums, a, moved(b, b_, b.mul(panel, w["b_panel"])))
    column = b.mul(panel, amx.across * LINES)
    columns = b.smin(b.sub(w["n"], column), amx.across * LINES)
    masks: list[Value | None] = [None] * amx.across
    if amx.ragged:
        masks = list(column_masks(b, amx.across, LINES, columns))
    place = Place(batch, row, column, columns)
    end = Finish(b, amx.epilogue, len(amx.words) - len(amx.epilogue.words), LINES, place, masks)
    first = moved(b, sums, b.mul(above, amx.pitch))
    with b.loop(0, b.sub(w["height"], low), carry=[first, *end.start]) as loop:
        here, pointers = loop.carried[0], loop.carried[1:]
        values = [b.load("<16 x float>", moved(b, here, c * ROW), 64) for c in range(amx.across)]
        end.write_row(pointers, b.add(row, loop.index), values)
        loop.next = [moved(b, here, amx.pitch), *end.next_row(pointers)]


def multiply(b: Builder, amx: Amx, w: dict[str, Value], sums: Value, a: Value, b_: Value) -> None:
    """The squares of sums over all blocks of k, left in memory."""
    cells = [(r, c) for r in range(amx.down) for c in range(amx.across)]
    for r, c in cells:
        tiles(b, "tilezero", register(r * amx.across + c))
    with b.loop(0, w["k"], STEPS, carry=[a, b_]) as loop:
        left, right = loop.carried
        for c in range(amx.across):
            place = moved(b, right, c * SQUARE)
            tiles(b, "tileloadd64", register(B_TILES[c]), place, b.i64(ROW))
        for r in range(amx.down):
            place = moved(b, left, w["a_square"]) if r else left
            tiles(b, "tileloadd64", register(A_TILES[r]), place, w["a_stride"])
            for c in range(amx.across):
                total = register(r * amx.across + c)
                tiles(b, "tdpbf16ps", total, register(A_TILES[r]), register(B_TILES[c]))
        loop.next = [moved(b, left, w["a_block"]), moved(b, right, amx.across * SQUARE)]
    for r, c in cells:
        place = moved(b, sums, r * LINES * amx.pitch + c * ROW)
        tiles(b, "tilestored64", register(r * amx.across + c), place, b.i64(amx.pitch))
