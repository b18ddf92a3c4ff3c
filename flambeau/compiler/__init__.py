"""The compiler's passes; and, as torch.compiler, the words of programs that PyTorch compiles.

There is nothing to ask for and nothing to switch off: every program is compiled as it runs, and
what cannot be compiled runs all the same.
"""

from __future__ import annotations

from typing import Any


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """The function itself; works as a decorator with and without arguments."""
    return (lambda function: function) if fn is None else fn


def compile(*args: Any, **kwargs: Any) -> Any:
    """torch.compile: the function itself."""
    model = args[0] if args else kwargs.get("model")
    return disable(model)


def allow_in_graph(fn: Any) -> Any:
    return fn


assume_constant_result = allow_in_graph


def is_compiling() -> bool:
    """False: while Python runs, it runs."""
    return False


is_dynamo_compiling = is_exporting = is_compiling


def list_backends(exclude_tags: Any = ()) -> list[str]:
    """None to choose from."""
    return []


def reset() -> None:
    """Nothing to forget."""


def cudagraph_mark_step_begin() -> None:
    """Nothing to mark."""


class set_stance:  # noqa: N801 PyTorch's name
    """How to compile; works as a decorator and in a `with` block, and changes nothing."""

    def __init__(self, stance: str = "default", **_: Any) -> None:
        self.stance = stance

    def __call__(self, function: Any) -> Any:
        return function

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...
