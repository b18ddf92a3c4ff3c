"""Epilogues: which calls are worth doing where a product stores its result.

    %3 = mm(%0, %1)                   stored in any case: a sum over rows reads it
    %4 = sum(%3, dim=0)
    %5 = mul(%3, %2)                  better done by the kernel that sums it up, from %3
    %6 = sum(%5, dim=1)
    %7 = sub(%3, %6)

A call of an epilogue spares a kernel, or the memory of what it reads. One that spares neither, as
its operands are stored anyway and its result is summed up elsewhere, would only be stored beside
them, to be read again.
"""

from __future__ import annotations

from collections.abc import Iterable

from flambeau.compiler.clusters import Cluster, is_matmul, reduced_dims
from flambeau.ir.program import Call, Program


def is_tree(call: Call) -> bool:
    """Whether a call works element by element, alone or in a sum."""
    return call.op.kind in ("elementwise", "reduction") and call.native()


class Epilogues:
    """Of each value: the products that it is made from, and what becomes of it.

    Sets of products are numbers whose bits they are. `near`: those that it follows element by
    element; `after`: those that come before some sum or other product that it is made from.
    """

    def __init__(self, program: Program, homes: dict[int, int]) -> None:
        self.near: dict[int, int] = {}
        self.after: dict[int, int] = {}
        self.bit: dict[int, int] = {}  # result of a product → its bit
        for call in program.calls:
            self.follow(call)
        wanted = {homes[v] for v in program.live}
        self.needed = {v for v in homes if homes[v] in wanted}  # in memory, whatever is fused
        self.lasting: dict[int, int] = {}  # products whose epilogue may be the way into memory
        self.summed: set[int] = set()  # summed up, perhaps after more that is done to it
        self.beside: dict[int, int] = {}  # products after which somebody reads it from memory
        if self.bit:
            for call in reversed(program.calls):
                self.trace(call)

    def follow(self, call: Call) -> None:
        values = [ref.value for ref in call.refs()]
        near, after = merged(self.near, values), merged(self.after, values)
        for out in call.outs:
            if is_matmul(call) and call.native():
                self.bit[out.value] = near_here = 1 << len(self.bit)
                self.near[out.value], self.after[out.value] = near_here, near | after
            elif call.op.kind == "elementwise" and is_tree(call):
                self.near[out.value], self.after[out.value] = near, after
            else:
                self.near[out.value], self.after[out.value] = 0, near | after

    def trace(self, call: Call) -> None:
        """What a call's operands are for, once that is known of its results."""
        elementwise = is_tree(call) and call.op.kind == "elementwise" and not call.op.picks
        for out in call.outs:
            if out.over is not None:
                self.needed |= {out.value, out.over}
            if out.value in self.needed:
                mine = self.near[out.value] & ~self.after[out.value]
                self.lasting[out.value] = self.lasting.get(out.value, 0) | mine
        lasting = merged(self.lasting, [out.value for out in call.outs])
        summed = any(out.value in self.summed for out in call.outs)
        after = merged(self.after, [out.value for out in call.outs])
        for ref in call.refs():
            if elementwise:
                self.lasting[ref.value] = self.lasting.get(ref.value, 0) | lasting
                self.beside[ref.value] = self.beside.get(ref.value, 0) | after
                self.summed |= {ref.value} if summed else set()
            elif is_tree(call) and call.op.kind == "reduction" and reduced_dims(call):
                self.beside[ref.value] = -1
                self.summed.add(ref.value)
            else:
                self.needed.add(ref.value)

    def worth(self, cluster: Cluster, call: Call) -> bool:
        """Whether a call gains something by being done in a product's epilogue."""
        product = self.bit[cluster.members[0].call.outs[0].value]
        if any(self.lasting.get(out.value, 0) & product or out.value not in self.summed
               for out in call.outs):  # fmt: skip
            return True
        return not all(self.stored(ref.value, product) for ref in call.refs()
                       if ref.value in cluster.made)  # fmt: skip

    def stored(self, value: int, product: int) -> bool:
        """Whether a value lies in memory even where its product has no epilogue."""
        return value in self.needed or bool(self.beside.get(value, 0) & product)


def merged(sets: dict[int, int], values: Iterable[int]) -> int:
    """All that some value has."""
    found = 0
    for value in values:
        found |= sets.get(value, 0)
    return found
