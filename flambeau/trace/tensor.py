"""Recorded: the state of a tensor, without its methods (flambeau/tensor.py adds those)."""

from __future__ import annotations

from typing import Any

from flambeau.ir.layout import Spec
from flambeau.trace.storage import Storage

tensors: set[Any] = set()  # the classes whose instances are tensors, exactly


class Counter:
    """A version of its own, for tensors that share memory but not history (`x.data`)."""

    __slots__ = ("version",)

    def __init__(self) -> None:
        self.version = 0


class Meta:
    """What few tensors have: a gradient, hooks, a version counter of their own."""

    __slots__ = ("grad", "hooks", "post_hooks", "counter", "retains_grad", "history", "name",
                 "backward_hooks")  # fmt: skip

    def __init__(self) -> None:
        self.grad: Any = None
        self.hooks: Any = None
        self.post_hooks: Any = None
        self.counter: Counter | None = None
        self.retains_grad = False
        self.history = 0
        self.name = None
        self.backward_hooks: Any = None


class Recorded:
    """A storage and a view of it. The slots' names begin with _: all others are the users'.

    _spec, _offset: size, stride, dtype, requires_grad; where the view begins, in elements.
    _stretch, _slot: the stretch that knows this tensor, and its number there.
    _edge: its history: a Node, an Edge, or None.
    _viewed: the tensor that this one is a view of.
    """

    __slots__ = ("_storage", "_spec", "_offset", "_stretch", "_slot", "_edge", "_viewed", "_meta",
                 "__dict__", "__weakref__")  # fmt: skip

    _storage: Storage
    _spec: Spec
    _offset: int
    _stretch: Any
    _slot: int
    _edge: Any
    _viewed: Any
    _meta: Meta | None

    def _made_meta(self) -> Meta:
        if self._meta is None:
            self._meta = Meta()
        return self._meta

    def _failed(self) -> bool:
        """Whether a failed flush left an error instead of a value."""
        return self._storage.error is not None

    def _counter(self) -> Any:
        """What holds this tensor's version: its storage, or a counter of its own."""
        meta = self._meta
        return self._storage if meta is None or meta.counter is None else meta.counter


def assemble(cls: type, storage: Storage, spec: Spec, offset: int = 0) -> Any:
    """A tensor that no stretch knows yet."""
    tensor: Any = object.__new__(cls)
    tensor._storage, tensor._spec, tensor._offset = storage, spec, offset
    tensor._stretch = tensor._edge = tensor._viewed = tensor._meta = None
    tensor._slot = -1
    return tensor
