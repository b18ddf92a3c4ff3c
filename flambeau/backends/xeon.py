"""Intel's launcher, which is not here."""

from __future__ import annotations


def is_available() -> bool:
    """False: there is nothing to launch."""
    return False
