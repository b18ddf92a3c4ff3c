"""Rows that combine what goes to one place: scatter_reduce; and put, which writes by flat index."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.layout import Spec, result_strides
from flambeau.ops.declare import composite
from flambeau.ops.functions import function_of
from flambeau.ops.rows_by_index import flat_bounds
from flambeau.ops.samples import Refused, Sample
from flambeau.ops.select import (
    clean_dim,
    gather_back,
    index_bounds,
    scatter_add,
    scatter_combine,
    scatter_shape,
    scatter_value,
)
from flambeau.trace.modes import Mode

ADD, COMBINE, VALUE = map(function_of, (scatter_add, scatter_combine, scatter_value))
REDUCTIONS = ("sum", "prod", "mean", "amax", "amin")


def reduce_shape(
    mode: Mode, input: Spec, dim: int, index: Spec, src: Spec, reduce: str, include_self: bool
) -> Any:
    if reduce not in REDUCTIONS:
        raise RuntimeError("reduce argument must be either sum, prod, mean, amax or amin, got "
                           f"{reduce}")  # fmt: skip
    refused = {"b": ("mean",), "c": ("amax", "amin")}.get(input.dtype.kind, ())
    if reduce in refused:
        raise NotImplementedError(f'"scatter_gather_tensor_cpu_reduce_{reduce}" not implemented '
                                  f"for '{input.dtype.legacy}'")  # fmt: skip
    return scatter_shape(mode, input, dim, index, src)


def identity(reduce: str, dtype: dt.DType) -> Any:
    """What a reduction begins with where the input does not count."""
    if reduce in ("sum", "mean", "prod"):
        return int(reduce == "prod")
    lowest = reduce == "amax"
    if dtype.kind == "f":
        return -math.inf if lowest else math.inf
    if dtype.kind == "b":
        return 0 if lowest else 1
    info = np.iinfo(dtype.numpy)
    return int(info.min if lowest else info.max)


def reduce_expand(
    input: Any, dim: int, index: Any, src: Any, reduce: str, include_self: bool
) -> Any:
    """One combining scatter; a mean is the sum over the count, rounded down for integers."""
    start = input if include_self else VALUE(input, dim, index, identity(reduce, input.dtype))
    if reduce != "mean":
        return COMBINE(start, dim, index, src, reduce)
    total, count = ADD(start, dim, index, src), counted(input, dim, index, src, include_self)
    return total.div(count, rounding_mode=None if input.dtype.kind in "fc" else "floor")


def counted(input: Any, dim: int, index: Any, src: Any, include_self: bool) -> Any:
    """How many elements go to each place, 1 at least."""
    dtype = input.dtype if input.dtype.kind in "fc" else dt.int64
    count = input.new_full(input.shape, int(include_self), dtype=dtype)
    count = ADD(count, dim, index, src.new_ones(src.shape, dtype=dtype))
    return count if include_self else count.masked_fill(count == 0, 1)


# Derivatives by reduction: (g, input, index, src, out, call) → those of the input and of `src`
# before what is not included is taken out. `back` takes gradients at places to the sources.


def back(g: Any, index: Any, call: Any) -> Any:
    return gather_back(g, index, call)


def extreme_parts(g: Any, input: Any, index: Any, src: Any, out: Any, call: Any) -> tuple[Any, Any]:
    """Elements that are equally extreme share the gradient."""
    mine = (input == out).to(g.dtype)
    best = (src == back(out, index, call)).to(g.dtype)
    share = g / ADD(mine, call.dim, index, best).clamp_min(1)
    return mine * share, best * back(share, index, call)


def prod_parts(g: Any, input: Any, index: Any, src: Any, out: Any, call: Any) -> tuple[Any, Any]:
    """The product of all others: out / x, and where x is the only zero the product without it."""
    dim = call.dim
    keyword = dict(include_self=call.include_self)
    safe, zero = input.masked_fill(input == 0, 1), src == 0
    others = row(safe, dim, index, src, "prod", **keyword)
    zeros = ADD(g.new_zeros(g.shape), dim, index, zero.to(g.dtype))
    alone = zero & (back(zeros, index, call) == 1)
    without = row(input, dim, index, src.masked_fill(alone, 1), "prod", **keyword)
    usual = back(g * out, index, call) / src.masked_fill(zero, 1)
    return g * others / safe, back(g * without, index, call).where(alone, usual)


def parts(g: Any, input: Any, index: Any, src: Any, out: Any, call: Any) -> tuple[Any, Any]:
    """The gradients of the input and of the source."""
    reduce = call.reduce
    if reduce in ("amax", "amin"):
        mine, theirs = extreme_parts(g, input, index, src, out, call)
    elif reduce == "prod":
        mine, theirs = prod_parts(g, input, index, src, out, call)
    else:
        if reduce == "mean":
            g = g / counted(input, call.dim, index, src, call.include_self)
        mine, theirs = g, back(g, index, call)
    return mine if call.include_self else VALUE(mine, call.dim, index, 0), theirs


def reduce_samples(new: Any) -> Any:
    for reduce in ("sum", "amax"):
        yield Sample(new(3, 4), 0, new.index(2, 4, high=3), new(2, 4), reduce)
        yield Sample(new(3, 4), 1, new.index(3, 6, high=4), new(3, 6), reduce, include_self=False)
    yield Sample(new(5), 0, new.index(0, high=5), new(0), "prod")
    yield Sample(new(5), 0, new.index(7, high=5), new(7, nonzero=True), "prod")
    yield Refused(
        new(3), 0, new.index(2, high=3), new(2), "middle", error=RuntimeError, says="must be either"
    )


scatter_reduce = composite(
    "scatter_reduce(input, dim, index, src, reduce, *, include_self=True)",
    clean=clean_dim,
    shape=reduce_shape,
    expand=reduce_expand,
    bounds=index_bounds,
    grad=dict(
        input=lambda g, input, index, src, out, call: parts(g, input, index, src, out, call)[0],
        src=lambda g, input, index, src, out, call: parts(g, input, index, src, out, call)[1],
    ),
    samples=reduce_samples,
    inplace=True,
    may_fail=True,
)
row = function_of(scatter_reduce)

# ------------------------------------------------------------------ put


def put_shape(mode: Mode, input: Spec, index: Spec, source: Spec, accumulate: Any) -> Any:
    if index.dtype is not dt.int64:
        raise RuntimeError(
            f"put_(): Expected a long tensor for index, but got {index.dtype.legacy}"
        )
    if input.dtype is not source.dtype:
        raise RuntimeError("put_(): self and source expected to have the same dtype, but got "
                           f"self.dtype = {input.dtype.legacy} and source.dtype = "
                           f"{source.dtype.legacy}")  # fmt: skip
    if index.numel != source.numel:
        raise IndexError("put_(): Expected source and index to have the same number of elements, "
                         f"but got source.numel() = {source.numel}, index.numel() = "
                         f"{index.numel}")  # fmt: skip
    if index.numel and not input.numel:
        raise IndexError("put_(): Tried to put elements into an empty tensor")
    return ((input.size, input.dtype, result_strides(input.size, [input.stride])),)


def put_expand(input: Any, index: Any, source: Any, accumulate: bool) -> Any:
    flat = input.reshape(-1)
    out = flat._index_put([index.reshape(-1)], source.reshape(-1), (0,), bool(accumulate))
    return out.view(input.shape)


put = composite(
    "put(input, index, source, accumulate=False)",
    public="torch Tensor",
    shape=put_shape,
    expand=put_expand,
    bounds=flat_bounds,
    grad=dict(
        input=lambda g, index, call: (
            g if call.accumulate else g.put(index, g.new_zeros(index.shape))
        ),
        source=lambda g, index, call: g.take(index).reshape(call.source.size),
    ),
    samples=lambda new: iter(
        [
            Sample(new(3, 4), new.index(2, 1, low=-12, high=12), new(1, 2)),
            Sample(new(4, 3).t(), new.index(5, high=12), new(5), True),
            Sample(new(0), new.index(0), new(0)),
            Refused(new(2), new.index(2), new(3), error=IndexError, says="same number"),
        ]
    ),
    inplace=True,
    may_fail=True,
)
