"""Rows that put elements in order or look for them: sort, topk, isin, one_hot."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.layout import Spec
from flambeau.ir.op import Bound
from flambeau.ops.declare import structured
from flambeau.ops.rules import lacks, one_dim, refuse_complex, without_dims
from flambeau.ops.samples import no_samples
from flambeau.trace.modes import Mode


def in_order(x: Any, dim: int, descending: bool) -> Any:
    """The indices that sort; equal elements keep their order, NaN counts as the largest."""
    if not descending:
        return np.argsort(x, dim, kind="stable")
    last = x.shape[dim] - 1
    return last - np.flip(np.argsort(np.flip(x, dim), dim, kind="stable"), dim)


def sort_numpy(input: Any, dim: int, descending: bool) -> Any:
    if not input.ndim:
        return input, np.zeros((), np.int64)
    order = in_order(input, dim, descending)
    return np.take_along_axis(input, order, dim), order


def places_back(g: Any, out1: Any, call: Any) -> Any:
    """Each gradient goes where its element came from."""
    return g[0].new_zeros(call.input.size).scatter_add(call.dim, out1, g[0])


def clean_sort(input: Any, dim: Any, descending: Any) -> Any:
    refuse_complex(input, " Sort does not support complex dtypes on CPU")
    return input, one_dim(dim, input.ndim), bool(descending)


def sort_shape(mode: Mode, input: Spec, *rest: Any) -> Any:
    from flambeau.ir.layout import result_strides

    stride = result_strides(input.size, [input.stride])
    return ((input.size, input.dtype, stride), (input.size, dt.int64, stride))


sort = structured(
    "_sort(input, dim, descending)",
    public="",
    node="SortBackward0",
    clean=clean_sort,
    shape=sort_shape,
    numpy=sort_numpy,
    grad=dict(input=places_back),
    samples=no_samples,
)


def clean_topk(input: Any, k: Any, dim: Any, largest: Any, sorted: Any) -> Any:
    dim = one_dim(dim, input.ndim)
    if not 0 <= k <= (input.size[dim] if input.ndim else 1):
        raise RuntimeError("selected index k out of range")
    refuse_complex(input, " topk does not support complex dtypes on CPU")
    if input.dtype.kind == "b":
        raise RuntimeError("topk does not support bool dtypes on CPU")
    return input, int(k), dim, bool(largest), bool(sorted)


def topk_shape(mode: Mode, input: Spec, k: int, dim: int, *rest: Any) -> Any:
    size = (*input.size[:dim], k, *input.size[dim + 1 :]) if input.ndim else ()
    return ((size, input.dtype), (size, dt.int64))


def topk_numpy(input: Any, k: int, dim: int, largest: bool, sorted: bool) -> Any:
    if not input.ndim:
        return input, np.zeros((), np.int64)
    order = np.take(in_order(input, dim, largest), np.arange(k), dim)
    return np.take_along_axis(input, order, dim), order


topk = structured(
    "_topk(input, k, dim, largest, sorted)",
    public="",
    node="TopkBackward0",
    clean=clean_topk,
    shape=topk_shape,
    numpy=topk_numpy,
    grad=dict(input=places_back),
    samples=no_samples,
)


def clean_kth(input: Any, k: Any, dim: Any, keepdim: Any) -> Any:
    dim = one_dim(dim, input.ndim)
    if not 1 <= k <= (input.size[dim] if input.ndim else 1):
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {dim}")
    if input.dtype.kind in "bc":
        raise NotImplementedError(lacks("kthvalue_cpu").format(input.dtype.legacy))
    return input, int(k), dim, bool(keepdim)


def kth_shape(mode: Mode, input: Spec, k: int, dim: int, keepdim: bool) -> Any:
    size = without_dims(input.size, (dim,), keepdim)
    return ((size, input.dtype), (size, dt.int64))


def kth_numpy(input: Any, k: int, dim: int, keepdim: bool) -> Any:
    if not input.ndim:
        return input, np.zeros((), np.int64)
    order = np.take(in_order(input, dim, False), [k - 1], dim)
    values = np.take_along_axis(input, order, dim)
    return (values, order) if keepdim else (values.squeeze(dim), order.squeeze(dim))


def kth_back(g: Any, out1: Any, call: Any) -> Any:
    """The gradient goes to the element that was picked."""
    g, at = g[0], out1
    if not call.keepdim and call.input.ndim:
        g, at = g.unsqueeze(call.dim), at.unsqueeze(call.dim)
    return g.new_zeros(call.input.size).scatter_add(call.dim, at, g)


kthvalue = structured(
    "_kthvalue(input, k, dim, keepdim)",
    public="",
    node="KthvalueBackward0",
    clean=clean_kth,
    shape=kth_shape,
    numpy=kth_numpy,
    grad=dict(input=kth_back),
    samples=no_samples,
)


isin = structured(
    "_isin(input, other, invert)",
    public="",
    shape=lambda mode, input, other, invert: ((input.size, dt.bool_),),
    numpy=lambda x, tests, invert: np.isin(x, tests, invert=bool(invert)),
    samples=no_samples,
)


def check_classes(index: Any, classes: int) -> None:
    if index.size and index.min() < 0:
        raise RuntimeError("Class values must be non-negative.")
    if index.size and index.max() >= classes:
        raise RuntimeError("Class values must be smaller than num_classes.")


def one_hot_numpy(index: Any, classes: int) -> Any:
    check_classes(index, classes)
    return index[..., None] == np.arange(classes)


one_hot = structured(
    "_one_hot(input, classes)",
    public="",
    shape=lambda mode, input, classes: (((*input.size, classes), dt.int64),),
    numpy=one_hot_numpy,
    bounds=lambda input, classes: [
        Bound("input", 0, classes, partial(check_classes, classes=classes))
    ],
    samples=no_samples,
    may_fail=True,
)
