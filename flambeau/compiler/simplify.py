"""Simplify: drop what nobody needs, and read constants as constants.

    %2 = full((8, 4), 0.0)           (gone)
    %3 = mul(%1, %2)            →    %3 = mul(%1, 0.0)
    %4 = exp(%1)   # dead            (gone)

Values filled with one number never reach memory unless somebody wants them there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flambeau.ir.dtype import DType
from flambeau.ir.program import Call, Number, Program, Ref
from flambeau.ir.record import replace


def drop_dead(program: Program) -> Program:
    """Keep the calls that lead to live results, to writes of inputs, or that have effects."""
    home = program.storage_of()
    wanted_homes = {home[v] for v in program.live} | {i.value for i in program.inputs}
    wanted: set[int] = set()
    kept: list[Call] = []
    for call in reversed(program.calls):
        if not (call.op.writes or any(o.value in wanted or home[o.value] in wanted_homes
                                      for o in call.outs)):  # fmt: skip
            continue
        kept.append(call)
        wanted.update(ref.value for ref in call.refs())
        wanted.update(o.over for o in call.outs if o.over is not None)
    return replace(program, calls=tuple(reversed(kept)))


class Constant:
    """A value that is one number everywhere: a Number of the stretch, or a Python number."""

    __slots__ = ("number", "dtype")

    def __init__(self, number: Number | float | int | bool, dtype: DType) -> None:
        self.number, self.dtype = number, dtype


def constants(calls: Iterable[Call]) -> dict[int, Constant]:
    """The values that `full` made and nobody wrote to."""
    found: dict[int, Constant] = {}
    for call in calls:
        for out in call.outs:
            if out.over is not None:
                found.pop(out.over, None)
            elif call.op.name == "full" and call.native():
                found[out.value] = Constant(call.args[call.op.position("value")], out.dtype)
    return found


def merge_common(program: Program) -> Program:
    """Common subexpressions: equal calls on equal values are done once.

    A result that is written to later, or that is wanted at the end, stays apart.
    """
    home = program.storage_of()
    written = {home[o.over] for c in program.calls for o in c.outs if o.over is not None}
    alias: dict[int, int] = {}
    seen: dict[Any, Call] = {}
    kept: list[Call] = []
    live = {home[v] for v in program.live}
    for call in program.calls:
        call = replace(call, args=tuple(_renamed(a, alias) for a in call.args))
        fresh = all(o.over is None and o.value not in written for o in call.outs)
        if not fresh or call.op.kind == "effect" or call.op.writes:
            kept.append(call)
            continue
        key = (call.op, call.args, call.compute, tuple((o.layout, o.dtype) for o in call.outs))
        first = seen.get(key)
        if first is None or any(o.value in live for o in call.outs):
            seen.setdefault(key, call)
            kept.append(call)
        else:
            alias.update((o.value, f.value) for o, f in zip(call.outs, first.outs))
    return replace(program, calls=tuple(kept))


def _renamed(arg: Any, alias: dict[int, int]) -> Any:
    if isinstance(arg, Ref):
        return replace(arg, value=alias[arg.value]) if arg.value in alias else arg
    return tuple(_renamed(a, alias) for a in arg) if isinstance(arg, tuple) else arg


def simplify(program: Program) -> Program:
    """All of the above."""
    return drop_dead(merge_common(drop_dead(program)))
