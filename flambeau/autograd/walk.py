"""Walks the graph; its own work is recorded calls.

Called by Tensor.backward and autograd.grad. Nodes are visited in the reverse of the order in
which they were
made, each once, when every gradient that reaches it has arrived. Never touches memory itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Any

from flambeau.autograd import anomaly, shortcut
from flambeau.autograd.formulas import call_facts, gradients, node_name
from flambeau.autograd.hooks import (
    after_node,
    before_node,
    retain_grads,
    run_hooks,
    run_post,
    run_pre,
)
from flambeau.autograd.modes import set_mode
from flambeau.ir.layout import is_dense
from flambeau.ops.declare import TABLE
from flambeau.ops.views import PARTS
from flambeau.trace import recorder
from flambeau.trace.node import Edge, Node
from flambeau.trace.tensor import Recorded
from flambeau.trace.trie import here


class Walk:
    """One backward pass: what has arrived where, and what is wanted."""

    def __init__(self, retain: bool, create: bool, wanted: Sequence[Any] | None) -> None:
        self.retain, self.create = retain, create
        self.arrived: dict[Any, dict[int, Any]] = {}  # node or leaf → output → gradient
        self.waiting: dict[Any, int] = {}  # node or leaf → gradients still to come
        self.ready: list[tuple[int, int, Any]] = []
        self.wanted = None if wanted is None else {place_of(t): t for t in wanted}
        self.sums: dict[tuple[Any, int], Any] = {}  # where: what arrived there and is ours alone
        self.found: dict[tuple[Any, int], Any] = {}
        self.given: set[int] = set()  # storages that are a leaf's gradient already
        self.useful: set[Any] | None = None
        self.stretch = here.stretch
        self.first_slot = self.stretch.state.next
        self.here = {id(node): n for n, node in enumerate(self.stretch.nodes)}
        self.visited: list[int] = []  # places in stretch.nodes
        self.reached: list[tuple[Any, Any]] = []  # (leaf, its gradient before)
        self.pure = True  # whether a repetition would record the very same calls

    def run(self, roots: Sequence[Any], grads: Sequence[Any]) -> None:
        """Send `grads` back from `roots`."""
        self.count([place_of(root)[0] for root in roots])
        for root, grad in zip(roots, grads):
            target, number = place_of(root)
            self.deliver(target, number, grad)
        for target in {place_of(root)[0] for root in roots}:
            if not self.waiting.get(target):
                self.push(target)
        while self.ready:
            _, _, target = heappop(self.ready)
            arrived = self.arrived.pop(target, {})
            if isinstance(target, Recorded):
                self.reach_leaf(target, arrived.get(0))
            else:
                self.visit(target, arrived)

    def count(self, roots: list[Any]) -> None:
        """How many gradients each node will get; which nodes lead to what is wanted."""
        seen, stack, nodes = set(), list(roots), []
        while stack:
            target = stack.pop()
            if target in seen or isinstance(target, Recorded):
                continue
            seen.add(target)
            nodes.append(target)
            for following, _ in edges(target):
                self.waiting[following] = self.waiting.get(following, 0) + 1
                stack.append(following)
        if self.wanted is not None:
            self.useful = useful_nodes(nodes, {place[0] for place in self.wanted})

    def push(self, target: Any) -> None:
        order = -1 << 62 if isinstance(target, Recorded) else -target.order
        heappush(self.ready, (order, id(target), target))

    def deliver(self, target: Any, number: int, grad: Any) -> None:
        """Add a gradient to what has arrived at an output of `target`."""
        if grad is None:
            return
        arrived = self.arrived.setdefault(target, {})
        before = arrived.get(number)
        if before is not None:
            if before.is_sparse:  # also where the other is dense, which comes first in a sum
                before, grad = grad, before
            grad = self.sums[target, number] = before + grad
        arrived[number] = grad

    def deliver_part(self, node: Node, place: Any, grad: Any) -> None:
        """Send back from a part of a tensor: all parts' gradients gather in one, in place."""
        ((target, number),) = edges(node)
        whole = self.sums.get((target, number))
        if whole is None or self.arrived[target].get(number) is not whole:
            (grad,) = self.sent_back(node, {0: grad})
            self.deliver(target, number, grad)
            self.sums[target, number] = self.arrived[target][number]
        else:
            place(whole, call_facts(node, node.state.view, self)).add_(grad)

    def settle(self, target: Any) -> None:
        """One of the gradients that `target` waits for is there (or is known to be none)."""
        self.waiting[target] -= 1
        if not self.waiting[target]:
            self.push(target)

    def reach_leaf(self, leaf: Any, grad: Any) -> None:
        """Accumulate into `.grad`, or keep what autograd.grad asked for."""
        if grad is None:
            return
        meta = leaf._meta
        hooks = meta.backward_hooks if meta else None
        grad = run_hooks(meta.hooks if meta else None, grad)
        if hooks is not None:
            (grad,) = run_pre(hooks, (grad,))
        if self.wanted is not None:
            if (leaf, 0) in self.wanted:
                self.found[leaf, 0] = grad
            return
        accumulate(self, leaf, grad)
        if hooks is not None:
            run_post(hooks, (), (grad,))

    def visit(self, node: Node, arrived: dict[int, Any]) -> None:
        """Send the gradients of a node's results on to its arguments."""
        hooks = node.hooks
        if hooks is not None and arrived:
            arrived = before_node(node, hooks, arrived)
        if self.wanted is not None:
            for number, grad in arrived.items():
                if (node, number) in self.wanted:
                    self.found[node, number] = grad
        if hooks is not None:
            retain_grads(hooks, arrived)
        following = list(edges(node))
        self.note_visit(node)
        if arrived and (self.useful is None or node in self.useful):
            place = None if self.create or hooks is not None else part_of(node)
            if place is not None and following:
                self.deliver_part(node, place, arrived[0])
            else:
                for (target, number), grad in zip(following, self.sent_back(node, arrived)):
                    self.deliver(target, number, grad)
            if not self.retain and node.saved:
                node.saved = None
                here.stretch.watched = True
        for target, _ in following:
            self.settle(target)

    def sent_back(self, node: Node, arrived: dict[int, Any]) -> Any:
        """The node's gradients, after hooks and checks."""
        try:
            grads = gradients(node, arrived, self)
            if anomaly.enabled:
                grads = anomaly.checked(node, list(grads))
            if node.hooks is not None and node.hooks.post:
                grads = after_node(node, list(grads), arrived)
            return list(grads)
        except Exception as error:
            if anomaly.enabled:
                anomaly.report(node)
            if not getattr(error, "__notes__", None):
                error.add_note(f"in the derivative of {node_name(node)}")
            raise

    def note_visit(self, node: Any) -> None:
        """Remember what was walked; what a repetition could not repeat makes the walk impure."""
        place = self.here.get(id(node))
        if place is None or node.hooks or not isinstance(node, Node):
            self.pure = False
        else:
            self.visited.append(place)

    def impure(self) -> None:
        self.pure = False


