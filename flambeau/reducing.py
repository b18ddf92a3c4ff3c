"""Functions that reduce by index or by segment: index_reduce, segment_reduce."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ops.combine import identity
from flambeau.ops.declare import TABLE
from flambeau.ops.rows_by_index import check_slices
from flambeau.ops.rules import one_dim
from flambeau.tensor import FUNCTIONS, from_array
from flambeau.trace.recorder import record_write

# ------------------------------------------------------------------ slices by an index


def spread_index(input: Any, dim: int, index: Any, source: Any, reduce: str) -> tuple[Any, ...]:
    """Arguments of the scatter_reduce that an index_reduce is: the index over whole slices."""
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError("index_reduce(): Expected reduce to be one of prod, mean, amax or amin "
                           f"but got {reduce}.")  # fmt: skip
    dim = one_dim(dim, input.ndim)
    check_slices("index_reduce_", input._spec, dim, index._spec, source._spec)
    if input.ndim:
        size = [1] * input.ndim
        size[dim] = -1
        index = index.reshape(size).expand(source.shape)
    return dim, index.reshape(()) if not input.ndim else index, source, reduce


def index_reduce(input: Any, dim: int, index: Any, source: Any, reduce: str, *,
                 include_self: bool = True, out: Any = None) -> Any:  # fmt: skip
    """A copy in which slices along a dim are combined with those of a source, by an index.

    reduce: prod, mean, amax or amin; include_self: whether the input's own slices count.
    """
    args = spread_index(input, dim, index, source, reduce)
    return FUNCTIONS["scatter_reduce"](input, *args, include_self=include_self, out=out)


def index_reduce_(
    self: Any, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True
) -> Any:
    """index_reduce, over the input."""
    args = spread_index(self, dim, index, source, reduce)
    return record_write(TABLE["scatter_reduce"], self, self, *args, include_self)


# ------------------------------------------------------------------ segments

NAMES = {"sum": "sum", "mean": "mean", "prod": "prod", "max": "amax", "min": "amin",
         "amax": "amax", "amin": "amin"}  # fmt: skip


def segment_reduce(data: Any, reduce: str, *, lengths: Any = None, indices: Any = None,
                   offsets: Any = None, axis: int = 0, unsafe: bool = False,
                   initial: Any = None) -> Any:  # fmt: skip
    """Reduce consecutive segments along an axis: sum, mean, max, min or prod of each.

    lengths: of the segments, one row for each index of the dims before the axis; or offsets, where
    they begin and the last one ends. initial: what each reduction begins with. The lengths are
    looked at. Raises RuntimeError where they do not add up to the axis, unless `unsafe`.
    """
    if reduce not in NAMES:
        raise RuntimeError("reduce argument must be either sum, prod, mean, amax or amin, got "
                           f"{reduce}")  # fmt: skip
    axis = one_dim(axis, data.ndim)
    counts = segment_lengths(data, lengths, indices, offsets, axis, unsafe)
    if data.dtype.kind != "f":
        raise NotImplementedError(f"\"_segment_reduce_cpu\" not implemented for "
                                  f"'{data.dtype.legacy}'")  # fmt: skip
    return reduced(data, NAMES[reduce], counts, axis, initial)


def segment_lengths(
    data: Any, lengths: Any, indices: Any, offsets: Any, axis: int, unsafe: bool
) -> np.ndarray:
    """How long each segment is."""
    if indices is not None:
        raise RuntimeError("segment_reduce(): indices based reduction is not supported yet.")
    given = lengths if offsets is None else offsets
    if given is None:
        raise RuntimeError("segment_reduce(): Either lengths or offsets must be defined.")
    if given.dtype not in (dt.int64, dt.int32):
        raise NotImplementedError("\"_segment_reduce_lengths_cpu_kernel1\" not implemented for "
                                  f"'{given.dtype.legacy}'")  # fmt: skip
    if data.ndim < given.ndim:
        raise RuntimeError("Expected data.dim() >= lengths.dim() to be true, but got false.")
    if axis != given.ndim - 1:
        raise RuntimeError("segment_reduce(): Expected axis to be the last dimension of lengths "
                           f"but got {axis}.")  # fmt: skip
    counts: np.ndarray = given._memory() if offsets is None else np.diff(given._memory())
    if not unsafe:
        if (counts.sum(-1) != data.shape[axis]).any():
            raise RuntimeError("segment_reduce(): Expected all rows of lengths along axis to sum "
                               "to data.size(lengths.dim()-1) when !unsafe.")  # fmt: skip
        if (counts < 0).any():
            raise RuntimeError("lengths contains negative value!")
    return counts


def reduced(data: Any, reduce: str, counts: np.ndarray, axis: int, initial: Any) -> Any:
    """The reduction of each segment, as one scatter_reduce."""
    size, number = tuple(data.shape), counts.shape[-1]
    rest = (1,) * (data.ndim - axis - 1)
    index = from_array(segment_of(counts, size[axis]), dt.int64)
    index = index.reshape((*index.shape, *rest)).expand(size)
    begin = identity(reduce, data.dtype) if initial is None else initial
    extreme = reduce in ("amax", "amin")
    spare = (*size[:axis], number + 1, *size[axis + 1 :])  # of what belongs to no segment
    start = data.new_full(spare, identity(reduce, data.dtype) if extreme else begin)
    out = FUNCTIONS["scatter_reduce"](
        start, axis, index, data, "sum" if reduce == "mean" else reduce, include_self=not extreme
    ).narrow(axis, 0, number)
    if reduce == "mean":
        lengths = from_array(counts.reshape((*counts.shape, *rest)), dt.int64)
        divisor = lengths if initial is None else lengths.clamp_min(1)
        return out / divisor.expand(out.shape)
    if extreme and initial is not None:
        worse = out < initial if reduce == "amax" else out > initial
        return FUNCTIONS["where"](worse, initial, out)
    return out.contiguous()


def segment_of(counts: np.ndarray, n: int) -> np.ndarray:
    """The number of the segment that each place along the axis belongs to, row by row."""
    ends = np.cumsum(counts, -1).reshape(-1, counts.shape[-1])
    places = [np.searchsorted(row, np.arange(n), "right") for row in ends]
    return np.array(places, np.int64).reshape((*counts.shape[:-1], n))


_segment_reduce = segment_reduce
METHODS = "index_reduce index_reduce_".split()
PUBLIC = "index_reduce segment_reduce _segment_reduce".split()
