"""What a launch should cost: the operations that it does, and the bytes that it must move.

An operation is one sign or function of a scalar tree at one element; a step of a product is two.
Bytes are what must be read and written at least, each element once. Read by people only
(observe.py): nothing is decided by these numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod
from typing import Any

from flambeau.codegen.cpu.gemm import amx, combine, dot, kernel, pack, pairs, sweep
from flambeau.codegen.scalar import cost
from flambeau.compiler.clusters import Cluster, Fused, Member
from flambeau.compiler.scheduled import Scheduled
from flambeau.compiler.trees import Writer
from flambeau.ir.kernel import Stage, leaves
from flambeau.ir.layout import Ints
from flambeau.ir.program import POSITIONS, Call, Ref
from flambeau.ir.tree import Leaf, Pick, Tree
from flambeau.runtime.threads import Launch

Cost = tuple[float, float]  # operations, bytes
TRANSCENDENTAL = 16.0  # operations that a polynomial for exp, log, sin, … takes, about

WORDS = {
    "gemm": kernel.WORDS, "amx": amx.WORDS, "dot": dot.WORDS, "sweep": sweep.WORDS,
    "combine": combine.WORDS, "pack": pack.WORDS, "pairs": pairs.WORDS,
}  # fmt: skip


def nest_cost(scheduled: Scheduled) -> Cost:
    """Of a loop nest."""
    return nest_operations(scheduled), nest_bytes(scheduled)


def nest_operations(scheduled: Scheduled) -> float:
    """Those of each pass, for every element that it visits."""
    total = 0.0
    for stage in scheduled.nest.stages:
        operations, _ = cost(*stage_trees(stage))
        total += (operations + len(stage.reduces)) * prod(scheduled.sizes)
    return total


def stage_trees(stage: Stage) -> list[Any]:
    return [r.value for r in stage.reduces] + [s.value for s in stage.stores]


def nest_bytes(scheduled: Scheduled) -> float:
    """Each element once in, once out."""
    nest, total = scheduled.nest, 0.0
    stored = {store.access for stage in nest.stages for store in stage.stores}
    loaded: set[int] = set()
    for tree in nest.trees():
        loaded |= leaves(tree, "load") | leaves(tree, "pick")
    for number, operand in enumerate(scheduled.operands):
        if operand.home is not None:
            touched = prod(n for n, s in zip(scheduled.sizes, operand.strides) if s)
            total += touched * operand.dtype.itemsize * ((number in stored) + (number in loaded))
    return total


def kernel_cost(name: str, launch: Launch, cluster: Cluster, done: int) -> tuple[Cost, int]:
    """Of a kernel that is no nest; and how many steps of the cluster's product it does.

    done: how many steps earlier launches of the same product did, where k is cut into parts.
    """
    calls = [member.call for member in cluster.members]
    if cluster.kind != "matmul":
        return (0.0, call_bytes(calls)), 0
    elements, depth = prod(cluster.domain), steps_of(calls[0])
    after = float(elements * (len(calls) - 1))
    if name == "weights":  # packed for a convolution
        return (0.0, 2.0 * size_of(next(calls[0].refs()))), 0
    if name not in WORDS:  # convolutions: the first launch is the product
        all_of_it = (2.0 * elements * depth + after, call_bytes(calls))
        return ((0.0, 0.0), 0) if done else (all_of_it, depth)
    words = {word: value for word, (_, value) in zip(WORDS[name], launch.words)}
    item = next(calls[0].refs()).dtype.itemsize
    if name in ("pack", "pairs"):
        batch = prod(size for _, size in launch.words[len(WORDS[name]) :: 3])
        return (0.0, 2.0 * words["lines"] * words["k"] * item * batch), 0
    if name == "combine":
        return (float(words["parts"] * elements), (words["parts"] + 1.0) * elements * item), 0
    steps = (depth - done) // max(words["k"], 1) * words["k"]
    share = steps / depth if depth else 1.0
    operations = 2.0 * elements * steps + (after if steps == depth else 0.0)
    return (operations, share * call_bytes(calls)), steps


def steps_of(call: Call) -> int:
    """How many products are added for each element of a product's or a convolution's result."""
    first = next(call.refs())
    if call.op.name == "_correlate":  # weights: [group, out, channel, *taps]
        return prod(first.size[2:])
    if call.op.name == "_correlate_weight":  # a gradient: [n, channel, *places]
        return prod(first.size) // max(first.size[1], 1)
    return first.size[-1]


def size_of(ref: Ref) -> int:
    """Bytes of what a call sees."""
    return ref.layout.numel * ref.dtype.itemsize


class Weigher(Writer):
    """Makes each call's tree by itself: what it reads is a leaf, whoever makes it."""

    def read(self, ref: Ref, strides: Ints, stage: int) -> Tree:
        return Leaf("read", ref.dtype)

    def picked(self, read: tuple[Ref, Ints]) -> Callable[[Tree], Tree]:
        return lambda position: Pick(0, position, read[0].dtype)

    def weight(self, member: Member) -> float:
        """The work of a call, in steps of a product for one element."""
        if member.level == "core":
            return float(steps_of(member.call))
        if member.level == "reduce":
            return 1.0 + tree_weight(self.reduce(member, 0).value)
        return tree_weight(self.make(member, 0))


def tree_weight(tree: Tree) -> float:
    operations, transcendental = cost(tree)
    return operations + (TRANSCENDENTAL - 1.0) * transcendental


def shares(cluster: Cluster, fused: Fused) -> list[float]:
    """How a kernel's time is divided among its calls: by their operations.

    A guess, as they run in one loop: an operation counts as much as a step of a product does, one
    like exp as much as TRANSCENDENTAL of them; whoever only moves elements counts as half a one.
    """
    if len(cluster.members) == 1:
        return [1.0]
    weigher = Weigher(cluster, fused, set())
    weights = [max(weigher.weight(m), 0.5) * visits(m, cluster) for m in cluster.members]
    total = sum(weights)
    return [weight / total if total else 1 / len(weights) for weight in weights]


def visits(member: Member, cluster: Cluster) -> int:
    """How many elements a call visits."""
    return prod(cluster.kept if member.level == "row" else cluster.domain)


def call_bytes(calls: Iterable[Call]) -> float:
    """What calls read from outside, and what the last one writes."""
    calls = list(calls)
    made = {out.value for call in calls for out in call.outs}
    reads = {ref for call in calls for ref in call.refs() if ref.value not in made}
    total = sum(size_of(r) for r in reads if r.value != POSITIONS)
    return float(total + sum(o.layout.numel * o.dtype.itemsize for o in calls[-1].outs))


__all__ = ["Cost", "call_bytes", "kernel_cost", "nest_cost", "shares", "steps_of"]
