"""@hot marks the few functions that run on every recorded call.

Other code may not be ugly for speed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., object])
HOT: list[Callable[..., object]] = []


def hot(function: F) -> F:
    """Only marks: benchmarks hold these to the recording budget."""
    HOT.append(function)
    return function
