"""Inverses and systems of equations as torch.linalg has them; rows are in ops/linalg_solve.py."""

from __future__ import annotations

from flambeau.factoring import check
from flambeau.filling import fill, named, results
from flambeau.tensor import FUNCTIONS as row
from flambeau.trace.tensor import Recorded

results("linalg_inv_ex", "inverse", "info")
results("linalg_solve_ex", "result", "info")
results("linalg_lstsq", "solution", "residuals", "rank", "singular_values")

SINGULAR = ("The diagonal element {} is zero, the inversion could not be completed because the "
            "input matrix is singular.")  # fmt: skip


def inv_ex(A, *, check_errors=False, out=None):
    """The inverse, and the place of a zero that elimination met, or 0."""
    found = row["linalg_inv_ex"](A)
    if check_errors:
        check(found[1], "linalg.inv_ex", SINGULAR)
    return named("linalg_inv_ex", found, out)


def inv(A, *, out=None):
    """The inverse; raises LinAlgError where there is none."""
    inverse, info = row["linalg_inv_ex"](A)
    check(info, "linalg.inv", SINGULAR)
    return fill("linalg_inv_ex", inverse, out)


def solve_ex(A, B, *, left=True, check_errors=False, out=None):
    """The X of A·X = B, and the place of a zero that elimination met, or 0."""
    found = row["linalg_solve_ex"](A, B, bool(left))
    if check_errors:
        check(found[1], "torch.linalg.solve_ex", NO_SOLUTION)
    return named("linalg_solve_ex", found, out)


def solve(A, B, *, left=True, out=None):
    """The X of A·X = B, or of X·A = B; raises LinAlgError where A is singular.

    B is a matrix, or one vector for each matrix.
    """
    x, info = row["linalg_solve_ex"](A, B, bool(left))
    check(info, "torch.linalg.solve", NO_SOLUTION)
    return fill("linalg_solve_ex", x, out)


NO_SOLUTION = "The solver failed because the input matrix is singular."


def solve_triangular(input, B, *, upper, left=True, unitriangular=False, out=None):
    """The X of A·X = B, or of X·A = B, for triangular A; the other triangle is not read."""
    x = row["linalg_solve_triangular"](input, B, bool(upper), bool(left), bool(unitriangular))
    return fill("linalg_solve_triangular", x, out)


def lu_solve(LU, pivots, B, *, left=True, adjoint=False, out=None):
    """The X of A·X = B from lu_factor(A); adjoint: of Aᴴ·X = B."""
    x = row["linalg_lu_solve"](LU, pivots, B, bool(left), bool(adjoint))
    return fill("linalg_lu_solve", x, out)


def ldl_solve(LD, pivots, B, *, hermitian=False, out=None):
    """The X of A·X = B from ldl_factor(A)."""
    return fill("linalg_ldl_solve", row["linalg_ldl_solve"](LD, pivots, B, bool(hermitian)), out)


# ------------------------------------------------------------------ pseudo-inverses


def tolerances(name, A, atol, rtol):
    """Both as tensors: rtol is eps times the longer side, but 0 where an atol is given."""
    from flambeau.info import finfo

    real = A.dtype.to_real()
    for argument, value in (("atol", atol), ("rtol", rtol)):
        if isinstance(value, Recorded) and value.dtype.kind == "c":
            raise RuntimeError(f"torch.linalg.{name}: {argument} tensor of complex type is not "
                               "supported.")  # fmt: skip
    if rtol is None:
        default = finfo(real).eps * max(A.shape[-2:])
        rtol = default if atol is None else none_above(atol, default)
    return [t.to(real) if isinstance(t, Recorded) else A.new_full((), t, dtype=real)
            for t in (0.0 if atol is None else atol, rtol)]  # fmt: skip


def none_above(atol, default):
    """The relative tolerance beside an absolute one: none, unless that is 0."""
    if isinstance(atol, Recorded):
        return (atol <= 0).double() * default
    return 0.0 if atol > 0 else default


def pinv(input, rcond=None, hermitian=False, *, atol=None, rtol=None, out=None):
    """The pseudo-inverse; singular values up to max(atol, rtol · the largest) count as 0."""
    if not isinstance(input, Recorded) or input.ndim < 2 or input.dtype.kind not in "fc":
        kind = (
            f"{input.dtype.legacy}{{{list(input.shape)}}}"
            if isinstance(input, Recorded)
            else type(input)
        )
        raise RuntimeError(f"linalg.pinv({kind}): expected a tensor with 2 or more dimensions of "
                           "float, double, cfloat or cdouble types")  # fmt: skip
    if rcond is not None:
        atol, rtol = 0.0, rcond
    atol, rtol = tolerances("pinv", input, atol, rtol)
    return fill("linalg.pinv", row["linalg_pinv"](input, atol, rtol, bool(hermitian)), out, False)


