"""Turns: a loop of two inside another one, walked as one where memory cannot.

    x0[i, j] = x1[i]      over (14, 2)    →    x0[k] = x1[k / 2]                    over 28
    x0[i, j] = x1[j, i]   over (14, 2)    →    x0[k] = x1[k / 2 + 14 · (k % 2)]     over 28

A loop of two fills an eighth of a vector. Spreading what a pool of pairs has gathered is the first,
putting the phases of a transposed convolution together the second.
"""

from __future__ import annotations

from flambeau.compiler.clusters import Cluster, mergeable, picked
from flambeau.ir.layout import Ints
from flambeau.ir.program import POSITIONS

SHARES = 2


def in_turns(cluster: Cluster, loops: list[tuple[int, ...]]) -> bool:
    """Whether a map's last two loops are to be one, in which some reads take turns."""
    if len(loops) < 2 or len(loops[-1]) != 1 or cluster.domain[loops[-1][0]] != SHARES:
        return False
    pair = loops[-2][-1], loops[-1][0]
    for member in cluster.members:
        reads = [(s, ref.value == POSITIONS or ref is picked(member)) for ref, s in member.reads]
        for strides, whole in [*reads, *((s, True) for _, s in member.outs)]:
            if mergeable(strides, cluster.domain, pair):
                continue
            if whole or strides[pair[0]] not in (0, 1):
                return False
    return True


def shares_of(strides: Ints, loop: tuple[int, ...], domain: Ints) -> tuple[int, int, int] | None:
    """Of an access that takes turns along this loop: its stride, how many shares, how far apart."""
    real = [d for d in loop if domain[d] != 1]
    if len(real) < 2 or mergeable(strides, domain, tuple(real[-2:])):
        return None
    return strides[real[-2]], SHARES, strides[real[-1]]
