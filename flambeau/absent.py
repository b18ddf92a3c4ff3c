"""Names that stand for what Flambeau does not have: they can be imported, and say so when used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Absent(type):
    """A class of which there are no instances: asking for one raises NotImplementedError.

    Its attributes are classes of that kind again, so that they can stand in default arguments.
    """

    says: str

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(cls.says)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return Absent(f"{cls.__name__}.{name}", (), {"__module__": cls.__module__,
                                                     "says": cls.says})  # fmt: skip

    def __repr__(cls) -> str:
        return f"<{cls.__module__}.{cls.__qualname__}, which is not supported>"


def absent(module: str, names: str, instead: str) -> Callable[[str], Any]:
    """The `__getattr__` of a module of names that are not there.

    instead: what to do without them; it ends the message.
    """
    known = frozenset(names.split())
    torch = module.replace("flambeau", "torch", 1)

    def find(name: str) -> Any:
        if name not in known:
            raise AttributeError(f"module '{torch}' has no attribute '{name}'")
        says = f"{torch}.{name} is not supported: {instead}"
        return Absent(name, (), {"__module__": torch, "says": says})

    return find
