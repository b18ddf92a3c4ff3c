"""The derivative of attention: shares are computed again, from each query's logsumexp.

T. Dao et al., FlashAttention, 2022. With P = exp(S - logsumexp) and D = Σ out · g of each query,

    dV = Pᵀ g,   dS = P (g Vᵀ - D),   dQ = scale · dS K,   dK = scale · dSᵀ Q.

A task is a stretch of keys of one head, with all queries that see them: its dK and dV are its own.
Where a head's keys are one stretch, so is its dQ; else each stretch has one, and they are added.
"""

from __future__ import annotations

from .. import mathlib
from ..builder import Builder, Value
from .attention import VECTORS, WIDEST, Attention, Writer
from .gemm.micro import moved
from .gemm.pack import divided

KEYS = 64  # of a block: scores and their derivative stay in the first cache
BACKWARD = ("query", "key", "value", "mask", "grad", "out", "sums", "dquery", "dkey", "dvalue")
PARTS = ("dquery", "parts")


class Backward(Writer):
    """dQ, dK and dV of one stretch of keys after another."""

    operands = BACKWARD

    @property
    def names(self) -> tuple[str, ...]:
        return (*super().names, "stretch", "part")

    def functions(self) -> None:
        narrow, deep = self.spec.ragged
        self.products.function("scores", along_k=True, adds=False, ragged=False)
        self.products.function("shares", along_k=False, adds=True, ragged=narrow)
        self.products.function("turned", along_k=True, adds=True, ragged=narrow)
        if deep != narrow:
            self.products.function("turned_values", along_k=True, adds=True, ragged=deep)

    def buffers(self) -> None:
        self.queries, self.grads = self.buffer(WIDEST), self.buffer(WIDEST)
        self.scores, self.slopes = self.buffer(KEYS), self.buffer(KEYS)
        self.means = self.buffer(1)

    def task(self, number: Value) -> None:
        """`blocks` counts the stretches of keys; a stretch has its own dQ `part` bytes on."""
        b, w = self.b, self.w
        head, block = divided(b, number, w["blocks"])
        at = self.heads(head)
        at["dquery"] = moved(b, at["dquery"], b.mul(block, w["part"]))
        begin = b.mul(block, w["stretch"])
        end = b.smin(w["keys"], b.add(begin, w["stretch"]))
        count = b.sub(end, begin)
        self.clear(at["dquery"], w["dquery_row"], w["queries"], w["width"])
        self.clear(self.line(at, "dkey", begin), w["dkey_row"], count, w["width"])
        self.clear(self.line(at, "dvalue", begin), w["dvalue_row"], count, w["depth"])
        blind = b.sub(begin, b.int("urem", begin, self.width))  # whom no key of these is shown
        with b.loop(blind if self.spec.causal else 0, w["queries"], self.width) as query:
            rows = b.smin(b.sub(w["queries"], query.index), self.width)
            self.queries_against(at, query.index, rows, begin, end)

    def queries_against(self, at: dict[str, Value], first: Value, rows: Value, begin: Value,
                        end: Value) -> None:  # fmt: skip
        """One block of queries against the blocks of a stretch of keys."""
        b, w = self.b, self.w
        self.pack(self.queries, at, "query", first, rows, w["width"])
        self.pack(self.grads, at, "grad", first, rows, w["depth"])
        self.average(at, first, rows)
        valid = self.valid(rows)
        sums = b.element(at["sums"], self.element, first)
        wholes = [b.load_masked(self.vector, self.place(sums, v), valid[v]) for v in range(VECTORS)]
        means = [b.load(self.vector, self.place(self.means, v)) for v in range(VECTORS)]
        end = b.smin(end, b.add(first, rows)) if self.spec.causal else end
        with b.loop(begin, end, KEYS) as keys:
            count = b.smin(b.sub(end, keys.index), KEYS)
            self.block_of_scores(self.scores, at, "key", keys.index, self.queries, w["width"],
                                 count)  # fmt: skip
            self.block_of_scores(self.slopes, at, "value", keys.index, self.grads, w["depth"],
                                 count)  # fmt: skip
            self.slope(at, keys.index, count, first, valid, wholes, means)
            self.add(at, keys.index, count, first, rows)

    def block_of_scores(self, target: Value, at: dict[str, Value], name: str, key: Value,
                        packed: Value, width: Value, count: Value) -> None:  # fmt: skip
        """K Qᵀ, or V gᵀ, of a block of keys."""
        row = self.b.i64(self.row_bytes)
        self.products.call("scores", target, row, self.line(at, name, key), self.w[f"{name}_row"],
                           packed, row, width, count, self.width)  # fmt: skip

    def average(self, at: dict[str, Value], first: Value, rows: Value) -> None:
        """D of each query of a block."""
        b, w = self.b, self.w
        with b.loop(0, rows) as row:
            query = b.add(first, row.index)
            out, grad = self.line(at, "out", query), self.line(at, "grad", query)
            with b.loop(0, w["depth"], self.lanes, carry=[self.spread(0.0)]) as column:
                mask = b.active(b.sub(w["depth"], column.index), self.lanes)
                x, g = (b.load_masked(self.vector, b.element(p, self.element, column.index), mask)
                        for p in (out, grad))  # fmt: skip
                column.next = [b.fma(x, g, column.carried[0])]
            total = self.total(column.results[0])
            b.store(total, b.element(self.means, self.element, row.index))

    def total(self, x: Value) -> Value:
        """The sum of the lanes, by halves."""
        b, lanes = self.b, self.lanes
        while lanes > 1:
            half = [(lane + lanes // 2) % lanes for lane in range(self.lanes)]
            x, lanes = b.add(x, b.shuffle(x, x, half)), lanes // 2
        return b.extract(x, 0)

    def slope(self, at: dict[str, Value], key0: Value, count: Value, first: Value,
              valid: list[Value], wholes: list[Value], means: list[Value]) -> None:  # fmt: skip
        """Scores become shares, and g Vᵀ the derivative by the products of queries and keys."""
        b = self.b
        scale = self.spread(self.w["scale"])
        with b.loop(0, count) as key:
            offset = b.mul(key.index, self.row_bytes)
            shares, slopes = moved(b, self.scores, offset), moved(b, self.slopes, offset)
            for v in range(VECTORS):
                share, slope = self.place(shares, v), self.place(slopes, v)
                raw, number = b.load(self.vector, share), b.add(key0, key.index)
                x = self.score(at, raw, number, first, v, valid[v])
                p = mathlib.exp(b, b.sub(x, wholes[v]))
                b.store(p, share)
                d = b.sub(b.load(self.vector, slope), means[v])
                b.store(b.mul(b.mul(p, d), scale), slope)

    def add(self, at: dict[str, Value], key: Value, count: Value, first: Value,
            rows: Value) -> None:  # fmt: skip
        """What a block of queries and a block of keys contribute to all three."""
        w, row = self.w, self.b.i64(self.row_bytes)
        narrow, deep = self.spec.ragged
        values = "turned" if deep == narrow else "turned_values"
        for name, a, target, source, columns in (
            (values, self.scores, "dvalue", "grad", "depth"),
            ("turned", self.slopes, "dkey", "query", "width"),
        ):
            self.products.call(name, self.line(at, target, key), w[f"{target}_row"], a, row,
                               self.line(at, source, first), w[f"{source}_row"], rows, count,
                               w[columns])  # fmt: skip
        self.products.call("shares", self.line(at, "dquery", first), w["dquery_row"], self.slopes,
                           row, self.line(at, "key", key), w["key_row"], count, rows,
                           w["width"])  # fmt: skip


class Parts(Writer):
    """dQ of the heads whose keys were several stretches: the sum of theirs, in their order."""

    operands = PARTS

    @property
    def names(self) -> tuple[str, ...]:
        return (*super().names, "part")

    def functions(self) -> None:
        """Sums need no products."""

    def buffers(self) -> None:
        """Nor memory."""

    def task(self, number: Value) -> None:
        b, w = self.b, self.w
        head, block = divided(b, number, w["blocks"])
        at = self.heads(head)
        first = b.mul(block, self.width)
        rows = b.smin(b.sub(w["queries"], first), self.width)
        with self.elements(rows, w["width"]) as (row, column, mask):
            query = b.add(first, row)
            source = self.spot(at["parts"], w["parts_row"], query, column)
            with b.loop(0, w["keys"], carry=[self.spread(0.0)]) as part:
                place = moved(b, source, b.mul(part.index, w["part"]))
                part.next = [b.add(part.carried[0], b.load_masked(self.vector, place, mask))]
            target = self.spot(at["dquery"], w["dquery_row"], query, column)
            b.store_masked(part.results[0], target, mask)


def parts_text(spec: Attention, b: Builder) -> str:
    """The module with the kernel `attention`; words: those of Parts, where `keys` counts parts."""
    return Parts(b, spec).write()


def backward_text(spec: Attention, b: Builder) -> str:
    """The module with the kernel `attention`; words: `spec.words(BACKWARD)`, 'stretch', 'part'."""
    return Backward(b, spec).write()


__all__ = ["BACKWARD", "KEYS", "PARTS", "backward_text", "parts_text"]
