"""Turns results into lines for the terminal and into RESULTS.md."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path

from benchmarks.limits import Limits
from benchmarks.memory import FLAT, Growth
from benchmarks.pair import Plan
from benchmarks.results import Result, geometric_mean

GROUPS = {
    "recording": "Recording: the cost of a call on four elements",
    "training": "Training, per step",
    "kernels": "Elementwise calls and reductions, per result",
    "matmul": "Matrix products, per product",
    "call by call": "Training without compiled programs (`FLAMBEAU_COMPILE=0`), per step",
    "first run": "Fresh processes: the import, and start-up with the first 20 steps (empty cache)",
    "first run, warm cache": "Fresh processes: start-up with the first 20 steps (filled cache)",
    "first step": "Fresh processes: start-up with the first step (empty cache)",
    "first step, warm cache": "Fresh processes: start-up with the first step (filled cache)",
    "shapes": "Changing shapes: the whole program, all its compiling included (empty cache)",
}
HEADER = ("| | ratio | wanted | spread | {theirs} | {ours} | at least | last value compared |\n"
          "|---|---|---|---|---|---|---|---|")


def duration(seconds: float | None) -> str:
    """A time with three figures and the unit that suits it."""
    if seconds is None:
        return "–"
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def terminal_line(result: Result) -> str:
    """One result on one line."""
    title = f"{result.group}/{result.name}"
    if result.error:
        return f"{title:48} failed: {result.error.splitlines()[-1]}"
    line = (f"{title:48} {result.ratio:6.2f}× ({result.low:.2f}–{result.high:.2f})  "
            f"{duration(result.theirs):>8} : {duration(result.ours):<8}")
    line += f"  at least {duration(result.limit):8} {values(result)}"
    return line + "".join(f"\n    {name}: {said}" for name, said in result.peers.items())


def values(result: Result) -> str:
    """The values that were compared, and where they differ."""
    if result.differ:
        return f"DIFFERS, {result.differ}"
    if result.values is None:
        return ""
    theirs, ours = (f"{value:.6g}" for value in result.values)
    return theirs if theirs == ours else f"{theirs} : {ours}"


def in_groups(results: Iterable[Result]) -> list[Result]:
    """The results in the order of their groups."""
    order = list(GROUPS)
    return sorted(results, key=lambda result: order.index(result.group))


def summary(results: Iterable[Result]) -> Iterable[str]:
    """For each group: the geometric mean of its ratios, the lowest row, and what went wrong."""
    for group, rows in groupby(in_groups(results), key=lambda result: result.group):
        rows = list(rows)
        measured = [row for row in rows if not row.error]
        if lowest := min(measured, key=lambda row: row.ratio, default=None):
            mean = geometric_mean([row.ratio for row in measured])
            yield f"{group}: {mean:.2f}× in the mean, lowest {lowest.ratio:.2f}× ({lowest.name})"
        if bad := [row.name for row in rows if not row.good]:
            yield f"{group}: {len(bad)} of {len(rows)} failed or differ: {'; '.join(bad)}"


def memory_line(growth: Growth) -> str:
    """One loop's memory on one line."""
    if growth.error:
        return f"memory/{growth.loop} {growth.module}: failed: {growth.error.splitlines()[-1]}"
    verdict = "flat" if growth.flat else "GROWS"
    return (f"memory/{growth.loop:26} {growth.module:9} {growth.growth:+7.1f} MB {verdict}, "
            f"peak {growth.peak:.0f} MB, {growth.seconds:.1f} s")


def markdown_row(result: Result) -> str:
    """One result as a row of a table."""
    if result.error:
        return f"| {result.name} | failed: {result.error.splitlines()[-1]} |"
    cells = [result.name, f"**{result.ratio:.2f}**", f"{result.wanted:.3g}",
             f"{result.low:.2f}–{result.high:.2f}",
             duration(result.theirs), duration(result.ours), duration(result.limit),
             values(result)]
    return f"| {' | '.join(cells)} |"


