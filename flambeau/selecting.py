"""Functions that pick elements: gather and scatter in all forms, masks, sort, top-k, unique."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flambeau.arranging import repeat_interleave
from flambeau.creation import finish, fitting
from flambeau.filling import fill, named
from flambeau.ir import dtype as dt
from flambeau.ir.layout import broadcast_sizes, spec_of
from flambeau.ops.declare import TABLE
from flambeau.ops.functions import inplace_of
from flambeau.ops.outs import refuse_overlap
from flambeau.ops.rules import lacks, one_dim, refuse_complex
from flambeau.tensor import FUNCTIONS, Tensor, from_array
from flambeau.trace import recorder
from flambeau.viewing import expand

# ------------------------------------------------------------------ scatter


def scatter(
    input: Any,
    dim: int,
    index: Any,
    src: Any = None,
    *,
    value: Any = None,
    reduce: str | None = None,
    out: Any = None,
) -> Any:
    """A copy with elements written where an index says, along a dim."""
    op, rest = scatter_row(src, value, reduce)
    return FUNCTIONS[op](input, dim, index, *rest, out=out)


def scatter_(
    self: Any,
    dim: int,
    index: Any,
    src: Any = None,
    *,
    value: Any = None,
    reduce: str | None = None,
) -> Any:
    """Elements written where an index says, along a dim."""
    op, rest = scatter_row(src, value, reduce)
    return recorder.record_write(TABLE[op], self, self, dim, index, *rest)


def scatter_row(src: Any, value: Any, reduce: str | None) -> tuple[str, tuple[Any, ...]]:
    """Which row a scatter is, and its last arguments."""
    what = value if src is None else src
    if what is None:
        raise TypeError("scatter() missing 1 required positional arguments: 'src'")
    if reduce is not None:
        if reduce not in ("add", "multiply"):
            raise RuntimeError("reduce argument must be either add or multiply.")
        return "_scatter_combine", (what, reduce)
    return "scatter" if isinstance(what, Tensor) else "_scatter_value", (what,)


def take_along_dim(input: Any, indices: Any, dim: int | None = None, *, out: Any = None) -> Any:
    """gather, with broadcasting; without a dim, on the flattened tensor."""
    if dim is None:
        return take_along_dim(input.reshape(-1), indices.reshape(-1), 0, out=out)
    if indices.dtype is not dt.int64:
        raise RuntimeError("torch.take_along_dim(): dtype of indices should be Long but got "
                           f"{indices.dtype.legacy}")  # fmt: skip
    dim = one_dim(dim, input.ndim)
    size = broadcast_sizes(
        [
            input._spec.size[:dim] + (1,) + input._spec.size[dim + 1 :],
            indices._spec.size[:dim] + (1,) + indices._spec.size[dim + 1 :],
        ]
    )

    def spread(x: Any) -> Any:
        return expand(x, (*size[:dim], x._spec.size[dim], *size[dim + 1 :]))

    indices = indices.where(indices >= 0, indices + input._spec.size[dim])
    return FUNCTIONS["gather"](spread(input), dim, spread(indices), out=out)


def index_put_(self: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
    """x[indices] = values, or += values."""
    from flambeau.indexing import apply, assign, one_mask, put_masked, ready

    # indices without dims are views, as in x[...]; the rest is put into what they show
    seen, found = apply(self, tuple(slice(None) if i is None else i for i in indices))
    mask = one_mask(found)
    if mask is not None and values._spec.numel == 1 and not accumulate:
        dim, where = mask
        put_masked(seen, dim, where, values)
        return self
    tensors, dims = ready(seen, found)
    if tensors:
        put = (tensors, values, dims, accumulate)
        recorder.record_write(TABLE["_index_put"], seen, seen, *put)
    elif accumulate:
        seen.add_(values)
    else:
        assign(seen, values)
    return self


def index_put(input: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
    """A copy in which x[indices] = values, or += values."""
    return index_put_(input.clone(), indices, values, accumulate)


# ------------------------------------------------------------------ masks, which are looked at


def within_range(value: Any, dtype: dt.DType) -> Any:
    """A number that the type can hold, or RuntimeError; 0-dim tensors are looked at."""
    if not isinstance(value, Tensor):
        return fitting(value.item() if hasattr(value, "item") else value, dtype)
    if value.ndim or value.dtype is dtype or value.dtype.kind == "b":
        return value
    fitting(value.item(), dtype)
    return value.real if value.dtype.kind == "c" != dtype.kind else value


masked_fill_row, masked_fill_over = FUNCTIONS["masked_fill"], inplace_of(TABLE["masked_fill"])


def masked_fill(input: Any, mask: Any, value: Any, *, out: Any = None) -> Any:
    """A copy with one value where a mask is true."""
    return masked_fill_row(input, mask, within_range(value, input.dtype), out=out)


def masked_fill_(self: Any, mask: Any, value: Any) -> Any:
    """masked_fill, over the input."""
    return masked_fill_over(self, mask, within_range(value, self.dtype))


def masked_select(input: Any, mask: Any, *, out: Any = None) -> Any:
    """The elements where a mask is true, as one dim."""
    if mask._spec.dtype is not dt.bool_:
        raise RuntimeError(
            f"masked_select: expected BoolTensor for mask, but got {mask._spec.dtype.legacy}Tensor"
        )
    size = broadcast_sizes([input._spec.size, mask._spec.size])
    count = int(np.broadcast_to(mask._memory(), size).sum())
    if out is not None and out.dtype is not input.dtype:
        raise RuntimeError("masked_select(): self and result must have the same scalar type")
    if out is not None:
        refuse_overlap(out, (input, mask))
    return finish(FUNCTIONS["_masked_select"](input, mask, count), out=out, name="masked_select")


def nonzero(input: Any, *, as_tuple: bool = False, out: Any = None) -> Any:
    """Where a tensor is not zero: a row of indices each, or a tuple of index tensors."""
    if out is not None and out.dtype is not dt.int64:
        raise RuntimeError("nonzero: Expected out tensor to have scalar type Long but got scalar "
                           f"type{out.dtype.legacy}")  # fmt: skip
    values = input._memory()
    if as_tuple and not values.ndim:
        values = values.reshape(1)
    places = np.nonzero(values) if values.ndim else [np.zeros(0, np.int64)] * 0
    count = len(places[0]) if len(places) else int(values != 0)
    found = from_array(np.array(places, np.int64).reshape(len(places), count), dt.int64)
    found._spec = spec_of((count, len(places)), (1, count), dt.int64)  # a column lies in one piece
    return found.unbind(1) if as_tuple else finish(found, out=out)


def argwhere(input: Any) -> Any:
    return nonzero(input)


def count_nonzero(input: Any, dim: Any = None) -> Any:
    """How many elements are not zero."""
    return (input != 0).sum(dim) if dim is not None else (input != 0).sum()


# ------------------------------------------------------------------ order


def results(name: str, values: Any, out: Any = None) -> Any:
    """Several results by name; into `out` where it is given."""
    return named(name, values, out)


def sort(
    input: Any, dim: int = -1, descending: bool = False, stable: bool = False, *, out: Any = None
) -> Any:
    """Values in order, and where they were."""
    return results("sort", FUNCTIONS["_sort"](input, dim, descending), out)


def argsort(input: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    """Where the values in order are."""
    return FUNCTIONS["_sort"](input.detach(), dim, descending)[1]


def topk(
    input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True, *, out: Any = None
) -> Any:
    """The k largest or smallest values, and where they are."""
    return results("topk", FUNCTIONS["_topk"](input, k, dim, largest, sorted), out)


def kthvalue(input: Any, k: int, dim: int = -1, keepdim: bool = False, *, out: Any = None) -> Any:
    """The k-th smallest value, and where it is."""
    for target in out or ():
        refuse_overlap(target, (input,))
    return results("kthvalue", FUNCTIONS["_kthvalue"](input, k, dim, keepdim), out)


def msort(input: Any, *, out: Any = None) -> Any:
    """Values in order along the first dim."""
    return fill("msort", sort(input, 0)[0], out)


def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """Ones at the index, zeros elsewhere; the number of classes is looked for unless given."""
    if tensor._spec.dtype is not dt.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    if num_classes == -1:
        if not tensor.numel():
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
        if int(tensor._memory().min()) < 0:
            raise RuntimeError("Class values must be non-negative.")
        num_classes = int(tensor._memory().max()) + 1
    if num_classes < 1:
        raise RuntimeError("num_classes should be positive")
    return FUNCTIONS["_one_hot"](tensor, num_classes)


# ------------------------------------------------------------------ as many as the values say


def unique(
    input: Any,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """Every value once, in order."""
    refuse_complex(input._spec, lacks("unique"), NotImplementedError)
    if dim is not None:
        dim = sliced_dim(input, dim)
    values, inverse, counts = np.unique(
        input._numbers(), return_inverse=True, return_counts=True, axis=dim, equal_nan=False
    )
    inverse = inverse.reshape(input._spec.size if dim is None else -1)
    out = [from_array(dt.narrow(values, input._spec.dtype), input._spec.dtype)]
    out += [from_array(inverse, dt.int64)] * return_inverse
    out += [from_array(counts, dt.int64)] * return_counts
    return tuple(out) if len(out) > 1 else out[0]


def sliced_dim(input: Any, dim: int) -> int:
    """The dim whose slices are compared, of which there must be something to compare."""
    if not input.ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    dim, empty = one_dim(dim, input.ndim), [d for d, n in enumerate(input.shape) if not n]
    if len(empty) > 1:
        raise RuntimeError("Number of zero sized dimensions is more than one, so unique cannot be "
                           "applied ")  # fmt: skip
    if empty and empty != [dim]:
        raise RuntimeError("There are 0 sized dimensions, and they aren't selected, so unique "
                           "cannot be applied")  # fmt: skip
    return dim


def unique_consecutive(
    input: Any, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """Runs of one value as one; along a dim, runs of equal slices."""
    values = input._numbers()
    whole = values.reshape(-1) if dim is None else values
    axis = 0 if dim is None else sliced_dim(input, dim)
    count = whole.shape[axis]
    rows = np.moveaxis(whole, axis, 0).reshape(count, math.prod(whole.shape) // max(count, 1))
    first = np.ones(count, bool)
    first[1:] = (rows[1:] != rows[:-1]).any(1)
    places = np.flatnonzero(first)
    out = [from_array(dt.narrow(whole.take(places, axis), input.dtype), input.dtype)]
    if return_inverse:
        inverse = np.cumsum(first) - 1
        out.append(from_array(inverse.reshape(input._spec.size if dim is None else -1), dt.int64))
    if return_counts:
        out.append(from_array(np.diff(np.append(places, count)), dt.int64))
    return tuple(out) if len(out) > 1 else out[0]


def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Any:
    """How often each number occurs."""
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if input.dtype.kind not in "iu":
        raise NotImplementedError(f"\"bincount_cpu\" not implemented for '{input.dtype.legacy}'")
    if weights is not None and weights.shape != input.shape:
        raise RuntimeError("weights should be 1-d and have the same length as input")
    values = input._memory()
    if values.ndim != 1 or values.size and values.min() < 0:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    counts = np.bincount(values, None if weights is None else weights._numbers(), minlength)
    if weights is None:
        return from_array(counts, dt.int64)
    dtype = dt.float32 if weights._spec.dtype is dt.float32 else dt.float64
    return from_array(dt.narrow(counts, dtype), dtype)


def check_search(rows: Any, input: Any, side: Any, right: bool, sorter: Any) -> None:
    """What searchsorted refuses before it looks at values."""
    start = "torch.searchsorted(): "
    if side not in (None, "left", "right"):
        raise RuntimeError(f"{start}side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise RuntimeError(f"{start}side and right can't be set to opposites, got side of left "
                           "while right was True")  # fmt: skip
    if rows.ndim != 1 and not getattr(input, "ndim", 0):
        raise RuntimeError(f"{start}input value can be a scalar only when boundaries tensor "
                           f"dimension is 1, but we got boundaries tensor dim({rows.ndim}) and "
                           "input value's dim(0) numel(1)")  # fmt: skip
    dtype = input.dtype if isinstance(input, Tensor) else rows.dtype
    if dtype.kind in "bc":
        raise NotImplementedError(f"\"searchsorted_out_cpu\" not implemented for '{dtype.legacy}'")
    if sorter is None:
        return
    if sorter.dtype is not dt.int64:
        raise RuntimeError(f"{start}sorter must be a tensor of long dtype but got dtype "
                           f"{sorter.dtype.legacy}")  # fmt: skip
    if sorter.shape != rows.shape:
        raise RuntimeError(f"{start}boundary and sorter must have the same size, but got boundary "
                           f"tensor {list(rows.shape)} and got sorter tensor "
                           f"{list(sorter.shape)}")  # fmt: skip
    places = sorter._memory()
    if ((places < 0) | (places >= max(rows.shape[-1], 1))).any():
        raise RuntimeError(f"{start}sorter index out of range")


def searchsorted(
    sorted_sequence: Any,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Any = None,
    out: Any = None,
) -> Any:
    """Where numbers belong in a sorted sequence, or in one that `sorter` says how to sort."""
    end: Any = side or ("right" if right else "left")
    check_search(sorted_sequence, input, side, right, sorter)
    dtype = dt.int32 if out_int32 else dt.int64
    if out is not None and out.dtype is not dtype:
        raise RuntimeError(
            "torch.searchsorted(): output tensor's dtype is wrong, it can only be Int(int32) or "
            "Long(int64) depending on whether out_int32 flag is True, but we got output tensor's "
            f"dtype {out.dtype.legacy} and out_int32 flag is {out_int32}")  # fmt: skip
    if (
        sorted_sequence.ndim != 1
        and isinstance(input, Tensor)
        and (sorted_sequence._spec.size[:-1] != input._spec.size[:-1])
    ):
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 "
            f"dimensions of boundaries tensor and input value tensor must match, but we got "
            f"boundaries tensor {list(sorted_sequence._spec.size)} and input value tensor "
            f"{list(input._spec.size)}")  # fmt: skip
    if sorter is not None:
        sorted_sequence = sorted_sequence.detach().gather(-1, sorter)
    rows = sorted_sequence._numbers()
    values = input._numbers() if isinstance(input, Tensor) else np.asarray(input)
    if rows.ndim == 1:
        found = np.searchsorted(rows, values, end)
    else:
        count = math.prod(rows.shape[:-1])
        pairs = zip(rows.reshape(count, -1) if rows.size else [rows.reshape(-1)] * count,
                    values.reshape(count, -1) if values.size else [])  # fmt: skip
        flat = [np.searchsorted(r, v, end) for r, v in pairs]
        found = np.array(flat, np.int64).reshape(values.shape)
    return fill("searchsorted", from_array(np.asarray(found), dtype), out)


def bucketize(
    input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False, out: Any = None
) -> Any:
    """Which bucket each number falls into."""
    if boundaries.ndim != 1:
        raise RuntimeError("torch.bucketize(): boundaries tensor must be 1 dimension, but got "
                           f"dim({boundaries.ndim})")  # fmt: skip
    return searchsorted(boundaries, input, out_int32=out_int32, right=right, out=out)


METHODS = """masked_fill masked_fill_ scatter scatter_ take_along_dim index_put index_put_
    masked_select nonzero argwhere
    count_nonzero sort argsort topk kthvalue msort unique unique_consecutive bincount
    repeat_interleave""".split()
PUBLIC = [name for name in METHODS if name[-1] != "_"] + ["searchsorted", "bucketize"]
__all__ = ["repeat_interleave"]
