"""Attention without a matrix of scores: blocks of keys against a block of queries.

Softmax goes along with the blocks (M. Milakov and N. Gimelshein, Online normalizer calculation for
softmax, 2018; T. Dao et al., FlashAttention, 2022); the derivative computes the shares again from
each query's logsumexp (attention_back.py).

A block of scores lies transposed, a row for each key and a lane for each query. So maxima and sums
are elementwise over vectors, and K and V are read where they lie: as the left operand of
K Qᵀ, as the right one of P V. Only the block of Q is packed. A task is one block of queries of one
head; results do not depend on who does it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flambeau.ir.record import frozen

from ...ir.dtype import DType
from .. import mathlib
from ..builder import Builder, Value, vector_of
from .gemm.micro import Micro, Reads, column_masks, moved, multiply
from .gemm.pack import Pack, Panel, call_pack, divided, pack_function

KEYS = 128  # of a block in the forward direction
WIDEST = 256  # elements of a query that there is room for
VECTORS = 2  # beside each other in a tile: as many times the lanes are queries of a block
INF = float("inf")


@frozen
class Attention:
    """What the code depends on. `mask`: none (''), one for all queries ('keys'), or any ('all').

    `ragged` (of queries and keys, of values): rows are no whole number of panels.
    """

    dtype: DType
    batch: int
    causal: bool
    mask: str
    ragged: tuple[bool, bool]

    @property
    def element(self) -> str:
        return "double" if self.dtype.itemsize == 8 else "float"

    def words(self, operands: tuple[str, ...]) -> tuple[str, ...]:
        """The names of a launch's words: addresses, sizes, strides in bytes, the scale."""
        strides = [f"{name}{i}" for name in operands for i in range(self.batch)]
        rows = [f"{name}_row" for name in operands]
        sizes = [f"size{i}" for i in range(self.batch)]
        return (*operands, *strides, *rows, *sizes, "mask_key", "queries", "keys", "width", "depth",
                "blocks", "scale")  # fmt: skip


FORWARD = ("query", "key", "value", "mask", "out", "sums")


def lanes_of_block(vector_bytes: int, dtype: DType) -> int:
    """How many queries are one block, and how many columns one panel."""
    return VECTORS * vector_bytes // dtype.itemsize


