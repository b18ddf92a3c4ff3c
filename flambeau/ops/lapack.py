"""Factorizations that NumPy lacks, for batches of matrices: arrays in, arrays out.

Called by the NumPy meanings in the linalg files. Pivots count from 1 and signs are LAPACK's, so
that the results are those that every user of LAPACK knows (Anderson et al. 1999, "LAPACK Users'
Guide"). An `info` is 0, or the place from 1 of what made a factorization fail.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = Any  # a numpy.ndarray; their shapes are said in words
BLOCK = 48  # columns that LU eliminates one by one before it updates the rest by one product
LEAF = 8  # rows that substitution solves one by one


def lu(a: Array, pivot: bool = True) -> tuple[Array, Array, Array]:
    """P·L·U of [..., m, n]: both triangles in one matrix, the row exchanges, and info.

    Partial pivoting, right-looking by blocks (Golub & Van Loan 2013, 3.4), all matrices of the
    batch side by side.
    """
    *batch, m, n = a.shape
    k = min(m, n)
    x = np.array(a.reshape(math.prod(batch), m, n), order="C")
    pivots = np.empty((len(x), k), np.int32)
    info = np.zeros(len(x), np.int32)
    for start in range(0, k, BLOCK):
        stop = min(start + BLOCK, k)
        for j in range(start, stop):
            pivots[:, j] = exchange(x, j) if pivot else j
            eliminate(x, j, stop, info)
        x[:, start:stop, stop:] = substitute(
            x[:, start:stop, start:stop], x[:, start:stop, stop:], False, True
        )
        x[:, stop:, stop:] -= x[:, stop:, start:stop] @ x[:, start:stop, stop:]
    return x.reshape(a.shape), (pivots + 1).reshape(*batch, k), info.reshape(batch)


def exchange(x: Array, j: int) -> Array:
    """Bring the largest element of column j to row j; which row it came from."""
    column = x[:, j:, j]
    size = np.abs(column.real) + np.abs(column.imag) if x.dtype.kind == "c" else np.abs(column)
    rows = j + np.argmax(size, 1)
    here = np.arange(len(x))
    x[here, rows], x[:, j] = x[:, j].copy(), x[here, rows].copy()
    return rows


def eliminate(x: Array, j: int, stop: int, info: Array) -> None:
    """Divide column j by its pivot and take it off the columns up to `stop`."""
    pivot = x[:, j, j]
    zero = pivot == 0
    info[zero & (info == 0)] = j + 1
    x[:, j + 1 :, j] /= np.where(zero, x.dtype.type(1), pivot)[:, None]
    x[:, j + 1 :, j + 1 : stop] -= x[:, j + 1 :, j, None] * x[:, None, j, j + 1 : stop]


def substitute(t: Array, b: Array, upper: bool, unit: bool) -> Array:
    """X of T·X = B for triangular T, by halves; batches broadcast. The other triangle is not read.

    A zero on the diagonal gives infinities, as in LAPACK.
    """
    if upper:  # backwards, it is a lower one
        return substitute(t[..., ::-1, ::-1], b[..., ::-1, :], False, unit)[..., ::-1, :]
    n = t.shape[-1]
    if n > LEAF:
        half = n // 2
        first = substitute(t[..., :half, :half], b[..., :half, :], False, unit)
        rest = b[..., half:, :] - t[..., half:, :half] @ first
        return np.concatenate((first, substitute(t[..., half:, half:], rest, False, unit)), -2)
    batch = np.broadcast_shapes(t.shape[:-2], b.shape[:-2])
    x = np.array(np.broadcast_to(b, (*batch, *b.shape[-2:])))
    for i in range(n):
        if i:
            x[..., i, :] -= (t[..., i, None, :i] @ x[..., :i, :])[..., 0, :]
        if not unit:
            x[..., i, :] /= t[..., i, i, None]
    return x


def hermitian(x: Array) -> Array:
    """The conjugate transposes."""
    return np.swapaxes(x, -1, -2).conj()


def permutation(pivots: Array, n: int) -> Array:
    """Exchanges [..., k] → where each of n rows came from, [..., n]."""
    *batch, k = pivots.shape
    swaps = pivots.reshape(math.prod(batch), k).astype(np.int64) - 1
    order = np.tile(np.arange(n), (len(swaps), 1))
    here = np.arange(len(swaps))
    for j in range(k):
        order[:, j], order[here, swaps[:, j]] = (
            order[here, swaps[:, j]].copy(),
            order[:, j].copy(),
        )
    return order.reshape(*batch, n)


def lu_solve(factors: Array, pivots: Array, b: Array, adjoint: bool) -> Array:
    """X of A·X = B, or of Aᴴ·X = B, from the factors of A; batches broadcast."""
    n = factors.shape[-1]
    order = permutation(pivots, n)
    batch = np.broadcast_shapes(factors.shape[:-2], b.shape[:-2])
    b = np.broadcast_to(b, (*batch, *b.shape[-2:]))
    order = np.broadcast_to(order, (*batch, n))
    if not adjoint:
        b = np.take_along_axis(b, order[..., None], -2)
        return substitute(factors, substitute(factors, b, False, True), True, False)
    back = hermitian(factors)
    x = substitute(back, substitute(back, b, False, False), True, True)
    return np.take_along_axis(x, np.argsort(order, -1)[..., None], -2)


def cholesky(a: Array) -> tuple[Array, Array]:
    """L of L·Lᴴ from the lower triangle, and the order of the leading minor that is not positive.

    What is not positive definite keeps the columns that were found.
    """
    info = np.zeros(a.shape[:-2], np.int32)
    try:
        out = np.linalg.cholesky(a)
        if not np.isnan(out).any():
            return out, info
    except np.linalg.LinAlgError:
        out = np.array(a)
    for place in np.ndindex(*a.shape[:-2]):
        out[place], info[place] = cholesky_until(a[place])
    return out, info


def cholesky_until(a: Array) -> tuple[Array, int]:
    """One matrix, column by column, up to a pivot that is not positive."""
    x = np.tril(a)
    for j in range(len(x)):
        pivot = x[j, j].real - (np.abs(x[j, :j]) ** 2).sum()
        if not pivot > 0:
            return x, j + 1
        x[j, j] = np.sqrt(pivot)
        x[j + 1 :, j] -= x[j + 1 :, :j] @ x[j, :j].conj()
        x[j + 1 :, j] /= x[j, j]
    return x, 0


def geqrf(a: Array) -> tuple[Array, Array]:
    """Householder's QR in LAPACK's form: R and the reflectors in one matrix, and their factors."""
    *batch, m, n = a.shape
    if 0 in (m, n, *batch):
        return np.array(a), np.zeros((*batch, min(m, n)), a.dtype)
    h, tau = np.linalg.qr(a, "raw")
    return np.swapaxes(h, -1, -2).astype(a.dtype), tau.astype(a.dtype)


# ------------------------------------------------------------------ symmetric indefinite

GROWTH = (1 + math.sqrt(17)) / 8  # Bunch & Kaufman 1977: the bound that makes growth smallest


def ldl(a: Array, conjugate: bool) -> tuple[Array, Array, Array]:
    """L·D·Lᵀ, or L·D·Lᴴ, of the lower triangles; pivots below 0 mark blocks of two."""
    out = np.tril(a)
    pivots = np.zeros(a.shape[:-1], np.int32)
    info = np.zeros(a.shape[:-2], np.int32)
    for place in np.ndindex(*a.shape[:-2]):
        info[place] = ldl_one(out[place], pivots[place], conjugate)
    return out, pivots, info


def ldl_one(x: Array, pivots: Array, conjugate: bool) -> int:
    """Bunch & Kaufman 1977, "Some stable methods for calculating inertia", in place."""
    n, k, info = len(x), 0, 0
    if conjugate and x.dtype.kind == "c":
        np.fill_diagonal(x, np.diagonal(x).real)
    while k < n:
        found = bunch_kaufman(x, k)
        if found is None:  # a column of zeros: nothing to divide by
            info = info or k + 1
            pivots[k] = k + 1
            k += 1
            continue
        row, width = found
        swap_symmetric(x, k, k + width - 1, row, conjugate)
        take_off(x, k, width, conjugate)
        pivots[k : k + width] = row + 1 if width == 1 else -(row + 1)
        k += width
    return info


def bunch_kaufman(x: Array, k: int) -> tuple[int, int] | None:
    """Which row becomes the pivot's, and whether it is one number or a block of two."""
    size = np.abs(x.real) + np.abs(x.imag) if x.dtype.kind == "c" else np.abs(x)
    below = size[k + 1 :, k]
    here, largest = size[k, k], below.max(initial=0)
    if max(here, largest) == 0 or np.isnan(here):
        return None
    if here >= GROWTH * largest:
        return k, 1
    row = k + 1 + int(below.argmax())
    beside = max(size[row, k:row].max(initial=0), size[row + 1 :, row].max(initial=0))
    if here >= GROWTH * largest * (largest / beside):
        return k, 1
    return (row, 1) if size[row, row] >= GROWTH * beside else (row, 2)


