"""Rows that read and write by index: x[i], gather and scatter, embedding.

Every index is checked before anything is written; the error is PyTorch's. `tensors` are index
tensors for the dims in `dims`; `source` what is written. A negative index
counts from the end in x[i] only.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.layout import Ints, Spec, broadcast_sizes, broadcast_strides, result_strides
from flambeau.ir.op import Bound
from flambeau.ops.declare import elementwise, structured
from flambeau.ops.rules import one_dim
from flambeau.ops.samples import Refused, Sample, no_samples
from flambeau.trace.modes import Mode

# ------------------------------------------------------------------ x[tensors]


def indexed_size(size: Ints, tensors: Any, dims: Ints) -> Ints:
    """The indexed dims become one block: where they were if side by side, else in front."""
    block = broadcast_sizes([t.size for t in tensors])
    rest = tuple(n for d, n in enumerate(size) if d not in dims)
    at = block_start(dims)
    return rest[:at] + block + rest[at:]


def block_start(dims: Ints) -> int:
    side_by_side = dims == tuple(range(dims[0], dims[0] + len(dims)))
    return dims[0] if side_by_side else 0


def index_shape(mode: Mode, input: Spec, tensors: Any, dims: Ints) -> Any:
    """The dims that are left keep their order in memory, and so do those of the tensors."""
    size = indexed_size(input.size, tensors, dims)
    at = block_start(dims)
    rest = tuple(s for d, s in enumerate(input.stride) if d not in dims)
    none = (0,) * (len(size) - len(rest))
    block = size[at : at + len(none)]
    ways = [rest[:at] + none + rest[at:]]
    for tensor in tensors:
        strides = broadcast_strides(tensor.size, tensor.stride, block)
        ways.append((0,) * at + strides + (0,) * (len(rest) - at))
    return ((size, input.dtype, result_strides(size, ways)),)


def places(input: np.ndarray, tensors: Any, dims: Ints) -> tuple[Any, ...]:
    """NumPy's index, after checking that every place exists."""
    where: list[Any] = [slice(None)] * input.ndim
    for index, d in zip(tensors, dims):
        check_place(index, input.shape[d], d)
        where[d] = index
    return tuple(where)


def check_place(index: np.ndarray, n: int, dim: int) -> None:
    """Refuse places that a dim of n elements does not have, from either end."""
    outside = (index < -n) | (index >= n)
    if outside.any():
        raise IndexError(
            f"index {index[outside].flat[0]} is out of bounds for dimension {dim} with size {n}"
        )


def place_bounds(input: Spec, tensors: Any, dims: Ints) -> list[Bound]:
    """What the tensors of x[tensors] may hold; anything, where there is nothing to look up."""
    sizes = [input.size[d] for d in dims]
    if not input.numel and 0 not in sizes:
        return []
    return [
        Bound("tensors", -n, n, partial(check_place, n=n, dim=d), item)
        for item, (n, d) in enumerate(zip(sizes, dims))
    ]


index = structured(
    "_index(input, tensors, dims)",
    public="Tensor",
    shape=index_shape,
    numpy=lambda x, tensors, dims: x[places(x, tensors, dims)],
    bounds=place_bounds,
    grad=dict(
        input=lambda g, tensors, call: g.new_zeros(call.input.size)._index_put(
            tensors, g, call.dims, True
        )
    ),
    samples=no_samples,
    may_fail=True,
)


def fits(size: Ints, to: Ints) -> bool:
    """Whether a size broadcasts to another."""
    extra = len(size) - len(to)
    if extra > 0 and size[:extra] != (1,) * extra:
        return False
    return all(n in (1, m) for n, m in zip(size[::-1], to[::-1]))


