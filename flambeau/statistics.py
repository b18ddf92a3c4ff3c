"""Ranks, counts and averages: median, mode, quantiles, histograms, covariance."""

from __future__ import annotations

import math
import warnings
from typing import Any

from flambeau.filling import fill, named, results
from flambeau.ir import dtype as dt
from flambeau.ops.rules import one_dim
from flambeau.tensor import FUNCTIONS as row
from flambeau.tensor import Tensor

results("histogram", "hist", "bin_edges")
results("histogramdd", "hist", "bin_edges")

# ------------------------------------------------------------------ by rank


def _median(name: str) -> Any:
    """Of everything, or along a dim with its places."""
    everything, along = row[f"{name}_all"], row[f"{name}_dim"]

    def function(input, dim=None, keepdim=False, *, out=None):
        if dim is None:
            return fill(name, everything(input), out)
        return named(name, along(input, dim, keepdim), out)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = "The lower of the middle elements" + (
        "; NaN is passed over." if name == "nanmedian" else "; NaN where there is one."
    )
    return function


median, nanmedian = _median("median"), _median("nanmedian")


def mode(input: Any, dim: int = -1, keepdim: bool = False, *, out: Any = None) -> Any:
    """The most frequent element along dim, and where it is."""
    return named("mode", row["_mode"](input, dim, keepdim), out)


def cummax(input: Any, dim: int, *, out: Any = None) -> Any:
    """The largest element so far along dim, and where it was."""
    return named("cummax", row["_cummax"](input, dim), out)


def cummin(input: Any, dim: int, *, out: Any = None) -> Any:
    """The smallest element so far along dim, and where it was."""
    return named("cummin", row["_cummin"](input, dim), out)


# ------------------------------------------------------------------ quantiles

INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def quantile(input: Any, q: Any, dim: int | None = None, keepdim: bool = False, *,
             interpolation: str = "linear", out: Any = None) -> Any:  # fmt: skip
    """The elements below which a share q lies, along dim or of everything: (*q.shape, *rest)."""
    return ranked("quantile", input, q, dim, keepdim, interpolation, out, False)


def nanquantile(input: Any, q: Any, dim: int | None = None, keepdim: bool = False, *,
                interpolation: str = "linear", out: Any = None) -> Any:  # fmt: skip
    """quantile that passes over NaN."""
    return ranked("nanquantile", input, q, dim, keepdim, interpolation, out, True)


def shares(input: Any, q: Any) -> Any:
    """q as a tensor; PyTorch's refusals."""
    if input.dtype not in (dt.float32, dt.float64):
        raise RuntimeError("quantile() input tensor must be either float or double dtype")
    if not isinstance(q, Tensor):
        if not 0 <= q <= 1:
            raise RuntimeError(f"quantile() q must be in the range [0, 1] but got {q:g}")
        return input.new_tensor(q)
    if q.ndim > 1:
        raise RuntimeError("quantile() q must be a scalar or 1D tensor")
    if q.dtype is not input.dtype:
        raise RuntimeError("quantile() q tensor must be same dtype as the input tensor")
    if not bool(q.ge(0).logical_and(q.le(1)).all()):
        raise RuntimeError("quantile() q values must be in the range [0, 1]")
    return q


def ranked(name: str, input: Any, q: Any, dim: int | None, keepdim: bool, interpolation: str,
           out: Any, pass_nan: bool) -> Any:  # fmt: skip
    """Sort, and take what lies at rank q (n - 1)."""
    if interpolation not in INTERPOLATIONS:
        raise RuntimeError("quantile() interpolation must be one of linear, lower, higher, "
                           f"midpoint or nearest, but got {interpolation}")  # fmt: skip
    q = shares(input, q)
    dim = None if dim is None else one_dim(dim, input.ndim)
    if out is not None and out.dtype is not input.dtype:
        raise RuntimeError("quantile() out tensor must be same dtype as the input tensor")
    if not input._spec.numel:
        raise RuntimeError("quantile() input tensor must be non-empty")
    flat = input.reshape(-1) if dim is None or not input.ndim else input.transpose(dim, -1)
    in_order = flat.sort(-1).values
    values = at_ranks(in_order, q.reshape(-1), interpolation, pass_nan)
    if dim is not None and input.ndim:
        values = values.transpose(dim, -1)  # the shares stand where the dim was
    lead = values.movedim(dim if dim is not None and input.ndim else 0, 0)
    if keepdim and dim is None:
        lead = values.reshape((*[1] * input.ndim, -1)).movedim(-1, 0)
    elif keepdim:
        rest = [1 if d == dim else n for d, n in enumerate(input._spec.size)]
        lead = lead.reshape((lead._spec.size[0], *rest))
    result = lead if q.ndim else lead.squeeze(0)
    return fill(name, result, out)


