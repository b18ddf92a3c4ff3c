"""Attention as functions (A. Vaswani et al., 2017): one head, and many with their projections."""

from __future__ import annotations

import math
import warnings
from typing import Any

from flambeau.ir import dtype as dt
from flambeau.ir.layout import broadcast_sizes
from flambeau.ops.attention import ATTENTION, WIDEST, composed_shares
from flambeau.products import linear
from flambeau.tensor import FUNCTIONS as row
from flambeau.trace.autocast import whole

# ------------------------------------------------------------------ scaled dot products


@whole("lower")
def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """softmax(scale · query keyᵀ + mask) value.

    query (…, L, E), key (…, S, E), value (…, S, V); a bool mask says what takes part; is_causal
    lets a query see the keys up to its own place. A query that sees nothing gets zeros. float16 and
    bfloat16 are computed in float32. With enable_gqa, several heads of the query share one of the
    keys.
    """
    from flambeau.nn.functional import dropout

    check_operands(query, key, value, attn_mask, is_causal)
    if not 0 <= dropout_p <= 1:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {dropout_p}")
    dtype = query.dtype
    q, k, v = (x.to(dt.compute_dtype(dtype)) for x in (query, key, value))
    if enable_gqa:
        k, v = shared_heads(q, k), shared_heads(q, v)
    scale = 1 / math.sqrt(max(q.shape[-1], 1)) if scale is None else float(scale)
    mask = None if attn_mask is None else added(attn_mask, q.dtype)
    if dropout_p == 0 and has_kernel(q, k, v, mask):
        return in_blocks(q, k, v, mask, scale, is_causal).to(dtype)
    shares = composed_shares(q, k, mask, scale, is_causal)
    if dropout_p > 0:
        shares = dropout(shares, dropout_p, True)
    return (shares @ v).to(dtype)


def has_kernel(q: Any, k: Any, v: Any, mask: Any) -> bool:
    """Whether the row of attention takes this: equal heads, rows not too long, a constant mask.

    What does not fit together goes by products, which say so.
    """
    if q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        return False
    heads = tuple(q.shape[:-2])
    if tuple(k.shape[:-2]) != heads or tuple(v.shape[:-2]) != heads:
        return False
    if max(q.shape[-1], v.shape[-1]) > WIDEST:
        return False
    if mask is None:
        return True
    return not mask.requires_grad and broadcast_sizes([heads, tuple(mask.shape[:-2])]) == heads


def in_blocks(q: Any, k: Any, v: Any, mask: Any, scale: float, causal: bool) -> Any:
    """By the row of attention, for which rows lie in one piece."""
    operands = [x if x.stride(-1) == 1 else x.contiguous() for x in (q, k, v)]
    if mask is not None:
        mask = mask.expand((*q.shape[:-1], k.shape[-2]))
    return ATTENTION(operands, mask, scale, causal)[0]


def check_operands(query: Any, key: Any, value: Any, mask: Any, is_causal: bool) -> None:
    """Dims and types that fit, in PyTorch's words."""
    operands = ("query", query), ("key", key), ("value", value)
    if min(x.ndim for _, x in operands) < 2:
        dims = [f"{name}.dim: {x.ndim}" for name, x in operands]
        raise RuntimeError("Expected query, key, and value to all be  at least 2 dimensional, but "
                           f"got {dims[0]} {dims[1]} and {dims[2]} instead.")  # fmt: skip
    if len({x.dtype for _, x in operands}) > 1:
        types = [f"{name}.dtype: {x.dtype.legacy.lower()}" for name, x in operands]
        raise RuntimeError("Expected query, key, and value to have the same dtype, but got "
                           f"{types[0]} {types[1]} and {types[2]} instead.")  # fmt: skip
    if query.dtype.kind != "f":
        raise RuntimeError(f"expected scalar type Float but found {query.dtype.legacy}")
    if mask is None:
        return
    if is_causal:
        raise RuntimeError("_scaled_dot_product_attention: Explicit attn_mask should not be set "
                           "when is_causal=True")  # fmt: skip
    if mask.dtype not in (dt.bool_, dt.float32, query.dtype):
        raise RuntimeError("Expected attn_mask dtype to be bool or float or to match query dtype, "
                           f"but got attn_mask.dtype: {mask.dtype.legacy.lower()} and  "
                           f"query.dtype: {query.dtype.legacy.lower()} instead.")  # fmt: skip


