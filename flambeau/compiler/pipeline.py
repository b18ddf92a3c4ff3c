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

import sys
from collections.abc import Sequence
from typing import Any

from flambeau.compiler.emit import Compiled, Emitter
from flambeau.compiler.expand import expand
from flambeau.compiler.fuse import Fused, fuse
from flambeau.compiler.rules import lower
from flambeau.compiler.simplify import simplify
from flambeau.compiler.verify import verify
from flambeau.ir.program import Program
from flambeau.ir.show import show
from flambeau.settings import settings

PASSES = (expand, lower, simplify, fuse)


def compile_program(program: Program, offsets: Sequence[int], fixed: set[int] | None = None) -> Compiled:
    """A program → something whose `run` computes it in one native call.

    `fixed`: the run-time offsets that have been the same in every sighting; they are compiled in, and
    whoever runs the program checks them.
    """
    constant = {index: offsets[index] for index in fixed or ()}
    if settings.show:
        return show_passes(program, constant)
    return Emitter(clusters_of(program), constant).emit()


def clusters_of(program: Program) -> Fused:
    """The program after all passes; checked after each of them with FLAMBEAU_CHECK=1."""
    thing: Any = program
    for step in PASSES:
        if settings.check:
            verify(thing, step.__name__ if thing is not program else "recording")
        thing = step(thing)
    if settings.check:
        verify(thing, "fuse")
    return thing  # type: ignore[no-any-return]


# ------------------------------------------------------------------ FLAMBEAU_SHOW


def show_passes(program: Program, fixed: dict[int, int]) -> Compiled:
    """Compile, and print what FLAMBEAU_SHOW asks for as it is made."""
    from flambeau.compiler.observe import Observer, show_code, show_schedule

    thing: Any = program
    for step in PASSES:
        thing = step(thing)
        say(step.__name__, lambda: show(thing))
    observer = Observer(clusters_of(program), fixed)
    compiled = observer.emit()
    say("schedule", lambda: show_schedule(observer))
    say("llvm", lambda: show_code(observer))
    return compiled


def say(word: str, text: Any) -> None:
    """Print something to standard error, if FLAMBEAU_SHOW has its word."""
    if word in settings.show:
        print(f"── {word}\n{text()}", file=sys.stderr)
