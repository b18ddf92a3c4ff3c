"""What must hold between passes; checked after each of them where FLAMBEAU_CHECK=1.

- a value has one maker, which comes before its readers;
- memory is written in order: whoever reads a storage reads the last value that was written to it;
- every view stays inside its storage;
- clusters come after what they need, and read what they make where it is made;
- two storages that are needed at the same time never share memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flambeau.compiler.clusters import Cluster, Fused, same_strides
from flambeau.compiler.dependencies import bits
from flambeau.compiler.stages import overtaken
from flambeau.ir.layout import Layout, Offset
from flambeau.ir.program import POSITIONS, Call, Number, Out, Program, Ref
from flambeau.ir.show import show

Birth = tuple[Any, int, int, int]  # home, bytes, first and last step: see memory.py


class Broken(AssertionError):
    """A pass left something behind that must not be."""


def verify(thing: Program | Fused, after: str) -> None:
    """Raise Broken where a program is not in order, naming the pass that it came from."""
    fault = fused_fault(thing) if isinstance(thing, Fused) else program_fault(thing)
    if fault is not None:
        raise Broken(f"after {after}: {fault}\n{show(thing)}")


def program_fault(program: Program) -> str | None:
    """What is wrong with a program, if something is."""
    return Checker(program).check(program.calls)


class Checker:
    """Walks over calls in the order in which they run."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.homes: dict[int, int] = {}  # value → first value of its storage
        self.latest: dict[int, int] = {}  # first value → the value in memory now
        self.sizes: dict[int, int | None] = {}  # first value → bytes; None: made elsewhere
        for entry in program.inputs:
            self.make(entry.value, entry.value, None)

    def make(self, value: int, home: int, size: int | None) -> None:
        self.homes[value], self.latest[home] = home, value
        self.sizes.setdefault(home, size)

    def check(self, calls: Iterable[Call]) -> str | None:
        """The first fault, in words."""
        if len(self.homes) != len(self.program.inputs):
            return "two inputs have one number"
        for call in calls:
            fault = self.call(call)
            if fault is not None:
                return f"{fault}: {call}"
        for value in self.program.live:
            if value not in self.homes:
                return f"%{value} is wanted, but nobody makes it"
        return None

    def call(self, call: Call) -> str | None:
        op = call.op
        if op.params and len(call.args) != len(op.params):
            return f"{len(call.args)} arguments for {len(op.params)} parameters"
        faults = [self.argument(arg) for arg in call.args] + [self.out(out) for out in call.outs]
        return next((f for f in faults if f is not None), None)

    def argument(self, arg: Any) -> str | None:
        if isinstance(arg, tuple):
            return next((f for f in map(self.argument, arg) if f is not None), None)
        if isinstance(arg, Number) and arg.index >= len(self.program.numbers):
            return f"there is no run-time number ${arg.index}"
        if isinstance(arg, Ref) and arg.value != POSITIONS:
            return self.known(arg.value) or self.inside(arg, self.homes[arg.value])
        return None

    def known(self, value: int) -> str | None:
        """A value can be read while it is what its storage holds."""
        if value not in self.homes:
            return f"%{value} is read before it is made"
        now = self.latest[self.homes[value]]
        return None if now == value else f"%{value} is read after %{now} took its place"

    def out(self, out: Out) -> str | None:
        if out.value in self.homes:
            return f"%{out.value} is made twice"
        if out.over is None:
            self.make(out.value, out.value, out.layout.numel * out.dtype.itemsize)
        else:
            fault = self.known(out.over)
            if fault is not None:
                return fault.replace("read", "written over")
            self.make(out.value, self.homes[out.over], None)
        return self.inside(out, self.homes[out.value])

    def inside(self, view: Ref | Out, home: int) -> str | None:
        """No element of a view lies outside its storage."""
        span = span_of(view.layout)
        if isinstance(view.layout.offset, Offset):
            small = view.layout.offset.index < self.program.offsets
            return None if small else f"there is no run-time offset @{view.layout.offset.index}"
        if span is None:
            return None
        size, item = self.sizes[home], view.dtype.itemsize
        if span[0] < 0 or size is not None and (span[1] + 1) * item > size:
            return f"%{view.value} is touched at elements {span[0]} to {span[1]} of {size} bytes"
        return None


def span_of(layout: Layout) -> tuple[int, int] | None:
    """The first and the last element that a layout touches; None where it touches none."""
    if 0 in layout.size:
        return None
    start = 0 if isinstance(layout.offset, Offset) else layout.offset
    steps = [(n - 1) * s for n, s in zip(layout.size, layout.stride)]
    return start + sum(s for s in steps if s < 0), start + sum(s for s in steps if s > 0)


# ------------------------------------------------------------------ clusters


def fused_fault(fused: Fused) -> str | None:
    """What is wrong with clusters: their order, their members, and the program that they make."""
    order = order_fault(fused.clusters)
    if order is not None:
        return order
    for cluster in fused.clusters:
        fault = cluster_fault(cluster)
        if fault is None and cluster.kind == "reduce" and overtaken(cluster.members, fused.homes):
            fault = f"a pass of cluster {cluster.number} needs what an earlier one wrote over"
        if fault is not None:
            return fault
    return Checker(fused.program).check(in_order(fused))


def in_order(fused: Fused) -> Iterable[Call]:
    """The calls as they will run; constants and bare memory, which no cluster makes, come first."""
    grouped = {o.value for c in fused.clusters for m in c.members for o in m.call.outs}
    for call in fused.program.calls:
        if not any(out.value in grouped for out in call.outs):
            yield call
    for cluster in fused.clusters:
        yield from (member.call for member in cluster.members)


def order_fault(clusters: Sequence[Cluster]) -> str | None:
    """Clusters come after those that they need."""
    there = {c.number for c in clusters}
    done: set[int] = set()
    for cluster in clusters:
        missing = (set(bits(cluster.needs)) & there) - done
        if missing:
            return f"cluster {cluster.number} comes before {missing}, which it needs"
        done.add(cluster.number)
    return None


def cluster_fault(cluster: Cluster) -> str | None:
    """Members walk over the cluster's domain, and read what it makes where it is made."""
    if cluster.kind not in ("map", "reduce"):
        return None
    made: dict[int, Any] = {}
    for member in cluster.members:
        touched: list[tuple[Ref | Out, Any]] = [*member.reads, *member.outs]
        for view, strides in touched:
            if len(strides) != len(cluster.domain):
                return f"%{view.value} has {len(strides)} strides over {cluster.domain}"
        for ref, strides in member.reads:
            if ref.value in made and not same_strides(strides, made[ref.value], cluster.domain):
                return f"%{ref.value} is not read where it is made: {member.call}"
        made.update((out.value, strides) for out, strides in member.outs)
    return None


# ------------------------------------------------------------------ memory


def verify_memory(births: Sequence[Birth], starts: dict[Any, int], size: int) -> None:
    """Raise Broken where two storages that live at one time overlap, or one leaves the arena."""
    open_until: list[tuple[int, int, int, Any]] = []  # last step, start, end, home
    for home, nbytes, first, last in births:
        start, end = starts[home], starts[home] + nbytes
        if end > size:
            raise Broken(f"%{home} ends at {end} of an arena of {size} bytes")
        open_until = [other for other in open_until if other[0] >= first]
        for _, low, high, other in open_until:
            if start < high and low < end:
                raise Broken(f"%{home} and %{other} lie in the same memory at the same time")
        open_until.append((last, start, end, home))
