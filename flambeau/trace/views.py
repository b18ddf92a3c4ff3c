"""Recording views: other layouts of the same memory. They are edges of the trie, but no calls."""

from __future__ import annotations

from typing import Any
from weakref import ref

from flambeau.hot import hot
from flambeau.ir.layout import Spec, spec_of
from flambeau.ir.op import Op
from flambeau.trace import above, flush
from flambeau.trace.entering import enter, enter_tensor
from flambeau.trace.node import Node, order
from flambeau.trace.results import new_tensor
from flambeau.trace.tensor import tensors
from flambeau.trace.trie import ROOT, State, Stretch, here

SLOTS = 8000  # of a stretch, from which on a view ends it: a loop of views alone stays bounded


@hot
def record_view(op: Op, x: Any, start: int | None, unit: int, *args: Any) -> Any:
    """Record a view: no value is made.

    It begins `start` steps of `unit` elements behind x; start None: it begins where x does.
    """
    stretch = here.stretch
    stretch.busy = True
    try:
        if x._stretch is stretch:
            slot = x._slot
        elif stretch.guests is not None or x._storage.rare is not None and x._storage.pinned():
            return view_outside(stretch, op, x, start, unit, args)  # it is not a call at all
        else:
            slot = enter_tensor(stretch, x) if x.__class__ in tensors else enter(stretch, x)
        key: tuple[Any, ...]
        offset = x._offset
        if start is None:
            key = (op, stretch.mode, slot, args)  # statics of views are clean: ints, tuples of ints
        else:
            offset += start * unit
            place = x._storage.born, offset
            index = stretch.offset_index.get(place)
            if index is None:  # what `offset_key` does, written out
                index = stretch.offset_index[place] = len(stretch.offsets)
                stretch.offsets.append(offset)
            key = (op, stretch.mode, slot, index, args)
        state = stretch.state.edges.get(key)
        if state is None:
            state = first_view(stretch, op, key, x, start, args)
        if stretch.backward_done and state.needs is not None:
            del stretch.offsets[stretch.state.offsets :]  # the view's own belongs to the next one
            flush.flush(stretch)
            return record_view(op, x, start, unit, *args)
        stretch.state = state
        out = follow_view(stretch, state, x, start, offset)
        if state.next >= SLOTS or stretch.limit == 0:
            flush.flush(stretch)
        return out
    finally:
        stretch.busy = False


def first_view(stretch: Stretch, op: Op, key: tuple[Any, ...], x: Any, start: int | None,
               args: tuple[Any, ...]) -> State:  # fmt: skip
    state = view_state(stretch, op, stretch.state, x, args)
    state.offset = stretch.offset_of(x._slot) if start is None else key[3]
    state.offsets = len(stretch.offsets)
    state.next = state.slot + 1
    stretch.state.edges[key] = state
    return state


def view_state(stretch: Stretch, op: Op, parent: State | None, x: Any, args: Any) -> State:
    """What a view gives, wherever it is recorded."""
    size, stride, *other = op.infer(stretch.mode, x._spec, *args)
    dtype = other[0] if other else x._spec.dtype
    mode = stretch.mode
    needs = bool(mode.grad and not mode.inference and x._spec.requires_grad and op.grad)
    state = State(parent)
    state.view, state.args = op, (x._spec, *args)
    state.first_number, state.keeps = -1, ()
    state.needs = (0,) if needs else None
    state.spec = spec_of(size, stride, dtype, needs, x._spec.device)
    state.specs = (state.spec,)
    return state


@hot
def follow_view(stretch: Stretch, state: State, x: Any, start: int | None, offset: int) -> Any:
    """A tensor on the same storage, that begins at `offset`."""
    out = new_tensor(above.result_class)
    out._slot = state.slot
    out._stretch, out._storage, out._spec = stretch, x._storage, state.spec
    out._offset = offset
    out._edge = out._meta = None
    out._viewed = x if x._viewed is None else x._viewed
    if x._meta is not None:
        inherit(out, x)
    stretch.views.append(ref(out))
    if state.needs is not None:
        node = out._edge = Node()
        node.state, node.saved, node.numbers, node.rare = state, (), (start,), None
        node.next, node.order = (x._edge if x._edge is not None else x,), next(order)
        stretch.nodes.append(node)
    return out


def inherit(out: Any, x: Any) -> None:
    """A view shares the version counter of what it views."""
    if x._meta.counter is not None:
        out._made_meta().counter = x._meta.counter
    if x._meta.history:
        out._made_meta().history = x._meta.history


@hot
def one_element(x: Any, place: int) -> Any:
    """A view of one element, `place` elements behind where x begins, for which x needs no gradient.

    Most are only looked at. So no stretch is told; who computes with it has it enter, like any view
    from outside.
    """
    spec = x._spec
    out = new_tensor(above.result_class)
    out._spec = spec.element or element_of(spec)
    out._storage, out._offset = x._storage, x._offset + place
    out._slot, out._stretch, out._edge, out._meta = -1, None, None, None
    out._viewed = x if x._viewed is None else x._viewed
    if x._meta is not None:
        inherit(out, x)
    return out


def element_of(spec: Spec) -> Spec:
    """What one element of such a tensor is."""
    spec.element = spec_of((), (), spec.dtype, False, spec.device)
    return spec.element


def view_outside(stretch: Stretch, op: Op, x: Any, start: int | None, unit: int,
                 args: tuple[Any, ...]) -> Any:  # fmt: skip
    """A view of pinned memory, or where every call runs at once: no stretch knows it."""
    if x._viewed is not None:
        above.refresh_history(x)
    key = ("outside", op, stretch.mode, x._spec, args)
    state = ROOT.edges.get(key)
    if state is None:
        state = ROOT.edges[key] = view_state(stretch, op, None, x, args)
    out = follow_view(stretch, state, x, start, x._offset + (start or 0) * unit)
    out._stretch = None
    stretch.views.pop()
    if state.needs is not None:
        stretch.nodes.pop()
    return out
