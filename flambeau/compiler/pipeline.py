"""The list of passes; compiled programs, cached in memory and on disk."""

from __future__ import annotations

from typing import Any

from flambeau.ir.program import Program


def compile_program(program: Program, offsets: list[int]) -> Any:
    """A program → something whose `run` computes it in one native call."""
    return None
