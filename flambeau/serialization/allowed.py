"""What a file may name that is read with weights_only=True, and what users add to it.

A name that is not listed here is refused before anything is imported. The functions and classes
listed make tensors, numbers and containers, whatever they are given; where an argument could be
made to cost time or memory out of proportion, a function of this file checks it first.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from functools import cache
from pickle import UnpicklingError
from typing import Any

from flambeau.ir import dtype as dt
from flambeau.serialization.names import file_name

BLOCKED = frozenset(("sys", "os", "posix", "nt"))  # refused even where users allow them


LATIN1 = ("latin1", "latin-1")


def called(thing: Any) -> str:
    """What to call a thing from a file in an error: its value may be huge, or slow to print."""
    if isinstance(thing, type) or callable(thing):
        return str(getattr(thing, "__qualname__", type(thing).__name__))
    return f"an object of {type(thing).__name__}"


def encode(text: Any, encoding: Any) -> bytes:
    """_codecs.encode as pickles of bytes use it."""
    if type(text) is not str or type(encoding) is not str or encoding not in LATIN1:
        raise UnpicklingError("_codecs.encode is allowed for text and latin1 alone")
    return text.encode("latin1")


def byte_array(data: Any = b"", encoding: Any = "latin1") -> bytearray:
    """bytearray as pickles use it: never a number, which would be a length."""
    if type(data) is bytes:
        return bytearray(data)
    return bytearray(encode(data, encoding))


def complex_number(real: Any = 0.0, imag: Any = 0.0) -> complex:
    if type(real) is not float or type(imag) is not float:
        raise UnpicklingError("complex() is allowed for floats alone")
    return complex(real, imag)


def of_type(func: Any, new_type: Any, args: Any, state: Any) -> Any:
    """_rebuild_from_type_v2, which calls what it is given: one of the functions listed here."""
    from flambeau._utils import _rebuild_from_type_v2

    if id(func) not in callable_by_default() or type(args) is not tuple:
        raise UnpicklingError(f"Trying to call reduce for unrecognized function {called(func)}")
    return _rebuild_from_type_v2(func, new_type, args, state)


def set_of(elements: Any = ()) -> set[Any]:
    return set(hashable(x) for x in listed(elements))


def ordered(pairs: Any = ()) -> OrderedDict[Any, Any]:
    """An OrderedDict, of pairs as they stand in old files."""
    out: OrderedDict[Any, Any] = OrderedDict()
    for pair in listed(pairs):
        key, value = listed(pair)
        out[hashable(key)] = value
    return out


def counted(counts: Any = None) -> Counter[Any]:
    if counts is not None and type(counts) is not dict:
        raise UnpicklingError("Counter() is allowed for a dictionary alone")
    return Counter(counts)


def listed(values: Any) -> Any:
    """A list or tuple, and nothing that only pretends to be one."""
    if type(values) not in (list, tuple):
        raise UnpicklingError(f"expected a list or tuple, but got {type(values).__name__}")
    return values


def hashable(key: Any, limit: int = 1000) -> Any:
    """A key that can be hashed in no time: a tuple within tuples could take for ever, or crash."""
    if type(key) is tuple or isinstance(key, tuple):
        waiting, seen = [key], 0
        while waiting:
            part = waiting.pop()
            seen += len(part)
            if seen > limit:
                raise UnpicklingError("a key of a dictionary is a tuple of too many parts")
            waiting.extend(x for x in part if isinstance(x, tuple))
    return key


@cache
def by_default() -> dict[str, Any]:
    """Name in the file → what it means here."""
    from flambeau import _utils, literal, size, storage
    from flambeau.device import device
    from flambeau.nn.parameter import Parameter
    from flambeau.serialization import _get_layout
    from flambeau.tensor import Tensor

    found: dict[str, Any] = {
        "collections.OrderedDict": ordered,
        "collections.Counter": counted,
        "builtins.set": set_of,
        "builtins.bytearray": byte_array,
        "builtins.complex": complex_number,
        "_codecs.encode": encode,
        "torch.Size": size.Size,
        "torch.device": device,
        "torch.Tensor": Tensor,
        "torch.nn.parameter.Parameter": Parameter,
        "torch.serialization._get_layout": _get_layout,
        "torch.storage.UntypedStorage": storage.UntypedStorage,
        "torch.storage.TypedStorage": storage.TypedStorage,
        "torch._tensor._rebuild_from_type_v2": of_type,
    }
    for name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3",
                 "_rebuild_parameter", "_rebuild_parameter_with_state"):  # fmt: skip
        found[f"torch._utils.{name}"] = getattr(_utils, name)
    found.update((f"torch.{d.name}", d) for d in dt.ALL)
    for place in ("torch", "torch.cuda"):
        found.update((f"{place}.{name}", cls) for name, cls in storage.CLASSES.items())
    found.update((f"torch.{name}", cls) for name, cls in literal.LEGACY.items())
    return found


@cache
def callable_by_default() -> frozenset[int]:
    """The ids of what a file may call; storages are named in it, never made."""
    from flambeau.device import device
    from flambeau.size import Size

    names = "_codecs.encode", "torch.serialization._get_layout"
    makers = [
        thing for name, thing in by_default().items()
        if name.startswith(("collections.", "builtins.", "torch._")) or name in names
    ]  # fmt: skip
    return frozenset(map(id, (*makers, device, Size)))


# ------------------------------------------------------------------ what users allow

_added: dict[str, Any] = {}  # name in the file → what they gave


def name_of(thing: Any) -> tuple[str, Any]:
    """What a file calls a class or function; a pair of it and a name says so itself."""
    if isinstance(thing, tuple):
        if len(thing) != 2 or not callable(thing[0]) or not isinstance(thing[1], str):
            raise ValueError(f"Expected a class or function, or a tuple of one and its name, but "
                             f"got {thing!r}")  # fmt: skip
        return thing[1], thing[0]
    module, name = file_name(thing.__module__, thing.__qualname__)
    return f"{module}.{name}", thing


def added() -> dict[str, Any]:
    """What users allow: name in the file → class or function."""
    return _added


def add_safe_globals(safe_globals: list[Any]) -> None:
    """Let files that are read with weights_only=True name these classes and functions.

    An element may be a pair (class, "module.name") where files call it by another name.
    """
    _added.update(name_of(thing) for thing in safe_globals)


def get_safe_globals() -> list[Any]:
    """What was allowed by users so far."""
    return [thing if name_of(thing)[0] == name else (thing, name) for name, thing in _added.items()]


def clear_safe_globals() -> None:
    """Allow nothing but what is allowed from the start."""
    _added.clear()


class safe_globals:  # noqa: N801 PyTorch's name
    """The same as add_safe_globals, until the end of a `with` block."""

    def __init__(self, safe_globals: list[Any]) -> None:
        self.given = safe_globals

    def __enter__(self) -> None:
        self.before = dict(_added)
        add_safe_globals(self.given)

    def __exit__(self, *_: object) -> None:
        _added.clear()
        _added.update(self.before)


__all__ = ["add_safe_globals", "clear_safe_globals", "get_safe_globals", "safe_globals"]
