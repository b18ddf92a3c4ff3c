"""Which cluster needs which, while calls still find theirs; see fuse.py.

    cluster 0   %2 = add(%0, %1)                    maker    %2 → 0, %3 → 1
    cluster 1   %3 = sum(%2)                   →    readers  %0 → {0}, %2 → {1}
    cluster 2   %4 over %0 = mul(%0, %3)            needs    2 → {0, 1}: it writes what 0 reads

A set of clusters is a number whose bits they are: most questions are of all at once. Who writes
waits for who reads and wrote before. Calls that may fail and writes that are visible outside keep
their order too.
"""

from __future__ import annotations

from flambeau.compiler.clusters import Cluster, Member, accesses, can_fail, picked
from flambeau.ir.program import POSITIONS, Call, Program

MOST_MEMBERS = 48


class Dependencies:
    """Who makes, reads and writes what, and which clusters must come before which."""

    def __init__(self, program: Program) -> None:
        self.homes = program.storage_of()
        self.clusters: list[Cluster] = []
        self.maker: dict[int, int] = {}  # value → cluster
        self.readers: dict[int, set[int]] = {}  # home → clusters that read its present value
        self.writer: dict[int, int] = {}  # home → cluster that wrote it last
        self.visible = {i.value for i in program.inputs} | {self.homes[v] for v in program.live}
        self.barrier = 0  # clusters that may fail: writes that are visible outside wait for them
        self.needed = 0  # clusters that others need
        self.settled = 0  # clusters that write what is visible: calls that may fail wait for them

    def dependencies(self, call: Call) -> int:
        """The clusters that must run before this call."""
        needs = self.settled if can_fail(call) else 0
        for ref in call.refs():
            if ref.value in self.maker:
                needs |= 1 << self.maker[ref.value]
        for out in call.outs:
            if out.over is not None:
                home = self.homes[out.over]
                for reader in self.readers.get(home, ()):
                    needs |= 1 << reader
                if home in self.writer:
                    needs |= 1 << self.writer[home]
                if home in self.visible:
                    needs |= self.barrier
        return needs

    def joinable(self, cluster: Cluster, needs: int, number: int) -> bool:
        """Whether nothing else that the call needs comes after this cluster."""
        if cluster.kind == "alone" or len(cluster.members) >= MOST_MEMBERS:
            return False
        me = 1 << number
        return not any(self.clusters[n].needs & me for n in bits(needs & ~me))

    def note(self, cluster: Cluster, member: Member, needs: int) -> None:
        """Book a member: who makes what, who reads what, what must come before."""
        cluster.members.append(member)
        me = 1 << cluster.number
        before = cluster.needs
        cluster.accesses |= accesses(member)
        cluster.direct |= needs & ~me
        self.needed |= needs & ~me
        for n in bits(needs & ~me):
            cluster.needs |= (1 << n) | self.clusters[n].needs
        gained = cluster.needs & ~before
        if gained and self.needed & me:
            for other in self.clusters:
                if other.needs & me:
                    other.needs |= gained
        for ref, strides in member.reads:
            if ref.value == POSITIONS:
                continue
            home = self.homes[ref.value]
            self.readers.setdefault(home, set()).add(cluster.number)
            ways = cluster.touched.setdefault(home, [])
            anywhere = member.level == "core" or picked(member) is ref
            ways.append((None if anywhere else strides, ref.layout.offset))
        for out, strides in member.outs:
            home = self.homes[out.value]
            self.maker[out.value] = cluster.number
            self.writer[home] = cluster.number
            cluster.made[out.value] = (member, strides)
            if home in self.visible:
                self.settled |= me
            if out.over is not None:
                self.readers[home] = {cluster.number}
                cluster.written.add(home)
        if can_fail(member.call):
            self.barrier |= me

    def between(self, first: Cluster, last: Cluster) -> bool:
        """Whether some cluster comes after `first` and before `last`."""
        me = 1 << first.number
        return any(self.clusters[n].needs & me for n in bits(last.direct & ~me))

    def merge(self, first: Cluster, last: Cluster) -> None:
        """Everything of `first` becomes part of `last`; `first` is left empty."""
        last.members = first.members + last.members
        last.made |= first.made
        last.written |= first.written
        for home, ways in first.touched.items():
            last.touched.setdefault(home, []).extend(ways)
        old, new = 1 << first.number, 1 << last.number
        last.accesses |= first.accesses
        last.needs = (last.needs | first.needs) & ~old & ~new
        last.direct = (last.direct | first.direct) & ~old & ~new
        self.rename(first, last)
        for other in self.clusters if self.needed & (old | new) else ():
            if other.needs & old or other.needs & new:
                other.needs = (other.needs & ~old) | new | last.needs
            if other.direct & old:
                other.direct = other.direct & ~old | new
                self.needed |= new
        if self.barrier & old:
            self.barrier = self.barrier & ~old | new
        if self.settled & old:
            self.settled = self.settled & ~old | new
        first.members, first.made, first.touched = [], {}, {}
        first.needs = first.direct = 0

    def rename(self, first: Cluster, last: Cluster) -> None:
        """Book what `first` makes, reads and writes as done by `last`."""
        homes = {self.homes[value] for value in first.made}
        for value in first.made:
            self.maker[value] = last.number
        for home in homes.union(first.touched):
            numbers = self.readers.get(home, set())
            if first.number in numbers:
                numbers.discard(first.number)
                numbers.add(last.number)
            if self.writer.get(home) == first.number:
                self.writer[home] = last.number

    def ordered(self) -> list[Cluster]:
        """Clusters after what they need, else in the order of their first calls."""
        order: list[Cluster] = []
        done = 0
        waiting = [c for c in self.clusters if c.members]
        empty = sum(1 << c.number for c in self.clusters if not c.members)
        while waiting:
            rest = []
            for cluster in waiting:
                if cluster.needs & ~done & ~empty:
                    rest.append(cluster)
                else:
                    order.append(cluster)
                    done |= 1 << cluster.number
            if len(rest) == len(waiting):
                raise AssertionError("clusters need each other in a circle")
            waiting = rest
        return order


def bits(number: int) -> list[int]:
    """The positions of the bits that are set."""
    found = []
    while number:
        low = number & -number
        found.append(low.bit_length() - 1)
        number ^= low
    return found
