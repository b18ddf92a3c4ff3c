"""NumPy meanings of the gamma family: lgamma, digamma, polygamma, incomplete gammas, zeta.

All compute in float64. A&S is Abramowitz and Stegun, Handbook of Mathematical Functions, 1964.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = Any
# B(2k), the Bernoulli numbers.
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798,
             -174611 / 330, 854513 / 138, -236364091 / 2730)  # fmt: skip
SHIFT = 10  # asymptotic series begin that far to the right
LARGE = 200.0  # incomplete gammas of larger orders are integrated
ROUNDS = 3000  # more terms than series and fractions need below that order
EPS = float(np.finfo(np.float64).eps)


def _log_gamma(x: float) -> float:
    return math.inf if -math.inf < x <= 0 and x == math.floor(x) else math.lgamma(x)


_LOG_GAMMA = np.frompyfunc(_log_gamma, 1, 1)


def lgamma(x: Array) -> Array:
    """log |Γ(x)|; infinite at 0, -1, -2, …"""
    return np.asarray(_LOG_GAMMA(np.asarray(x, np.float64))).astype(np.float64)


def digamma(x: Array) -> Array:
    """The derivative of log Γ: reflection below 0, recurrence, then A&S 6.3.18."""
    x = np.asarray(x, np.float64)
    z = np.where(x < 0, 1 - x, x)
    total = np.zeros_like(z)
    for _ in range(SHIFT):
        low = z < SHIFT
        total -= np.where(low, 1 / np.where(low, z, 1), 0)
        z = np.where(low, z + 1, z)
    series = np.zeros_like(z)
    for k in range(8, 0, -1):
        series = (series + BERNOULLI[k - 1] / (2 * k)) / (z * z)
    total += np.log(z) - 0.5 / z - series
    reflected = total - np.pi / np.tan(np.pi * (x - np.rint(x)))
    whole = x == np.floor(x)
    result = np.where(x < 0, np.where(whole, np.nan, reflected), total)
    return np.where(x == 0, np.copysign(np.inf, -x), result)


def zeta(s: Array, q: Array) -> Array:
    """Hurwitz' Σ (q + k)^-s over k ≥ 0, s > 1; below q = 0 for whole s only."""
    s, q = np.broadcast_arrays(np.asarray(s, np.float64), np.asarray(q, np.float64))
    below = q < 0
    # The terms left of 0 are those of two sums that begin right of it, with other signs.
    first = np.where(below, q - np.floor(q), q)
    result = _zeta_right(s, first)
    sign = np.where(np.fmod(s, 2) == 0, 1.0, -1.0)
    mirrored = _zeta_right(s, np.where(below, 1 - first, 1)) - _zeta_right(
        s, np.where(below, 1 - q, 1)
    )
    result = np.where(below, result + sign * mirrored, result)
    result = np.where((q <= 0) & (s != np.floor(s)), np.nan, result)
    result = np.where((q <= 0) & (q == np.floor(q)), np.inf, result)
    return np.where(s == 1, np.inf, np.where(s < 1, np.nan, result))


def _zeta_right(s: Array, q: Array) -> Array:
    """For q > 0 by the sum of Euler and Maclaurin, A&S 23.1.30 and 25.2.9 of the DLMF."""
    total = np.zeros_like(q)
    for k in range(SHIFT):
        total += (q + k) ** -s
    w = q + SHIFT
    power = w**-s
    total += power * w / (s - 1) + power / 2
    factor = s * power / w  # s (s + 1) … (s + 2k - 2) w^(1 - s - 2k) / (2k)!, from k = 1
    for k, number in enumerate(BERNOULLI, 1):
        if k > 1:
            factor = factor * (s + 2 * k - 3) * (s + 2 * k - 2) / (w * w)
        total += number / math.factorial(2 * k) * factor
    return total


def polygamma(n: int, x: Array) -> Array:
    """The n-th derivative of digamma: (-1)^(n + 1) n! ζ(n + 1, x), A&S 6.4.10."""
    if n == 0:
        return digamma(x)
    if n == 1:
        return _trigamma(np.asarray(x))
    return (-1.0) ** (n + 1) * math.gamma(n + 1.0) * zeta(n + 1.0, x)


