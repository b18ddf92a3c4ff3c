"""Switches of a library for GPUs, which is not here."""

from __future__ import annotations

import sys
from typing import Any

from flambeau.backends import flags_of

enabled = True
benchmark = False
benchmark_limit = None
deterministic = False
allow_tf32 = True
fp32_precision = "none"


def is_available() -> bool:
    """False: there is no GPU."""
    return False


def version() -> None:
    """None: it is not here."""


def is_acceptable(tensor: Any) -> bool:
    """False: tensors live on the CPU."""
    return False


def flags(**given: Any) -> flags_of:
    """Switches, until the end of a `with` block."""
    return flags_of(sys.modules[__name__], given)


def set_flags(**given: Any) -> tuple[Any, ...]:
    """Set switches; what they were is returned."""
    module = vars(sys.modules[__name__])
    before = tuple(module[name] for name in given)
    module.update({k: v for k, v in given.items() if v is not None})
    return before
