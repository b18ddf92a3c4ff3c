"""Factorizations of matrices as torch.linalg has them: LU, Cholesky, LDL, QR, SVD, eigenvalues.

The rows are in ops/linalg_factor.py and ops/linalg_spectrum.py. What may fail is looked at right
after the call, so that its error comes where PyTorch's does.
"""

from __future__ import annotations

from flambeau.filling import fill, named, results
from flambeau.ops.linalg_rules import LinAlgError
from flambeau.tensor import FUNCTIONS as row

results("linalg_lu_factor_ex", "LU", "pivots", "info")
results("linalg_lu_factor", "LU", "pivots")
results("linalg_lu", "P", "L", "U")
results("lu_unpack", "P", "L", "U")
results("linalg_cholesky_ex", "L", "info")
results("linalg_ldl_factor_ex", "LD", "pivots", "info")
results("linalg_ldl_factor", "LD", "pivots")
results("linalg_qr", "Q", "R")
results("geqrf", "a", "tau")
results("linalg_svd", "U", "S", "Vh")
for _name in ("linalg_eigh", "linalg_eig"):
    results(_name, "eigenvalues", "eigenvectors")


def check(info, name, says, error=LinAlgError):
    """Raise for the first matrix that failed; `says` has {} where the number goes."""
    failed = info.detach()._memory()
    if not failed.any():
        return
    at = failed.reshape(-1).nonzero()[0][0]
    place = f"(Batch element {at}): " if failed.ndim else ""
    raise error(f"{name}: {place}{says.format(failed.reshape(-1)[at])}")


# ------------------------------------------------------------------ LU

NO_PIVOT = ("U[{0},{0}] is zero and using it on lu_solve would result in a division by zero. If you"
            " still want to perform the factorization, consider calling linalg.lu(A, pivot) or "
            "linalg.lu_factor_ex(A, pivot)")  # fmt: skip


def lu_factor_ex(A, *, pivot=True, check_errors=False, out=None):
    """Both triangles in one matrix, the row exchanges, and the place of a zero on U's diagonal."""
    found = row["linalg_lu_factor_ex"](A, bool(pivot))
    if check_errors:
        check(found[2], "torch.linalg.lu_factor_ex", NO_PIVOT)
    return named("linalg_lu_factor_ex", found, out)


def lu_factor(A, *, pivot=True, out=None):
    """Both triangles in one matrix, and the row exchanges."""
    factors, pivots, info = row["linalg_lu_factor_ex"](A, bool(pivot))
    check(info, "torch.linalg.lu_factor", NO_PIVOT, RuntimeError)
    return named("linalg_lu_factor", (factors, pivots), out)


def lu(A, *, pivot=True, out=None):
    """A = P·L·U."""
    p, low, up = row["linalg_lu"](A, bool(pivot))
    return named("linalg_lu", (p.detach(), low, up), out)


def lu_unpack(LU_data, LU_pivots, unpack_data=True, unpack_pivots=True, *, out=None):
    """P, L and U from what lu_factor gives; what is not asked for is empty."""
    from flambeau.ops.linalg_factor import unit_lower, upper_part

    if unpack_pivots and str(LU_pivots.dtype) != "torch.int32":
        raise RuntimeError("torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of "
                           "torch.int32 dtype.\nNote: this function is intended to be used with "
                           "the output produced by torch.linalg.lu_factor")  # fmt: skip
    none = LU_data.new_empty((0,))
    p, low, up = none, none, none
    if unpack_pivots:
        p = row["lu_permutation"](LU_pivots, LU_data.shape[-2], LU_data.dtype)
    if unpack_data:
        low, up = unit_lower(LU_data), upper_part(LU_data)
    return named("lu_unpack", (p, low, up), out)


# ------------------------------------------------------------------ Cholesky, LDL

NOT_POSITIVE = ("The factorization could not be completed because the input is not positive-"
                "definite (the leading minor of order {} is not positive-definite).")  # fmt: skip


def cholesky_ex(input, *, upper=False, check_errors=False, out=None):
    """L of A = L·Lᴴ, and the order of a leading minor that is not positive-definite, or 0."""
    found = row["linalg_cholesky_ex"](input, bool(upper))
    if check_errors:
        check(found[1], "linalg.cholesky_ex", NOT_POSITIVE)
    return named("linalg_cholesky_ex", found, out)


def cholesky(input, *, upper=False, out=None):
    """L of A = L·Lᴴ, or U of A = Uᴴ·U; raises LinAlgError for what is not positive-definite."""
    factor, info = row["linalg_cholesky_ex"](input, bool(upper))
    check(info, "linalg.cholesky", NOT_POSITIVE)
    return fill("linalg_cholesky", factor, out)


def ldl_factor_ex(input, *, hermitian=False, check_errors=False, out=None):
    """L·D·Lᵀ in one matrix (D of blocks of one or two), the exchanges, and info."""
    found = row["linalg_ldl_factor_ex"](input, bool(hermitian))
    if check_errors:
        check(found[2], "torch.linalg.ldl_factor_ex", ZERO_PIVOT)
    return named("linalg_ldl_factor_ex", found, out)


def ldl_factor(input, *, hermitian=False, out=None):
    """L·D·Lᵀ in one matrix (D of blocks of one or two), and the exchanges."""
    *found, info = row["linalg_ldl_factor_ex"](input, bool(hermitian))
    check(info, "torch.linalg.ldl_factor", ZERO_PIVOT, RuntimeError)
    return named("linalg_ldl_factor", found, out)


