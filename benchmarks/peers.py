"""Others beside PyTorch's eager mode: its compiler.

A peer runs a row in a process of its own, after the turns of the two frameworks that are compared.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from statistics import median

from benchmarks.pair import Child, Plan, RowFailedError
from benchmarks.report import duration
from benchmarks.rows import COMPILED, Row

PATIENCE = 600.0  # a network may take minutes to compile


def measure(plan: Plan, row: Row) -> dict[str, str]:
    """What each peer has to say about the row: its time a unit and that of the first pass."""
    by_hand = "by hand" in row.name  # no network that could be compiled
    return {} if by_hand else {"torch.compile": torch_compile(plan, row)}


def torch_compile(plan: Plan, row: Row) -> str:
    """The row with its networks compiled by PyTorch, from an empty cache."""
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        return "no C++ compiler"
    with tempfile.TemporaryDirectory() as cache:
        variables = {COMPILED: "1", "TORCHINDUCTOR_CACHE_DIR": cache}
        return alone(plan, plan.theirs, row, variables)


def alone(plan: Plan, module: str, row: Row, variables: dict[str, str]) -> str:
    """One process, as many turns as a comparison takes."""
    child = Child(module, replace(plan, patience=PATIENCE), variables)
    try:
        cold = child.ask(do="start", title=row.title)["first"]
        times = [t for _ in range(plan.alternations) for t in child.ask(
            do="turn", passes=plan.passes, seconds=plan.seconds, enough=plan.enough)["times"]]
    except RowFailedError as failure:
        return f"failed: {str(failure).splitlines()[-1]}"
    finally:
        child.close()
    return f"{duration(median(times) / row.per)}, first {duration(cold)}"
