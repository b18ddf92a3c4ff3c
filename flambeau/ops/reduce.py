"""Rows that reduce along dims.

The forms over all dims are rows of their own (`sum_all`): PyTorch names their nodes differently.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.layout import Ints, Spec
from flambeau.ir.op import Op
from flambeau.ops.declare import composite, reduction
from flambeau.ops.rules import (
    as_type,
    lacks,
    many_dims,
    one_dim,
    refuse_complex,
    restore_dims,
    without_dims,
)
from flambeau.ops.samples import Refused, Sample
from flambeau.ops.scan import product_of_others
from flambeau.trace.modes import START, Mode

SHAPES = (((5,), None), ((2, 3), 0), ((2, 3), -1), ((2, 3, 4), (0, 2)), ((), None), ((3, 0), 1),
          ((7, 40), 1), ((70, 9), 0))  # fmt: skip


def reductions(empty: bool = True, several: bool = True, whole: bool = True, **kwargs: Any) -> Any:
    """Over all, one and several dims, kept and dropped, of empty and 0-dim tensors."""

    def make(new: Any) -> Any:
        for size, dim in SHAPES:
            if dim is None and not whole:
                continue
            if (empty or 0 not in size) and (several or isinstance(dim, int)):
                yield Sample(new(*size), dim, **kwargs)
                yield Sample(new(*size), dim, keepdim=True, **kwargs)
        yield Sample(new(4, 3).t(), 0, **kwargs)
        yield Refused(new(2, 3), 2, error=IndexError, says="Dimension out of range")

    return make


def over_all(empty: bool = True) -> Any:
    """Over everything."""

    def make(new: Any) -> Any:
        for size in ((5,), (2, 3), (), (0,), (7, 40)):
            if empty or 0 not in size:
                yield Sample(new(*size))
        yield Sample(new(4, 3).t())

    return make


def clean_dims(input: Any, dim: Any, keepdim: Any = False, *rest: Any) -> tuple[Any, ...]:
    """Sorted dims from the front."""
    return (input, many_dims(dim, input.ndim), bool(keepdim), *rest)


def reduced(input: Spec, dim: Any, keepdim: bool, *rest: Any) -> Any:
    """The dims that go, and the size that stays."""
    return dim, without_dims(input.size, dim, keepdim)


def whole(input: Spec, *rest: Any) -> Any:
    """Every dim goes."""
    return tuple(range(input.ndim)), ()


def integers_to_int64(mode: Mode, input: Spec, *rest: Any) -> Any:
    """The type that is asked for, else int64 for integers and bool."""
    asked = rest[-1]
    result = asked or (dt.int64 if input.dtype.kind in "biu" else input.dtype)
    return result, result


def keep_type(mode: Mode, input: Spec, *rest: Any) -> Any:
    return input.dtype, input.dtype


def spread(g: Any, call: Any) -> Any:
    """A gradient or a result of the reduction, in the size of its input."""
    if hasattr(call, "dim"):
        g = restore_dims(g, call.dim, call.input.size, call.keepdim)
    return g.expand(call.input.size)


def accumulation(name: str, step: Any, node: str, grad: Callable[..., Any], *,
                 dtype: Callable[..., Any] = integers_to_int64, samples: Any = None,
                 clean: Callable[..., Any] = clean_dims, out_type: str = "asked",
                 all_samples: Any = None, **more: Any) -> tuple[Op, Op]:  # fmt: skip
    """The row along dims and the row over everything, for sums and the like."""
    along = reduction(
        f"{name}(input, dim=None, keepdim=False, *, dtype=None)",
        clean=clean,
        out_type=out_type,
        shape=reduced,
        dtype=dtype,
        node=f"{node}Backward1",
        numpy=lambda x, dim, keepdim, dtype: step(as_type(x, dtype), dim, keepdim),
        grad=dict(input=grad),
        samples=samples or reductions(),
        **more,
    )
    everything = reduction(
        f"{name}_all(input, *, dtype=None)",
        public="",
        out_type=out_type,
        shape=whole,
        dtype=dtype,
        node=f"{node}Backward0",
        numpy=lambda x, dtype: step(as_type(x, dtype), None, False),
        grad=dict(input=grad),
        samples=all_samples or over_all(),
        **more,
    )
    return along, everything


sum_, sum_all = accumulation(
    "sum",
    lambda x, dim, keepdim: np.add.reduce(x, dim, keepdims=keepdim),
    "Sum",
    lambda g, call: spread(g, call),
    reduce="sum",
)


def without_nan(input: Spec, dim: Any, keepdim: Any, dtype: Any) -> tuple[Any, ...]:
    cleaned = clean_dims(input, dim, keepdim, dtype)
    refuse_complex(input, "nansum on CPU does not support complex inputs")
    return cleaned


def nansum_numpy(x: Any, dim: Any, keepdim: Any, dtype: Any) -> Any:
    x = as_type(x, dtype)
    x = np.where(np.isnan(x), x.dtype.type(0), x) if x.dtype.kind in "fc" else x
    return np.add.reduce(x, dim, keepdims=keepdim)


nansum = reduction(
    "nansum(input, dim=None, keepdim=False, *, dtype=None)",
    clean=without_nan,
    out_type="asked",
    shape=reduced,
    dtype=integers_to_int64,
    reduce="sum",
    prepare=lambda k, x: k.where(k.isnan(x), 0, x) if x.dtype.kind == "f" else x,
    numpy=nansum_numpy,
    grad=dict(input=lambda g, input, call: spread(g, call).masked_fill(input.isnan(), 0)),
    samples=reductions(),
)


def mean_type(mode: Mode, input: Spec, *rest: Any) -> Any:
    """A float: the input's own, or the one that is asked for."""
    asked = rest[-1]
    result = asked or input.dtype
    if result.kind not in "fc":
        what, given = ("Optional dtype", asked) if asked else ("Input dtype", input.dtype)
        raise RuntimeError(f"mean(): could not infer output dtype. {what} must be either a "
                           f"floating point or complex dtype. Got: {given.legacy}")  # fmt: skip
    return result, result


