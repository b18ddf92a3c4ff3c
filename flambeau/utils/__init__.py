"""Things beside the network: data loading, hook handles. Submodules are imported when asked for."""

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    if name in ("checkpoint", "data", "dlpack", "hooks"):
        return import_module(f"flambeau.utils.{name}")
    raise AttributeError(f"module 'torch.utils' has no attribute '{name}'")
