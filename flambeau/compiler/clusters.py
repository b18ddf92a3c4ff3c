"""Clusters, the kernels to be, and the calls that are their members; see fuse.py.

    %5 = sub(%0, %3)         Member  element   reads %0 (100, 1), %3 (1, 0)     makes %5 (100, 1)
    %6 = sum(%5, dim=1)   →  Member  reduce    reads %5 (100, 1)                makes %6 (1, 0)
    over (256, 100)          Cluster reduce    domain (256, 100), reduced (1,)

Strides are over the cluster's domain, whatever sizes a call itself has.
"""

from __future__ import annotations

from typing import Any

from flambeau.compiler.simplify import Constant
from flambeau.ir.layout import Ints, broadcast_strides, spec_of, view_strides
from flambeau.ir.program import Call, Out, Program, Ref
from flambeau.ir.record import field, record


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


# ------------------------------------------------------------------ members


def cluster_of(call: Call, number: int) -> tuple[Cluster, Member]:
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


# ------------------------------------------------------------------ sizes and strides


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
