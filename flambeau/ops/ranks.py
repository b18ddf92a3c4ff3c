"""Rows that pick by rank or count: median, mode; and the bits of all elements together."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.layout import Ints, Spec
from flambeau.ops.declare import structured
from flambeau.ops.reduce import clean_dims, refuse_empty
from flambeau.ops.rules import lacks, one_dim, refuse_complex, without_dims
from flambeau.ops.samples import no_samples
from flambeau.ops.sort import kth_back
from flambeau.trace.modes import Mode

LOWEST = np.iinfo(np.int64).min  # the median of no integers


def refuse_kind(kernel: str, input: Spec, kinds: str) -> None:
    if input.dtype.kind in kinds:
        raise NotImplementedError(lacks(kernel).format(input.dtype.legacy))


def middle(order: Any, missing: Any, pass_nan: bool) -> Any:
    """Along the last dim: the place of the lower middle in sorted order, where NaN is last.

    missing: how many NaN there are. Unless these are passed over, the first of them is it.
    """
    n = order.shape[-1]
    if pass_nan:
        rank = (np.where(missing == n, n, n - missing) - 1) // 2
    else:
        rank = np.where(missing > 0, n - missing, (n - 1) // 2)
    return np.take_along_axis(order, rank[..., None], -1)[..., 0]


def middle_along(x: Any, pass_nan: bool) -> tuple[Any, Any]:
    """The median along the last dim, and where it is."""
    order = np.argsort(x, -1, kind="stable")
    at = middle(order, np.isnan(x).sum(-1) if x.dtype.kind == "f" else
                np.zeros(x.shape[:-1], np.int64), pass_nan)  # fmt: skip
    return np.take_along_axis(x, at[..., None], -1)[..., 0], at


def median_rows(name: str, pass_nan: bool) -> None:
    """Over everything, and along a dim with the places."""

    def clean_all(input: Spec) -> tuple[Any, ...]:
        refuse_kind("median_cpu", input, "bc")
        return (input,)

    def all_numpy(x: Any) -> Any:
        if not x.size:
            return x.dtype.type(np.nan) if x.dtype.kind == "f" else np.int64(LOWEST)
        return middle_along(x.reshape(-1), pass_nan)[0]

    structured(
        f"{name}_all(input)",
        public="",
        node=f"{name.capitalize()}Backward0",
        clean=clean_all,
        shape=lambda mode, input: (((), input.dtype),),
        numpy=all_numpy,
        grad=dict(input=alike),
        samples=no_samples,
    )

    def clean(input: Spec, dim: Any, keepdim: Any) -> tuple[Any, ...]:
        dim = one_dim(dim, input.ndim)
        if input.size:
            refuse_empty(name, input, (dim,))
        refuse_kind("median_out", input, "bc")
        return input, dim, bool(keepdim)

    structured(
        f"{name}_dim(input, dim, keepdim=False)",
        public="",
        node=f"{name.capitalize()}Backward1",
        clean=clean,
        shape=picked_shape,
        numpy=lambda x, dim, keepdim: picked(
            lambda rows: middle_along(rows, pass_nan), x, dim, keepdim
        ),
        grad=dict(input=kth_back),
        samples=no_samples,
    )


def alike(g: Any, input: Any, out: Any, call: Any) -> Any:
    """All that are equal to the median share its gradient; NaN is equal to NaN."""
    same = (input == out).logical_or(input.isnan().logical_and(out.isnan()))
    return same * (g / same.sum())


def picked_shape(mode: Mode, input: Spec, dim: int, keepdim: bool) -> Any:
    size = without_dims(input.size, (dim,), keepdim) if input.size else ()
    return (size, input.dtype), (size, dt.int64)


def picked(pick: Any, x: Any, dim: int, keepdim: bool) -> tuple[Any, Any]:
    """Values and places that `pick` finds along the last dim, for any dim."""
    if not x.ndim:
        return x, np.zeros((), np.int64)
    values, at = pick(np.moveaxis(x, dim, -1))
    if keepdim:
        return np.expand_dims(values, dim), np.expand_dims(at, dim)
    return values, at


median_rows("median", False)
median_rows("nanmedian", True)


# ------------------------------------------------------------------ the most frequent


def most_frequent(x: Any) -> tuple[Any, Any]:
    """Along the last dim: of equally frequent ones the smallest, at its last place."""
    order = np.argsort(x, -1, kind="stable")
    values = np.take_along_axis(x, order, -1)
    n = x.shape[-1]
    new = np.ones(x.shape, bool)
    new[..., 1:] = values[..., 1:] != values[..., :-1]
    starts = np.maximum.accumulate(np.where(new, np.arange(n), 0), -1)  # of each run of equals
    best = np.argmax(np.arange(n) - starts, -1)[..., None]
    return (np.take_along_axis(values, best, -1)[..., 0],
            np.take_along_axis(order, best, -1)[..., 0])  # fmt: skip


def clean_mode(input: Spec, dim: Any, keepdim: Any) -> tuple[Any, ...]:
    dim = one_dim(dim, input.ndim)
    if input.size:
        refuse_empty("mode", input, (dim,))
    refuse_complex(input, lacks("mode_cpu"), NotImplementedError)
    return input, dim, bool(keepdim)


mode_row = structured(
    "_mode(input, dim, keepdim)",
    public="",
    node="ModeBackward0",
    clean=clean_mode,
    shape=picked_shape,
    numpy=lambda x, dim, keepdim: picked(most_frequent, x, dim, keepdim),
    grad=dict(input=kth_back),
    samples=no_samples,
)


# ------------------------------------------------------------------ hash_tensor


def clean_hash(input: Spec, dim: Any, keepdim: Any, mode: Any) -> tuple[Any, ...]:
    cleaned = clean_dims(input, dim, keepdim)
    if input.numel == 0:
        if dim is None or dim == ():
            raise RuntimeError("hash_tensor: Expected reduction dim to be specified for "
                               "input.numel() == 0. Specify the reduction dim with the 'dim' "
                               "argument.")  # fmt: skip
        refuse_empty("hash_tensor", input, cleaned[1])
    if mode != 0:
        raise RuntimeError(f"Unknown hash_tensor mode: {mode}")
    refuse_kind("xor_sum_cpu", input, "c")
    return (*cleaned, mode)


def hash_numpy(x: Any, dim: Ints, keepdim: bool, mode: int) -> Any:
    """The bits of all elements as 64-bit numbers, those set an odd number of times."""
    wide: Any = x.astype(np.float64 if x.dtype.kind == "f" else np.int64)
    xor: Any = np.bitwise_xor
    return xor.reduce(wide.view(np.uint64), dim, keepdims=keepdim)


hash_tensor = structured(
    "hash_tensor(input, dim=(), keepdim=False, *, mode=0)",
    clean=clean_hash,
    shape=lambda mode, input, dim, keepdim, kind: (
        (without_dims(input.size, dim, keepdim), dt.uint64),
    ),
    numpy=hash_numpy,
    samples=no_samples,
)
