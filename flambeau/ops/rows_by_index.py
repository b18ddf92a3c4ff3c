"""Rows that take whole slices by an index along one dim: index_select and its kin, embedding."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.layout import Spec
from flambeau.ir.op import Bound
from flambeau.ops.declare import structured
from flambeau.ops.samples import Refused, Sample, no_samples
from flambeau.ops.select import check_place, clean_dim
from flambeau.trace.modes import Mode


def replaced(size: Any, dim: int, n: int) -> Any:
    """A size with one dim changed."""
    return (*size[:dim], n, *size[dim + 1 :]) if size else size


def check_rows(op: str, index: Spec) -> None:
    if index.ndim > 1:
        raise IndexError(f"{op}(): Index is supposed to be a vector")


def in_self(index: Any, n: int) -> Any:
    """The index as a vector, after checking it."""
    if ((index < 0) | (index >= n)).any():
        raise IndexError("index out of range in self")
    return index.reshape(-1)


def row_bounds(input: Spec, dim: int, index: Spec, *rest: Any) -> list[Bound]:
    """What an index of slices may hold."""
    n = input.size[dim] if input.ndim else 1
    return [Bound("index", 0, n, partial(in_self, n=n))]


def index_select_shape(mode: Mode, input: Spec, dim: int, index: Spec) -> Any:
    check_rows("index_select", index)
    if index.dtype not in (dt.int64, dt.int32):
        raise RuntimeError("index_select(): Expected dtype int32 or int64 for index")
    if not input.ndim and index.numel != 1:
        raise RuntimeError(
            f"index_select(): Index to scalar can have only 1 value, got {index.numel} value(s)"
        )
    return ((replaced(input.size, dim, index.numel), input.dtype),)


def index_select_numpy(input: Any, dim: int, index: Any) -> Any:
    x = input.reshape(1) if not input.ndim else input
    return np.take(x, in_self(index, x.shape[dim]), dim).reshape(
        replaced(input.shape, dim, index.size)
    )


index_select = structured(
    "index_select(input, dim, index)",
    clean=clean_dim,
    shape=index_select_shape,
    numpy=index_select_numpy,
    bounds=row_bounds,
    grad=dict(
        input=lambda g, index, call: g.new_zeros(call.input.size).index_add(call.dim, index, g)
    ),
    samples=lambda new: iter(
        [
            Sample(new(3, 4), 0, new.index(5, high=3)),
            Sample(new(3, 4), -1, new.index(2, high=4)),
            Sample(new(5), 0, new.index(0, high=5)),
            Sample(new(4, 3).t(), 1, new.index(2, high=4)),
            Refused(new(3, 4), 0, new.index(2, 2, high=3), error=IndexError, says="to be a vector"),
        ]
    ),
    may_fail=True,
)


def check_slices(op: str, input: Spec, dim: int, index: Spec, source: Spec) -> None:
    """As many slices of the source as indices, each of the type and the size of the input's."""
    if index.ndim > 1:
        raise IndexError(
            f"{op}(): Index is supposed to be a vector, but got dim: {index.ndim} with type: "
            f"{index.dtype.legacy} and size: {list(index.size)}"
        )
    if index.dtype not in (dt.int64, dt.int32):
        raise RuntimeError(f"{op}(): Expected dtype int32/int64 for index but got: "
                           f"{index.dtype.legacy}")  # fmt: skip
    if source.dtype is not input.dtype:
        raise RuntimeError(f"{op}(): self ({input.dtype.legacy}) and source "
                           f"({source.dtype.legacy}) must have the same scalar type")  # fmt: skip
    sizes = input.size, source.size
    if len(sizes[0]) != len(sizes[1]) or any(
        a != b for d, (a, b) in enumerate(zip(*sizes)) if d != dim
    ):
        raise RuntimeError("source tensor shape must match self tensor shape, excluding the "
                           f"specified dimension. Got self.shape = {list(input.size)} "
                           f"source.shape = {list(source.size)}")  # fmt: skip
    count = source.size[dim] if source.ndim else 1
    if count != index.numel:
        raise RuntimeError(f"{op}(): Number of indices ({index.numel}) should be equal to "
                           f"source.size(dim): ({count}), for dim: {dim}")  # fmt: skip


def index_add_shape(
    mode: Mode, input: Spec, dim: int, index: Spec, source: Spec, alpha: Any
) -> Any:
    check_slices("index_add_", input, dim, index, source)
    return ((input.size, input.dtype),)


