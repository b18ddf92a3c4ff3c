"""Which values reach memory, and how much of it their storages are; see fuse.py and memory.py.

    cluster 1   %2 = mm(%0, %1)                %3 reaches memory: cluster 2 reads it
                %3 = relu(%2)             →    %4 does not: only its own cluster does
    cluster 2   %4 = exp(%3)                   %5 does: it is live
                %5 = sum(%4)
"""

from __future__ import annotations

from flambeau.compiler.clusters import Cluster, Fused
from flambeau.ir.program import POSITIONS


def reaches_memory(fused: Fused) -> set[int]:
    """Values that another cluster reads, that are wanted at the end, or that overwrite memory."""
    wanted = {fused.homes[v] for v in fused.program.live}
    stored: set[int] = set()
    maker = {v: c.number for c in fused.clusters for v in c.made}
    for cluster in fused.clusters:
        for member in cluster.members:
            for ref, _ in member.reads:
                if maker.get(ref.value) != cluster.number:
                    stored.add(ref.value)
            for out, _ in member.outs:
                if out.over is not None and maker.get(out.over) != cluster.number:
                    stored.add(out.over)  # elements that are not written over keep its values
                if out.over is not None or member.level == "core" and cluster.kind != "matmul":
                    stored.add(out.value)
                if fused.homes[out.value] in wanted:
                    stored.add(out.value)
    return stored - superseded(fused)


def superseded(fused: Fused) -> set[int]:
    """Values that their own cluster overwrites, element by element, before anybody reads them."""
    gone = set()
    for cluster in fused.clusters:
        for member in cluster.members:
            for out, _ in member.outs:
                if out.over in cluster.made and cluster.kind != "alone":
                    gone.add(out.over)
    return gone


def touched_homes(cluster: Cluster, fused: Fused) -> set[int]:
    """Every storage whose memory a cluster may touch."""
    homes = set()
    for member in cluster.members:
        for ref, _ in member.reads:
            if ref.value != POSITIONS:
                homes.add(fused.homes[ref.value])
        homes.update(fused.homes[o.value] for o, _ in member.outs)
    return homes


def storage_bytes(fused: Fused) -> dict[int, int]:
    """How long each storage born here is, from the results that made it."""
    sizes: dict[int, int] = {}
    for call in fused.program.calls:
        for out in call.outs:
            if out.over is None:
                sizes[out.value] = out.layout.numel * out.dtype.itemsize
    return sizes
