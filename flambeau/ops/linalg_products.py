"""Products of vectors and what else needs no factorization: cross, trace."""

from __future__ import annotations

from typing import Any

from flambeau.ir import dtype as dt
from flambeau.ir.layout import Spec, broadcast_sizes
from flambeau.ops.declare import composite
from flambeau.ops.functions import function_of
from flambeau.ops.rules import one_dim
from flambeau.ops.samples import no_samples
from flambeau.trace.modes import Mode


def clean_cross(input: Any, other: Any, dim: Any) -> Any:
    """The dim from the front, of size 3 in both."""
    if input.ndim != other.ndim:
        raise RuntimeError("linalg.cross: inputs must have the same number of dimensions.")
    place = one_dim(dim, input.ndim)
    sizes = [spec.size[place] if spec.size else 1 for spec in (input, other)]
    if sizes != [3, 3]:
        raise RuntimeError(f"linalg.cross: inputs dimension {dim} must have length 3. Got "
                           f"{sizes[0]} and {sizes[1]}")  # fmt: skip
    return input, other, place


def cross_shape(mode: Mode, input: Spec, other: Spec, dim: int) -> Any:
    size = broadcast_sizes([input.size, other.size])
    if input.dtype is not other.dtype:
        raise RuntimeError(f"expected scalar type {input.dtype.legacy} but found "
                           f"{other.dtype.legacy}")  # fmt: skip
    if input.dtype.kind == "b":
        raise NotImplementedError("\"cross\" not implemented for 'Bool'")
    return ((size, input.dtype),)


def cross_expand(a: Any, b: Any, dim: int) -> Any:
    return a.roll(-1, dim) * b.roll(-2, dim) - a.roll(-2, dim) * b.roll(-1, dim)


cross = composite(
    "linalg_cross(input, other, dim)",
    public="",
    holomorphic=False,
    clean=clean_cross,
    shape=cross_shape,
    expand=cross_expand,
    grad=dict(
        input=lambda g, other, call: CROSS(other.expand(g.shape).conj(), g, call.dim),
        other=lambda g, input, call: CROSS(g, input.expand(g.shape).conj(), call.dim),
    ),
    samples=no_samples,
)
CROSS: Any = function_of(cross)


def trace_shape(mode: Mode, input: Spec) -> Any:
    if input.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.ndim}")
    if input.dtype.kind == "b":
        raise NotImplementedError("\"trace\" not implemented for 'Bool'")
    return (((), dt.int64 if input.dtype.kind in "iu" else input.dtype),)


def trace_back(g: Any, call: Any) -> Any:
    """g on the diagonal."""
    m, n = call.input.size
    k = min(m, n)
    return g.expand((k,)).diag_embed().constant_pad_nd((0, n - k, 0, m - k))


trace = composite(
    "_trace(input)",
    public="",
    node="TraceBackward0",
    shape=trace_shape,
    expand=lambda input: input.diagonal(0, 0, 1).sum(),
    grad=dict(input=trace_back),
    samples=no_samples,
)
