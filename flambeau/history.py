"""Tensor methods about where gradients come from: grad_fn, hooks, retain_grad."""

from __future__ import annotations

from typing import Any

from flambeau.autograd import graph, hooks, inplace
from flambeau.autograd.handles import RemovableHandle


def fresh(tensor: Any) -> Any:
    """The tensor, with its history of now."""
    if tensor._viewed is not None and inplace.stale(tensor):
        inplace.refresh_history(tensor)
    return tensor


@property  # type: ignore[misc]
def grad_fn(self: Any) -> Any:
    """The node that made this tensor, or None for a leaf."""
    return graph.grad_fn_of(fresh(self))


@property  # type: ignore[misc]
def is_leaf(self: Any) -> bool:
    """Whether no recorded call made this tensor."""
    return fresh(self)._edge is None


@property  # type: ignore[misc]
def retains_grad(self: Any) -> bool:
    """Whether retain_grad() was called on a tensor that is no leaf."""
    return self._meta is not None and self._meta.retains_grad and self._edge is not None


def register_hook(self: Any, hook: Any) -> RemovableHandle:
    """Call hook(grad) when this tensor's gradient is there; what it returns replaces it."""
    return graph.keep(hooks.tensor_hooks(fresh(self)), hook)


def register_post_accumulate_grad_hook(self: Any, hook: Any) -> RemovableHandle:
    """Call hook(tensor) after this leaf's `.grad` has changed."""
    return graph.keep(hooks.post_accumulate_hooks(fresh(self)), hook)


def retain_grad(self: Any) -> None:
    """Let this tensor, which is no leaf, have a `.grad` after backward."""
    hooks.retain_grad(fresh(self))


METHODS = ("grad_fn", "is_leaf", "retains_grad", "register_hook",
           "register_post_accumulate_grad_hook", "retain_grad")  # fmt: skip