def index_put_shape(
    mode: Mode, input: Spec, tensors: Any, source: Any, dims: Ints, add: bool
) -> Any:
    if isinstance(source, Spec) and source.dtype is not input.dtype:
        raise RuntimeError(
            "Index put requires the source and destination dtypes match, got "
            f"{input.dtype.legacy} for the destination and {source.dtype.legacy} for the source."
        )
    size = indexed_size(input.size, tensors, dims)
    if isinstance(source, Spec) and not fits(source.size, size):
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(source.size)} cannot be "
            f"broadcast to indexing result of shape {list(size)}"
        )
    return ((input.size, input.dtype),)


def index_put_numpy(input: Any, tensors: Any, source: Any, dims: Ints, accumulate: bool) -> Any:
    out, where = input.copy(), places(input, tensors, dims)
    if accumulate:
        np.logical_or.at(out, where, source) if out.dtype == np.bool_ else np.add.at(
            out, where, source
        )
    else:
        out[where] = source
    return out


index_put = structured(
    "_index_put(input, tensors, source, dims, accumulate)",
    public="Tensor",
    shape=index_put_shape,
    numpy=index_put_numpy,
    bounds=lambda input, tensors, source, dims, accumulate: place_bounds(input, tensors, dims),
    grad=dict(
        input=lambda g, tensors, call: (
            g if call.accumulate else g._index_put(tensors, 0, call.dims, False)
        ),
        source=lambda g, tensors, call: g._index(tensors, call.dims),
    ),
    samples=no_samples,
    inplace=True,
    may_fail=True,
)


def first_type(mode: Mode, input: Spec, *rest: Any) -> Any:
    """The type of the first operand."""
    return input.dtype, input.dtype


put_where = elementwise(  # x[mask] = one value
    "put_where(input, mask, other)",
    public="",
    node="IndexPutBackward0",
    dtype=first_type,
    numpy=lambda x, mask, value: np.where(mask != 0, value, x),
    scalar=lambda k, x, mask, value: k.where(k.truth(mask), value, x),
    grad=dict(
        input=lambda g, mask: g.masked_fill(mask, 0), other=lambda g, mask: g.where(mask, 0).sum()
    ),
    samples=no_samples,
)

# ------------------------------------------------------------------ masks


def masked_select_numpy(input: Any, mask: Any, count: int) -> Any:
    input, mask = np.broadcast_arrays(input, mask)
    return input[mask]


masked_select = structured(  # count: how many are true, which was looked at
    "_masked_select(input, mask, count)",
    public="",
    shape=lambda mode, input, mask, count: (((count,), input.dtype),),
    numpy=masked_select_numpy,
    grad=dict(
        input=lambda g, mask, call: g.new_zeros(
            broadcast_sizes([call.input.size, call.mask.size])
        ).masked_scatter(mask, g)
    ),
    samples=no_samples,
)


def masked_scatter_numpy(input: Any, mask: Any, source: Any) -> Any:
    """The next element of the source wherever the mask is true."""
    input, mask = np.broadcast_arrays(input, mask)
    out, wanted = input.copy(), int(mask.sum())
    if wanted > source.size:
        raise RuntimeError("Number of elements of source < number of ones in mask")
    out[mask] = source.reshape(-1)[:wanted]
    return out


def masked_scatter_shape(mode: Mode, input: Spec, mask: Spec, source: Spec) -> Any:
    if mask.dtype is not dt.bool_:
        raise RuntimeError("masked_scatter_ only supports boolean masks, but got mask with dtype "
                           f"{mask.dtype.legacy}")  # fmt: skip
    if source.dtype is not input.dtype:
        raise RuntimeError("masked_scatter: expected self and source to have same dtypes but got "
                           f"{input.dtype.legacy} and {source.dtype.legacy}")  # fmt: skip
    return ((broadcast_sizes([input.size, mask.size]), input.dtype),)


def masked_scatter_source(g: Any, mask: Any, call: Any) -> Any:
    """The gradient at the places that were filled, in front; zeros behind."""
    taken, out = g.masked_select(mask), g.new_zeros((call.source.numel,))
    out.narrow(0, 0, taken.numel()).copy_(taken)
    return out.view(call.source.size)


