"""Functions that lay elements out anew: stacking, repeating, flipping, grids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flambeau.filling import fill
from flambeau.ir import dtype as dt
from flambeau.ir.layout import broadcast_sizes
from flambeau.ops.rules import one_dim
from flambeau.tensor import FUNCTIONS, Tensor, from_array
from flambeau.viewing import expand, ints, reshape, transpose, unsqueeze


def cat(*args: Any, **kwargs: Any) -> Any:
    """Tensors one after the other along a dim."""
    return FUNCTIONS["cat"](*args, **kwargs)


# ------------------------------------------------------------------ ranks


def each(function: Any) -> Any:
    """A function of one tensor that takes several as well."""

    def run(*tensors: Any) -> Any:
        if len(tensors) == 1 and not isinstance(tensors[0], Tensor):
            tensors = tuple(tensors[0])
            return tuple(map(function, tensors))
        return function(tensors[0]) if len(tensors) == 1 else tuple(map(function, tensors))

    run.__name__ = run.__qualname__ = function.__name__
    return run


def atleast_1d(x: Any) -> Any:
    return reshape(x, (1,)) if not x.ndim else x


def atleast_2d(x: Any) -> Any:
    return reshape(x, (1, 1)) if not x.ndim else unsqueeze(x, 0) if x.ndim == 1 else x


def atleast_3d(x: Any) -> Any:
    if x.ndim < 2:
        return unsqueeze(atleast_2d(x), -1)
    return unsqueeze(x, -1) if x.ndim == 2 else x


def some(name: str, tensors: Any) -> Any:
    """The tensors, of which there must be one at least."""
    if isinstance(tensors, Tensor):
        raise TypeError(f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not "
                        "Tensor")  # fmt: skip
    if not tensors:
        raise RuntimeError(f"{name} expects a non-empty TensorList")
    return tensors


def hstack(tensors: Any, *, out: Any = None) -> Any:
    """Side by side: along the second dim, vectors along their only one."""
    tensors = [atleast_1d(x) for x in some("hstack", tensors)]
    return cat(tensors, 0 if tensors[0].ndim == 1 else 1, out=out)


def vstack(tensors: Any, *, out: Any = None) -> Any:
    """One above the other, vectors as rows."""
    return cat([atleast_2d(x) for x in some("vstack", tensors)], 0, out=out)


def dstack(tensors: Any, *, out: Any = None) -> Any:
    """Along the third dim."""
    return cat([atleast_3d(x) for x in some("dstack", tensors)], 2, out=out)


def column_stack(tensors: Any, *, out: Any = None) -> Any:
    """Side by side, vectors as columns."""
    return hstack([reshape(x, (x.numel(), 1)) if x.ndim < 2 else x for x in tensors], out=out)


# ------------------------------------------------------------------ repeating


def repeat(self: Any, *given: Any, repeats: Any = None) -> Any:
    """Copies along every dim."""
    sizes = ints(given if repeats is None else (repeats,))
    if len(sizes) < self.ndim:
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of "
            "dimensions of tensor"
        )
    if min(sizes, default=0) < 0:
        raise RuntimeError(
            f"Trying to create tensor with negative dimension {min(sizes)}: {list(sizes)}"
        )
    return FUNCTIONS["_repeat"](self, sizes)


def tile(input: Any, *given: Any, dims: Any = None) -> Any:
    """repeat, with ones in front where dims are missing."""
    dims = ints(given if dims is None else (dims,))
    return repeat(input, (1,) * (input.ndim - len(dims)) + dims)


def repeat_interleave(
    input: Any, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Any:
    """Each element (or slice) several times in a row."""
    if isinstance(input, Tensor) and (repeats is None or isinstance(repeats, Tensor)):
        check_repeats(input if repeats is None else repeats)
    if repeats is None:
        return from_array(np.repeat(np.arange(input.numel()), input._memory()), dt.int64)
    if dim is None:
        input, dim = reshape(input, (-1,)), 0
    dim = one_dim(dim, input.ndim)
    if isinstance(repeats, Tensor):
        if repeats.numel() not in (1, input._spec.size[dim]):
            raise RuntimeError("repeats must have the same size as input along dim, but got "
                               f"repeats.size(0) = {repeats.numel()} and input.size({dim}) = "
                               f"{input._spec.size[dim]}")  # fmt: skip
        counts = np.broadcast_to(repeats._memory(), input._spec.size[dim])
        where = np.repeat(np.arange(input._spec.size[dim]), counts)
        if output_size not in (None, len(where)):
            raise RuntimeError("allocated size does not match required size")
        return input.index_select(dim, from_array(where, dt.int64))
    if isinstance(repeats, (tuple, list)):
        raise TypeError("repeat_interleave() received an invalid combination of arguments - got "
                        f"repeats of type {type(repeats).__name__}")  # fmt: skip
    if repeats < 0:
        raise RuntimeError("Repeats must be non-negative")
    size = input._spec.size
    spread = expand(unsqueeze(input, dim + 1), (*size[: dim + 1], repeats, *size[dim + 1 :]))
    copy = spread.clone(memory_format="torch.contiguous_format")
    return copy.view((*size[:dim], size[dim] * repeats, *size[dim + 1 :]))


def check_repeats(repeats: Any) -> None:
    """How often elements are repeated: whole numbers that are not negative, in one dim at most."""
    if repeats.dtype not in (dt.int64, dt.int32):
        raise NotImplementedError("\"repeat_interleave_cpu\" not implemented for "
                                  f"'{repeats.dtype.legacy}'")  # fmt: skip
    if repeats.ndim > 1:
        raise RuntimeError("repeat_interleave only accept 1D vector as repeat")
    if (repeats._memory() < 0).any():
        raise RuntimeError("repeats can not be negative")


# ------------------------------------------------------------------ turning


def flip(input: Any, *given: Any, dims: Any = None) -> Any:
    """Some dims backwards."""
    given = given if dims is None else (dims,)
    return FUNCTIONS["_flip"](input, ints(given))


def fliplr(input: Any) -> Any:
    if input.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip(input, 1)


def flipud(input: Any) -> Any:
    if input.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return flip(input, 0)


def rot90(input: Any, k: int = 1, dims: Any = (0, 1)) -> Any:
    """Turned by k quarters, from the first of two dims towards the second."""
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if input.ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {input.ndim}")
    a, b = (one_dim(d, input.ndim) for d in dims)
    if a == b:
        raise RuntimeError("expected rotation dims to be different, but got dim0 = "
                           f"{dims[0]} and dim1 = {dims[1]}")  # fmt: skip
    turns = k % 4
    if turns == 1:
        return transpose(flip(input, b), a, b)
    if turns == 2:
        return flip(input, a, b)
    return flip(transpose(input, a, b), b) if turns == 3 else input.clone()


def diag(input: Any, diagonal: int = 0, *, out: Any = None) -> Any:
    """A vector as a diagonal matrix, or the diagonal of a matrix."""
    if input.ndim == 1:
        return fill("diag", FUNCTIONS["diag_embed"](input, diagonal), out)
    if input.ndim != 2:
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.ndim}D")
    return fill("diag", input.diagonal(diagonal).clone(), out)


def diagflat(input: Any, offset: int = 0) -> Any:
    return FUNCTIONS["diag_embed"](reshape(input, (-1,)), offset)


# ------------------------------------------------------------------ padding

MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}  # PyTorch's → NumPy's


def pad(input: Any, pad: Any, mode: str = "constant", value: Any = None) -> Any:
    """More elements before and after the last dims: a value, or the tensor's own again."""
    if mode == "constant":
        return FUNCTIONS["constant_pad_nd"](input, tuple(pad), 0 if value is None else value)
    if mode not in MODES:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if value is not None:
        raise ValueError(f'Padding mode "{mode}" doesn\'t take in value argument')
    for i in range(0, len(pad), 2):
        dim = input.ndim - 1 - i // 2
        where = padded_index(input._spec.size, dim, pad[i], pad[i + 1], mode)
        input = input.index_select(dim, from_array(where, dt.int64))
    return input


