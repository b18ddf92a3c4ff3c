"""Node: what a recorded call leaves behind so that it can be differentiated.

The recorder makes nodes; autograd walks them. A node holds the next nodes and what it saved as
(storage, spec, offset, version), never a Tensor that came from a call: that would be a cycle, and which
results are alive would depend on when the garbage collector runs. Leaves have no history, so a
node refers to the leaf Tensor itself: its gradient goes there, and `leaf.data = new` must count.
"""

from __future__ import annotations

from typing import Any


class Node:
    """One differentiable call.

    state: the trie state that made it (op, cleaned arguments, specs).
    next: for each tensor argument a Node, an Edge, a leaf Tensor, or None.
    saved: what the formulas read; None once backward has used it.
    numbers: the values of the call's run-time numbers.
    """

    __slots__ = ("state", "next", "saved", "numbers", "hooks", "extra", "metadata", "order",
                 "__weakref__")  # fmt: skip

    state: Any
    next: tuple[Any, ...]
    saved: tuple[Any, ...] | None
    numbers: tuple[Any, ...]
    hooks: Any
    extra: Any
    metadata: Any
    order: int


class Edge:
    """An output of a node other than its first."""

    __slots__ = ("node", "number")

    def __init__(self, node: Any, number: int) -> None:
        self.node, self.number = node, number


class Saved:
    """A tensor kept for backward: a reference to a storage and a layout, and the version it had."""

    __slots__ = ("storage", "spec", "offset", "version", "counter", "leaf")

    def __init__(self, tensor: Any, keep: bool) -> None:
        self.storage, self.spec, self.offset = tensor.storage, tensor.spec, tensor.offset
        meta = tensor.meta
        self.counter = tensor.storage if meta is None or meta.counter is None else meta.counter
        self.version = self.counter.version
        self.leaf = tensor if keep else None
