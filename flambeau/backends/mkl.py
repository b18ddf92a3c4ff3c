"""Intel's library for products, which is not used."""

from __future__ import annotations


def is_available() -> bool:
    """False: kernels are Flambeau's own."""
    return False
