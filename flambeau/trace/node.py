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
    saved: what the formulas read (see `keep`); None once backward has used it.
    numbers: the values of the call's run-time numbers.
    order: nodes are differentiated in the reverse of the order in which they were made.
    """

    __slots__ = ("state", "next", "saved", "numbers", "order", "rare", "__weakref__")

    state: Any
    next: tuple[Any, ...]
    saved: tuple[Any, ...] | None
    numbers: tuple[Any, ...]
    order: int
    rare: dict[str, Any] | None  # hooks, extra, metadata: few nodes have them

    @property
    def hooks(self) -> Any:
        return self.rare.get("hooks") if self.rare is not None else None

    @hooks.setter
    def hooks(self, hooks: Any) -> None:
        self.rare = {**(self.rare or {}), "hooks": hooks}

    @property
    def extra(self) -> Any:
        return self.rare.get("extra") if self.rare is not None else None

    @extra.setter
    def extra(self, extra: Any) -> None:
        self.rare = {**(self.rare or {}), "extra": extra}

    @property
    def metadata(self) -> Any:
        if self.rare is None or "metadata" not in self.rare:
            self.rare = {**(self.rare or {}), "metadata": {}}
        return self.rare["metadata"]


class Edge:
    """An output of a node other than its first."""

    __slots__ = ("node", "number")

    def __init__(self, node: Any, number: int) -> None:
        self.node, self.number = node, number


# A tensor kept for backward: (storage, spec, offset, counter, version, leaf). The counter holds the
# version of now, `version` is the one it had; `leaf` is the tensor itself where it is a leaf. A plain
# tuple, because one is made for almost every recorded call.
Saved = tuple[Any, ...]


def keep(tensor: Any) -> Saved:
    """Keep a tensor for backward: a reference to its storage and layout, and the version it has."""
    storage, meta, spec = tensor.storage, tensor.meta, tensor.spec
    counter = storage if meta is None or meta.counter is None else meta.counter
    leaf = tensor if tensor.edge is None and spec.requires_grad else None
    return storage, spec, tensor.offset, counter, counter.version, leaf
