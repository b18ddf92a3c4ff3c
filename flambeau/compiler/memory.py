"""Plan memory: where each storage of a program lies while its tape runs.

    storage   made by   last read by        place
    %2        cluster 1 cluster 3           arena + 0
    %4        cluster 2 the end (live)      a buffer of its own
    %5        cluster 4 cluster 5           arena + 0       (%2 is dead by then)

Inputs stay where they are; live results get buffers that outlast the run; everything else shares
one arena, by life time, first fit.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable

ALIGNMENT = 64


def rounded(nbytes: int) -> int:
    return -(-max(nbytes, 1) // ALIGNMENT) * ALIGNMENT


class Arena:
    """One block that temporary storages share."""

    def __init__(self) -> None:
        self.size = self.now = 0
        self.taken: list[tuple[int, int, int]] = []  # (start, end, last step that uses it), sorted

    def place(self, nbytes: int, first: int, last: int) -> int:
        """The lowest start at which `nbytes` are free from step `first` on."""
        need = rounded(nbytes)
        if first != self.now:
            self.now, self.taken = first, [t for t in self.taken if t[2] >= first]
        start = 0
        for begin, end, _ in self.taken:
            if begin - start >= need:
                break
            start = max(start, end)
        insort(self.taken, (start, start + need, last))
        self.size = max(self.size, start + need)
        return start


def plan_memory(births: Iterable[tuple[int, int, int, int]]) -> tuple[dict[int, int], int]:
    """(home, bytes, first step, last step), in order of the first → (home → start, arena size)."""
    arena, starts = Arena(), {}
    for home, nbytes, first, last in births:
        starts[home] = arena.place(nbytes, first, last)
    return starts, arena.size
