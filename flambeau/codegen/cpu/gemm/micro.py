"""The innermost loop of matrix multiplication: a tile of C that stays in vector registers.

B's rows are read as vectors, A's elements one by one and broadcast. Nothing is assumed about
packing: a packed panel is only another pair of strides. Each element of C is one chain of fused
multiply-adds in the order of k, so its bits do not depend on the tile that it falls into.
"""

from __future__ import annotations

from flambeau.ir.record import frozen

from ...builder import Builder, Value, vector_of
from .spec import machine_of as machine_of

LINE = 64  # bytes that are fetched together
ROWS_A_BASE = 14  # rows of A that are addressed from one pointer


@frozen
class Micro:
    """A micro-kernel: everything that changes its code.

    `along_k`: rows of A are contiguous; otherwise columns are, as in a transposed matrix and in a
    packed panel. `ragged`: the last panel of B is narrower than a tile; `packed`: B is nevertheless
    read in full vectors, for it was packed. `keeps`: sums may start from, and end in, memory.
    `ahead_a`, `ahead_b`: how many steps ahead operands are fetched, 0 where the processor does
    that well by itself.
    """

    element: str  # 'float' or 'double'
    lanes: int
    height: int
    vectors: int
    along_k: bool
    ragged: bool
    packed: bool
    keeps: bool
    ahead_a: int
    ahead_b: int

    def heights(self, uneven: bool) -> tuple[int, ...]:
        """Of the tiles: where they are uneven, some have a row less."""
        return (self.height, self.height - 1)[: 2 if uneven else 1]

    @property
    def itemsize(self) -> int:
        return 4 if self.element == "float" else 8

    @property
    def vector(self) -> str:
        return vector_of(self.element, self.lanes)

    @property
    def columns(self) -> int:
        return self.vectors * self.lanes

    @property
    def tile_bytes(self) -> int:
        return self.height * self.columns * self.itemsize

    @property
    def unroll(self) -> int:
        return 1 if self.along_k else 2

    @property
    def cells(self) -> list[tuple[int, int]]:
        return [(i, j) for i in range(self.height) for j in range(self.vectors)]


@frozen
class Reads:
    """What a micro-kernel reads: both operands' first elements, and strides in bytes.

    `stride` is A's from row to row (along k) or from step to step, `step` B's from row to row;
    `columns` counts those of the tile that B has.
    """

    a: Value
    b: Value
    k: Value
    stride: Value
    step: Value
    columns: Value


def multiply(b: Builder, micro: Micro, reads: Reads, start: list[Value]) -> list[Value]:
    """The tile's sums, row by row, after all steps along k; `start` is what they start from."""
    rows = RowPointers(b, micro, reads)
    state = [*rows.start, reads.b, *start]
    for turns, steps, masks in parts_of_k(b, micro, reads):
        with b.loop(0, turns, carry=state) as loop:
            a, (here, *sums) = loop.carried[: rows.count], loop.carried[rows.count :]
            for step in range(steps):
                sums = one_step(b, micro, reads, rows, a, here, step, masks, sums)
            loop.next = [*rows.moved(a, steps), moved(b, here, reads.step, steps), *sums]
        state = loop.results
    return state[rows.count + 1 :]


Part = tuple[Value, int, list[Value | None]]


def parts_of_k(b: Builder, micro: Micro, reads: Reads) -> list[Part]:
    """The loops over k: turns, the steps of each, and the masks for vectors of B.

    Of a narrow panel only the last rows need masks, which cost as much as a multiplication: what
    lies behind the others is still B's, or between its rows.
    """
    k, unroll = reads.k, micro.unroll
    whole: list[Value | None] = [None] * micro.vectors
    if micro.packed or not micro.ragged:
        main: Part = (b.int("udiv", k, unroll), unroll, whole)
        return [main] if unroll == 1 else [main, (b.int("urem", k, unroll), 1, whole)]
    missing = b.mul(b.sub(b.i64(micro.columns), reads.columns), micro.itemsize)
    last = b.int("udiv", b.add(missing, b.sub(reads.step, 1)), b.smax(reads.step, 1))
    last = b.select(b.icmp("sgt", reads.step, 0), b.smin(last, k), k)
    turns = b.int("udiv", b.sub(k, last), unroll)
    masks: list[Value | None] = list(column_masks(b, micro.vectors, micro.lanes, reads.columns))
    return [(turns, unroll, whole), (b.sub(k, b.mul(turns, unroll)), 1, masks)]


