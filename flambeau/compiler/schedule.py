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

from math import prod

from flambeau.codegen.scalar import cost
from flambeau.compiler.clusters import Cluster, Fused, Member
from flambeau.compiler.nesting import (
    all_ways,
    in_tiles,
    merge_loops,
    order_dims,
    rows_are_short,
)
from flambeau.compiler.scheduled import Scheduled, finished
from flambeau.compiler.splitting import split, worth_splitting
from flambeau.compiler.stages import stages
from flambeau.compiler.trees import Writer
from flambeau.compiler.turns import in_turns
from flambeau.ir.kernel import Stage, Store
from flambeau.ir.tree import Tree

SCRATCH_ROW = 1 << 16  # bytes of a row up to which dear values are kept between passes
DEAR = 24  # operations above which a value is kept rather than computed again


class Unschedulable(Exception):
    """The cluster needs a loop structure that nests don't have: its calls run one by one."""


def schedule(cluster: Cluster, fused: Fused, stored: set[int]) -> list[Scheduled]:
    """The launches of a cluster, in order."""
    writer = Writer(cluster, fused, stored)
    outer, inner, writer.mode = order_dims(cluster, stored)
    ways = all_ways(cluster)
    nested = merge_loops(cluster, outer, ways)
    if cluster.reduced:
        along = merge_loops(cluster, list(cluster.reduced), ways)
        if len(along) > 1:
            raise Unschedulable
        nested += [*(along or [()])]
        if writer.mode == "columns":
            nested += merge_loops(cluster, inner, ways) or [()]
        elif rows_are_short(cluster, nested, stored):
            nested[-2:] = nested[:-3:-1]
            writer.mode = "columns"
    elif in_turns(cluster, nested):
        nested[-2:] = [(*nested[-2], *nested[-1])]
        writer.turns = True
    elif in_tiles(cluster, nested, stored):
        writer.mode = "tiles"
    writer.loops = nested or [()]
    passes = make_stages(writer)
    sizes = tuple(prod(cluster.domain[d] for d in dims) for dims in writer.loops)
    whole = finished(writer.operands, writer.scalars, passes, writer.mode, sizes)
    return split(whole) if worth_splitting(whole) else [whole]


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
