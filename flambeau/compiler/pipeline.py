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
from collections.abc import Iterator
from typing import Any

from flambeau.compiler.emit import Compiled, Emitter
from flambeau.compiler.expand import expand
from flambeau.compiler.fuse import Fused, fuse
from flambeau.compiler.rules import lower
from flambeau.compiler.simplify import simplify
from flambeau.compiler.verify import verify
from flambeau.ir.program import Program
from flambeau.ir.show import say, show
from flambeau.settings import settings

PASSES = (expand, lower, simplify, fuse)


def compile_program(program: Program, constant: dict[int, int] | None = None) -> Compiled:
    """A program → something whose `run` computes it in one native call.

    `constant`: the run-time offsets that have been the same in every sighting; they are compiled
    in, and whoever runs the program checks them.
    """
    constant = dict(constant or {})
    if settings.show:
        return show_passes(program, constant)
    return Emitter(clusters_of(program), constant).emit()


def clusters_of(program: Program) -> Fused:
    """The program after all passes."""
    *_, (_, fused) = passes(program)
    return fused


def passes(program: Program) -> Iterator[tuple[str, Any]]:
    """What each pass makes, beside its name; with FLAMBEAU_CHECK=1 it is verified first."""
    thing: Any = program
    if settings.check:
        verify(program, "recording")
    for step in PASSES:
        thing = step(thing)
        if settings.check:
            verify(thing, step.__name__)
        yield step.__name__, thing


def show_passes(program: Program, fixed: dict[int, int]) -> Compiled:
    """Compile, and print what FLAMBEAU_SHOW asks for as it is made."""
    from flambeau.compiler.observe import Observer, show_code, show_memory, show_schedule

    for name, thing in passes(program):
        say(name, functools.partial(show, thing))
    observer = Observer(thing, fixed)
    compiled = observer.emit()
    say("schedule", lambda: show_schedule(observer))
    say("memory", lambda: show_memory(observer))
    say("llvm", lambda: show_code(observer))
    return compiled
