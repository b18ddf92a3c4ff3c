"""Packs whole operands by launches of their own, before the product."""

from __future__ import annotations

from functools import lru_cache

from flambeau.ir.record import frozen

from ...values import computed
from .cut import ceil
from .pack import Pack, pack_text, pack_words
from .spec import Launch, Machine, Matmul, Shape
from .words import Operand, Words, ordered

PACK_STEPS = 256  # steps along k that one packing task does
PACK_GROUP, STRIPE = 16, 16  # panels and steps packed together where lines are contiguous

pack_source = lru_cache(maxsize=256)(pack_text)


@frozen
class Lines:
    """How an operand's lines are cut into panels: `full` ones of `height` lines, then one less."""

    count: int
    height: int
    full: int
    panels: int


class Packing:
    """The launches that pack whole operands, and the scratch memory that they fill."""

    def __init__(self, matmul: Matmul, shape: Shape, machine: Machine) -> None:
        self.element, self.shape, self.machine = matmul.element, shape, machine
        self.launches: list[Launch] = []
        self.scratch = 0

    def add(self, operand: Operand, lines: Lines) -> Operand:
        """Pack an operand, and answer where it lies then."""
        lanes = self.machine.vector_bytes // self.element.itemsize
        vectors = ceil(lines.height, lanes)
        pack = Pack(operand.dtype, computed(self.element), lanes, vectors, operand.order)
        values = self.words(operand, lines, pack)
        panel = values["panel_bytes"]
        strides: list[int] = []
        tasks, used = values["groups"] * values["chunks"], lines.panels * panel
        for i, size in reversed(list(enumerate(self.shape.batch))):
            size = size if operand.batch[i] else 1
            strides.insert(0, used if operand.batch[i] else 0)
            values |= {f"size{i}": size, f"from{i}": operand.batch[i], f"to{i}": used}
            tasks, used = tasks * size, used * size
        where = ("scratch", self.scratch)
        named: Words = {"source": operand.where, "target": where, **values}
        batch = len(self.shape.batch)
        text = pack_source(pack, batch, self.machine.vector_bytes)
        self.launches.append(Launch(text, "pack", ordered(pack_words(batch), named), tasks))
        self.scratch += used
        return Operand(where, self.element, 0, pack.row_bytes, tuple(strides), used, panel)

    def words(self, operand: Operand, lines: Lines, pack: Pack) -> dict[str, int]:
        """The numbers that a packing launch needs, apart from the batch's."""
        k = self.shape.k
        beside = operand.order == "lines"
        most = PACK_STEPS // 4 if beside else PACK_STEPS
        chunk = ceil(min(max(1, k), most), pack.lanes) * pack.lanes
        group = min(lines.panels, PACK_GROUP) if beside else 1
        return {
            "lines": lines.count, "k": k, "line": operand.line, "step": operand.step,
            "full": lines.full, "height": lines.height, "panels": lines.panels,
            "panel_bytes": ceil(k, pack.lanes) * pack.lanes * pack.row_bytes,
            "chunk": chunk, "chunks": ceil(k, chunk),
            "group": group, "groups": ceil(lines.panels, group),
            "stripe": STRIPE if beside else chunk,
        }  # fmt: skip
