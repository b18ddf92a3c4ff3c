"""Schedule: a cluster becomes a loop nest and a list of what it touches.

    cluster  domain (256, 100), reduces dim 1            Nest rows, 2 loops
      %6 = amax(%5, 1)                             →       pass 0  r0 = max(load0)
      %7 = exp(sub(%5, %6))                                pass 1  r1 = sum(exp(load0 - r0))
      %8 = sum(%7, 1)                                      pass 2  store exp(load0 - r0) / r1
      %9 = true_divide(%7, %8)

Decides the order of loops, which of them can be walked as one, whether a reduction runs along rows
or down columns, and which values reach memory. Knows sizes; the nest that it makes does not.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from flambeau.codegen import loops
from flambeau.codegen.scalar import cost, k
from flambeau.compiler.fuse import Cluster, Fused, Member, facts_of, same_strides
from flambeau.compiler.simplify import Constant
from flambeau.compiler.stages import stages
from flambeau.ir import dtype as dt
from flambeau.ir.dtype import DType
from flambeau.ir.kernel import Access, Nest, Reduce, Stage, Store
from flambeau.ir.layout import Ints, Offset, contiguous_strides
from flambeau.ir.program import POSITIONS, Number, Out, Ref, Size
from flambeau.ir.record import field, frozen, record, replace
from flambeau.ir.tree import Argument, Index, Load, Pick, Result, Tree, walk
from flambeau.ir.tree import Number as number_tree
from flambeau.ir.tree import tree as make_tree

SCRATCH_ROW = 1 << 16  # bytes of a row up to which dear values are kept between passes
DEAR = 24  # operations above which a value is kept rather than computed again
SHORT_ROW = 12  # elements of a row up to which vectors run across rows
SHORT_REDUCED_ROW = 32  # the same where nothing is stored for each element
FEWEST_ROWS = 32  # for both


@frozen
class Operand:
    """One pointer of a nest: memory of a storage, or scratch for each thread (home None).

    A negative home is memory of the cluster's own: the partial results of a split reduction.
    """

    home: int | None
    offset: int | Offset
    dtype: DType
    strides: Ints  # over the nest's loops
    bytes: int = 0  # of scratch, per thread


@frozen
class Scalar:
    """A run-time number of a nest: a Number of the stretch, or a constant that depends on sizes."""

    source: Number | float | int
    dtype: DType


@frozen
class Scheduled:
    """A nest with everything that one launch of it needs."""

    nest: Nest
    sizes: Ints
    operands: tuple[Operand, ...]
    scalars: tuple[Scalar, ...]


class Unschedulable(Exception):
    """The cluster needs a loop structure that nests don't have: its calls run one by one."""


@record
class Writer:
    """Collects accesses, numbers and stages while trees are made."""

    cluster: Cluster
    fused: Fused
    stored: set[int]  # values that must reach memory
    loops: list[tuple[int, ...]] = field(default_factory=list)  # dims of the domain, loop by loop
    mode: str = "map"
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
        over = strides if home is None else self.over_loops(strides)
        operand = Operand(home, offset, dtype, over, nbytes)
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
            statics = [a for a in facts_of(call)[1:]]
            tree = call.op.scalar(k, tree, self.scalar(count, wide), *extra(call, statics))
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
            tree = call.op.prepare(k, tree, *extra(call, facts_of(call)[1:]))
        return Reduce(call.op.reduce, tree, wide)  # type: ignore[arg-type]


def extra(call: Any, statics: list[Any]) -> list[Any]:
    """Static arguments that `prepare` and `scalar` of a reduction ask for, beyond the first two."""
    return []


def reduce_dtype(member: Member) -> DType:
    call = member.call
    if call.op.reduce in ("argmax", "argmin"):
        return dt.int64
    if call.op.reduce in ("any", "all"):
        return dt.bool_
    return dt.compute_dtype(call.compute or call.outs[0].dtype)


# ------------------------------------------------------------------ loops


def order_dims(cluster: Cluster) -> tuple[list[int], list[int], str]:
    """Dims outside and inside the reduction, and the mode."""
    domain, reduced = cluster.domain, cluster.reduced
    kept = [d for d in range(len(domain)) if d not in reduced]
    main = largest(cluster)
    kept.sort(key=lambda d: -main[d] if domain[d] != 1 and main[d] else (1 if not main[d] else 0))
    kept = stable_order(kept, main, domain)
    if not reduced:
        return kept, [], "map"
    if prefers_columns(cluster, kept):
        return kept[:-1], kept[-1:], "columns"
    return kept, [], "rows"


