"""Reads by index: index_select, gather, x[i], embedding; each is a pick (see lower.py)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from flambeau.compiler import lowered
from flambeau.compiler.lower import (
    Lowering,
    block_start,
    changed,
    ints,
    over_block,
    rule,
    view,
    whole_numbers,
)
from flambeau.ir.layout import Ints, broadcast_sizes, view_strides
from flambeau.ir.program import Call, Ref, Size


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
    return picked(
        low, call, base, [index], (x.size[dim],), (x.layout.stride[dim],), "along", (dim,)
    )


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
    size, block, at = (
        call.outs[0].size,
        broadcast_sizes([t.size for t in tensors]),
        block_start(dims),
    )
    rest = [s for d, s in enumerate(x.layout.stride) if d not in dims]
    base = view(x, size, ints([*rest[:at], *(0,) * len(block), *rest[at:]]))
    along = [over_block(t, size, block, at) for t in tensors]
    sizes, steps = (ints(t[d] for d in dims) for t in (x.size, x.layout.stride))
    return picked(low, call, base, along, sizes, steps, "index", dims, True)
