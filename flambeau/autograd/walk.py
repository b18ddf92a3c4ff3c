"""Walks the graph; its own work is recorded calls.

Called by Tensor.backward and autograd.grad. Nodes are visited in the reverse of the order in which they were
made, each once, when every gradient that reaches it has arrived. Never touches memory itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from types import SimpleNamespace
from typing import Any

from flambeau.autograd import shortcut
from flambeau.autograd.modes import set_mode
from flambeau.ir.layout import Spec
from flambeau.ir.op import Op
from flambeau.ir.program import Number
from flambeau.trace import recorder
from flambeau.trace.node import Edge, Node
from flambeau.trace.storage import Storage
from flambeau.trace.symbol import symbol
from flambeau.trace.tensor import Recorded, assemble
from flambeau.trace.trie import here

AGAIN = (
    "Trying to backward through the graph a second time (or directly access saved tensors after "
    "they have already been freed). Saved intermediate values of the graph are freed when you call "
    ".backward() or autograd.grad(). Specify retain_graph=True if you need to backward through the "
    "graph a second time or if you need to access saved tensors after calling backward."
)


class Walk:
    """One backward pass: what has arrived where, and what is wanted."""

    def __init__(self, retain: bool, create: bool, wanted: Sequence[Any] | None) -> None:
        self.retain, self.create = retain, create
        self.arrived: dict[Any, dict[int, Any]] = {}  # node or leaf → output → gradient
        self.waiting: dict[Any, int] = {}  # node or leaf → gradients still to come
        self.ready: list[tuple[int, int, Any]] = []
        self.wanted = None if wanted is None else {place_of(t): t for t in wanted}
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
        arrived[number] = grad if before is None else before + grad

    def settle(self, target: Any) -> None:
        """One of the gradients that `target` waits for is there (or is known to be none)."""
        self.waiting[target] -= 1
        if not self.waiting[target]:
            self.push(target)

    def reach_leaf(self, leaf: Any, grad: Any) -> None:
        """Accumulate into `.grad`, or keep what autograd.grad asked for."""
        if grad is None:
            return
        grad = run_hooks(leaf.meta.hooks if leaf.meta else None, grad)
        if self.wanted is not None:
            if (leaf, 0) in self.wanted:
                self.found[leaf, 0] = grad
            return
        accumulate(self, leaf, grad)

    def visit(self, node: Node, arrived: dict[int, Any]) -> None:
        """Send the gradients of a node's results on to its arguments."""
        for number, grad in arrived.items():
            arrived[number] = grad = self.pass_hooks(node, number, grad)
            if self.wanted is not None and (node, number) in self.wanted:
                self.found[node, number] = grad
        following = list(edges(node))
        self.note_visit(node)
        if arrived and (self.useful is None or node in self.useful):
            with Noting(node):
                for (target, number), grad in zip(following, gradients(node, arrived, self)):
                    self.deliver(target, number, grad)
            if not self.retain and node.saved:
                node.saved = None
        for target, _ in following:
            self.settle(target)

    def note_visit(self, node: Any) -> None:
        """Remember what was walked; what a repetition could not repeat makes the walk impure."""
        place = self.here.get(id(node))
        if place is None or node.hooks or not isinstance(node, Node):
            self.pure = False
        else:
            self.visited.append(place)

    def impure(self) -> None:
        self.pure = False

    def pass_hooks(self, node: Node, number: int, grad: Any) -> Any:
        hooks = node.hooks.get(number) if node.hooks else None
        return run_hooks(hooks, grad)


class Noting:
    """Where errors in a derivative come from: named in the exception's notes."""

    def __init__(self, node: Node) -> None:
        self.node = node

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if error is not None and not getattr(error, "__notes__", None):
            error.add_note(f"in the derivative of {node_name(self.node)}")


def place_of(tensor: Any) -> tuple[Any, int]:
    """Where gradients of a tensor arrive: its node and output, or itself."""
    edge = tensor.edge
    if edge is None:
        return tensor, 0
    return (edge.node, edge.number) if isinstance(edge, Edge) else (edge, 0)


def edges(node: Any) -> Any:
    """Where a node sends gradients: (node or leaf, output), lists of arguments flattened."""
    for following in flat(node.next):
        if following is not None:
            yield (following.node, following.number) if isinstance(following, Edge) else (following, 0)


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


def run_hooks(hooks: Any, grad: Any) -> Any:
    """Each hook may replace the gradient."""
    for hook in list(hooks.values()) if hooks else ():
        result = hook(grad)
        grad = grad if result is None else result
    return grad


# ------------------------------------------------------------------ one node


def node_name(node: Any) -> str:
    state = node.state
    return (state.view or state.event.op).node


def op_of(node: Node) -> Op:
    return node.state.view or node.state.event.op


def gradients(node: Any, arrived: dict[int, Any], walk: Walk) -> Any:
    """One gradient for each entry of `edges(node)`, in its order."""
    if hasattr(node, "apply_backward"):  # a custom Function, a view written in place
        yield from node.apply_backward(arrived, walk)
        return
    op, state = op_of(node), node.state
    reading = readings(node, arrived, walk)
    for position, following in zip(state.needs, node.next):
        if following is None:
            continue
        param = op.params[position]
        formula = op.grad[param.name]
        grad = formula.call(**{name: reading(name) for name in formula.reads})
        spec = state.args[position]
        if param.kind == "tensors":
            pairs = zip(following, grad, spec)
            yield from (fit(g, s) for f, g, s in pairs if f is not None)
        else:
            yield fit(grad, spec)