def part_of(node: Any) -> Any:
    """What makes the same part of another tensor, where the node is that of a part."""
    if anomaly.enabled or not isinstance(node, Node) or node.state.view is None:
        return None
    return PARTS.get(node.state.view)


def place_of(tensor: Any) -> tuple[Any, int]:
    """Where gradients of a tensor arrive: its node and output, or itself."""
    edge = tensor._edge
    if edge is None:
        return tensor, 0
    return (edge.node, edge.number) if isinstance(edge, Edge) else (edge, 0)


def edges(node: Any) -> Any:
    """Where a node sends gradients: (node or leaf, output), lists of arguments flattened."""
    for following in flat(node.next):
        if following is not None:
            yield (
                (following.node, following.number)
                if isinstance(following, Edge)
                else (following, 0)
            )


def flat(following: Any) -> Any:
    for entry in following:
        if isinstance(entry, tuple):
            yield from entry
        else:
            yield entry


def useful_nodes(nodes: list[Any], ends: set[Any]) -> set[Any]:
    """The nodes from which some end can be reached."""
    useful = set(ends)
    for node in sorted(nodes, key=lambda n: n.order):
        if any(following in useful for following, _ in edges(node)):
            useful.add(node)
    return useful


# ------------------------------------------------------------------ leaves


