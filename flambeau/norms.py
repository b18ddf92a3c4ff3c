"""Norms and condition numbers of vectors and matrices."""

from __future__ import annotations

import math

from flambeau.filling import fill
from flambeau.tensor import FUNCTIONS


def vector_norm(x, ord=2, dim=None, keepdim=False, *, dtype=None, out=None):
    """(Σ |x|^ord)^(1/ord) of all elements, or along dims, and the limits of it."""
    return FUNCTIONS["vector_norm"](x, ord, dim, keepdim, dtype=dtype, out=out)


def norm(input, ord=None, dim=None, keepdim=False, *, out=None, dtype=None):
    """A norm of a vector or of a matrix: the number of dims decides which."""
    dims = None if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    if dims is not None and len(dims) not in (1, 2):
        raise RuntimeError("linalg.norm: If dim is specified, it must be of length 1 or 2. Got "
                           f"{list(dims)}")  # fmt: skip
    if ord is None:
        return vector_norm(input, 2, dims, keepdim, dtype=dtype, out=out)
    if isinstance(ord, str):
        return matrix_norm(input, ord, (-2, -1) if dims is None else dims, keepdim, dtype=dtype,
                           out=out)  # fmt: skip
    if dims is None and input.ndim not in (1, 2):
        raise RuntimeError("linalg.norm: If dim is not specified but ord is, the input must be 1D "
                           f"or 2D. Got {input.ndim}D.")  # fmt: skip
    dims = tuple(range(input.ndim)) if dims is None else dims
    kind = matrix_norm if len(dims) == 2 else vector_norm
    return kind(input, ord, dims, keepdim, dtype=dtype, out=out)


def matrix_norm(input, ord="fro", dim=(-2, -1), keepdim=False, *, dtype=None, out=None):
    """'fro'; 'nuc', the sum of the singular values, 2 and -2, the largest and smallest; the largest
    or smallest sum of a column (±1) or of a row (±inf)."""
    dims = matrix_dims(input, dim)
    if ord == "fro":
        return vector_norm(input, 2, dims, keepdim, dtype=dtype, out=out)
    if ord in ("nuc", 2, -2):
        return fill("linalg_matrix_norm", by_values(input, ord, dims, keepdim, dtype), out)
    if isinstance(ord, str) or ord not in (1, -1, math.inf, -math.inf):
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    summed, kept = dims if abs(ord) == 1 else dims[::-1]
    sums = vector_norm(input, 1, summed, True, dtype=dtype)
    if ord < 0:
        result = sums.amin(dims, keepdim)
    else:  # the largest of none is 0
        result = sums.amax(dims, keepdim) if sums._spec.size[kept] else sums.sum(dims, keepdim)
    return fill("linalg_matrix_norm", result, out)


def by_values(A, ord, dims, keepdim, dtype):
    """The norms that singular values tell."""
    A = A if dtype is None else A.to(dtype)
    s = FUNCTIONS["linalg_svdvals"](A.movedim(dims, (-2, -1)))
    if ord == "nuc":
        result = s.sum(-1)
    elif not s.shape[-1] and ord == 2:
        result = s.sum(-1)
    else:
        result = s.amax(-1) if ord == 2 else s.amin(-1)
    if not keepdim:
        return result
    for d in sorted(d % A.ndim for d in dims):
        result = result.unsqueeze(d)
    return result


def matrix_dims(A, dim):
    """The two dims of a matrix, in PyTorch's words where they are wrong."""
    if A._spec.dtype.kind not in "fc":
        raise RuntimeError("linalg.matrix_norm: Expected a floating point or complex tensor as "
                           f"input. Got {A._spec.dtype.legacy}")  # fmt: skip
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


def nuclear_norm(input, dim=None, keepdim=False, *, out=None):
    """The sum of the singular values (the old name of matrix_norm with 'nuc')."""
    if isinstance(dim, bool):  # the form without dims
        dim, keepdim = None, dim
    return matrix_norm(input, "nuc", (-2, -1) if dim is None else tuple(dim), keepdim, out=out)


def frobenius_norm(input, dim, keepdim=False, *, out=None):
    """The square root of the sum of squares (the old name of vector_norm)."""
    return vector_norm(input, 2, dim, keepdim, out=out)


def cond(input, p=None, *, out=None):
    """|A|·|A⁻¹| in one of the norms; infinite where there is no inverse."""
    if input.ndim < 2:
        raise RuntimeError("linalg.cond: The input tensor must have at least 2 dimensions.")
    if p is not None and p not in ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf):
        raise RuntimeError(f"linalg.cond got an invalid norm type: {p}")
    if not input.numel():
        result = input.new_zeros(input.shape[:-2], dtype=input.dtype.to_real())
    elif p in (None, 2, -2):
        s = FUNCTIONS["linalg_svdvals"](input)
        result = s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    else:
        result = norm_times_inverse(input, p)
    return fill("linalg.cond", result, out, False)


def norm_times_inverse(A, p):
    m, n = A.shape[-2:]
    if m != n:
        raise RuntimeError(f"linalg.cond(ord={p}): A must be batches of square matrices, but they "
                           f"are {m} by {n} matrices")  # fmt: skip
    inverse, info = FUNCTIONS["linalg_inv_ex"](A)
    singular = (info != 0).unsqueeze(-1).unsqueeze(-1)
    size = matrix_norm(A, p) * matrix_norm(inverse.masked_fill(singular, math.inf), p)
    return size.nan_to_num(math.inf, math.inf, -math.inf)
