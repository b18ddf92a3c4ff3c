"""Abreast: small launches that need nothing of each other run at once.

    1  rows  %1 = sum(%0)     1 task      One after the other, they keep one thread busy and the
    2  rows  %3 = sum(%2)     1 task      others waiting. As a group they are a job of three tasks:
    3  rows  %5 = sum(%4)     1 task      no bit depends on which thread does which.

Only neighbours become a group: the order of launches stays. Two of them are apart where neither
writes to memory that the other touches.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import TYPE_CHECKING

from flambeau.compiler.clusters import Cluster
from flambeau.compiler.reaching import touched_homes
from flambeau.ir.record import field, record
from flambeau.runtime.threads import Launch

if TYPE_CHECKING:
    from flambeau.compiler.emit import Emitter, Step

GAIN = 1 << 14  # elements that are done meanwhile, at least: some µs, as to share costs one
STEPS = 16  # of a product take as long as an element of a loop
FEW = 8  # tasks of a launch that could do with some more
MOST = 256  # launches of a group
ERROR = 1  # the frame word of what can fail

Area = tuple[int, int, int]  # the frame word that it begins at; first and last byte from there


@record
class Touched:
    """The memory that launches touch."""

    reads: set[Area] = field(default_factory=set)
    writes: set[Area] = field(default_factory=set)
    own: set[Area] = field(default_factory=set)  # a part for each thread

    def apart(self, other: Touched) -> bool:
        """Whether neither writes to what the other touches."""
        if meets(self.writes, other.reads | other.writes | other.own):
            return False
        if meets(other.writes, self.reads | self.own) or meets(self.own, other.reads):
            return False
        return not meets(other.own, self.reads) and not meets(self.own, other.own - self.own)

    def add(self, other: Touched) -> None:
        """Touch what the other touches, too."""
        self.reads |= other.reads
        self.writes |= other.writes
        self.own |= other.own


def groups(emitter: Emitter, step: Step) -> list[tuple[int, int]]:
    """The groups of a step's launches: the first of each, and how many."""
    found: list[tuple[int, int]] = []
    first, works, touched = 0, [0.0], Touched()

    def close(end: int) -> None:
        if min(sum(works) / 2, sum(works) - max(works)) >= GAIN:
            found.append((first, end - first))

    for number, (launch, of) in enumerate(zip(step.launches, step.clusters)):
        cluster = emitter.fused.clusters[of]
        alone = step.clusters.count(of) == 1 and small(launch, cluster)
        its = touched_by(emitter, of) if alone else Touched()
        if not alone or number - first == MOST or not its.apart(touched):
            close(number)
            first, works, touched = number + (not alone), [0.0], Touched()
        if alone:
            works.append(work(cluster))
            touched.add(its)
    close(len(step.launches))
    return found


def small(launch: Launch, cluster: Cluster) -> bool:
    """Whether a launch is too little for all threads, and cannot fail."""
    if cluster.kind not in ("map", "reduce", "matmul") or not isinstance(launch.tasks, int):
        return False
    return launch.tasks <= FEW and all(slot != ERROR for slot, _ in launch.words)


def work(cluster: Cluster) -> float:
    """What a cluster does, in elements of a loop, about."""
    depth = 1.0
    if cluster.kind == "matmul":
        depth = max(1.0, next(cluster.members[0].call.refs()).layout.size[-1] / STEPS)
    return prod(cluster.domain) * (depth + len(cluster.members) - 1)


def touched_by(emitter: Emitter, of: int) -> Touched:
    """The memory that a cluster touches, where it lies in a frame."""
    cluster, homes = emitter.fused.clusters[of], emitter.fused.homes
    reaching = {homes[value] for value in emitter.stored if value in homes}
    written = {homes[out.value] for member in cluster.members for out, _ in member.outs} & reaching
    read = (touched_homes(cluster, emitter.fused) & reaching) - written
    arena = emitter.slots["arena"]
    its = Touched(*({area(emitter, home) for home in some} for some in (read, written)))
    for (number, key), nbytes in emitter.scratch.items():
        if number == of:
            start = emitter.starts[number, key]
            private = isinstance(key, tuple) and key[0] == "scratch"
            (its.own if private else its.writes).add((arena, start, start + nbytes))
    return its


def area(emitter: Emitter, home: int) -> Area:
    """Where a storage lies."""
    if ("home", home) in emitter.slots:
        return emitter.slots["home", home], 0, 1
    start = emitter.starts[home]
    return emitter.slots["arena"], start, start + emitter.sizes[home]


def meets(some: Iterable[Area], others: Iterable[Area]) -> bool:
    """Whether two sets of areas have a byte in common."""
    return any(a == b and low < past and first < high
               for a, low, high in some for b, first, past in others)  # fmt: skip
