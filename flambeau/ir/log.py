"""One line an event on standard error, for the words in FLAMBEAU_LOG.

    compile   a program was compiled: its calls, when, the time of each pass, its kernels
    cache     a kernel was read from the disk, or made and kept there
    run       a program ran: in which tier, and how long it took
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from flambeau.settings import settings


def log(word: str, text: Callable[[], str]) -> None:
    """Say that something happened, if FLAMBEAU_LOG has its word."""
    if word in settings.log:
        print(f"flambeau {word}: {text()}", file=sys.stderr)


kernels = {"made": 0, "read": 0}  # modules of machine code so far


def note_kernel(what: str, key: str, nbytes: int) -> None:
    """A module of machine code was made, or read from the disk."""
    kernels[what] += 1
    log("cache", lambda: f"{what} {key[:12]}, {nbytes} bytes")


__all__ = ["kernels", "log", "note_kernel"]
