"""Derivatives: backward and grad, functions with derivatives of their own, modes and checks."""

from typing import Any

from flambeau.autograd.anomaly import detect_anomaly, set_detect_anomaly
from flambeau.autograd.calls import backward, grad
from flambeau.autograd.function import Function
from flambeau.autograd.modes import (
    enable_grad,
    inference_mode,
    no_grad,
    set_grad_enabled,
)


def __getattr__(name: str) -> Any:
    """What is seldom used is loaded when it is."""
    if name in ("gradcheck", "gradgradcheck", "GradcheckError"):
        from importlib import import_module

        module = import_module("flambeau.autograd.gradcheck")
        for public in ("gradcheck", "gradgradcheck", "GradcheckError"):
            globals()[public] = getattr(module, public)
        return globals()[name]
    if name in ("forward_ad", "functional", "graph", "function", "grad_mode", "profiler"):
        from importlib import import_module

        return import_module(f"flambeau.autograd.{name}")
    if name in ("set_multithreading_enabled", "is_multithreading_enabled"):
        from flambeau.autograd import grad_mode

        return getattr(grad_mode, name)
    if name == "Variable":
        from flambeau.autograd.variable import Variable

        return Variable
    raise AttributeError(f"module 'torch.autograd' has no attribute '{name}'")


__all__ = [
    "Function", "backward", "detect_anomaly", "enable_grad", "grad", "inference_mode", "no_grad",
    "set_detect_anomaly", "set_grad_enabled",
]  # fmt: skip
