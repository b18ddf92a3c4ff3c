"""Rows that run along a dim: running sums and products."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.dtype import DType
from flambeau.ir.layout import Spec
from flambeau.ops.declare import structured
from flambeau.ops.functions import function_of
from flambeau.ops.rules import as_type, one_dim
from flambeau.ops.samples import Refused, Sample, no_samples
from flambeau.trace.modes import Mode

SHAPES = (((5,), 0), ((2, 3), 0), ((2, 3), -1), ((2, 3, 4), 1), ((), 0), ((3, 0), 1), ((7, 40), 1),
          ((70, 9), 0))  # fmt: skip


def along_one_dim(**kwargs: Any) -> Any:
    """One dim of tensors of all ranks."""

    def make(new: Any) -> Any:
        for size, dim in SHAPES:
            yield Sample(new(*size), dim, **kwargs)
        yield Sample(new(4, 3).t(), 0, **kwargs)
        yield Refused(new(2, 3), 2, error=IndexError, says="Dimension out of range")

    return make


def clean_dim(input: Spec, dim: Any, *rest: Any) -> tuple[Any, ...]:
    return (input, one_dim(dim, input.ndim), *rest)


def scan_shape(mode: Mode, input: Spec, *rest: Any) -> Any:
    """The size stays; integers become int64 where nothing else is asked for."""
    asked = rest[-1]
    dtype = asked or (dt.int64 if input.dtype.kind in "biu" else input.dtype)
    return ((input.size, dtype),)


def running(step: Any) -> Any:
    """A ufunc's accumulate; a 0-dim tensor is its own running sum."""

    def numpy(x: Any, dim: int, dtype: DType | None) -> Any:
        x = as_type(x, dtype)
        wide = np.float64 if x.dtype == np.float32 else None  # as PyTorch accumulates
        if not x.ndim:
            return x
        return step(step.identity, step.accumulate(x, dim, wide))  # sums begin with 0, not -0.0

    return numpy


def backwards(x: Any, dim: int) -> Any:
    """Each element and all behind it, added up."""
    wide = np.float64 if x.dtype == np.float32 else None
    return np.flip(np.add.accumulate(np.flip(x, dim), dim, wide), dim) if x.ndim else x


cumsum = structured(
    "cumsum(input, dim, *, dtype=None)",
    out_type="asked",
    clean=clean_dim,
    shape=scan_shape,
    inplace=True,
    numpy=running(np.add),
    grad=dict(input=lambda g, call: REVERSED(g, call.dim)),
    samples=along_one_dim(),
)

reverse_cumsum = structured(
    "reverse_cumsum(input, dim)",
    public="",
    shape=lambda mode, input, dim: ((input.size, input.dtype),),
    numpy=backwards,
    grad=dict(input=lambda g, call: g.cumsum(call.dim)),
    samples=no_samples,
)

cumprod = structured(
    "cumprod(input, dim, *, dtype=None)",
    out_type="asked",
    clean=clean_dim,
    shape=scan_shape,
    inplace=True,
    numpy=running(np.multiply),
    grad=dict(input=lambda g, input, call: cumprod_grad(g, input, call.dim)),
    samples=along_one_dim(),
)


def cumprod_grad(g: Any, input: Any, dim: int) -> Any:
    """(product of those before) · (g here + next · (g there + …)): no division, so zeros may be."""
    if input._spec.numel <= 1:
        return g
    x, g = input.transpose(dim, -1), g.transpose(dim, -1)
    x = x if x.dtype is g.dtype else x.to(g.dtype)
    return (EXCLUSIVE(x) * BACK(x, g)).transpose(dim, -1)


# ------------------------------------------------------------------ along the last dim
#
# What derivatives of products need, closed under differentiation: with x(-1) standing for nothing,
#   product before  p(k) = x(0) · … · x(k - 1)
#   forth           h(k) = other(k) + x(k) · h(k - 1)
#   back            h(k) = other(k) + x(k + 1) · h(k + 1)
#   moved           h(k) = x(k - by), and 0 from outside


def like_first(mode: Mode, input: Spec, *rest: Any) -> Any:
    return ((input.size, input.dtype),)


def moved_numpy(x: Any, by: int) -> Any:
    out = np.zeros_like(x)
    if by > 0:
        out[..., by:] = x[..., :-by]
    else:
        out[..., :by] = x[..., -by:]
    return out


moved = structured(
    "moved(input, by)",
    public="",
    shape=like_first,
    numpy=moved_numpy,
    grad=dict(input=lambda g, call: MOVED(g, -call.by)),
    samples=no_samples,
)


def before_numpy(x: Any) -> Any:
    out = np.ones_like(x)
    np.multiply.accumulate(x[..., :-1], -1, out=out[..., 1:])
    return out


product_before = structured(
    "product_before(input)",
    public="",
    shape=like_first,
    numpy=before_numpy,
    grad=dict(input=lambda g, input, out: out * BACK(input, MOVED(g, -1))),
    samples=no_samples,
)


def forth_numpy(x: Any, other: Any) -> Any:
    h = other.copy()
    for k in range(1, h.shape[-1]):
        h[..., k] += x[..., k] * h[..., k - 1]
    return h


def back_numpy(x: Any, other: Any) -> Any:
    h = other.copy()
    for k in range(h.shape[-1] - 2, -1, -1):
        h[..., k] += x[..., k + 1] * h[..., k + 1]
    return h


forth = structured(
    "recurrence_forth(input, other)",
    public="",
    shape=like_first,
    numpy=forth_numpy,
    grad=dict(
        input=lambda g, input, out: BACK(input, g) * MOVED(out, 1),
        other=lambda g, input: BACK(input, g),
    ),
    samples=no_samples,
)

back = structured(
    "recurrence_back(input, other)",
    public="",
    shape=like_first,
    numpy=back_numpy,
    grad=dict(
        input=lambda g, input, out: MOVED(FORTH(input, g), 1) * out,
        other=lambda g, input: FORTH(input, g),
    ),
    samples=no_samples,
)

# The functions of these rows, for the derivatives above.
REVERSED: Any = function_of(reverse_cumsum)
EXCLUSIVE: Any = function_of(product_before)
MOVED: Any = function_of(moved)
FORTH: Any = function_of(forth)
BACK: Any = function_of(back)


def product_of_others(x: Any) -> Any:
    """For each element of the last dim the product of all others, exact where there are zeros."""
    return EXCLUSIVE(x) * EXCLUSIVE(x.flip((-1,))).flip((-1,))
