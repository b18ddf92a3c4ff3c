"""Trees: what the members of a cluster do to one element.

    %5 = sub(%0, %3)                      r0 = sum(exp(x0 - x1))       pass 0
    %6 = exp(%5)                     →    x2 = exp(x0 - x1) / r0       pass 1
    %7 = sum(%6, dim=1)
    %8 = true_divide(%6, %7)

Values that are made here are written out where they are read, in each pass anew, unless that is
dear: then they are read back from where an earlier pass put them.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from flambeau.codegen.scalar import k
from flambeau.compiler.clusters import Cluster, Fused, Member
from flambeau.compiler.scheduled import Operand, Scalar
from flambeau.compiler.simplify import Constant
from flambeau.compiler.turns import shares_of
from flambeau.ir import dtype as dt
from flambeau.ir.dtype import DType
from flambeau.ir.kernel import Reduce
from flambeau.ir.layout import Ints
from flambeau.ir.program import POSITIONS, Number, Ref, Size
from flambeau.ir.record import field, record
from flambeau.ir.tree import Argument, Index, Load, Pick, Result, Tree
from flambeau.ir.tree import Number as number_tree


@record
class Writer:
    """Collects accesses, numbers and stages while trees are made."""

    cluster: Cluster
    fused: Fused
    stored: set[int]  # values that must reach memory
    loops: list[tuple[int, ...]] = field(default_factory=list)  # dims of the domain, loop by loop
    mode: str = "map"
    turns: bool = False  # whether the last loop is two, between which some accesses take turns
    operands: list[Operand] = field(default_factory=list)
    dtypes: list[DType] = field(default_factory=list)
    scalars: list[Scalar] = field(default_factory=list)
    trees: dict[tuple[int, int], Tree] = field(default_factory=dict)
    stage_of: dict[int, int] = field(default_factory=dict)
    results: dict[int, int] = field(default_factory=dict)  # value of a reduction → result number
    kept: dict[int, tuple[int, int]] = field(default_factory=dict)  # value → (stage, access)

    # ---------------------------------------------------------------- leaves

    def access(self, home: int | None, offset: Any, dtype: DType, strides: Ints,
               nbytes: int = 0) -> int:  # fmt: skip
        """The number of an access, over the nest's loops."""
        over, turns = strides, None
        if home is not None:
            over = self.over_loops(strides)
            turns = shares_of(strides, self.loops[-1], self.cluster.domain) if self.turns else None
        if turns is None:
            operand = Operand(home, offset, dtype, over, nbytes)
        else:
            operand = Operand(home, offset, dtype, (*over[:-1], turns[0]), 0, *turns[1:])
        if home is not None and operand in self.operands:
            return self.operands.index(operand)
        self.operands.append(operand)
        return len(self.operands) - 1

    def over_loops(self, strides: Ints) -> Ints:
        """Strides over the domain → over the loops: the innermost real dim of each loop counts."""
        found = []
        for dims in self.loops:
            real = [d for d in dims if self.cluster.domain[d] != 1]
            found.append(strides[real[-1]] if real else 0)
        return tuple(found)

    def scalar(self, source: Number | float | int, dtype: DType) -> Tree:
        entry = Scalar(source, dtype)
        if entry not in self.scalars:
            self.scalars.append(entry)
        return Argument(self.scalars.index(entry), dtype)

    # ---------------------------------------------------------------- trees

    def read(self, ref: Ref, strides: Ints, stage: int) -> Tree:
        """What a member reads: a number, something made here, or memory."""
        if ref.value == POSITIONS:
            return self.positions(ref, strides)
        constant = self.fused.constants.get(ref.value)
        made = self.cluster.made.get(ref.value)
        if made is not None:
            return self.value(made[0], ref.value, stage)
        if constant is not None:
            return self.constant(constant)
        home = self.fused.homes[ref.value]
        return Load(self.access(home, ref.layout.offset, ref.dtype, strides), ref.dtype)

    def constant(self, constant: Constant) -> Tree:
        wide = dt.compute_dtype(constant.dtype)
        tree = self.number(constant.number, wide)
        return k.cast(tree, constant.dtype)

    def number(self, number: Any, dtype: DType) -> Tree:
        if isinstance(number, Number):
            if dtype is dt.bool_:
                own = dt.float64 if number.type is float else dt.int64
                return k.ne(self.scalar(number, own), 0)
            if dtype.kind in "iu" and number.type is float:
                return k.cast(self.scalar(number, dt.float64), dtype)
            return self.scalar(number, dtype)
        return number_tree(number, dtype)

    def value(self, member: Member, value: int, stage: int) -> Tree:
        """A value of this cluster, as seen in a stage."""
        kept = self.kept.get(value)
        if kept is not None and stage > kept[0]:
            return Load(kept[1], self.operands[kept[1]].dtype)
        key = (value, stage)
        if key not in self.trees:
            self.trees[key] = self.make(member, stage)
        return self.trees[key]

    def make(self, member: Member, stage: int) -> Tree:
        call = member.call
        out = call.outs[0]
        if member.level == "reduce":
            return self.result(member)
        reads = iter(member.reads)
        compute = None if call.op.own_types else call.compute or out.dtype
        args = [self.picked(next(reads))] if call.op.picks else []
        args += [self.argument(arg, reads, compute, stage) for arg in call.args[len(args) :]]
        tree = call.op.scalar(k, *args)  # type: ignore[misc]
        if not isinstance(tree, Tree):
            tree = number_tree(tree, dt.compute_dtype(out.dtype))
        return k.cast(tree, out.dtype)

    def argument(self, arg: Any, reads: Any, compute: DType | None, stage: int) -> Any:
        wide = dt.compute_dtype(compute) if compute else dt.int64
        if isinstance(arg, Ref):
            ref, strides = next(reads)
            tree = self.read(ref, strides, stage)
            if compute is None:
                return tree
            if compute is not wide and tree.dtype is not compute:
                tree = k.cast(tree, compute)
            return k.cast(tree, wide)
        if isinstance(arg, Number):
            return self.number(arg, wide)
        if isinstance(arg, Size):
            return self.scalar(arg.value, dt.int64)
        if isinstance(arg, tuple) and any(isinstance(a, Ref | Size) for a in arg):
            return [self.argument(a, reads, compute, stage) for a in arg]
        return arg

    def picked(self, read: tuple[Ref, Ints]) -> Callable[[Tree], Tree]:
        """What an op that reads by position is handed: position → the element there."""
        ref, strides = read
        home = self.fused.homes[ref.value]
        access = self.access(home, ref.layout.offset, ref.dtype, strides)
        return lambda position: Pick(access, position, ref.dtype)

    def positions(self, ref: Ref, strides: Ints) -> Tree:
        """Offsets themselves: the loops' counters times their strides."""
        assert isinstance(ref.layout.offset, int)
        total = number_tree(ref.layout.offset, dt.int64)
        for loop, stride in enumerate(self.over_loops(strides)):
            if stride:
                step = stride if abs(stride) == 1 else self.scalar(stride, dt.int64)
                counter = Index(loop) if stride == 1 else Index(loop) * step
                total = counter if total.kind == "number" and not total.data else total + counter
        return total

    def result(self, member: Member) -> Tree:
        """The result of a reduction, finished (divided by the count, say)."""
        call, out = member.call, member.call.outs[0]
        wide = reduce_dtype(member)
        tree = Result(self.results[out.value], wide)
        if call.op.scalar is not None:
            count = prod(self.cluster.domain[d] for d in self.cluster.reduced)
            tree = call.op.scalar(k, tree, self.scalar(count, wide))
        return k.cast(tree, out.dtype)

    def reduce(self, member: Member, stage: int) -> Reduce:
        call = member.call
        compute = call.compute or call.outs[0].dtype
        wide = dt.compute_dtype(compute)
        (ref, strides), *_ = member.reads
        tree = self.read(ref, strides, stage)
        if call.op.reduce in ("argmax", "argmin"):
            tree = k.cast(tree, dt.compute_dtype(ref.dtype))
            wide = dt.int64
        elif call.op.reduce in ("any", "all"):
            tree, wide = k.ne(tree, 0) if tree.dtype is not dt.bool_ else tree, dt.bool_
        else:
            tree = k.cast(tree, wide)
        if call.op.prepare is not None:
            tree = call.op.prepare(k, tree)
        return Reduce(call.op.reduce, tree, wide)  # type: ignore[arg-type]


def reduce_dtype(member: Member) -> DType:
    call = member.call
    if call.op.reduce in ("argmax", "argmin"):
        return dt.int64
    if call.op.reduce in ("any", "all"):
        return dt.bool_
    return dt.compute_dtype(call.compute or call.outs[0].dtype)
