"""torch.mps: Apple's GPUs, which are not used."""

from __future__ import annotations

from typing import Any


def is_available() -> bool:
    """False: tensors live on the CPU."""
    return False


def device_count() -> int:
    """None."""
    return 0


def _nothing(*_: Any) -> None: ...


# There is no generator to seed, no cache and no queue.
manual_seed = manual_seed_all = seed = empty_cache = synchronize = _nothing
