"""Recording writes: calls whose result replaces elements of a tensor (in place, `out=`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau.hot import hot
from flambeau.ir.layout import Spec, is_dense
from flambeau.ir.op import Op
from flambeau.trace import above, flush
from flambeau.trace.entering import enter, forget_numbers, settled, written
from flambeau.trace.node import keep
from flambeau.trace.ranges import look
from flambeau.trace.results import make_node
from flambeau.trace.sighting import first_time
from flambeau.trace.tensor import Recorded
from flambeau.trace.trie import State, Stretch, here

# op → a function that gives the keys of its arguments at once (ops/functions.py writes its source)
parts_of: dict[Op, Callable[..., tuple[Any, ...]]] = {}


def record_write(op: Op, target: Any, *args: Any) -> Any:
    """Record a call whose result replaces the elements of `target`: in-place and `out=` calls."""
    kept, stretch = args, here.stretch
    if stretch.mode.grad or target._storage.rare is not None:
        kept = above.before_write(stretch, op, target, args)
        stretch = here.stretch
    stretch.busy = True
    try:
        slot = target._slot if target._stretch is stretch else enter_target(stretch, target)
        key = (op, "write", stretch.mode, slot, *parts_of[op](stretch, *args))
        state = stretch.state.edges.get(key)
        if state is None:
            state = first_time(stretch, op, key, args, target)
        if state.shares:
            check_write(stretch, state, target, args)
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


def enter_target(stretch: Stretch, target: Any) -> int:
    """A write to pinned memory runs right after it was recorded."""
    if settled(stretch, target._storage).pinned():
        stretch.limit = 0
    return enter(stretch, target)


def check_write(stretch: Stretch, state: State, target: Any, args: tuple[Any, ...]) -> None:
    """What has to be looked at before each write of this form: indices, or operands' memory."""
    if state.places is None:
        return check_overlap(stretch, target, args)
    try:
        look(state.places, args)
    except Exception:
        forget_numbers(stretch)
        raise


def check_overlap(stretch: Stretch, target: Any, args: tuple[Any, ...]) -> None:
    """Refuse operands that lie partly in the memory that is written, where that can be told."""
    for arg in args:
        if (
            isinstance(arg, Recorded)
            and arg._storage is target._storage
            and partly_same(arg, target)
        ):
            forget_numbers(stretch)
            raise RuntimeError(
                "unsupported operation: some elements of the input tensor and the written-to "
                "tensor refer to a single memory location. Please clone() the tensor before "
                "performing the operation.")  # fmt: skip


def partly_same(a: Any, b: Any) -> bool:
    """Whether two dense views of one storage overlap without being the same view."""
    if not (a._spec.numel and b._spec.numel and dense(a._spec) and dense(b._spec)):
        return False
    if a._spec.dtype.itemsize != b._spec.dtype.itemsize:  # counted in other units
        return False
    if a._offset == b._offset and a._spec.numel == b._spec.numel:
        return bool(a._spec.stride != b._spec.stride)
    return bool(a._offset < b._offset + b._spec.numel and b._offset < a._offset + a._spec.numel)


def dense(spec: Spec) -> bool:
    return is_dense(spec.size, spec.stride)


@hot
def follow_write(stretch: Stretch, state: State, target: Any, args: tuple[Any, ...]) -> None:
    """The storage's next value; history where gradients are recorded."""
    storage, meta = target._storage, target._meta
    counter = storage if meta is None or meta.counter is None else meta.counter
    if stretch.guests is not None:
        storage = written(stretch, target)
    if state.needs is None:
        storage.index = state.slot
        counter.version += 1
        if target._edge is None:
            stretch.updated |= target._spec.requires_grad
        elif stretch.mode.grad:
            above.forget(stretch, target, state.event)
        return
    node = make_node(stretch, state, args, (target,))
    storage.index = state.slot
    counter.version += 1
    if any([i < 0 for i in state.keeps]):  # a result is kept as it is after the write
        pairs = zip(state.keeps, node.saved)  # type: ignore[arg-type]
        node.saved = tuple([keep(target) if i < 0 else kept for i, kept in pairs])
    above.rebase(stretch, target, node)
