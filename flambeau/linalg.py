"""torch.linalg: norms and products. Decompositions are not here yet."""

from __future__ import annotations

import math

from flambeau.products import matmul
from flambeau.tensor import FUNCTIONS, Tensor

vector_norm = FUNCTIONS["vector_norm"]


def norm(A, ord=None, dim=None, keepdim=False, *, out=None, dtype=None):
    """A norm of a vector or of a matrix: the number of dims decides which."""
    dims = None if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    if dims is not None and len(dims) not in (1, 2):
        raise RuntimeError("linalg.norm: If dim is specified, it must be of length 1 or 2. Got "
                           f"{list(dims)}")  # fmt: skip
    if ord is None:
        return vector_norm(A, 2, dims, keepdim, dtype=dtype, out=out)
    if isinstance(ord, str):
        return matrix_norm(A, ord, (-2, -1) if dims is None else dims, keepdim, dtype=dtype,
                           out=out)  # fmt: skip
    if dims is None and A.ndim not in (1, 2):
        raise RuntimeError("linalg.norm: If dim is not specified but ord is, the input must be 1D "
                           f"or 2D. Got {A.ndim}D.")  # fmt: skip
    dims = tuple(range(A.ndim)) if dims is None else dims
    kind = matrix_norm if len(dims) == 2 else vector_norm
    return kind(A, ord, dims, keepdim, dtype=dtype, out=out)


def matrix_norm(A, ord="fro", dim=(-2, -1), keepdim=False, *, dtype=None, out=None):
    """'fro', or the largest or smallest sum of a column (±1) or of a row (±inf)."""
    dims = matrix_dims(A, dim)
    if ord == "fro":
        return vector_norm(A, 2, dims, keepdim, dtype=dtype, out=out)
    if ord in ("nuc", 2, -2):
        raise NotImplementedError(f"linalg.matrix_norm with ord={ord!r} needs singular values, "
                                  "which are not supported yet; use 'fro', 1 or inf")  # fmt: skip
    if ord not in (1, -1, math.inf, -math.inf):
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    summed, kept = dims if abs(ord) == 1 else dims[::-1]
    sums = vector_norm(A, 1, summed, True, dtype=dtype)
    if ord < 0:
        result = sums.amin(dims, keepdim)
    else:  # the largest of none is 0
        result = sums.amax(dims, keepdim) if sums.spec.size[kept] else sums.sum(dims, keepdim)
    return result if out is None else out.copy_(result)


def matrix_dims(A, dim):
    """The two dims of a matrix, in PyTorch's words where they are wrong."""
    if A.spec.dtype.kind not in "fc":
        raise RuntimeError("linalg.matrix_norm: Expected a floating point or complex tensor as "
                           f"input. Got {A.spec.dtype.legacy}")  # fmt: skip
    if A.ndim < 2:
        raise RuntimeError("linalg.matrix_norm: The input tensor A must have at least 2 "
                           "dimensions.")  # fmt: skip
    if isinstance(dim, int):
        raise TypeError("linalg_matrix_norm(): argument 'dim' must be tuple of ints, not int")
    if len(dim) != 2:
        raise RuntimeError("linalg.matrix_norm: dim must be a 2-tuple. Got "
                           f"{' '.join(map(str, dim))}")  # fmt: skip
    dims = tuple(d + A.ndim if -A.ndim <= d < 0 else d for d in dim)
    if dims[0] == dims[1]:
        raise RuntimeError(f"linalg.matrix_norm: dims must be different. Got ({dim[0]}, {dim[1]})")
    return dims


def vecdot(x, y, *, dim=-1, out=None):
    """The dot products of vectors along a dim."""
    return FUNCTIONS["sum"](x * y, dim, out=out)


def diagonal(A, *, offset=0, dim1=-2, dim2=-1):
    """The diagonals of matrices, as a view."""
    return Tensor.diagonal(A, offset, dim1, dim2)


def __getattr__(name):
    """What is not here yet, by name."""
    raise AttributeError(f"module 'torch.linalg' has no attribute '{name}'")


__all__ = ["diagonal", "matmul", "matrix_norm", "norm", "vecdot", "vector_norm"]
