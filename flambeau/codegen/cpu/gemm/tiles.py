"""The processor's tile registers (Intel AMX), and a tile of C computed with them.

A tile register holds 16 rows of 64 bytes. One instruction multiplies 16 lines of A by 16 of B over
32 steps along k, and adds to 16 × 16 sums in float32. Two by two squares of sums stay in registers
for a block of k; then they are in memory. Operands lie in squares of 1 KB (`pairs`): those of one
block of steps are neighbours, one for each piece of a number (`pieces`), and the products of all
pieces go into the same sums.
"""

from __future__ import annotations

import math

from flambeau.ir.record import frozen, replace

from ....ir.dtype import DType
from ...builder import Builder, Value
from .micro import moved
from .pack import divided
from .pieces import HIGH, PIECES, terms_of, whole_of

LINES, STEPS = 16, 32  # of a square
ROW = 64  # bytes of a row of a square
SQUARE = LINES * ROW
BLOCK = 512  # steps along k whose sums stay in registers: rounding errors grow with that
A_TILES, B_TILES = (4, 5), (6, 7)  # the numbers of tile registers; those below hold sums
COLUMN_BYTES = 0x0040_0040_0040_0040  # 64 for each of four tile registers, as 16-bit numbers
CONFIG, CONFIG_BYTES, CONFIG_ROWS = 64, (16, 24), 48  # size of a configuration, and where is what


@frozen
class Tile:
    """What is multiplied, and how many squares of sums a tile has, down and across."""

    a: DType
    b: DType
    down: int
    across: int

    @property
    def rows(self) -> int:
        return self.down * LINES

    @property
    def columns(self) -> int:
        return self.across * LINES

    @property
    def pitch(self) -> int:
        """Bytes from one row of sums to the next."""
        return self.across * ROW

    @property
    def bytes(self) -> int:
        return self.rows * self.pitch

    @property
    def b_block(self) -> int:
        """Bytes of B's squares for one block of steps."""
        return self.across * PIECES[self.b] * SQUARE

    @property
    def terms(self) -> tuple[tuple[int, int], ...]:
        return terms_of(self.a, self.b)


@frozen
class Squares:
    """Where a tile's operands lie, and A's strides in bytes: to the next block of steps, to the
    second square of the tile, and from row to row."""

    a: Value
    b: Value
    a_block: Value
    a_square: Value
    a_stride: Value

    @classmethod
    def packed(cls, b: Builder, tile: Tile, a: Value, b_: Value, a_square: Value) -> Squares:
        """Squares of A in which each block of steps is followed by the next."""
        return cls(a, b_, b.i64(PIECES[tile.a] * SQUARE), a_square, b.i64(ROW))

    def after(self, b: Builder, tile: Tile, blocks: int) -> list[Value]:
        """Where A and B lie some blocks of steps on."""
        return [moved(b, self.a, self.a_block, blocks), moved(b, self.b, tile.b_block, blocks)]


# -- instructions


def instruct(b: Builder, name: str, *args: Value) -> None:
    """An instruction on tile registers."""
    b.declare(f"llvm.x86.{name}", "void", [value.type for value in args])
    b.line(f"call void @llvm.x86.{name}({', '.join(value.typed for value in args)})")


def register(number: int) -> Value:
    return Value("i8", str(number))


def rows_word(height: int, down: int, across: int) -> int:
    """The rows of the eight tile registers, a byte each, for tiles of `height` rows.

    A register that is not used has rows as well: to have columns alone is an error.
    """
    rows = [LINES] * 8
    for r, lines in enumerate((min(height, LINES), height - LINES)[:down]):
        rows[A_TILES[r]] = lines
        rows[r * across : (r + 1) * across] = [lines] * across
    return int.from_bytes(bytes(rows), "little")


def configure(b: Builder, rows: Value) -> None:
    """Give the tile registers their sizes."""
    config = b.room(CONFIG)
    b.store(b.number("<8 x i64>", 0), config, 64)
    b.store(b.i64(1), config)  # the palette
    for place in CONFIG_BYTES:
        b.store(b.i64(COLUMN_BYTES), moved(b, config, place))
    b.store(rows, moved(b, config, CONFIG_ROWS))
    instruct(b, "ldtilecfg", config)


# -- sums


def multiply(b: Builder, tile: Tile, at: Squares, steps: Value, sums: Value) -> None:
    """The sums over some steps, left in memory."""
    cells = [(r, c) for r in range(tile.down) for c in range(tile.across)]
    for r, c in cells:
        instruct(b, "tilezero", register(r * tile.across + c))
    with b.loop(0, steps, STEPS, carry=[at.a, at.b]) as loop:
        left, right = loop.carried
        loaded = (-1, -1)
        for i, j in tile.terms:
            if j != loaded[1]:
                for c in range(tile.across):
                    place = moved(b, right, (c * PIECES[tile.b] + j) * SQUARE)
                    instruct(b, "tileloadd64", register(B_TILES[c]), place, b.i64(ROW))
            for r in range(tile.down):
                if i != loaded[0]:
                    place = moved(b, left, i * SQUARE)
                    place = moved(b, place, at.a_square) if r else place
                    instruct(b, "tileloadd64", register(A_TILES[r]), place, at.a_stride)
                for c in range(tile.across):
                    total = register(r * tile.across + c)
                    instruct(b, "tdpbf16ps", total, register(A_TILES[r]), register(B_TILES[c]))
            loaded = i, j
        loop.next = [moved(b, left, at.a_block), moved(b, right, tile.b_block)]
    for r, c in cells:
        place = moved(b, sums, r * LINES * tile.pitch + c * ROW)
        instruct(b, "tilestored64", register(r * tile.across + c), place, b.i64(tile.pitch))