def count_of(call: Any) -> int:
    """How many elements go into one result."""
    n = 1
    for d, size in enumerate(call.input.size):
        n *= size if not hasattr(call, "dim") or d in call.dim else 1
    return n


def mean_numpy(x: Any, dim: Any, keepdim: Any) -> Any:
    total = np.add.reduce(x, dim, keepdims=keepdim)
    return total / x.dtype.type(x.size / total.size if total.size else 1)


def mean_arguments(input: Spec, dim: Any, keepdim: Any, dtype: Any) -> tuple[Any, ...]:
    mean_type(START, input, dtype)  # the type is the first complaint
    return clean_dims(input, dim, keepdim, dtype)


mean, mean_all = accumulation(
    "mean",
    mean_numpy,
    "Mean",
    lambda g, call: spread(g, call) / max(count_of(call), 1),
    dtype=mean_type,
    out_type="promotes",
    clean=mean_arguments,
    reduce="sum",
    scalar=lambda k, total, count: total / count,
)


def prod_grad(g: Any, input: Any, call: Any) -> Any:
    """g times the product of the others."""
    n = call.input.ndim
    dims = call.dim if hasattr(call, "dim") else tuple(range(n))
    if not n:
        return spread(g, call)
    if not call.input.numel:
        return spread(g, call) * input
    order = (*[d for d in range(n) if d not in dims], *dims)
    size = tuple(call.input.size[d] for d in order)
    x = input if input.dtype is g.dtype else input.to(g.dtype)
    others = product_of_others(x.permute(order).reshape((*size[: n - len(dims)], -1)))
    back = tuple(order.index(d) for d in range(n))
    return spread(g, call) * others.reshape(size).permute(back)


prod, prod_all = accumulation(
    "prod",
    lambda x, dim, keepdim: np.multiply.reduce(x, dim, keepdims=keepdim),
    "Prod",
    prod_grad,
    reduce="prod",
    samples=reductions(several=False),
)


# ------------------------------------------------------------------ extremes


def refuse_empty(name: str, input: Spec, dim: Ints) -> None:
    """There is no largest of nothing."""
    for d in dim:
        if input.size[d] == 0:
            raise IndexError(f"{name}(): Expected reduction dim {d} to have non-zero size.")


def evenly(g: Any, input: Any, out: Any, call: Any) -> Any:
    """All that are equal to the extreme share its gradient."""
    winners = input == spread(out, call)
    if hasattr(call, "dim"):
        count = winners.sum(call.dim, keepdim=True)
        g = restore_dims(g, call.dim, call.input.size, call.keepdim)
    else:
        count = winners.sum()
    return winners * (g / count)


def extreme(name: str, step: Any) -> tuple[Op, Op]:
    """amax along dims, and max over everything."""

    def clean(input: Spec, dim: Any, keepdim: Any) -> tuple[Any, ...]:
        cleaned = clean_dims(input, dim, keepdim)
        refuse_complex(input, lacks(f"{name}_values_cpu"), NotImplementedError)
        if input.numel == 0:
            refuse_all_of_nothing(f"a{name}", input, cleaned[1], dim)
        return cleaned

    def clean_all(input: Spec) -> tuple[Any, ...]:
        if input.numel == 0:
            nothing_to_choose(name)
        refuse_complex(input, lacks(f"{name}_all"), NotImplementedError)
        return (input,)

    along = reduction(
        f"a{name}(input, dim=(), keepdim=False)",
        clean=clean,
        shape=reduced,
        dtype=keep_type,
        numpy=lambda x, dim, keepdim: step(x, dim, keepdims=keepdim),
        reduce=name,
        grad=dict(input=evenly),
        samples=reductions(empty=False),
    )
    everything = reduction(
        f"{name}_all(input)",
        public="",
        out_type="promotes",
        node=f"{name.capitalize()}Backward1",
        clean=clean_all,
        shape=whole,
        dtype=keep_type,
        numpy=lambda x: step(x, None),
        reduce=name,
        grad=dict(input=evenly),
        samples=over_all(empty=False),
    )
    return along, everything


