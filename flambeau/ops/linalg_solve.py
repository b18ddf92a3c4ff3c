"""Inverses and systems of linear equations."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.layout import Ints, Spec, broadcast_sizes
from flambeau.ops import lapack
from flambeau.ops.functions import function_of
from flambeau.ops.linalg_factor import PERMUTATION, unit_lower, upper_part
from flambeau.ops.linalg_rules import (
    batches,
    by_columns,
    decomposed,
    fitting,
    floating,
    matrix_row,
    not_derived,
    same_type,
    square,
)
from flambeau.trace.modes import Mode

# ------------------------------------------------------------------ inverse, solve


def inverse_shape(mode: Mode, input: Spec) -> Any:
    square("linalg.inv", input)
    floating("linalg.inv", input)
    return (input.size, input.dtype, by_columns(input.size)), (input.size[:-2], dt.int32)


def inverse_numpy(a: Any) -> Any:
    """The inverse, and where the elimination met a zero."""
    info = np.zeros(a.shape[:-2], np.int32)
    try:
        return np.linalg.inv(a), info
    except np.linalg.LinAlgError:
        factors, pivots, info = lapack.lu(a)
        return lapack.lu_solve(factors, pivots, np.eye(a.shape[-1], dtype=a.dtype), False), info


inv_ex = matrix_row(
    "linalg_inv_ex(input)",
    shape=inverse_shape,
    numpy=inverse_numpy,
    grad=dict(input=lambda g, out: -(out.mH @ g[0] @ out.mH)),  # Giles 2008, 2.2.3
)


def is_vector(a: Any, b: Any) -> bool:
    """Whether b is one right-hand side for each matrix rather than a matrix of them."""
    size, other = tuple(a.size), tuple(b.size)
    return len(other) == 1 or len(size) - 1 == len(other) and other == size[:-1]


def solve_shape(mode: Mode, input: Spec, other: Spec, left: bool) -> Any:
    name = "linalg.solve"
    square(name, input)
    floating(name, input, other)
    same_type(name, input, other)
    batch = solve_batch(input, other, left)
    size: Ints
    if is_vector(input, other):
        size = (*batch, input.size[-1])
    else:
        size = (*batch, *other.size[-2:])
    stride = by_columns(size) if left and len(size) > 1 else None
    return (size, other.dtype, stride), (batch, dt.int32)


def solve_batch(input: Spec, other: Spec, left: bool) -> Ints:
    """The batch of solutions; refuses what does not fit."""
    if not is_vector(input, other):
        fitting("linalg.solve", input, other, left)
        return batches(input, other)
    if not left:
        raise RuntimeError("linalg.solve: Vector broadcasting of the left hand side is not "
                           "supported for left=False. In this case linalg.solve is equivalent to "
                           "B / A.squeeze(-1)")  # fmt: skip
    if other.size[-1] != input.size[-1]:
        n = input.size[-1]
        raise RuntimeError(f"linalg.solve: Incompatible shapes of A and B for the equation AX = B "
                           f"({n}x{n} and {other.size[-1]}x1)")  # fmt: skip
    return broadcast_sizes([input.size[:-2], other.size[:-1]])


def solve_numpy(a: Any, b: Any, left: bool) -> Any:
    if len(b.shape) == 1 or a.ndim - 1 == b.ndim and b.shape == a.shape[:-1]:
        x, info = solve_numpy(a, b[..., None], True)
        return x[..., 0], info
    if not left:
        x, info = solve_numpy(np.swapaxes(a, -1, -2), np.swapaxes(b, -1, -2), True)
        return np.swapaxes(x, -1, -2), info
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    info = np.zeros(batch, np.int32)
    b = np.broadcast_to(b, (*batch, *b.shape[-2:]))
    try:
        return np.linalg.solve(a, b), info
    except np.linalg.LinAlgError:
        factors, pivots, info = lapack.lu(a)
        return lapack.lu_solve(factors, pivots, b, False), np.broadcast_to(info, batch)


def solve_back(g: Any, input: Any, call: Any) -> Any:
    return SOLVE(input.mH, g[0], call.left)[0]


def solve_matrix_back(g: Any, input: Any, out: Any, call: Any) -> Any:
    """-A⁻ᴴ·g·Xᴴ (Giles 2008, 2.3.1)."""
    gb = solve_back(g, input, call)
    if is_vector(call.input, call.other):
        return -(gb.unsqueeze(-1) * out.conj().unsqueeze(-2))
    return -(gb @ out.mH) if call.left else -(out.mH @ gb)


solve_ex = matrix_row(
    "linalg_solve_ex(input, other, left)",
    shape=solve_shape,
    numpy=solve_numpy,
    grad=dict(input=solve_matrix_back, other=solve_back),
)
SOLVE: Any = function_of(solve_ex)

# ------------------------------------------------------------------ from factors


def lu_solve_shape(mode: Mode, input: Spec, indices: Spec, other: Spec, left: bool,
                   adjoint: bool) -> Any:  # fmt: skip
    name = "torch.linalg.lu_solve"
    floating(name, input)
    if indices.dtype is not dt.int32:
        raise RuntimeError("linalg.lu_solve: pivots should be a Tensor of scalar type torch.int32")
    same_type(name, input, other, "LU B")
    fitting(name, input, other, left, "LU B")
    if indices.size[-1:] != input.size[-1:]:
        raise RuntimeError("linalg.lu_solve: Number of pivots per batch should be same as the "
                           "dimension of the matrix")  # fmt: skip
    if indices.size[:-1] != input.size[:-2]:
        raise RuntimeError(
            "linalg.lu_solve: Expected LU.shape[:-1] and pivots.shape to be the "
            f"same, but got pivots with shape {list(indices.size)} instead"
        )
    size = (*batches(input, other), *other.size[-2:])
    return ((size, other.dtype, by_columns(size) if left else None),)


def lu_solve_numpy(factors: Any, pivots: Any, b: Any, left: bool, adjoint: bool) -> Any:
    if left:
        return lapack.lu_solve(factors, pivots, b, adjoint)
    return lapack.hermitian(
        lapack.lu_solve(factors, pivots, lapack.hermitian(b), not adjoint)
    )  # X·A = B is Aᴴ·Xᴴ = Bᴴ


def lu_solve_back(g: Any, input: Any, indices: Any, call: Any) -> Any:
    return LU_SOLVE(input, indices, g, call.left, not call.adjoint)


def lu_solve_factors_back(g: Any, input: Any, indices: Any, out: Any, call: Any) -> Any:
    """The gradient of A, -gB·Xᴴ or its mirror image, taken to the triangles."""
    gb = lu_solve_back(g, input, indices, call)
    ga = -(gb @ out.mH if call.left else out.mH @ gb)
    ga = ga.mH if call.adjoint else ga
    ga = PERMUTATION(indices, input.shape[-1], input.dtype).mH @ ga
    return (ga @ upper_part(input).mH).tril(-1) + (unit_lower(input).mH @ ga).triu()


lu_solve = matrix_row(
    "linalg_lu_solve(input, indices, other, left, adjoint)",
    shape=lu_solve_shape,
    numpy=lu_solve_numpy,
    grad=dict(input=lu_solve_factors_back, other=lu_solve_back),
)
LU_SOLVE: Any = function_of(lu_solve)


def ldl_solve_shape(mode: Mode, input: Spec, indices: Spec, other: Spec, hermitian: bool) -> Any:
    name = "torch.linalg.ldl_solve"
    fitting(name, input, other, True)
    if indices.ndim != input.ndim - 1 or indices.size != input.size[:-1]:
        raise RuntimeError(f"{name}: Expected LD.shape[:-1] and pivots.shape to be the same, but "
                           f"got pivots with shape {list(indices.size)} instead")  # fmt: skip
    if indices.dtype.kind not in "iu":
        raise RuntimeError(f"{name}: Expected pivots to be integers. Got {indices.dtype.legacy}")
    floating(name, input)
    same_type(name, input, other, "LD B")
    size = (*batches(input, other), *other.size[-2:])
    return ((size, other.dtype, by_columns(size)),)


ldl_solve = matrix_row(
    "linalg_ldl_solve(input, indices, other, hermitian)",
    shape=ldl_solve_shape,
    numpy=lapack.ldl_solve,
    grad=dict(input=not_derived("linalg_ldl_solve"), other=not_derived("linalg_ldl_solve")),
)


def cholesky_solve_shape(mode: Mode, input: Spec, other: Spec, upper: bool) -> Any:
    for spec, name in ((input, "b"), (other, "u")):
        if spec.ndim < 2:
            raise RuntimeError(f"{name} should have at least 2 dimensions, but has {spec.ndim} "
                               "dimensions instead")  # fmt: skip
    fitting("cholesky_solve", other, input, True)
    floating("cholesky_solve", input, other)
    same_type("cholesky_solve", input, other, "b u")
    size = (*batches(input, other), *input.size[-2:])
    return ((size, input.dtype, by_columns(size)),)


def cholesky_solve_numpy(b: Any, factor: Any, upper: bool) -> Any:
    low = lapack.hermitian(factor) if upper else factor
    y = lapack.substitute(low, b, False, False)
    return lapack.substitute(lapack.hermitian(low), y, True, False)


def cholesky_solve_factor_back(g: Any, other: Any, out: Any, call: Any) -> Any:
    common = CHOLESKY_SOLVE(g, other, call.upper) @ out.mH
    common = common + common.mH
    return -(other @ common) if call.upper else -(common @ other)


cholesky_solve = matrix_row(
    "cholesky_solve(input, other, upper=False)",
    shape=cholesky_solve_shape,
    numpy=cholesky_solve_numpy,
    grad=dict(
        input=lambda g, other, call: CHOLESKY_SOLVE(g, other, call.upper),
        other=cholesky_solve_factor_back,
    ),
)
CHOLESKY_SOLVE: Any = function_of(cholesky_solve)


def cholesky_inverse_shape(mode: Mode, input: Spec, upper: bool) -> Any:
    square("cholesky_inverse", input)
    floating("cholesky_inverse", input)
    return ((input.size, input.dtype, by_columns(input.size)),)


def cholesky_inverse_back(g: Any, input: Any, out: Any, call: Any) -> Any:
    common = out @ (g + g.mH) @ out
    return -(input @ common) if call.upper else -(common @ input)


cholesky_inverse = matrix_row(
    "cholesky_inverse(input, upper=False)",
    shape=cholesky_inverse_shape,
    numpy=lambda factor, upper: cholesky_solve_numpy(
        np.eye(factor.shape[-1], dtype=factor.dtype), factor, upper
    ),
    grad=dict(input=cholesky_inverse_back),
)

# ------------------------------------------------------------------ without one solution


def pinv_shape(mode: Mode, input: Spec, tensor1: Spec, tensor2: Spec, hermitian: bool) -> Any:
    floating("linalg.pinv", input)
    *batch, m, n = input.size
    size = broadcast_sizes([tuple(batch), tensor1.size, tensor2.size])
    return (((*size, n, m), input.dtype),)


def pinv_numpy(a: Any, atol: Any, rtol: Any, hermitian: bool) -> Any:
    """V·S⁻¹·Uᴴ without the singular values that count as 0."""
    if not a.size:
        return np.zeros((a.shape[-1], a.shape[-2]), a.dtype)
    if hermitian:
        s, u = np.linalg.eigh(a)
        left, right, size = u, lapack.hermitian(u), np.abs(s)
    else:
        u, s, vh = decomposed(a, full_matrices=False)
        left, right, size = lapack.hermitian(vh), lapack.hermitian(u), s
    kept = size > np.maximum(atol[..., None], rtol[..., None] * size.max(-1, keepdims=True))
    inverse = np.where(kept, 1 / np.where(kept, s, 1), 0).astype(s.dtype)
    return (left * inverse[..., None, :]) @ right


def pinv_back(g: Any, input: Any, out: Any) -> Any:
    """Golub & Pereyra 1973, "The differentiation of pseudo-inverses and nonlinear least squares
    problems whose variables separate", for the rank that the matrix has."""
    a, p, gh = input, out, g.mH
    first = -(p @ gh @ p).mH
    left = (gh @ p) @ p.mH
    right = p.mH @ (p @ gh)
    return first + (left - a @ (p @ left)) + (right - (right @ p) @ a)