def shared_heads(query: Any, x: Any) -> Any:
    """Keys or values, repeated so that each head of the query has one."""
    heads, own = query.shape[-3], x.shape[-3]
    if own == 0 or heads % own:
        raise RuntimeError(
            "Number of heads in key and value must divide the number of heads in query"
        )
    return x if heads == own else x.repeat_interleave(heads // own, -3)


def added(mask: Any, dtype: Any) -> Any:
    """A mask as what is added to scores: -inf where a bool mask is False."""
    if mask.dtype is not dt.bool_:
        return mask.to(dtype)
    zeros = row["full"](tuple(mask.shape), 0.0, dtype=dtype)
    return zeros.masked_fill(mask.logical_not(), -math.inf)


# ------------------------------------------------------------------ many heads


def canonical_mask(mask: Any, mask_name: str, other_type: Any, other_name: str, target_type: Any,
                   check_other: bool = True) -> Any:  # fmt: skip
    """A mask as numbers to add: -inf where a bool mask says True."""
    if mask is None:
        return None
    if mask.dtype is not dt.bool_ and mask.dtype.kind != "f":
        raise AssertionError(f"only bool and floating types of {mask_name} are supported")
    if check_other and other_type is not None and mask.dtype is not other_type:
        warnings.warn(f"Support for mismatched {mask_name} and {other_name} is deprecated. Use "
                      "same type for both instead.", stacklevel=4)  # fmt: skip
    if mask.dtype is not dt.bool_:
        return mask
    zeros = row["full"](tuple(mask.shape), 0.0, dtype=target_type)
    return zeros.masked_fill(mask, -math.inf)


def check_heads(query: Any, key: Any, value: Any, key_padding_mask: Any, attn_mask: Any,
                heads: int) -> bool:  # fmt: skip
    """Whether there is a batch; the numbers of dims must fit together."""
    if query.dim() not in (2, 3):
        raise AssertionError("query should be unbatched 2D or batched 3D tensor but received "
                             f"{query.dim()}-D query tensor")  # fmt: skip
    dims = query.dim()
    kind = f"For {'batched (3-D)' if dims == 3 else 'unbatched (2-D)'} `query`, expected "
    if key.dim() != dims or value.dim() != dims:
        raise AssertionError(f"{kind}`key` and `value` to be {dims}-D but found {key.dim()}-D and "
                             f"{value.dim()}-D tensors respectively")  # fmt: skip
    if key_padding_mask is not None and key_padding_mask.dim() != dims - 1:
        raise AssertionError(f"{kind}`key_padding_mask` to be `None` or {dims - 1}-D but found "
                             f"{key_padding_mask.dim()}-D tensor instead")  # fmt: skip
    if attn_mask is not None and attn_mask.dim() not in (2, 3):
        raise AssertionError(f"{kind}`attn_mask` to be `None`, 2-D or 3-D but found "
                             f"{attn_mask.dim()}-D tensor instead")  # fmt: skip
    if dims == 2 and attn_mask is not None and attn_mask.dim() == 3:
        expected = (heads, query.shape[0], key.shape[0])
        if tuple(attn_mask.shape) != expected:
            raise AssertionError(
                f"Expected `attn_mask` shape to be {expected} but got {attn_mask.shape}"
            )
    return dims == 3


class Projections:
    """What makes queries, keys and values of their inputs."""

    def __init__(self, packed: Any, bias: Any, separate: Any) -> None:
        self.packed, self.bias, self.separate = packed, bias, separate

    def __call__(self, query: Any, key: Any, value: Any) -> tuple[Any, Any, Any]:
        """Each input times its weight; equal inputs are multiplied once."""
        if self.separate is None and query is key and key is value:
            return linear(query, self.packed, self.bias).chunk(3, -1)
        weights = self.packed.chunk(3) if self.separate is None else self.separate
        biases = (None,) * 3 if self.bias is None else self.bias.chunk(3)
        if self.separate is None and key is value:
            n = query.shape[-1]
            both = linear(key, self.packed[n:], None if self.bias is None else self.bias[n:])
            return (linear(query, weights[0], biases[0]), *both.chunk(2, -1))
        q, k, v = (linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases))
        return q, k, v


