"""What a row of the benchmark is: a program written once, for any module with PyTorch's interface.

A program is a generator function `program(torch, **arguments)`. Between two yields it does the
work that is timed; it yields a number (a loss, an element of a result) that both must agree on.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

# Groups that set variables for both frameworks; only one of them knows these.
ENVIRONMENT = {"call by call": {"FLAMBEAU_COMPILE": "0"}}

COMPILED = "BENCHMARK_COMPILED"  # set in the process that measures torch.compile

Program = Callable[..., Iterator[float]]


@dataclass(frozen=True)
class Row:
    """One line of the table: a program, its arguments, and what one unit of it costs at least."""

    group: str
    name: str
    program: Program
    arguments: dict = field(default_factory=dict)
    per: int = 1  # the units (steps, calls, results) between two yields; times are given per unit
    flops: float = 0.0  # of one unit
    bytes: float = 0.0  # that one unit must read and write
    footprint: float = 0.0  # bytes in use, which tells the cache that bounds them
    passes: int = 0  # of the whole program, where all of it is measured in processes of its own
    wanted: float = 1.0  # the ratio that the project wants
    tolerance: float = 1e-4  # how far values may lie apart: rounding grows where steps are many

    @property
    def title(self) -> str:
        """The name that --only matches."""
        return f"{self.group}/{self.name}"

    def start(self, torch: ModuleType) -> Iterator[float]:
        """Begin the program from the same random numbers in every framework."""
        random.seed(0)
        torch.manual_seed(0)
        return self.program(torch, **self.arguments)


def prepared(torch: ModuleType, net: Any) -> Any:
    """The network as it is; its compiled form in a process that measures PyTorch's compiler.

    A program that never comes here has nothing to compile.
    """
    return torch.compile(net) if os.environ.get(COMPILED) else net


def all_rows() -> list[Row]:
    """Every row, in the order of the table."""
    from benchmarks import kernels, recording, training
    from benchmarks.models import shapes

    call_by_call = [replace(row, group="call by call") for row in training.ROWS]
    return [*recording.ROWS, *training.ROWS, *kernels.ROWS, *call_by_call,
            *shapes.ROWS]


def find_row(title: str) -> Row:
    """The row with this title."""
    return next(row for row in all_rows() if row.title == title)
