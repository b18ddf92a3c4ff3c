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

from collections.abc import Sequence

from flambeau.compiler.emit import Compiled, Emitter
from flambeau.compiler.expand import expand
from flambeau.compiler.fuse import fuse
from flambeau.compiler.rules import lower
from flambeau.compiler.simplify import simplify
from flambeau.ir.program import Program


def compile_program(program: Program, offsets: Sequence[int], fixed: set[int] | None = None) -> Compiled:
    """A program → something whose `run` computes it in one native call.

    `fixed`: the run-time offsets that have been the same in every sighting; they are compiled in, and
    whoever runs the program checks them.
    """
    constant = {index: offsets[index] for index in fixed or ()}
    return Emitter(fuse(simplify(lower(expand(program)))), constant).emit()
