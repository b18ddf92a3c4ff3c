"""Hooks of tensors and nodes: kept on the node (or in a leaf's meta), called by the walk.

Order, as in PyTorch: hooks of the tensors whose gradient arrived, prehooks of the node, gradients
that are retained or asked for, the node itself, its other hooks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any
from weakref import ref

from flambeau.autograd.formulas import inputs_of
from flambeau.trace.tensor import Recorded
from flambeau.trace.trie import here

Hook = Callable[..., Any]


class NodeHooks:
    """tensors: output → hooks; pre, post: the node's own; retained: output → the tensor, weakly."""

    __slots__ = ("tensors", "pre", "post", "retained", "__weakref__")

    def __init__(self) -> None:
        self.tensors: dict[int, OrderedDict[int, Hook]] = {}
        self.pre: OrderedDict[int, Hook] = OrderedDict()
        self.post: OrderedDict[int, Hook] = OrderedDict()
        self.retained: dict[int, Any] = {}


def hooks_of(node: Any) -> NodeHooks:
    """The hooks of a node, or of a leaf, where gradients are accumulated."""
    if isinstance(node, Recorded):
        meta = node._made_meta()
        if meta.backward_hooks is None:
            meta.backward_hooks = NodeHooks()
        hooks: NodeHooks = meta.backward_hooks
        return hooks
    if node.hooks is None:
        node.hooks = NodeHooks()
        here.stretch.watched = True
    hooks = node.hooks
    return hooks


# ------------------------------------------------------------------ registering


def tensor_hooks(tensor: Any) -> OrderedDict[int, Hook]:
    """The dictionary that keeps the hooks of a tensor."""
    if not tensor.requires_grad:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if tensor._edge is None:
        meta = tensor._made_meta()
        if meta.hooks is None:
            meta.hooks = OrderedDict()
        found: OrderedDict[int, Hook] = meta.hooks
        return found
    node, number = output_of(tensor)
    return hooks_of(node).tensors.setdefault(number, OrderedDict())


def post_accumulate_hooks(tensor: Any) -> OrderedDict[int, Hook]:
    """The dictionary that keeps what is called after a leaf's `.grad` has changed."""
    if not tensor.requires_grad:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if tensor._edge is not None:
        raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    meta = tensor._made_meta()
    if meta.post_hooks is None:
        meta.post_hooks = OrderedDict()
    found: OrderedDict[int, Hook] = meta.post_hooks
    return found


def retain_grad(tensor: Any) -> None:
    """Let a tensor that is no leaf have a `.grad` after backward."""
    if not tensor.requires_grad:
        raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
    if tensor._edge is None:
        return
    tensor._made_meta().retains_grad = True
    node, number = output_of(tensor)
    hooks_of(node).retained[number] = ref(tensor)


def output_of(tensor: Any) -> tuple[Any, int]:
    """The node that made a tensor, and which of its results it is."""
    edge = tensor._edge
    return (edge.node, edge.number) if hasattr(edge, "number") else (edge, 0)


# ------------------------------------------------------------------ calling


def name_of(hook: Hook) -> str:
    """A hook's name, as errors call it."""
    return getattr(hook, "__name__", type(hook).__name__)


def checked(hook: Hook, before: Any, after: Any) -> Any:
    """What a hook returned, if it can stand for the gradient."""
    if not isinstance(after, Recorded):
        raise TypeError(f"expected Variable, but hook returned '{type(after).__name__}'")
    if before is not None and after._spec.size != before._spec.size:
        raise RuntimeError(f"hook '{name_of(hook)}' has changed the size of value")
    if before is not None and after._spec.dtype is not before._spec.dtype:
        raise RuntimeError(f"hook '{name_of(hook)}' has changed the type of value (was "
                           f"torch.{before._spec.dtype.legacy}Tensor got "
                           f"torch.{after._spec.dtype.legacy}Tensor)")  # fmt: skip
    return after


def run_hooks(hooks: Any, grad: Any) -> Any:
    """Each hook of a tensor may replace the gradient."""
    for hook in list(hooks.values()) if hooks else ():
        result = hook(grad)
        grad = grad if result is None else checked(hook, grad, result)
    return grad


def run_pre(hooks: NodeHooks, grads: tuple[Any, ...]) -> tuple[Any, ...]:
    """Prehooks of a node may replace the gradients of its results."""
    for hook in list(hooks.pre.values()):
        changed = hook(grads)
        if changed is not None:
            grads = replaced(hook, grads, changed)
    return grads


def run_post(hooks: NodeHooks, grads: tuple[Any, ...], outputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Hooks of a node may replace the gradients of its arguments."""
    for hook in list(hooks.post.values()):
        changed = hook(grads, outputs)
        if changed is not None:
            grads = replaced(hook, grads, changed)
    return grads


def replaced(hook: Hook, before: tuple[Any, ...], after: Any) -> tuple[Any, ...]:
    """A tuple that a hook returned, checked value by value."""
    if not isinstance(after, tuple):
        after = (after,)
    if len(after) != len(before):
        raise RuntimeError(f"hook '{name_of(hook)}' has returned an incorrect number of "
                           "values (got "
                           f"{len(after)}, but expected {len(before)})")  # fmt: skip
    return tuple(None if a is None else checked(hook, b, a) for b, a in zip(before, after))


def before_node(node: Any, hooks: NodeHooks, arrived: dict[int, Any]) -> dict[int, Any]:
    """What arrived at a node, after the hooks of its results and its prehooks."""
    arrived = {n: run_hooks(hooks.tensors.get(n), grad) for n, grad in arrived.items()}
    if not hooks.pre:
        return arrived
    grads = run_pre(hooks, all_outputs(node, arrived))
    return {n: grad for n, grad in enumerate(grads) if grad is not None}


def all_outputs(node: Any, arrived: dict[int, Any]) -> tuple[Any, ...]:
    """One gradient a result, None where none came."""
    return tuple(arrived.get(n) for n in range(len(node.state.specs)))


def retain_grads(hooks: NodeHooks, arrived: dict[int, Any]) -> None:
    """Keep gradients that were asked for with retain_grad()."""
    for number, reference in hooks.retained.items():
        tensor, grad = reference(), arrived.get(number)
        if tensor is not None and grad is not None:
            meta = tensor._made_meta()
            meta.grad = grad.clone() if meta.grad is None else meta.grad + grad


def after_node(node: Any, grads: list[Any], arrived: dict[int, Any]) -> list[Any]:
    """What a node sends back, after its hooks."""
    places = [n for n, target in enumerate(inputs_of(node)) if target is not None]
    full: list[Any] = [None] * len(inputs_of(node))
    for place, grad in zip(places, grads):
        full[place] = grad
    full = list(run_post(node.hooks, tuple(full), all_outputs(node, arrived)))
    return [full[place] for place in places]
