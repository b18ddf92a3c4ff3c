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

from flambeau.compiler.simplify import Constant, constants
from flambeau.compiler.stages import overtaken
from flambeau.ir.layout import Ints, broadcast_strides, spec_of, view_strides
from flambeau.ir.program import POSITIONS, Call, Out, Program, Ref
from flambeau.ir.record import field, record

MOST_MEMBERS = 48
MOST_ACCESSES = 24


@record
class Member:
    """A call inside a cluster. `reads` and `outs` have strides over the cluster's domain."""

    call: Call
    level: str  # element, row, reduce, core
    reads: list[tuple[Ref, Ints]]
    outs: list[tuple[Out, Ints]]

    def touches(self) -> list[tuple[Ref | Out, Ints]]:
        """All that it reads or makes."""
        return [*self.reads, *self.outs]


@record
class Cluster:
    """Calls that become one kernel."""

    number: int
    kind: str  # map, reduce, matmul, alone
    domain: Ints
    reduced: tuple[int, ...] = ()
    members: list[Member] = field(default_factory=list)
    needs: int = 0  # bit set of clusters that must come before, directly or not
    direct: int = 0  # those of them that its own calls need
    accesses: set[Any] = field(default_factory=set)  # the ways in which it touches memory
    made: dict[int, tuple[Member, Ints]] = field(default_factory=dict)  # value → strides, here
    # home → the ways in which it is read
    touched: dict[int, list[tuple[Ints | None, Any]]] = field(default_factory=dict)
    written: set[int] = field(default_factory=set)  # homes written over

    @property
    def kept(self) -> Ints:
        """The domain without the reduced dims."""
        return tuple(n for d, n in enumerate(self.domain) if d not in self.reduced)


@record
class Fused:
    """A program as clusters, in an order in which they can run."""

    program: Program
    clusters: list[Cluster]
    constants: dict[int, Constant]
    homes: dict[int, int]


class Fuser:
    """Puts each call into the latest cluster that will have it, or into one of its own."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.homes = program.storage_of()
        self.constants = constants(program.calls)
        self.clusters: list[Cluster] = []
        self.maker: dict[int, int] = {}  # value → cluster
        self.readers: dict[int, set[int]] = {}  # home → clusters that read its present value
        self.writer: dict[int, int] = {}  # home → cluster that wrote it last
        self.visible = {i.value for i in program.inputs} | {self.homes[v] for v in program.live}
        self.barrier = 0  # clusters that may fail: writes that are visible outside wait for them
        self.needed = 0  # clusters that others need
        self.settled = 0  # clusters that write what is visible: calls that may fail wait for them
        self.unneeded = set(self.constants) - self.in_memory()

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
        for number in sorted(bits(needs), reverse=True) if call.native() else ():
            cluster = self.clusters[number]
            if self.joinable(cluster, needs, number) and self.join(cluster, call, needs):
                return
        self.alone(call, needs)

    # ---------------------------------------------------------------- dependencies

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
        if call.op.own_types and cluster.kind == "matmul":
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
        for seen, offset in cluster.touched.get(home, ()):
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

    def absorb(self, cluster: Cluster, needs: int) -> None:
        """Merge other maps that the new member reads, where domains agree and no cycle arises."""
        if cluster.kind not in ("map", "reduce"):
            return
        for number in sorted(bits(needs), reverse=True):
            other = self.clusters[number]
            if other is cluster or other.kind != "map" or not other.members:
                continue
            if other.domain != cluster.domain:
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

    def between(self, first: Cluster, last: Cluster) -> bool:
        """Whether some cluster comes after `first` and before `last`."""
        me = 1 << first.number
        return any(self.clusters[n].needs & me for n in bits(last.direct & ~me))

    def writes_agree(self, first: Cluster, last: Cluster) -> bool:
        """Whether what either writes over is touched by both at the very same elements."""
        homes = first.written | last.written
        if homes and last.kind != "map":
            return False
        return all(len(self.ways(home, first, last)) <= 1 for home in homes)

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

    # ---------------------------------------------------------------- a cluster of one's own

    def alone(self, call: Call, needs: int) -> None:
        cluster, member = found(call, len(self.clusters))
        self.clusters.append(cluster)
        self.note(cluster, member, needs)
        self.absorb(cluster, needs)

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


def fuse(program: Program) -> Fused:
    """Group the calls of a program into clusters."""
    return Fuser(program).run()


# ------------------------------------------------------------------ members


def found(call: Call, number: int) -> tuple[Cluster, Member]:
    """A new cluster for a call."""
    native = call.native()
    if call.op.kind == "elementwise" and len(call.outs) == 1 and native:
        size = call.outs[0].size
        return Cluster(number, "map", size), element_member(call, size)
    if call.op.kind == "reduction" and native:
        (ref,) = call.refs()
        dims = reduced_dims(call)
        if dims and one_loop(ref, dims):
            return Cluster(number, "reduce", ref.size, dims), reduce_member(call, ref, dims)
    outs = [(o, o.layout.stride) for o in call.outs]
    kind = "matmul" if is_matmul(call) and native else "alone"
    size = call.outs[0].size if call.outs else ()
    reads = [(r, r.layout.stride) for r in call.refs()]
    return Cluster(number, kind, size), Member(call, "core", reads, outs)


# Products by name, and how many of their results' dims are rows: those after are columns, which
# must be one loop for all that follows.
PRODUCTS = {"mm": 1, "bmm": 2, "_correlate": 2, "_correlate_weight": 1}


def is_matmul(call: Call) -> bool:
    """Whether the generated matrix multiplication can do this call."""
    out = call.outs[0]
    return call.op.name in PRODUCTS and out.dtype.kind == "f" and out.over is None


def has_one_row(cluster: Cluster, member: Member) -> bool:
    """Whether a member walks over a product's columns as one loop."""
    if cluster.kind != "matmul":
        return True
    columns = tuple(range(len(cluster.domain)))[PRODUCTS[cluster.members[0].call.op.name] :]
    return all(mergeable(s, cluster.domain, columns) for _, s in member.touches())


