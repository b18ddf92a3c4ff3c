"""Composite rows: distances between the rows of matrices."""

from __future__ import annotations

import math
from typing import Any

from flambeau.ir import dtype as dt
from flambeau.ir.layout import Spec, broadcast_sizes
from flambeau.ops.declare import composite
from flambeau.ops.samples import Refused, Sample, no_samples
from flambeau.ops.softmax import wide
from flambeau.trace.modes import Mode


def cdist_shape(mode: Mode, input: Spec, other: Spec, p: float, by_product: bool) -> Any:
    for name, spec in (("X1", input), ("X2", other)):
        if spec.dtype.kind != "f":
            raise RuntimeError(f"cdist only supports floating-point dtypes, {name} got: "
                               f"{spec.dtype.legacy}")  # fmt: skip
        if spec.ndim < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, {name} got: {spec.ndim}D")
    if input.size[-1] != other.size[-1]:
        raise RuntimeError("X1 and X2 must have the same number of columns. X1: "
                           f"{input.size[-1]} X2: {other.size[-1]}")  # fmt: skip
    if p < 0:
        raise RuntimeError("cdist only supports non-negative p values")
    dtype = dt.promote(input.dtype, other.dtype)
    if dtype.itemsize < 4 and not by_product and input.numel and other.numel:
        raise NotImplementedError(f"\"cdist\" not implemented for '{dtype.legacy}'")
    batch = broadcast_sizes([input.size[:-2], other.size[:-2]])
    return (((*batch, input.size[-2], other.size[-2]), dtype),)


def length(difference: Any, p: float) -> Any:
    """The p-norm along the last dim."""
    if not difference.shape[-1]:
        return difference.sum(-1)
    size = difference.abs()
    if p == 0:
        return size.ceil().clamp_max(1).sum(-1)
    if p == 1:
        return size.sum(-1)
    if p == 2:
        return (difference * difference).sum(-1).sqrt()
    if p == math.inf:
        return size.amax((-1,))
    return (size**p).sum(-1) ** (1 / p)


def squared(x: Any) -> Any:
    return (x * x).sum(-1, keepdim=True)


def cdist_expand(input: Any, other: Any, p: float, by_product: bool) -> Any:
    """The norm of each row of input minus each row of other."""
    x, y = wide(input), wide(other)
    if by_product:  # |x - y|² = |x|² + |y|² - 2 x·y
        square = squared(x) + squared(y).transpose(-2, -1) - x.matmul(y.transpose(-2, -1)) * 2
        return square.clamp_min(0).sqrt().to(input.dtype)
    return length(x.unsqueeze(-2) - y.unsqueeze(-3), p).to(input.dtype)


def cdist_back(g: Any, x: Any, y: Any, out: Any, p: float) -> Any:
    """The gradient of x: Σ over the rows of y; 0 where the distance is."""
    if p == 0 or not x.shape[-1]:
        return g.sum(-1, keepdim=True) * x * 0
    if p == 2:
        share = (g / out).masked_fill(out == 0, 0)
        return x * share.sum(-1, keepdim=True) - share.matmul(y)
    return slope(x.unsqueeze(-2) - y.unsqueeze(-3), g.unsqueeze(-1), out.unsqueeze(-1), p).sum(-2)


def slope(difference: Any, g: Any, out: Any, p: float) -> Any:
    """The gradient of the p-norm."""
    sign, size = difference.sgn(), difference.abs()
    if p == 1:
        return g * sign
    if p == math.inf:
        return g * sign * (size == out)
    part = sign * size ** (p - 1) * (g / out ** (p - 1))
    return part.masked_fill((out == 0).logical_or(difference == 0), 0)


def cdist_samples(new: Any) -> Any:
    for p in (0.0, 1.0, 2.0, 3.0, 1.5, math.inf):
        yield Sample(new(3, 4), new(5, 4), p, False)
    yield Sample(new(2, 3, 4), new(1, 5, 4), 2.0, False)
    yield Sample(new(30, 4), new(26, 4, low=10, high=20), 2.0, True)
    yield Sample(new(0, 4), new(5, 4), 2.0, False)
    yield Sample(new(3, 0), new(5, 0), 2.0, False)
    yield Refused(new(3, 4), new(3, 5), 2.0, False, error=RuntimeError, says="same number of")


cdist = composite(
    "_cdist(input, other, p, by_product)",
    public="",
    node="CdistBackward0",
    shape=cdist_shape,
    expand=cdist_expand,
    grad=dict(
        input=lambda g, input, other, out, call: cdist_back(g, input, other, out, call.p),
        other=lambda g, input, other, out, call: cdist_back(
            g.transpose(-2, -1), other, input, out.transpose(-2, -1), call.p
        ),
    ),
    samples=cdist_samples,
)


# ------------------------------------------------------------------ all pairs of one matrix


def pdist_shape(mode: Mode, input: Spec, index: Spec, p: float) -> Any:
    if input.dtype.kind != "f":
        raise RuntimeError("pdist only supports floating-point dtypes")
    return ((index.size, input.dtype),)


def pdist_expand(input: Any, index: Any, p: float) -> Any:
    """Distances of all pairs, of which `index` picks those above the diagonal."""
    return cdist_expand(input, input, p, False).reshape((-1,)).index_select(0, index)


def pdist_back(g: Any, input: Any, index: Any, out: Any, call: Any) -> Any:
    n = call.input.size[0]
    square = [x.new_zeros((n * n,)).index_add(0, index, x).view((n, n)) for x in (g, out)]
    both = [x + x.t() for x in square]
    return cdist_back(both[0], input, input, both[1], call.p)


pdist = composite(
    "_pdist(input, index, p)",
    public="",
    node="PdistBackward0",
    shape=pdist_shape,
    expand=pdist_expand,
    grad=dict(input=pdist_back),
    samples=no_samples,  # tested through nn.functional.pdist: the indices are given
)
