"""Networks: modules, parameters, functions, initialisation."""

from flambeau.nn import functional, init, modules, parameter, utils
from flambeau.nn.modules import *  # noqa: F403
from flambeau.nn.modules import __all__ as _modules
from flambeau.nn.parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter


def __getattr__(name):
    """What is seldom used is loaded when it is."""
    from importlib import import_module

    if name in ("attention", "parallel"):
        return import_module(f"flambeau.nn.{name}")
    if name == "DataParallel":
        return import_module("flambeau.nn.parallel").DataParallel
    raise AttributeError(f"module 'torch.nn' has no attribute '{name}'")


__all__ = [
    *_modules, "Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter",
    "functional", "init", "modules", "parameter", "utils",
]  # fmt: skip
