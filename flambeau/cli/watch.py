"""What `flambeau explain` does inside the program's own process: it watches, and measures.

`startup/sitecustomize.py` calls `begin`; the report is printed when the process ends. What the
user's program computes is the same with and without it.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import time
from typing import Any

from flambeau.cli.measure import Measured, measure
from flambeau.ir.record import field, record
from flambeau.runtime.buffers import Buffer
from flambeau.trace import programs
from flambeau.trace.programs import Entry

RUN_TO_MEASURE = 2  # the compiled run of a program that is measured; the first one warms things up


@record
class Record:
    """What happened to one program. compiled_at: its sighting; gaps: seconds between sightings."""

    entry: Entry
    number: int
    runs: int = 0
    replays: int = 0
    compiled_at: int = 0
    last: float = 0.0
    gaps: list[float] = field(default_factory=list)
    measured: Measured | None = None
    problem: str = ""

    @property
    def spent(self) -> float:
        """µs in all its runs, by what one takes; by estimate where that is unknown."""
        return self.runs * (self.measured.whole if self.measured else self.entry.cost)


class Watch:
    """Called before each run of a program."""

    def __init__(self, step: int | None = None) -> None:
        self.step, self.steps = step, 0
        self.records: dict[int, Record] = {}
        self.chosen: Record | None = None

    def __call__(self, entry: Entry, memory: list[Buffer], numbers: list[Any],
                 offsets: list[int]) -> None:  # fmt: skip
        self.steps += 1
        record = self.records.setdefault(id(entry), Record(entry, len(self.records) + 1))
        note(record)
        wanted = self.steps == self.step
        if wanted:
            self.chosen = record
        if wanted or self.step is None and record.replays == RUN_TO_MEASURE:
            try:
                record.measured = measure(entry, memory, numbers, offsets)
            except Exception as error:  # the program itself is about to meet the same one
                record.problem = f"{type(error).__name__}: {error}"
        record.last = time.perf_counter()

    def choose(self) -> Record | None:
        """The step asked for, else the program in which most time went."""
        if self.step is not None:
            return self.chosen
        return next(iter(self.dearest()), None)

    def dearest(self) -> list[Record]:
        """All programs, those that were measured first, and by the time that went into them."""
        return sorted(self.records.values(), key=lambda r: (r.measured is None, -r.spent))


def note(record: Record) -> None:
    """Count a run."""
    record.runs += 1
    if record.last:
        record.gaps.append(time.perf_counter() - record.last)
    if record.entry.compiled is not None:
        record.compiled_at = record.compiled_at or record.runs
        record.replays += 1


def begin(options: str) -> None:
    """Watch this process; `options` is the text that cli/explain.py wrote."""
    wanted = json.loads(options)
    watch = Watch(wanted["step"])
    programs.watchers.append(watch)
    process = os.getpid()

    def end() -> None:
        if os.getpid() == process:
            programs.watchers.remove(watch)
            finish(watch, wanted)

    atexit.register(end)


def finish(watch: Watch, wanted: dict[str, Any]) -> None:
    """Print the report, or write the page."""
    from flambeau.cli.explanation import Explanation

    explanation = Explanation(watch)
    sys.stdout.flush()
    if wanted["html"]:
        explanation.save(wanted["html"])
        print(f"flambeau explain: {wanted['html']}", file=sys.stderr)
    else:
        print(explanation.text(wanted["code"], wanted["kernel"]), flush=True)