def index_copy_shape(mode: Mode, input: Spec, dim: int, index: Spec, source: Spec) -> Any:
    """Slices that are copied; a 0-dim tensor counts as one of one element."""
    if index.dtype is not dt.int64:
        raise RuntimeError("index_copy_(): Expected a long tensor for index, but got "
                           f"{index.dtype.legacy}")  # fmt: skip
    if index.ndim > 1:
        raise IndexError(f"index_copy_(): Index should have dimension 1 or 0 (got {index.ndim})")
    if source.dtype is not input.dtype:
        raise RuntimeError("index_copy_(): self and source expected to have the same dtype, but "
                           f"got (self) {input.dtype.legacy} and (source) "
                           f"{source.dtype.legacy}")  # fmt: skip
    if input.ndim and source.ndim and input.ndim != source.ndim:
        raise IndexError("index_copy_(): When source and destination are not scalars, their "
                         "dimensionality must match. Source dimensionality "
                         f"({source.ndim}), destination dimensionality ({input.ndim})")  # fmt: skip
    if not source.ndim and index.numel != 1:
        raise IndexError("index_copy_(): When source is scalar, index should have one element (got "
                         f"{index.numel})")  # fmt: skip
    rest = input.size[:dim] + input.size[dim + 1 :]
    if rest != source.size[:dim] + source.size[dim + 1 :]:
        raise RuntimeError("index_copy_(): Source/destination tensor must have same slice shapes. "
                           f"Destination slice shape: {list(rest)} at dimension {dim} and source "
                           f"{list(source.size)}")  # fmt: skip
    if source.ndim and index.numel != source.size[dim]:
        raise IndexError(f"index_copy_(): Number of indices ({index.numel}) should be equal to "
                         f"source.size(dim) ({source.size[dim]})")  # fmt: skip
    return ((input.size, input.dtype),)


def index_write(combine: Any, checked: Any = in_self) -> Any:
    """The NumPy meaning of a write of slices."""

    def run(input: Any, dim: int, index: Any, source: Any, *alpha: Any) -> Any:
        out = input.reshape(1).copy() if not input.ndim else input.copy()
        where = (slice(None),) * dim + (checked(index, out.shape[dim]),)
        if alpha and not (alpha[0].__class__ is int and alpha[0] == 1):
            source = source * np.asarray(alpha[0]).astype(out.dtype)
        if isinstance(source, np.ndarray) and not source.ndim and not input.ndim:
            source = source.reshape(1)
        combine(out, where, source)
        return out.reshape(input.shape)

    return run


def assign(out: Any, where: Any, source: Any) -> None:
    out[where] = source


def add_at(out: Any, where: Any, source: Any) -> None:
    np.logical_or.at(out, where, source) if out.dtype == np.bool_ else np.add.at(out, where, source)


def scaled(g: Any, alpha: Any) -> Any:
    return g if alpha.__class__ is int and alpha == 1 else g * alpha


index_add = structured(
    "index_add(input, dim, index, source, *, alpha=1)",
    numbers=("alpha",),
    clean=clean_dim,
    shape=index_add_shape,
    numpy=index_write(add_at),
    bounds=row_bounds,
    grad=dict(
        input=lambda g: g,
        source=lambda g, index, call: scaled(g.index_select(call.dim, index), call.alpha),
    ),
    samples=lambda new: iter(
        [
            Sample(new(3, 4), 0, new.index(5, high=3), new(5, 4)),
            Sample(new(3, 4), 1, new.index(2, high=4), new(3, 2), alpha=2),
        ]
    ),
    inplace=True,
    may_fail=True,
)

index_copy = structured(
    "index_copy(input, dim, index, source)",
    clean=clean_dim,
    shape=index_copy_shape,
    numpy=index_write(assign),
    bounds=row_bounds,
    grad=dict(
        input=lambda g, index, call: g.index_fill(call.dim, index, 0),
        source=lambda g, index, call: g.index_select(call.dim, index),
    ),
    samples=no_samples,
    inplace=True,
    may_fail=True,
)


def index_fill_shape(mode: Mode, input: Spec, dim: int, index: Spec, value: Any) -> Any:
    """The value is a number, or a tensor that holds one."""
    if isinstance(value, Spec) and value.ndim:
        raise RuntimeError("index_fill_ only supports a 0-dimensional value tensor, but got tensor "
                           f"with {value.ndim} dimension(s).")  # fmt: skip
    if index.dtype is not dt.int64:
        raise IndexError("index_fill_(): Expected dtype int64 for index.")
    check_rows("index_fill_", index)
    return ((input.size, input.dtype),)


def fill_numpy(input: Any, dim: int, index: Any, value: Any) -> Any:
    """The one write of slices in which a negative index counts from the end."""

    def from_either_end(index: Any, n: int) -> Any:
        check_place(index, n, dim)
        return index.reshape(-1)

    return index_write(assign, from_either_end)(input, dim, index, value)


def fill_bounds(input: Spec, dim: int, index: Spec, value: Any) -> list[Bound]:
    n = input.size[dim] if input.ndim else 1
    return [Bound("index", -n, n, partial(check_place, n=n, dim=dim))]