masked_scatter = structured(
    "masked_scatter(input, mask, source)",
    shape=masked_scatter_shape,
    numpy=masked_scatter_numpy,
    grad=dict(input=lambda g, mask: g.masked_fill(mask, 0), source=masked_scatter_source),
    samples=lambda new: iter(
        [Sample(new(2, 3), new.mask(2, 3), new(2, 3)), Sample(new(2, 3), new.mask(3), new(7))]
    ),
    inplace=True,
    may_fail=True,
)

# ------------------------------------------------------------------ gather, scatter


def clean_dim(input: Any, dim: Any, *rest: Any) -> tuple[Any, ...]:
    return (input, one_dim(dim, input.ndim), *rest)


def check_index(op: str, index: Spec) -> None:
    if index.dtype not in (dt.int64, dt.int32) and index.numel:
        raise RuntimeError(f"{op}(): Expected dtype int32/int64 for index")


def check_ranks(op: str, input: Spec, index: Spec, dim: int) -> None:
    """Index and input must have the same number of dims, and the index fit within the input."""
    if max(input.ndim, 1) != max(index.ndim, 1) and index.numel:
        raise RuntimeError(
            f"Index tensor must have the same number of dimensions as "
            f"{'input' if op == 'gather' else 'self'} tensor"
        )
    for d in range(min(input.ndim, index.ndim)):
        if d != dim and index.size[d] > input.size[d] and index.numel:
            raise RuntimeError(
                f"Size does not match at dimension {d} expected index {list(index.size)} "
                f"to be no larger than self {list(input.size)} apart from dimension "
                f"{dim}"
            )


def gather_shape(mode: Mode, input: Spec, dim: int, index: Spec, sparse_grad: Any) -> Any:
    check_index("gather", index)
    check_ranks("gather", input, index, dim)
    return ((index.size, input.dtype),)


def within(index: Any, n: int, dim: int) -> Any:
    """The index, after checking it."""
    outside = (index < 0) | (index >= n)
    if outside.any():
        raise RuntimeError(
            f"index {index[outside].flat[0]} is out of bounds for dimension {dim} with size {n}"
        )
    return index


def index_bounds(input: Spec, dim: int, index: Spec, *rest: Any) -> list[Bound]:
    """What the index of gather and scatter may hold."""
    n = input.size[dim] if input.ndim else 1
    return [Bound("index", 0, n, partial(within, n=n, dim=dim))]


def along(shape: Ints, dim: int, index: Any) -> tuple[Any, ...]:
    """NumPy's index for 'along a dim': the index itself there, its own place elsewhere."""
    grid = list(np.ogrid[tuple(slice(n) for n in index.shape)])
    grid[dim] = within(index, shape[dim], dim)
    return tuple(grid)


def with_dims(x: Any) -> Any:
    """0-dim arrays as arrays of one element."""
    return x.reshape(1) if isinstance(x, np.ndarray) and not x.ndim else x


def gather_numpy(input: Any, dim: int, index: Any, sparse_grad: Any) -> Any:
    x, i = with_dims(input), with_dims(index)
    return x[along(x.shape, dim, i)].reshape(index.shape) if i.size else np.empty(i.shape, x.dtype)


gather = structured(
    "gather(input, dim, index, *, sparse_grad=False)",
    clean=clean_dim,
    shape=gather_shape,
    numpy=gather_numpy,
    bounds=index_bounds,
    grad=dict(
        input=lambda g, index, call: g.new_zeros(call.input.size).scatter_add(call.dim, index, g)
    ),
    samples=lambda new: iter(
        [
            Sample(new(3, 4), 0, new.index(2, 4, high=3)),
            Sample(new(3, 4), -1, new.index(3, 2, high=4)),
            Sample(new(5), 0, new.index(7, high=5)),
            Sample(new(3, 4), 1, new.index(0, 2, high=3)),
            Refused(
                new(3, 4), 0, new.index(2, high=3), error=RuntimeError, says="same number of dim"
            ),
        ]
    ),
    may_fail=True,
)


