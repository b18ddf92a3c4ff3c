"""__torch_function__: classes that answer calls of tensor functions themselves.

A program without such classes pays nothing for them: functions and methods ask for overrides only
from the moment when the first subclass of Tensor is made, this module is imported, or a mode is
entered (`activate`). Before, and for tensors of Tensor's own class, they are what they always are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import wraps
from types import FunctionType
from typing import Any

from flambeau.size import Size
from flambeau.tensor import Tensor, without_override


class State(threading.local):
    """What a thread has switched off, and its modes, the innermost last."""

    off = 0

    def __init__(self) -> None:
        self.modes: list[Any] = []


state = State()
PLAIN = frozenset((Tensor, int, float, bool, complex, str, type(None)))
NOT_ASKED = frozenset("as_subclass detach_ is_shared share_memory_ new_tensor".split())
DUNDERS = frozenset(
    f"__{name}__" for name in """add radd iadd sub rsub isub mul rmul imul truediv rtruediv itruediv
    div floordiv rfloordiv ifloordiv mod rmod imod pow rpow ipow matmul rmatmul and rand iand or ror
    ior xor rxor ixor lshift rlshift ilshift rshift rrshift irshift eq ne lt le gt ge neg pos abs
    invert getitem setitem contains""".split()
)  # fmt: skip
# Modules of late names that are no functions of tensors.
OTHERS = frozenset(
    "amp amp.autocast_mode autograd.modes exchange overrides serialization switches".split()
)
VIEWS = ("T", "mT", "mH", "H", "real", "imag")
_wrapped: dict[str, list[Any]] = {}  # module's name → its functions that ask


def overriding(values: Iterable[Any]) -> list[Any]:
    """The values whose classes answer themselves, each class once, subclasses first."""
    found: list[Any] = []
    for x in values:
        cls = type(x)
        if cls in PLAIN:
            continue
        if cls in (list, tuple):
            inner = overriding(x)
        elif getattr(cls, "__torch_function__", without_override) is not without_override:
            inner = [x]
        else:
            continue
        for y in inner:
            insert(found, y)
    return found


def insert(found: list[Any], x: Any) -> None:
    """Put a value before the first whose class is a base of its own, unless the class is there."""
    cls = type(x)
    if any(type(y) is cls for y in found):
        return
    place = next((i for i, y in enumerate(found) if issubclass(cls, type(y))), len(found))
    found.insert(place, x)


def asking(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that asks its arguments' classes first."""

    @wraps(function)
    def asked(*args: Any, **kwargs: Any) -> Any:
        if state.modes or not state.off:
            found = [] if state.off else overriding((*args, *kwargs.values()))
            if found or state.modes:
                return answer(asked, found, args, kwargs)
        return function(*args, **kwargs)

    answer = dispatch if function.__name__ in DUNDERS else answered
    return asked


def answered(public_api: Any, found: list[Any], args: Any, kwargs: Any) -> Any:
    """The answer of those who are asked; TypeError where nobody has one."""
    result = dispatch(public_api, found, args, kwargs)
    if result is not NotImplemented:
        return result
    lines = "\n".join(f"  - tensor subclass {type(x)}" for x in found)
    raise TypeError(
        f"Multiple dispatch failed for '{resolve_name(public_api)}'; all __torch_function__ "
        f"handlers returned NotImplemented:\n\n{lines}"
    )


def dispatch(public_api: Any, found: list[Any], args: Any, kwargs: Any) -> Any:
    """The answer of the innermost mode, else of the first class that has one."""
    types = tuple(type(x) for x in found)
    if state.modes:
        mode = state.modes.pop()
        try:
            result = mode.__torch_function__(public_api, types, args, kwargs)
        finally:
            state.modes.append(mode)
        if result is not NotImplemented:
            return result
    for cls in types:
        result = cls.__torch_function__(public_api, types, args, kwargs)
        if result is not NotImplemented:
            return result
    return NotImplemented