def _trigamma(x: Array) -> Array:
    """By reflection left of 1/2; π / sin πx in x's own precision, as PyTorch has it."""
    left = x < 0.5
    sine = np.sin(x.dtype.type(np.pi) * np.where(left, x, x.dtype.type(0.5)))
    mirrored = x.dtype.type(np.pi**2) / (sine * sine) - zeta(2.0, np.where(left, 1 - x, 1))
    return np.where(left, mirrored, zeta(2.0, np.where(left, 1, x)))


def lower_gamma(a: Array, x: Array) -> Array:
    """P(a, x), the regularised incomplete gamma function from 0 to x."""
    return _incomplete(a, x)[0]


def upper_gamma(a: Array, x: Array) -> Array:
    """Q(a, x) = 1 - P(a, x)."""
    return _incomplete(a, x)[1]


def _incomplete(a: Array, x: Array) -> tuple[Array, Array]:
    """P and Q: a series left of a + 1, a continued fraction right of it, Gauss for large a."""
    a, x = np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(x, np.float64))
    shape, a, x = a.shape, a.ravel(), x.ravel()
    p = np.full(a.shape, np.nan)
    usual = (a > 0) & (x > 0) & np.isfinite(a) & np.isfinite(x)
    q = p.copy()
    left, large = x < a + 1, a > LARGE
    tail_is_lower = np.where(large, x <= a - 1, left)
    for part, tail in ((usual & large, _by_gauss), (usual & ~large & left, _by_series),
                       (usual & ~large & ~left, _by_fraction)):  # fmt: skip
        if part.any():
            p[part] = tail(a[part], x[part])
    lower = usual & tail_is_lower
    upper = usual & ~tail_is_lower
    q[lower] = 1 - p[lower]
    q[upper], p[upper] = p[upper], 1 - p[upper]
    for where, value in (  # later ones win
        (np.isposinf(x), 1.0), (np.isposinf(a), 0.0), (np.isposinf(a) & np.isposinf(x), np.nan),
        (x == 0, 0.0), ((a == 0) & (x > 0), 1.0), ((a == 0) & ~(x > 0), np.nan),
        ((x < 0) | (a < 0), np.nan),
    ):  # fmt: skip
        p[where], q[where] = value, 1 - value
    return p.reshape(shape), q.reshape(shape)


def _weight(a: Array, x: Array) -> Array:
    """x^a e^-x / Γ(a)."""
    return np.exp(a * np.log(x) - x - lgamma(a))


def _by_series(a: Array, x: Array) -> Array:
    """P by A&S 6.5.29."""
    term = 1 / a
    total = term.copy()
    for k in range(1, ROUNDS):
        term = term * x / (a + k)
        total += term
        if np.all(term <= EPS * total):
            break
    return total * _weight(a, x)


def _by_fraction(a: Array, x: Array) -> Array:
    """Q by A&S 6.5.31 in its even form, evaluated as by Lentz (Applied Optics 15, 1976)."""
    b = x + 1 - a
    c, d = np.full_like(x, 1e300), 1 / b
    h = d.copy()
    for k in range(1, ROUNDS):
        an = -k * (k - a)
        b = b + 2
        d = 1 / _nonzero(an * d + b)
        c = _nonzero(b + an / c)
        h = h * d * c
        if np.all(np.abs(d * c - 1) <= 2 * EPS):
            break
    return h * _weight(a, x)


def _nonzero(x: Array) -> Array:
    return np.where(x == 0, 1e-300, x)


def _by_gauss(a: Array, x: Array) -> Array:
    """The smaller tail, integrated from x to where nothing is left; Γ(a) by A&S 6.1.41."""
    top = a - 1
    width = np.sqrt(top)
    right = x > top
    end = np.where(right, np.maximum(top + 11.5 * width, x + 6 * width),
                   np.maximum(0, np.minimum(top - 11.5 * width, x - 6 * width)))  # fmt: skip
    nodes, weights = np.polynomial.legendre.leggauss(64)
    total = np.zeros_like(x)
    for node, weight in zip(nodes, weights):
        off = (x + (end - x) * (node + 1) / 2 - top) / top
        total += weight / 2 * np.exp(top * (np.log1p(off) - off))
    stirling = 1 / (12 * top) - 1 / (360 * top**3)
    return total * np.abs(end - x) / (np.sqrt(2 * np.pi * top) * np.exp(stirling))
