"""What `flambeau explain` does inside the program's own process: it watches, and measures.

`startup/sitecustomize.py` calls `begin`; the report is printed when the process ends. Measuring
runs a program once more, launch by launch, on copies of its inputs: what the user's program
computes is the same with and without it.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from flambeau.codegen.cpu.target import cpu
from flambeau.compiler.emit import Step, runner
from flambeau.compiler.observe import Observer
from flambeau.compiler.pipeline import clusters_of
from flambeau.ir.record import field, record
from flambeau.runtime.buffers import Buffer, allocate
from flambeau.settings import settings
from flambeau.trace import programs
from flambeau.trace.programs import Entry

RUN_TO_MEASURE = 2  # the compiled run of a program that is measured; the first one warms things up
SECONDS = 0.3  # how long to measure
FEWEST, MOST = 3, 50  # repetitions


@record
class Measured:
    """A program taken apart. times: µs of each launch; whole: µs of one undivided run."""

    observer: Observer
    times: list[float]
    whole: float


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

    def __init__(self, step: int | None) -> None:
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
        records = self.records.values()
        measured = [record for record in records if record.measured is not None]
        return max(measured or records, key=lambda record: record.spent, default=None)


def note(record: Record) -> None:
    """Count a run."""
    record.runs += 1
    if record.last:
        record.gaps.append(time.perf_counter() - record.last)
    if record.entry.compiled is not None:
        record.compiled_at = record.compiled_at or record.runs
        record.replays += 1


# ------------------------------------------------------------------ measuring


def measure(entry: Entry, memory: list[Buffer], numbers: list[Any], offsets: list[int]) -> Measured:
    """Run a program several times on copies of its inputs, and time each launch."""
    observer = observed(entry)
    whole_run = observer.emit().run
    clock = Clock(observer)
    copies = [copy_of(buffer) for buffer in memory]
    wholes: list[float] = []
    start = time.perf_counter()
    while len(wholes) < FEWEST or (
        len(wholes) < MOST and time.perf_counter() - start < SECONDS):  # fmt: skip
        for run, times in ((whole_run, wholes), (clock.run, None)):
            refill(copies, memory)
            begun = time.perf_counter_ns()
            run(copies, list(numbers), list(offsets), {})
            if times is not None:
                times.append((time.perf_counter_ns() - begun) / 1e3)
    return Measured(observer, clock.medians(), median(wholes))


def observed(entry: Entry) -> Observer:
    """The program, ready to be emitted as it is when it runs."""
    with settings.override(show=frozenset()):
        return Observer(clusters_of(entry.program), dict(entry.constant or {}))


def copy_of(buffer: Buffer) -> Buffer:
    copy = allocate(buffer.memory.nbytes)
    copy.nbytes = buffer.nbytes
    return copy


def refill(copies: list[Buffer], originals: list[Buffer]) -> None:
    for copy, original in zip(copies, originals):
        copy.memory[: original.memory.nbytes] = original.memory


class Clock:
    """Runs an emitted program launch by launch, and keeps how long each took."""

    def __init__(self, observer: Observer) -> None:
        self.samples: list[list[float]] = [[] for _ in observer.notes]
        self.empty = overhead()
        parts: list[Any] = []
        first = 0
        self.places: list[int] = []  # of each step's first launch among the notes
        for step in observer.steps:
            self.places.append(first)
            parts.append(step.call if step.call is not None else Part(self, step, first))
            first += max(len(step.launches), 1)
        self.run = runner(observer, parts, observer.arena)
        scope = self.run.__globals__
        scope["interpret"] = self.timed(scope["interpret"])

    def timed(self, interpret: Callable[..., None]) -> Callable[..., None]:
        """The same, with its time taken."""

        def run(number: int, *rest: Any) -> None:
            start = time.perf_counter_ns()
            interpret(number, *rest)
            self.samples[self.places[number]].append((time.perf_counter_ns() - start) / 1e3)

        return run

    def medians(self) -> list[float]:
        return [median(times) if times else 0.0 for times in self.samples]


class Part:
    """The launches of one step, each a tape of its own."""

    def __init__(self, clock: Clock, step: Step, first: int) -> None:
        self.clock, self.first = clock, first
        self.tapes = [cpu().tape([launch]) for launch in step.launches]

    def run(self, frame: int) -> int:
        for number, tape in enumerate(self.tapes):
            start = time.perf_counter_ns()
            error = tape.run(frame)
            took = (time.perf_counter_ns() - start) / 1e3
            if error:
                return number + 1
            self.clock.samples[self.first + number].append(max(took - self.clock.empty, 0.0))
        return 0


def overhead() -> float:
    """µs that a tape without launches takes: the way into native code and back."""
    tape, times = cpu().tape([]), []
    frame = (ctypes.c_int64 * 2)()
    address = ctypes.addressof(frame)
    for _ in range(50):
        start = time.perf_counter_ns()
        tape.run(address)
        times.append((time.perf_counter_ns() - start) / 1e3)
    return min(times)


# ------------------------------------------------------------------ beginning and end


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
    """Print the report."""
    from flambeau.report import report

    sys.stdout.flush()
    print(report(watch, wanted["code"]), flush=True)