def check_separate(weights: Any, query: Any, key: Any, value: Any) -> None:
    """Three weights, each for its input."""
    for name, weight, x in zip("qkv", weights, (query, key, value)):
        if weight is None:
            raise AssertionError(f"use_separate_proj_weight is True but {name}_proj_weight is None")
        if weight.shape[1] != x.shape[-1]:
            raise AssertionError(f"expecting {name}_proj_weight with {x.shape[-1]} columns, but "
                                 f"got shape {weight.shape}")  # fmt: skip


def checked_mask(mask: Any, batch: int, heads: int, queries: int, keys: int) -> Any:
    """A mask of attention, (1 or batch · heads, queries, keys)."""
    if mask is None:
        return None
    expected = (queries, keys) if mask.dim() == 2 else (batch * heads, queries, keys)
    if tuple(mask.shape) != expected:
        raise RuntimeError(f"The shape of the {mask.dim()}D attn_mask is {mask.shape}, but should "
                           f"be {expected}.")  # fmt: skip
    return mask.unsqueeze(0) if mask.dim() == 2 else mask


def with_column(mask: Any) -> Any:
    """A mask with one more key, which takes part."""
    return None if mask is None else row["constant_pad_nd"](mask, (0, 1), 0)


def multi_head_attention_forward(
        query: Any, key: Any, value: Any, embed_dim_to_check: int, num_heads: int,
        in_proj_weight: Any, in_proj_bias: Any, bias_k: Any, bias_v: Any, add_zero_attn: bool,
        dropout_p: float, out_proj_weight: Any, out_proj_bias: Any, training: bool = True,
        key_padding_mask: Any = None, need_weights: bool = True, attn_mask: Any = None,
        use_separate_proj_weight: bool = False, q_proj_weight: Any = None,
        k_proj_weight: Any = None, v_proj_weight: Any = None, static_k: Any = None,
        static_v: Any = None, average_attn_weights: bool = True,
        is_causal: bool = False) -> tuple[Any, Any]:  # fmt: skip
    """Attention of several heads, each on its part of the projected inputs.

    query (L, N, E), key and value (S, N, …), or without N. Returns the output, (L, N, E), and the
    weights, (N, L, S), averaged over the heads, or (N, heads, L, S), or None.
    """
    batched = check_heads(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not batched:
        alike = {id(x): x.unsqueeze(1) for x in (query, key, value)}
        query, key, value = (alike[id(x)] for x in (query, key, value))
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    queries, batch, width = query.shape
    other = None if attn_mask is None else attn_mask.dtype
    padding = canonical_mask(key_padding_mask, "key_padding_mask", other, "attn_mask", query.dtype)
    if is_causal and attn_mask is None:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint. You may use the "
                           "Transformer module method `generate_square_subsequent_mask` to create "
                           "this mask.")  # fmt: skip
    causal = is_causal and padding is None and not need_weights
    mask = None if causal else canonical_mask(attn_mask, "attn_mask", None, "", query.dtype, False)
    if width != embed_dim_to_check:
        raise AssertionError(
            f"was expecting embedding dimension of {embed_dim_to_check}, but got {width}"
        )
    size = width // num_heads
    if size * num_heads != width:
        raise AssertionError(f"embed_dim {width} not divisible by num_heads {num_heads}")
    check_pair(key, value, use_separate_proj_weight)
    separate = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else None
    if separate is not None:
        check_separate(separate, query, key, value)
    elif in_proj_weight is None:
        raise AssertionError("use_separate_proj_weight is False but in_proj_weight is None")
    q, k, v = Projections(in_proj_weight, in_proj_bias, separate)(query, key, value)
    mask = checked_mask(mask, batch, num_heads, queries, key.shape[0])
    if bias_k is not None and bias_v is not None:
        k = row["cat"]([k, bias_k.expand(1, batch, -1)])
        v = row["cat"]([v, bias_v.expand(1, batch, -1)])
        mask, padding = with_column(mask), with_column(padding)
    q, k, v = (by_head(x, batch, num_heads, size) for x in (q, k, v))
    k = given(static_k, k, "static_k", batch * num_heads, size)
    v = given(static_v, v, "static_v", batch * num_heads, size)
    if add_zero_attn:
        zeros = k.new_zeros((batch * num_heads, 1, size))
        k, v = row["cat"]([k, zeros], 1), row["cat"]([v, zeros], 1)
        mask, padding = with_column(mask), with_column(padding)
    mask = joined(mask, padding, batch, num_heads, k.shape[1])
    dropout_p = dropout_p if training else 0.0
    out, weights = attend(q, k, v, mask, dropout_p, causal, need_weights, batch)
    out = linear(out.reshape((queries * batch, width)), out_proj_weight, out_proj_bias)
    out = out.view((queries, batch, out.shape[1]))
    if weights is not None:
        weights = weights.view((batch, num_heads, queries, k.shape[1]))
        weights = weights.mean(dim=1) if average_attn_weights else weights
    if not batched:
        out, weights = out.squeeze(1), None if weights is None else weights.squeeze(0)
    return out, weights


