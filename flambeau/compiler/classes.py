"""Class indices: one_hot, and what losses read and write by class; see lower.py."""

from __future__ import annotations

from flambeau.compiler import lowered
from flambeau.compiler.lower import (
    Lowering,
    changed,
    made,
    positions,
    rule,
    stretched,
    view,
    whole_numbers,
)
from flambeau.compiler.reducing import partial
from flambeau.ir.program import Call, Ref, Size


def class_dim(ndim: int) -> int:
    return 0 if ndim == 1 else 1


@rule("pick_class")
def pick_class(low: Lowering, call: Call) -> bool:
    x, index, ignore = call.args
    dim = class_dim(len(x.size))
    if not x.size[dim] or not whole_numbers(index) or not low.apart(call):
        return False
    if computed_here(low, x):
        chosen = made(low, call, lowered.place_class, x.size, x.dtype,
                      *masked(x, index, dim, ignore))  # fmt: skip
        return low.emit(call, partial("sum", None), chosen, (dim,), compute=x.dtype)
    stride = x.layout.stride
    base = view(x, index.size, stride[:dim] + stride[dim + 1 :])
    return low.emit(call, lowered.pick_class, base, index, Size(x.size[dim]), Size(stride[dim]),
                    Size(ignore))  # fmt: skip


def computed_here(low: Lowering, x: Ref) -> bool:
    """Whether x need not reach memory: its rows are summed, masked, as they are computed."""
    maker = next((c for c in reversed(low.calls) if any(o.value == x.value for o in c.outs)), None)
    if maker is None or maker.op.kind != "elementwise" or maker.outs[0].over is not None:
        return False
    return maker.outs[0].layout == x.layout and low.home(x.value) not in low.live


def masked(x: Ref, index: Ref, dim: int, ignore: int) -> tuple[object, ...]:
    """The arguments of an op that leaves x only where its class is."""
    size, classes = x.size, x.size[dim]
    columns = positions(size, changed((0,) * len(size), dim, 1))
    return x, spread(index, dim, classes), columns, Size(classes), Size(ignore)


@rule("place_class")
def place_class(low: Lowering, call: Call) -> bool:
    g, index, classes, ignore = call.args
    size = call.outs[0].size
    dim = class_dim(len(size))
    if not classes or not whole_numbers(index) or not low.apart(call):
        return False
    g = spread(stretched(g, index.size), dim, classes)
    return low.emit(call, lowered.place_class, *masked(g, index, dim, ignore))


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
    return low.emit(
        call, lowered.one_hot, spread(index, len(size) - 1, classes), columns, Size(classes)
    )
