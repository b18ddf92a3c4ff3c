"""The package that orders products of einsum, which is not used."""

from __future__ import annotations

enabled = False
strategy = None


def is_available() -> bool:
    """False: orders are Flambeau's own."""
    return False


def get_opt_einsum() -> None:
    """None: it is not used."""
