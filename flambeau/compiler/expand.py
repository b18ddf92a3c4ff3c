"""Expand: composite calls become the calls that they stand for.

    %2 = softmax(%1, dim=1)     →     %3 = amax(%1, 1, True)
                                      %4 = sub(%1, %3)
                                      %5 = exp(%4)
                                      %6 = sum(%5, 1, True)
                                      %2 = true_divide(%5, %6)

What an op expands to is found on the Op itself. Both tiers see expanded programs only.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from flambeau.ir import dtype as dt
from flambeau.ir.layout import Layout, Offset, contiguous_strides, is_dense
from flambeau.ir.program import Call, Number, Out, Program, Ref
from flambeau.ir.record import replace


def expand(program: Program) -> Program:
    """Replace every composite call, and those that appear in doing so."""
    if not any(call.op.expand for call in program.calls):
        return program
    return Inliner(program).program()


@lru_cache(maxsize=4096)
def expansion_of(call: Call) -> Any:
    """The expansion of a call; calls that differ by the values they name only share it."""
    return call.op.expand(call)  # type: ignore[misc]


class Inliner:
    """Splices expansions into a program under fresh value numbers."""

    def __init__(self, program: Program) -> None:
        self.source = program
        taken = [i.value for i in program.inputs]
        taken += [o.value for c in program.calls for o in c.outs]
        self.next = 1 + max(taken, default=0)
        self.calls: list[Call] = []

    def program(self) -> Program:
        for call in self.source.calls:
            self.add(call)
        return replace(self.source, calls=tuple(self.calls))

    def add(self, call: Call) -> None:
        if call.op.expand is None:
            self.calls.append(call)
            return
        inner = expansion_of(canonical(call))
        values = self.rename(call, inner)
        for step in inner.calls:
            args = tuple(self.argument(a, call, inner, values) for a in step.args)
            outs = tuple(self.out(o, values) for o in step.outs)
            self.add(Call(step.op, args, outs, step.compute, call.source))
        self.finish(call, inner, values)

    def rename(self, call: Call, inner: Any) -> dict[int, Ref]:
        """Inner value → how the outer program refers to its storage (layout of offset 0)."""
        values = {entry.value: ref for entry, ref in zip(inner.inputs, call.refs())}
        for value, ref in values.items():
            if isinstance(ref.layout.offset, Offset) and is_looked_into(inner, value):
                values[value] = self.settled(call, ref)
        self.results = self.direct_results(call, inner)
        return values

    def settled(self, call: Call, ref: Ref) -> Ref:
        """A copy of an argument that begins at a run-time offset: views of it need a place."""
        if not is_dense(ref.layout.size, ref.layout.stride):
            raise NotImplementedError(
                f"{call.op.name} looks into a view that begins at a run-time offset and has gaps; "
                "use .contiguous() on it first")  # fmt: skip
        layout = Layout(ref.layout.size, ref.layout.stride)
        out = Out(self.fresh(), layout, ref.dtype)
        self.calls.append(Call(COPY(), (ref,), (out,), ref.dtype, call.source))
        return Ref(out.value, layout, ref.dtype)

    def direct_results(self, call: Call, inner: Any) -> dict[int, int]:
        """Inner values that can be the call's results under their own numbers."""
        direct: dict[int, int] = {}
        fresh = {o.value: o for c in inner.calls for o in c.outs if o.over is None}
        final = {o.over for c in inner.calls for o in c.outs if o.over is not None}
        for out, ref in zip(call.outs, inner.outs):
            made = fresh.get(ref.value)
            if out.over is None and made is not None and ref.value not in final:
                if made.dtype is out.dtype and ref.layout == out.layout and (
                    fills(made.layout, out.layout) and ref.value not in direct):  # fmt: skip
                    direct[ref.value] = out.value
        return direct

    def argument(self, arg: Any, call: Call, inner: Any, values: dict[int, Ref]) -> Any:
        if isinstance(arg, Ref):
            return self.ref(arg, values)
        if isinstance(arg, Number):
            return inner.numbers[arg.index]
        if isinstance(arg, tuple):
            return tuple(self.argument(a, call, inner, values) for a in arg)
        return arg

    def ref(self, ref: Ref, values: dict[int, Ref]) -> Ref:
        """An inner reference; those to the call's own tensors begin where these begin."""
        home = values[ref.value]
        return Ref(home.value, shifted(ref.layout, home.layout), ref.dtype)

    def out(self, out: Out, values: dict[int, Ref]) -> Out:
        if out.over is None:
            number = self.results.get(out.value) or self.fresh()
            values[out.value] = Ref(number, Layout((), ()), out.dtype)
            return Out(number, out.layout, out.dtype)
        home = values[out.over]
        number = self.fresh()
        values[out.value] = Ref(number, home.layout, out.dtype)
        return Out(number, shifted(out.layout, home.layout), out.dtype, home.value)

    def fresh(self) -> int:
        self.next += 1
        return self.next - 1

    def finish(self, call: Call, inner: Any, values: dict[int, Ref]) -> None:
        """Give the call's outs their values: written ones by renaming, others by a copy."""
        for out, ref in zip(call.outs, inner.outs):
            if self.results.get(ref.value) == out.value:
                continue
            source = self.ref(ref, values)
            if out.over is not None and values[ref.value].value != out.over and is_last_write(
                self.calls, values[ref.value].value):  # fmt: skip
                rename_last_write(self.calls, values[ref.value].value, out.value)
            else:
                self.calls.append(Call(COPY(), (source,), (out,), source.dtype, call.source))


