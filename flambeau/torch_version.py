"""Versions that compare by their numbers: TorchVersion("2.13.0") > "2.9", or (2, 9)."""

from __future__ import annotations

import re
from typing import Any


def parts_of(version: Any) -> tuple[Any, ...]:
    """The numbers of a version; one that is not released yet comes before those that are."""
    text = ".".join(map(str, version)) if isinstance(version, (tuple, list)) else str(version)
    public, _, _ = text.partition("+")
    found = re.match(r"v?(\d+(?:\.\d+)*)(.*)", public)
    if found is None:
        raise ValueError(f"Invalid version: '{version}'")
    numbers = [int(n) for n in found[1].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers), not found[2] or found[2].startswith(".post"), found[2]


class TorchVersion(str):
    """A string that compares with strings and tuples as versions do."""

    def _compared(self, other: Any) -> int | None:
        try:
            ours, theirs = parts_of(str(self)), parts_of(other)
        except ValueError:
            return None
        return (ours > theirs) - (ours < theirs)

    def __eq__(self, other: object) -> bool:
        found = self._compared(other)
        return str.__eq__(self, other) if found is None else found == 0  # type: ignore[arg-type]

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __lt__(self, other: Any) -> bool:
        found = self._compared(other)
        return str.__lt__(self, other) if found is None else found < 0

    def __le__(self, other: Any) -> bool:
        return self < other or self == other

    def __gt__(self, other: Any) -> bool:
        return not self <= other

    def __ge__(self, other: Any) -> bool:
        return not self < other

    __hash__ = str.__hash__


__version__ = TorchVersion("2.13.0+flambeau.0.1.0")  # the interface's, then Flambeau's own
