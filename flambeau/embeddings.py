"""Rows of a table, by index: embedding, and bags of them."""

from __future__ import annotations

from flambeau.autograd.modes import no_grad
from flambeau.ir import dtype as dt
from flambeau.tensor import FUNCTIONS as row


def row_of_padding(padding_idx, rows):
    """The padding's row from the front, or -1 for none."""
    if padding_idx is None:
        return -1
    if not -rows <= padding_idx < rows:
        raise AssertionError("Padding_idx must be within num_embeddings")
    return padding_idx + rows if padding_idx < 0 else padding_idx


def embedding(input, weight, padding_idx=None, max_norm=None, norm_type=2.0,
              scale_grad_by_freq=False, sparse=False):  # fmt: skip
    """Rows of `weight`, by index; max_norm shortens those that are longer, in the table itself."""
    if weight.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    padding = row_of_padding(padding_idx, weight.shape[0])
    if max_norm is not None:
        shorten(input, weight, max_norm, norm_type)
    return row["embedding"](weight, input, padding, bool(scale_grad_by_freq), bool(sparse))


@no_grad()
def shorten(input, weight, max_norm, norm_type):
    """Scale the rows that are used and too long."""
    used = weight.new_zeros((weight.shape[0],)).index_fill_(0, input.reshape(-1).long(), 1.0)
    lengths = weight.norm(norm_type, 1)
    factor = (max_norm / (lengths + 1e-7)).where((lengths > max_norm) & (used > 0), used * 0 + 1)
    weight.mul_(factor.unsqueeze(1))


MODES = ("sum", "mean", "max")


def embedding_bag(input, weight, offsets=None, max_norm=None, norm_type=2,
                  scale_grad_by_freq=False, mode="mean", sparse=False, per_sample_weights=None,
                  include_last_offset=False, padding_idx=None):  # fmt: skip
    """The sum, mean or maximum of the rows of each bag of indices.

    input (bags, n), or all indices one after the other, with the place where each bag begins in
    `offsets`. Empty bags give zeros; the padding's row does not count.
    """
    check_bags(input, offsets, mode, per_sample_weights, scale_grad_by_freq)
    if sparse and mode == "max":
        raise ValueError("max mode does not support sparse weights")
    rows = weight.shape[0]
    if padding_idx is not None and not -rows <= padding_idx < rows:
        raise RuntimeError("padding_idx must be within the number of embeddings, -"
                           f"{rows} through {rows - 1}, but got {padding_idx}")  # fmt: skip
    if input.dtype not in (dt.int64, dt.int32):
        raise RuntimeError("Expected tensor for argument #1 'indices' to have one of the following "
                           f"scalar types: Long, Int; but got torch.{input.dtype.legacy}Tensor "
                           "instead (while checking arguments for embedding_bag)")  # fmt: skip
    how = padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse
    if input.dim() == 2:
        counts, vectors = None, embedding(input, weight, *how)
    else:
        places, counts = rows_of_bags(bag_ends(offsets, input.shape[0], include_last_offset))
        whole, input = input, taken(input, places)
        per_sample_weights = taken(per_sample_weights, places)
        if sparse:  # a row of the gradient for each index, none for what only fills bags up
            vectors = taken(embedding(whole, weight, *how), places)
        else:
            vectors = embedding(input, weight, *how)
    if per_sample_weights is not None:
        vectors = vectors * per_sample_weights.unsqueeze(-1)
    if padding_idx is not None:
        real = input != row_of_padding(padding_idx, rows)
        counts = real if counts is None else counts & real
    return of_bags(vectors, counts, mode)


def of_bags(vectors, counts, mode):
    """(bags, n, features) → (bags, features); `counts` says which of the n do."""
    if vectors.shape[1] == 0:
        return vectors.sum(1)
    if counts is None:
        return vectors.amax((1,)) if mode == "max" else getattr(vectors, mode)(1)
    left_out = counts.logical_not().unsqueeze(-1)
    some = counts.any(1, keepdim=True)
    if mode == "max":
        best = vectors.masked_fill(left_out, -float("inf")).max(1).values
        return best.masked_fill(some.logical_not(), 0)
    total = vectors.masked_fill(left_out, 0).sum(1)
    return total if mode == "sum" else total / counts.sum(1, keepdim=True).clamp_min(1)


def bag_ends(offsets, n, include_last_offset):
    """Where each bag ends; it begins where the one before it ends."""
    starts = offsets.tolist()
    if starts and starts[0] != 0:
        raise RuntimeError("offsets[0] has to be 0, i.e., the first sequence in the mini-batch has "
                           f"to start from position 0. However, got {starts[0]}")  # fmt: skip
    if starts and starts[-1] > n:
        raise RuntimeError(f"offsets[-1] can not be greater than input's length {n} but got "
                           f"offsets[-1] of {starts[-1]}")  # fmt: skip
    return starts[1:] if include_last_offset else [*starts[1:], n][: len(starts)]


def rows_of_bags(ends):
    """Where the elements of each bag are, (bags, longest), and which of these places count."""
    import numpy as np

    from flambeau import from_numpy

    stops = np.array(ends, np.int64)
    starts = np.concatenate([[0], stops[:-1]]) if len(stops) else stops
    steps = np.arange(int((stops - starts).max(initial=0)))
    places = starts[:, None] + steps
    inside = places < stops[:, None]
    return from_numpy(np.where(inside, places, 0)), from_numpy(inside)


def taken(x, places):
    """Elements, or slices, of a tensor at places along its first dim; nothing of nothing."""
    if x is None:
        return None
    return x.index_select(0, places.reshape(-1)).view((*places.shape, *x.shape[1:]))


def check_bags(input, offsets, mode, weights, scale_grad_by_freq):
    """Arguments that fit together, in PyTorch's words."""
    if weights is not None and input.size() != weights.size():
        raise ValueError(f"embedding_bag: If per_sample_weights ({weights.shape}) is not None, "
                         "then it must have the same shape as the input "
                         f"({input.shape})")  # fmt: skip
    if input.dim() == 2:
        if offsets is not None:
            raise ValueError("if input is 2D, then offsets has to be None, as input is treated is "
                             "a mini-batch of fixed length sequences. However, found offsets of "
                             f"type {type(offsets)}")  # fmt: skip
    elif input.dim() != 1:
        raise ValueError(
            f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.dim()}"
        )
    elif offsets is None:
        raise ValueError("offsets has to be a 1D Tensor but got None")
    elif offsets.dim() != 1:
        raise ValueError("offsets has to be a 1D Tensor")
    if mode not in MODES:
        raise ValueError("mode has to be one of sum, mean or max")
    if mode == "max" and scale_grad_by_freq:
        raise ValueError("max mode does not support scaling the gradient by the frequency")
    if weights is not None and mode != "sum":
        raise NotImplementedError("embedding_bag: per_sample_weights was not None. "
                                  "per_sample_weights is only supported for mode='sum' (got "
                                  f"mode='{mode}'). Please open a feature request on "
                                  "GitHub.")  # fmt: skip
