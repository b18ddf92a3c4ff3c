"""A float as a sum of bfloat16, so that tile registers multiply it (Henry, Tang, Heinecke 2019).

    a = a0 + a1 + a2        8 + 8 + 8 bits, each rounded from what the ones before leave: exact
    a·b ≈ a0·b2 + a0·b1 + a1·b1 + a1·b0 + a0·b0 + a2·b0

Left out are products under 2⁻²⁴ of a·b, which is what rounding a·b to float32 may cost. Tile
registers take numbers under 2⁻¹²⁶ for zero, and so do these products. A number that is not finite
has a second piece that is none either: every sum that it goes into says so by being NaN, and is
computed again (`amx.again_function`). One that rounds to infinity, over 3.38e38, is taken for it.
"""

from __future__ import annotations

import math

from ....ir import dtype as types
from ....ir.dtype import DType
from ...builder import Builder, Value

PIECES = {types.bfloat16: 1, types.float16: 2, types.float32: 3}
TERMS = ((0, 2), (0, 1), (1, 1), (1, 0), (0, 0), (2, 0))  # from one to the next one operand changes
HIGH, HALF = -0x10000, 0x8000  # the bits that a bfloat16 has of a float32; half of its last one


def terms_of(a: DType, b: DType) -> tuple[tuple[int, int], ...]:
    """Which pieces of A and of B are multiplied."""
    return tuple((i, j) for i, j in TERMS if i < PIECES[a] and j < PIECES[b])


def pieces_of(b: Builder, x: Value, count: int) -> list[Value]:
    """The pieces of a float32 or a vector of them: their bits in the high half of an i32."""
    pieces = []
    for _ in range(count - 1):
        bits = b.int("add", b.convert("bitcast", x, "i32"), HALF)
        pieces.append(b.int("and", bits, HIGH))
        x = b.sub(x, b.convert("bitcast", pieces[-1], "float"))
    return [*pieces, b.convert("bitcast", x, "i32")]


def whole_of(b: Builder, pieces: list[Value]) -> Value:
    """The sum of pieces. Where the second is NaN the first is infinite, or the number was NaN."""
    first, *rest = (b.convert("bitcast", piece, "float") for piece in pieces)
    if not rest:
        return first
    total = first
    for piece in rest:
        total = b.add(total, piece)
    infinite = b.fcmp("oeq", b.intrinsic("fabs", first), math.inf)
    return b.select(infinite, first, total)
