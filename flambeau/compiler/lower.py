"""Lower: structured calls become elementwise ones over other layouts, which then fuse.

    %2 = index_select(%0, 1, %1)       →   %2 = pick(%0 with stride 0 along dim 1, %1, …)
    %5 = cat((%3, %4), 1)              →   %5 = storage; %6 = copy(%3) over part of %5; …
    %9 = tril(%8)                      →   %9 = lower_triangle(%8, positions, strides (-1, 1), 0)

What needs another layout than strides can say stays as it is, and runs by its NumPy meaning or by a
kernel of its own. The table knows ops by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flambeau.compiler import lowered
from flambeau.compiler.expand import COPY
from flambeau.ir import dtype as dt
from flambeau.ir.layout import (
    Ints,
    Layout,
    Offset,
    broadcast_strides,
    contiguous_strides,
    view_strides,
)
from flambeau.ir.op import Op
from flambeau.ir.program import POSITIONS, Call, Out, Program, Ref
from flambeau.ir.record import replace

MOST_PIECES = 256  # pieces up to which a result is put together by copies


def lower(program: Program) -> Program:
    """Rewrite every call that the table has a rule for."""
    if not any(map(rule_for, program.calls)):
        return program
    return Lowering(program).program()


class Lowering:
    """The calls so far, and what the values of the source are called by now."""

    def __init__(self, program: Program) -> None:
        self.source = program
        self.homes = program.storage_of()
        made = [o.value for c in program.calls for o in c.outs]
        self.makers = {o.value: c for c in program.calls for o in c.outs}
        self.written = {
            self.homes[o.over] for c in program.calls for o in c.outs if o.over is not None
        }
        self.next = 1 + max([i.value for i in program.inputs] + made, default=0)
        self.calls: list[Call] = []
        self.live = {self.homes[v] for v in program.live}
        self.latest: dict[int, int] = {}  # value of the source → the value that its storage has now

    def program(self) -> Program:
        for call in self.source.calls:
            call = self.renamed(call)
            rule = rule_for(call)
            if rule is None or len(call.outs) != 1 or not rule(self, call):
                self.calls.append(call)
        return replace(self.source, calls=tuple(self.calls))

    def renamed(self, call: Call) -> Call:
        if not self.latest:
            return call
        outs = tuple(replace(o, over=self.latest.get(o.over, o.over)) if o.over is not None else o
                     for o in call.outs)  # fmt: skip
        return replace(call, args=tuple(map(self.argument, call.args)), outs=outs)

    def argument(self, arg: Any) -> Any:
        if isinstance(arg, Ref) and arg.value in self.latest:
            return replace(arg, value=self.latest[arg.value])
        return tuple(map(self.argument, arg)) if isinstance(arg, tuple) else arg

    # ---------------------------------------------------------------- making calls

    def emit(self, call: Call, op: Op, *args: Any, out: Out | None = None,
             compute: dt.DType | None = None) -> bool:  # fmt: skip
        """A call in place of another one; its result is the other one's unless told."""
        outs = (out or call.outs[0],)
        self.calls.append(Call(op, args, outs, compute, call.source))
        return True

    def apart(self, call: Call) -> bool:
        """Whether the result is written to no memory that the call reads."""
        (out,) = call.outs
        if out.over is None:
            return True
        home = self.home(out.over)
        return all(self.home(ref.value) != home for ref in call.refs())

    def home(self, value: int) -> int:
        return self.homes[value]

    def fresh(self, home: int) -> int:
        """A new value of a storage."""
        self.next += 1
        self.homes[self.next - 1] = home
        return self.next - 1

    def pieces(self, call: Call, parts: Sequence[tuple[Any, Layout]]) -> bool:
        """Put a result together: (what is copied, or a number; where it goes), one by one."""
        (out,) = call.outs
        if len(parts) > MOST_PIECES or not parts or not self.apart(call):
            return False
        home = out.value if out.over is None else self.home(out.over)
        value, last = out.over, len(parts) - 1
        if value is None:
            value = out.value
            names = [self.fresh(home) for _ in parts]
            self.emit(call, lowered.storage, names[-1])
            self.latest[out.value] = names[-1]
        else:
            names = [*(self.fresh(home) for _ in range(last)), out.value]
        for (source, layout), name in zip(parts, names):
            target = Out(name, layout, out.dtype, value)
            if isinstance(source, Ref):
                self.emit(call, COPY(), source, out=target, compute=source.dtype)
            else:
                self.emit(call, lowered.fill, source, out=target, compute=out.dtype)
            value = name
        return True

    def single(self, call: Call, source: Ref, size: Ints) -> bool:
        """One copy that walks over the result as if it had another size."""
        (out,) = call.outs
        stride = view_strides(out.layout.size, out.layout.stride, size)
        if stride is None or not self.apart(call):
            return False
        layout = Layout(size, stride, out.layout.offset)
        return self.emit(
            call, COPY(), source, out=replace(out, layout=layout), compute=source.dtype
        )


