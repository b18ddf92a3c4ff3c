"""torch.accelerator: whatever stands beside the CPU, which is nothing."""

from __future__ import annotations

from typing import Any


def is_available() -> bool:
    """False: tensors live on the CPU."""
    return False


def current_accelerator(check_available: bool = False) -> None:
    """None: there is no other device."""


def device_count() -> int:
    """None."""
    return 0


def _refuse(*_: Any, **__: Any) -> Any:
    raise RuntimeError("Cannot access accelerator device when none is available.")


current_device_index = current_device_idx = set_device_index = set_device_idx = _refuse
current_stream = set_stream = synchronize = device_index = memory_stats = _refuse
empty_cache = lambda: None  # noqa: E731 there is none
