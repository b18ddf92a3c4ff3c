"""A few singular values or eigenvalues of large matrices: svd_lowrank, pca_lowrank, lobpcg."""

from __future__ import annotations

from typing import Any

from flambeau.products import matmul
from flambeau.tensor import FUNCTIONS as row
from flambeau.tensor import from_array

# ------------------------------------------------------------------ by random projections


def svd_lowrank(A, q=6, niter=2, M=None):
    """The q largest singular values and their vectors, of A - M.

    By a random projection and `niter` subspace iterations (Halko, Martinsson & Tropp 2011, "Finding
    structure with randomness", algorithms 4.4 and 5.1).
    """
    q = 6 if q is None else q
    m, n = A.shape[-2:]
    check_floating(A)
    A = A if M is None else A - M.broadcast_to(A.shape)
    wide = m < n
    A = A.mH if wide else A
    basis = range_of(A, q, niter)
    u, s, vh = row["linalg_svd"](matmul(basis.mH, A), False)
    u, v = matmul(basis, u), vh.mH
    return (v, s, u) if wide else (u, s, v)


def check_floating(A):
    if A.dtype.kind not in "fc":
        raise RuntimeError("expected m1 and m2 to have the same dtype, but got: "
                           f"{A.dtype.legacy.lower()} != float")  # fmt: skip


def range_of(A, q, niter):
    """An orthonormal basis of about what A's largest singular vectors span."""
    from flambeau.random import randn

    x = matmul(A, randn(A.shape[-1], q, dtype=A.dtype))
    basis = orthonormal(x)
    for _ in range(niter):
        basis = orthonormal(matmul(A, orthonormal(matmul(A.mH, basis))))
    return basis


def orthonormal(x):
    return row["linalg_qr"](x, "reduced")[0]


def pca_lowrank(A, q=None, center=True, niter=2):
    """The principal components of rows, by svd_lowrank of A without its mean."""
    m, n = A.shape[-2:]
    q = min(6, m, n) if q is None else q
    if not 0 <= q <= min(m, n):
        raise ValueError(f"q(={q}) must be non-negative integer and not greater than min(m, n)="
                         f"{min(m, n)}")  # fmt: skip
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    return svd_lowrank(A - A.mean((-2,), keepdim=True) if center else A, q, niter)


# ------------------------------------------------------------------ by conjugate gradients


def lobpcg(A, k=None, B=None, X=None, n=None, iK=None, niter=None, tol=None, largest=None,
           method=None, tracker=None, ortho_iparams=None, ortho_fparams=None,
           ortho_bparams=None):  # fmt: skip
    """The k largest or smallest eigenvalues of A·x = λ·B·x and their vectors.

    Knyazev 2001, "Toward the optimal preconditioned eigensolver", each basis made orthonormal
    before its Rayleigh-Ritz step (Duersch et al. 2018, "A robust and efficient implementation of
    LOBPCG"), for both of PyTorch's methods. Raises NotImplementedError where a gradient is asked
    for: torch.linalg.eigh has one.
    """
    check_lobpcg(A, B, method, tracker)
    m = A.shape[-1]
    k = (1 if X is None else X.shape[-1]) if k is None else k
    n = (k if X is None else X.shape[-1]) if n is None else n
    if m < 3 * n:
        raise ValueError(f"LOBPCG algorithm is not applicable when the number of A rows (={m}) is "
                         f"smaller than 3 x the number of requested eigenpairs (={n})")  # fmt: skip
    if n < 1:
        raise ValueError(f"lobpcg needs at least one vector to begin with, not {n}")
    return iterated(A, B, X, iK, min(k, n), n, niter, tol, largest is None or largest)


def check_lobpcg(A, B, method, tracker):
    if any(x is not None and x.requires_grad for x in (A, B)):
        raise NotImplementedError("lobpcg has no derivative here; torch.linalg.eigh has, or detach "
                                  "the input first")  # fmt: skip
    if tracker is not None:
        raise NotImplementedError("lobpcg does not call a tracker; leave tracker=None")
    if method not in (None, "basic", "ortho"):
        raise ValueError(f"lobpcg method is 'basic' or 'ortho', not {method!r}")
    if A.shape[-2] != A.shape[-1]:
        raise AssertionError(f"A must be square, got shape {A.shape}")
    check_floating(A)
    if A.dtype.kind == "c":
        raise NotImplementedError("lobpcg of complex matrices; use torch.linalg.eigh")


def iterated(A, B, X, iK, k, n, niter, tol, largest):
    """Each matrix of the batch by itself."""
    import numpy as np

    from flambeau.info import finfo
    from flambeau.random import randn

    X = randn(*A.shape[:-1], n, dtype=A.dtype) if X is None else X
    a, b, x, preconditioner = (None if t is None else t._numbers() for t in (A, B, X, iK))
    tol = finfo(A.dtype).eps ** 0.5 if tol is None else tol
    niter = 1000 if niter is None else niter
    values = np.empty((*a.shape[:-2], k), a.dtype)
    vectors = np.empty((*a.shape[:-1], k), a.dtype)
    for place in np.ndindex(*a.shape[:-2]):
        one = [None if t is None else np.broadcast_to(t, (*a.shape[:-2], *t.shape[-2:]))[place]
               for t in (b, x, preconditioner)]  # fmt: skip
        found = eigenpairs(np, a[place], *one, niter, tol, largest)
        values[place], vectors[place] = found[0][:k], found[1][:, :k]
    return from_array(values, A.dtype), from_array(vectors, A.dtype)


def eigenpairs(np: Any, a: Any, b: Any, x: Any, iK: Any, niter: int, tol: float,
               largest: bool) -> Any:  # fmt: skip
    """One matrix: Rayleigh-Ritz steps on [X, residuals, last directions]."""
    n, last = x.shape[1], None
    norms = [np.linalg.norm(a), 1.0 if b is None else np.linalg.norm(b)]
    values, x, _ = ritz(np, a, b, x, n, largest)
    for _ in range(niter):
        bx = x if b is None else b @ x
        residual = a @ x - bx * values
        error = np.linalg.norm(residual, axis=0)
        if (error <= tol * (norms[0] + np.abs(values) * norms[1])).all():
            break
        step = residual if iK is None else iK @ residual
        basis = np.concatenate([x, step] if last is None else [x, step, last], 1)
        values, x, last = ritz(np, a, b, basis, n, largest)
    return values, x


def ritz(np: Any, a: Any, b: Any, basis: Any, n: int, largest: bool) -> Any:
    """The best n pairs within a basis, and which parts of them are new."""
    gram = basis.T @ (basis if b is None else b @ basis)
    scale = 1 / np.sqrt(np.maximum(np.diagonal(gram), np.finfo(basis.dtype).tiny))
    weights, turn = np.linalg.eigh(gram * scale[:, None] * scale)
    kept = weights > weights[-1] * np.finfo(basis.dtype).eps * len(weights)
    turn = scale[:, None] * turn[:, kept] / np.sqrt(weights[kept])
    q = basis @ turn
    values, vectors = np.linalg.eigh(q.T @ (a @ q))
    chosen = np.argsort(-values if largest else values)[:n]
    mix = turn @ vectors[:, chosen]
    new = basis[:, n:] @ mix[n:]
    return values[chosen], basis @ mix, new


PUBLIC = ["svd_lowrank", "pca_lowrank", "lobpcg"]
METHODS: list[str] = []
