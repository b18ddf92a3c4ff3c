"""Finds the period of a sequence of calls, so that a loop is cut at the same place in every turn.

Called by flush.py when too many calls are pending. A cap that cut anywhere would turn a loop of 17
calls into 17 different programs of 1,000.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau.ir.program import Call, Number, Ref
from flambeau.trace import trie
from flambeau.trace.programs import counters
from flambeau.trace.trie import State

LONGEST = 2 * trie.CALL_LIMIT  # a period beyond the limit is looked for in what was cut off before


class Recent:
    """The calls of the last cuts, as long as nothing else came in between."""

    def __init__(self) -> None:
        self.marks: list[int] = []
        self.flushes = -1

    def add(self, marks: list[int]) -> list[int]:
        """All that is known of the sequence, after another cut."""
        if counters.flushes != self.flushes + 1:
            self.marks = []
        self.marks = (self.marks + marks)[-2 * LONGEST :]
        self.flushes = counters.flushes
        return self.marks


recent = Recent()


def in_step(state: State) -> int:
    """After how many calls to cut: the largest multiple of the period below the limit."""
    calls = [s for s in state.path() if isinstance(s.event, Call)]
    period = period_of([signature(s) for s in calls])
    so_far = recent.add([kind_of(s) for s in calls])
    if not period:
        period = period_of(so_far)
    if not period:
        return trie.CALL_LIMIT
    return max(trie.CALL_LIMIT // period, 1) * period


def period_of(marks: Sequence[int]) -> int:
    """The shortest period with which the second half of a sequence repeats itself; 0: none."""
    last = len(marks) - 1
    for period in range(1, min(len(marks) // 2, LONGEST)):
        if marks[last] != marks[last - period] or marks[last - 1] != marks[last - 1 - period]:
            continue
        tail = min(len(marks) - period, max(3 * period, len(marks) // 2))
        if marks[-tail:] == marks[-tail - period : -period]:
            return period
    return 0


def signature(state: State) -> int:
    """A call relative to its place: operands by distance, those from far back by name."""
    call = state.event
    assert isinstance(call, Call)
    sizes = tuple(out.layout.size for out in call.outs)
    return hash((call.op, tuple(part(a, state.slot) for a in call.args), sizes))


def part(arg: Any, slot: int) -> Any:
    """An argument's part of a signature."""
    if isinstance(arg, Ref):
        return distance(slot - arg.value), arg.layout.size, arg.layout.stride
    if isinstance(arg, tuple):
        return tuple(part(a, slot) for a in arg)
    return arg.type if isinstance(arg, Number) else str(arg)


def kind_of(state: State) -> int:
    """A call without its place: what a cut between it and its operands does not change."""
    call = state.event
    assert isinstance(call, Call)
    sizes = tuple(ref.layout.size for ref in call.refs())
    return hash((call.op, sizes, tuple(out.layout.size for out in call.outs)))


def distance(slots: int) -> int | None:
    """How far back an operand lies; what lies far back came from outside the period."""
    return slots if slots < trie.CALL_LIMIT // 4 else None