def at_ranks(x: Any, q: Any, interpolation: str, pass_nan: bool) -> Any:
    """From sorted elements along the last dim, those at the shares q; NaN are at the end."""
    missing = x.isnan()
    last = x._spec.size[-1] - 1
    if pass_nan:
        ranks = q * (missing.logical_not().sum(-1, keepdim=True) - 1).to(x.dtype)
        ranks = ranks.masked_fill(ranks < 0, 0)
    else:
        ranks = (q * last).expand((*x._spec.size[:-1], q._spec.size[0]))
        ranks = ranks.masked_fill(missing.any(-1, keepdim=True), last)
    if interpolation in ("lower", "higher", "nearest"):
        rounding = {"lower": "floor", "higher": "ceil", "nearest": "round"}[interpolation]
        ranks = getattr(ranks, rounding)()
    below = ranks.long()
    values = x.gather(-1, below)
    if interpolation not in ("linear", "midpoint"):
        return values
    weight = ranks.new_full(ranks._spec.size, 0.5) if interpolation == "midpoint" else ranks - below
    return values.lerp(x.gather(-1, ranks.ceil().long()), weight)


# ------------------------------------------------------------------ averages


def nanmean(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None,
            out: Any = None) -> Any:  # fmt: skip
    """The mean of what is not NaN."""
    if input.dtype.kind not in "fc":
        raise RuntimeError("nanmean(): expected input to have floating point or complex dtype but "
                           f"got {input.dtype.legacy}")  # fmt: skip
    dims = () if dim is None else dim
    count = input.isnan().logical_not().sum(dims, keepdim)
    return fill("nanmean", row["nansum"](input, dims, keepdim, dtype=dtype) / count, out, False)


