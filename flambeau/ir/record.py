"""record and frozen: small classes with named fields, as `dataclasses.dataclass` makes them.

The standard library writes and compiles every method of a class when the class is defined, a third
of a millisecond each time. The import and the first compile define some seventy such classes, so
here the one method that must be written out, `__init__`, is written when a first instance is made.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


class Field:
    """What stands behind a field that is more than a name and a default."""

    def __init__(self, default_factory: Any, default: Any, compare: bool, sentence: str) -> None:
        self.default_factory, self.default = default_factory, default
        self.compare, self.sentence = compare, sentence


def field(*, default_factory: Any = None, default: Any = None, compare: bool = True,
          sentence: str = "") -> Any:  # fmt: skip
    """A field with a default made for each instance, or one that `==` does not look at.

    The sentence says what it is for, where that is shown to users.
    """
    return Field(default_factory, default, compare, sentence)


@dataclass_transform(field_specifiers=(field,))
def record(cls: type[T]) -> type[T]:
    """A class with slots for its annotations; equal by value, and not hashable."""
    return made(cls, {"__hash__": None})


@dataclass_transform(field_specifiers=(field,), frozen_default=True)
def frozen(cls: type[T]) -> type[T]:
    """A record whose fields cannot be set again; hashed by value."""
    return made(cls, {"__setattr__": refuse_to_set, "__delattr__": refuse_to_delete})


def made(cls: type[T], methods: dict[str, Any]) -> type[T]:
    """The class once more, with slots and methods; what it defines by itself stays.

    With `__eq__ = object.__eq__` and `__hash__ = object.__hash__` it is equal to itself alone;
    `__slots__` in it are further slots, which are no fields.
    """
    names = tuple(cls.__annotations__)
    own = {k: v for k, v in cls.__dict__.items() if k not in ("__dict__", "__weakref__")}
    defaults = {name: own.pop(name) for name in names if name in own}
    compared = [n for n in names if getattr(defaults.get(n), "compare", True)]
    body = by_value(compared) | methods | {"__repr__": shown} | own
    body |= {"__slots__": (*names, *own.get("__slots__", ())), "__match_args__": names,
             "__fields__": defaults}  # fmt: skip
    new: Any = type(cls.__name__, cls.__bases__, body)
    new.__qualname__ = cls.__qualname__

    def first(self: Any, *args: Any, **kwargs: Any) -> None:
        new.__init__ = written(new, names, defaults)
        new.__init__(self, *args, **kwargs)

    new.__init__ = first
    return new


def by_value(names: list[str]) -> dict[str, Any]:
    """Equality and hash by what the fields hold."""
    values = attrgetter(*names)

    def __eq__(self: Any, other: Any) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return values(self) == values(other)

    def __hash__(self: Any) -> int:
        return hash(values(self))

    return {"__eq__": __eq__, "__hash__": __hash__}


def written(cls: Any, names: tuple[str, ...], defaults: dict[str, Any]) -> Callable[..., None]:
    """`__init__`, with a parameter for each field."""
    scope: dict[str, Any] = {}
    parameters, lines = [], ["    pass"]
    for name in names:
        default, value = defaults.get(name), name
        scope[f"_set_{name}"] = getattr(cls, name).__set__  # past what refuses to set
        if isinstance(default, Field) and default.default_factory is not None:
            scope[f"_make_{name}"] = default.default_factory
            value = f"_make_{name}() if {name} is _absent else {name}"
            default = scope["_absent"] = ABSENT
        elif isinstance(default, Field):
            default = default.default
        scope[f"_default_{name}"] = default
        parameters.append(f"{name}=_default_{name}" if name in defaults else name)
        lines.append(f"    _set_{name}(self, {value})")
    if hasattr(cls, "__post_init__"):
        lines.append("    self.__post_init__()")
    head = ", ".join(["self", *parameters])
    exec(f"def __init__({head}):\n" + "\n".join(lines), scope)
    scope["__init__"].__qualname__ = f"{cls.__qualname__}.__init__"
    return scope["__init__"]


ABSENT: Any = object()


def shown(self: Any) -> str:
    """Ref(value=3, …)"""
    inside = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
    return f"{type(self).__qualname__}({inside})"


def refuse_to_set(self: Any, name: str, value: Any) -> None:
    raise AttributeError(f"cannot assign to field {name!r}")


def refuse_to_delete(self: Any, name: str) -> None:
    raise AttributeError(f"cannot delete field {name!r}")


def defaults_of(cls: Any) -> dict[str, Any]:
    """Field's name → its default, or the `field(…)` that the class was written with."""
    return cls.__fields__


def replace(record: T, **changes: Any) -> T:
    """Another record, with some fields changed."""
    kind: Any = type(record)
    return kind(**{name: getattr(record, name) for name in kind.__match_args__} | changes)
