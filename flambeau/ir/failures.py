"""What a kernel can report: a code in the error record, and the exception that it stands for.

A failed check of an index stores (code, index, bound, dim); the tape stops after that launch.
"""

from __future__ import annotations

from collections.abc import Callable

DIVISION_BY_ZERO = 1
OUT_OF_RANGE = 2  # of an address; only code that checks all addresses reports it
PROBABILITY = 40  # of a chance that is not between 0 and 1
FIRST_CHECK = 64  # from here on: the names below, in their order

Maker = Callable[[int, int, int], BaseException]


def _one_hot(index: int, bound: int, dim: int) -> BaseException:
    wrong = "non-negative" if index < 0 else "smaller than num_classes"
    return RuntimeError(f"Class values must be {wrong}.")


CHECKS: dict[str, Maker] = {
    "index": lambda i, n, dim: IndexError(
        f"index {i} is out of bounds for dimension {dim} with size {n}"
    ),
    "along": lambda i, n, dim: RuntimeError(
        f"index {i} is out of bounds for dimension {dim} with size {n}"
    ),
    "self": lambda i, n, dim: IndexError("index out of range in self"),
    "take": lambda i, n, dim: IndexError(
        f"out of range: tried to access index {i} on a tensor of {n} elements."
    ),
    "target": lambda i, n, dim: IndexError(f"Target {i} is out of bounds."),
    "one_hot": _one_hot,
    "bce input": lambda i, n, dim: RuntimeError(
        "all elements of input should be between 0 and 1"
    ),
    "bce target": lambda i, n, dim: RuntimeError(
        "all elements of target should be between 0 and 1"
    ),
}


def code_of(failure: str) -> int:
    """The code that a kernel stores for a failed check."""
    return FIRST_CHECK + list(CHECKS).index(failure)


def exception_of(record: list[int]) -> BaseException:
    """The exception that an error record stands for."""
    code, *facts = record
    if code == DIVISION_BY_ZERO:
        return RuntimeError("ZeroDivisionError")
    if code == PROBABILITY:
        return RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false.")
    if FIRST_CHECK <= code < FIRST_CHECK + len(CHECKS):
        return list(CHECKS.values())[code - FIRST_CHECK](*facts[:3])
    if code == OUT_OF_RANGE:
        return AssertionError(f"a kernel would have touched memory out of range: {facts}")
    return AssertionError(f"a kernel reported an unknown error: {record}")
