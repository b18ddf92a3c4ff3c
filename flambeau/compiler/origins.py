"""Which recorded call each call of a later pass is a part of.

    recorded   %8 = log_softmax(%5)               call 2
    fused      %31 = amax(%5), …, %35 = log(%34)  call 2
               %8 = sub(%32, %35)                 call 2

Passes keep the numbers of values that calls were recorded for; what they put in front of such a
value, under fresh numbers, is a part of the same call. For people to read; nothing depends on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flambeau.ir.program import Call, Program, Source

Origins = dict[int, int]  # value → the number of a recorded call


def origins(recorded: Program, stages: Iterable[Any]) -> Origins:
    """For the values of all passes; `stages` are programs, the last one clusters."""
    known = {o.value: n for n, call in enumerate(recorded.calls) for o in call.outs}
    for stage in stages:
        calls = calls_of(stage)
        trace(list(reversed(calls)), known)
        trace(calls, known)
    return known


def calls_of(stage: Any) -> list[Call]:
    """The calls of a program, or of clusters."""
    if isinstance(stage, Program):
        return list(stage.calls)
    return [member.call for cluster in stage.clusters for member in cluster.members]


def trace(calls: list[Call], known: Origins) -> None:
    """Give fresh values the origin of the call met before them that stands in the same line."""
    nearest: dict[Source | None, int] = {}
    for call in calls:
        own = next((known[o.value] for o in call.outs if o.value in known), None)
        if own is None:
            own = nearest.get(call.source)
        if own is not None:
            nearest[call.source] = own
            for out in call.outs:
                known.setdefault(out.value, own)


__all__ = ["Origins", "origins"]
