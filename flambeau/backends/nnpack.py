"""A library of kernels, which is not used."""

from __future__ import annotations


def is_available() -> bool:
    """False: kernels are Flambeau's own."""
    return False


def set_flags(_enabled: bool) -> tuple[bool]:
    """Nothing to set."""
    return (False,)
