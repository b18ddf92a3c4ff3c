"""What was measured, and how two series of times become one ratio."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

RELATIVE, ABSOLUTE = 1e-4, 1e-6  # how far values may lie apart, where the row does not say


@dataclass
class Result:
    """One measured line: seconds a unit, and the ratio of the times with its spread."""

    group: str
    name: str
    theirs: float = math.nan
    ours: float = math.nan
    ratio: float = math.nan
    low: float = math.nan
    high: float = math.nan
    wanted: float = 1.0  # the ratio to reach
    limit: float | None = None  # seconds that the machine needs at the very least
    values: tuple[float, float] | None = None  # the last of those compared
    differ: str = ""  # says where values lie too far apart
    error: str = ""
    peers: dict[str, str] = field(default_factory=dict)  # what others need, in words

    @property
    def good(self) -> bool:
        """Whether it ran, and both frameworks agreed."""
        return not (self.error or self.differ)


def compare(group: str, name: str, theirs: Sequence[Sequence[float]],
            ours: Sequence[Sequence[float]], values: Sequence[Sequence[float]] = ((), ()),
            per: int = 1, tolerance: float = RELATIVE) -> Result:
    """The result of alternating turns: medians in each, one ratio a turn, the median of those."""
    ratios = sorted(median(a) / median(b) for a, b in zip(theirs, ours, strict=True))
    result = Result(group, name, ratio=median(ratios), low=ratios[0], high=ratios[-1],
                    theirs=median(t for turn in theirs for t in turn) / per,
                    ours=median(t for turn in ours for t in turn) / per)
    if values[0] and values[1]:
        result.values = (values[0][-1], values[1][-1])
        result.differ = difference(*values, tolerance)
    return result


def difference(theirs: Sequence[float], ours: Sequence[float],
               tolerance: float = RELATIVE) -> str:
    """The first pair of values that lie too far apart, in words; empty where there is none."""
    if len(theirs) != len(ours):
        return f"{len(theirs)} values against {len(ours)}"
    for i, (a, b) in enumerate(zip(theirs, ours, strict=True)):
        both_nan = math.isnan(a) and math.isnan(b)
        if not both_nan and not abs(a - b) <= tolerance * abs(a) + ABSOLUTE:
            return f"value {i}: {a!r} against {b!r}"
    return ""


def geometric_mean(ratios: Sequence[float]) -> float:
    """The mean that treats 2 and 1/2 alike."""
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else math.nan