def stable_order(dims: list[int], main: Ints, domain: Ints) -> list[int]:
    """Dims by falling stride of the main access; others keep their place."""
    moving = sorted((d for d in dims if main[d] and domain[d] != 1), key=lambda d: -main[d])
    order, it = [], iter(moving)
    for d in sorted(dims):
        order.append(next(it) if main[d] and domain[d] != 1 else d)
    return order


def largest(cluster: Cluster) -> Ints:
    """The strides of the access that moves most: outputs of maps, inputs of reductions."""
    ways = [(s, o.layout.numel) for m in cluster.members for o, s in m.outs if m.level == "element"]
    if cluster.reduced or not ways:
        ways = [(s, 0) for m in cluster.members for _, s in m.reads] + ways
    best = max(
        ways,
        key=lambda way: prod(n for n, s in zip(cluster.domain, way[0]) if s),
        default=((0,) * len(cluster.domain), 0),
    )
    return best[0]


def prefers_columns(cluster: Cluster, kept: list[int]) -> bool:
    """Whether memory runs along what is kept rather than along what is reduced."""
    domain = cluster.domain
    real = [d for d in kept if domain[d] > 1]
    if not real:
        return False
    last = [d for d in cluster.reduced if domain[d] > 1]
    if not last:
        return False
    votes = 0
    for member in cluster.members:
        for _, strides in member.reads:
            if strides[last[-1]] == 1:
                votes -= 1
            elif strides[real[-1]] == 1 and strides[last[-1]] != 0:
                votes += 1
    return votes > 0


def merge_loops(cluster: Cluster, dims: list[int], ways: list[Ints]) -> list[tuple[int, ...]]:
    """Adjacent dims that every access walks as one become one loop; dims of size 1 vanish."""
    loops: list[tuple[int, ...]] = []
    domain = cluster.domain
    for d in dims:
        if domain[d] == 1:
            continue
        if loops and all(s[loops[-1][-1]] == s[d] * domain[d] for s in ways):
            loops[-1] = (*loops[-1], d)
        else:
            loops.append((d,))
    return loops


def rows_are_short(writer: Writer, nested: list[tuple[int, ...]]) -> bool:
    """Whether a vector should hold one element each of many rows, rather than a row or two.

    Along the row nothing is left then to be done between lanes. The elements are gathered, which
    machines do for those of 4 and 8 bytes.
    """
    cluster = writer.cluster
    if len(nested) < 2:
        return False
    row, rows = (prod(cluster.domain[d] for d in dims) for dims in reversed(nested[-2:]))
    touched: list[tuple[Ref | Out, Ints]] = []
    for m in cluster.members:
        touched += [*m.reads, *m.outs]
    moved = [x.dtype.itemsize for x, strides in touched if any(strides[d] for d in nested[-1])]
    return row <= longest_short(writer) and rows >= FEWEST_ROWS and min(moved, default=8) >= 4


def longest_short(writer: Writer) -> int:
    """How long a row may be for that: to scatter is dear, and the lanes of a sum add up fast."""
    members = writer.cluster.members
    stores = any(m.level == "element" and o.value in writer.stored for m in members
                 for o, _ in m.outs)  # fmt: skip
    lone = len(members) == 1 and members[0].call.op.reduce == "sum"
    return SHORT_ROW if stores or lone else SHORT_REDUCED_ROW


def all_ways(cluster: Cluster) -> list[Ints]:
    return [s for m in cluster.members for _, s in [*m.reads, *m.outs]]


# ------------------------------------------------------------------ a cluster


def schedule(cluster: Cluster, fused: Fused, stored: set[int]) -> list[Scheduled]:
    """The launches of a cluster, in order."""
    writer = Writer(cluster, fused, stored)
    outer, inner, writer.mode = order_dims(cluster)
    ways = all_ways(cluster)
    nested = merge_loops(cluster, outer, ways)
    if cluster.reduced:
        along = merge_loops(cluster, list(cluster.reduced), ways)
        if len(along) > 1:
            raise Unschedulable
        nested += [*(along or [()])]
        if writer.mode == "columns":
            nested += merge_loops(cluster, inner, ways) or [()]
        elif rows_are_short(writer, nested):
            nested[-2:] = nested[:-3:-1]
            writer.mode = "columns"
    writer.loops = nested or [()]
    stages = make_stages(writer)
    sizes = tuple(prod(cluster.domain[d] for d in dims) for dims in writer.loops)
    whole = finished(writer.operands, writer.scalars, stages, writer.mode, sizes)
    return split(whole) if worth_splitting(whole) else [whole]


