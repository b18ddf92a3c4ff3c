"""A compiled program, run launch by launch with a look at the clock between.

    observer = observed(program, constant)          the same kernels, the same memory plan
    run = timed(observer, heard)                    heard(number of the note, begin, end), in ns
    run(inputs, numbers, offsets, {})               what it computes is what it always does

Used by `flambeau explain` and by torch.profiler. Each launch is a tape of its own, so the way into
native code and back is paid for each; `overhead()` says how long that takes.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

from flambeau.codegen.cpu.target import cpu
from flambeau.compiler.emit import Step
from flambeau.compiler.observe import Observer
from flambeau.compiler.pipeline import passes
from flambeau.compiler.running import Run, runner
from flambeau.ir.program import Program
from flambeau.settings import settings

Heard = Callable[[int, int, int], None]


def observed(program: Program, constant: dict[int, int]) -> Observer:
    """The program, emitted as it is when it runs; nothing is printed."""
    with settings.override(show=frozenset(), log=frozenset()):
        stages = list(passes(program, constant))
        observer = Observer(stages[-1][1], dict(constant), stages)
        observer.emit()
    return observer


def timed(observer: Observer, heard: Heard) -> Run:
    """The program's `run`, which tells when each launch, or call in Python, began and ended."""
    parts: list[Any] = []
    places: list[int] = []  # of each step's first launch among the notes
    first = 0
    for step in observer.steps:
        places.append(first)
        parts.append(step.call if step.call is not None else Part(step, first, heard))
        first += max(len(step.launches), 1)
    run = runner(observer, parts, observer.arena)
    scope = run.__globals__
    interpret = scope["interpret"]

    def in_python(number: int, *rest: Any) -> None:
        start = perf_counter_ns()
        interpret(number, *rest)
        heard(places[number], start, perf_counter_ns())

    scope["interpret"] = in_python
    return run


class Part:
    """The launches of one step, each a tape of its own."""

    def __init__(self, step: Step, first: int, heard: Heard) -> None:
        self.first, self.heard = first, heard
        self.tapes = [cpu().tape([launch]) for launch in step.launches]

    def run(self, frame: int) -> int:
        """As a tape: 0, or 1 + the number of the launch that reported an error."""
        for number, tape in enumerate(self.tapes):
            start = perf_counter_ns()
            error = tape.run(frame)
            end = perf_counter_ns()
            if error:
                return number + 1
            self.heard(self.first + number, start, end)
        return 0


@functools.cache
def overhead() -> int:
    """ns that a tape without launches takes: the way into native code and back."""
    tape, times = cpu().tape([]), []
    frame = (ctypes.c_int64 * 2)()
    address = ctypes.addressof(frame)
    for _ in range(50):
        start = perf_counter_ns()
        tape.run(address)
        times.append(perf_counter_ns() - start)
    return min(times)


__all__ = ["observed", "overhead", "timed"]
