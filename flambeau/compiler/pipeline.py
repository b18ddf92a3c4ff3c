"""The list of passes; compiled programs.

    expand        softmax(x)           →  exp(x - max x) / sum
    lower         index_select         →  pick, elementwise; cat → copies into its parts
    simplify      dead code, constants, common subexpressions
    fuse          calls                →  clusters: one kernel each
    schedule      a cluster            →  loops, vectors, threads         (asked for by emit)
    plan memory   storages             →  places in one arena             (asked for by emit)
    emit          kernels              →  vector IR, and the tape that runs them
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from flambeau.compiler.clusters import Fused
from flambeau.compiler.emit import Compiled, Emitter
from flambeau.compiler.expand import expand
from flambeau.compiler.fuse import fuse
from flambeau.compiler.gathering import settle
from flambeau.compiler.rules import lower
from flambeau.compiler.simplify import simplify
from flambeau.compiler.verify import verify
from flambeau.ir.log import kernels, log
from flambeau.ir.program import Program
from flambeau.ir.show import say, show
from flambeau.settings import settings

PASSES = (expand, lower, simplify, fuse)


@contextmanager
def without_collections() -> Iterator[None]:
    """To compile makes many objects that stay, and no garbage to speak of: Python does not look for
    any meanwhile. Each time it would walk over all that there is.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


@without_collections()
def compile_program(program: Program, constant: dict[int, int] | None = None,
                    sighting: int = 0) -> Compiled:  # fmt: skip
    """A program → something whose `run` computes it in one native call.

    `constant`: the run-time offsets that have been the same in every sighting; they are compiled
    in, and whoever runs the program checks them. `sighting`: how often it was met so far; only
    said.
    """
    constant = dict(constant or {})
    if settings.show or settings.log:
        return tell(program, constant, sighting)
    return Emitter(clusters_of(program, constant), constant).emit()


def clusters_of(program: Program, constant: dict[int, int] | None = None) -> Fused:
    """The program after all passes."""
    *_, (_, fused) = passes(program, constant)
    return fused


def passes(program: Program, constant: dict[int, int] | None = None) -> Iterator[tuple[str, Any]]:
    """What each pass makes, beside its name; with FLAMBEAU_CHECK=1 it is verified first."""
    thing: Any = settle(program, constant or {})
    if settings.check:
        verify(program, "recording")
    for step in PASSES:
        thing = step(thing)
        if settings.check:
            verify(thing, step.__name__)
        yield step.__name__, thing


def tell(program: Program, fixed: dict[int, int], sighting: int) -> Compiled:
    """Compile; print what FLAMBEAU_SHOW asks for as it is made, and what FLAMBEAU_LOG asks for."""
    before, start = dict(kernels), perf_counter()
    times: list[tuple[str, float]] = []
    for name, thing in passes(program, fixed):
        times.append((name, perf_counter() - start))
        say(name, functools.partial(show, thing))
        start = perf_counter()
    emitter = observer(thing, fixed) if settings.show else Emitter(thing, fixed)
    compiled = emitter.emit()
    times.append(("emit", perf_counter() - start))
    log("compile", lambda: event(program, sighting, times, before))
    say_more(emitter)
    return compiled


def event(program: Program, sighting: int, times: list[tuple[str, float]],
          before: dict[str, int]) -> str:  # fmt: skip
    """One line: 18 calls from train.py:15 · sighting 20 · expand 0.4 ms, … · 8 kernels made, …"""
    source = next((call.source for call in program.calls if call.source is not None), None)
    count, place = len(program.calls), f" from {source}" if source is not None else ""
    made, read = (kernels[what] - before[what] for what in ("made", "read"))
    total = sum(seconds for _, seconds in times)
    each = ", ".join(f"{name} {1e3 * seconds:.1f} ms" for name, seconds in times)
    return (f"{count} call{'s' * (count != 1)}{place} · sighting {sighting} · {each} · in all "
            f"{1e3 * total:.1f} ms · {made} kernels made, {read} read from the disk")  # fmt: skip


def observer(fused: Fused, fixed: dict[int, int]) -> Emitter:
    """An emitter that takes notes."""
    from flambeau.compiler.observe import Observer

    return Observer(fused, fixed)


def say_more(observer: Any) -> None:
    """What FLAMBEAU_SHOW can ask for of kernels."""
    if settings.show:
        from flambeau.compiler.observe import show_code, show_memory, show_schedule

        say("schedule", lambda: show_schedule(observer))
        say("memory", lambda: show_memory(observer))
        say("llvm", lambda: show_code(observer))