pinv = matrix_row(
    "linalg_pinv(input, tensor1, tensor2, hermitian)",
    shape=pinv_shape,
    numpy=pinv_numpy,
    grad=dict(input=pinv_back),
)
PINV: Any = function_of(pinv)


def lstsq_shape(mode: Mode, input: Spec, other: Spec, rcond: float) -> Any:
    *batch, m, n = input.size
    k = other.size[-1]
    real = input.dtype.to_real()
    return (((*batch, n, k), other.dtype, by_columns((*batch, n, k))), ((0,), real),
            (tuple(batch), dt.int64), ((*batch, min(m, n)), real))  # fmt: skip


def lstsq_numpy(a: Any, b: Any, rcond: float) -> Any:
    """The shortest of the best solutions, by singular values; their number above the cut."""
    real = a.real.dtype
    none = np.zeros(0, real)
    if 0 in a.shape:
        size = (*a.shape[:-2], min(a.shape[-2:]))
        x = np.zeros((*a.shape[:-2], a.shape[-1], b.shape[-1]), b.dtype)
        return x, none, np.zeros(a.shape[:-2], np.int64), np.zeros(size, real)
    u, s, vh = decomposed(a, full_matrices=False)
    kept = s > rcond * s.max(-1, keepdims=True)
    inverse = np.where(kept, 1 / np.where(kept, s, 1), 0).astype(s.dtype)
    x = lapack.hermitian(vh) @ (inverse[..., None] * (lapack.hermitian(u) @ b))
    return x, none, kept.sum(-1), s


def lstsq_pinv(a: Any, rcond: float) -> Any:
    real = a.dtype.to_real()
    return PINV(a, a.new_zeros((), dtype=real), a.new_zeros((), dtype=real) + rcond, False)


def lstsq_matrix_back(g: Any, input: Any, other: Any, call: Any) -> Any:
    """X is pinv(A)·B."""
    return pinv_back(g[0] @ other.mH, input, lstsq_pinv(input, call.rcond))


lstsq = matrix_row(
    "linalg_lstsq(input, other, rcond)",
    shape=lstsq_shape,
    numpy=lstsq_numpy,
    grad=dict(
        input=lstsq_matrix_back,
        other=lambda g, input, call: lstsq_pinv(input, call.rcond).mH @ g[0],
    ),
)
