"""Following an edge: the tensors that a call gives, and its node in the graph of gradients.

Called by the recorder for every call; the state of the trie knows the rest. Computes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from flambeau.hot import hot
from flambeau.ir.op import Op
from flambeau.trace import above
from flambeau.trace.entering import written
from flambeau.trace.node import Edge, Node, keep, maker, order
from flambeau.trace.storage import Storage, new_storage
from flambeau.trace.tensor import Recorded
from flambeau.trace.trie import State, Stretch

new_tensor: Callable[[type], Any] = object.__new__


@hot
def follow_one(stretch: Stretch, state: State, args: tuple[Any, ...]) -> Any:
    """The one fresh result of a call."""
    storage = Storage()
    out = new_tensor(above.result_class)
    out._slot = storage.born = storage.index = state.slot
    out._stretch = storage.stretch = stretch
    storage.buffer = storage.rare = None
    storage.nbytes, storage.version = state.size, 0
    out._storage, out._spec, out._offset = storage, state.spec, 0
    out._viewed = out._meta = None
    stretch.results.append(storage)
    out._edge = None
    if state.needs is not None:
        out._edge = state.node(stretch, state, args, out)
    return out


def follow_many(stretch: Stretch, state: State, args: tuple[Any, ...]) -> Any:
    """Several fresh results; those that can't have a gradient stay outside the graph."""
    outs = []
    for number, spec in enumerate(state.specs):
        storage = new_storage(spec.numel * spec.dtype.itemsize)
        out = new_tensor(above.result_class)
        out._slot = storage.born = storage.index = state.slot + number
        out._stretch = storage.stretch = stretch
        out._storage, out._spec, out._offset = storage, spec, 0
        out._edge = out._viewed = out._meta = None
        stretch.results.append(storage)
        outs.append(out)
    if state.needs is not None:
        node = make_node(stretch, state, args, tuple(outs))
        for number, out in enumerate(outs):
            if out._spec.requires_grad:
                out._edge = Edge(node, number) if number else node
    return tuple(outs)


def follow_effect(stretch: Stretch, state: State, args: tuple[Any, ...]) -> Any:
    """A call that changes some of its arguments (an optimizer's update, a random draw)."""
    results: tuple[Any, ...] = follow_many(stretch, state, args) if state.specs else ()
    value = state.slot + len(results)
    for place in written_places(state.event.op):  # type: ignore[union-attr]
        arg = args[place]
        for target in arg if arg.__class__ in (list, tuple) else (arg,):
            if target is None:
                continue
            storage, meta = target._storage, target._meta
            (storage if stretch.guests is None else written(stretch, target)).index = value
            (storage if meta is None or meta.counter is None else meta.counter).version += 1
            value += 1
            if storage.rare is not None and storage.pinned():
                stretch.limit = 0
    return results[0] if len(results) == 1 else results


def follow_inference(follow: Callable[..., Any], *args: Any) -> Any:
    """A call in inference mode: its results are marked."""
    results = follow(*args)
    for result in results if isinstance(results, tuple) else (results,):
        result._storage.mark_inference()
    return results


@hot
def make_node(stretch: Stretch, state: State, args: tuple[Any, ...], outs: tuple[Any, ...]) -> Node:
    """The node of a call: where gradients go next, and what the formulas will read."""
    node = Node()
    node.state, node.rare, node.order = state, None, next(order)
    if state.nested:
        node.next = tuple([next_of(args[i]) for i in state.needs])  # type: ignore[union-attr]
        node.saved = tuple([save(args[i]) if i >= 0 else keep(outs[-1 - i]) for i in state.keeps])
    else:
        sources = [args[i] for i in state.needs]  # type: ignore[union-attr]
        node.next = tuple([a if a._edge is None else a._edge for a in sources])
        node.saved = tuple([save(args[i]) if i >= 0 else keep(outs[-1 - i]) for i in state.keeps])
    first = state.first_number
    node.numbers = tuple(stretch.numbers[first : state.numbers]) if first >= 0 else ()
    stretch.nodes.append(node)
    return node


def node_maker(state: State) -> Callable[..., Node]:
    """The function that makes the node of a call with one result."""
    if state.nested:
        return lambda stretch, state, args, out: make_node(stretch, state, args, (out,))
    first = state.first_number
    numbers = (first, state.numbers) if first >= 0 else None
    return maker(state.needs, state.keeps, state.kept_numbers, numbers)


def save(arg: Any) -> Any:
    """Keep an argument for backward: a tensor as `keep` does, a list of them as a list."""
    if isinstance(arg, (tuple, list)):
        return list(map(save, arg))
    return keep(arg) if isinstance(arg, Recorded) else arg


def next_of(arg: Any) -> Any:
    """Where the gradient of an argument goes: its node, or itself where it is a leaf."""
    if isinstance(arg, (tuple, list)):
        return tuple(map(next_of, arg))
    if not isinstance(arg, Recorded):
        return None
    if arg._edge is not None:
        return arg._edge
    return arg if arg._spec.requires_grad else None


@cache
def written_places(op: Op) -> tuple[int, ...]:
    """Where the arguments stand that a call changes."""
    return tuple(map(op.position, op.writes))


def written_arguments(op: Op, args: tuple[Any, ...]) -> list[Any]:
    """The tensors that a call changes besides making its results, in the order of `op.writes`."""
    written: list[Any] = []
    for place in written_places(op):
        arg = args[place]
        written += [a for a in (arg if isinstance(arg, (tuple, list)) else [arg]) if a is not None]
    return written