class Writer:
    """What both directions share: words, buffers, products, the operands of a task."""

    operands: tuple[str, ...] = FORWARD

    def __init__(self, b: Builder, spec: Attention) -> None:
        self.b, self.spec, self.element = b, spec, spec.element
        self.lanes = b.vector_bytes // spec.dtype.itemsize
        self.vector = vector_of(self.element, self.lanes)
        self.width = VECTORS * self.lanes
        self.row_bytes = self.width * spec.dtype.itemsize
        self.products = Products(b, self.element, self.lanes)

    def write(self) -> str:
        """The module."""
        b, spec = self.b, self.spec
        pack = Pack(spec.dtype, self.element, self.lanes, VECTORS, "steps")
        pack_function(b, pack, "pack_queries")
        self.functions()
        with b.kernel("attention") as frame:
            self.w = {name: self.word(i, name) for i, name in enumerate(self.names)}
            self.buffers()
            with b.loop(frame.begin, frame.end) as task:
                self.task(task.index)
        return b.text()

    @property
    def names(self) -> tuple[str, ...]:
        return self.spec.words(self.operands)

    def word(self, number: int, name: str) -> Value:
        if name in self.operands:
            return self.b.word_pointer(number)
        return self.b.word_float(number, self.element) if name == "scale" else self.b.word(number)

    def buffer(self, rows: int) -> Value:
        """Room for so many rows of one block of queries."""
        return self.b.room(rows * self.row_bytes)

    def functions(self) -> None:
        raise NotImplementedError

    def buffers(self) -> None:
        raise NotImplementedError

    def task(self, number: Value) -> None:
        raise NotImplementedError

    # -- pieces

    def heads(self, number: Value) -> dict[str, Value]:
        """Where each operand of a head begins."""
        b, w = self.b, self.w
        at = {name: w[name] for name in self.operands}
        for i in reversed(range(self.spec.batch)):
            number, index = divided(b, number, w[f"size{i}"])
            at = {name: moved(b, p, b.mul(index, w[f"{name}{i}"])) for name, p in at.items()}
        return at

    def line(self, at: dict[str, Value], name: str, number: Value) -> Value:
        """A row of an operand."""
        return moved(self.b, at[name], self.b.mul(number, self.w[f"{name}_row"]))

    def pack(self, target: Value, at: dict[str, Value], name: str, first: Value, rows: Value,
             width: Value) -> None:  # fmt: skip
        """A block of rows, transposed, with the last one repeated where there are less."""
        row = self.w[f"{name}_row"]
        here = self.line(at, name, first)
        call_pack(self.b, "pack_queries", Panel(here, target, row, row, rows, width))

    def lane(self, first: Value, v: int) -> Value:
        """The numbers of a vector's queries."""
        b = self.b
        start = b.splat(b.add(first, v * self.lanes), self.lanes)
        return b.add(start, b.iota(self.lanes))

    def place(self, buffer: Value, v: int) -> Value:
        return self.b.element(buffer, self.element, v * self.lanes)

    def spread(self, value: float | Value) -> Value:
        if isinstance(value, Value):
            return self.b.splat(value, self.lanes)
        return self.b.number(self.vector, value)

    def score(self, at: dict[str, Value], raw: Value, key: Value, first: Value, v: int,
              valid: Value) -> Value:  # fmt: skip
        """A product of a query and a key as softmax sees it: scaled, with the mask."""
        b = self.b
        x = b.mul(raw, self.spread(self.w["scale"]))
        if self.spec.mask:
            x = b.add(x, self.mask(at, key, first, v, valid))
        if self.spec.causal:
            later = b.icmp("sgt", b.splat(key, self.lanes), self.lane(first, v))
            x = b.select(later, self.spread(-INF), x)
        return x

    def mask(self, at: dict[str, Value], key: Value, first: Value, v: int, valid: Value) -> Value:
        """What the mask adds to the scores of one key."""
        b, w = self.b, self.w
        column = moved(b, at["mask"], b.mul(key, w["mask_key"]))
        if self.spec.mask == "keys":
            return b.splat(b.load(self.element, column), self.lanes)
        base = moved(b, column, b.mul(b.add(first, v * self.lanes), w["mask_row"]))
        step = b.int("sdiv", w["mask_row"], self.spec.dtype.itemsize)
        index = b.mul(b.iota(self.lanes), b.splat(step, self.lanes))
        return b.gather(self.vector, base, index, valid)

    def valid(self, rows: Value) -> list[Value]:
        """For each vector of a block its lanes that are queries."""
        return list(column_masks(self.b, VECTORS, self.lanes, rows))

    @contextmanager
    def elements(self, rows: Value, width: Value) -> Iterator[tuple[Value, Value, Value]]:
        """A walk over rows of memory: row, first column and lanes of each vector."""
        b = self.b
        with b.loop(0, rows) as row, b.loop(0, width, self.lanes) as column:
            yield row.index, column.index, b.active(b.sub(width, column.index), self.lanes)

    def spot(self, start: Value, stride: Value, row: Value, column: Value) -> Value:
        """The address of an element, so many rows of `stride` bytes on."""
        line = moved(self.b, start, self.b.mul(row, stride))
        return self.b.element(line, self.element, column)

    def clear(self, start: Value, stride: Value, rows: Value, width: Value) -> None:
        """Zeros in a block of rows."""
        with self.elements(rows, width) as (row, column, mask):
            self.b.store_masked(self.spread(0.0), self.spot(start, stride, row, column), mask)


