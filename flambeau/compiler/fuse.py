"""Fuse: calls that walk over the same elements become one kernel.

    %2 = matmul(%0, %1)                     cluster 1  matmul  %2
    %4 = add(%2, %3)                                   then    %4 = add(%2, %3), %5 = relu(%4)
    %5 = relu(%4)                     →     cluster 2  rows    %6 = amax(%5, 1)
    %6 = amax(%5, dim=1)                               then    %7 = sub(%5, %6), …
    %7 = sub(%5, %6)

A cluster has a *domain* (the sizes that its loops run over) and, where it reduces, the dims of the
domain that go. Each member works per element, or per row (once per result of a reduction). Whoever
joins must read what the cluster makes at the very index where it is made; everything else it reads
from memory, with strides over the domain. What a cluster needs must not need the cluster: no
cycles.
"""

from __future__ import annotations

from math import prod
from typing import Any

from flambeau.compiler.clusters import (
    Cluster,
    Fused,
    Member,
    accesses,
    adjacent,
    broadcast,
    can_fail,
    cluster_of,
    element_member,
    has_one_row,
    made_at,
    mergeable,
    one_loop,
    picked,
    reduce_member,
    reduced_dims,
    reshaped_member,
    row_sizes,
    row_strides,
    same_strides,
)
from flambeau.compiler.dependencies import MOST_MEMBERS, Dependencies, bits
from flambeau.compiler.epilogues import Epilogues
from flambeau.compiler.simplify import constants
from flambeau.compiler.stages import overtaken
from flambeau.ir.layout import Ints, overlaps_itself
from flambeau.ir.program import POSITIONS, Call, Out, Program

MOST_ACCESSES = 24
FEW_ROWS = 16  # with less, reductions are not merged