def matrix_rank(input, tol=None, hermitian=False, *, atol=None, rtol=None, out=None):
    """How many singular values are above max(atol, rtol · the largest)."""
    from flambeau.ir.dtype import int64

    if input.ndim < 2:
        raise RuntimeError("torch.linalg.matrix_rank: The input tensor input must have at least 2 "
                           "dimensions.")  # fmt: skip
    if tol is not None:
        atol, rtol = tol, 0.0
    atol, rtol = tolerances("matrix_rank", input, atol, rtol)
    input = input.detach()
    s = row["linalg_eigvalsh"](input, "L").abs() if hermitian else row["linalg_svdvals"](input)
    if not s.numel():
        return fill(
            "linalg.matrix_rank", input.new_zeros(input.shape[:-2], dtype=int64), out, False
        )
    largest = s.amax(-1) if hermitian else s[..., 0]
    cut = row["maximum"](atol, rtol * largest)
    rank = (s > cut.unsqueeze(-1)).sum(-1)
    return fill("linalg.matrix_rank", rank, out, False)


DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


def lstsq(input, b, rcond=None, *, driver=None, out=None):
    """The X that makes |A·X - B| smallest, the shortest where there are several.

    Also the squared lengths of what remains (of matrices of full rank with more rows than columns),
    the ranks, and for the drivers gelsd and gelss the singular values.
    """
    from flambeau.info import finfo

    a, columns, vector = right_sides(input, b)
    driver = "gelsy" if driver is None else driver
    if driver not in DRIVERS:
        raise RuntimeError("torch.linalg.lstsq: parameter `driver` should be one of (gels, gelsy, "
                           "gelsd, gelss)")  # fmt: skip
    cut = finfo(input.dtype).eps * max(input.shape[-2:]) if rcond is None else float(rcond)
    x, residuals, rank, values = row["linalg_lstsq"](a, columns, cut)
    m, n = input.shape[-2:]
    full = driver == "gels" or driver != "gelsy" and bool((rank == n)._memory().all())
    if m > n and full and driver != "gelsy":
        residuals = ((a @ x - columns).abs() ** 2).sum(-2)
    if vector:
        x = x.squeeze(-1)
    if driver == "gels":
        rank = rank.new_empty((0,))
    values = values.detach() if driver in ("gelsd", "gelss") else values.new_empty((0,))
    return named("linalg_lstsq", (x, residuals, rank, values), out)


def right_sides(A, B):
    """Matrices of one batch each, and whether B was a vector for each matrix."""
    name = "torch.linalg.lstsq"
    if A.ndim < 2:
        raise RuntimeError(f"{name}: input must have at least 2 dimensions.")
    if B.ndim < 1:
        raise RuntimeError(f"{name}: other must have at least 1 dimension.")
    behind = A.ndim - B.ndim
    if not 0 <= behind <= 1:
        raise RuntimeError(f"{name}: input.dim() must be greater or equal to other.dim() and "
                           "(input.dim() - other.dim()) <= 1")  # fmt: skip
    if A.dtype is not B.dtype:
        raise RuntimeError(
            f"{name}: Expected input and other to have the same dtype, but input has "
            f"dtype {A.dtype.legacy} and other has dtype {B.dtype.legacy}"
        )
    vector = behind == 1 and A.shape[:-1] == B.shape
    rows = B.unsqueeze(-1) if vector else B
    if rows.ndim < 2 or A.shape[-2] != rows.shape[-2]:
        at = -1 if vector else -2
        raise RuntimeError(f"{name}: input.size(-2) should match other.size({at})")
    from flambeau.ir.layout import broadcast_sizes
    from flambeau.ops.linalg_rules import floating

    floating(name, A._spec)
    batch = broadcast_sizes([A._spec.size[:-2], rows._spec.size[:-2]])
    return A.expand((*batch, *A.shape[-2:])), rows.expand((*batch, *rows.shape[-2:])), vector


# ------------------------------------------------------------------ of more than two dims


def tensorinv(input, ind=2, *, out=None):
    """The inverse of A as a map from its last dims to its first `ind` dims."""
    from math import prod

    if ind <= 0:
        raise RuntimeError("Expected a strictly positive integer for 'ind'")
    size = tuple(input.shape)
    left, right = prod(size[:ind]), prod(size[ind:])
    if left != right:
        raise RuntimeError("Expected self to satisfy the requirement prod(self.shape[ind:]) == "
                           f"prod(self.shape[:ind]), but got {right} != {left}")  # fmt: skip
    inverse = inv(input.reshape((right, left))).reshape((*size[ind:], *size[:ind]))
    return fill("tensorinv", inverse, out, False)


def tensorsolve(input, other, dims=None, *, out=None):
    """The X with tensordot(A, X, X.ndim) = B; `dims` of A go last first."""
    from math import prod

    if dims is not None:
        rest = [d for d in range(input.ndim) if d not in {d % input.ndim for d in dims}]
        input = input.permute((*rest, *[d % input.ndim for d in dims]))
    size = tuple(input.shape[other.ndim :])
    if prod(size) != prod(tuple(input.shape[: other.ndim])):
        raise RuntimeError("Expected self to satisfy the requirement prod(self.shape[other.ndim:]) "
                           f"== prod(self.shape[:other.ndim]), but got {prod(size)} != "
                           f"{prod(tuple(input.shape[: other.ndim]))}")  # fmt: skip
    n = prod(size)
    return fill(
        "tensorsolve", solve(input.reshape((n, n)), other.reshape((-1,))).reshape(size), out, False
    )
