"""Entering: what comes from outside a stretch gets a slot in it, and a part of the call's key.

A tensor's storage becomes an input of the program; a number becomes a run-time number. What others
can see (NumPy's view of memory, another thread) enters in ways of its own.
"""

from __future__ import annotations

from typing import Any
from weakref import ref

import numpy as np

from flambeau.hot import hot
from flambeau.ir.layout import Spec
from flambeau.ir.op import Param
from flambeau.ir.program import Input
from flambeau.trace import above, flush
from flambeau.trace.storage import Storage, new_storage
from flambeau.trace.symbol import ComplexSymbol, FloatSymbol, IntSymbol
from flambeau.trace.tensor import Recorded, assemble, tensors
from flambeau.trace.trie import State, Stretch, here

NUMBERS = (bool, int, float, complex)
LITTLE = 1 << 12  # bytes up to which nobody counts what waits for a stretch
SNAPSHOT = 1 << 20  # bytes up to which a read of pinned memory copies it rather than run at once


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
        return enter_tensor(stretch, x) if x._stretch is not stretch else x._slot
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


def slots(stretch: Stretch, given: Any) -> Any:
    """The key of a list of tensors."""
    if given.__class__ is not list and given.__class__ is not tuple:
        return enter(stretch, given)
    found = []
    for x in given:
        known = x.__class__ in tensors and x._stretch is stretch
        found.append(x._slot if known else enter(stretch, x))
    return tuple(found)


@hot
def enter_tensor(stretch: Stretch, x: Any) -> int:
    """Give a tensor from outside a slot; its storage becomes an input where it is new here."""
    storage, meta = x._storage, x._meta
    if (
        storage.stretch is None and storage.rare is None and x._edge is None and x._viewed is None
        and not x._offset and (meta is None or meta.counter is None) and stretch.guests is None
    ):  # fmt: skip  # by far the most: a parameter, a batch, what a stretch before has made
        spec = x._spec
        state = stretch.state.edges.get(spec)
        if state is None:
            state = first_entry(stretch, spec, spec, False, None)
        stretch.state = state
        slot = x._slot = storage.born = storage.index = state.slot
        x._stretch = storage.stretch = stretch
        stretch.inputs.append(storage)
        if storage.nbytes > LITTLE:
            stretch.bytes += storage.nbytes
            if stretch.bytes > stretch.most:
                flush.limit_bytes(stretch)
        if spec.requires_grad:
            stretch.leaves[slot] = x
        return slot
    return enter_other(stretch, x)


def enter_other(stretch: Stretch, x: Any) -> int:
    """The same for views, results with a history, storages that are here already, pinned memory."""
    storage = x._storage
    if stretch.guests is not None and storage.__class__ is Storage:
        return enter_guest(stretch, x)
    if storage.rare is not None or storage.buffer is None and storage.stretch is not stretch:
        settled(stretch, storage)
        if storage.pinned():
            return enter_pinned(stretch, x)
    if x._viewed is not None:
        above.refresh_history(x)
        stretch.views.append(ref(x))
    here_already = storage.stretch is stretch
    offset, spec = None, x._spec
    if x._offset or x._viewed is not None and not spec.size:  # x[0] as x[1]: it is one program
        offset = offset_key(stretch, storage, x._offset, storage.born if here_already else -1)
    leaf = x._edge is None
    kind: Any = leaf if storage.rare is None else (leaf, storage.inference)
    if x._meta is not None and x._meta.counter is not None:
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
    if leaf and spec.requires_grad:
        stretch.leaves[slot] = x
    x._stretch, x._slot = stretch, slot
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
    nbytes = x._spec.extent * x._spec.dtype.itemsize
    if nbytes > SNAPSHOT or stretch.limit == 0 or not x._spec.numel:
        return enter_at_once(stretch, x)
    storage = flush.snapshot(x, nbytes)
    leaf = x._edge is None
    key = ("enter", x._spec, -1, None, (leaf, x._storage.inference))
    state = stretch.state.edges.get(key)
    if state is None:
        state = first_entry(stretch, key, x._spec, False, None)
    stretch.state = state
    storage.stretch, storage.born, storage.index = stretch, state.slot, state.slot
    stretch.inputs.append(storage)
    stretch.bytes += storage.nbytes
    if stretch.bytes > stretch.most:
        flush.limit_bytes(stretch)
    if leaf and x._spec.requires_grad:
        stretch.leaves[state.slot] = x
    return state.slot


def enter_at_once(stretch: Stretch, x: Any) -> int:
    """Enter as usual; the call that follows is flushed as soon as it is recorded."""
    stretch.limit = 0
    rare, x._storage.rare = x._storage.rare, None
    try:
        return enter_tensor(stretch, x)
    finally:
        x._storage.rare = rare


def enter_guest(stretch: Stretch, x: Any) -> int:
    """Where every call runs at once: enter what stands for x, so that x is left as it is.

    Another thread may be using x, and know by x and its storage what they are in its stretch.
    """
    if x._viewed is not None:
        above.refresh_history(x)
    storage, guests = x._storage, stretch.guests
    try:
        flush.settle_all(storage)
    except BaseException:
        forget_numbers(stretch)
        raise
    assert guests is not None
    shared = guests.get(id(storage))
    if shared is None or shared.buffer is not storage.buffer:
        shared = guests[id(storage)] = new_guest(storage)
    guest: Any = assemble(Recorded, shared, x._spec, x._offset)
    guest._edge, guest._meta = x._edge, x._meta
    guests[id(x)] = guest, x
    slot = enter_tensor(stretch, guest)
    if slot in stretch.leaves:
        stretch.leaves[slot] = x
    return slot


class Guest(Storage):
    """Stands for a storage in one stretch."""

    __slots__ = ("original",)

    original: Storage  # kept alive, as it is known by its id


def new_guest(original: Storage) -> Storage:
    """What stands for a storage."""
    guest: Any = new_storage(original.nbytes, original.buffer, Guest)
    guest.original = original
    if original.inference:
        guest.mark_inference()
    return guest


def guest_of(stretch: Stretch, x: Any) -> Any:
    """What stands for a tensor in this stretch: itself, or its guest."""
    if stretch.guests is None or x._stretch is stretch:
        return x
    return stretch.guests[id(x)][0]


def written(stretch: Stretch, target: Any) -> Storage:
    """What stands for a storage that is about to be written; nothing that reads it is pending."""
    other = target._storage.stretch
    if other is not None and other is not stretch:
        flush.flush(other)
    guest: Storage = guest_of(stretch, target)._storage
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


def number_type(value: Any) -> type:
    if isinstance(value, complex):
        return complex
    return bool if value.__class__ is bool else int if isinstance(value, int) else float


def given_default(param: Param, arg: Any) -> bool:
    """A number that was left at its default (alpha=1) is static: it costs nothing."""
    return param.kind == "number" and arg is param.default


def forget_numbers(stretch: Stretch) -> None:
    """Drop the run-time numbers of a call that was not recorded after all."""
    del stretch.numbers[stretch.state.numbers :]