def refuse_all_of_nothing(name: str, input: Spec, dims: Ints, given: Any) -> None:
    if given is None or given == ():
        nothing_to_choose(name)
    refuse_empty(name, input, dims)


def nothing_to_choose(name: str) -> None:
    raise RuntimeError(f"{name}(): Expected reduction dim to be specified for input.numel() == 0. "
                       "Specify the reduction dim with the 'dim' argument.")  # fmt: skip


amax, max_all = extreme("max", np.maximum.reduce)
amin, min_all = extreme("min", np.minimum.reduce)


def place(name: str, step: Any) -> Op:
    """argmax and argmin: the first index of the extreme; of NaN where there is one."""

    def clean(input: Spec, dim: Any, keepdim: Any) -> tuple[Any, ...]:
        if isinstance(dim, (tuple, list)):
            raise TypeError(f"{name}(): argument 'dim' (position 2) must be int, not tuple")
        if input.dtype is dt.bool_:
            raise RuntimeError(f"{name}(): does not support bool input")
        refuse_complex(input, f"{name}: does not support complex input")
        dims = many_dims(None if dim is None else one_dim(dim, input.ndim), input.ndim)
        if input.numel == 0 and dim is None:
            raise IndexError(f"{name}(): Expected reduction dim to be specified for input.numel() "
                             f"== 0."
                             " Specify the reduction dim with the 'dim' argument.")  # fmt: skip
        refuse_empty(name, input, dims)
        return input, dims, bool(keepdim)

    def numpy(x: Any, dims: Ints, keepdim: bool) -> Any:
        if len(dims) == 1:
            return step(x, dims[0], keepdims=keepdim)
        index = step(x)
        return np.full((1,) * x.ndim, index) if keepdim else index

    return reduction(
        f"{name}(input, dim=None, keepdim=False)",
        clean=clean,
        shape=reduced,
        dtype=lambda mode, input, dim, keepdim: (input.dtype, dt.int64),
        numpy=numpy,
        reduce=name,
        samples=reductions(empty=False),
    )


argmax = place("argmax", np.argmax)
argmin = place("argmin", np.argmin)


def chosen(g: Any, index: Any, call: Any) -> Any:
    """The gradient of the values, where they were taken from."""
    if not call.input.size:
        return g[0]
    values = restore_dims(g[0], (call.dim,), call.input.size, call.keepdim)
    index = restore_dims(index, (call.dim,), call.input.size, call.keepdim)
    return g[0].new_zeros(call.input.size).scatter(call.dim, index, values)


def best_along(name: str) -> Op:
    """max and min along one dim: the values, and where they were."""

    def clean(input: Spec, dim: Any, keepdim: Any) -> tuple[Any, ...]:
        dim = one_dim(dim, input.ndim)
        refuse_complex(input, f"{name}: does not support complex input")
        if input.size:
            refuse_empty(name, input, (dim,))
        return input, dim, bool(keepdim)

    def shape(mode: Mode, input: Spec, dim: int, keepdim: bool) -> Any:
        size = without_dims(input.size, (dim,), keepdim) if input.size else ()
        return (size, input.dtype), (size, dt.int64)

    def expand(input: Any, dim: int, keepdim: bool) -> Any:
        comparable = input.to(dt.uint8) if input.dtype is dt.bool_ else input
        index = getattr(comparable, f"arg{name}")(dim, keepdim=keepdim)
        return getattr(input, f"a{name}")((dim,), keepdim=keepdim), index

    return composite(
        f"{name}_dim(input, dim, keepdim=False)",
        public="",
        node=f"{name.capitalize()}Backward0",
        clean=clean,
        shape=shape,
        expand=expand,
        grad=dict(input=lambda g, out1, call: chosen(g, out1, call)),
        samples=reductions(empty=False, several=False),
    )


max_dim = best_along("max")
min_dim = best_along("min")


# ------------------------------------------------------------------ truth


def truth_type(mode: Mode, input: Spec, *rest: Any) -> Any:
    """bool, but uint8 stays uint8."""
    return dt.bool_, dt.uint8 if input.dtype is dt.uint8 else dt.bool_


def truth(name: str, step: Any) -> Op:
    return reduction(
        f"{name}(input, dim=None, keepdim=False)",
        out_type="boolean",
        clean=clean_dims,
        shape=reduced,
        dtype=truth_type,
        numpy=lambda x, dim, keepdim: step(x != 0, dim, keepdims=keepdim),
        reduce=name,
        samples=reductions(),
    )


any_ = truth("any", np.logical_or.reduce)
all_ = truth("all", np.logical_and.reduce)
