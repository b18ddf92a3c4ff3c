"""Rows that need fresh processes: the import, and the first steps of each training program."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from benchmarks.pair import ROOT, Plan, environment
from benchmarks.results import Result, compare
from benchmarks.rows import Row

Once = Callable[[str], tuple[float, list[float]]]  # module → seconds, and values to compare

FIRST_STEPS = 20
TIME_IMPORT = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"
FIRST_RUN = """
import importlib, itertools, json, sys
from benchmarks.rows import find_row
torch = importlib.import_module(sys.argv[1])
torch.set_num_threads(int(sys.argv[2]))
print(json.dumps(list(itertools.islice(find_row(sys.argv[3]).start(torch), int(sys.argv[4])))))
"""

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


def measure_first_run(plan: Plan, row: Row) -> Result:
    """Wall time of a process that runs the first steps with an empty cache, start-up included."""
    passes = str(max(1, FIRST_STEPS // row.per))

    def once(module: str) -> tuple[float, list[float]]:
        with tempfile.TemporaryDirectory() as cache:
            begin = time.perf_counter()
            printed = run(plan, "-c", FIRST_RUN, module, str(plan.threads), row.title, passes,
                          cache=cache)
            return time.perf_counter() - begin, json.loads(printed)

    return in_turns(plan, "first run", row.name, once)


def in_turns(plan: Plan, group: str, name: str, once: Once) -> Result:
    """One process each, again and again; the first pair only fills the file cache."""
    try:
        values = [once(module)[1] for module in (plan.theirs, plan.ours)]
        turns = [[[once(module)[0]] for module in (plan.theirs, plan.ours)]
                 for _ in range(plan.alternations)]
    except (RuntimeError, subprocess.TimeoutExpired) as failure:
        return Result(group, name, error=str(failure))
    theirs, ours = zip(*turns, strict=True)
    return compare(group, name, theirs, ours, values)
