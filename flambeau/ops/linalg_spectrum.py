"""Singular values, eigenvalues, and functions of matrices that they define."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.ir.layout import Ints, Spec
from flambeau.ops import lapack
from flambeau.ops.functions import function_of
from flambeau.ops.join import cat
from flambeau.ops.linalg_rules import by_columns, decomposed, floating, matrix, matrix_row, square
from flambeau.ops.linalg_solve import inv_ex, solve_ex
from flambeau.trace.modes import Mode

SOLVE: Any = function_of(solve_ex)
INVERSE: Any = function_of(inv_ex)
JOIN: Any = function_of(cat)

# ------------------------------------------------------------------ singular values


def low_precision(name: str, spec: Spec) -> None:
    """Kernels that PyTorch lacks for float16 and bfloat16."""
    if spec.dtype.itemsize < (4 if spec.dtype.kind == "f" else 8) and spec.dtype.kind in "fc":
        raise NotImplementedError(f"\"{name}\" not implemented for '{spec.dtype.legacy}'")


def svd_shape(mode: Mode, input: Spec, full: bool) -> Any:
    matrix("linalg.svd", input)
    floating("linalg.svd", input, low=True)
    low_precision("linalg_svd_cpu", input)
    *batch, m, n = input.size
    k = min(m, n)
    u, v = (*batch, m, m if full else k), (*batch, n if full else k, n)
    return ((u, input.dtype, by_columns(u)), ((*batch, k), input.dtype.to_real()),
            (v, input.dtype, by_columns(v)))  # fmt: skip


def svd_numpy(a: Any, full: bool) -> Any:
    if not a.size:
        *batch, m, n = a.shape
        k = min(m, n)
        u, v = (m, m if full else k), (n if full else k, n)
        return (np.broadcast_to(np.eye(*u), (*batch, *u)), np.zeros((*batch, k)),
                np.broadcast_to(np.eye(*v), (*batch, *v)))  # fmt: skip
    return tuple(decomposed(a, full_matrices=full))


def skew(x: Any) -> Any:
    return x - x.mH


def quotients(x: Any, gaps: Any) -> Any:
    """x / gaps off the diagonal; of equal values nothing leaves nothing."""
    x = x - x.diagonal(0, -2, -1).diag_embed()
    return x / gaps.masked_fill((gaps == 0) & (x == 0), 1)


def phase_numpy(x: Any, other: Any, name: str, vectors: str) -> Any:
    """x, after a look at whether both phases together leave nothing."""
    if np.abs((x + other).imag).max(initial=0) > 1e-2:
        raise RuntimeError(f"{name}: The {vectors} in the complex case are specified up to "
                           "multiplication by e^{i phi}. The specified loss function depends on "
                           "this quantity, so it is ill-defined.")  # fmt: skip
    return x


phase_free = matrix_row(
    "phase_free(input, other, name, vectors)",
    shape=lambda mode, input, *rest: ((input.size, input.dtype),),
    numpy=phase_numpy,
    grad=dict(input=lambda g: g),
    may_fail=True,
)
PHASE: Any = function_of(phase_free)


def without_phase(turn: Any, name: str) -> Any:
    """Vᴴ·gV of complex eigenvectors without what turning their phases would change: nothing."""
    if turn.dtype.kind != "c":
        return turn
    along = turn.diagonal(0, -2, -1)
    return turn - PHASE(along, along * 0, name, "eigenvectors").imag.diag_embed() * 1j


def svd_back(g: Any, out: Any, out1: Any, out2: Any, call: Any) -> Any:
    """Giles 2008, 3.3; Wan & Zhang 2019, "Automatic differentiation for complex valued SVD"."""
    (gu, gs, gv), s = g, out1
    k = s.shape[-1]
    u, gu, v, gv = out[..., :k], gu[..., :k], out2[..., :k, :].mH, gv[..., :k, :].mH
    square = s * s
    gaps = square.unsqueeze(-2) - square.unsqueeze(-1)
    turn_u, turn_v = u.mH @ gu, v.mH @ gv
    inner = quotients(skew(turn_u), gaps) * s.unsqueeze(-2)
    inner = inner + quotients(skew(turn_v), gaps) * s.unsqueeze(-1)
    middle = gs.to(inner.dtype)
    if call.input.dtype.kind == "c":  # of both phases, one turns with the other
        phase = [skew(turn).diagonal(0, -2, -1) * 0.5 for turn in (turn_u, turn_v)]
        middle = middle + PHASE(*phase, "svd_backward", "singular vectors") / s
    ga = u @ (inner + middle.diag_embed()) @ v.mH
    *_, m, n = call.input.size
    if m > k:
        rest = gu / s.unsqueeze(-2)
        ga = ga + (rest - u @ (u.mH @ rest)) @ v.mH
    if n > k:
        rest = (gv / s.unsqueeze(-2)).mH
        ga = ga + u @ (rest - (rest @ v) @ v.mH)
    return ga


svd = matrix_row(
    "linalg_svd(input, full)",
    shape=svd_shape,
    numpy=svd_numpy,
    grad=dict(input=svd_back),
    may_fail=True,
)
SVD: Any = function_of(svd)


def singular_values_back(g: Any, input: Any) -> Any:
    u, _, vh = SVD(input, False)
    return (u * g.unsqueeze(-2)) @ vh


svdvals = matrix_row(
    "linalg_svdvals(input)",
    node="LinalgSvdBackward0",
    shape=lambda mode, input: (svd_shape(mode, input, False)[1],),
    numpy=lambda a: decomposed(a, compute_uv=False) if a.size else svd_numpy(a, False)[1],
    grad=dict(input=singular_values_back),
    may_fail=True,
)

# ------------------------------------------------------------------ eigenvalues


def eigh_shape(mode: Mode, input: Spec, uplo: str) -> Any:
    square("linalg.eigh", input)
    floating("linalg.eigh", input)
    return ((input.size[:-1], input.dtype.to_real()),
            (input.size, input.dtype, by_columns(input.size)))  # fmt: skip


def eigh_numpy(a: Any, uplo: Any) -> Any:
    return tuple(np.linalg.eigh(a, uplo)) if a.size else (np.zeros(a.shape[:-1]), a)


def eigh_back(g: Any, out: Any, out1: Any) -> Any:
    """V·(diag gw + (Vᴴ·gV) / gaps)·Vᴴ (Giles 2008, 3.1), made hermitian."""
    w, v = out, out1
    gaps = w.unsqueeze(-2) - w.unsqueeze(-1)
    inner = quotients(without_phase(v.mH @ g[1], "linalg_eigh_backward"), gaps)
    inner = (inner + inner.mH) * 0.5 + g[0].to(inner.dtype).diag_embed()
    return v @ inner @ v.mH


eigh = matrix_row(
    "linalg_eigh(input, uplo)",
    shape=eigh_shape,
    numpy=eigh_numpy,
    grad=dict(input=eigh_back),
)
EIGH: Any = function_of(eigh)


def eigvalsh_back(g: Any, input: Any, call: Any) -> Any:
    _, v = EIGH(input, call.uplo)
    return (v * g.unsqueeze(-2)) @ v.mH


eigvalsh = matrix_row(
    "linalg_eigvalsh(input, uplo)",
    node="LinalgEighBackward0",
    shape=lambda mode, input, uplo: (eigh_shape(mode, input, uplo)[0],),
    numpy=lambda a, uplo: np.linalg.eigvalsh(a, uplo) if a.size else eigh_numpy(a, uplo)[0],
    grad=dict(input=eigvalsh_back),
)


def eig_shape(mode: Mode, input: Spec) -> Any:
    square("linalg.eig", input)
    floating("linalg.eig", input)
    dtype = input.dtype if input.dtype.kind == "c" else input.dtype.to_complex()
    return (input.size[:-1], dtype), (input.size, dtype, by_columns(input.size))


def eig_numpy(a: Any) -> Any:
    if not a.size:
        return np.zeros(a.shape[:-1], complex), np.zeros(a.shape, complex)
    if not np.isfinite(a).all():
        raise RuntimeError("torch.linalg.eig: input tensor should not contain infs or NaNs.")
    return tuple(np.linalg.eig(a))


def eig_back(g: Any, out: Any, out1: Any) -> Any:
    """V⁻ᴴ·(diag gw + (VᴴgV - VᴴV·diag Re(VᴴgV)) / conj gaps)·Vᴴ, the vectors being of length 1
    (Boeddeker, Hanebrink, Drude, Heymann & Haeb-Umbach 2017, "On the computation of complex-valued
    gradients with application to statistically optimum beamforming", 4.13)."""
    w, v = out, out1
    gaps = w.unsqueeze(-2) - w.unsqueeze(-1)
    turn = without_phase(v.mH @ g[1], "linalg_eig_backward")
    along = turn.diagonal(0, -2, -1).real
    turn = turn - v.mH @ (v * along.unsqueeze(-2))
    inner = quotients(turn, gaps.conj()) + g[0].diag_embed()
    return SOLVE(v.mH, inner @ v.mH, True)[0]


eig = matrix_row(
    "linalg_eig(input)",
    shape=eig_shape,
    numpy=eig_numpy,
    grad=dict(input=eig_back),
    may_fail=True,
)
EIG: Any = function_of(eig)


def eigvals_back(g: Any, input: Any) -> Any:
    _, v = EIG(input)
    return SOLVE(v.mH, g.unsqueeze(-1) * v.mH, True)[0]


eigvals = matrix_row(
    "linalg_eigvals(input)",
    node="LinalgEigBackward0",
    shape=lambda mode, input: (eig_shape(mode, input)[0],),
    numpy=lambda a: np.linalg.eigvals(a) if a.size and np.isfinite(a).all() else eig_numpy(a)[0],
    grad=dict(input=eigvals_back),
    may_fail=True,
)

# ------------------------------------------------------------------ determinants


def det_shape(mode: Mode, input: Spec) -> Any:
    square("linalg.det", input)
    floating("linalg.det", input)
    return ((input.size[:-2], input.dtype),)


det = matrix_row(
    "linalg_det(input)",
    shape=det_shape,
    numpy=np.linalg.det,
    grad=dict(input=lambda g, input, call: det_back(g, input, call.input.size)),
)


def det_back(g: Any, input: Any, size: Ints) -> Any:
    """g times the transposed adjugate, which for one number is 1."""
    g = g.unsqueeze(-1).unsqueeze(-1)
    return g.expand(size) if size[-1] <= 1 or 0 in size else g * ADJUGATE(input).mH


def adjugate_numpy(a: Any) -> Any:
    """det(A)·A⁻¹ as it is where A has no inverse: by singular values, each without itself."""
    if not a.size:
        return a
    u, s, vh = decomposed(a)
    before = np.ones_like(s)
    before[..., 1:] = np.cumprod(s[..., :-1], -1)
    after = np.ones_like(s)
    after[..., :-1] = np.cumprod(s[..., :0:-1], -1)[..., ::-1]
    turn = np.linalg.det(u) * np.linalg.det(vh)
    others = turn[..., None, None] * (before * after)[..., None, :]
    return (lapack.hermitian(vh) * others) @ lapack.hermitian(u)


def adjugate_back(g: Any, input: Any, out: Any) -> Any:
    """With B = A⁻¹ of adj = det·B: d adj = tr(B·dA)·adj - B·dA·adj."""
    back = INVERSE(input)[0].mH
    inner = (g * out.conj()).sum((-2, -1), keepdim=True)
    return inner * back - back @ g @ out.mH


adjugate = matrix_row(
    "adjugate(input)",
    shape=lambda mode, input: ((input.size, input.dtype),),
    numpy=adjugate_numpy,
    grad=dict(input=adjugate_back),
)
ADJUGATE: Any = function_of(adjugate)


def slogdet_shape(mode: Mode, input: Spec) -> Any:
    square("linalg.slogdet", input)
    floating("linalg.slogdet", input)
    return (input.size[:-2], input.dtype), (input.size[:-2], input.dtype.to_real())


def slogdet_back(g: Any, input: Any, out: Any) -> Any:
    """(g + i·Im(g sign · conj sign))·A⁻ᴴ."""
    turn = g[0] * out.conj()
    factor = g[1] + (turn - turn.conj()) * 0.5
    return factor.unsqueeze(-1).unsqueeze(-1) * INVERSE(input)[0].mH


slogdet = matrix_row(
    "linalg_slogdet(input)",
    shape=slogdet_shape,
    numpy=lambda a: tuple(np.linalg.slogdet(a)),
    grad=dict(input=slogdet_back),
)

# ------------------------------------------------------------------ the exponential


def exp_shape(mode: Mode, input: Spec) -> Any:
    square("linalg.matrix_exp", input)
    floating("linalg.matrix_exp", input, low=True)
    return ((input.size, input.dtype),)


def exp_back(g: Any, input: Any) -> Any:
    """The upper right of exp [[Aᴴ, g], [0, Aᴴ]] (Mathias 1996, "A chain rule for matrix functions
    and applications")."""
    n, a = input.shape[-1], input.mH
    top = JOIN([a, g], -1)
    whole = JOIN([top, JOIN([a.new_zeros(a.shape), a], -1)], -2)
    return MATRIX_EXP(whole)[..., :n, n:]


matrix_exp = matrix_row(
    "linalg_matrix_exp(input)",
    shape=exp_shape,
    numpy=lapack.expm,
    grad=dict(input=exp_back),
)
MATRIX_EXP: Any = function_of(matrix_exp)
