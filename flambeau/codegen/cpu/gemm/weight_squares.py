"""Weights of a convolution as squares of pieces, in the order in which `convolve_tiles` walks.

A square has 16 rows of the weights; of each, for each block of channels, tap after tap, and for
each tap pairs of channels. The pairs of a block fill whole squares; what is left over is zero.
"""

from __future__ import annotations

from functools import lru_cache

from flambeau.ir.record import frozen

from ....ir.dtype import DType
from ...builder import Builder, Value
from ...values import stored
from .convolve_tiles import PAIRS, squares_of
from .micro import moved
from .pack import divided
from .pairs import interleaved
from .pieces import PIECES, pieces_of
from .tiles import LINES, ROW, SQUARE

WORDS = ("a", "target", "lines", "channels", "block", "blocks", "block_bytes", "squares",
         "square_bytes", "group", "group_bytes", "line", "channel", "window")  # fmt: skip


@frozen
class WeightSquares:
    """How squares are filled: the weights' type, and the dims of the taps."""

    source: DType
    dims: int

    @property
    def words(self) -> tuple[str, ...]:
        return WORDS + tuple(f"{what}{d}" for d in range(self.dims) for what in ("taps", "tap"))


@lru_cache(maxsize=64)
def weight_squares_text(pack: WeightSquares, vector_bytes: int) -> str:
    """A module with the kernel `weights`: a task packs a block of channels of 16 rows."""
    b = Builder(vector_bytes)
    with b.kernel("weights") as frame:
        w = {name: b.word(i) for i, name in enumerate(pack.words)}
        with b.loop(frame.begin, frame.end) as task:
            rest, block = divided(b, task.index, w["blocks"])
            group, square = divided(b, rest, w["squares"])
            first, line = b.mul(block, w["block"]), b.mul(square, LINES)
            offset = b.add(b.mul(group, w["group"]), b.mul(line, w["line"]))
            offset = b.add(offset, b.mul(first, w["channel"]))
            source = b.element(b.word_pointer(0), stored(pack.source), offset)
            target = moved(b, b.word_pointer(1), b.mul(group, w["group_bytes"]))
            target = moved(b, target, b.mul(square, w["square_bytes"]))
            target = moved(b, target, b.mul(block, w["block_bytes"]))
            channels = b.smin(b.sub(w["channels"], first), w["block"])
            lines = b.smin(b.sub(w["lines"], line), LINES)
            with b.loop(0, lines) as row:
                here = b.element(source, stored(pack.source), b.mul(row.index, w["line"]))
                one_line(b, pack, w, here, moved(b, target, b.mul(row.index, ROW)), channels)
    return b.text()


def one_line(
    b: Builder, pack: WeightSquares, w: dict[str, Value], source: Value, target: Value,
    channels: Value,
) -> None:  # fmt: skip
    """A row of the weights: up to 16 pairs of channels at a time, and for these all taps."""
    pairs = b.int("lshr", b.add(channels, 1), 1)
    used = b.mul(w["window"], pairs)
    wide = b.mul(squares_of(b, used), PAIRS)
    with b.loop(used, wide) as pair:  # no pairs: zeros
        zeros = [b.number("<16 x i32>", 0)] * PIECES[pack.source]
        put(b, target, pair.index, b.i64(1), zeros)
    both = b.mul(w["channel"], 2)
    index = b.mul(b.iota(LINES), b.splat(both, LINES))
    with b.loop(0, pairs, PAIRS) as chunk:
        left = b.sub(channels, b.mul(chunk.index, 2))
        even = b.active(b.int("lshr", b.add(left, 1), 1), LINES)
        odd = b.active(b.int("lshr", left, 1), LINES)
        count = b.smin(b.sub(pairs, chunk.index), PAIRS)

        def taps(d: int, here: Value, number: Value) -> Value:
            """All taps along the dims from d on; the number of the pair after them."""
            if d == pack.dims:
                after = b.element(here, stored(pack.source), w["channel"])
                first = b.gather_element(pack.source, here, index, even)
                second = b.gather_element(pack.source, after, index, odd)
                split = [pieces_of(b, x, PIECES[pack.source]) for x in (first, second)]
                rows = [interleaved(b, x, y) for x, y in zip(*split, strict=True)]
                put(b, target, number, count, rows)
                return b.add(number, pairs)
            with b.loop(0, w[f"taps{d}"], carry=[here, number]) as loop:
                following = taps(d + 1, *loop.carried)
                step = b.element(loop.carried[0], stored(pack.source), w[f"tap{d}"])
                loop.next = [step, following]
            return loop.results[1]

        here = b.element(source, stored(pack.source), b.mul(chunk.index, both))
        taps(0, here, chunk.index)


def put(b: Builder, target: Value, pair: Value, count: Value, rows: list[Value]) -> None:
    """Store pairs of a row, for each piece: those that still fit the square, and the others in
    the one for the next steps."""
    block, at = divided(b, pair, b.i64(PAIRS))
    room, size = b.sub(b.i64(PAIRS), at), len(rows) * SQUARE
    fitting = b.active(b.smin(count, room), LINES)
    others = b.int("xor", fitting, b.active(count, LINES))
    here = moved(b, target, b.mul(block, size))
    first = b.element(here, "i32", at)
    second = b.element(moved(b, here, size), "i32", b.sub(b.i64(0), room))
    for i, row in enumerate(rows):
        b.store_masked(row, moved(b, first, i * SQUARE), fitting)
        b.store_masked(row, moved(b, second, i * SQUARE), others)
