"""Measures whether memory stays flat over many iterations of a loop.

`python -m benchmarks.memory MODULE LOOP ITERATIONS` is the process that is watched; it prints JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.pair import Plan
from benchmarks.rows import find_row
from benchmarks.startup import run
from benchmarks.training import sgd

ITERATIONS = 100_000
STEPS = 50  # of a row; a network takes long for each
FLAT = 8.0  # megabytes that the last nine tenths of a loop may add


def train_looking(torch) -> Iterator[None]:
    """A training loop that looks at each loss."""
    total = 0.0
    for loss in losses(torch):
        total += loss.item()
        yield


def train_without_looking(torch) -> Iterator[None]:
    """A training loop that adds its losses up and never looks."""
    total = torch.zeros(())
    for loss in losses(torch):
        total += loss.detach()
        yield


def losses(torch) -> Iterator:
    """Linear regression by hand on one batch: the loss of each step."""
    torch.manual_seed(0)
    x, y = torch.randn(10, 2), torch.randn(10, 1)
    w = torch.zeros(2, 1, requires_grad=True)
    while True:
        loss = ((x @ w - y) ** 2).mean()
        loss.backward()
        sgd(torch, [w], 0.01)
        yield loss


def chain_looking(torch) -> Iterator[None]:
    """A recurrence without gradients that looks at each value."""
    x = torch.ones(4)
    while True:
        x = x * 0.999 + 0.001
        x[0].item()
        yield


def chain_without_looking(torch) -> Iterator[None]:
    """A recurrence without gradients that never looks."""
    x = torch.ones(4)
    while True:
        x = x * 0.999 + 0.001
        yield


LOOPS = {
    "chain, never looked at": chain_without_looking,
    "chain, each looked at": chain_looking,
    "training, never looked at": train_without_looking,
    "training, each looked at": train_looking,
}

ROWS = ["training/ResNet-18 16×32×32, SGD momentum", "training/transformer 6×384, 4×256, AdamW"]


@dataclass
class Growth:
    """What one loop did under one framework.

    growth: in megabytes, from a fifth of the loop, when all is compiled, to its end.
    """

    loop: str
    module: str
    iterations: int
    growth: float = 0.0
    peak: float = 0.0
    seconds: float = 0.0
    error: str = ""

    @property
    def flat(self) -> bool:
        """Whether memory stayed where it was."""
        return not self.error and self.growth <= FLAT


def resident() -> float:
    """Megabytes of memory that this process holds now (its peak, where the system has no /proc)."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except FileNotFoundError:
        return peak()


def peak() -> float:
    """Megabytes that this process held at most.

    Linux's figure in /proc is this program's own; the one of getrusage is inherited.
    """
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1e3
    except FileNotFoundError:
        pass
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def watch(torch, loop: str, iterations: int) -> dict:
    """Run the loop, or the row with this title, in this process."""
    start = LOOPS.get(loop) or find_row(loop).start
    begin, running, early = time.perf_counter(), start(torch), 0.0
    for i in range(iterations):
        next(running)
        if i == iterations // 5:
            early = resident()
    seconds = time.perf_counter() - begin
    return {"growth": resident() - early, "peak": peak(), "seconds": seconds}


def measure(plan: Plan, loop: str, iterations: int = ITERATIONS) -> list[Growth]:
    """Run the loop under both frameworks, each in a process of its own."""
    return [grow(plan, loop, module, iterations) for module in (plan.theirs, plan.ours)]


def grow(plan: Plan, loop: str, module: str, iterations: int) -> Growth:
    """Run the loop under one of them."""
    try:
        printed = run(plan, "-m", "benchmarks.memory", module, loop, str(iterations))
    except (RuntimeError, subprocess.TimeoutExpired) as failure:
        return Growth(loop, module, iterations, error=str(failure))
    return Growth(loop, module, iterations, **json.loads(printed))


if __name__ == "__main__":
    print(json.dumps(watch(importlib.import_module(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