def fills(made: Layout, out: Layout) -> bool:
    """Whether memory that is made in one layout is just what another one has: a view of it all."""
    if made == out:
        return True
    plain = (contiguous_strides(x.size) == x.stride and x.offset == 0 for x in (made, out))
    return made.numel == out.numel and all(plain)


def is_last_write(calls: list[Call], value: int) -> bool:
    """Whether a value was made by writing into a storage that was there before."""
    return any(o.value == value and o.over is not None for c in calls for o in c.outs)


def rename_last_write(calls: list[Call], value: int, name: int) -> None:
    """The last write to an argument gets the number that the outer program knows it by."""
    for n in range(len(calls) - 1, -1, -1):
        if any(o.value == value for o in calls[n].outs):
            outs = (replace(o, value=name) if o.value == value else o for o in calls[n].outs)
            calls[n] = replace(calls[n], outs=tuple(outs))
            rename_reads(calls, n + 1, value, name)
            return


def rename_reads(calls: list[Call], start: int, value: int, name: int) -> None:
    for n in range(start, len(calls)):
        calls[n] = replace(calls[n], args=tuple(renamed(a, value, name) for a in calls[n].args))


def renamed(arg: Any, value: int, name: int) -> Any:
    if isinstance(arg, Ref):
        return replace(arg, value=name) if arg.value == value else arg
    return tuple(renamed(a, value, name) for a in arg) if isinstance(arg, tuple) else arg


def canonical(call: Call) -> Call:
    """The call with its values numbered from 0 and without its source, as a key."""
    numbers: dict[int, int] = {}

    def number(value: int) -> int:
        return numbers.setdefault(value, len(numbers))

    def strip(arg: Any) -> Any:
        if isinstance(arg, Ref):
            layout = Layout(arg.layout.size, arg.layout.stride)
            return Ref(number(arg.value), layout, arg.dtype)
        return tuple(map(strip, arg)) if isinstance(arg, tuple) else arg

    args = tuple(strip(a) for a in call.args)
    outs = tuple(
        Out(number(o.value), Layout(o.layout.size, o.layout.stride), o.dtype,
            None if o.over is None else number(o.over))
        for o in call.outs
    )  # fmt: skip
    return Call(call.op, args, outs, call.compute)


def is_looked_into(inner: Any, value: int) -> bool:
    """Whether an expansion reads or writes a part of a value that begins behind its start."""
    parts = [p for call in inner.calls for p in call.tensors()] + list(inner.outs)
    return any(p.value == value and p.layout.offset != 0 for p in parts)


def shifted(layout: Layout, home: Layout) -> Layout:
    """A layout counted from the start of a tensor → from the start of its storage."""
    if home.offset == 0:
        return layout
    if layout.offset == 0:
        return Layout(layout.size, layout.stride, home.offset)
    assert isinstance(home.offset, int) and isinstance(layout.offset, int)  # see Inliner.settled
    return Layout(layout.size, layout.stride, home.offset + layout.offset)


def COPY() -> Any:
    """The op that copies, found in the table of rows that the program came with."""
    return _copy[0]


_copy: list[Any] = []


def copies_by(op: Any) -> None:
    """Tell the compiler which op copies (ops/pointwise.py)."""
    _copy[:] = [op]


__all__ = ["COPY", "copies_by", "dt", "expand"]