ZERO_PIVOT = "D[{0},{0}] is zero and using it on ldl_solve would result in a division by zero."

# ------------------------------------------------------------------ QR


def qr(A, mode="reduced", *, out=None):
    """A = Q·R; mode "complete" makes Q square, "r" leaves Q empty."""
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(f"qr received unrecognized mode '{mode}' but expected one of 'reduced' "
                           "(default), 'r', or 'complete'")  # fmt: skip
    return named("linalg_qr", row["linalg_qr"](A, mode), out)


def geqrf(input, *, out=None):
    """Householder's QR as LAPACK leaves it: R above reflectors in one matrix, and their factors."""
    return named("geqrf", row["_geqrf"](input), out)


def householder_product(input, tau, *, out=None):
    """The first columns of the product of reflections that geqrf gives: Q."""
    check_reflectors("torch.linalg.householder_product", input, tau)
    m, n = input.shape[-2:]
    if tau.shape[:-1] != input.shape[:-2]:
        raise RuntimeError(
            "torch.linalg.householder_product: Expected batch dimensions of tau to "
            f"be equal to input.shape[:-2], but got {list(tau.shape[:-1])}"
        )
    if m < n:
        raise RuntimeError("torch.linalg.householder_product: input.shape[-2] must be greater than "
                           "or equal to input.shape[-1]")  # fmt: skip
    if tau.shape[-1] > n:
        raise RuntimeError("torch.linalg.householder_product: input.shape[-1] must be greater than "
                           "or equal to tau.shape[-1]")  # fmt: skip
    return fill("householder_product", row["linalg_householder_product"](input, tau), out)


def check_reflectors(name, A, tau):
    if A.ndim < 2:
        raise RuntimeError(f"{name}: input must have at least 2 dimensions.")
    if tau.dtype is not A.dtype:
        raise RuntimeError(f"{name}: tau dtype {tau.dtype.legacy} does not match input dtype "
                           f"{A.dtype.legacy}")  # fmt: skip
    if tau.ndim != A.ndim - 1:
        raise RuntimeError(
            f"{name}: Expected tau to have one dimension less than input, but got "
            f"tau.ndim equal to {tau.ndim} and input.ndim is equal to {A.ndim}"
        )


def ormqr(input, tau, other, left=True, transpose=False, *, out=None):
    """Q·other, Qᴴ·other, other·Q or other·Qᴴ for the square Q of reflections."""
    from flambeau.ops.linalg_factor import reflectors

    check_reflectors("torch.ormqr", input, tau)
    if other.ndim < 2:
        raise RuntimeError("torch.ormqr: other must have at least 2 dimensions.")
    side = -2 if left else -1
    if other.shape[side] < tau.shape[-1]:
        raise RuntimeError(f"torch.ormqr: other.shape[{side}] must be greater than or equal to "
                           "tau.shape[-1]")  # fmt: skip
    if tau.shape[-1] != min(other.shape[side], input.shape[-1]):
        raise RuntimeError("torch.ormqr: tau.shape[-1] must be equal to "
                           f"min(other.shape[{side}], input.shape[-1])")  # fmt: skip
    if input.shape[-2] != other.shape[side]:
        raise RuntimeError(f"torch.ormqr: other.shape[{side}] must be equal to input.shape[-2]")
    if other.dtype is not input.dtype:
        raise RuntimeError("torch.ormqr: Expected input and other to have the same dtype, but "
                           f"input has dtype {input.dtype.legacy} and other has dtype "
                           f"{other.dtype.legacy}")  # fmt: skip
    if not tau.shape[-1] or not input.numel():
        return fill("ormqr", other.clone(), out)
    v, t = reflectors(input, tau)
    t = t.mH if transpose else t
    product = v @ (t @ (v.mH @ other)) if left else ((other @ v) @ t) @ v.mH
    return fill("ormqr", other - product, out)


# ------------------------------------------------------------------ SVD, eigenvalues


def svd(A, full_matrices=True, *, driver=None, out=None):
    """A = U·diag(S)·Vh, singular values from the largest."""
    no_driver("svd", driver)
    return named("linalg_svd", row["linalg_svd"](A, bool(full_matrices)), out)


def svdvals(A, *, driver=None, out=None):
    """The singular values, from the largest."""
    no_driver("svdvals", driver)
    return fill("linalg_svdvals", row["linalg_svdvals"](A), out)


def no_driver(name, driver):
    if driver is not None:
        raise RuntimeError(f"torch.linalg.{name}: keyword argument `driver=` is only supported on "
                           "CUDA inputs with cuSOLVER backend.")  # fmt: skip


def triangle(UPLO):
    """Which triangle is read: 'L' or 'U'."""
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    return UPLO.upper()


def eigh(input, UPLO="L", *, out=None):
    """Eigenvalues, from the smallest, and eigenvectors of hermitian matrices."""
    return named("linalg_eigh", row["linalg_eigh"](input, triangle(UPLO)), out)


def eigvalsh(input, UPLO="L", *, out=None):
    """The eigenvalues of hermitian matrices, from the smallest."""
    return fill("linalg_eigvalsh", row["linalg_eigvalsh"](input, triangle(UPLO)), out)


def eig(input, *, out=None):
    """Eigenvalues and eigenvectors, complex ones."""
    return named("linalg_eig", row["linalg_eig"](input), out)


def eigvals(input, *, out=None):
    """The eigenvalues, complex ones."""
    return fill("linalg_eigvals", row["linalg_eigvals"](input), out)
