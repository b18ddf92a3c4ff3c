"""Writes by index: index_add, scatter, x[i] = v, and the gradient of an embedding.

    %3 = index_add(%0, 0, %1, %2)    →    %4 = position(%1, size of dim 0, its stride)    checked
                                          %3 = copy(%0)
                                          %5 = scatter(%4, %2) over %3

The first is elementwise and fuses; nothing is written before all indices are checked. The rules are
as in lower.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import Any

from flambeau.codegen.cpu.scatter import Scatter, scatter_of, scatter_text, walk_of
from flambeau.codegen.cpu.target import cpu
from flambeau.compiler import lowered
from flambeau.compiler.expand import COPY
from flambeau.compiler.lower import (
    Lowering,
    block_start,
    changed,
    made,
    rule,
    stretched,
    view,
    whole_numbers,
)
from flambeau.ir import dtype as dt
from flambeau.ir.layout import Ints, broadcast_sizes
from flambeau.ir.op import Op
from flambeau.ir.program import Call, Ref, Size
from flambeau.ir.record import record, replace
from flambeau.runtime.threads import Launch


@record
class Update:
    """What is written where.

    size: of what is written. block: the dims of it that the indices walk over. rest: for each dim
    of the target that has no index, its dim in `size`.
    """

    source: Any
    size: Ints
    tensors: Sequence[Ref]
    dims: Ints
    block: Ints
    rest: Ints
    failure: str
    combine: str = "set"
    wrap: bool = False
    skip: int | None = None  # an index that is left out


@record
class Written:
    """The launch of one scatter."""

    call: Call
    scratch: int = 0

    def launches(self, emitter: Any, number: int) -> list[Launch]:
        position, source, strides, combine = self.call.args
        (out,) = self.call.outs
        walk = walk_of(position.size, strides, source.layout.stride, position.layout.stride)
        spec = scatter_of(out.dtype, combine, walk)
        kernel = cpu().load_text(kernel_text(spec), spec.name)
        homes = emitter.fused.homes
        words = [emitter.address(homes[r.value], r.layout.offset, r.dtype.itemsize)
                 for r in (out, source, position)]  # fmt: skip
        return [Launch(kernel.address, (*words, *((0, w) for w in walk.words())), walk.tasks())]


@lru_cache(maxsize=1024)
def kernel_text(spec: Scatter) -> str:
    return scatter_text(spec, cpu().builder())


scatter = lowered.internal(
    "scatter", None, "structured", kernel=lambda call, emitter: Written(call)
)


def position_scalar(k: Any, indices: Any, sizes: Any, steps: Any, wrap: bool, failure: str,
                    dims: Ints,                     skip: Any) -> Any:  # fmt: skip
    """The place of an element; -1 where the index is one to skip."""
    if skip is not None:
        index = k.cast(indices[0], dt.int64)
        keep = k.ne(index, skip)
        indices = [k.where(keep, index, 0)]
    place = lowered.pick_scalar(k, lambda p: p, indices, sizes, steps, wrap, failure, dims)
    return place if skip is None else k.where(keep, place, -1)


position = lowered.internal("position", position_scalar, may_fail=True)


def written(low: Lowering, call: Call, target: Ref, update: Update) -> bool:
    """A call that changes a copy of `target`, or target itself."""
    (out,) = call.outs
    narrow = out.dtype.itemsize == 2 and out.dtype.kind == "f" and update.combine != "set"
    sizes = tuple(target.size[d] for d in update.dims)
    if not prod(update.size) and out.over is None:
        return low.emit(call, COPY(), target, compute=target.dtype)
    if narrow or 0 in sizes or not prod(update.size) or not whole_numbers(*update.tensors):
        return False
    if not placed(low, call, target):
        return False
    unindexed = [d for d in range(len(target.size)) if d not in update.dims]
    strides = spread(update.size, update.rest, [out.layout.stride[d] for d in unindexed])
    places = positions_of(low, call, update, sizes)
    source = source_of(low, call, update.source, update.size, out.dtype)
    finish(low, call, target, (places, source, strides, update.combine))
    return True


def spread(size: Ints, dims: Ints, strides: Sequence[int]) -> Ints:
    """Strides for some dims, 0 for the others."""
    found = dict(zip(dims, strides))
    return tuple(found.get(d, 0) for d in range(len(size)))


def placed(low: Lowering, call: Call, target: Ref) -> bool:
    """Whether the result is fresh, or the target itself with nothing else that is read in it."""
    (out,) = call.outs
    if out.over is None:
        return True
    home = low.home(out.over)
    same = low.home(target.value) == home
    if same and target.layout != out.layout:
        return False
    refs = list(call.refs())
    refs.remove(target)
    return all(low.home(ref.value) != home for ref in refs)


def positions_of(low: Lowering, call: Call, update: Update, sizes: Ints) -> Ref:
    """The positions, walking over all that is written."""
    steps = tuple(call.outs[0].layout.stride[d] for d in update.dims)
    skip = None if update.skip is None else Size(update.skip)
    size = broadcast_sizes([t.size for t in update.tensors])
    tensors = tuple(stretched(t, size) for t in update.tensors)
    places = made(low, call, position, size, dt.int64, tensors, tuple(map(Size, sizes)),
                  tuple(map(Size, steps)), update.wrap, update.failure, update.dims,
                  skip)  # fmt: skip
    return view(places, update.size, spread(update.size, update.block, places.layout.stride))


def source_of(low: Lowering, call: Call, source: Any, size: Ints, dtype: Any) -> Ref:
    """What is written, over the whole domain and in the target's type."""
    if not isinstance(source, Ref):
        source = made(low, call, lowered.fill, (), dtype, source, compute=dtype)
    elif source.dtype is not dtype:
        source = made(low, call, COPY(), source.size, dtype, source, compute=source.dtype)
    return stretched(source, size)