def check_pair(key: Any, value: Any, separate: bool) -> None:
    """Keys and values belong together."""
    if separate and key.shape[:2] != value.shape[:2]:
        raise AssertionError(f"key's sequence and batch dims {key.shape[:2]} do not match value's "
                             f"{value.shape[:2]}")  # fmt: skip
    if not separate and key.shape != value.shape:
        raise AssertionError(f"key shape {key.shape} does not match value shape {value.shape}")


def by_head(x: Any, batch: int, heads: int, size: int) -> Any:
    """(length, batch, heads · size) → (batch · heads, length, size)."""
    return x.reshape((x.shape[0], batch * heads, size)).transpose(0, 1)


def given(static: Any, x: Any, name: str, count: int, size: int) -> Any:
    """Keys or values that were given instead of those computed."""
    if static is None:
        return x
    if static.size(0) != count:
        raise AssertionError(f"expecting {name}.size(0) of {count}, but got {static.size(0)}")
    if static.size(2) != size:
        raise AssertionError(f"expecting {name}.size(2) of {size}, but got {static.size(2)}")
    return static


def joined(mask: Any, padding: Any, batch: int, heads: int, keys: int) -> Any:
    """The mask of attention and that of padded keys in one."""
    if padding is None:
        return mask
    if padding.shape[0] != batch:
        raise AssertionError(
            f"Expected key_padded_mask.shape[0] to be {batch}, but got {padding.shape[0]}"
        )
    if padding.shape[1] != keys:
        raise AssertionError(
            f"Expected key_padded_mask.shape[1] to be {keys}, but got {padding.shape[1]}"
        )
    padding = padding.view((batch, 1, 1, keys)).expand(-1, heads, -1, -1)
    padding = padding.reshape((batch * heads, 1, keys))
    return padding if mask is None else mask + padding


def attend(q: Any, k: Any, v: Any, mask: Any, dropout_p: float, causal: bool, need_weights: bool,
           batch: int) -> tuple[Any, Any]:  # fmt: skip
    """The output, (queries, batch · heads, size) in memory's order, and the weights if needed."""
    from flambeau.nn.functional import dropout

    if need_weights:
        scores = (q * math.sqrt(1.0 / q.shape[-1])).bmm(k.transpose(1, 2))
        scores = scores if mask is None else scores + mask
        weights = scores.softmax(-1)
        weights = dropout(weights, dropout_p, True) if dropout_p > 0 else weights
        return weights.bmm(v).transpose(0, 1), weights
    heads = q.shape[0] // batch
    q, k, v = (x.view((batch, heads, *x.shape[1:])) for x in (q, k, v))
    if mask is not None:
        mask = (
            mask.unsqueeze(0) if mask.shape[0] == 1 else mask.view((batch, heads, *mask.shape[1:]))
        )
    out = scaled_dot_product_attention(q, k, v, mask, dropout_p, causal)
    return out.permute(2, 0, 1, 3), None


__all__ = ["multi_head_attention_forward", "scaled_dot_product_attention"]
