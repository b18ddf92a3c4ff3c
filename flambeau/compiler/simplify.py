"""Simplify: drop what nobody needs, and read constants as constants.

    %2 = full((8, 4), 0.0)           (gone)
    %3 = mul(%1, %2)            →    %3 = mul(%1, 0.0)
    %4 = exp(%1)   # dead            (gone)
    %7 = cast(%5), %8 = cast(%6)     (gone)
    %9 = mm(%7, %8)             →    %9 = mm(%5, %6)   # 16-bit floats, summed in float32 anyhow

Values filled with one number never reach memory unless somebody wants them there, nor does the
filling of memory that is written over part by part (gathering.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flambeau.compiler import lowered
from flambeau.compiler.gathering import gather
from flambeau.ir import dtype as dt
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


def narrow_products(program: Program) -> Program:
    """Products of 16-bit floats that were widened read them as they are.

    A product is summed in float32 whatever it reads; its result stays what it was.
    """
    home = program.storage_of()
    written = {home[o.over] for c in program.calls for o in c.outs if o.over is not None}
    casts: dict[int, Call] = {}
    kept: list[Call] = []
    for call in program.calls:
        (out,) = call.outs if len(call.outs) == 1 else (None,)
        if call.op.name == "cast" and out is not None and is_widening(call):
            (source,) = call.refs()
            if not {home[source.value], home[out.value]} & written:
                casts[out.value] = call
        elif call.op.name in ("mm", "bmm"):
            narrow = tuple(before_cast(ref, casts.get(ref.value)) for ref in call.refs())
            if all(narrow) and len({ref.dtype for ref in narrow if ref}) == 1:
                call = replace(call, args=narrow)
        kept.append(call)
    return replace(program, calls=tuple(kept))


def is_widening(call: Call) -> bool:
    """Whether a cast makes float32 of 16-bit floats."""
    (source,), (out,) = call.refs(), call.outs
    return out.dtype is dt.float32 and source.dtype in (dt.float16, dt.bfloat16)


def before_cast(ref: Ref, cast: Call | None) -> Ref | None:
    """The view of a cast's source that `ref` is of its result, dims in another order perhaps."""
    if cast is None or ref.layout.offset != cast.outs[0].layout.offset:
        return None
    (source,), made = cast.refs(), cast.outs[0].layout
    strides = {
        (size, step): stride
        for size, step, stride in zip(made.size, made.stride, source.layout.stride)
    }
    found = [strides.get(dim) for dim in zip(ref.layout.size, ref.layout.stride)]
    if len(strides) < len(made.size) or ref.layout.numel != made.numel or None in found:
        return None
    layout = replace(source.layout, size=ref.layout.size, stride=tuple(found))
    return replace(ref, value=source.value, layout=layout, dtype=source.dtype)


def check_once(program: Program) -> Program:
    """Classes that an earlier call checks are known to the later ones."""
    known: set[Any] = set()
    kept: list[Call] = []
    for call in program.calls:
        if call.op is lowered.place_class:
            if call.args[1:] in known:
                call = replace(call, op=lowered.place_known_class)
            known.add(call.args[1:])
        kept.append(call)
    return replace(program, calls=tuple(kept))


def _renamed(arg: Any, alias: dict[int, int]) -> Any:
    if isinstance(arg, Ref):
        return replace(arg, value=alias[arg.value]) if arg.value in alias else arg
    return tuple(_renamed(a, alias) for a in arg) if isinstance(arg, tuple) else arg


def simplify(program: Program) -> Program:
    """All of the above."""
    return check_once(drop_dead(narrow_products(merge_common(gather(drop_dead(program))))))