def accumulate(walk: Walk, leaf: Any, grad: Any) -> None:
    """Add to `.grad`: the first gradient is taken as it is where nobody else holds it."""
    meta = leaf._made_meta()
    walk.reached.append((leaf, meta.grad))
    if meta.hooks or meta.post_hooks or meta.backward_hooks:
        walk.impure()
    if grad.is_sparse or meta.grad is not None and meta.grad.is_sparse:
        meta.grad = joined(walk, meta.grad, grad)
    elif meta.grad is None:
        meta.grad = own(walk, leaf, grad)
    elif walk.create:
        meta.grad = meta.grad + grad
    else:
        meta.grad.add_(grad)
    for hook in list(meta.post_hooks.values()) if meta.post_hooks else ():
        if hook(leaf) is not None:
            raise RuntimeError(
                "Tensor post accumulate grad hooks should return None.")  # fmt: skip


def joined(walk: Walk, before: Any, grad: Any) -> Any:
    """The sum of two gradients of which one is sparse; sparse ones gather in the first."""
    walk.impure()  # how many elements they have may depend on values
    if before is None:
        return grad if walk.create else grad.detach()
    if before.is_sparse and not grad.is_sparse:
        return grad + before
    if walk.create:
        return before + grad
    return before.add_(grad.detach()) if before.is_sparse else grad._add_to_(before)


def own(walk: Walk, leaf: Any, grad: Any) -> Any:
    """The gradient itself if it is fresh, not a view, and nobody else's; else a copy."""
    storage = grad._storage
    fresh = storage.stretch is here.stretch and storage.born >= walk.first_slot
    mine = fresh and grad._viewed is None and id(storage) not in walk.given
    if mine and grad._spec.stride == leaf._spec.stride and not walk.create:
        walk.given.add(id(storage))
        return grad
    copy = laid_out(leaf, grad if walk.create else grad.detach())
    walk.given.add(id(copy._storage))
    return copy


def laid_out(leaf: Any, grad: Any) -> Any:
    """A copy of the gradient in the leaf's order of dims."""
    spec = leaf._spec
    if spec.contiguous:
        return grad.clone(memory_format="torch.contiguous_format")
    if grad._spec.stride == spec.stride or not is_dense(spec.size, spec.stride):
        return grad.clone()
    return grad.new_empty_strided(spec.size, spec.stride).copy_(grad)


def backward(roots: Sequence[Any], grads: Sequence[Any], retain: bool, create: bool,
             wanted: Sequence[Any] | None = None) -> Walk:  # fmt: skip
    """Run a backward pass and return the finished walk."""
    before = here.stretch.mode.grad
    set_mode(grad=create)
    try:
        walk = Walk(retain, create, wanted)
        walk.run(roots, grads)
    finally:
        set_mode(grad=before)
    if wanted is None and not create:
        here.stretch.backward_done = True
    return walk


def backward_from(root: Any, retain: bool, create: bool) -> None:
    """`root.backward()` from a scalar: as one edge of the trie where it was walked before."""
    if not create and shortcut.follow(root, retain):
        return
    start = shortcut.Start(root, retain)
    walk = backward([root], [ones_like(root)], retain, create)
    if not create:
        shortcut.remember(start, walk)


def ones_like(root: Any) -> Any:
    """The gradient of a root with respect to itself."""
    return recorder.record(TABLE["full"], root._spec.size, 1, root._spec.dtype)


__all__ = ["Walk", "backward", "backward_from", "node_name"]
