"""What one node sends back: its op's derivatives, with what they read restored.

Called by walk.py for every node that a gradient reaches, and by the facade of grad_fn to show
what was saved. Records calls; never touches memory.

Where numbers are complex, the gradient of a real L is what PyTorch calls so: the derivative by the
conjugate of z. For a function f with a complex derivative that is g · conj(f'), so the formulas are
those of real numbers, between two conjugations: conj(formula(conj(g))). Ops whose formulas say
themselves what is conjugated are not `holomorphic`.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from flambeau.ir.layout import Spec
from flambeau.ir.op import Op, positions
from flambeau.ir.program import Number
from flambeau.trace import above
from flambeau.trace.node import Edge, Node
from flambeau.trace.storage import Storage
from flambeau.trace.symbol import symbol
from flambeau.trace.tensor import Recorded, assemble

AGAIN = (
    "Trying to backward through the graph a second time (or directly access saved tensors after "
    "they have already been freed). Saved intermediate values of the graph are freed when you call "
    ".backward() or autograd.grad(). Specify retain_graph=True if you need to backward through the "
    "graph a second time or if you need to access saved tensors after calling backward."
)


def node_name(node: Any) -> str:
    """What PyTorch calls a node."""
    if hasattr(node, "next_functions"):  # what grad_fn shows
        return str(node.name()).removeprefix("torch::autograd::")
    state = node.state
    return state.view.node if state.view is not None else state.event.op.node_for(state.args)


class Facts:
    """Enough of a trie state for nodes that no recorded call made."""

    def __init__(self, name: str, specs: tuple[Spec, ...]) -> None:
        self.node, self.specs = name, specs
        self.view = self


def inputs_of(node: Any) -> list[Any]:
    """Where each tensor argument's gradient goes, None for those that need none."""
    if hasattr(node, "apply_backward"):
        return list(node.next)
    op, state = op_of(node), node.state
    following = dict(zip(state.needs or (), node.next))
    found: list[Any] = []
    arg: Any
    for position, param in enumerate(op.params):
        arg = state.args[position] if position < len(state.args) else None
        if param.kind == "tensors":
            found += following.get(position) or (None,) * len(arg)
        elif param.kind == "tensor" and arg is not None:
            found.append(following.get(position))
    return found


def op_of(node: Node) -> Op:
    """The op of a recorded call's node."""
    return node.state.view or node.state.event.op


def gradients(node: Any, arrived: dict[int, Any], walk: Any) -> Any:
    """One gradient for each entry of `edges(node)`, in its order."""
    if hasattr(node, "apply_backward"):  # a custom Function, a view written in place
        yield from node.apply_backward(arrived, walk)
        return
    op, state = op_of(node), node.state
    conjugates = op.holomorphic and op.kind != "view" and on_complex(state)
    if conjugates:
        arrived = {number: g.conj() for number, g in arrived.items()}
    reading = readings(node, arrived, walk)
    for position, following in zip(state.needs or (), node.next):  # None: history ended here
        if following is None:
            continue
        param = op.params[position]
        formula = op.grad[param.name]
        grad = formula.call(**{name: reading(name) for name in formula.reads})
        spec = state.args[position]
        if conjugates:
            grad = conjugate(grad)
        if param.kind == "tensors":
            pairs = zip(following, grad, spec)
            yield from (fit(g, s) for f, g, s in pairs if f is not None)
        else:
            yield fit(grad, spec)


def on_complex(state: Any) -> bool:
    """Whether a call made or read complex numbers."""
    if any([spec.dtype.kind == "c" for spec in state.specs]):
        return True
    tensors = [a for a in state.args if isinstance(a, (Spec, tuple))]
    return any([is_complex(b) for a in tensors for b in (a if isinstance(a, tuple) else (a,))])


def is_complex(fact: Any) -> bool:
    return isinstance(fact, Spec) and fact.dtype.kind == "c"


def conjugate(grad: Any) -> Any:
    """The conjugate of a gradient, or of each of several."""
    if isinstance(grad, (tuple, list)):
        return [conjugate(g) for g in grad]
    return None if grad is None else grad.conj()


