"""Factorizations by elimination and by reflections: LU, Cholesky, LDL, QR.

The functions that users call are in flambeau/linalg.py and the files that it names.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.layout import Spec
from flambeau.ops import lapack
from flambeau.ops.functions import function_of
from flambeau.ops.join import cat
from flambeau.ops.linalg_rules import (
    at_least_matrix,
    batches,
    by_columns,
    fitting,
    floating,
    matrix,
    matrix_row,
    not_derived,
    same_type,
    square,
)
from flambeau.trace.modes import Mode

# ------------------------------------------------------------------ triangles


def divided(t: Any, b: Any, upper: bool, unit: bool = False) -> Any:
    """t⁻¹·b for triangular t."""
    return SOLVE_TRIANGULAR(t, b, upper, True, unit)


def divided_right(b: Any, t: Any, upper: bool, unit: bool = False) -> Any:
    """b·t⁻¹ for triangular t."""
    return SOLVE_TRIANGULAR(t, b, upper, False, unit)


def half_lower(x: Any) -> Any:
    """The lower triangle with half of the diagonal: with its conjugate transpose, both sides."""
    return x.tril() - x.diagonal(0, -2, -1).diag_embed() * 0.5


def triangular_shape(mode: Mode, input: Spec, other: Spec, upper: bool, left: bool,
                     unit: bool) -> Any:  # fmt: skip
    name = "linalg.solve_triangular"
    fitting(name, input, other, left)
    floating(name, input, other)
    same_type(name, input, other)
    size = (*batches(input, other), *other.size[-2:])
    return ((size, other.dtype, by_columns(size)),)


def triangular_numpy(t: Any, b: Any, upper: bool, left: bool, unit: bool) -> Any:
    if left:
        return lapack.substitute(t, b, upper, unit)
    turned = lapack.substitute(
        np.swapaxes(t, -1, -2), np.swapaxes(b, -1, -2), not upper, unit
    )  # X·T = B is Tᵀ·Xᵀ = Bᵀ
    return np.swapaxes(turned, -1, -2)


def triangular_back(g: Any, input: Any, call: Any) -> Any:
    return SOLVE_TRIANGULAR(input.mH, g, not call.upper, call.left, call.unit)


def triangular_matrix_back(g: Any, input: Any, out: Any, call: Any) -> Any:
    """Giles 2008, 2.3.1, as far as the triangle is read."""
    g = triangular_back(g, input, call)
    g = -(g @ out.mH if call.left else out.mH @ g)
    first = 1 if call.unit else 0
    return g.triu(first) if call.upper else g.tril(-first)


solve_triangular = matrix_row(
    "linalg_solve_triangular(input, other, upper, left, unit)",
    shape=triangular_shape,
    numpy=triangular_numpy,
    grad=dict(input=triangular_matrix_back, other=triangular_back),
)
SOLVE_TRIANGULAR: Any = function_of(solve_triangular)
JOIN: Any = function_of(cat)


# ------------------------------------------------------------------ LU


def factor_shape(mode: Mode, input: Spec, pivot: bool) -> Any:
    at_least_matrix("torch.lu_factor", input)
    floating("torch.linalg.lu_factor", input)
    if not pivot:
        raise RuntimeError("linalg.lu_factor: LU without pivoting is not implemented on the CPU")
    *batch, m, n = input.size
    return ((input.size, input.dtype, by_columns(input.size)),
            ((*batch, min(m, n)), dt.int32), (tuple(batch), dt.int32))  # fmt: skip


def unit_lower(factors: Any) -> Any:
    """L of the factors, which hold all but its diagonal of ones."""
    k = min(factors.shape[-2:])
    ones = factors.new_ones((k,)).diag_embed()
    return factors[..., :k].tril(-1) + ones.constant_pad_nd((0, 0, 0, factors.shape[-2] - k))


def upper_part(factors: Any) -> Any:
    """U of the factors."""
    return factors[..., : min(factors.shape[-2:]), :].triu()


def factor_back(g: Any, out: Any, out1: Any) -> Any:
    """The gradient of both triangles at once."""
    k = min(out.shape[-2:])
    low, up = g[0][..., :k].tril(-1), g[0][..., :k, :].triu()
    return lu_back(low, up, PERMUTATION(out1, out.shape[-2], out.dtype),
                   unit_lower(out), upper_part(out))  # fmt: skip


def lu_back(gl: Any, gu: Any, p: Any, low: Any, up: Any) -> Any:
    """The gradient of P·L·U, of which one factor may be no square.

    With A = P·L·U square, dL = L·tril₋₁(L⁻¹·dA·U⁻¹) and dU = triu(…)·U (de Hoog, Anderssen & Lukas
    2011, "Differentiation of matrix functionals using triangular factorization"); the rows or
    columns beyond the square are products with an inverse triangle.
    """
    k = up.shape[-2]
    low1, low2, up1, up2 = low[..., :k, :], low[..., k:, :], up[..., :k], up[..., k:]
    below = low1.mH @ gl[..., :k, :]
    above = gu[..., :k] @ up1.mH
    if low2.shape[-2]:
        above = above - low2.mH @ gl[..., k:, :]
    if up2.shape[-1]:
        below = below - gu[..., k:] @ up2.mH
    inner = divided(low1.mH, below.tril(-1) + above.triu(), True, True)
    ga = divided_right(inner, up1.mH, False)
    if low2.shape[-2]:
        ga = JOIN([ga, divided_right(gl[..., k:, :], up1.mH, False)], -2)
    if up2.shape[-1]:
        ga = JOIN([ga, divided(low1.mH, gu[..., k:], True, True)], -1)
    return ga if p is None else p @ ga


lu_factor_ex = matrix_row(
    "linalg_lu_factor_ex(input, pivot)",
    shape=factor_shape,
    numpy=lapack.lu,
    grad=dict(input=factor_back),
)

permutation = matrix_row(  # P of the exchanges that lu_factor made
    "lu_permutation(input, rows, dtype)",
    shape=lambda mode, input, rows, dtype: (((*input.size[:-1], rows, rows), dtype),),
    numpy=lambda pivots, rows, dtype: np.swapaxes(
        np.eye(rows)[lapack.permutation(pivots, rows)], -1, -2
    ),
)
PERMUTATION: Any = function_of(permutation)


def lu_shape(mode: Mode, input: Spec, pivot: bool) -> Any:
    at_least_matrix("linalg.lu", input)
    floating("linalg.lu", input)
    if not pivot:
        raise RuntimeError("linalg.lu_factor: LU without pivoting is not implemented on the CPU")
    *batch, m, n = input.size
    k = min(m, n)
    return (((*batch, m, m), input.dtype), ((*batch, m, k), input.dtype),
            ((*batch, k, n), input.dtype))  # fmt: skip


def lu_numpy(a: Any, pivot: bool) -> Any:
    factors, pivots, _ = lapack.lu(a, pivot)
    m, n = a.shape[-2:]
    k = min(m, n)
    order = np.eye(m, dtype=a.dtype)[lapack.permutation(pivots, m)]
    low = np.tril(factors[..., :k], -1) + np.eye(m, k, dtype=a.dtype)
    return np.swapaxes(order, -1, -2), low, np.triu(factors[..., :k, :])


lu = matrix_row(
    "linalg_lu(input, pivot)",
    shape=lu_shape,
    numpy=lu_numpy,
    grad=dict(
        input=lambda g, out, out1, out2: lu_back(g[1].tril(-1), g[2].triu(), out, out1, out2)
    ),
)

# ------------------------------------------------------------------ Cholesky


def cholesky_shape(mode: Mode, input: Spec, upper: bool) -> Any:
    square("linalg.cholesky", input)
    floating("linalg.cholesky", input)
    return (input.size, input.dtype, by_columns(input.size)), (input.size[:-2], dt.int32)


def cholesky_numpy(a: Any, upper: bool) -> Any:
    low, info = lapack.cholesky(lapack.hermitian(a) if upper else a)
    return lapack.hermitian(low) if upper else low, info


def cholesky_back(g: Any, out: Any, call: Any) -> Any:
    """L⁻ᴴ·Φ(Lᴴ·gL)·L⁻¹ made hermitian (Murray 2016, "Differentiation of the Cholesky
    decomposition")."""
    low, g = (out.mH, g[0].mH) if call.upper else (out, g[0])
    below = (low.mH @ g).tril()
    whole = (below + below.tril(-1).mH) * 0.5
    return divided_right(divided(low.mH, whole, True), low, False)


cholesky_ex = matrix_row(
    "linalg_cholesky_ex(input, upper)",
    shape=cholesky_shape,
    numpy=cholesky_numpy,
    grad=dict(input=cholesky_back),
)

# ------------------------------------------------------------------ LDL


def ldl_shape(mode: Mode, input: Spec, hermitian: bool) -> Any:
    square("torch.linalg.ldl_factor_ex", input)
    floating("torch.linalg.ldl_factor_ex", input)
    return ((input.size, input.dtype, by_columns(input.size)), (input.size[:-1], dt.int32),
            (input.size[:-2], dt.int32))  # fmt: skip


ldl_factor_ex = matrix_row(
    "linalg_ldl_factor_ex(input, hermitian)",
    shape=ldl_shape,
    numpy=lapack.ldl,
    grad=dict(input=not_derived("linalg_ldl_factor_ex")),
)

# ------------------------------------------------------------------ QR


def qr_shape(mode: Mode, input: Spec, qr_mode: str) -> Any:
    matrix("linalg.qr", input)
    floating("linalg.qr", input)
    *batch, m, n = input.size
    k = m if qr_mode == "complete" else min(m, n)
    q = (0,) if qr_mode == "r" else (*batch, m, k)
    r = (*batch, k, n)
    return ((q, input.dtype, by_columns(q) if len(q) > 1 else None),
            (r, input.dtype, by_columns(r)))  # fmt: skip


def qr_numpy(a: Any, mode: Any) -> Any:
    *batch, m, n = a.shape
    if mode == "r":
        return np.zeros(0, a.dtype), np.linalg.qr(a, "r") if a.size else a[..., : min(m, n), :]
    if not a.size:
        k = m if mode == "complete" else min(m, n)
        return np.broadcast_to(np.eye(m, k), (*batch, m, k)), np.zeros((*batch, k, n))
    return tuple(np.linalg.qr(a, mode))


def qr_back(g: Any, out: Any, out1: Any, call: Any) -> Any:
    """(gQ + Q·copyltu(R·gRᴴ - gQᴴ·Q))·R⁻ᴴ (Walter & Lehmann 2010, "Algorithmic differentiation of
    linear algebra functions"); where columns are more than rows, those beyond the square are Q·gR.
    """
    *_, m, n = call.input.size
    if call.qr_mode == "r":
        raise NotImplementedError(
            "The derivative of linalg.qr depends on Q, which is not computed when mode='r'. "
            "Please use linalg.qr(A, mode='reduced') if you are going to require gradients through "
            "linalg.qr.")  # fmt: skip
    if call.qr_mode == "complete" and m > n:
        raise NotImplementedError(
            "The QR decomposition is not differentiable when mode='complete' and nrows > ncols."
        )
    (gq, gr), q, r = g, out, out1
    if m >= n:
        return tall_qr_back(gq, gr, q, r)
    gr, beyond, r, right = gr[..., :m], gr[..., m:], r[..., :m], r[..., m:]
    gq = gq + q @ (right @ beyond.mH)
    return JOIN([tall_qr_back(gq, gr, q, r), q @ beyond], -1)


def tall_qr_back(gq: Any, gr: Any, q: Any, r: Any) -> Any:
    half = half_lower(r @ gr.mH - gq.mH @ q)
    return divided_right(gq + q @ (half + half.mH), r.mH, False)


qr = matrix_row(
    "linalg_qr(input, qr_mode)",
    shape=qr_shape,
    numpy=qr_numpy,
    grad=dict(input=qr_back),
)


def geqrf_shape(mode: Mode, input: Spec) -> Any:
    matrix("torch.geqrf", input, "input")
    floating("torch.geqrf", input)
    size = input.size
    return (size, input.dtype, by_columns(size)), ((*size[:-2], min(size[-2:])), input.dtype)


geqrf = matrix_row(
    "_geqrf(input)",
    node="GeqrfBackward0",
    shape=geqrf_shape,
    numpy=lapack.geqrf,
    grad=dict(input=not_derived("geqrf")),
)


# ------------------------------------------------------------------ reflections


def reflectors(a: Any, tau: Any) -> tuple[Any, Any]:
    """V and T of the product of reflections 1 - V·T·Vᴴ (Joffrain, Low, Quintana-Ortí & van de Geijn
    2006, "Accumulating Householder transformations, revisited")."""
    k = tau.shape[-1]
    ones = a.new_ones((k,)).diag_embed().constant_pad_nd((0, 0, 0, a.shape[-2] - k))
    v = a[..., :k].tril(-1) + ones
    middle = (v.mH @ v).triu(1) * tau.unsqueeze(-1)
    return v, divided(middle, tau.diag_embed(), True, True)


def householder_numpy(a: Any, tau: Any) -> Any:
    """The reflections from the last to the first, on the first columns of the identity."""
    m, n = a.shape[-2:]
    q = np.array(np.broadcast_to(np.eye(m, n, dtype=a.dtype), a.shape))
    for i in reversed(range(tau.shape[-1])):
        v = np.array(a[..., i:, i, None])
        v[..., 0, :] = 1
        rest = q[..., i:, :]
        rest -= tau[..., i, None, None] * v @ (lapack.hermitian(v) @ rest)
    return q


def householder_back(g: Any, input: Any, tensor1: Any) -> tuple[Any, Any]:
    """The gradients of the reflectors and of tau, by way of V and T."""
    n, k, tau = input.shape[-1], tensor1.shape[-1], tensor1
    if not k:
        return None, None
    v, t = reflectors(input, tau)
    top, gram = v[..., :n, :], (v.mH @ v).triu(1)
    gt = divided((gram * tau.unsqueeze(-1)).mH, -(v.mH @ g @ top), False, True)
    gs = -(gt @ t.mH)  # T = (1 + S)⁻¹·diag tau with S = diag tau·gram
    gtau = gt.diagonal(0, -2, -1) + (gs * gram.conj()).sum(-1)
    gw = (gs * tau.conj().unsqueeze(-1)).triu(1)
    gv = v @ (gw + gw.mH) - g @ top @ t.mH
    below = (g.mH @ v @ t).constant_pad_nd((0, 0, 0, input.shape[-2] - n))
    return (gv - below).tril(-1).constant_pad_nd((0, n - k)), gtau


def householder_shape(mode: Mode, input: Spec, tensor1: Spec) -> Any:
    floating("torch.linalg.householder_product", input)
    return ((input.size, input.dtype, by_columns(input.size)),)


householder_product = matrix_row(
    "linalg_householder_product(input, tensor1)",
    shape=householder_shape,
    numpy=householder_numpy,
    grad=dict(
        input=lambda g, input, tensor1: householder_back(g, input, tensor1)[0],
        tensor1=lambda g, input, tensor1: householder_back(g, input, tensor1)[1],
    ),
)
