"""flex_attention: attention whose scores a Python function changes, or masks.

The functions get the scores and their indices as tensors that broadcast, (batch, 1, 1, 1),
(1, heads, 1, 1), …, and are called once: what is written for one score holds for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import flambeau as fl


def places(sizes: tuple[int, ...]) -> list[Any]:
    """The index along each of four dims, as tensors that broadcast."""
    return [fl.arange(n).view([n if d == k else 1 for k in range(4)]) for d, n in enumerate(sizes)]


def noop_mask(batch: Any, head: Any, token_q: Any, token_kv: Any) -> Any:
    """Every query sees every key."""
    return (batch + head + token_q + token_kv) >= 0


class BlockMask:
    """Which keys a query sees, by a function of batch, head, query and key."""

    def __init__(self, mask_mod: Callable[..., Any], shape: tuple[int, ...]) -> None:
        self.mask_mod, self.shape = mask_mod, shape

    def __repr__(self) -> str:
        return f"BlockMask(shape={self.shape})"


def create_mask(
    mod_fn: Callable[..., Any], B: int | None, H: int | None, Q_LEN: int, KV_LEN: int,
    device: Any = None,
) -> Any:  # fmt: skip
    """What a mask's function says, as a bool tensor (B, H, Q_LEN, KV_LEN)."""
    sizes = (B or 1, H or 1, Q_LEN, KV_LEN)
    return mod_fn(*places(sizes)).expand(sizes)


def create_block_mask(
    mask_mod: Callable[..., Any], B: int | None, H: int | None, Q_LEN: int, KV_LEN: int,
    device: Any = None, BLOCK_SIZE: Any = 128, _compile: bool = False, **_: Any,
) -> BlockMask:  # fmt: skip
    """A mask by its function; None for a size stands for any. It is not divided into blocks."""
    return BlockMask(mask_mod, (B or 1, H or 1, Q_LEN, KV_LEN))


def and_masks(*mask_mods: Callable[..., Any]) -> Callable[..., Any]:
    """The mask of what all masks allow."""

    def both(b: Any, h: Any, q: Any, kv: Any) -> Any:
        allowed = noop_mask(b, h, q, kv)
        for mask in mask_mods:
            allowed = allowed & mask(b, h, q, kv)
        return allowed

    return both


def or_masks(*mask_mods: Callable[..., Any]) -> Callable[..., Any]:
    """The mask of what any of the masks allows."""

    def either(b: Any, h: Any, q: Any, kv: Any) -> Any:
        allowed = ~noop_mask(b, h, q, kv)
        for mask in mask_mods:
            allowed = allowed | mask(b, h, q, kv)
        return allowed

    return either


def flex_attention(
    query: Any, key: Any, value: Any, score_mod: Callable[..., Any] | None = None,
    block_mask: BlockMask | None = None, scale: float | None = None, enable_gqa: bool = False,
    return_lse: bool = False, kernel_options: Any = None,
) -> Any:  # fmt: skip
    """softmax(score_mod(scale · query keyᵀ)) value, over the keys that block_mask lets a query see.

    query (B, Hq, L, E), key (B, Hkv, S, E), value (B, Hkv, S, V); with enable_gqa heads of the
    query share those of the keys. A query that sees nothing gets zeros. return_lse also gives the
    logarithm of the sum of the exponentials.
    """
    if any(x.ndim != 4 for x in (query, key, value)):
        raise ValueError("query, key and value must be 4-dimensional")
    if query.shape[1] != key.shape[1]:
        if not enable_gqa:
            raise ValueError(f"Expect query and key/value to have the same number of heads but got "
                             f"Hq={query.shape[1]} and Hkv={key.shape[1]}.")  # fmt: skip
        repeats = query.shape[1] // key.shape[1]
        key, value = (x.repeat_interleave(repeats, 1) for x in (key, value))
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    wide = fl.promote_types(query.dtype, fl.float32)
    scores = query.to(wide) @ key.to(wide).transpose(-2, -1) * scale
    index = places(tuple(scores.shape))
    if score_mod is not None:
        scores = score_mod(scores, *index).to(scores.dtype)
    if block_mask is not None:
        scores = scores.masked_fill(block_mask.mask_mod(*index).logical_not(), -math.inf)
    lse = scores.logsumexp(-1)
    unseen = lse == -math.inf
    shares = (scores - lse.masked_fill(unseen, 0).unsqueeze(-1)).exp()
    out = (shares @ value.to(shares.dtype)).to(query.dtype)
    return (out, lse) if return_lse else out


__all__ = ["BlockMask", "and_masks", "create_block_mask", "create_mask", "flex_attention",
           "noop_mask", "or_masks"]  # fmt: skip