Rule = Callable[[Lowering, Call], bool]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """A function that rewrites calls of these ops, or answers False."""

    def note(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return note


def rule_for(call: Call) -> Rule | None:
    """The rule for an op by its name, or for all reductions."""
    if not call.native():
        return None
    return RULES.get(call.op.name) or (
        RULES.get("any reduction") if call.op.kind == "reduction" else None
    )


def made(
    low: Lowering, call: Call, op: Any, size: Ints, dtype: Any, *args: Any, compute: Any = None
) -> Ref:
    """A fresh tensor."""
    layout = Layout(size, contiguous_strides(size))
    value = low.fresh(-1)
    low.homes[value] = value
    low.emit(call, op, *args, out=Out(value, layout, dtype), compute=compute)
    return Ref(value, layout, dtype)


# ------------------------------------------------------------------ layouts


def ints(items: Any) -> Ints:
    return tuple(items)


def changed(items: Ints, at: int, item: int) -> Ints:
    """A tuple with one place changed."""
    return (*items[:at], item, *items[at + 1 :])


def view(ref: Ref, size: Ints, stride: Ints, more: int = 0) -> Ref:
    """The same memory under another layout, starting `more` elements later."""
    offset = ref.layout.offset
    if more:
        assert not isinstance(offset, Offset)
        offset += more
    return replace(ref, layout=Layout(size, stride, offset))


def stretched(ref: Ref, size: Ints) -> Ref:
    """Broadcast."""
    return view(ref, size, broadcast_strides(ref.layout.size, ref.layout.stride, size))


def positions(size: Ints, stride: Ints) -> Ref:
    """Each element's own offset."""
    return Ref(POSITIONS, Layout(size, stride, 0), dt.int64)


def part(layout: Layout, dim: int, start: int, length: int) -> Layout | None:
    """A slice along a dim; None where its start is only known at run time."""
    if isinstance(layout.offset, Offset):
        return None if start else replace(layout, size=changed(layout.size, dim, length))
    return Layout(changed(layout.size, dim, length), layout.stride,
                  layout.offset + start * layout.stride[dim])  # fmt: skip


def whole_numbers(*refs: Ref) -> bool:
    return all(ref.dtype.kind in "iu" and ref.dtype.name != "uint64" for ref in refs)


def block_start(dims: Ints) -> int:
    """Where the dims of the indices stand in the result."""
    return dims[0] if dims == tuple(range(dims[0], dims[0] + len(dims))) else 0


def over_block(tensor: Ref, size: Ints, block: Ints, at: int) -> Ref:
    """An index tensor, walking over the whole result."""
    stride = broadcast_strides(tensor.size, tensor.layout.stride, block)
    rest = len(size) - at - len(block)
    return view(tensor, size, (*(0,) * at, *stride, *(0,) * rest))
