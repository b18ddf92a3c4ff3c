"""The command line: `python -m benchmarks [GROUP…] [--only REGEX] [--quick]`."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from itertools import chain, groupby
from pathlib import Path

from benchmarks import memory, peers, report, startup, training
from benchmarks.limits import Limits, measure_limits
from benchmarks.models import shapes
from benchmarks.pair import Pair, Plan
from benchmarks.results import Result
from benchmarks.rows import ENVIRONMENT, Row, all_rows

RESULTS = Path(__file__).with_name("RESULTS.md")
QUICK = dict(alternations=2, passes=3, seconds=0.02)
Wanted = Callable[[str], bool]


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP",
                        help=f"one of {', '.join([*report.GROUPS, 'memory'])}; all without")
    parser.add_argument("--only", default="", metavar="REGEX", help="rows whose title matches")
    parser.add_argument("--quick", action="store_true", help="a sanity run: too short to trust")
    parser.add_argument("--peers", action="store_true",
                        help="training: torch.compile, JAX and tinygrad too (takes minutes)")
    parser.add_argument("--list", action="store_true", help="print the titles and end")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--alternations", type=int, default=Plan.alternations)
    parser.add_argument("--ours", default=Plan.ours, metavar="MODULE",
                        help="the module to measure; 'torch' shows the noise")
    parser.add_argument("--write", type=Path, metavar="FILE",
                        help="write the report here (default: RESULTS.md, after a full run only)")
    args = parser.parse_args(argv)
    if unknown := set(args.groups) - {*report.GROUPS, "memory"}:
        parser.error(f"no such group: {', '.join(sorted(unknown))}")
    return args


def turn_rows(plan: Plan, rows: list[Row], limits: Limits | None,
              with_peers: bool = False) -> Iterator[Result]:
    """Measure rows in turns; groups with other variables get processes of their own."""
    rows = [row for row in rows if not row.passes]
    for extra, group in groupby(rows, key=lambda row: ENVIRONMENT.get(row.group)):
        pair = Pair(plan, extra)
        try:
            for row in group:
                result = pair.measure(row)
                result.limit = limits.seconds(row) if limits else None
                if with_peers and row.group == "training":
                    result.peers = peers.measure(plan, row)
                yield result
        finally:
            pair.close()


def fresh_rows(plan: Plan, wanted: Wanted) -> Iterator[Result]:
    """Measure what needs fresh processes."""
    if wanted("first run/import"):
        yield startup.measure_import(plan)
    for row in training.ROWS:
        if wanted(f"first run/{row.name}"):
            yield from startup.measure_warm_up(plan, row)
    for row in shapes.ROWS:
        if wanted(row.title):
            yield startup.measure_whole(plan, row)


def grown(plan: Plan, wanted: Wanted, iterations: int) -> Iterator[memory.Growth]:
    """Measure the memory of the loops, and of the rows that need most."""
    for loop in memory.LOOPS:
        if wanted(f"memory/{loop}"):
            yield from memory.measure(plan, loop, iterations)
    for row in memory.ROWS:
        if wanted(f"memory/{row}"):
            yield from memory.measure(plan, row, memory.STEPS)


def limits_of(plan: Plan, quick: bool) -> Limits:
    """Measure the machine's limits in a pair of its own."""
    pair = Pair(plan)
    try:
        return measure_limits(pair.children, plan.threads, quick)
    finally:
        pair.close()


def show(line: str) -> None:
    """Print at once, for a run that is watched through a pipe."""
    print(line, flush=True)


def main() -> int:
    """Measure what is asked for; the exit status is 1 where a row failed or values differ."""
    args = arguments()
    plan = Plan(ours=args.ours, threads=args.threads, alternations=args.alternations)
    if args.quick:
        plan = Plan(ours=args.ours, threads=args.threads, **QUICK)

    def wanted(title: str) -> bool:
        in_group = not args.groups or title.split("/")[0] in args.groups
        return in_group and re.search(args.only, title) is not None

    rows = [row for row in all_rows() if wanted(row.title)]
    if args.list:
        print(*(row.title for row in rows), sep="\n")
        return 0
    results, growths = [], []
    limits = limits_of(plan, args.quick) if rows else None
    for result in chain(turn_rows(plan, rows, limits, args.peers), fresh_rows(plan, wanted)):
        show(report.terminal_line(result))
        results.append(result)
    for growth in grown(plan, wanted, memory.ITERATIONS // (100 if args.quick else 1)):
        show(report.memory_line(growth))
        growths.append(growth)
    show("\n".join(["", *report.summary(results)]))
    complete = not (args.groups or args.only or args.quick) and args.ours == Plan.ours
    if path := args.write or (RESULTS if complete else None):
        command = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
        report.write(path, plan, command, results, growths, limits)
        show(f"report written to {path}")
    return 0 if all(r.good for r in results) and all(g.flat for g in growths) else 1


if __name__ == "__main__":
    sys.exit(main())
