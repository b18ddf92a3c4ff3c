"""Others beside PyTorch's eager mode: its compiler, and where they are installed JAX and tinygrad.

A peer runs a row in a process of its own, after the turns of the two frameworks that are compared.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from dataclasses import replace
from importlib.util import find_spec
from statistics import median

from benchmarks.models.elsewhere import STEPS
from benchmarks.pair import Child, Plan, RowFailedError
from benchmarks.report import duration
from benchmarks.rows import COMPILED, Row
from benchmarks.startup import run

PATIENCE = 600.0  # a network may take minutes to compile


def measure(plan: Plan, row: Row) -> dict[str, str]:
    """What each peer has to say about the row: its time a unit and that of the first pass."""
    by_hand = "by hand" in row.name  # no network that could be compiled
    found = {} if by_hand else {"torch.compile": torch_compile(plan, row)}
    return found | {name: elsewhere(plan, name, row) for name in STEPS if row.title in STEPS[name]}


def torch_compile(plan: Plan, row: Row) -> str:
    """The row with its networks compiled by PyTorch, from an empty cache."""
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        return "no C++ compiler"
    with tempfile.TemporaryDirectory() as cache:
        variables = {COMPILED: "1", "TORCHINDUCTOR_CACHE_DIR": cache}
        return alone(plan, plan.theirs, row, variables)


def elsewhere(plan: Plan, module: str, row: Row) -> str:
    """The step as it is written for another framework."""
    if find_spec(module) is None:
        return "not installed"
    try:
        printed = run(replace(plan, patience=PATIENCE), "-m", "benchmarks.models.elsewhere", module,
                      row.title, str(plan.passes), str(plan.seconds))
    except (RuntimeError, subprocess.TimeoutExpired) as failure:
        return f"failed: {str(failure).splitlines()[-1]}"
    answer = json.loads(printed)
    return said(answer["times"], row, answer["first"])


def said(times: list[float], row: Row, first: float) -> str:
    """The median time of a unit, and the time of the first pass, compiling included."""
    return f"{duration(median(times) / row.per)}, first {duration(first)}"


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
    return said(times, row, cold)
