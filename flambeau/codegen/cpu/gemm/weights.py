"""Weights of a convolution as panels: what the micro-kernel reads in order, whatever their layout.

A panel holds some rows side by side, for each channel and tap one element of each row. Taps may be
walked backwards, as a transposed convolution does: their strides are negative then.
"""

from __future__ import annotations

from functools import lru_cache

from flambeau.ir.record import frozen

from ....ir.dtype import DType
from ...builder import Builder, Value
from ...values import stored
from .micro import moved
from .pack import divided, first_line

WORDS = ("a", "target", "lines", "channels", "full", "height", "tiles", "panel_bytes", "group",
         "group_bytes", "line", "channel", "chunk", "chunks", "window")  # fmt: skip


@frozen
class PackWeights:
    """How panels are filled: types, lanes of a vector, vectors side by side, dims of the taps."""

    source: DType
    element: str
    lanes: int
    vectors: int
    dims: int

    @property
    def row_bytes(self) -> int:
        return self.vectors * self.lanes * (4 if self.element == "float" else 8)

    @property
    def words(self) -> tuple[str, ...]:
        return WORDS + tuple(f"{what}{d}" for d in range(self.dims) for what in ("taps", "tap"))


@lru_cache(maxsize=64)
def weights_text(pack: PackWeights, vector_bytes: int) -> str:
    """A module with the kernel `weights`: a task packs some channels of all panels."""
    b = Builder(vector_bytes)
    with b.kernel("weights") as frame:
        w = {name: b.word(i) for i, name in enumerate(pack.words)}
        with b.loop(frame.begin, frame.end) as task:
            group, chunk = divided(b, task.index, w["chunks"])
            offset = b.mul(group, w["group"])
            source = b.element(b.word_pointer(0), stored(pack.source), offset)
            target = moved(b, b.word_pointer(1), b.mul(group, w["group_bytes"]))
            begin = b.mul(chunk, w["chunk"])
            end = b.smin(b.add(begin, w["chunk"]), w["channels"])
            with b.loop(begin, end) as channel, b.loop(0, w["tiles"]) as tile:
                first = first_line(b, tile.index, w)
                past = first_line(b, b.add(tile.index, 1), w)
                lines = b.sub(b.smin(past, w["lines"]), first)
                here = b.mul(channel.index, w["channel"])
                here = b.add(here, b.mul(first, w["line"]))
                there = moved(b, target, b.mul(tile.index, w["panel_bytes"]))
                row = b.mul(channel.index, w["window"])
                one_channel(b, pack, w, b.element(source, stored(pack.source), here),
                            moved(b, there, b.mul(row, pack.row_bytes)), lines)  # fmt: skip
    return b.text()


def one_channel(
    b: Builder, pack: PackWeights, w: dict[str, Value], source: Value, target: Value, lines: Value
) -> None:
    """All taps of a channel, one after the other: a row of the panel each."""
    index = b.mul(b.iota(pack.lanes), b.splat(w["line"], pack.lanes))
    masks = [b.active(b.sub(lines, v * pack.lanes), pack.lanes) for v in range(pack.vectors)]

    def taps(d: int, here: Value, there: Value) -> Value:
        """All taps along the dims from d on; where the next row of the panel lies."""
        if d == pack.dims:
            for v, mask in enumerate(masks):
                base = b.element(here, stored(pack.source), b.mul(w["line"], v * pack.lanes))
                value = b.gather_element(pack.source, base, index, mask)
                b.store(value, b.element(there, pack.element, v * pack.lanes))
            return moved(b, there, pack.row_bytes)
        with b.loop(0, w[f"taps{d}"], carry=[here, there]) as loop:
            following = taps(d + 1, *loop.carried)
            loop.next = [b.element(loop.carried[0], stored(pack.source), w[f"tap{d}"]), following]
        return loop.results[1]

    taps(0, source, target)