def element_member(call: Call, size: Ints) -> Member:
    reads = [(ref, broadcast(ref, size)) for ref in call.refs()]
    return Member(call, "element", reads, [(o, o.layout.stride) for o in call.outs])


def reshaped_member(call: Call, size: Ints, domain: Ints) -> Member | None:
    """The same call over another domain of as many elements, where all strides allow it."""
    reads, outs = [], []
    for ref in call.refs():
        strides = view_strides(size, broadcast(ref, size), domain)
        if strides is None:
            return None
        reads.append((ref, strides))
    for out in call.outs:
        strides = view_strides(size, out.layout.stride, domain)
        if strides is None:
            return None
        outs.append((out, strides))
    return Member(call, "element", reads, outs)


def made_at(member: Member, value: int) -> Any:
    """The offset at which a member makes a value."""
    return next(out.layout.offset for out, _ in member.outs if out.value == value)


def can_fail(call: Call) -> bool:
    """Whether running a call may raise; division does for integers only."""
    plain = call.op.kind == "elementwise" and not call.op.own_types
    in_floats = plain and call.compute is not None and call.compute.kind == "f"
    return call.op.may_fail and not in_floats


def picked(member: Member) -> Ref | None:
    """The operand that a member reads by position, anywhere."""
    return member.reads[0][0] if member.call.op.picks else None


def reduce_member(call: Call, ref: Ref, dims: tuple[int, ...]) -> Member:
    kept = tuple(n for d, n in enumerate(ref.size) if d not in dims)
    outs = []
    for out in call.outs:
        strides = iter(out.layout.stride if len(out.size) == len(kept) else [
            s for d, s in enumerate(out.layout.stride) if d not in dims])  # fmt: skip
        outs.append((out, tuple(0 if d in dims else next(strides) for d in range(len(ref.size)))))
    return Member(call, "reduce", [(ref, ref.layout.stride)], outs)


def facts_of(call: Call) -> list[Any]:
    """The arguments as the op's rules take them."""
    return [
        spec_of(a.layout.size, a.layout.stride, a.dtype) if isinstance(a, Ref) else a
        for a in call.args
    ]


def reduced_dims(call: Call) -> tuple[int, ...]:
    """The dims that a reduction takes away."""
    return tuple(call.op.dims(*facts_of(call))[0])  # type: ignore[misc]


def broadcast(ref: Ref, size: Ints) -> Ints:
    return broadcast_strides(ref.layout.size, ref.layout.stride, size)


def row_sizes(cluster: Cluster) -> tuple[Ints, Ints]:
    """The sizes of results of the cluster's reductions, without and with the reduced dims."""
    whole = tuple(1 if d in cluster.reduced else n for d, n in enumerate(cluster.domain))
    return cluster.kept, whole


def row_strides(cluster: Cluster, strides: Ints, size: Ints) -> Ints:
    """Strides over the results → strides over the domain, 0 along what is reduced."""
    if len(size) == len(cluster.domain) and size == row_sizes(cluster)[1]:
        return tuple(0 if d in cluster.reduced else s for d, s in enumerate(strides))
    left = iter(strides)
    return tuple(0 if d in cluster.reduced else next(left) for d in range(len(cluster.domain)))


def same_strides(a: Ints, b: Ints, domain: Ints) -> bool:
    return all(x == y or n == 1 for x, y, n in zip(a, b, domain))


def adjacent(dims: tuple[int, ...]) -> bool:
    return all(b == a + 1 for a, b in zip(dims, dims[1:]))


def one_loop(ref: Ref, dims: tuple[int, ...]) -> bool:
    return adjacent(dims) and mergeable(ref.layout.stride, ref.size, dims)


def mergeable(strides: Ints, domain: Ints, dims: tuple[int, ...]) -> bool:
    """Whether some adjacent dims can be walked as one."""
    real = [d for d in dims if domain[d] != 1]
    return all(strides[a] == strides[b] * domain[b] for a, b in zip(real, real[1:]))


def accesses(member: Member) -> set[Any]:
    """The distinct ways in which a member touches memory (an upper bound)."""
    return {(ref.value, strides, ref.layout.offset) for ref, strides in member.touches()}


def bits(number: int) -> list[int]:
    """The positions of the bits that are set."""
    found = []
    while number:
        low = number & -number
        found.append(low.bit_length() - 1)
        number ^= low
    return found
