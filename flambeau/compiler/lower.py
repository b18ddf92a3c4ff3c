"""Lower: structured calls become elementwise ones over other layouts, which then fuse.

    %2 = index_select(%0, 1, %1)       →   %2 = pick(%0 with stride 0 along dim 1, %1, …)
    %5 = cat((%3, %4), 1)              →   %5 = storage; %6 = copy(%3) over part of %5; %7 = copy(%4) …
    %9 = tril(%8)                      →   %9 = lower_triangle(%8, positions with strides (-1, 1), 0)

What needs another layout than strides can say stays as it is, and runs by its NumPy meaning or by a
kernel of its own. The table knows ops by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

from flambeau.compiler import lowered
from flambeau.compiler.expand import COPY
from flambeau.ir import dtype as dt
from flambeau.ir.layout import (
    Ints,
    Layout,
    Offset,
    broadcast_sizes,
    broadcast_strides,
    contiguous_strides,
    view_strides,
)
from flambeau.ir.op import Op
from flambeau.ir.program import POSITIONS, Call, Out, Program, Ref, Size

MOST_PIECES = 32  # pieces up to which a result is put together by copies


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
        self.next = 1 + max([i.value for i in program.inputs]
                            + [o.value for c in program.calls for o in c.outs], default=0)  # fmt: skip
        self.calls: list[Call] = []
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
        """Put a result together: (what is copied or a number, where it goes), one after the other."""
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
        return self.emit(call, COPY(), source, out=replace(out, layout=layout), compute=source.dtype)


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
    return RULES.get(call.op.name) or (RULES.get("any reduction") if call.op.kind == "reduction" else None)


def made(low: Lowering, call: Call, op: Any, size: Ints, dtype: Any, *args: Any, compute: Any = None) -> Ref:
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


# ------------------------------------------------------------------ reads by index


def whole_numbers(*refs: Ref) -> bool:
    return all(ref.dtype.kind in "iu" and ref.dtype.name != "uint64" for ref in refs)


def picked(low: Lowering, call: Call, base: Ref, indices: Sequence[Ref], sizes: Ints, steps: Ints,
           failure: str, dims: Ints, wrap: bool = False) -> bool:  # fmt: skip
    """The call as a pick: `base` and `indices` walk over the result."""
    if 0 in sizes or not whole_numbers(*indices) or not low.apart(call):
        return False
    return low.emit(call, lowered.pick, base, tuple(indices), tuple(map(Size, sizes)),
                    tuple(map(Size, steps)), wrap, failure, dims)  # fmt: skip


@rule("index_select")
def index_select(low: Lowering, call: Call) -> bool:
    x, dim, index = call.args
    if not x.size:
        return False
    size = call.outs[0].size
    base = view(x, size, changed(x.layout.stride, dim, 0))
    step = index.layout.stride[0] if index.size else 0
    along = view(index, size, changed((0,) * len(size), dim, step))
    return picked(low, call, base, [along], (x.size[dim],), (x.layout.stride[dim],), "self", (dim,))


@rule("gather")
def gather(low: Lowering, call: Call) -> bool:
    x, dim, index, _ = call.args
    if not x.size or len(x.size) != len(index.size):
        return False
    base = view(x, index.size, changed(x.layout.stride, dim, 0))
    return picked(low, call, base, [index], (x.size[dim],), (x.layout.stride[dim],), "along", (dim,))


@rule("embedding")
def embedding(low: Lowering, call: Call) -> bool:
    weight, index = call.args[:2]
    size, flat = call.outs[0].size, (0,) * len(index.size)
    base = view(weight, size, (*flat, weight.layout.stride[1]))
    along = view(index, size, (*index.layout.stride, 0))
    return picked(low, call, base, [along], weight.size[:1], weight.layout.stride[:1], "self", (0,))


@rule("take")
def take(low: Lowering, call: Call) -> bool:
    x, index = call.args
    n = prod(x.size)
    step = view_strides(x.size, x.layout.stride, (n,))
    if step is None:
        return False
    base = view(x, index.size, (0,) * len(index.size))
    return picked(low, call, base, [index], (n,), step, "take", (0,), True)


@rule("_index")
def index(low: Lowering, call: Call) -> bool:
    x, tensors, dims = call.args
    size, block, at = call.outs[0].size, broadcast_sizes([t.size for t in tensors]), block_start(dims)
    rest = [s for d, s in enumerate(x.layout.stride) if d not in dims]
    base = view(x, size, ints([*rest[:at], *(0,) * len(block), *rest[at:]]))
    along = [over_block(t, size, block, at) for t in tensors]
    sizes, steps = (ints(t[d] for d in dims) for t in (x.size, x.layout.stride))
    return picked(low, call, base, along, sizes, steps, "index", dims, True)


def block_start(dims: Ints) -> int:
    """Where the dims of the indices stand in the result."""
    return dims[0] if dims == tuple(range(dims[0], dims[0] + len(dims))) else 0


def over_block(tensor: Ref, size: Ints, block: Ints, at: int) -> Ref:
    """An index tensor, walking over the whole result."""
    stride = broadcast_strides(tensor.size, tensor.layout.stride, block)
    rest = len(size) - at - len(block)
    return view(tensor, size, (*(0,) * at, *stride, *(0,) * rest))


# ------------------------------------------------------------------ classes


def class_dim(ndim: int) -> int:
    return 0 if ndim == 1 else 1


@rule("pick_class")
def pick_class(low: Lowering, call: Call) -> bool:
    x, index, ignore = call.args
    dim = class_dim(len(x.size))
    if not x.size[dim] or not whole_numbers(index) or not low.apart(call):
        return False
    stride = x.layout.stride
    base = view(x, index.size, stride[:dim] + stride[dim + 1 :])
    return low.emit(call, lowered.pick_class, base, index, Size(x.size[dim]), Size(stride[dim]),
                    Size(ignore))  # fmt: skip


@rule("place_class")
def place_class(low: Lowering, call: Call) -> bool:
    g, index, classes, ignore = call.args
    size = call.outs[0].size
    dim = class_dim(len(size))
    if not classes or not whole_numbers(index) or not low.apart(call):
        return False
    g, index = (spread(stretched(r, index.size), dim, classes) for r in (g, index))
    columns = positions(size, changed((0,) * len(size), dim, 1))
    return low.emit(call, lowered.place_class, g, index, columns, Size(classes), Size(ignore))


def spread(ref: Ref, dim: int, n: int) -> Ref:
    """With a new dim along which nothing changes."""
    size, stride = ref.layout.size, ref.layout.stride
    return view(ref, (*size[:dim], n, *size[dim:]), (*stride[:dim], 0, *stride[dim:]))


@rule("_one_hot")
def one_hot(low: Lowering, call: Call) -> bool:
    index, classes = call.args
    size = call.outs[0].size
    if not classes or not whole_numbers(index) or not low.apart(call):
        return False
    columns = positions(size, (*(0,) * (len(size) - 1), 1))
    return low.emit(call, lowered.one_hot, spread(index, len(size) - 1, classes), columns, Size(classes))


# ------------------------------------------------------------------ parts of matrices


@rule("tril", "triu")
def triangle(low: Lowering, call: Call) -> bool:
    x, diagonal = call.args
    (out,) = call.outs
    if not low.apart(call) and out.layout != x.layout:
        return False
    across = positions(x.size, (*(0,) * (len(x.size) - 2), -1, 1))
    op = lowered.lower_triangle if call.op.name == "tril" else lowered.upper_triangle
    return low.emit(call, op, x, across, Size(diagonal))


@rule("diag_embed")
def diag_embed(low: Lowering, call: Call) -> bool:
    x, offset, dim1, dim2 = call.args
    layout = call.outs[0].layout
    if isinstance(layout.offset, Offset) or not prod(layout.size):
        return False
    across = layout.stride[dim1], layout.stride[dim2]
    start = layout.offset + max(-offset, 0) * across[0] + max(offset, 0) * across[1]
    rest = [s for d, s in enumerate(layout.stride) if d not in (dim1, dim2)]
    return low.pieces(call, [(0, layout), (x, Layout(x.size, (*rest, sum(across)), start))])


# ------------------------------------------------------------------ put together from pieces


@rule("cat")
def cat(low: Lowering, call: Call) -> bool:
    tensors, dim = call.args
    layout, start, parts = call.outs[0].layout, 0, []
    for ref in tensors:
        if ref.size != (0,):
            target = part(layout, dim, start, ref.size[dim])
            if target is None:
                return False
            if prod(ref.size):
                parts.append((ref, target))
            start += ref.size[dim]
    return low.pieces(call, parts)


@rule("stack")
def stack(low: Lowering, call: Call) -> bool:
    tensors, dim = call.args
    layout, parts = call.outs[0].layout, []
    for n, ref in enumerate(tensors):
        target = part(layout, dim, n, 1)
        if target is None:
            return False
        size, stride = (t[:dim] + t[dim + 1 :] for t in (target.size, target.stride))
        parts.append((ref, Layout(size, stride, target.offset)))
    return low.pieces(call, parts) if prod(layout.size) else False


@rule("_repeat")
def repeat(low: Lowering, call: Call) -> bool:
    x, repeats = call.args
    lead = len(repeats) - len(x.size)
    size, stride = (1,) * lead + x.size, (0,) * lead + x.layout.stride
    if not prod(call.outs[0].size):
        return False
    both = ints(n for pair in zip(repeats, size) for n in pair)
    steps = ints(s for pair in zip((0,) * len(repeats), stride) for s in pair)
    return low.single(call, view(x, both, steps), both)


@rule("_flip")
def flip(low: Lowering, call: Call) -> bool:
    x, dims = call.args
    if isinstance(x.layout.offset, Offset) or not prod(x.size):
        return False
    stride = ints(-s if d in dims else s for d, s in enumerate(x.layout.stride))
    start = sum((x.size[d] - 1) * x.layout.stride[d] for d in dims)
    return low.single(call, view(x, x.size, stride, start), x.size)


@rule("roll")
def roll(low: Lowering, call: Call) -> bool:
    """Each dim in two parts that change places."""
    x, shifts, dims = call.args
    source, target = x.layout, call.outs[0].layout
    if not dims:
        flat = [flattened(x.layout), flattened(target)]
        if None in flat:
            return False
        (source, target), dims = flat, (0,)  # type: ignore[assignment]
    if any(isinstance(t.offset, Offset) for t in (source, target)) or not prod(x.size):
        return False
    pairs: list[tuple[Layout, Layout]] = [(source, target)]
    for shift, dim in total_shifts(shifts, dims, source.size):
        pairs = [p for pair in pairs for p in rolled(*pair, shift, dim)]
    return low.pieces(call, [(replace(x, layout=a), b) for a, b in pairs if prod(a.size)])


def total_shifts(shifts: Ints, dims: Ints, size: Ints) -> list[tuple[int, int]]:
    """One shift for each dim, without full turns."""
    totals: dict[int, int] = {}
    for shift, dim in zip(shifts, dims):
        totals[dim] = totals.get(dim, 0) + shift
    return [(shift % size[dim], dim) for dim, shift in totals.items()]


def rolled(source: Layout, target: Layout, shift: int, dim: int) -> list[tuple[Layout, Layout]]:
    """What stays in front goes behind, and the other way round."""
    n = source.size[dim]
    found = [(part(source, dim, 0, n - shift), part(target, dim, shift, n - shift)),
             (part(source, dim, n - shift, shift), part(target, dim, 0, shift))]  # fmt: skip
    return found  # type: ignore[return-value]


def flattened(layout: Layout) -> Layout | None:
    """The same elements along one dim."""
    n = prod(layout.size)
    stride = view_strides(layout.size, layout.stride, (n,))
    return None if stride is None else Layout((n,), stride, layout.offset)


@rule("constant_pad_nd")
def constant_pad(low: Lowering, call: Call) -> bool:
    """The value everywhere, then what is inside."""
    x, pad, value = call.args
    source, target = x.layout, call.outs[0].layout
    if any(isinstance(t.offset, Offset) for t in (source, target)) or not prod(target.size):
        return False
    inside: Layout = target
    for n in range(len(pad) // 2):
        dim, (before, after) = len(x.size) - 1 - n, pad[2 * n : 2 * n + 2]
        length = x.size[dim] + min(before, 0) + min(after, 0)
        source = part(source, dim, max(-before, 0), length)  # type: ignore[assignment]
        inside = part(inside, dim, max(before, 0), length)  # type: ignore[assignment]
    parts: list[tuple[Any, Layout]] = [(value, target)]
    return low.pieces(call, parts + ([(replace(x, layout=source), inside)] if prod(source.size) else []))