def finished(operands: list[Operand], scalars: list[Scalar], stages: tuple[Stage, ...], mode: str,
             sizes: Ints) -> Scheduled:  # fmt: skip
    accesses = tuple(as_access(operand, (0, 1, -1)) for operand in operands)
    nest = Nest(len(sizes), accesses, tuple(s.dtype for s in scalars), stages,
                mode)  # fmt: skip
    return Scheduled(nest, sizes, tuple(operands), tuple(scalars))


# ------------------------------------------------------------------ split reductions


def worth_splitting(whole: Scheduled) -> bool:
    """Few results from many elements: cut the reduced loop, so that there is enough to do at once.

    Depends on sizes only: the same bits on any number of threads.
    """
    nest, sizes = whole.nest, whole.sizes
    if nest.mode not in ("rows", "columns") or len(nest.stages) != 1:
        return False
    if any(r.step.startswith("arg") for r in nest.stages[0].reduces):
        return False
    if nest.mode == "rows":
        return prod(sizes[:-1]) <= 4 and sizes[-1] >= 32768
    narrow = prod(sizes[:-2]) * sizes[-1] <= 1024
    return narrow and sizes[-2] >= 512 and prod(sizes) >= 65536


def split(whole: Scheduled) -> list[Scheduled]:
    """Partial results by chunk, what is stored for each element, then the combination of the parts.

    Split reductions store nothing for each element: a map of its own does.
    """
    (stage,) = whole.nest.stages
    reduced = whole.nest.reduced
    mode = "split" if whole.nest.mode == "rows" else "split columns"
    along = [s for s in stage.stores if whole.operands[s.access].strides[reduced] != 0]
    once = [s for s in stage.stores if s not in along]
    draft = Nest(whole.nest.loops, whole.nest.accesses, whole.nest.scalars,
                 (Stage(stage.reduces),), mode)  # fmt: skip
    parts = loops.chunks(draft, whole.sizes)
    sizes = tuple(parts if n == reduced else s for n, s in enumerate(whole.sizes))
    strides = contiguous_strides(sizes)
    operands, stores = list(whole.operands), []
    partials = []
    for number, reduce in enumerate(stage.reduces):
        partials.append(Operand(-1 - number, 0, reduce.dtype, strides, 0))
        stores.append(Store(len(operands), Result(number, reduce.dtype)))
        operands.append(partials[-1])
    first = finished(operands, list(whole.scalars), (Stage(stage.reduces, tuple(stores)),), mode,
                     whole.sizes)  # fmt: skip
    again = tuple(
        Reduce(r.step, Load(n, r.dtype), r.dtype) for n, r in enumerate(stage.reduces)
    )
    rest = list(whole.operands)
    moved = tuple(Store(len(partials) + s.access, shifted(s.value, len(partials))) for s in once)
    second = finished([*partials, *rest], list(whole.scalars), (Stage(again, moved),),
                      whole.nest.mode, sizes)  # fmt: skip
    if not along:
        return [trimmed(first), trimmed(second)]
    each = finished(list(whole.operands), list(whole.scalars), (Stage((), tuple(along)),), "map",
                    whole.sizes)  # fmt: skip
    return [trimmed(first), trimmed(each), trimmed(second)]


def shifted(tree: Tree, by: int) -> Tree:
    """The tree with its loads' access numbers moved."""
    if tree.kind == "load":
        return Load(tree.data + by, tree.dtype)
    if not tree.args:
        return tree
    data = tree.data + by if tree.kind == "pick" else tree.data
    return make_tree(tree.kind, tree.dtype, *(shifted(a, by) for a in tree.args), data=data)