index_fill = structured(
    "index_fill(input, dim, index, value)",
    numbers=("value",),
    clean=clean_dim,
    shape=index_fill_shape,
    numpy=fill_numpy,
    bounds=fill_bounds,
    grad=dict(
        input=lambda g, index, call: g.index_fill(call.dim, index, 0),
        value=lambda g, index, call: (g - g.index_fill(call.dim, index, 0)).sum(),
    ),
    samples=no_samples,
    inplace=True,
    may_fail=True,
)

# ------------------------------------------------------------------ embedding


def embedding_shape(mode: Mode, weight: Spec, indices: Spec, *rest: Any) -> Any:
    if weight.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    if indices.dtype not in (dt.int64, dt.int32):
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following "
            f"scalar types: Long, Int; but got torch.{indices.dtype.legacy}Tensor "
            "instead (while checking arguments for embedding)"
        )
    return (((*indices.size, weight.size[1]), weight.dtype),)


def embedding_numpy(weight: Any, indices: Any, *rest: Any) -> Any:
    return weight[in_self(indices, len(weight))].reshape(*indices.shape, weight.shape[1])


embedding = structured(
    "embedding(weight, indices, padding_idx=-1, scale_grad_by_freq=False, sparse=False)",
    public="torch",
    shape=embedding_shape,
    numpy=embedding_numpy,
    bounds=lambda weight, indices, *_: [
        Bound("indices", 0, weight.size[0], partial(in_self, n=weight.size[0]))
    ],
    grad=dict(
        weight=lambda g, indices, call: (
            g._embedding_sparse_backward if call.sparse else g._embedding_backward
        )(indices, call.weight.size[0], call.padding_idx, call.scale_grad_by_freq)
    ),
    samples=lambda new: iter(
        [
            Sample(new(5, 3), new.index(4, high=5)),
            Sample(new(5, 3), new.index(2, 2, high=5), 1),
            Sample(new(5, 3), new.index(0, high=5)),
        ]
    ),
    may_fail=True,
)


def embedding_backward_numpy(g: Any, indices: Any, rows: int, padding: int, scale: bool) -> Any:
    """Sum the gradients of each row; those of the padding row do not count."""
    flat, g = indices.reshape(-1), g.reshape(-1, g.shape[-1])
    out = np.zeros((rows, g.shape[1]), g.dtype)
    keep = flat != padding
    flat, g = flat[keep], g[keep]
    if scale:
        g = g / np.bincount(flat, minlength=rows)[flat][:, None].astype(g.dtype)
    np.add.at(out, flat, g)
    return out


def embedding_again(g: Any, indices: Any, call: Any) -> Any:
    """The derivative of the sum: gather, with zeros for the padding row."""
    out = g.index_select(0, indices.reshape(-1)).view((*call.indices.size, g.size(1)))
    return out.masked_fill((indices == call.padding).unsqueeze(-1), 0)


embedding_backward = structured(
    "_embedding_backward(input, indices, rows, padding, scale)",
    public="Tensor",
    node="EmbeddingDenseBackward0",
    shape=lambda mode, input, indices, rows, padding, scale: (
        ((rows, input.size[-1]), input.dtype),
    ),
    numpy=embedding_backward_numpy,
    grad=dict(input=embedding_again),
    samples=no_samples,
)

# ------------------------------------------------------------------ take


def take_shape(mode: Mode, input: Spec, index: Spec) -> Any:
    if index.dtype is not dt.int64:
        raise RuntimeError(
            f"take(): Expected a long tensor for index, but got {index.dtype.legacy}"
        )
    return ((index.size, input.dtype),)


def check_flat(index: np.ndarray, n: int) -> None:
    """Refuse what is no place among n elements, from either end."""
    wrong = (index < -n) | (index >= n)
    if wrong.any():
        raise IndexError(
            f"out of range: tried to access index {index[wrong].flat[0]} on a tensor of {n} "
            "elements."
        )


def flat_bounds(input: Spec, index: Spec, *rest: Any) -> list[Bound]:
    """What the index of take and put may hold."""
    return [Bound("index", -input.numel, input.numel, partial(check_flat, n=input.numel))]


def take_numpy(input: Any, index: Any) -> Any:
    check_flat(index, input.size)
    return input.reshape(-1)[index]


take = structured(
    "take(input, index)",
    shape=take_shape,
    numpy=take_numpy,
    bounds=flat_bounds,
    grad=dict(
        input=lambda g, index, call: (
            g.new_zeros((call.input.numel,))
            ._index_put([index], g, (0,), True)
            .view(call.input.size)
        )
    ),
    samples=lambda new: iter([Sample(new(3, 4), new.index(2, 2, high=12))]),
    may_fail=True,
)
