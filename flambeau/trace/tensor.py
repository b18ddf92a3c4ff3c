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
    """A storage and a view of it.

    spec, offset: size, stride, dtype, requires_grad; where the view begins, in elements.
    stretch, slot: the stretch that knows this tensor, and its number there.
    edge: its history: a Node, an Edge, or None.
    base: the tensor that this one is a view of.
    """

    __slots__ = ("storage", "spec", "offset", "stretch", "slot", "edge", "base", "meta",
                 "__dict__", "__weakref__")  # fmt: skip

    storage: Storage
    spec: Spec
    offset: int
    stretch: Any
    slot: int
    edge: Any
    base: Any
    meta: Meta | None

    def _meta(self) -> Meta:
        if self.meta is None:
            self.meta = Meta()
        return self.meta

    def _counter(self) -> Any:
        """What holds this tensor's version: its storage, or a counter of its own."""
        meta = self.meta
        return self.storage if meta is None or meta.counter is None else meta.counter


def assemble(cls: type, storage: Storage, spec: Spec, offset: int = 0) -> Any:
    """A tensor that no stretch knows yet."""
    tensor: Any = object.__new__(cls)
    tensor.storage, tensor.spec, tensor.offset = storage, spec, offset
    tensor.stretch = tensor.edge = tensor.base = tensor.meta = None
    tensor.slot = -1
    return tensor
