"""The names that linear algebra had before torch.linalg, as functions and as methods."""

from __future__ import annotations

import warnings

from flambeau import factoring, matrices, norms, solving
from flambeau.filling import fill, named, results
from flambeau.tensor import FUNCTIONS as row

results("svd", "U", "S", "V")
results("qr", "Q", "R")
results("slogdet", "sign", "logabsdet")
results("triangular_solve", "solution", "cloned_coefficient")
results("_lu_with_info", "LU", "pivots", "info")


def deprecated(name, instead):
    warnings.warn(f"torch.{name} is deprecated in favor of {instead} and will be removed in a "
                  "future PyTorch release.", UserWarning, stacklevel=3)  # fmt: skip


# ------------------------------------------------------------------ as they were


def svd(input, some=True, compute_uv=True, *, out=None):
    """input = U·diag(S)·Vᴴ; without compute_uv, U and V are zeros."""
    m, n = input.shape[-2:]
    if compute_uv:
        u, s, vh = row["linalg_svd"](input, not some)
        return named("svd", (u, s, vh.mH), out)
    batch = input.shape[:-2]
    u, v = (input.new_zeros((*batch, k, k)) for k in (m, n))
    return named("svd", (u, row["linalg_svdvals"](input), v), out)


def qr(input, some=True, *, out=None):
    """input = Q·R."""
    deprecated("qr", "torch.linalg.qr")
    return named("qr", row["linalg_qr"](input, "reduced" if some else "complete"), out)


def cholesky(input, upper=False, *, out=None):
    """L of L·Lᴴ, or U of Uᴴ·U."""
    deprecated("cholesky", "torch.linalg.cholesky")
    factor, info = row["linalg_cholesky_ex"](input, bool(upper))
    factoring.check(info, "cholesky", factoring.NOT_POSITIVE)
    return fill("cholesky", factor, out, False)


def cholesky_solve(input, input2, upper=False, *, out=None):
    """The X of A·X = input, of which input2 is the Cholesky factor."""
    return fill("cholesky_solve", row["cholesky_solve"](input, input2, bool(upper)), out, False)


def cholesky_inverse(input, upper=False, *, out=None):
    """The inverse of the matrix of which this is the Cholesky factor."""
    inverse = row["cholesky_inverse"](input, bool(upper))
    zero = input.detach().diagonal(0, -2, -1) == 0
    if zero.numel():
        first = (zero.int().argmax(-1) + 1) * zero.any(-1)
        factoring.check(first, "cholesky_inverse", solving.SINGULAR)
    return fill("cholesky_inverse", inverse, out, False)


def triangular_solve(input, A, upper=True, transpose=False, unitriangular=False, *, out=None):
    """The X of A·X = input for triangular A, or of Aᵀ·X = input; and a copy of A."""
    deprecated("triangular_solve", "torch.linalg.solve_triangular")
    t = A.mT if transpose else A
    x = row["linalg_solve_triangular"](
        t, input, bool(upper) != bool(transpose), True, bool(unitriangular)
    )
    return named("triangular_solve", (x, A.expand((*x.shape[:-2], *A.shape[-2:])).clone()), out)


def lu(A, pivot=True, get_infos=False, out=None):
    """Both triangles in one matrix, the row exchanges, and info where it is asked for."""
    deprecated("lu", "torch.linalg.lu_factor / torch.linalg.lu_factor_ex")
    found = row["linalg_lu_factor_ex"](A, bool(pivot))
    if not get_infos:
        factoring.check(found[2], "lu_factor", factoring.NO_PIVOT, RuntimeError)
    found = found if get_infos else found[:2]
    if out is not None:
        if len(out) != len(found):
            raise TypeError(f"expected tuple of {len(found)} elements but got {len(out)}")
        for result, target in zip(found, out):
            target.resize_as_(result).copy_(result)
        return tuple(out)
    return named("_lu_with_info", found) if get_infos else tuple(found)


def lu_solve(input, LU_data, LU_pivots, *, out=None):
    """The X of A·X = input from lu_factor(A)."""
    deprecated("lu_solve", "torch.linalg.lu_solve")
    return solving.lu_solve(LU_data, LU_pivots, input, out=out)


def slogdet(input):
    """The determinant's sign (or phase), and the logarithm of its size."""
    return named("slogdet", row["linalg_slogdet"](input))


def det(input):
    """The determinant."""
    return row["linalg_det"](input)


def inverse(input, *, out=None):
    """The inverse; raises LinAlgError where there is none."""
    return solving.inv(input, out=out)


def pinverse(input, rcond=1e-15):
    """The pseudo-inverse; singular values up to rcond times the largest count as 0."""
    return solving.pinv(input, rcond)


def orgqr(input, input2, *, out=None):
    """The Q of what geqrf gives."""
    return factoring.householder_product(input, input2, out=out)


def ormqr(input, input2, input3, left=True, transpose=False, *, out=None):
    """A product with the Q of what geqrf gives."""
    return factoring.ormqr(input, input2, input3, left, transpose, out=out)


# ------------------------------------------------------------------ as they are no more


def removed(name, instead):
    """A function that PyTorch took out: it says what to call."""

    def function(*args, **kwargs):
        raise RuntimeError("This function was deprecated since version 1.9 and is now removed. "
                           f"Please use `torch.linalg.{instead}`.")  # fmt: skip

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Removed from PyTorch: torch.linalg.{instead} has taken its place."
    return function


eig, symeig = removed("eig", "eig"), removed("symeig", "eigh")
lstsq, solve = removed("lstsq", "lstsq"), removed("solve", "solve")
matrix_rank = removed("matrix_rank", "matrix_rank")

logdet, matrix_power, matrix_exp = matrices.logdet, matrices.matrix_power, matrices.matrix_exp
cross, trace, chain_matmul = matrices.cross, matrices.trace, matrices.chain_matmul
vander, geqrf, lu_unpack = matrices.vander_of_vector, factoring.geqrf, factoring.lu_unpack
nuclear_norm, frobenius_norm = norms.nuclear_norm, norms.frobenius_norm

METHODS = """svd qr cholesky cholesky_solve cholesky_inverse triangular_solve lu_solve
    slogdet det inverse pinverse orgqr ormqr logdet matrix_power matrix_exp cross trace geqrf
    eig symeig lstsq solve""".split()
NAMED = {"lu": lambda self, pivot=True, get_infos=False: lu(self, pivot, get_infos)}
PUBLIC = [*METHODS, *"lu chain_matmul vander lu_unpack matrix_rank nuclear_norm frobenius_norm"
          .split()]  # fmt: skip