def finish(low: Lowering, call: Call, target: Ref, args: Any) -> None:
    """The copy of the target, unless it is changed itself, and the scatter."""
    (out,) = call.outs
    before = out.over
    if before is None:
        low.emit(call, COPY(), target, compute=target.dtype)
        before = out.value
        out = replace(out, value=low.fresh(out.value))
        low.latest[before] = out.value
    elif low.home(target.value) != low.home(before):
        middle = low.fresh(low.home(before))
        low.emit(call, COPY(), target, out=replace(out, value=middle), compute=target.dtype)
        before = middle
    low.emit(call, scatter, *args, out=replace(out, over=before))


# ------------------------------------------------------------------ the rules


@rule("index_add", "index_copy", "index_fill")
def slices(low: Lowering, call: Call) -> bool:
    target, dim, index, source = call.args[:4]
    if not target.size or not index.size:
        return False
    size = changed(target.size, dim, index.size[0])
    adds = call.op.name == "index_add"
    if adds and call.args[4] != 1:
        source = made(low, call, scaled, source.size, source.dtype, source, call.args[4],
                      compute=source.dtype)  # fmt: skip
    rest = tuple(d for d in range(len(size)) if d != dim)
    fills = call.op.name == "index_fill"  # the one that counts from the end too
    update = Update(source, size, [index], (dim,), (dim,), rest, "index" if fills else "self",
                    "sum" if adds else "set", fills)  # fmt: skip
    return written(low, call, target, update)


scaled = Op("scaled", "elementwise", (), position.infer, scalar=lambda k, x, alpha: x * alpha)
REDUCE = {None: "set", "sum": "sum", "add": "sum", "prod": "prod", "multiply": "prod",
          "amax": "amax", "amin": "amin"}  # fmt: skip


@rule("scatter", "_scatter_value", "_scatter_combine", "scatter_add")
def scattered(low: Lowering, call: Call) -> bool:
    target, dim, index, source, *reduce = call.args
    if not target.size or len(index.size) != len(target.size):
        return False
    if isinstance(source, Ref) and source.size:  # it may be larger than the index
        source = view(source, index.size, source.layout.stride)
    combine = "sum" if call.op.name == "scatter_add" else REDUCE[reduce[0] if reduce else None]
    dims = tuple(range(len(index.size)))
    rest = tuple(d for d in dims if d != dim)
    return written(
        low, call, target, Update(source, index.size, [index], (dim,), dims, rest, "along", combine)
    )


@rule("_index_put")
def index_put(low: Lowering, call: Call) -> bool:
    target, tensors, source, dims, accumulate = call.args
    block, at = broadcast_sizes([t.size for t in tensors]), block_start(dims)
    rest = [n for d, n in enumerate(target.size) if d not in dims]
    size = (*rest[:at], *block, *rest[at:])
    walked = tuple(range(at, at + len(block)))
    others = tuple(d for d in range(len(size)) if d not in walked)
    combine = "sum" if accumulate else "set"
    return written(low, call, target, Update(source, size, tensors, dims, walked, others, "index",
                                             combine, True))  # fmt: skip


@rule("_embedding_backward")
def embedding_backward(low: Lowering, call: Call) -> bool:
    g, index, rows, padding, scale = call.args
    if scale or not rows or call.outs[0].over is not None or not prod(g.size):
        return False
    out = call.outs[0]
    zeros = made(low, call, lowered.fill, out.size, out.dtype, 0, compute=out.dtype)
    walked = tuple(range(len(index.size)))
    update = Update(g, g.size, [index], (0,), walked, (len(g.size) - 1,), "self", "sum",
                    skip=padding)  # fmt: skip
    return written(low, call, zeros, update)