def padded_index(size: Any, dim: int, before: int, after: int, mode: str) -> np.ndarray:
    """Which index along a dim stands where."""
    n = size[dim]
    limit = max(before, after) if mode == "replicate" else n - (mode == "reflect")
    if min(before, after) < 0 or max(before, after) > limit:
        raise RuntimeError(
            "Padding size should be less than the corresponding input dimension, but got: padding "
            f"({before}, {after}) at dimension {dim} of input {list(size)}"
        )
    return np.pad(np.arange(n), (before, after), mode=MODES[mode])  # type: ignore[call-overload]


# ------------------------------------------------------------------ several tensors


def broadcast_tensors(*tensors: Any) -> tuple[Any, ...]:
    """All tensors expanded to their common size."""
    given = one_by_one(tensors)
    size = broadcast_sizes([x._spec.size for x in given])
    return tuple(x if x._spec.size == size else expand(x, size) for x in given)


def one_by_one(tensors: tuple[Any, ...]) -> Sequence[Any]:
    """Tensors given as arguments, or as one list."""
    listed = len(tensors) == 1 and isinstance(tensors[0], (tuple, list))
    return tensors[0] if listed else tensors


def broadcast_shapes(*shapes: Any) -> Any:
    """The common size of sizes."""
    from flambeau.size import Size

    sizes = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    if any(n < 0 for size in sizes for n in size):
        raise ValueError("Attempting to broadcast a dimension with negative length!")
    return Size(broadcast_sizes(sizes))


