"""A program's story, put together for readers: the same facts for the text and for the page.

What was recorded, what each pass made of it, the kernels that came out, and the threads that lead
from a line of the user's file to its calls, and from a call to its kernels.
"""

from __future__ import annotations

import linecache
import os

from flambeau.cli.peak import Peak, peak
from flambeau.cli.watch import Record
from flambeau.compiler.estimate import shares
from flambeau.compiler.observe import Note, Observer
from flambeau.compiler.origins import Origins, origins
from flambeau.compiler.timing import observed
from flambeau.ir.program import Call, Program, Source
from flambeau.ir.record import field, record


@record
class Cost:
    """What one launch took. time in µs, None where it was not measured; the rest in percent."""

    time: float | None = None
    share: float = 0.0
    of_peak: float | None = None
    bound: str = ""  # what takes that least time: arithmetic or memory


@record
class Story:
    """Everything that is known about one program. Kernels and calls are numbered from 0."""

    record: Record
    program: Program
    observer: Observer
    origins: Origins
    costs: list[Cost]
    peak: Peak | None
    kernels_of: dict[int, list[int]] = field(default_factory=dict)  # by recorded call
    time_of: dict[int, float] = field(default_factory=dict)  # µs: its share of these kernels

    @property
    def notes(self) -> list[Note]:
        return self.observer.notes

    def members(self, kernel: int) -> list[Call]:
        """The calls that a kernel does, as the fuser has them."""
        cluster = self.observer.fused.clusters[self.notes[kernel].cluster]
        return [member.call for member in cluster.members]

    def origin(self, call: Call) -> int | None:
        """The recorded call that a call of a later pass is a part of."""
        return next((self.origins[o.value] for o in call.outs if o.value in self.origins), None)

    def calls_of(self, kernel: int) -> list[int]:
        """The recorded calls that a kernel does, or has a part in, in order."""
        found = {self.origin(call) for call in self.members(kernel)}
        return sorted(number for number in found if number is not None)

    def fate(self, call: int) -> str:
        """Why a recorded call has no kernel of its own; empty where it has."""
        if call in self.kernels_of:
            return ""
        fused = self.observer.fused
        values = {out.value for out in self.program.calls[call].outs}
        if values & set(fused.constants):
            return "a constant: whoever reads it knows the number"
        return "left out: nobody needs it, or it is there already"

    def lines(self) -> dict[Source | None, list[int]]:
        """The user's lines, by file and number, and the calls that each recorded."""
        found: dict[Source | None, list[int]] = {}
        for number, call in enumerate(self.program.calls):
            found.setdefault(call.source, []).append(number)
        return dict(sorted(found.items(), key=lambda item: place(item[0])))


def tell(record: Record) -> Story:
    """Put together what is known about a program."""
    program = record.entry.program
    measured = record.measured
    observer = measured.observer if measured else observed(program, record.entry.constant or {})
    known = origins(program, [thing for _, thing in observer.stages])
    if measured is None:
        costs, limits = [Cost() for _ in observer.notes], None
    else:
        limits = peak()
        costs = [cost_of(n, t, sum(measured.times), limits)
                 for n, t in zip(observer.notes, measured.times)]  # fmt: skip
    story = Story(record, program, observer, known, costs, limits)
    thread(story)
    return story


def thread(story: Story) -> None:
    """Lead from each recorded call to its kernels, and to its share of their time."""
    for kernel, cost in enumerate(story.costs):
        for number in story.calls_of(kernel):
            story.kernels_of.setdefault(number, []).append(kernel)
        cluster = story.observer.fused.clusters[story.notes[kernel].cluster]
        for member, share in zip(cluster.members, shares(cluster, story.observer.fused)):
            origin = story.origin(member.call)
            if origin is not None and cost.time is not None:
                story.time_of[origin] = story.time_of.get(origin, 0.0) + share * cost.time


def cost_of(note: Note, time: float, total: float, limits: Peak) -> Cost:
    """A launch's time, beside all and beside the least that it could take."""
    share = 100 * time / total if total else 0.0
    least, bound = limits.least(note.operations, note.bytes)
    if not time or not least:
        return Cost(time, share)
    return Cost(time, share, 100 * least / time, bound)


def place(source: Source | None) -> tuple[str, int]:
    return (source.file, source.line) if source is not None else ("", 0)


def brief_place(source: Source | None) -> str:
    """train.py:19"""
    return f"{os.path.basename(source.file)}:{source.line}" if source is not None else "no line"


def code_line(source: Source | None) -> str:
    """The user's line itself, if its file can be read."""
    return linecache.getline(source.file, source.line).strip() if source is not None else ""


__all__ = ["Cost", "Story", "brief_place", "code_line", "place", "tell"]
