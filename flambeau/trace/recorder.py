"""Recording: the hot path of every call, and what is paid once, when a call is first seen.

`record` looks an edge up and follows it; `first_time` cleans arguments, infers results and makes
the edge. Called by the functions that ops/declare.py makes. Computes nothing; asks flush.py when to
run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache, partial
from typing import Any
from weakref import ref

import numpy as np

from flambeau.hot import hot
from flambeau.ir import dtype as dt
from flambeau.ir.layout import Layout, Offset, Spec, is_dense, spec_of
from flambeau.ir.op import Op, Param
from flambeau.ir.program import Call, Input, Number, Out, Ref, Source
from flambeau.trace import flush
from flambeau.trace.node import Edge, Node, keep, maker, order
from flambeau.trace.storage import Storage
from flambeau.trace.symbol import ComplexSymbol, FloatSymbol, IntSymbol
from flambeau.trace.tensor import Recorded, assemble
from flambeau.trace.trie import ROOT, State, Stretch, here

PACKAGE = os.path.dirname(os.path.dirname(__file__))
SLOTS = 8000  # of a stretch, from which on a view ends it: a loop of views alone stays bounded
NUMBERS = (bool, int, float, complex)
SNAPSHOT = 1 << 20  # bytes up to which a read of pinned memory copies it rather than run at once

new_node, new_storage = Node.__new__, Storage.__new__
new_tensor: Callable[[type], Any] = object.__new__
tensors: set[Any] = set()  # the classes whose instances are tensors, exactly
result_class: type = Recorded  # what results are


def results_are(cls: type) -> None:
    """Tell the recorder which class to make (the front's Tensor)."""
    global result_class
    result_class = cls
    tensors.add(cls)


# ------------------------------------------------------------------ the hot path


@hot
def record(op: Op, *args: Any) -> Any:
    """Record one call. `args` follow the op's parameters, all of them."""
    stretch = here.stretch
    stretch.busy = True
    try:
        key = (op, stretch.mode, *[key_part(stretch, p, a) for p, a in zip(op.params, args)])
        state = stretch.state.edges.get(key)
        if state is None:
            state = first_time(stretch, op, key, args)
        if stretch.backward_done and state.needs is not None:
            return flush_and_record(stretch, op, args)
        stretch.state = state
        result = state.follow(stretch, state, args)
        if state.depth >= stretch.limit:
            flush.at_limit(stretch)
        return result
    finally:
        stretch.busy = False


def key_part(stretch: Stretch, param: Param, arg: Any) -> Any:
    """One argument's part of the key."""
    if arg.__class__ in tensors:
        return arg.slot if arg.stretch is stretch else enter(stretch, arg)
    if param.kind == "static":
        return static(arg)
    return arg if given_default(param, arg) else enter(stretch, arg)


def slots(stretch: Stretch, given: Any) -> Any:
    """The key of a list of tensors."""
    if given.__class__ is not list and given.__class__ is not tuple:
        return enter(stretch, given)
    return tuple([
        x.slot if x.__class__ in tensors and x.stretch is stretch else enter(stretch, x)
        for x in given
    ])  # fmt: skip


def given_default(param: Param, arg: Any) -> bool:
    """A number that was left at its default (alpha=1) is static: it costs nothing."""
    return param.kind == "number" and arg is param.default


def flush_and_record(stretch: Stretch, op: Op, args: tuple[Any, ...]) -> Any:
    """End a stretch whose backward is done before a new graph begins, then record."""
    flush.flush(stretch)
    return record(op, *args)


@hot
def follow_one(stretch: Stretch, state: State, args: tuple[Any, ...]) -> Any:
    """The one fresh result of a call."""
    storage = new_storage(Storage)
    out = new_tensor(result_class)
    out.slot = storage.born = storage.index = state.slot
    out.stretch = storage.stretch = stretch
    storage.buffer = storage.rare = None
    storage.nbytes, storage.version = state.size, 0
    out.storage, out.spec, out.offset = storage, state.spec, 0
    out.base = out.meta = None
    stretch.results.append(ref(storage))
    out.edge = None
    if state.needs is not None:
        out.edge = state.node(stretch, state, args, out)
    return out


def follow_many(stretch: Stretch, state: State, args: tuple[Any, ...]) -> Any:
    """Several fresh results; those that can't have a gradient stay outside the graph."""
    outs = []
    for number, spec in enumerate(state.specs):
        storage = Storage(spec.numel * spec.dtype.itemsize)
        out = new_tensor(result_class)
        out.slot = storage.born = storage.index = state.slot + number
        out.stretch = storage.stretch = stretch
        out.storage, out.spec, out.offset = storage, spec, 0
        out.edge = out.base = out.meta = None
        stretch.results.append(ref(storage))
        outs.append(out)
    if state.needs is not None:
        node = make_node(stretch, state, args, tuple(outs))
        for number, out in enumerate(outs):
            if out.spec.requires_grad:
                out.edge = Edge(node, number) if number else node
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
            storage, meta = target.storage, target.meta
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
        result.storage.mark_inference()
    return results


@hot
def make_node(stretch: Stretch, state: State, args: tuple[Any, ...], outs: tuple[Any, ...]) -> Node:
    """The node of a call: where gradients go next, and what the formulas will read."""
    node = new_node(Node)
    node.state, node.rare, node.order = state, None, next(order)
    if state.nested:
        node.next = tuple([next_of(args[i]) for i in state.needs])  # type: ignore[union-attr]
        node.saved = tuple([save(args[i]) if i >= 0 else keep(outs[-1 - i]) for i in state.keeps])
    else:
        sources = [args[i] for i in state.needs]  # type: ignore[union-attr]
        node.next = tuple([a if a.edge is None else a.edge for a in sources])
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
    if arg.edge is not None:
        return arg.edge
    return arg if arg.spec.requires_grad else None


# ------------------------------------------------------------------ entering


def enter(stretch: Stretch, x: Any) -> Any:
    """The key of an argument that this stretch does not know yet."""
    cls = x.__class__
    if cls is float or cls is int or cls is bool or cls is complex:
        stretch.numbers.append(x)
        return cls
    if x is None:
        return None
    if isinstance(x, Recorded):
        if cls not in tensors:
            tensors.add(cls)
        return enter_tensor(stretch, x) if x.stretch is not stretch else x.slot
    if isinstance(x, (tuple, list)):
        return slots(stretch, tuple(x))
    if isinstance(x, (FloatSymbol, IntSymbol, ComplexSymbol)):
        stretch.numbers.append(x)
        return number_type(x)
    if isinstance(x, (np.bool_, np.integer, np.floating, np.complexfloating)):
        return enter(stretch, x.item())
    if isinstance(x, (bool, int, float)):
        return enter(stretch, (bool if cls is bool else int if isinstance(x, int) else float)(x))
    if isinstance(x, complex):
        return enter(stretch, complex(x))
    forget_numbers(stretch)
    raise TypeError(f"expected a tensor or a number, not {cls.__name__}")


@hot
def enter_tensor(stretch: Stretch, x: Any) -> int:
    """Give a tensor from outside a slot; its storage becomes an input where it is new here."""
    storage, meta = x.storage, x.meta
    if (
        storage.stretch is None and storage.rare is None and x.edge is None and x.base is None
        and not x.offset and (meta is None or meta.counter is None) and stretch.guests is None
    ):  # fmt: skip  # by far the most: a parameter, a batch, what a stretch before has made
        spec = x.spec
        state = stretch.state.edges.get(spec)
        if state is None:
            state = first_entry(stretch, spec, spec, False, None)
        stretch.state = state
        slot = x.slot = storage.born = storage.index = state.slot
        x.stretch = storage.stretch = stretch
        stretch.inputs.append(storage)
        stretch.bytes += storage.nbytes
        if stretch.bytes > stretch.most:
            flush.limit_bytes(stretch)
        if spec.requires_grad:
            stretch.leaves[slot] = x
        return slot
    return enter_other(stretch, x)


def enter_other(stretch: Stretch, x: Any) -> int:
    """The same for views, results with a history, storages that are here already, pinned memory."""
    storage = x.storage
    if stretch.guests is not None and storage.__class__ is Storage:
        return enter_guest(stretch, x)
    if storage.rare is not None or storage.buffer is None and storage.stretch is not stretch:
        settled(stretch, storage)
        if storage.pinned():
            return enter_pinned(stretch, x)
    if x.base is not None:
        refresh_history(x)
        stretch.views.append(ref(x))
    here_already = storage.stretch is stretch
    offset = None
    if x.offset:
        offset = offset_key(stretch, storage, x.offset, storage.born if here_already else -1)
    spec = x.spec
    leaf = x.edge is None
    kind: Any = leaf if storage.rare is None else (leaf, storage.inference)
    if x.meta is not None and x.meta.counter is not None:
        kind = kind, "own version"  # writes to it are not noticed where the storage was saved
    key = ("enter", spec, storage.index if here_already else -1, offset, kind)
    state = stretch.state.edges.get(key)
    if state is None:
        state = first_entry(stretch, key, spec, here_already, offset)
    stretch.state = state
    slot = state.slot
    if not here_already:
        storage.stretch, storage.born, storage.index = stretch, slot, slot
        stretch.inputs.append(storage)
        stretch.bytes += storage.nbytes
        if stretch.bytes > stretch.most:
            flush.limit_bytes(stretch)
    if offset is not None:
        stretch.slot_offset[slot] = offset
    if leaf and spec.requires_grad:
        stretch.leaves[slot] = x
    x.stretch, x.slot = stretch, slot
    return slot


def first_entry(stretch: Stretch, key: Any, spec: Spec, here_already: bool,
                offset: int | None) -> State:  # fmt: skip
    state = State(stretch.state)
    state.follow = follow_nothing
    if not here_already:
        state.event = Input(state.slot, spec.dtype)
    state.offset = offset
    state.offsets = len(stretch.offsets)
    state.next = state.slot + 1
    stretch.state.edges[key] = state
    return state


def enter_pinned(stretch: Stretch, x: Any) -> int:
    """Memory that somebody outside sees: read a copy if it is small, else run right after the call.

    Nothing of it stays known to the stretch: the next call must look again.
    """
    nbytes = x.spec.extent * x.spec.dtype.itemsize
    if nbytes > SNAPSHOT or stretch.limit == 0 or not x.spec.numel:
        return enter_at_once(stretch, x)
    storage = flush.snapshot(x, nbytes)
    leaf = x.edge is None
    key = ("enter", x.spec, -1, None, (leaf, x.storage.inference))
    state = stretch.state.edges.get(key)
    if state is None:
        state = first_entry(stretch, key, x.spec, False, None)
    stretch.state = state
    storage.stretch, storage.born, storage.index = stretch, state.slot, state.slot
    stretch.inputs.append(storage)
    stretch.bytes += storage.nbytes
    if stretch.bytes > stretch.most:
        flush.limit_bytes(stretch)
    if leaf and x.spec.requires_grad:
        stretch.leaves[state.slot] = x
    return state.slot


def enter_at_once(stretch: Stretch, x: Any) -> int:
    """Enter as usual; the call that follows is flushed as soon as it is recorded."""
    stretch.limit = 0
    rare, x.storage.rare = x.storage.rare, None
    try:
        return enter_tensor(stretch, x)
    finally:
        x.storage.rare = rare


def enter_guest(stretch: Stretch, x: Any) -> int:
    """Where every call runs at once: enter what stands for x, so that x is left as it is.

    Another thread may be using x, and know by x and its storage what they are in its stretch.
    """
    if x.base is not None:
        refresh_history(x)
    storage, guests = x.storage, stretch.guests
    try:
        flush.settle_all(storage)
    except BaseException:
        forget_numbers(stretch)
        raise
    assert guests is not None
    shared = guests.get(id(storage))
    if shared is None or shared.buffer is not storage.buffer:
        shared = guests[id(storage)] = Guest(storage)
    guest: Any = assemble(Recorded, shared, x.spec, x.offset)
    guest.edge, guest.meta = x.edge, x.meta
    guests[id(x)] = guest, x
    slot = enter_tensor(stretch, guest)
    if slot in stretch.leaves:
        stretch.leaves[slot] = x
    return slot


class Guest(Storage):
    """Stands for a storage in one stretch."""

    __slots__ = ("original",)

    def __init__(self, original: Storage) -> None:
        super().__init__(original.nbytes, original.buffer)
        self.original = original  # kept alive, as it is known by its id
        if original.inference:
            self.mark_inference()


def guest_of(stretch: Stretch, x: Any) -> Any:
    """What stands for a tensor in this stretch: itself, or its guest."""
    if stretch.guests is None or x.stretch is stretch:
        return x
    return stretch.guests[id(x)][0]


def written(stretch: Stretch, target: Any) -> Storage:
    """What stands for a storage that is about to be written; nothing that reads it is pending."""
    other = target.storage.stretch
    if other is not None and other is not stretch:
        flush.flush(other)
    guest: Storage = guest_of(stretch, target).storage
    return guest


def follow_nothing(stretch: Stretch, state: State, args: tuple[Any, ...]) -> None:
    """Entering has no result."""


def settled(stretch: Stretch, storage: Storage) -> Storage:
    """The storage, with a value in this stretch or in memory; raises what made it fail."""
    if storage.buffer is None and storage.stretch is not stretch:
        flush.settle(storage)
    if storage.error is not None:
        forget_numbers(stretch)
        raise storage.error
    return storage


def offset_key(stretch: Stretch, storage: Storage, offset: int, born: int) -> int:
    """The index of a run-time offset; equal ones within a storage share it."""
    if born < 0:
        born = stretch.state.next  # the slot that the storage is about to get
    known = stretch.offset_index.get((born, offset))
    if known is None:
        known = stretch.offset_index[born, offset] = len(stretch.offsets)
        stretch.offsets.append(offset)
    return known


def static(value: Any) -> Any:
    """A static argument as a key: 2, 2.0, True and -0.0 must not meet."""
    cls = value.__class__
    if cls is int:
        return value
    if cls is tuple or cls is list:
        for entry in value:
            if entry.__class__ is not int:
                return tuple(map(static, value))
        return tuple(value)
    if cls is float:
        return float, value.hex()
    if cls is bool:
        return cls, value
    if isinstance(value, Recorded):
        forget_numbers(here.stretch)
        raise TypeError("this argument must not be a tensor")
    return value


# ------------------------------------------------------------------ the first time


def first_time(stretch: Stretch, op: Op, key: tuple[Any, ...], args: tuple[Any, ...],
               target: Any = None) -> State:  # fmt: skip
    """Clean the arguments, infer the results, make the edge. On an error nothing was recorded."""
    first_number = stretch.state.numbers
    try:
        check_kinds(op, args)
    except TypeError:
        del stretch.numbers[first_number:]
        raise
    if stretch.mode.autocast is not None and target is None:
        cast_first = casting(stretch, op, key, args)
        if cast_first is not None:
            return cast_first
    try:
        facts, refs = describe(stretch, op, args, key[-len(args) :] if args else ())
        cleaned = op.clean(*facts) if op.clean else facts
        results = op.infer(stretch.mode, *cleaned)
    except BaseException:
        del stretch.numbers[first_number:]
        raise
    refs = tuple(r if keep_ref(r) else c for r, c in zip(refs, cleaned))
    state = State(stretch.state)
    state.args = cleaned
    state.numbers = len(stretch.numbers)
    state.first_number = first_number if state.numbers > first_number else -1
    state.depth = stretch.state.depth + 1
    try:
        if target is None:
            outs = fresh_outs(stretch, op, state, args, results)
        else:
            outs = written_out(stretch, op, state, args, results, target)
    except BaseException:
        del stretch.numbers[first_number:]
        raise
    compute = op.compute(stretch.mode, *cleaned) if op.compute else None
    if stretch.numbers and any([n.__class__ is complex for n in stretch.numbers[first_number:]]):
        refuse_complex_number(stretch, first_number, (compute, *[result[1] for result in results]))
    state.event = Call(op, refs, outs, compute, source_line())
    stretch.state.edges[key] = state
    return state


def refuse_complex_number(stretch: Stretch, first: int, dtypes: tuple[Any, ...]) -> None:
    """A complex number needs a complex type, in the call or in its result."""
    if not any(dtype is not None and dtype.kind == "c" for dtype in dtypes):
        name = dtypes[-1].legacy.lower() if dtypes[-1] is not None else "double"
        del stretch.numbers[first:]
        raise RuntimeError(f"value cannot be converted to type {name} without overflow")


def check_kinds(op: Op, args: tuple[Any, ...]) -> None:
    """Tensors where tensors belong; at least one where the op takes any."""
    found, wanted = False, False
    for n, (param, arg) in enumerate(zip(op.params, args)):
        wanted = wanted or param.required and param.kind in ("tensor", "tensors")
        found = found or isinstance(arg, Recorded) or param.kind == "tensors"
        if param.kind == "tensors":
            check_list(op, param, n, arg)
        elif param.kind == "tensor" and (
            isinstance(arg, (tuple, list)) or arg is None and param.required
        ):
            raise not_a_tensor(op, param, n, arg, "Tensor")
    if wanted and not found:
        raise not_a_tensor(op, op.params[0], 0, args[0] if args else None, "Tensor")


def check_list(op: Op, param: Param, n: int, arg: Any) -> None:
    if not isinstance(arg, (tuple, list)):
        raise not_a_tensor(op, param, n, arg, "tuple of Tensors")
    for i, a in enumerate(arg):
        if not isinstance(a, Recorded):
            raise TypeError(f"expected Tensor as element {i} in argument {n}, but got "
                            f"{type(a).__name__}")  # fmt: skip


def not_a_tensor(op: Op, param: Param, n: int, arg: Any, expected: str) -> TypeError:
    return TypeError(f"{op.name.strip('_')}(): argument '{param.name}' (position {n + 1}) must be "
                     f"{expected}, not {type(arg).__name__}")  # fmt: skip


def keep_ref(r: Any) -> bool:
    """Whether an argument goes to the program as described, rather than as cleaned."""
    if isinstance(r, tuple):
        return any(isinstance(a, Ref) for a in r)
    return isinstance(r, (Ref, Number))


def describe(stretch: Stretch, op: Op, args: tuple[Any, ...],
             slots: tuple[Any, ...]) -> tuple[tuple[Any, ...], ...]:  # fmt: skip
    """Two views of the arguments: Specs for the rules, Refs for the program."""
    facts: list[Any] = []
    refs: list[Any] = []
    number = stretch.state.numbers
    for param, arg, slot in zip(op.params, args, slots):
        if isinstance(arg, Recorded):
            facts.append(arg.spec.resolved)
            refs.append(ref_of(stretch, arg, slot))
        elif param.kind == "tensors":
            facts.append(tuple(a.spec.resolved for a in arg))
            refs.append(tuple(ref_of(stretch, a, s) for a, s in zip(arg, slot)))
        elif param.kind != "static" and arg is not None and not given_default(param, arg):
            n = Number(number, number_type(stretch.numbers[number]))
            number += 1
            facts.append(n)
            refs.append(n)
        else:
            facts.append(arg)
            refs.append(arg)
    return tuple(facts), tuple(refs)


def number_type(value: Any) -> type:
    if isinstance(value, complex):
        return complex
    return bool if value.__class__ is bool else int if isinstance(value, int) else float


def ref_of(stretch: Stretch, x: Any, slot: int) -> Ref:
    """A tensor argument as the program will see it."""
    x = guest_of(stretch, x)
    storage = x.storage
    if x.stretch is not stretch:  # a snapshot of pinned memory, which entered for this call alone
        return Ref(slot, Layout(x.spec.size, x.spec.stride), x.spec.dtype)
    index = stretch.slot_offset.get(x.slot)
    offset: int | Offset = x.offset if index is None else Offset(index)
    if index is None and x.offset:
        raise AssertionError(f"an offset that is not an input: {x.offset}")
    return Ref(storage.index, Layout(x.spec.size, x.spec.stride, offset), x.spec.dtype)


def fresh_outs(stretch: Stretch, op: Op, state: State, args: tuple[Any, ...],
               results: tuple[Any, ...]) -> tuple[Out, ...]:  # fmt: skip
    """Outs for new storages, and how to follow the edge."""
    needs = gradient_plan(stretch, op, state, args)
    specs: list[Spec] = []
    outs: list[Out] = []
    for number, (size, dtype, *stride) in enumerate(results):
        differentiable = needs is not None and dtype.kind in "fc"
        spec = spec_of(tuple(size), stride[0] if stride else None, dtype, differentiable)
        specs.append(spec)
        outs.append(Out(state.slot + number, Layout(spec.size, spec.stride), dtype))
    state.specs = tuple(specs)
    if not any(s.requires_grad for s in specs):
        state.needs = None
    if specs:
        state.spec = specs[0]
        state.size = state.spec.numel * state.spec.dtype.itemsize
    for target in written_arguments(op, args):
        outs.append(overwritten(stretch, state.slot + len(outs), target))
    state.next = state.slot + len(outs)
    if state.needs is not None and len(specs) == 1:
        state.node = node_maker(state)
    state.follow = follow_effect if op.writes else follow_one if len(specs) == 1 else follow_many
    if stretch.mode.inference:
        state.follow = partial(follow_inference, state.follow)
    return tuple(outs)


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


def overwritten(stretch: Stretch, value: int, target: Any) -> Out:
    """The Out that is the next value of a tensor's storage."""
    target = guest_of(stretch, target)
    index = stretch.slot_offset.get(target.slot)
    offset: int | Offset = target.offset if index is None else Offset(index)
    layout = Layout(target.spec.size, target.spec.stride, offset)
    return Out(value, layout, target.spec.dtype, target.storage.index)


def gradient_plan(stretch: Stretch, op: Op, state: State, args: tuple[Any, ...]) -> Any:
    """Which arguments need a gradient, and what their formulas read; None where none does."""
    state.needs, state.keeps = None, ()
    if not stretch.mode.grad or stretch.mode.inference or not op.grad:
        return None
    wants = [i for i, p in enumerate(op.params) if p.name in op.grad and wants_grad(args[i])]
    if not wants:
        return None
    keeps: list[int] = []
    names = {p.name: i for i, p in enumerate(op.params)}
    for i in wants:
        for name in op.grad[op.params[i].name].reads:
            place = names.get(name, -1 - int(name[3:] or 0) if name.startswith("out") else None)
            if place is not None and place not in keeps:
                keeps.append(place)
    refuse_inference([args[i] for i in keeps if i >= 0])
    state.needs, state.keeps = tuple(wants), tuple(keeps)
    state.nested = any(isinstance(args[i], (tuple, list)) for i in (*wants, *keeps) if i >= 0)
    state.kept_numbers = tuple(i for i in keeps if i >= 0 and not isinstance(args[i], Recorded))
    return state.needs


def refuse_inference(kept: Any) -> None:
    """What was made in inference mode can't be kept for backward."""
    for arg in kept:
        if isinstance(arg, (tuple, list)):
            refuse_inference(arg)
        elif isinstance(arg, Recorded) and arg.storage.inference:
            raise RuntimeError(
                "Inference tensors cannot be saved for backward. Please do not use Tensors created "
                "in inference mode in computation tracked by autograd. To work around this, you "
                "can make a clone to get a normal tensor and use it in autograd, or use "
                "`torch.no_grad()` instead of `torch.inference_mode()`.")  # fmt: skip


def wants_grad(arg: Any) -> bool:
    if isinstance(arg, Recorded):
        return arg.spec.requires_grad
    return isinstance(arg, (tuple, list)) and any(map(wants_grad, arg))


def source_line() -> Source | None:
    """The nearest frame outside Flambeau."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith((PACKAGE, "<flambeau")):
        frame = frame.f_back
    return Source(frame.f_code.co_filename, frame.f_lineno) if frame else None


# ------------------------------------------------------------------ views


@hot
def record_view(op: Op, x: Any, start: int | None, unit: int, *args: Any) -> Any:
    """Record a view: no value is made.

    It begins `start` steps of `unit` elements behind x; start None: it begins where x does.
    """
    stretch = here.stretch
    stretch.busy = True
    try:
        if x.stretch is stretch:
            slot = x.slot
        elif stretch.guests is not None or x.storage.rare is not None and x.storage.pinned():
            return view_outside(stretch, op, x, start, unit, args)  # it is not a call at all
        else:
            slot = enter(stretch, x)
        key: tuple[Any, ...]
        if start is None:
            key = (op, stretch.mode, slot, args)  # statics of views are clean: ints, tuples of ints
        else:
            index = offset_key(stretch, x.storage, x.offset + start * unit, x.storage.born)
            key = (op, stretch.mode, slot, index, args)
        state = stretch.state.edges.get(key)
        if state is None:
            state = first_view(stretch, op, key, x, start, args)
        if stretch.backward_done and state.needs is not None:
            flush.flush(stretch)
            return record_view(op, x, start, unit, *args)
        stretch.state = state
        out = follow_view(stretch, state, x, start, unit)
        if state.next >= SLOTS or stretch.limit == 0:
            flush.flush(stretch)
        return out
    finally:
        stretch.busy = False


def first_view(stretch: Stretch, op: Op, key: tuple[Any, ...], x: Any, start: int | None,
               args: tuple[Any, ...]) -> State:  # fmt: skip
    state = view_state(stretch, op, stretch.state, x, args)
    state.offset = stretch.slot_offset.get(x.slot) if start is None else key[3]
    state.offsets = len(stretch.offsets)
    state.next = state.slot + 1
    stretch.state.edges[key] = state
    return state


def view_state(stretch: Stretch, op: Op, parent: State | None, x: Any, args: Any) -> State:
    """What a view gives, wherever it is recorded."""
    size, stride, *other = op.infer(stretch.mode, x.spec, *args)
    dtype = other[0] if other else x.spec.dtype
    mode = stretch.mode
    needs = bool(mode.grad and not mode.inference and x.spec.requires_grad and op.grad)
    state = State(parent)
    state.view, state.args = op, (x.spec, *args)
    state.first_number, state.keeps = -1, ()
    state.needs = (0,) if needs else None
    state.spec = spec_of(size, stride, dtype, needs, x.spec.device)
    state.specs = (state.spec,)
    return state


@hot
def follow_view(stretch: Stretch, state: State, x: Any, start: int | None, unit: int) -> Any:
    """A tensor on the same storage."""
    out = new_tensor(result_class)
    slot = out.slot = state.slot
    out.stretch, out.storage, out.spec = stretch, x.storage, state.spec
    out.offset = x.offset if start is None else x.offset + start * unit
    out.edge = out.meta = None
    out.base = x if x.base is None else x.base
    if x.meta is not None:
        inherit(out, x)
    stretch.views.append(ref(out))
    if state.offset is not None:
        stretch.slot_offset[slot] = state.offset
    if state.needs is not None:
        node = out.edge = new_node(Node)
        node.state, node.saved, node.numbers, node.rare = state, (), (start,), None
        node.next, node.order = (x.edge if x.edge is not None else x,), next(order)
        stretch.nodes.append(node)
    return out


def inherit(out: Any, x: Any) -> None:
    """A view shares the version counter of what it views."""
    if x.meta.counter is not None:
        out._meta().counter = x.meta.counter
    if x.meta.history:
        out._meta().history = x.meta.history


def view_outside(stretch: Stretch, op: Op, x: Any, start: int | None, unit: int,
                 args: tuple[Any, ...]) -> Any:  # fmt: skip
    """A view of pinned memory, or where every call runs at once: no stretch knows it."""
    if x.base is not None:
        refresh_history(x)
    key = ("outside", op, stretch.mode, x.spec, args)
    state = ROOT.edges.get(key)
    if state is None:
        state = ROOT.edges[key] = view_state(stretch, op, None, x, args)
    out = follow_view(stretch, state, x, start, unit)
    out.stretch = None
    stretch.views.pop()
    if state.needs is not None:
        stretch.nodes.pop()
    return out


# ------------------------------------------------------------------ writes

# op → a function that gives the keys of its arguments at once (ops/functions.py writes its source)
parts_of: dict[Op, Callable[..., tuple[Any, ...]]] = {}


def record_write(op: Op, target: Any, *args: Any) -> Any:
    """Record a call whose result replaces the elements of `target`: in-place and `out=` calls."""
    kept, stretch = args, here.stretch
    if stretch.mode.grad or target.storage.rare is not None:
        kept = before_write(stretch, op, target, args)
        stretch = here.stretch
    stretch.busy = True
    try:
        slot = target.slot if target.stretch is stretch else enter_target(stretch, target)
        key = (op, "write", stretch.mode, slot, *parts_of[op](stretch, *args))
        state = stretch.state.edges.get(key)
        if state is None:
            state = first_time(stretch, op, key, args, target)
        if state.shares:
            check_overlap(stretch, target, args)
        if stretch.backward_done and state.needs is not None:
            flush.flush(stretch)
            return record_write(op, target, *args)
        stretch.state = state
        follow_write(stretch, state, target, kept)
        if state.depth >= stretch.limit:
            flush.at_limit(stretch)
        return target
    finally:
        stretch.busy = False


def _missing(*args: Any) -> Any:
    raise AssertionError("autograd/inplace.py, which is above, puts its own functions here")


before_write: Callable[[Stretch, Op, Any, tuple[Any, ...]], tuple[Any, ...]] = _missing
rebase: Callable[[Stretch, Any, Node], None] = _missing
refresh_history: Callable[[Any], None] = _missing
forget: Callable[[Stretch, Any, Any], None] = _missing
casting: Callable[..., State | None] = _missing  # autocast.py, once somebody uses it


def enter_target(stretch: Stretch, target: Any) -> int:
    """A write to pinned memory runs right after it was recorded."""
    if settled(stretch, target.storage).pinned():
        stretch.limit = 0
    return enter(stretch, target)


def written_out(stretch: Stretch, op: Op, state: State, args: tuple[Any, ...],
                results: tuple[Any, ...], target: Any) -> tuple[Out, ...]:  # fmt: skip
    """The one Out of a write, after checking that the result fits."""
    (size, dtype, *_), *more = results
    if more:
        raise AssertionError(f"{op.name} has several results and cannot be written in place")
    spec = target.spec
    check_fits(op, tuple(size), dtype, spec)
    needs = gradient_plan(stretch, op, state, args)
    if needs is not None and spec.dtype.kind not in "fc":
        state.needs = None
    requires_grad = spec.requires_grad or state.needs is not None
    state.spec = spec.with_grad(requires_grad) if stretch.mode.grad else spec
    state.specs = (state.spec,)
    state.next = state.slot + 1
    state.follow = follow_nothing
    state.shares = shares_memory(op, target, args)
    return (overwritten(stretch, state.slot, target),)


def shares_memory(op: Op, target: Any, args: tuple[Any, ...]) -> bool:
    """Whether an elementwise call reads other parts of the storage that it writes to.

    Pinned storages are no part of the key, so they are looked at in every call.
    """
    others = [a for a in args if isinstance(a, Recorded) and a is not target]
    pinned = target.storage.pin is not None
    return op.kind == "elementwise" and any(pinned or a.storage is target.storage for a in others)


def check_overlap(stretch: Stretch, target: Any, args: tuple[Any, ...]) -> None:
    """Refuse operands that lie partly in the memory that is written, where that can be told."""
    for arg in args:
        if isinstance(arg, Recorded) and arg.storage is target.storage and partly_same(arg, target):
            forget_numbers(stretch)
            raise RuntimeError(
                "unsupported operation: some elements of the input tensor and the written-to "
                "tensor refer to a single memory location. Please clone() the tensor before "
                "performing the operation.")  # fmt: skip


def partly_same(a: Any, b: Any) -> bool:
    """Whether two dense views of one storage overlap without being the same view."""
    if not (a.spec.numel and b.spec.numel and dense(a.spec) and dense(b.spec)):
        return False
    if a.spec.dtype.itemsize != b.spec.dtype.itemsize:  # counted in other units
        return False
    if a.offset == b.offset and a.spec.numel == b.spec.numel:
        return bool(a.spec.stride != b.spec.stride)
    return bool(a.offset < b.offset + b.spec.numel and b.offset < a.offset + a.spec.numel)


def dense(spec: Spec) -> bool:
    return is_dense(spec.size, spec.stride)


def forget_numbers(stretch: Stretch) -> None:
    """Drop the run-time numbers of a call that was not recorded after all."""
    del stretch.numbers[stretch.state.numbers :]


def check_fits(op: Op, size: tuple[int, ...], dtype: dt.DType, target: Spec) -> None:
    """The result must have the target's size and a type that casts to the target's."""
    if size != target.size:
        raise RuntimeError(f"output with shape {list(target.size)} doesn't match the broadcast "
                           f"shape {list(size)}")  # fmt: skip
    if dt.category(dtype) > dt.category(target.dtype) and not (op.name == "copy"):
        raise RuntimeError(f"result type {dtype.legacy} can't be cast to the desired output type "
                           f"{target.dtype.legacy}")  # fmt: skip
    if op.name != "full":
        check_repeats(target)


def check_repeats(target: Spec) -> None:
    """Refuse to write to a view in which an element stands for several (expand)."""
    if 0 in target.stride and any(s == 0 and n > 1 for s, n in zip(target.stride, target.size)):
        if target.numel:
            raise RuntimeError(
                "unsupported operation: more than one element of the written-to tensor refers to "
                "a single memory location. Please clone() the tensor before performing the "
                "operation.")  # fmt: skip


@hot
def follow_write(stretch: Stretch, state: State, target: Any, args: tuple[Any, ...]) -> None:
    """The storage's next value; history where gradients are recorded."""
    storage, meta = target.storage, target.meta
    counter = storage if meta is None or meta.counter is None else meta.counter
    if stretch.guests is not None:
        storage = written(stretch, target)
    if state.needs is None:
        storage.index = state.slot
        counter.version += 1
        if target.edge is None:
            stretch.updated |= target.spec.requires_grad
        elif stretch.mode.grad:
            forget(stretch, target, state.event)
        return
    node = make_node(stretch, state, args, (target,))
    storage.index = state.slot
    counter.version += 1
    if any([i < 0 for i in state.keeps]):  # a result is kept as it is after the write
        pairs = zip(state.keeps, node.saved)  # type: ignore[arg-type]
        node.saved = tuple([keep(target) if i < 0 else kept for i, kept in pairs])
    rebase(stretch, target, node)


def results_of(op: Op, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Size and type of what a call would give (for `out=`)."""
    facts = tuple(
        a.spec.resolved if isinstance(a, Recorded)
        else tuple(b.spec.resolved if isinstance(b, Recorded) else b for b in a)
        if isinstance(a, (tuple, list)) else a
        for a in args
    )  # fmt: skip
    facts = tuple(
        Number(0, number_type(f))
        if p.kind != "static" and isinstance(f, NUMBERS) and not given_default(p, f)
        else f
        for p, f in zip(op.params, facts)
    )
    cleaned = op.clean(*facts) if op.clean else facts
    return tuple(op.infer(here.stretch.mode, *cleaned))
