"""Derivatives of gamma and beta draws by their parameters: implicit reparameterisation.

A draw z stays at the same point F(z; a) of the distribution function while a moves, so
dz/da = -(∂F/∂a) / density. M. Figurnov, S. Mohamed, A. Mnih: "Implicit reparameterization
gradients", 2018. ∂F/∂a is the derivative of F's series (left of the mean) or continued fraction
(right of it), term by term; the densities cancel, so nothing over- or underflows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.runtime.gamma import digamma

Array = Any
EPS = 2.0**-52
ROUNDS = 5000
LARGE = 1e5  # shapes from which the gamma's quantiles are expanded


def gamma_grad(alpha: Array, z: Array) -> Array:
    """dz/dα of a draw z from the gamma distribution of shape α and rate 1."""
    alpha, z = np.broadcast_arrays(*(np.asarray(x, np.float64) for x in (alpha, z)))
    result = np.full(alpha.shape, np.nan)
    usual = (alpha > 0) & (z > 0) & np.isfinite(alpha) & np.isfinite(z)
    result[(z == 0) & (alpha > 0)] = 0
    left = z < alpha + 1
    for part, grad in ((usual & (alpha >= LARGE), _of_large),
                       (usual & (alpha < LARGE) & left, _by_series),
                       (usual & (alpha < LARGE) & ~left, _by_fraction)):  # fmt: skip
        if part.any():
            result[part] = grad(alpha[part], z[part])
    return result


def _by_series(a: Array, z: Array) -> Array:
    """γ(a, z) = z^a e^-z Σ z^n / (a)_(n+1): Abramowitz and Stegun 6.5.29."""
    term = 1 / a
    slope = -term * term  # of the term, by a
    total, slopes = term.copy(), slope.copy()
    for n in range(1, ROUNDS):
        ratio = z / (a + n)
        slope = ratio * (slope - term / (a + n))
        term = term * ratio
        total += term
        slopes += slope
        if np.all(np.abs(slope) <= EPS * np.abs(slopes)) and np.all(term <= EPS * total):
            break
    return -z * (total * (np.log(z) - digamma(a)) + slopes)


def _by_fraction(a: Array, z: Array) -> Array:
    """Γ(a, z) = z^a e^-z / (z + 1 - a - 1 (1 - a) / (z + 3 - a - …)): A&S 6.5.31, even form."""
    b, slope = z + 1 - a, np.full_like(a, -1.0)
    h, dh = fraction((n * (a - n), np.float64(n), b + 2 * n, slope) for n in range(1, ROUNDS))
    h, dh = b + h, slope + dh
    return z * ((np.log(z) - digamma(a)) / h - dh / (h * h))


def fraction(steps: Any) -> tuple[Array, Array]:
    """p1 / (q1 + p2 / (q2 + …)) and its derivative, from (p, dp, q, dq) step by step.

    By Wallis' recurrence A_n = q A_(n-1) + p A_(n-2), scaled so that it stays in range.
    """
    above, below = (1.0, 0.0), (0.0, 1.0)  # A and B, before and now
    d_above, d_below = (0.0, 0.0), (0.0, 0.0)
    value = slope = 0.0
    for p, dp, q, dq in steps:
        d_above = (d_above[1], dq * above[1] + q * d_above[1] + dp * above[0] + p * d_above[0])
        d_below = (d_below[1], dq * below[1] + q * d_below[1] + dp * below[0] + p * d_below[0])
        above, below = (
            (above[1], q * above[1] + p * above[0]),
            (below[1], q * below[1] + p * below[0]),
        )
        scale = 1 / below[1]
        above, below, d_above, d_below = (
            (x * scale, y * scale) for x, y in (above, below, d_above, d_below)
        )
        before, value = value, above[1]
        slope_before, slope = slope, d_above[1] - value * d_below[1]
        if np.all(np.abs(value - before) <= 2 * EPS * np.abs(value)) and np.all(
            np.abs(slope - slope_before) <= 4 * EPS * np.abs(slope)
        ):
            break
    return value, slope


def _of_large(a: Array, z: Array) -> Array:
    """Cornish and Fisher's expansion z = a + x √a + (x² - 1) / 3 + (x³ - 7x) / (36 √a) + …"""
    root = np.sqrt(a)
    x = 3 * root * (np.cbrt(z / a) - 1 + 1 / (9 * a))  # Wilson and Hilferty's, then corrected
    x = x + (x * x * x / 108 - x / 36) / a
    return 1 + x / (2 * root) - (x * x * x - 7 * x) / (72 * a * root)


def beta_grad(x: Array, a: Array, total: Array) -> Array:
    """(dx/da) / (1 - x) of a draw x from the beta distribution of a and b = total - a, b fixed."""
    x, a, total = np.broadcast_arrays(*(np.asarray(v, np.float64) for v in (x, a, total)))
    b = total - a
    result = np.full(x.shape, np.nan)
    usual = (x > 0) & (x < 1) & (a > 0) & (b > 0) & np.isfinite(total)
    left = x <= (a + 1) / (total + 2)
    for part, lower in ((usual & left, True), (usual & ~left, False)):
        if part.any():
            result[part] = _beta_grad(x[part], a[part], b[part], lower)
    return result


def _beta_grad(x: Array, a: Array, b: Array, lower: bool) -> Array:
    """By the continued fraction of the smaller tail: NIST's Handbook, 8.17.22."""
    weight = np.log(x) - digamma(a) + digamma(a + b)
    if lower:  # I = x^a (1 - x)^b / (a B) / (1 + f)
        f, df = fraction(_beta_steps(a, b, x, True))
        return -x / a * ((weight - 1 / a) / (1 + f) - df / (1 + f) ** 2)
    f, df = fraction(_beta_steps(b, a, 1 - x, False))
    return x / b * (weight / (1 + f) - df / (1 + f) ** 2)


def _beta_steps(a: Array, b: Array, x: Array, by_first: bool) -> Any:
    """The coefficients and their derivatives by a or, if not `by_first`, by b."""
    for n in range(ROUNDS):
        first, second = a + 2 * n, a + 2 * n + 1
        p = -(a + n) * (a + b + n) / (first * second) * x
        slope = 1 / (a + n) + 1 / (a + b + n) - 1 / first - 1 / second
        yield p, p * (slope if by_first else 1 / (a + b + n)), 1.0, 0.0
        m, first, second = n + 1, a + 2 * n + 1, a + 2 * n + 2
        p = m * (b - m) / (first * second) * x
        slope = -p * (1 / first + 1 / second) if by_first else m / (first * second) * x
        yield p, slope, 1.0, 0.0