def renumbered(tree: Tree, numbers: dict[int, int]) -> Tree:
    """The tree with its loads' access numbers replaced."""
    if tree.kind == "load":
        return Load(numbers[tree.data], tree.dtype)
    if not tree.args:
        return tree
    args = (renumbered(a, numbers) for a in tree.args)
    data = numbers[tree.data] if tree.kind == "pick" else tree.data
    return make_tree(tree.kind, tree.dtype, *args, data=data)


def trimmed(scheduled: Scheduled) -> Scheduled:
    """Without the accesses that nothing uses."""
    nest = scheduled.nest
    used = {s.access for stage in nest.stages for s in stage.stores}
    used |= {n.data for n in walk(*nest.trees()) if n.kind in ("load", "pick")}
    order = sorted(used)
    numbers = {old: new for new, old in enumerate(order)}
    stages = tuple(
        Stage(
            tuple(replace(r, value=renumbered(r.value, numbers)) for r in s.reduces),
            tuple(Store(numbers[t.access], renumbered(t.value, numbers)) for t in s.stores),
        )
        for s in nest.stages
    )
    operands = [scheduled.operands[n] for n in order]
    return finished(operands, list(scheduled.scalars), stages, nest.mode, scheduled.sizes)


def as_access(operand: Operand, known: tuple[int, ...] = (0, 1)) -> Access:
    """An operand without sizes: of its strides only those in `known` are compiled in."""
    strides = tuple(s if s in known else None for s in operand.strides)
    return Access(operand.dtype, strides, operand.home is None)


def make_stages(writer: Writer) -> tuple[Stage, ...]:
    """Place every member in a pass, and write the passes."""
    place_members(writer)
    last = max(writer.stage_of.values(), default=0)
    number = 0
    for member in by_stage(writer):
        if member.level == "reduce":
            writer.results[member.call.outs[0].value] = number
            number += 1
    stages = []
    for stage in range(last + 1):
        reduces, stores = [], []
        for member in by_stage(writer):
            if writer.stage_of[member.call.outs[0].value] != stage:
                continue
            if member.level == "reduce":
                reduces.append(writer.reduce(member, stage))
            stores += stores_of(writer, member, stage)
        stages.append(Stage(tuple(reduces), tuple(stores)))
    return tuple(stages)


def by_stage(writer: Writer) -> list[Member]:
    """Members by pass, in program order within one."""
    return sorted(writer.cluster.members, key=lambda m: writer.stage_of[m.call.outs[0].value])


def place_members(writer: Writer) -> None:
    """The first pass in which each member's operands are there."""
    writer.stage_of.update(stages(writer.cluster.members))


def stores_of(writer: Writer, member: Member, stage: int) -> list[Store]:
    """The stores of a member: what others read, and dear values that later passes need again."""
    stores = []
    (out, strides), *_ = member.outs
    if out.value in writer.stored:
        home = writer.fused.homes[out.value]
        access = writer.access(home, out.layout.offset, out.dtype, strides)
        tree = writer.value(member, out.value, stage)
        stores.append(Store(access, tree))
        if member.level == "element" and out.over is None and worth_keeping(writer, member, tree):
            writer.kept[out.value] = (stage, access)
    elif member.level == "element" and used_later(writer, member, stage):
        tree = writer.value(member, out.value, stage)
        row = prod(writer.cluster.domain[d] for d in writer.loops[-1])
        if worth_keeping(writer, member, tree) and writer.mode == "rows" and row > 1 and (
            row * out.dtype.itemsize <= SCRATCH_ROW):  # fmt: skip
            along = (0,) * (len(writer.loops) - 1) + (1,)
            access = writer.access(None, 0, out.dtype, along, row * out.dtype.itemsize)
            stores.append(Store(access, tree))
            writer.kept[out.value] = (stage, access)
    return stores


def used_later(writer: Writer, member: Member, stage: int) -> bool:
    """Whether a later pass reads this value."""
    value = member.call.outs[0].value
    return any(
        writer.stage_of[m.call.outs[0].value] > stage and any(r.value == value for r, _ in m.reads)
        for m in writer.cluster.members
    )


def worth_keeping(writer: Writer, member: Member, tree: Tree) -> bool:
    """Whether computing a value again costs more than reading it back."""
    if not writer.cluster.reduced:
        return False
    operations, slow = cost(tree)
    return operations + DEAR * slow >= DEAR


__all__ = ["Operand", "Out", "Scalar", "Scheduled", "Unschedulable", "same_strides", "schedule"]
