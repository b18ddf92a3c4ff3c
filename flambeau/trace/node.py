"""Node: what a recorded call leaves behind so that it can be differentiated.

The recorder makes nodes; autograd walks them. A node holds the next nodes and what it saved as
(storage, spec, offset, version), never a Tensor that came from a call: that would be a cycle, and
which results are alive would depend on when the garbage collector runs. Leaves have no history, so
a node refers to the leaf Tensor itself: its gradient goes there, and `leaf.data = new` must count.
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

order = itertools.count()  # nodes are differentiated in the reverse of the order they were made


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
# version of now, `version` is the one it had; `leaf` is the tensor itself where it is a leaf. A
# plain tuple, because one is made for almost every recorded call.
Saved = tuple[Any, ...]


def keep(tensor: Any) -> Saved:
    """Keep a tensor for backward: a reference to its storage and layout, and the version it has."""
    storage, meta, spec = tensor._storage, tensor._meta, tensor._spec
    counter = storage if meta is None or meta.counter is None else meta.counter
    leaf = tensor if tensor._edge is None and spec.requires_grad else None
    return storage, spec, tensor._offset, counter, counter.version, leaf


# ------------------------------------------------------------------ making nodes
#
# One is made for almost every recorded call, so the code for each pattern of arguments is written
# out as source, once: no loops, no calls. `results.make_node` is the plain twin.

HEAD = """
def make(stretch, state, args, out):
    node = Node()
    node.state, node.rare, node.order = state, None, next(order)"""
ARGUMENT = """
    a{i} = args[{i}]
    e{i} = a{i}._edge"""
KEPT = """
    s{n} = {x}._storage
    m{n} = {x}._meta
    c{n} = s{n} if m{n} is None or m{n}.counter is None else m{n}.counter
    p{n} = {x}._spec"""
TAIL = """
    node.next = ({next})
    node.saved = ({saved})
    node.numbers = {numbers}
    stretch.nodes.append(node)
    return node
"""


@cache
def maker(needs: tuple[int, ...], keeps: tuple[int, ...], plain: tuple[int, ...],
          numbers: tuple[int, int] | None) -> Any:  # fmt: skip
    """The function that makes the node of a call with one result and plain tensor arguments.

    needs: the arguments that gradients go to; keeps: those that are kept, -1 for the result;
    plain: those of them that are no tensors; numbers: which of the stretch's run-time numbers are
    the call's.
    """
    touched = sorted({i for i in (*needs, *keeps) if i >= 0 and i not in plain})
    source = HEAD + "".join(ARGUMENT.format(i=i) for i in touched)
    saved = ""
    for n, i in enumerate(keeps):
        if i in plain:
            saved += f"args[{i}], "
            continue
        x = "out" if i < 0 else f"a{i}"
        leaf = "None" if i < 0 else f"a{i} if e{i} is None and p{n}.requires_grad else None"
        source += KEPT.format(n=n, x=x)
        saved += f"(s{n}, p{n}, {x}._offset, c{n}, c{n}.version, {leaf}), "
    following = "".join(f"a{i} if e{i} is None else e{i}, " for i in needs)
    own = "()" if numbers is None else f"tuple(stretch.numbers[{numbers[0]}:{numbers[1]}])"
    source += TAIL.format(next=following, saved=saved, numbers=own)
    scope = {"Node": Node, "order": order}
    exec(compile(source, "<flambeau node>", "exec"), scope)
    return scope["make"]
