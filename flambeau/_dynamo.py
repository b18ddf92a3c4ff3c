"""torch._dynamo: programs call a few of its functions; there is nothing for them to do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from flambeau.compiler import allow_in_graph, disable, is_compiling, list_backends, reset

config = SimpleNamespace(suppress_errors=False, cache_size_limit=8, verbose=False)


def mark_dynamic(t: Any, index: Any, **_: Any) -> None:
    """Nothing to mark: sizes that change are met as they come."""


mark_static = maybe_mark_dynamic = mark_dynamic


def graph_break(msg: str = "") -> None:
    """Nothing to break."""


def optimize(*_: Any, **__: Any) -> Any:
    """A decorator that gives the function itself."""
    return lambda function: function


__all__ = ["allow_in_graph", "config", "disable", "is_compiling", "list_backends", "optimize",
           "reset"]  # fmt: skip