def column_masks(b: Builder, vectors: int, lanes: int, columns: Value) -> list[Value]:
    """One mask for each vector of a row: its lanes that lie left of `columns`."""
    count = b.op(f"trunc i64 {columns} to i32", "i32")
    limit, lane = b.splat(count, lanes), b.iota(lanes, "i32")
    return [b.icmp("slt", b.add(lane, v * lanes) if v else lane, limit) for v in range(vectors)]


def moved(b: Builder, pointer: Value, stride: Value | int, times: int = 1) -> Value:
    """The address `times` strides (in bytes) on."""
    offset = b.mul(stride, times) if isinstance(stride, Value) and times != 1 else stride
    offset = offset if isinstance(offset, Value) else b.i64(offset * times)
    return b.element(pointer, "i8", offset)


class RowPointers:
    """How the elements of A's column under work are addressed."""

    def __init__(self, b: Builder, micro: Micro, reads: Reads) -> None:
        self.b, self.micro, self.stride = b, micro, reads.stride
        self.start = [reads.a]
        if micro.along_k:
            self.start += [
                moved(b, reads.a, self.stride, row)
                for row in range(ROWS_A_BASE, micro.height, ROWS_A_BASE)
            ]
            self.odd = {row: self.opaque(row) for row in range(1, min(micro.height, 14), 2)}
        self.count = len(self.start)

    def opaque(self, times: int) -> Value:
        """A multiple of the row stride that LLVM may not take for one.

        It would address each row from the one before, with an addition and a dependence each.
        """
        return self.b.op(f"freeze i64 {self.b.mul(self.stride, times)}", "i64")

    def moved(self, a: list[Value], steps: int) -> list[Value]:
        stride = self.b.i64(self.micro.itemsize) if self.micro.along_k else self.stride
        return [moved(self.b, pointer, stride, steps) for pointer in a]

    def address(self, a: list[Value], row: int, step: int) -> Value:
        """Where A[row, step] lies, steps counted from the pointers `a`."""
        b, micro = self.b, self.micro
        if not micro.along_k:
            return b.element(moved(b, a[0], self.stride, step), micro.element, row)
        base, row = a[row // ROWS_A_BASE], row % ROWS_A_BASE
        if row == 0:
            return b.element(base, micro.element, step)
        shift = (row & -row).bit_length() - 1
        offset = b.int("shl", self.odd[row >> shift], shift)
        return b.element(moved(b, base, offset), micro.element, step)


def one_step(
    b: Builder,
    micro: Micro,
    reads: Reads,
    rows: RowPointers,
    a: list[Value],
    here: Value,
    step: int,
    masks: list[Value | None],
    sums: list[Value],
) -> list[Value]:
    """The sums with one column of A times one row of B added."""
    row = moved(b, here, reads.step, step)
    fetch_ahead(b, micro, reads, moved(b, a[0], reads.stride, step), row)
    vectors = []
    for v, mask in enumerate(masks):
        place = b.element(row, micro.element, v * micro.lanes)
        if mask is None:
            vectors.append(b.load(micro.vector, place))
        else:
            vectors.append(b.load_masked(micro.vector, place, mask))
    out = list(sums)
    for i in range(micro.height):
        scalar = b.load(micro.element, rows.address(a, i, step))
        spread = b.splat(scalar, micro.lanes)
        for j, vector in enumerate(vectors):
            at = i * micro.vectors + j
            out[at] = b.fma(spread, vector, sums[at])
    return out


def fetch_ahead(b: Builder, micro: Micro, reads: Reads, a: Value, row: Value) -> None:
    """Ask for what is read some steps later."""
    if micro.ahead_a:
        ahead = moved(b, a, reads.stride, micro.ahead_a)
        for at in range(0, micro.height * micro.itemsize, LINE):
            fetch(b, b.element(ahead, "i8", at))
    if micro.ahead_b:
        ahead = moved(b, row, reads.step, micro.ahead_b)
        for at in range(0, micro.columns * micro.itemsize, LINE):
            fetch(b, b.element(ahead, "i8", at))


def fetch(b: Builder, place: Value, write: bool = False) -> None:
    """Ask for a line of memory that is used soon; beyond an array this does nothing."""
    b.declare("llvm.prefetch.p0", "void", ["ptr", "i32", "i32", "i32"])
    b.line(f"call void @llvm.prefetch.p0(ptr {place}, i32 {int(write)}, i32 3, i32 1)")