def scatter_shape(mode: Mode, input: Spec, dim: int, index: Spec, src: Any, *rest: Any) -> Any:
    check_index("scatter", index)
    check_ranks("scatter", input, index, dim)
    if isinstance(src, Spec):
        if src.dtype is not input.dtype:
            raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
        check_ranks("scatter", src, index, -1)
    return ((input.size, input.dtype),)


REDUCE = {
    "sum": np.add,
    "add": np.add,
    "prod": np.multiply,
    "multiply": np.multiply,
    "amax": np.maximum,
    "amin": np.minimum,
}


def scatter_numpy(input: Any, dim: int, index: Any, src: Any, reduce: Any = None) -> Any:
    """Later elements win where several go to one place; or they are combined."""
    out, i, src = with_dims(input.copy()), with_dims(index), with_dims(src)
    if i.size:
        where = along(out.shape, dim, i)
        whole = isinstance(src, np.ndarray)
        part = src[tuple(map(slice, i.shape))] if whole else np.asarray(src).astype(out.dtype)
        if reduce is None:
            out[where] = part
        else:
            REDUCE[reduce].at(out, where, part)
    return out.reshape(input.shape)


def gather_back(g: Any, index: Any, call: Any) -> Any:
    """The gradient of what was scattered; zeros where src is larger than the index."""
    taken = g.gather(call.dim, index)
    if call.src.size == call.index.size:
        return taken
    out = g.new_zeros(call.src.size)
    part = out
    for d, n in enumerate(call.index.size):
        part = part.narrow(d, 0, n)
    part.copy_(taken)
    return out


scatter = structured(
    "scatter(input, dim, index, src)",
    public="",
    clean=clean_dim,
    shape=scatter_shape,
    numpy=scatter_numpy,
    bounds=index_bounds,
    grad=dict(
        input=lambda g, index, call: g._scatter_value(call.dim, index, 0),
        src=gather_back,
    ),
    samples=no_samples,
    inplace=True,
    may_fail=True,
)


scatter_value = structured(
    "_scatter_value(input, dim, index, src)",
    public="Tensor",
    node="ScatterBackward1",
    clean=clean_dim,
    shape=scatter_shape,
    numpy=scatter_numpy,
    bounds=index_bounds,
    grad=dict(input=lambda g, index, call: g._scatter_value(call.dim, index, 0)),
    samples=no_samples,
    inplace=True,
    may_fail=True,
)


def no_derivative(g: Any) -> Any:
    """scatter(reduce=...) has none in PyTorch either."""
    raise RuntimeError(
        "derivative for aten::scatter_ is not implemented\n  hint: scatter_add has one"
    )


scatter_combine = structured(  # scatter(..., reduce="add") or "multiply"
    "_scatter_combine(input, dim, index, src, reduce)",
    public="",
    clean=clean_dim,
    shape=scatter_shape,
    numpy=scatter_numpy,
    bounds=index_bounds,
    grad=dict(input=no_derivative, src=no_derivative),
    samples=no_samples,
    inplace=True,
    may_fail=True,
)

scatter_add = structured(
    "scatter_add(input, dim, index, src)",
    clean=clean_dim,
    shape=scatter_shape,
    numpy=lambda x, dim, index, src: scatter_numpy(x, dim, index, src, "add"),
    bounds=index_bounds,
    grad=dict(input=lambda g: g, src=gather_back),
    samples=lambda new: iter(
        [
            Sample(new(3, 4), 0, new.index(2, 4, high=3), new(2, 4)),
            Sample(new(3, 4), 1, new.index(3, 6, high=4), new(3, 7)),
            Sample(new(5), 0, new.index(0, high=5), new(0)),
        ]
    ),
    inplace=True,
    may_fail=True,
)