class Fuser(Dependencies):
    """Puts each call into the latest cluster that will have it, or into one of its own."""

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self.program = program
        self.constants = constants(program.calls)
        self.unneeded = set(self.constants) - self.in_memory()
        self.epilogues = Epilogues(program, self.homes)

    def run(self) -> Fused:
        for call in self.program.calls:
            if call.op.kind == "storage":
                continue  # memory alone: those who write to it come later
            if all(o.value in self.unneeded and o.over is None for o in call.outs):
                continue  # a constant: whoever reads it knows the number
            self.add(call)
        return Fused(self.program, self.ordered(), self.constants, self.homes)

    def in_memory(self) -> set[int]:
        """Values that must lie in memory: wanted at the end, or read by more than trees."""
        wanted = {self.homes[v] for v in self.program.live}
        found = {v for v in self.homes if self.homes[v] in wanted}
        for call in self.program.calls:
            trees = call.op.kind == "elementwise" and call.native()
            if call.op.picks:
                found.add(next(call.refs()).value)
            if call.op.kind == "reduction" and call.native():
                (ref,) = call.refs()
                trees = one_loop(ref, reduced_dims(call))
            if not trees:
                found.update(ref.value for ref in call.refs())
            found.update(o.over for o in call.outs if o.over is not None)
        return found

    def add(self, call: Call) -> None:
        needs = self.dependencies(call)
        for number in self.candidates(needs) if call.native() else ():
            cluster = self.clusters[number]
            if self.joinable(cluster, needs, number) and self.join(cluster, call, needs):
                return
        self.alone(call, needs)

    def candidates(self, needs: int) -> list[int]:
        """Those that a call needs: first who would wait for the fewest others because of it."""
        numbers = sorted(bits(needs), reverse=True)
        if len(numbers) < 2:
            return numbers
        whole = needs
        for number in numbers:
            whole |= self.clusters[number].needs
        return sorted(numbers, key=lambda n: (whole & ~self.clusters[n].needs).bit_count())

    def alone(self, call: Call, needs: int) -> None:
        cluster, member = cluster_of(call, len(self.clusters))
        self.clusters.append(cluster)
        self.note(cluster, member, needs)
        self.absorb(cluster, needs)

    # ---------------------------------------------------------------- joining

    def join(self, cluster: Cluster, call: Call, needs: int) -> bool:
        """Try to make a call a member of a cluster."""
        if call.op.kind == "elementwise":
            member = self.as_element(cluster, call) or self.as_row(cluster, call)
        elif call.op.kind == "reduction":
            member = self.as_reduction(cluster, call)
        else:
            return False
        if member is None or not self.fits(cluster, member):
            return False
        if member.level == "reduce" and not cluster.reduced:
            cluster.kind, cluster.reduced = "reduce", reduced_dims(call)
        self.note(cluster, member, needs)
        self.absorb(cluster, needs)
        return True

    def as_element(self, cluster: Cluster, call: Call) -> Member | None:
        """A call over the cluster's domain, or over a domain of as many elements."""
        if cluster.kind == "matmul" and (
            call.op.own_types or not self.epilogues.worth(cluster, call)
        ):
            return None
        size = call.outs[0].size
        if size == cluster.domain:
            return element_member(call, size)
        if cluster.kind not in ("map", "matmul") or not prod(size) == prod(cluster.domain) > 0:
            return None
        return reshaped_member(call, size, cluster.domain)

    def as_row(self, cluster: Cluster, call: Call) -> Member | None:
        """A call that works once for each result of the cluster's reductions."""
        if cluster.kind != "reduce":
            return None
        size = call.outs[0].size
        if size not in row_sizes(cluster):
            return None
        reads = [(r, row_strides(cluster, broadcast(r, size), size)) for r in call.refs()]
        outs = [(o, row_strides(cluster, o.layout.stride, size)) for o in call.outs]
        return Member(call, "row", reads, outs)

    def as_reduction(self, cluster: Cluster, call: Call) -> Member | None:
        """A reduction over what the cluster works on."""
        if cluster.kind not in ("map", "reduce"):
            return None
        (ref,) = call.refs()
        dims = reduced_dims(call)
        if ref.size != cluster.domain or not dims or (cluster.reduced and cluster.reduced != dims):
            return None
        if not adjacent(dims):
            return None
        return reduce_member(call, ref, dims)

    def fits(self, cluster: Cluster, member: Member) -> bool:
        """Whether it reads what the cluster makes where that is made, and writes don't collide."""
        me = 1 << cluster.number
        if can_fail(member.call) and (self.settled & me or cluster.kind == "matmul"):
            return False
        if not has_one_row(cluster, member):
            return False
        if self.barrier & me and any(self.homes[o.value] in self.visible for o, _ in member.outs
                                     if o.over is not None):  # fmt: skip
            return False
        for ref, strides in member.reads:
            constant = ref.value in self.constants and ref.value not in self.maker
            if ref.value == POSITIONS or constant:
                continue
            made = cluster.made.get(ref.value)
            if picked(member) is ref and made is not None:
                return False
            if made is None:
                if self.homes[ref.value] in cluster.written:
                    return False
                continue
            if ref.layout.offset != made_at(made[0], ref.value):
                return False
            if not same_strides(strides, made[1], cluster.domain):
                return False
        over = [(o, strides) for o, strides in member.outs if o.over is not None]
        if not all(self.may_write(cluster, member, o, strides) for o, strides in over):
            return False
        passes = bool(cluster.reduced) or member.level == "reduce"
        if passes and (over or cluster.written):
            if overtaken([*cluster.members, member], self.homes):
                return False
        few = len(cluster.accesses | accesses(member)) <= MOST_ACCESSES
        return few and self.one_row(cluster, member)

    def may_write(self, cluster: Cluster, member: Member, out: Out, strides: Ints) -> bool:
        """Whether a write over memory touches just the elements that the cluster touches there."""
        if member.level == "element" and cluster.kind == "reduce":
            return False  # later passes may still read the old value
        home = self.homes[out.value]
        seen_so_far = cluster.touched.get(home, ())
        if seen_so_far and overlaps_itself(cluster.domain, strides):
            return False  # what one index writes, a later one would read
        for seen, offset in seen_so_far:
            if seen is None or offset != out.layout.offset:
                return False
            if not same_strides(seen, strides, cluster.domain):
                return False
        made = cluster.made.get(out.over)  # type: ignore[arg-type]
        if made is None:
            return home not in cluster.written
        before = next(o for o, _ in made[0].outs if o.value == out.over)
        same = same_strides(made[1], strides, cluster.domain)
        return same and before.layout.offset == out.layout.offset

    def one_row(self, cluster: Cluster, member: Member) -> bool:
        """The reduced dims must be one loop for every access."""
        dims = cluster.reduced or (reduced_dims(member.call) if member.level == "reduce" else ())
        if len(dims) < 2:
            return True
        new = [member] if cluster.reduced else [*cluster.members, member]
        return all(mergeable(s, cluster.domain, dims) for m in new for _, s in m.touches())

    # ---------------------------------------------------------------- merging

    def absorb(self, cluster: Cluster, needs: int) -> None:
        """Merge others that the new member reads, where domains agree and no cycle arises.

        They are maps, or reduce the same rows.
        """
        if cluster.kind not in ("map", "reduce"):
            return
        for number in sorted(bits(needs), reverse=True):
            other = self.clusters[number]
            if other is cluster or other.domain != cluster.domain or not other.members:
                continue
            if other.kind != "map" and not beside(other, cluster):
                continue
            if len(other.members) + len(cluster.members) > MOST_MEMBERS:
                continue
            if self.between(other, cluster) or not self.writes_agree(other, cluster):
                continue
            both = (1 << other.number) | (1 << cluster.number)
            if self.barrier & both and self.settled & both:
                continue
            if self.merge_fits(other, cluster):
                self.merge(other, cluster)

    def writes_agree(self, first: Cluster, last: Cluster) -> bool:
        """Whether what either writes over is touched by both at the very same elements."""
        homes = first.written | last.written
        if homes and last.kind != "map":
            return False
        return all(agree(self.ways(home, first, last), last.domain) for home in homes)

    def ways(self, home: int, *clusters: Cluster) -> set[Any]:
        """The ways in which clusters read and write a storage."""
        found: set[Any] = set()
        for cluster in clusters:
            found.update(cluster.touched.get(home, ()))
            for value, (member, strides) in cluster.made.items():
                if self.homes[value] == home:
                    found.add((strides, made_at(member, value)))
        return found

    def merge_fits(self, first: Cluster, last: Cluster) -> bool:
        for member in last.members:
            for ref, strides in member.reads:
                made = first.made.get(ref.value)
                if made is None:
                    continue
                whole = ref.layout.offset == 0 and same_strides(strides, made[1], last.domain)
                if picked(member) is ref or not whole:
                    return False
        if len(first.accesses | last.accesses) > MOST_ACCESSES:
            return False
        return len(last.reduced) < 2 or all(
            mergeable(strides, last.domain, last.reduced)
            for m in first.members
            for _, strides in [*m.reads, *m.outs]
        )


def beside(first: Cluster, last: Cluster) -> bool:
    """Whether two clusters reduce the same rows, neither what the other makes of each element.

    What is reduced is computed in passes of its own, and few rows are better cut into parts.
    """
    if first.kind != "reduce" or first.reduced != last.reduced or prod(last.kept) < FEW_ROWS:
        return False
    made = set(first.made)
    for member in last.members:
        if any(ref.value in made for ref, _ in member.reads):
            if member.level == "reduce":
                return False
            made.update(out.value for out, _ in member.outs)
    return True


def agree(ways: set[Any], domain: Ints) -> bool:
    """Whether each index touches an element of its own, the same in all ways."""
    if len(ways) != 1:
        return not ways
    ((strides, _),) = ways
    return strides is None or not overlaps_itself(domain, strides)


def fuse(program: Program) -> Fused:
    """Group the calls of a program into clusters."""
    return Fuser(program).run()