def swap_symmetric(x: Array, k: int, i: int, j: int, conjugate: bool) -> None:
    """Exchange rows and columns i < j of what is left, of which the lower triangle is there."""
    if i == j:
        return
    x[[i, j], k:i] = x[[j, i], k:i]
    x[j + 1 :, [i, j]] = x[j + 1 :, [j, i]]
    x[[i, j], [i, j]] = x[[j, i], [j, i]]
    between, row = x[i + 1 : j, i].copy(), x[j, i + 1 : j].copy()
    if conjugate:
        between, row, x[j, i] = between.conj(), row.conj(), x[j, i].conj()
    x[i + 1 : j, i], x[j, i + 1 : j] = row, between


def take_off(x: Array, k: int, width: int, conjugate: bool) -> None:
    """Divide the columns by the pivot and update the rest."""
    after = k + width
    columns = x[after:, k:after].copy()
    pivot = symmetric(x[k:after, k:after], conjugate)
    multipliers = np.linalg.solve(pivot.T, columns.T).T if width == 2 else columns / pivot[0, 0]
    other = multipliers.conj() if conjugate else multipliers
    x[after:, after:] -= np.tril(columns @ other.T)
    if conjugate and x.dtype.kind == "c":
        rest = np.arange(after, len(x))
        x[rest, rest] = x[rest, rest].real
    x[after:, k:after] = multipliers