def multiply_deep(b: Builder, tile: Tile, at: Squares, steps: Value, sums: Value) -> None:
    """The same over any number of steps, block by block; room for as many sums lies behind them."""
    part = moved(b, sums, tile.bytes)
    clear(b, tile, sums)
    with b.loop(0, steps, BLOCK, carry=[at.a, at.b]) as block:
        here = replace(at, a=block.carried[0], b=block.carried[1])
        multiply(b, tile, here, b.smin(b.sub(steps, block.index), BLOCK), part)
        add(b, tile, part, sums)
        block.next = here.after(b, tile, BLOCK // STEPS)


def clear(b: Builder, tile: Tile, sums: Value) -> None:
    with b.loop(0, tile.bytes, ROW) as at:
        b.store(b.number("<16 x float>", 0), moved(b, sums, at.index), 64)


def add(b: Builder, tile: Tile, part: Value, sums: Value) -> None:
    """Add a part of a tile's sums to the rest of them."""
    with b.loop(0, tile.bytes, ROW) as at:
        old, new = (moved(b, base, at.index) for base in (sums, part))
        total = b.add(b.load("<16 x float>", old, 64), b.load("<16 x float>", new, 64))
        b.store(total, old, 64)


def row_of(b: Builder, tile: Tile, sums: Value) -> list[Value]:
    """The vectors of a row of sums."""
    return [b.load("<16 x float>", moved(b, sums, c * ROW), 64) for c in range(tile.across)]


def add_block(
    b: Builder, tile: Tile, at: Squares, steps: Value, rows: Value, part: Value, sums: Value,
    fresh: Value,
) -> None:  # fmt: skip
    """Multiply a block of steps into `part`, check it row by row, and add it to the sums of the
    blocks before, if it is not the first (`fresh`)."""
    multiply(b, tile, at, steps, part)
    with b.loop(0, rows, carry=[part, sums]) as row:
        here, there = row.carried
        check_row(b, tile, at, steps, row.index, here, [None] * tile.across)
        both = zip(row_of(b, tile, there), row_of(b, tile, here), strict=True)
        for c, (old, new) in enumerate(both):
            b.store(b.select(fresh, new, b.add(old, new)), moved(b, there, c * ROW), 64)
        row.next = [moved(b, x, tile.pitch) for x in (here, there)]


# -- sums that are not finite


def check_row(
    b: Builder, tile: Tile, at: Squares, steps: Value, row: Value, sums: Value,
    masks: list[Value | None],
) -> None:  # fmt: skip
    """Have the sums of a row computed again if one of them is not finite.

    masks: the columns that count. `sums` are those of the row; for what is not split, they stay.
    """
    if len(tile.terms) == 1:
        return
    wrong = []
    for value, mask in zip(row_of(b, tile, sums), masks, strict=True):
        unfit = b.fcmp("ueq", b.intrinsic("fabs", value), math.inf)
        wrong.append(unfit if mask is None else b.int("and", unfit, mask))
    either = wrong[0] if len(wrong) == 1 else b.int("or", *wrong)
    with b.when(b.any(either)):
        square, line = divided(b, row, b.i64(LINES))
        a = moved(b, moved(b, at.a, b.mul(square, at.a_square)), b.mul(line, ROW))
        b.invoke("again", sums, a, at.a_block, at.b, steps)


AGAIN = {"sums": "ptr", "a": "ptr", "a_block": "i64", "b": "ptr", "k": "i64"}


def again_function(b: Builder, tile: Tile) -> None:
    """`void again(sums, a, a_block, b, k)`: the sums of a row, in float32, from whole numbers."""
    if len(tile.terms) == 1:
        return
    p = {name: Value(kind, f"%{name}") for name, kind in AGAIN.items()}
    with b.function("again", "void", list(p.values())):
        zeros = [b.number("<16 x float>", 0)] * tile.across
        with b.loop(0, p["k"], STEPS, carry=[p["a"], p["b"], *zeros]) as block:
            left, right, *totals = block.carried
            with b.loop(0, LINES, carry=totals) as pair:
                pair.next = pair_again(b, tile, left, right, pair.index, pair.carried)
            left, right = moved(b, left, p["a_block"]), moved(b, right, tile.b_block)
            block.next = [left, right, *pair.results]
        for c, total in enumerate(block.results[2:]):
            b.store(total, moved(b, p["sums"], c * ROW), 64)
        b.line("ret void")


def pair_again(
    b: Builder, tile: Tile, left: Value, right: Value, pair: Value, totals: list[Value]
) -> list[Value]:
    """The sums of a row with a pair of steps added."""
    firsts = [
        b.load("i32", b.element(moved(b, left, i * SQUARE), "i32", pair))
        for i in range(PIECES[tile.a])
    ]
    seconds = [
        [b.load("<16 x i32>", moved(b, moved(b, right, (c * PIECES[tile.b] + j) * SQUARE),
                                    b.mul(pair, ROW)), 64) for j in range(PIECES[tile.b])]
        for c in range(tile.across)
    ]  # fmt: skip
    for odd in (False, True):
        x = b.splat(whole_of(b, [half(b, piece, odd) for piece in firsts]), LINES)
        ys = [whole_of(b, [half(b, piece, odd) for piece in each]) for each in seconds]
        totals = [b.fma(x, y, total) for y, total in zip(ys, totals, strict=True)]
    return totals


def half(b: Builder, pair: Value, odd: bool) -> Value:
    """One bfloat16 of a pair, as the high half of its lane."""
    return b.int("and", pair, HIGH) if odd else b.int("shl", pair, 16)
