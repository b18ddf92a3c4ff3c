"""Results put together from parts, and parts of matrices: cat, roll, pad, tril; see lower.py."""

from __future__ import annotations

from math import prod
from typing import Any

from flambeau.compiler import lowered
from flambeau.compiler.lower import Lowering, ints, part, positions, rule, view
from flambeau.ir.layout import Ints, Layout, Offset, view_strides
from flambeau.ir.program import Call, Size
from flambeau.ir.record import replace


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
    cut = any(n < 0 for n in pad[::2])  # in front: what begins at a run-time offset stays whole
    moving = isinstance(source.offset, Offset) and cut or isinstance(target.offset, Offset)
    if moving or not prod(target.size):
        return False
    inside: Layout = target
    for n in range(len(pad) // 2):
        dim, (before, after) = len(x.size) - 1 - n, pad[2 * n : 2 * n + 2]
        length = x.size[dim] + min(before, 0) + min(after, 0)
        source = part(source, dim, max(-before, 0), length)
        inside = part(inside, dim, max(before, 0), length)  # type: ignore[assignment]
    parts: list[tuple[Any, Layout]] = [(value, target)]
    return low.pieces(
        call, parts + ([(replace(x, layout=source), inside)] if prod(source.size) else [])
    )
