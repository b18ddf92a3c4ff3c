"""Python's garbage collector, while much is made that stays."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collections() -> Iterator[None]:
    """To compile, or to walk a graph for the first time, makes many objects that stay, and no
    garbage to speak of: Python does not look for any meanwhile. Each time it would walk over all
    that there is.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
