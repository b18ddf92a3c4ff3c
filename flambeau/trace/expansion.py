"""What a composite call expands to: its `expand`, recorded in a stretch of its own.

The compiler finds this through the Op that it was handed (declare.py binds it there).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau.ir.layout import Layout, Offset, contiguous_strides, spec_of
from flambeau.ir.program import Call, Input, Number, Out, Ref
from flambeau.ir.record import frozen, replace
from flambeau.trace import above, entering, sighting
from flambeau.trace.modes import START, switch
from flambeau.trace.storage import new_storage
from flambeau.trace.symbol import refuse, symbol
from flambeau.trace.tensor import assemble
from flambeau.trace.trie import State, Stretch, here


@frozen
class Expansion:
    """calls on values of their own; inputs: those of the tensor arguments, in the call's order.

    numbers: inner index of a run-time number → the outer Number, or a constant.
    outs: one Ref an output of the call; written arguments: the last value of their storage.
    """

    inputs: tuple[Input, ...]
    calls: tuple[Call, ...]
    numbers: tuple[Number | float | int, ...]
    outs: tuple[Ref, ...]


def expand_call(function: Callable[..., Any], call: Call) -> Expansion:
    """Record what `function` does for this call."""
    outer, stretch = here.stretch, Stretch(switch(START, grad=False), 1 << 30)
    stretch.state = State(None)
    here.stretch = stretch
    try:
        arguments, tensors = stand_ins(stretch, call)
        results = function(*arguments)
        outs = tuple(_out_ref(stretch, r) for r in _results(call, results, tensors))
    finally:
        here.stretch = outer
    state, numbers, offsets = stretch.state, stretch.numbers, stretch.offsets
    stretch.end()
    events = [s.event for s in state.path() if s.event is not None]
    return Expansion(
        tuple(e for e in events if isinstance(e, Input)),
        tuple(_settled(e, offsets) for e in events if isinstance(e, Call)),
        tuple(_number(n) for n in numbers),
        _settled(outs, offsets),
    )


def stand_ins(stretch: Stretch, call: Call) -> tuple[list[Any], list[Any]]:
    """Tensors without memory for the call's tensors, symbols for its numbers."""
    tensors: list[Any] = []
    arguments: list[Any] = []
    for arg in call.args:
        if isinstance(arg, Ref):
            arguments.append(_stand_in(stretch, arg, tensors))
        elif isinstance(arg, tuple) and any(isinstance(a, Ref) for a in arg):
            arguments.append([_stand_in(stretch, a, tensors) for a in arg])
        elif isinstance(arg, Number):
            value = symbol(arg.type(0), arg.index, refuse)
            value.type = arg.type
            arguments.append(value)
        else:
            arguments.append(arg)
    return arguments, tensors


def _stand_in(stretch: Stretch, ref: Ref, tensors: list[Any]) -> Any:
    spec = spec_of(ref.layout.size, ref.layout.stride, ref.dtype)
    storage = new_storage(0)  # as it enters it holds nothing that the stretch would have to count
    storage.stretch = stretch
    tensor = assemble(above.result_class, storage, spec)
    storage.stretch = None
    storage.buffer = NO_MEMORY
    entering.enter(stretch, tensor)
    storage.buffer, storage.nbytes = None, spec.extent * spec.dtype.itemsize
    tensors.append(tensor)
    return tensor


NO_MEMORY: Any = object()


def _results(call: Call, results: Any, tensors: list[Any]) -> list[Any]:
    if call.op.writes:
        names = [p.name for p in call.op.params]
        places, at = {}, 0
        for name, arg in zip(names, call.args):
            n = len([a for a in arg if isinstance(a, Ref)]) if isinstance(arg, tuple) else int(
                isinstance(arg, Ref))  # fmt: skip
            places[name] = tensors[at : at + n]
            at += n
        return [t for name in call.op.writes for t in places[name]]
    return list(results) if isinstance(results, (tuple, list)) else [results]


def _out_ref(stretch: Stretch, tensor: Any) -> Ref:
    return sighting.ref_of(stretch, tensor, tensor._slot)


def _settled(part: Any, offsets: list[int]) -> Any:
    """Calls and references with the offsets of views, which an expansion knows, written out."""
    if isinstance(part, Call):
        return replace(part, args=_settled(part.args, offsets), outs=_settled(part.outs, offsets))
    if isinstance(part, (Ref, Out)) and isinstance(part.layout.offset, Offset):
        size, stride, at = part.layout.size, part.layout.stride, part.layout.offset
        return replace(part, layout=Layout(size, stride, offsets[at.index]))
    return tuple(_settled(p, offsets) for p in part) if isinstance(part, tuple) else part


def _number(n: Any) -> Number | float | int:
    index = getattr(n, "index", None)
    return Number(index, n.type) if index is not None and hasattr(n, "type") else n


__all__ = ["Expansion", "contiguous_strides", "expand_call"]