def by_default(cls: Any, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
    """Tensor's own answer: call the function, and give its tensors the subclass."""
    if not all(issubclass(cls, t) for t in types):
        return NotImplemented
    with DisableTorchFunctionSubclass():
        result = func(*args, **(kwargs or {}))
    return converted(result, cls)


def converted(result: Any, cls: Any) -> Any:
    """Tensors, alone or in tuples and lists, as objects of a class."""
    if cls is Tensor:
        return result
    if isinstance(result, Tensor):
        return result if isinstance(result, cls) else result.as_subclass(cls)
    if isinstance(result, (tuple, list)) and not isinstance(result, Size):
        parts = [converted(x, cls) for x in result]
        return type(result)._make(parts) if hasattr(result, "_make") else type(result)(parts)
    return result


# ------------------------------------------------------------------ switched on


def activate() -> None:
    """Make functions and methods ask; a second time does nothing."""
    if _wrapped:
        return
    import flambeau
    from flambeau import fft, linalg, special
    from flambeau.methods import PUBLIC
    from flambeau.nn import functional

    for name, method in list(vars(Tensor).items()):
        if isinstance(method, FunctionType) and name not in NOT_ASKED:
            if name in DUNDERS or not name.startswith("_"):
                setattr(Tensor, name, asking(method))
    for name in VIEWS:
        prop = getattr(Tensor, name)
        setattr(Tensor, name, property(asking(prop.fget), prop.fset))
    _wrapped["torch.Tensor"] = [x for x in vars(Tensor).values() if hasattr(x, "__wrapped__")]
    for name in functional.HOMES:
        getattr(functional, name)  # imported when first asked for, which is now
    late = [n for n, home in flambeau._ELSEWHERE.items() if home.partition(":")[0] not in OTHERS]
    for name in late:
        getattr(flambeau, name)
    spaces = [(m, public(m)) for m in (functional, fft, linalg, special)]
    for module, names in [(flambeau, [*PUBLIC, *late]), *spaces]:
        place = vars(module)
        for name in names:
            if isinstance(place.get(name), FunctionType):
                place[name] = asking(place[name])
                _wrapped.setdefault(module.__name__, []).append(place[name])


def public(module: Any) -> list[str]:
    """The names that a module offers."""
    return getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]


class DisableTorchFunctionSubclass:
    """Inside the block classes are not asked, modes are."""

    def __enter__(self) -> None:
        state.off += 1

    def __exit__(self, *_: object) -> None:
        state.off -= 1


class DisableTorchFunction(DisableTorchFunctionSubclass):
    """Inside the block nobody is asked."""

    def __enter__(self) -> None:
        super().__enter__()
        self.modes, state.modes = state.modes, []

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        state.modes = self.modes


class TorchFunctionMode:
    """Answers all calls of tensor functions in a `with` block by its __torch_function__."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise NotImplementedError("a mode has to have a __torch_function__")

    def __enter__(self) -> Any:
        activate()
        state.modes.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        state.modes.pop()


class BaseTorchFunctionMode(TorchFunctionMode):
    """A mode that changes nothing."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


# ------------------------------------------------------------------ for functions of others


def has_torch_function(relevant_args: Iterable[Any]) -> bool:
    """Whether a class or a mode has to be asked."""
    return bool(state.modes) or not state.off and bool(overriding(relevant_args))


def handle_torch_function(public_api: Any, relevant_args: Iterable[Any], *args: Any,
                          **kwargs: Any) -> Any:  # fmt: skip
    """The answer of those who have to be asked; TypeError where none has one."""
    return answered(public_api, overriding(relevant_args), args, kwargs)


def wrap_torch_function(dispatcher: Callable[..., Any]) -> Any:
    """A decorator: ask those arguments first that `dispatcher` picks."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def asked(*args: Any, **kwargs: Any) -> Any:
            relevant = dispatcher(*args, **kwargs)
            if has_torch_function(relevant):
                return handle_torch_function(asked, relevant, *args, **kwargs)
            return function(*args, **kwargs)

        return asked

    return decorate


def is_tensor_like(inp: Any) -> bool:
    """Whether it is a tensor, or answers for one."""
    return type(inp) is Tensor or hasattr(inp, "__torch_function__")


def is_tensor_method_or_property(func: Callable[..., Any]) -> bool:
    """Whether a function is one of Tensor's."""
    return any(func is method for method in _wrapped["torch.Tensor"])


def get_overridable_functions() -> dict[Any, list[Any]]:
    """The functions that ask, by the namespaces in which they stand."""
    import sys

    return {sys.modules.get(name, Tensor): functions for name, functions in _wrapped.items()}


def get_default_nowrap_functions() -> set[Any]:
    """What gives its results as they are, also by a subclass's default answer."""
    return {vars(Tensor)[name].__get__ for name in ("_base", "grad")}


def resolve_name(f: Any) -> str:
    """A function's name as PyTorch has it: torch.add, torch.Tensor.add."""
    name = getattr(f, "__name__", str(f))
    for module, functions in _wrapped.items():
        if any(f is g for g in functions):
            return f"{module.replace('flambeau', 'torch', 1)}.{name}"
    return f"torch.{name}"


activate()
