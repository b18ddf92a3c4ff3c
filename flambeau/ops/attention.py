"""Scaled dot products: softmax(scale · query keyᵀ + mask) value, and its derivative, as one call.

The compiler has kernels for both, which never hold a matrix of scores.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.layout import Spec, result_strides
from flambeau.ops.copies import full
from flambeau.ops.declare import structured
from flambeau.ops.functions import function_of
from flambeau.ops.rules import wanted_again
from flambeau.ops.samples import no_samples
from flambeau.trace.modes import Mode

FULL: Any = function_of(full)
WIDEST = 256  # elements of a row that the kernels have room for


def like(spec: Spec, *last: int) -> Any:
    """A result of the type of one of its operands, and in its order of memory."""
    size = (*spec.size[:-1], *last) if last else spec.size
    return size, spec.dtype, result_strides(size, (spec.stride,))


def attention_shape(mode: Mode, tensors: Any, mask: Any, scale: float, causal: bool) -> Any:
    """The result, and of each query the logsumexp of its scores: +inf where it sees nothing."""
    query, _, value = tensors
    return like(query, value.size[-1]), (query.size[:-1], query.dtype)


def shares_numpy(query: Any, key: Any, mask: Any, scale: float, causal: bool) -> Any:
    """What of each value a query gets, and the logsumexp of its scores."""
    scores = query @ np.swapaxes(key, -1, -2) * scale
    scores = scores if mask is None else scores + mask
    if causal:
        scores = np.where(np.tri(*scores.shape[-2:], dtype=np.bool_), scores, -np.inf)
    top = scores.max(-1, keepdims=True, initial=-np.inf)
    shares = np.exp(scores - np.where(top == -np.inf, 0, top))
    total = shares.sum(-1, keepdims=True)
    sums = np.where(total == 0, np.inf, np.log(total) + top)
    return shares / np.where(total == 0, 1, total), sums[..., 0]


def attention_numpy(tensors: Any, mask: Any, scale: float, causal: bool) -> Any:
    query, key, value = tensors
    shares, sums = shares_numpy(query, key, mask, scale, causal)
    return shares @ value, sums


def back_shape(mode: Mode, tensors: Any, mask: Any, scale: float, causal: bool) -> Any:
    return tuple(like(spec) for spec in tensors[1:4])


def back_numpy(tensors: Any, mask: Any, scale: float, causal: bool) -> Any:
    g, query, key, value, out, _ = tensors
    shares, _ = shares_numpy(query, key, mask, scale, causal)
    slopes = g @ np.swapaxes(value, -1, -2) - (g * out).sum(-1, keepdims=True)
    slopes = shares * slopes * scale
    return slopes @ key, np.swapaxes(slopes, -1, -2) @ query, np.swapaxes(shares, -1, -2) @ g


attention_back = structured(
    "_attention_back(tensors, attn_mask=None, scale=1.0, causal=False)",
    public="",
    shape=back_shape,
    numpy=back_numpy,
    samples=no_samples,  # see tests/nn/test_attention.py
)


def attention_grad(g: Any, tensors: Any, attn_mask: Any, out: Any, out1: Any, call: Any) -> Any:
    """As one call, unless it has to be differentiated again."""
    query, key, value = tensors
    if wanted_again(g[0], *tensors):
        return composed_back(g[0], query, key, value, attn_mask, call.scale, call.causal)
    grad = g[0] if g[0].stride(-1) == 1 else g[0].contiguous()
    return BACK([grad, query, key, value, out, out1], attn_mask, call.scale, call.causal)


def composed_back(g: Any, query: Any, key: Any, value: Any, mask: Any, scale: float,
                  causal: bool) -> Any:  # fmt: skip
    """In tensor functions."""
    shares = composed_shares(query, key, mask, scale, causal)
    slopes = g @ value.transpose(-2, -1)
    slopes = shares * (slopes - (shares * slopes).sum(-1, keepdim=True)) * scale
    return slopes @ key, slopes.transpose(-2, -1) @ query, shares.transpose(-2, -1) @ g


def composed_shares(query: Any, key: Any, mask: Any, scale: float, causal: bool) -> Any:
    """softmax of the scores; a query that sees nothing has no shares.

    Both operands take their part of the scale, as in PyTorch: large scores round alike.
    """
    root = math.sqrt(abs(scale))
    scores = (query * math.copysign(root, scale)) @ (key * root).transpose(-2, -1)
    if causal:
        scores = scores.masked_fill(later_keys(*scores.shape[-2:]), -math.inf)
    if mask is None:
        return scores.softmax(-1)
    scores = scores + mask
    unseen = (scores == -math.inf).all(-1, keepdim=True)
    return scores.masked_fill(unseen, 0).softmax(-1).masked_fill(unseen, 0)


def later_keys(queries: int, keys: int) -> Any:
    """True where a key comes after its query."""
    return FULL((queries, keys), True, dtype=dt.bool_).triu(1)


attention = structured(
    "_attention(tensors, attn_mask=None, scale=1.0, causal=False)",
    public="",
    node="ScaledDotProductFlashAttentionForCpuBackward0",
    shape=attention_shape,
    numpy=attention_numpy,
    grad=dict(tensors=attention_grad),
    samples=no_samples,
)
ATTENTION, BACK = function_of(attention), function_of(attention_back)
