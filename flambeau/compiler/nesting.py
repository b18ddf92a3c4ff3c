"""Loops: in which order a cluster walks over its domain, and what is one loop.

    domain (32, 8, 100), reduces dim 2          32 · 8 rows, along 100: 2 loops, "rows"
    domain (100, 256), reduces dim 0      →     down 100, across 256:   2 loops, "columns"
    domain (256, 10), reduces dim 1             down 10, across 256:    vectors across short rows

Memory decides: what lies one after the other belongs into one vector.
"""

from __future__ import annotations

from math import prod

from flambeau.compiler.clusters import Cluster
from flambeau.ir.layout import Ints
from flambeau.ir.program import POSITIONS, Out, Ref

SHORT_ROW = 12  # elements of a row up to which vectors run across rows
SHORT_REDUCED_ROW = 32  # the same where nothing is stored for each element
FEWEST_ROWS = 32  # for both
SQUARE = 8  # turns that each of two loops has at least where they are walked in tiles


def order_dims(cluster: Cluster, stored: set[int]) -> tuple[list[int], list[int], str]:
    """Dims outside and inside the reduction, and the mode."""
    domain, reduced = cluster.domain, cluster.reduced
    kept = [d for d in range(len(domain)) if d not in reduced]
    main = largest(cluster, stored)
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


def largest(cluster: Cluster, stored: set[int]) -> Ints:
    """The strides of the access that moves most: outputs of maps, inputs of reductions."""
    ways = [(s, o.layout.numel) for m in cluster.members for o, s in m.outs
            if m.level == "element" and (cluster.reduced or o.value in stored)]  # fmt: skip
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


def rows_are_short(cluster: Cluster, nested: list[tuple[int, ...]], stored: set[int]) -> bool:
    """Whether a vector should hold one element each of many rows, rather than a row or two.

    Along the row nothing is left then to be done between lanes. The elements are gathered, which
    machines do for those of 4 and 8 bytes.
    """
    if len(nested) < 2:
        return False
    row, rows = (prod(cluster.domain[d] for d in dims) for dims in reversed(nested[-2:]))
    touched: list[tuple[Ref | Out, Ints]] = []
    for m in cluster.members:
        touched += [*m.reads, *m.outs]
    moved = [x.dtype.itemsize for x, strides in touched if any(strides[d] for d in nested[-1])]
    short = row <= longest_short(cluster, stored) and rows >= FEWEST_ROWS
    return short and min(moved, default=8) >= 4


def longest_short(cluster: Cluster, stored: set[int]) -> int:
    """How long a row may be for that: to scatter is dear, and the lanes of a sum add up fast."""
    members = cluster.members
    stores = any(m.level == "element" and o.value in stored for m in members
                 for o, _ in m.outs)  # fmt: skip
    lone = len(members) == 1 and members[0].call.op.reduce == "sum"
    return SHORT_ROW if stores or lone else SHORT_REDUCED_ROW


def in_tiles(cluster: Cluster, loops: list[tuple[int, ...]], stored: set[int]) -> bool:
    """Whether a map's memory lies along two loops; they become the last two.

    A vector along the last loop would be gathered from one cache line for each of its lanes.
    """
    if len(loops) < 2 or prod(cluster.domain[d] for d in loops[-1]) < SQUARE:
        return False
    outs = [s for m in cluster.members for o, s in m.outs if o.value in stored]
    if any(s[loops[-1][-1]] != 1 for s in outs):
        return False
    for strides in memory_ways(cluster):
        if strides[loops[-1][-1]] not in (0, 1):
            for loop in loops[:-1]:
                if strides[loop[-1]] == 1 and prod(cluster.domain[d] for d in loop) >= SQUARE:
                    loops.insert(len(loops) - 2, loops.pop(loops.index(loop)))
                    return True
    return False


def memory_ways(cluster: Cluster) -> list[Ints]:
    """The strides of what a cluster reads from memory."""
    reads = [read for m in cluster.members for read in m.reads]
    return [s for ref, s in reads if ref.value not in cluster.made and ref.value != POSITIONS]


def all_ways(cluster: Cluster) -> list[Ints]:
    return [s for m in cluster.members for _, s in [*m.reads, *m.outs]]