class Products:
    """Products of matrices as internal functions, in tiles of `HEIGHTS` rows.

    `scores`: C = A B for one panel of B, which was packed. `shares`: C += Aᵀ B, where A is a block
    of scores. `turned`: C += A B, where A is one too.
    """

    PARAMS = {"c": "ptr", "c_row": "i64", "a": "ptr", "a_row": "i64", "b": "ptr", "b_row": "i64",
              "k": "i64", "rows": "i64", "columns": "i64"}  # fmt: skip

    def __init__(self, b: Builder, element: str, lanes: int) -> None:
        self.b, self.element, self.lanes = b, element, lanes
        self.heights = (8, 4, 2, 1) if b.vector_bytes == 64 else (4, 2, 1)
        self.itemsize = 8 if element == "double" else 4

    def function(self, name: str, along_k: bool, adds: bool, ragged: bool) -> None:
        """`void name(…)`: all rows, for each panel of columns; they are full unless `ragged`."""
        b = self.b
        p = {key: Value(kind, f"%{key}") for key, kind in self.PARAMS.items()}
        with b.function(name, "void", list(p.values())):
            panel_columns = VECTORS * self.lanes
            with b.loop(0, p["columns"], panel_columns) as panel:
                columns = b.smin(b.sub(p["columns"], panel.index), panel_columns)
                here = dict(p, columns=columns)
                for what in ("b", "c"):
                    here[what] = b.element(p[what], self.element, panel.index)
                self.panel(here, along_k, adds, ragged)
            b.line("ret void")

    def panel(self, p: dict[str, Value], along_k: bool, adds: bool, ragged: bool) -> None:
        """The rows of one panel: as many tiles as there are, then what is left in smaller ones."""
        b, tallest = self.b, self.heights[0]
        full = b.int("and", p["rows"], -tallest)
        with b.loop(0, full, tallest) as row:
            self.tile(p, row.index, tallest, along_k, adds, ragged)
        for height in self.heights[1:]:
            left = b.int("and", p["rows"], height)
            with b.when(b.icmp("ne", left, 0)):
                first = b.int("and", p["rows"], -2 * height)
                self.tile(p, first, height, along_k, adds, ragged)

    def tile(self, p: dict[str, Value], row: Value, height: int, along_k: bool, adds: bool,
             ragged: bool) -> None:  # fmt: skip
        b = self.b
        micro = Micro(self.element, self.lanes, height, VECTORS, along_k, ragged, False, False,
                      0, 0)  # fmt: skip
        first = moved(b, p["c"], b.mul(row, p["c_row"]))
        lines = [moved(b, first, p["c_row"], i) if i else first for i in range(height)]
        places = [b.element(line, self.element, v * self.lanes) for line in lines
                  for v in range(VECTORS)]  # fmt: skip
        masks: list[Value | None] = [None] * VECTORS
        if ragged:
            masks = list(column_masks(b, VECTORS, self.lanes, p["columns"]))
        start = [b.number(micro.vector, 0)] * len(places)
        if adds:
            start = [self.read(micro, place, masks[n % VECTORS]) for n, place in enumerate(places)]
        a = moved(b, p["a"], b.mul(row, p["a_row"] if along_k else b.i64(self.itemsize)))
        reads = Reads(a, p["b"], p["k"], p["a_row"], p["b_row"], p["columns"])
        for n, value in enumerate(multiply(b, micro, reads, start)):
            self.write(value, places[n], masks[n % VECTORS])

    def read(self, micro: Micro, place: Value, mask: Value | None) -> Value:
        b = self.b
        return b.load(micro.vector, place) if mask is None else (
            b.load_masked(micro.vector, place, mask))  # fmt: skip

    def write(self, value: Value, place: Value, mask: Value | None) -> None:
        if mask is None:
            self.b.store(value, place)
        else:
            self.b.store_masked(value, place, mask)

    def call(self, name: str, *values: Value | int) -> None:
        self.b.invoke(name, *(self.b.i64(v) if isinstance(v, int) else v for v in values))


