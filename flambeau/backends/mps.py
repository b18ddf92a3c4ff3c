"""Apple's GPUs, which are not used."""

from __future__ import annotations


def is_available() -> bool:
    """False: tensors live on the CPU."""
    return False


def is_built() -> bool:
    """False: tensors live on the CPU."""
    return False