def symmetric(x: Array, conjugate: bool) -> Array:
    """The whole of a matrix of which the lower triangle is there."""
    low = np.tril(x, -1)
    return np.tril(x) + (low.conj() if conjugate else low).swapaxes(-1, -2)


def ldl_solve(factors: Array, pivots: Array, b: Array, conjugate: bool) -> Array:
    """X of A·X = B from the factors of `ldl`; batches broadcast."""
    batch = np.broadcast_shapes(factors.shape[:-2], b.shape[:-2])
    out = np.array(np.broadcast_to(b, (*batch, *b.shape[-2:])))
    factors = np.broadcast_to(factors, (*batch, *factors.shape[-2:]))
    pivots = np.broadcast_to(pivots, (*batch, pivots.shape[-1]))
    for place in np.ndindex(*batch):
        out[place] = ldl_solve_one(factors[place], pivots[place], out[place], conjugate)
    return out


def ldl_solve_one(x: Array, pivots: Array, b: Array, conjugate: bool) -> Array:
    """Unfold P, L and D of one matrix, and solve with each."""
    n, k = len(x), 0
    lower, middle = np.eye(n, dtype=x.dtype), np.zeros_like(x)
    order = np.arange(n)
    while k < n:
        width = 1 if pivots[k] > 0 else 2
        after, i, j = k + width, k + width - 1, abs(int(pivots[k])) - 1
        order[[i, j]] = order[[j, i]]
        lower[[i, j], :k] = lower[[j, i], :k]
        middle[k:after, k:after] = symmetric(x[k:after, k:after], conjugate)
        lower[after:, k:after] = x[after:, k:after]
        k = after
    y = substitute(lower, b[order], False, True)
    y = np.linalg.solve(middle, y)
    back = lower.conj().T if conjugate else lower.T
    out = np.empty_like(b)
    out[order] = substitute(back, y, True, True)
    return out


# ------------------------------------------------------------------ the exponential

# Higham 2005, "The scaling and squaring method for the matrix exponential revisited", table 2.3
PADE = (64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800, 129060195264000,
        10559470521600, 670442572800, 33522128640, 1323241920, 40840800, 960960, 16380, 182,
        1)  # fmt: skip
REACH = 5.371920351148152  # the 1-norm up to which the approximant of order 13 is exact to 2^-53


def expm(a: Array) -> Array:
    """exp of square matrices [..., n, n], in double precision."""
    wide = np.complex128 if a.dtype.kind == "c" else np.float64
    x = a.astype(wide)
    if not x.size:
        return x
    norm = np.abs(x).sum(-2).max(-1)
    finite = np.isfinite(norm)
    halvings = np.where(norm > REACH, np.ceil(np.log2(np.where(finite, norm, 1) / REACH)), 0)
    scale = np.where(finite, 2.0**-halvings, np.nan)
    y = pade(x * scale[..., None, None])
    for done in range(int(halvings.max(initial=0))):
        more = (halvings > done)[..., None, None]
        y = np.where(more, y @ y, y)
    return y


def pade(x: Array) -> Array:
    """The diagonal approximant of order 13: (V - U)⁻¹ (V + U)."""
    b, one = PADE, np.eye(x.shape[-1])
    x2 = x @ x
    x4 = x2 @ x2
    x6 = x2 @ x4
    odd = x6 @ (b[13] * x6 + b[11] * x4 + b[9] * x2)
    odd = x @ (odd + b[7] * x6 + b[5] * x4 + b[3] * x2 + b[1] * one)
    even = x6 @ (b[12] * x6 + b[10] * x4 + b[8] * x2)
    even = even + b[6] * x6 + b[4] * x4 + b[2] * x2 + b[0] * one
    good = np.isfinite(x).all((-2, -1), keepdims=True)
    solved = np.linalg.solve(np.where(good, even - odd, one), even + odd)
    return np.where(good, solved, np.nan)
