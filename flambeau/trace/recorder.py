"""Recording: what the front calls to have a call, a view or a write recorded.

    entering.py   arguments from outside get slots       results.py   the tensors that come out
    sighting.py   a call that was never seen before      views.py, writes.py   what makes no values

`record` looks an edge of the trie up and follows it; ops/functions.py writes it out for each op.
Computes nothing; asks flush.py when to run.
"""

from __future__ import annotations

from typing import Any

from flambeau.hot import hot
from flambeau.ir.op import Op, Param
from flambeau.trace import flush
from flambeau.trace.entering import enter, given_default, static
from flambeau.trace.sighting import first_time
from flambeau.trace.tensor import tensors
from flambeau.trace.trie import Stretch, here
from flambeau.trace.views import record_view
from flambeau.trace.writes import record_write

__all__ = ["record", "record_view", "record_write"]


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
        return arg._slot if arg._stretch is stretch else enter(stretch, arg)
    if param.kind == "static":
        return static(arg)
    return arg if given_default(param, arg) else enter(stretch, arg)


def flush_and_record(stretch: Stretch, op: Op, args: tuple[Any, ...]) -> Any:
    """End a stretch whose backward is done before a new graph begins, then record."""
    flush.flush(stretch)
    return record(op, *args)
