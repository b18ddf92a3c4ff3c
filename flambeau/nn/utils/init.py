"""Modules without initial values."""

import inspect

from flambeau.nn.modules.module import Module


def skip_init(module_cls, *args, **kwargs):
    """A module whose parameters hold whatever the memory held; no random number is drawn."""
    from flambeau import random

    if not issubclass(module_cls, Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    state = random.get_rng_state()
    try:
        return module_cls(*args, **kwargs)
    finally:
        random.set_rng_state(state)


__all__ = ["skip_init"]
