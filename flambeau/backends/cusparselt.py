"""A library for GPUs, which is not here."""

from __future__ import annotations


def is_available() -> bool:
    """False: tensors live on the CPU."""
    return False