def tables(plan: Plan, results: Iterable[Result]) -> Iterable[str]:
    """A table for each group of rows, closed by the geometric mean of its ratios."""
    header = HEADER.format(theirs=plan.theirs, ours=plan.ours)
    for group, rows in groupby(in_groups(results), key=lambda result: result.group):
        rows = list(rows)
        mean = geometric_mean([row.ratio for row in rows if not row.error])
        yield f"\n## {GROUPS[group]}\n\n{header}"
        yield from map(markdown_row, rows)
        yield f"| geometric mean | **{mean:.2f}** | | | | | | |"
        yield from peers_table(rows)


def peers_table(results: Sequence[Result]) -> Iterable[str]:
    """What others need for the same, and how long their first step takes."""
    names = list(dict.fromkeys(name for result in results for name in result.peers))
    if not names:
        return
    yield f"\n| | {' | '.join(names)} |\n|---{'|---' * len(names)}|"
    for result in results:
        yield f"| {result.name} | {' | '.join(result.peers.get(n, '–') for n in names)} |"


def memory_table(growths: Sequence[Growth]) -> Iterable[str]:
    """How much memory the loops added."""
    if not growths:
        return
    yield (f"\n## Memory: {growths[0].iterations:,} iterations of a loop\n\n"
           f"Growth from a fifth of the loop to its end; up to {FLAT:.0f} MB count as flat.\n\n"
           "| loop | framework | growth | peak | time |\n|---|---|---|---|---|")
    for g in growths:
        yield f"| {g.loop} | {g.module} | " + (
            f"failed: {g.error.splitlines()[-1]} |" if g.error else
            f"{g.growth:+.1f} MB | {g.peak:.0f} MB | {duration(g.seconds)} |")


def machine(plan: Plan, limits: Limits | None) -> Iterable[str]:
    """What was measured on, without naming it."""
    yield f"- {cpu_model()}, {os.cpu_count()} CPUs, {memory_gib():.0f} GiB; {platform.system()}"
    yield f"- Python {platform.python_version()}, {', '.join(versions())}"
    yield (f"- {plan.threads} threads each; {plan.alternations} alternations of at least "
           f"{plan.passes} passes and {plan.seconds:g} s")
    if limits:
        widths = ", ".join(f"{size // 1024:,} KiB: {rate / 1e9:.0f}"
                           for size, rate in limits.bandwidth.items())
        yield f"- load average before the run: {limits.load:.1f}"
        yield f"- peak: {limits.flops / 1e9:.0f} GFLOP/s (1024³ in float32, the faster framework)"
        yield f"- copying, GB/s read and written by footprint: {widths}"


def versions() -> Iterable[str]:
    """The packages that matter, with their versions."""
    for package in ("torch", "flambeau", "numpy", "llvmlite"):
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            continue


def cpu_model() -> str:
    """The processor's name and its widest vectors."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except FileNotFoundError:
        return platform.processor() or platform.machine()
    model = next((line.split(":")[1].strip() for line in text.splitlines()
                  if line.startswith("model name")), platform.machine())
    widest = next((name for name in ("avx512f", "avx2", "asimd") if name in text), "")
    return f"{model} ({widest})" if widest else model


def memory_gib() -> float:
    """The machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def write(path: Path, plan: Plan, command: str, results: Sequence[Result],
          growths: Sequence[Growth], limits: Limits | None) -> None:
    """Write the whole report."""
    lines = [
        "# Flambeau beside PyTorch", "",
        "Both run the same programs in the same run, in two processes that take turns. The ratio",
        "is PyTorch's time over Flambeau's (more than 1: Flambeau is faster), the median over the",
        "turns; the spread is the smallest and the largest ratio of a turn. Values are the losses,",
        "or one element of the result; they agree to 1e-4 in all of the first 20 passes unless the",
        "row says otherwise. 'At least' is what the arithmetic or the memory traffic alone takes.",
        "",
        f"    {command}", "", *machine(plan, limits),
        *tables(plan, results), *memory_table(growths)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