def fit(grad: Any, spec: Spec) -> Any:
    """A gradient in the size and type of its argument: broadcasting undone, cast back."""
    if grad is None:
        return None
    if grad.spec.size != spec.size:
        grad = grad.sum_to_size(spec.size)
    return grad if grad.spec.dtype is spec.dtype else grad.to(spec.dtype)


def readings(node: Node, arrived: dict[int, Any], walk: Walk) -> Any:
    """What formulas read, by name, each made when it is first asked for."""
    op, state = op_of(node), node.state
    if node.saved is None:
        raise RuntimeError(AGAIN)
    places = {p.name: i for i, p in enumerate(op.params)}
    known: dict[str, Any] = {}

    def read(name: str) -> Any:
        if name not in known:
            known[name] = make(name)
        return known[name]

    def make(name: str) -> Any:
        if name == "g":
            return arrived_grads(state, arrived)
        if name == "call":
            return call_facts(node, op, places, walk)
        place = places.get(name)
        if place is None:
            place = -1 - int(name[3:] or 0)
        saved = node.saved[state.keeps.index(place)]  # type: ignore[index]
        if place >= 0 and state.view is None and isinstance(state.event.args[place], Number):
            return number_of(node, state.event.args[place], walk)
        return restore(node, place, saved)

    return read


def arrived_grads(state: Any, arrived: dict[int, Any]) -> Any:
    """The gradient of the one result, or a list with zeros where none came."""
    if len(state.specs) == 1:
        return arrived[0]
    some = next(iter(arrived.values()))
    return [
        arrived[n] if n in arrived else some.new_zeros(spec.size, dtype=spec.dtype)
        for n, spec in enumerate(state.specs)
    ]


def call_facts(node: Node, op: Op, places: dict[str, int], walk: Walk) -> Any:
    """`call` of a formula: specs, static arguments, run-time numbers, by parameter."""
    facts = SimpleNamespace(**{p.name: a for p, a in zip(op.params, node.state.args)})
    if node.state.view is not None:
        facts.start = node.numbers[0]
        return facts
    for name, place in places.items():
        arg = node.state.event.args[place]
        if isinstance(arg, Number):
            setattr(facts, name, number_of(node, arg, walk))
    return facts


def number_of(node: Node, arg: Number, walk: Walk) -> Any:
    """A run-time number of the call; while its stretch lasts, one that the trace recognises."""
    value = node.numbers[arg.index - node.state.first_number]
    return symbol(value, arg.index, walk.impure) if id(node) in walk.here else value


def restore(node: Node, place: int, saved: Any) -> Any:
    """A saved argument or result as a tensor with its history."""
    needs = node.state.needs
    if isinstance(saved, list):
        history = node.next[needs.index(place)] if place in needs else None
        return [unpack(s, history[i] if history else None) for i, s in enumerate(saved)]
    if not isinstance(saved, tuple):
        return saved
    if place < 0:
        return unpack(saved, node if place == -1 else Edge(node, -1 - place))
    return unpack(saved, node.next[needs.index(place)] if place in needs else None)


def unpack(saved: Any, history: Any) -> Any:
    """The tensor that was saved, after checking that nobody wrote to it."""
    if not isinstance(saved, tuple):
        return saved
    storage, spec, offset, counter, version, leaf = saved
    if leaf is not None:
        check_version(spec, leaf._counter().version, version)
        return leaf
    check_version(spec, counter.version, version)
    tensor = assemble(recorder.result_class, storage, spec, offset)
    if history is not None and not isinstance(history, Recorded):
        tensor.edge = history
    elif spec.requires_grad:
        tensor.spec = spec.with_grad(False)
    if not isinstance(counter, Storage):
        tensor._meta().counter = counter
    return tensor


def check_version(spec: Spec, now: int, then: int) -> None:
    """What was saved must not have been written to since."""
    if now != then:
        raise RuntimeError(
            "one of the variables needed for gradient computation has been modified by an inplace "
            f"operation: [torch.{spec.dtype.legacy}Tensor {list(spec.size)}] is at version {now}; "
            f"expected version {then} instead. Hint: enable anomaly detection to find the operation "
            "that failed to compute its gradient, with torch.autograd.set_detect_anomaly(True).")  # fmt: skip


# ------------------------------------------------------------------ leaves


def accumulate(walk: Walk, leaf: Any, grad: Any) -> None:
    """Add to `.grad`: the first gradient is taken as it is where nobody else holds it."""
    meta = leaf._meta()
    walk.reached.append((leaf, meta.grad))
    if meta.hooks or meta.post_hooks:
        walk.impure()
    if meta.grad is None:
        meta.grad = own(walk, leaf, grad)
    elif walk.create:
        meta.grad = meta.grad + grad
    else:
        meta.grad.add_(grad)
    for hook in list(meta.post_hooks.values()) if meta.post_hooks else ():
        hook(leaf)


def own(walk: Walk, leaf: Any, grad: Any) -> Any:
    """The gradient itself if it is fresh, not a view, and nobody else's; else a copy."""
    storage = grad.storage
    fresh = storage.stretch is here.stretch and storage.born >= walk.first_slot
    mine = fresh and grad.base is None and id(storage) not in walk.given
    if mine and grad.spec.stride == leaf.spec.stride and not walk.create:
        walk.given.add(id(storage))
        return grad
    copy = grad.clone() if walk.create else grad.detach().clone()
    walk.given.add(id(copy.storage))
    return copy


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
    ones = FULL(root.spec.size, 1, dtype=root.spec.dtype)
    walk = backward([root], [ones], retain, create)
    if not create:
        shortcut.remember(start, walk)


FULL: Callable[..., Any]  # set by the front: makes the gradient 1

__all__ = ["Walk", "backward", "backward_from"]
