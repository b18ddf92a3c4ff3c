"""Rows that need fresh processes: the import, and the first steps of each training program."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from benchmarks.pair import ROOT, Plan, environment
from benchmarks.results import Result, compare
from benchmarks.rows import Row

Once = Callable[[str], tuple[float, list[float]]]  # module → seconds, and values to compare

FIRST_STEPS = 20
TIME_IMPORT = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"
FIRST_RUN = """
import importlib, itertools, json, sys, time
from benchmarks.rows import find_row
torch = importlib.import_module(sys.argv[1])
torch.set_num_threads(int(sys.argv[2]))
imported = time.time()
values, times = [], []
for value in itertools.islice(find_row(sys.argv[3]).start(torch), int(sys.argv[4])):
    values.append(value)
    times.append(time.time())
print(json.dumps(dict(imported=imported, first=times[0], last=times[-1], values=values)))
"""
WARM_UP = {  # the groups of its rows: what ends the time, and whether the cache is warm
    "first step": ("first", False), "first step, warm cache": ("first", True),
    "first run": ("last", False), "first run, warm cache": ("last", True),
}


def run(plan: Plan, *arguments: str, cache: str = "") -> str:
    """Run Python with these arguments in a process of its own; return what it printed."""
    extra = {"FLAMBEAU_CACHE": cache} if cache else None
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT,
                          env=environment(plan.threads, extra), timeout=plan.patience)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return done.stdout


def measure_import(plan: Plan) -> Result:
    """The time of the import alone, as fresh processes see it."""
    def once(module: str) -> tuple[float, list[float]]:
        return float(run(plan, "-c", TIME_IMPORT.format(module))), []

    return in_turns(plan, "first run", "import", once)


def first_steps(plan: Plan, row: Row, module: str, passes: int, cache: str) -> dict[str, Any]:
    """Run the first steps in a fresh process; when it began, had imported, and came how far."""
    begin = time.time()
    printed = run(plan, "-c", FIRST_RUN, module, str(plan.threads), row.title, str(passes),
                  cache=cache)
    return {"begin": begin, **json.loads(printed)}


def measure_warm_up(plan: Plan, row: Row) -> list[Result]:
    """Wall times of processes that run the first steps, start-up included: to the first and to
    the last, with an empty and with a filled disk cache."""
    passes = max(1, FIRST_STEPS // row.per)

    def once(module: str) -> list[dict[str, Any]]:
        with tempfile.TemporaryDirectory() as cache:
            return [first_steps(plan, row, module, passes, cache) for _ in range(2)]

    try:
        turns = [(once(plan.theirs), once(plan.ours)) for _ in range(plan.alternations)]
    except (RuntimeError, subprocess.TimeoutExpired) as failure:
        return [Result(group, row.name, error=str(failure)) for group in WARM_UP]

    def result(group: str, end: str, warm: bool) -> Result:
        theirs, ours = ([[turn[side][warm][end] - turn[side][warm]["begin"]] for turn in turns]
                        for side in (0, 1))
        values = [turns[0][side][warm]["values"] for side in (0, 1)]
        return compare(group, row.name, theirs, ours, values, tolerance=row.tolerance)

    return [result(group, *what) for group, what in WARM_UP.items()]


def measure_whole(plan: Plan, row: Row) -> Result:
    """The time of all passes of a program, the import apart, with an empty disk cache."""
    def once(module: str) -> tuple[float, list[float]]:
        with tempfile.TemporaryDirectory() as cache:
            done = first_steps(plan, row, module, row.passes, cache)
            return done["last"] - done["imported"], done["values"]

    result = in_turns(plan, row.group, row.name, once, row.tolerance)
    result.wanted = row.wanted
    return result


def in_turns(plan: Plan, group: str, name: str, once: Once, tolerance: float = 1e-4) -> Result:
    """One process each, again and again; the first pair only fills the file cache."""
    try:
        values = [once(module)[1] for module in (plan.theirs, plan.ours)]
        turns = [[[once(module)[0]] for module in (plan.theirs, plan.ours)]
                 for _ in range(plan.alternations)]
    except (RuntimeError, subprocess.TimeoutExpired) as failure:
        return Result(group, name, error=str(failure))
    theirs, ours = zip(*turns, strict=True)
    return compare(group, name, theirs, ours, values, tolerance=tolerance)