class Forward(Writer):
    """The result, and each query's logsumexp: +inf for one that sees nothing."""

    def functions(self) -> None:
        self.products.function("scores", along_k=True, adds=False, ragged=False)
        self.products.function("shares", along_k=False, adds=True, ragged=self.spec.ragged[1])

    def buffers(self) -> None:
        self.packed = self.buffer(WIDEST)
        self.scores = self.buffer(KEYS)
        self.factors = self.buffer(1)

    def task(self, number: Value) -> None:
        b, w = self.b, self.w
        head, block = divided(b, number, w["blocks"])
        at = self.heads(head)
        first = b.mul(block, self.width)
        rows = b.smin(b.sub(w["queries"], first), self.width)
        out = self.line(at, "out", first)
        self.pack(self.packed, at, "query", first, rows, w["width"])
        self.clear(out, w["out_row"], rows, w["depth"])
        end = b.smin(w["keys"], b.add(first, rows)) if self.spec.causal else w["keys"]
        valid = self.valid(rows)
        start = [self.spread(-INF)] * VECTORS + [self.spread(0.0)] * VECTORS
        with b.loop(0, end, KEYS, carry=start) as keys:
            count = b.smin(b.sub(end, keys.index), KEYS)
            row = b.i64(self.row_bytes)
            self.products.call("scores", self.scores, row, self.line(at, "key", keys.index),
                               w["key_row"], self.packed, row, w["width"], count,
                               self.width)  # fmt: skip
            tops, totals = keys.carried[:VECTORS], keys.carried[VECTORS:]
            keys.next = self.softmax(at, keys.index, count, first, valid, tops, totals)
            with b.when(b.icmp("ne", keys.index, 0)):
                self.rescale(out, rows)
            self.products.call("shares", out, w["out_row"], self.scores, row,
                               self.line(at, "value", keys.index), w["value_row"], count, rows,
                               w["depth"])  # fmt: skip
        self.finish(at, out, first, rows, valid, keys.results)

    def softmax(self, at: dict[str, Value], key0: Value, count: Value, first: Value,
                valid: list[Value], tops: list[Value], totals: list[Value]
                ) -> list[Value]:  # fmt: skip
        """A block of scores becomes shares, up to a factor; the new maxima and sums."""
        b = self.b
        with b.loop(0, count, carry=tops) as key:
            line = moved(b, self.scores, b.mul(key.index, self.row_bytes))
            for v, top in enumerate(key.carried):
                place = self.place(line, v)
                raw, number = b.load(self.vector, place), b.add(key0, key.index)
                x = self.score(at, raw, number, first, v, valid[v])
                b.store(x, place)
                key.next.append(b.select(b.fcmp("ogt", x, top), x, top))
        found = key.results
        shifts = [self.shift(top) for top in found]
        for v, (old, shift) in enumerate(zip(tops, shifts, strict=True)):
            factor = mathlib.exp(b, b.sub(old, shift))
            b.store(factor, self.place(self.factors, v))
            totals = [*totals[:v], b.mul(totals[v], factor), *totals[v + 1 :]]
        with b.loop(0, count, carry=totals) as key:
            line = moved(b, self.scores, b.mul(key.index, self.row_bytes))
            for v, (total, shift) in enumerate(zip(key.carried, shifts, strict=True)):
                place = self.place(line, v)
                share = mathlib.exp(b, b.sub(b.load(self.vector, place), shift))
                b.store(share, place)
                key.next.append(b.add(total, share))
        return [*found, *key.results]

    def shift(self, top: Value) -> Value:
        """What is taken off scores: their maximum, unless nothing is seen."""
        return self.b.select(self.b.fcmp("oeq", top, -INF), self.spread(0.0), top)

    def rescale(self, out: Value, rows: Value) -> None:
        """Each row of the result times its factor."""
        b, w = self.b, self.w
        with self.elements(rows, w["depth"]) as (row, column, mask):
            factor = b.load(self.element, b.element(self.factors, self.element, row))
            place = self.spot(out, w["out_row"], row, column)
            value = b.mul(b.load_masked(self.vector, place, mask), self.spread(factor))
            b.store_masked(value, place, mask)

    def finish(self, at: dict[str, Value], out: Value, first: Value, rows: Value,
               valid: list[Value], state: list[Value]) -> None:  # fmt: skip
        b = self.b
        sums = b.element(at["sums"], self.element, first)
        for v, (top, total) in enumerate(zip(state[:VECTORS], state[VECTORS:], strict=True)):
            nothing = b.fcmp("oeq", total, 0.0)
            factor = b.fdiv(self.spread(1.0), total)
            b.store(b.select(nothing, self.spread(0.0), factor), self.place(self.factors, v))
            whole = b.add(self.shift(top), mathlib.log_(b, total))
            whole = b.select(nothing, self.spread(INF), whole)
            b.store_masked(whole, self.place(sums, v), valid[v])
        self.rescale(out, rows)


def forward_text(spec: Attention, b: Builder) -> str:
    """The module with the kernel `attention`; words: `spec.words(FORWARD)`."""
    return Forward(b, spec).write()