def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Any, ...]:
    """Coordinates of a grid, one tensor an axis."""
    axes = [atleast_1d(x) for x in some("meshgrid", one_by_one(tensors))]
    for x in axes:
        if x.ndim > 1:
            raise RuntimeError("torch.meshgrid: Expected 0D or 1D tensor in the tensor list but "
                               f"got: {x}")  # fmt: skip
        if x.dtype is not axes[0].dtype:
            raise RuntimeError("meshgrid expects all tensors to have the same dtype")
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(
            f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}'
        )
    swap = indexing == "xy" and len(axes) > 1
    if swap:
        axes[0], axes[1] = axes[1], axes[0]
    size, n = tuple(x.numel() for x in axes), len(axes)
    grids = [
        expand(reshape(x, (1,) * i + (-1,) + (1,) * (n - 1 - i)), size)
        for i, x in enumerate(axes)
    ]
    if swap:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


def cartesian_prod(*tensors: Any) -> Any:
    """Every combination of elements, a row each."""
    for x in tensors:
        if x.ndim != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(x.shape)}")
    if len(tensors) == 1:
        return tensors[0]
    return FUNCTIONS["stack"]([reshape(g, (-1,)) for g in meshgrid(*tensors, indexing="ij")], 1)


def combinations(input: Any, r: int = 2, with_replacement: bool = False) -> Any:
    """Every choice of r elements of a vector, a row each."""
    import itertools

    if input.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if not r:
        return input.new_empty(0)
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    places = np.array(list(choose(range(input.numel()), r)), np.int64).reshape(-1)
    return input.index_select(0, from_array(places, dt.int64)).view((-1 if len(places) else 0, r))


def block_diag(*tensors: Any) -> Any:
    """Matrices along the diagonal, zeros elsewhere; vectors count as rows."""
    for n, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise TypeError(f"expected Tensor as element {n} in argument 0, but got "
                            f"{type(x).__name__}")  # fmt: skip
        if x.ndim > 2:
            raise RuntimeError("torch.block_diag: Input tensors must have 2 or fewer dimensions. "
                               f"Input {n} has {x.ndim} dimensions")  # fmt: skip
    blocks = [atleast_2d(x) for x in tensors] or [FUNCTIONS["full"]((1, 0), 0, dtype=dt.float32)]
    width, before, rows = sum(x.shape[1] for x in blocks), 0, []
    for x in blocks:
        after = width - before - x.shape[1]
        rows.append(FUNCTIONS["constant_pad_nd"](x, (before, after)))
        before += x.shape[1]
    return cat(rows, 0)


def _chunk_cat(tensors: Any, dim: int, num_chunks: int, *, out: Any = None) -> Any:
    """Each tensor cut along a dim into chunks, padded with zeros, and the n-th chunks put together.

    The result has the dims before `dim`, the chunks, and what a chunk holds of all tensors.
    """
    if not tensors:
        raise RuntimeError("_chunk_cat expects a non-empty input tensor list")
    if num_chunks < 1:
        raise RuntimeError("_chunk_cat expects positive num_chunks")
    first = tensors[0]
    dim = one_dim(dim, first.ndim)
    for x in tensors:
        if x.dtype is not first.dtype:
            raise RuntimeError("_chunk_cat expects all input tensors with the same dtype")
        if not x.numel():
            raise RuntimeError("_chunk_cat expects non-empty tensor")
        if x.ndim <= dim:
            raise RuntimeError("_chunk_cat expects dim < ndim for all input tensors")
        if x.shape[:dim] != first.shape[:dim]:
            raise RuntimeError("_chunk_cat expects same sizes of 0,...,dim-1 dimensions for all "
                               "tensors")  # fmt: skip
    return cat([chunked(x, dim, num_chunks) for x in tensors], dim + 1, out=out)


def chunked(x: Any, dim: int, count: int) -> Any:
    """A tensor as [..., count, what a chunk holds], with zeros behind where it does not fit."""
    missing = -x.shape[dim] % count
    if missing:
        x = FUNCTIONS["constant_pad_nd"](x, (0, 0) * (x.ndim - 1 - dim) + (0, missing))
    return reshape(x, (*x.shape[:dim], count, -1))


row_stack = vstack
METHODS = "repeat tile flip fliplr flipud rot90 diag diagflat".split()
PUBLIC = (
    METHODS[1:]
    + """hstack vstack dstack row_stack column_stack repeat_interleave
    broadcast_tensors broadcast_shapes meshgrid cartesian_prod combinations block_diag
    _chunk_cat""".split()
)
atleast_1d, atleast_2d, atleast_3d = map(each, (atleast_1d, atleast_2d, atleast_3d))
PUBLIC += ["atleast_1d", "atleast_2d", "atleast_3d"]
