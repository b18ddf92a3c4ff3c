"""torch.cuda on a machine where Flambeau uses no GPU: asks are answered, uses are refused."""

from __future__ import annotations

from typing import Any


def is_available() -> bool:
    """False: tensors live on the CPU."""
    return False


def device_count() -> int:
    """None."""
    return 0


def is_initialized() -> bool:
    """Never."""
    return False


def manual_seed(seed: int) -> None:
    """There is no generator to seed; PyTorch's CPU build is silent as well."""


def manual_seed_all(seed: int) -> None:
    """There is no generator to seed; PyTorch's CPU build is silent as well."""


def empty_cache() -> None:
    """There is no cache."""


def _refuse(*_: Any, **__: Any) -> Any:
    raise AssertionError("Torch not compiled with CUDA enabled")


current_device = synchronize = set_device = get_device_name = get_device_properties = _refuse
memory_allocated = max_memory_allocated = reset_peak_memory_stats = lambda *_: 0


def __getattr__(name: str) -> Any:
    if name == "amp":
        from importlib import import_module

        return import_module("flambeau.cuda.amp")
    raise AttributeError(f"module 'torch.cuda' has no attribute '{name}'")