def cov(input: Any, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Any:
    """The covariance of variables, one a row, from observations, one a column.

    fweights: how often each was observed; aweights: how much each counts.
    """
    if input.ndim > 2:
        raise RuntimeError("cov(): expected input to have two or fewer dimensions but got an input "
                           f"with {input.ndim} dimensions")  # fmt: skip
    if input.dtype is dt.bool_:
        raise RuntimeError("cov(): bool dtype is not supported for input")
    x = input.reshape((1, -1)) if input.ndim < 2 else input
    n = x._spec.size[1]
    check_weights("fweights", fweights, "iu", "integral", n)
    check_weights("aweights", aweights, "f", "floating point", n)
    weight = fweights if aweights is None else (
        aweights if fweights is None else fweights * aweights)  # fmt: skip
    total = n if weight is None else weight.sum()
    mean = x.sum(1) / n if weight is None else (x * weight).sum(1) / total
    if weight is None or not correction or aweights is None:
        left = total - correction
    else:
        left = total - correction * (weight * aweights / total).sum()
    if float(left.item() if isinstance(left, Tensor) else left) <= 0:
        warnings.warn("cov(): degrees of freedom is <= 0. Correction should be strictly less than "
                      "the number of observations.", UserWarning, stacklevel=2)  # fmt: skip
    left = left.clamp(min=0) if isinstance(left, Tensor) else max(left, 0)
    off = x - mean.unsqueeze(1)
    other = off if weight is None else off * weight
    return (off @ other.t().conj() / left).squeeze()


def check_weights(name: str, weights: Any, kinds: str, what: str, n: int) -> None:
    """One number that is not negative for each observation."""
    if weights is None:
        return
    if weights.ndim > 1:
        raise RuntimeError(f"cov(): expected {name} to have one or fewer dimensions but got {name} "
                           f"with {weights.ndim} dimensions")  # fmt: skip
    if weights.dtype.kind not in kinds:
        raise RuntimeError(f"cov(): expected {name} to have {what} dtype but got {name} with "
                           f"{weights.dtype.legacy} dtype")  # fmt: skip
    if weights.numel() != n:
        raise RuntimeError(f"cov(): expected {name} to have the same numel as there are "
                           f"observations in the input but got {weights.numel()} != {n}"
                           )  # fmt: skip
    if n and bool((weights < 0).any()):
        raise RuntimeError(f"cov(): {name} cannot be negative")


def corrcoef(input: Any) -> Any:
    """The correlation of variables, one a row: covariances over standard deviations."""
    if input.ndim > 2:
        raise RuntimeError("corrcoef(): expected input to have two or fewer dimensions but got an "
                           f"input with {input.ndim} dimensions")  # fmt: skip
    c = cov(input)
    if not c.ndim:
        return c / c
    spread = (c.diagonal().real if c.is_complex() else c.diagonal()).sqrt()
    c = c / spread.unsqueeze(1) / spread
    if not c.is_complex():
        return c.clamp(-1, 1)
    from flambeau.complexes import complex

    return complex(c.real.clamp(-1, 1), c.imag.clamp(-1, 1))


# ------------------------------------------------------------------ histograms


def histogram(input: Any, bins: Any, *, range: Any = None, weight: Any = None,
              density: bool = False, out: Any = None) -> Any:  # fmt: skip
    """How many elements fall into each bin, and the bins' edges, which may be given."""
    if isinstance(bins, Tensor) and range is not None:
        raise TypeError("histogram() received an invalid combination of arguments - got (Tensor, "
                        "Tensor, range=tuple)")  # fmt: skip
    if out is not None and out[0].dtype is not input.dtype:
        raise RuntimeError("torch.histogram: input tensor and hist tensor should have the same "
                           f"dtype, but got input {input.dtype.legacy.lower()} and hist "
                           f"{out[0].dtype.legacy.lower()}")  # fmt: skip
    flat = input.reshape((-1, 1))
    weight = None if weight is None else weighed(flat, weight, input)
    hist, edges = boxed(flat, [bins], range, weight, density)
    edge = edges[0].clone() if isinstance(bins, Tensor) else edges[0]
    return named("histogram", (hist, edge), out)


def weighed(flat: Any, weight: Any, input: Any) -> Any:
    if weight._spec.size != input._spec.size:
        raise RuntimeError("torch.histogramdd: if weight tensor is provided it should have the "
                           "same shape as the input tensor excluding its innermost dimension, but "
                           f"got input with shape {list(flat._spec.size)} and weight with shape "
                           f"{list(weight._spec.size)}")  # fmt: skip
    return weight.reshape(-1)


def histogramdd(input: Any, bins: Any, range: Any = None, weight: Any = None,
                density: bool = False) -> Any:  # fmt: skip
    """How many rows of the last dim fall into each box, and the edges along each of its axes."""
    if input.ndim < 2:
        raise RuntimeError("torch.histogramdd: input tensor should have at least 2 dimensions")
    n = input._spec.size[-1]
    bins = [bins] * n if isinstance(bins, int) else list(bins)
    if len(bins) != n:
        raise RuntimeError("histogramdd: The size of bins must be equal to the innermost dimension "
                           "of the input.")  # fmt: skip
    if weight is not None and weight._spec.size != input._spec.size[:-1]:
        weighed(input, weight, input.select(-1, 0))
    hist, edges = boxed(input.reshape((-1, n)), bins, range, weight, density)
    return named("histogramdd", (hist, tuple(edges)))


def boxed(flat: Any, bins: Any, range: Any, weight: Any, density: bool) -> Any:
    """Counts and edges, of points in rows."""
    if flat.dtype not in (dt.float32, dt.float64):
        raise NotImplementedError(f"\"histogramdd\" not implemented for '{flat.dtype.legacy}'")
    if weight is not None and weight.dtype is not flat.dtype:
        raise RuntimeError("torch.histogramdd: if weight tensor is provided, input tensor and "
                           "weight tensor should have the same dtype, but got input "
                           f"{flat.dtype.legacy.lower()} and weight "
                           f"{weight.dtype.legacy.lower()}")  # fmt: skip
    if isinstance(bins[0], Tensor):
        check_edges(flat, bins)
        return row["_histogram_by_edges"](flat, tuple(bins), bool(density), weight), bins
    check_bins(bins, range)
    given = None if range is None else tuple(float(r) for r in range)
    hist, *edges = row["_histogram_by_number"](flat, tuple(bins), given, bool(density), weight)
    return hist, edges


def check_edges(flat: Any, bins: Any) -> None:
    for d, edges in enumerate(bins):
        if edges.ndim != 1:
            raise RuntimeError("torch.histogramdd: bins tensor should have one dimension, but got "
                               f"{edges.ndim} dimensions in the bins tensor for dimension "
                               f"{d}")  # fmt: skip
        if not edges.numel():
            raise RuntimeError("torch.histogramdd: bins tensor should have at least 1 element, but "
                               f"got 0 elements in the bins tensor for dimension {d}")  # fmt: skip
        if edges.dtype is not flat.dtype:
            raise RuntimeError("torch.histogramdd: input tensor and bins tensors should have the "
                               f"same dtype, but got input with dtype {flat.dtype.legacy.lower()} "
                               f"and bins for dimension {d} with dtype "
                               f"{edges.dtype.legacy.lower()}")  # fmt: skip


def check_bins(bins: Any, range: Any) -> None:
    for d, n in enumerate(bins):
        if n <= 0:
            raise RuntimeError(
                f"torch.histogram(): bins must be > 0, but got {n} for dimension {d}"
            )
    if range is None:
        return
    if len(range) != 2 * len(bins):
        raise RuntimeError(f"torch.histogramdd: for a {len(bins)}-dimensional histogram range "
                           f"should have {2 * len(bins)} elements, but got {len(range)}"
                           )  # fmt: skip
    for d, (low, high) in enumerate(zip(range[::2], range[1::2])):
        if not (math.isfinite(low) and math.isfinite(high)):
            raise RuntimeError(f"torch.histogramdd: dimension {d}'s range [{low:g}, {high:g}] is "
                               "not finite")  # fmt: skip
        if low > high:
            raise RuntimeError(f"torch.histogramdd: min should not exceed max, but got min {low:g} "
                               f"max {high:g} for dimension {d}")  # fmt: skip


METHODS = """median nanmedian mode cummax cummin quantile nanquantile nanmean cov corrcoef
    histogram""".split()
PUBLIC = [*METHODS, "histogramdd"]
