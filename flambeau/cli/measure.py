"""What a program's launches cost: it runs several times on copies of its inputs, piece by piece."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

from flambeau.compiler.observe import Observer
from flambeau.compiler.timing import observed, overhead, timed
from flambeau.ir.record import record
from flambeau.runtime.buffers import Buffer, allocate
from flambeau.trace.programs import Entry

SECONDS = 0.3  # how long to measure
FEWEST, MOST = 3, 50  # repetitions


@record
class Measured:
    """A program taken apart. times: µs of each launch; whole: µs of one undivided run."""

    observer: Observer
    times: list[float]
    whole: float


def measure(entry: Entry, memory: list[Buffer], numbers: list[Any], offsets: list[int]) -> Measured:
    """Run a program several times, and time each launch; `memory` stays as it is."""
    observer = observed(entry.program, entry.constant or {})
    samples: list[list[float]] = [[] for _ in observer.notes]
    least = overhead()

    def heard(number: int, begin: int, end: int) -> None:
        samples[number].append(max(end - begin - least, 0) / 1e3)

    whole_run, divided_run = observer.run, timed(observer, heard)
    copies = [copy_of(buffer) for buffer in memory]
    wholes: list[float] = []
    start = time.perf_counter()
    while len(wholes) < FEWEST or (
        len(wholes) < MOST and time.perf_counter() - start < SECONDS):  # fmt: skip
        refill(copies, memory)
        begun = time.perf_counter_ns()
        whole_run(copies, list(numbers), list(offsets), {})
        wholes.append((time.perf_counter_ns() - begun) / 1e3)
        refill(copies, memory)
        divided_run(copies, list(numbers), list(offsets), {})
    return Measured(observer, [median(times) if times else 0.0 for times in samples],
                    median(wholes))  # fmt: skip


def copy_of(buffer: Buffer) -> Buffer:
    copy = allocate(buffer.memory.nbytes)
    copy.nbytes = buffer.nbytes
    return copy


def refill(copies: list[Buffer], originals: list[Buffer]) -> None:
    for copy, original in zip(copies, originals):
        copy.memory[: original.memory.nbytes] = original.memory


__all__ = ["Measured", "measure"]
