"""Rows that count elements by bins."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.ir.layout import Ints, Spec
from flambeau.ops.declare import structured
from flambeau.ops.rules import lacks
from flambeau.ops.samples import Sample, no_samples
from flambeau.trace.modes import Mode

Range = tuple[float, float]


def bounds(x: Any, says: str) -> Range:
    """From the smallest to the largest; a half to either side of a single value."""
    low, high = (float(x.min()), float(x.max())) if x.size else (0.0, 0.0)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise RuntimeError(f"{says} [{low:g}, {high:g}] is not finite")
    return low, high


def evenly_spaced(low: float, high: float, bins: int, dtype: Any) -> Any:
    """The edges of equal bins, from either end to the middle, as torch.linspace has them."""
    low, high = dtype.type(low), dtype.type(high)
    step = (high - low) / dtype.type(bins)
    numbers = np.arange(bins + 1, dtype=dtype)
    return np.where(numbers < (bins + 1) // 2, low + step * numbers,
                    high - step * (bins - numbers)).astype(dtype)  # fmt: skip


def even_bins(x: Any, low: float, high: float, bins: int) -> Any:
    """The number of each element's bin; -1 outside, and for NaN."""
    low, high = x.dtype.type(low), x.dtype.type(high)
    with np.errstate(all="ignore"):
        at = (x - low) / (high - low) * x.dtype.type(bins)
    inside = (x >= low) & (x <= high)
    return np.where(inside, np.minimum(np.where(inside, at, 0).astype(np.int64), bins - 1), -1)


def bins_between(x: Any, edges: Any) -> Any:
    """The same for any edges; the last bin holds its right edge too."""
    at = np.searchsorted(edges, x, "right") - 1
    at = np.where(x == edges[-1], len(edges) - 2, at)
    return np.where((x >= edges[0]) & (x <= edges[-1]), at, -1)


def counted(places: list[Any], sizes: Ints, weight: Any, dtype: Any) -> Any:
    """How many elements, or what weight, fall into each box of bins."""
    inside = np.logical_and.reduce([p >= 0 for p in places])
    flat = np.ravel_multi_index([p[inside] for p in places], sizes)
    boxes = int(np.prod(sizes))
    if weight is None:
        return np.bincount(flat, None, boxes).reshape(sizes).astype(dtype)
    total = np.zeros(boxes, dtype)
    np.add.at(total, flat, weight.reshape(-1)[inside])  # one by one in their own type, as PyTorch
    return total.reshape(sizes)


# ------------------------------------------------------------------ histc


def clean_histc(input: Spec, bins: Any, low: Any, high: Any) -> tuple[Any, ...]:
    if input.dtype.kind == "c":
        raise NotImplementedError(lacks("aminmax_cpu").format(input.dtype.legacy))
    if input.dtype.kind != "f":
        raise NotImplementedError(lacks("histogram_cpu").format(input.dtype.legacy))
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")
    low, high = float(low), float(high)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise RuntimeError(f"torch.histc: range of [{low:g}, {high:g}] is not finite")
    if low > high:
        raise RuntimeError("torch.histc: max must be larger than min")
    return input, int(bins), low, high


def histc_numpy(x: Any, bins: int, low: float, high: float) -> Any:
    x = x.reshape(-1)
    if low == high:
        low, high = bounds(x, "torch.histc: range of") if x.size else (low, high)
    if low == high:
        low, high = low - 1, high + 1
    return counted([even_bins(x, low, high, bins)], (bins,), None, x.dtype)


histc = structured(
    "histc(input, bins=100, min=0, max=0)",
    statics=("min", "max"),
    clean=clean_histc,
    shape=lambda mode, input, bins, low, high: (((bins,), input.dtype),),
    numpy=histc_numpy,
    may_fail=True,
    samples=lambda new: (
        Sample(new(50), 7), Sample(new(4, 5), bins=3, min=-1, max=2), Sample(new(0), 4),
    ),
)  # fmt: skip


# ------------------------------------------------------------------ in several dims


def by_number_shape(mode: Mode, input: Spec, bins: Ints, *rest: Any) -> Any:
    return (bins, input.dtype), *(((n + 1,), input.dtype) for n in bins)


def by_number(x: Any, bins: Ints, ranges: Any, density: bool, weight: Any) -> Any:
    """Equal bins along each column, between given ends or the column's extremes."""
    x = x.reshape(-1, x.shape[-1])
    edges, places = [], []
    for d, n in enumerate(bins):
        says = f"torch.histogramdd: dimension {d}'s range"
        low, high = ranges[2 * d : 2 * d + 2] if ranges else bounds(x[:, d], says)
        if not ranges and not x.size:
            low, high = 0.0, 1.0
        elif low == high:
            low, high = low - 0.5, high + 0.5
        edges.append(evenly_spaced(low, high, n, x.dtype))
        places.append(even_bins(x[:, d], low, high, n))
    total = counted(places, bins, weight, x.dtype)
    return dense(total, edges) if density else total, *edges


def by_edges(x: Any, edges: Any, density: bool, weight: Any) -> Any:
    x = x.reshape(-1, x.shape[-1])
    places = [bins_between(x[:, d], e) for d, e in enumerate(edges)]
    total = counted(places, tuple(len(e) - 1 for e in edges), weight, x.dtype)
    return dense(total, edges) if density else total


def dense(total: Any, edges: Any) -> Any:
    """Shares of the whole, by the sizes of the boxes."""
    with np.errstate(all="ignore"):
        total = total / total.sum()
        for d, e in enumerate(edges):
            total = total / np.diff(e).reshape((-1,) + (1,) * (total.ndim - d - 1))
    return total


histogram_by_number = structured(
    "_histogram_by_number(input, bins, range, density, weight=None)",
    public="",
    shape=by_number_shape,
    numpy=by_number,
    may_fail=True,
    samples=no_samples,
)
histogram_by_edges = structured(
    "_histogram_by_edges(input, tensors, density, weight=None)",
    public="",
    shape=lambda mode, input, tensors, density, weight: (
        (tuple(e.numel - 1 for e in tensors), input.dtype),
    ),
    numpy=by_edges,
    samples=no_samples,
)
