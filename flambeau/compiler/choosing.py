"""Products with one-hot rows: a one in each row chooses, so nothing is multiplied.

    %1 = _one_hot(%0, classes=9), %2 = cast(%1)
    %4 = mm(%2, %3)        →    %4 = chosen(%3, %0, …)          rows of %3
    %6 = mm(%5ᵀ, %2)       →    %7 = fill(0); %8 = scatter(…, %5) over %7; %6 = summed(%8ᵀ, …)

In the product all other rows count too, times zero: those that are not finite leave NaN. So each
column is looked at once, for the first and the last class that is not finite.
"""

from __future__ import annotations

import math
from typing import Any

from flambeau.compiler import lowered
from flambeau.compiler.expand import COPY
from flambeau.compiler.lower import Lowering, made, positions, rule, view, whole_numbers
from flambeau.compiler.reducing import partial
from flambeau.compiler.writing import Update, written
from flambeau.ir import dtype as dt
from flambeau.ir.layout import Layout, contiguous_strides
from flambeau.ir.program import Call, Out, Ref, Size
from flambeau.ir.record import replace

WORTH = 1 << 24  # multiplications that are saved, at least
PAGE, LINE = 1 << 12, 64


@rule("mm")
def product_with_one_hot(low: Lowering, call: Call) -> bool:
    """The product, where one of its operands is one-hot along rows or columns."""
    a, b = call.args
    (out,) = call.outs
    if out.over is not None or math.prod((*a.size, b.size[1])) < WORTH:
        return False
    transposed = replace(out, layout=turned(out).layout)
    for ref, other, result in ((a, b, out), (turned(b), turned(a), transposed)):
        if other.dtype is not out.dtype:
            continue
        if (index := index_of(low, ref)) is not None:
            choose(low, call, index, other, result)
            return True
        if (index := index_of(low, turned(ref))) is not None:
            return add_up(low, call, index, other, result)
    return False


def turned(ref: Any) -> Any:
    """A transposed matrix."""
    size, stride = ref.layout.size, ref.layout.stride
    return replace(ref, layout=Layout(size[::-1], stride[::-1], ref.layout.offset))


def index_of(low: Lowering, ref: Ref) -> Ref | None:
    """The classes of a matrix whose rows are one-hot, if it is all of one."""
    maker = low.makers.get(ref.value)
    if maker is not None and maker.op.name == "cast" and maker.outs[0].over is None:
        (source,) = maker.refs()
        if source.layout != maker.outs[0].layout:
            return None
        maker = low.makers.get(source.value)
    if maker is None or maker.op.name != "_one_hot" or not maker.native():
        return None
    index, classes = maker.args
    (out,) = maker.outs
    homes = {low.home(v) for v in (ref.value, out.value, index.value)}
    whole = Layout((index.layout.numel, classes), (classes, 1))
    plain = out.layout.stride == contiguous_strides(out.size) and out.layout.offset == 0
    if ref.layout != whole or not plain or not whole_numbers(index) or homes & low.written:
        return None
    return index


# ------------------------------------------------------------------ choosing rows


def choose(low: Lowering, call: Call, index: Ref, rows: Ref, out: Out) -> None:
    """Row t of the result is row index[t] of `rows`."""
    classes, size = rows.size[0], (*index.size, rows.size[1])
    first, last = not_finite(low, call, rows)
    if rows.layout.stride[1] != 1:  # rows are read again and again: in order, then
        rows = made(low, call, COPY(), rows.size, rows.dtype, rows, compute=rows.dtype)
    flat = (0,) * len(index.size)
    base = view(rows, size, (*flat, rows.layout.stride[1]))
    along = view(index, size, (*index.layout.stride, 0))
    limits = (view(ref, size, (*flat, 1)) for ref in (first, last))
    step, width = out.layout.stride
    steps = [step * s for s in contiguous_strides(index.size)]
    target = replace(out, layout=Layout(size, (*steps, width), out.layout.offset))
    low.emit(call, chosen, base, along, *limits, Size(classes), Size(rows.layout.stride[0]),
             out=target)  # fmt: skip


def chosen_scalar(k: Any, x: Any, index: Any, first: Any, last: Any, n: Any, step: Any) -> Any:
    """The element in the row of the class; 0.0 for -0.0, as a sum that begins at 0."""
    place = k.check(k.cast(index, dt.int64), n, "one_hot")
    return settled(k, x(place * step) + 0.0, place, first, last)


def settled(k: Any, x: Any, place: Any, first: Any, last: Any) -> Any:
    """x, unless what another class adds is zero times something that is not finite."""
    alone = k.eq(first, place) & k.eq(last, place)
    return k.where((last < first) | alone, x, math.nan)


chosen = lowered.internal("chosen", chosen_scalar, picks=True, may_fail=True)


# ------------------------------------------------------------------ adding up rows by class


def add_up(low: Lowering, call: Call, index: Ref, rows: Ref, out: Out) -> bool:
    """Row v of the result is the sum of the rows t for which index[t] is v."""
    classes, n = out.layout.size
    count = len(index.size)
    steps = [rows.layout.stride[0] * s for s in contiguous_strides(index.size)]
    size = (*index.size, n)
    source = view(rows, size, (*steps, rows.layout.stride[1]))
    first, last = not_finite(low, call, source, index)
    zeros = made(low, call, lowered.fill, (classes, apart(n, rows.dtype.itemsize)), rows.dtype, 0,
                 compute=rows.dtype)  # fmt: skip
    before = view(zeros, (classes, n), zeros.layout.stride)
    sums = Out(low.fresh(low.home(zeros.value)), before.layout, rows.dtype, zeros.value)
    update = Update(source, size, [index], (0,), tuple(range(count)), (count,), "one_hot", "sum")
    if not written(low, replace(call, args=(before,), outs=(sums,)), before, update):
        return False
    total = Ref(sums.value, before.layout, rows.dtype)
    limits = (view(ref, before.size, (0, 1)) for ref in (first, last))
    return low.emit(call, summed, total, positions(before.size, (1, 0)), *limits, out=out)


def apart(n: int, itemsize: int) -> int:
    """How far apart rows of n elements should lie: not by pages, whose lines push each other out of
    the cache when a column is read."""
    return n if n * itemsize % PAGE else n + LINE // itemsize


summed = lowered.internal("summed", settled)


# ------------------------------------------------------------------ what is not finite


def not_finite(low: Lowering, call: Call, rows: Ref, index: Ref | None = None) -> tuple[Ref, Ref]:
    """For each column the first and the last class of a row where it is not finite.

    A row's class is its number, or what `index` says. Where all are finite, last < first.
    """
    size, count = rows.size, len(rows.size) - 1
    place = positions(size, (1, 0)) if index is None else view(
        index, size, (*index.layout.stride, 0))  # fmt: skip
    dims, found = tuple(range(count)), []
    for reduce, nothing in (("amin", 1 << 62), ("amax", -1)):
        marked = made(low, call, mark, size, dt.int64, rows, place, Size(nothing))
        found.append(
            made(low, call, partial(REDUCE[reduce], None), size[count:], dt.int64, marked, dims,
                 compute=dt.int64))  # fmt: skip
    return found[0], found[1]


REDUCE = {"amin": "min", "amax": "max"}
mark = lowered.internal(
    "mark", lambda k, x, place, nothing: k.where(k.isfinite(x), nothing, k.cast(place, dt.int64))
)
