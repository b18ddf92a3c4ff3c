"""Things beside the network: data loading, hook handles. Submodules are imported when asked for."""

from importlib import import_module
from typing import Any

NAMES = "_pytree benchmark checkpoint cpp_extension data dlpack hooks model_zoo tensorboard".split()


def __getattr__(name: str) -> Any:
    if name in NAMES:
        return import_module(f"flambeau.utils.{name}")
    raise AttributeError(f"module 'torch.utils' has no attribute '{name}'")
