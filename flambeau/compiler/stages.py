"""Which pass over a row each member of a cluster belongs to, and what passes must not do.

    %1 over %0 = add(%0, 1)        pass 0   stores over %0
    %2 = sum(%1)                   pass 0
    %3 = true_divide(%1, %2)       pass 1   would compute %1 from %0 again, which is gone: no member

Values are computed again in each pass that needs them. So where a pass has written over memory, no
later pass may need what was there before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def stages(members: Sequence[Any]) -> dict[int, int]:
    """Value → the first pass in which its maker's operands are there."""
    levels: dict[int, str] = {}
    found: dict[int, int] = {}
    for member in members:
        stage = 0
        for ref, _ in member.reads:
            if ref.value in levels:
                once = levels[ref.value] in ("reduce", "row") and member.level != "row"
                stage = max(stage, found[ref.value] + once)
        for out, _ in member.outs:
            levels[out.value], found[out.value] = member.level, stage
    return found


def overtaken(members: Sequence[Any], homes: Mapping[int, int]) -> bool:
    """Whether some pass needs memory as it was before an earlier pass wrote over it."""
    last = stages(members)
    outs = [out for member in members for out, _ in member.outs]
    written = [(homes[out.value], last[out.value]) for out in outs if out.over is not None]
    if not written:
        return False
    needs = memory_needed(members, homes)
    return any(
        home in needs[out.value] and last[out.value] > stage
        for home, stage in written
        for out in outs
    )


def memory_needed(members: Sequence[Any], homes: Mapping[int, int]) -> dict[int, set[int]]:
    """Value → the storages that must be read to compute it again; a reduction's result stays."""
    needs: dict[int, set[int]] = {}
    reduced: set[int] = set()
    for member in members:
        mine: set[int] = set()
        for ref, _ in member.reads:
            if ref.value not in needs:
                mine.update([homes[ref.value]] if ref.value in homes else [])
            elif ref.value not in reduced:
                mine |= needs[ref.value]
        for out, _ in member.outs:
            needs[out.value] = mine
            if member.level == "reduce":
                reduced.add(out.value)
    return needs
