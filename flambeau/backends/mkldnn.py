"""Intel's library of kernels, which is not used."""

from __future__ import annotations

import sys
from typing import Any

from flambeau.backends import flags_of

enabled = True
deterministic = False
allow_tf32 = True


def is_available() -> bool:
    """False: kernels are Flambeau's own."""
    return False


def flags(enabled: bool = False, **given: Any) -> flags_of:
    """The switch, until the end of a `with` block."""
    return flags_of(sys.modules[__name__], {"enabled": enabled, **given})