def fit(grad: Any, spec: Spec) -> Any:
    """A gradient in the size and type of its argument: broadcasting undone, cast back."""
    if grad is None:
        return None
    if grad._spec.size != spec.size:
        grad = grad.sum_to_size(spec.size)
    wanted = spec.dtype.plain
    if grad._spec.dtype.kind == "c" and wanted.kind != "c":
        grad = grad.real
    return grad if grad._spec.dtype.plain is wanted else grad.to(wanted)


def readings(node: Node, arrived: dict[int, Any], walk: Any) -> Any:
    """What formulas read, by name, each made when it is first asked for."""
    op, state = op_of(node), node.state
    if node.saved.__class__ is not tuple:
        recomputed(node)
    known: dict[str, Any] = {}

    def read(name: str) -> Any:
        if name not in known:
            known[name] = make(name)
        return known[name]

    def make(name: str) -> Any:
        if name == "g":
            return arrived_grads(state, arrived)
        if name == "call":
            return call_facts(node, op, walk)
        place = positions(op).get(name)
        if place is None:
            place = -1 - int(name[3:] or 0)
        saved = node.saved[state.keeps.index(place)]  # type: ignore[index]
        if place >= 0 and state.view is None and isinstance(state.event.args[place], Number):
            return number_of(node, state.event.args[place], walk)
        return restore(node, place, saved)

    return read


def recomputed(node: Any) -> None:
    """Give a node of a checkpoint what it saved; nothing is left where backward has used it."""
    if node.saved is None:
        raise RuntimeError(AGAIN)
    node.saved = node.saved.recompute()


def arrived_grads(state: Any, arrived: dict[int, Any]) -> Any:
    """The gradient of the one result, or a list with zeros where none came."""
    if len(state.specs) == 1:
        return arrived[0]
    some = next(iter(arrived.values()))
    return [
        arrived[n] if n in arrived else some.new_zeros(spec.size, dtype=spec.dtype)
        for n, spec in enumerate(state.specs)
    ]


def call_facts(node: Node, op: Op, walk: Any) -> Any:
    """`call` of a formula: specs, static arguments, run-time numbers, by parameter."""
    facts = SimpleNamespace(**{p.name: a for p, a in zip(op.params, node.state.args)})
    if node.state.view is not None:
        facts.start = node.numbers[0]
        return facts
    for param, arg in zip(op.params, node.state.event.args):
        if isinstance(arg, Number):
            setattr(facts, param.name, number_of(node, arg, walk))
    return facts


def number_of(node: Node, arg: Number, walk: Any) -> Any:
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
    now = leaf._counter() if leaf is not None else counter
    if now.version != version:
        refuse_version(spec, now.version, version, None if leaf is not None else history)
    if leaf is not None:
        return leaf
    tensor = assemble(above.result_class, storage, spec, offset)
    if history is not None and not isinstance(history, Recorded):
        tensor._edge = history
    elif spec.requires_grad:
        tensor._spec = spec.with_grad(False)
    if not isinstance(counter, Storage):
        tensor._made_meta().counter = counter
    return tensor


def refuse_version(spec: Spec, now: int, then: int, history: Any) -> None:
    """What was saved must not have been written to since."""
    from flambeau.autograd import anomaly

    hint = (
        "Hint: the backtrace further above shows the operation that failed to compute its "
        "gradient. "
        "The variable in question was changed in there or anywhere later. Good luck!"
        if anomaly.enabled
        else "Hint: enable anomaly detection to find the operation that failed to compute its "
        "gradient, with torch.autograd.set_detect_anomaly(True, check_nan=False)."
    )
    raise RuntimeError(
        "one of the variables needed for gradient computation has been modified by an inplace "
        f"operation: [torch.{spec.dtype.legacy}Tensor {list(spec.size)}]{made_by(history)} is at "
        f"version {now}; expected version {then} instead. {hint}"
    )


def made_by(history: Any) -> str:
    """Which node made a saved tensor, for an error's text."""
    if history is None or isinstance(history, Recorded):
        return ""
    node, number = (history.node, history.number) if isinstance(history, Edge) else (history, 0)
    name = node_name(node).removesuffix("0").removesuffix("Backward")
    return f", which is output {number} of {name},"
