"""NumPy meanings of Bessel functions of orders 0 and 1, and of Airy's, in float64.

Near 0 by series and recurrences, in the middle by the trapezoidal rule, which converges
exponentially on these integrals (Trefethen and Weideman, SIAM Review 56, 2014), far out by
Hankel's expansions. A&S is Abramowitz and Stegun, Handbook of Mathematical Functions, 1964.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = Any
EULER = 0.57721566490153286061
FAR = 25.0  # Hankel's expansions hold to the last digit from here on: for J and Y,
FAR_MODIFIED = 30.0  # and for I and K
STEP = 0.125  # of the integrals over cosh: their error is less than exp(-36)
AIRY = (0.35502805388781723926, 0.25881940379280679841)  # Ai(0) and -Ai'(0)


def hankel(order: float, x: Array, terms: int = 24) -> list[Array]:
    """The terms a_k(ν) / x^k of A&S 9.2.9, 9.7.1 and 9.7.2."""
    term, found = np.ones_like(x), []
    for k in range(terms):
        found.append(term)
        term = term * (4 * order * order - (2 * k + 1) ** 2) / ((k + 1) * 8 * x)
    return found


# ------------------------------------------------------------------ J and Y


def j0(x: Array) -> Array:
    return _near_or_far(np.abs(np.asarray(x, np.float64)))[0]


def j1(x: Array) -> Array:
    x = np.asarray(x, np.float64)
    return np.where(x < 0, -1, 1) * _near_or_far(np.abs(x))[1]


def y0(x: Array) -> Array:
    return _right_of_zero(np.asarray(x, np.float64), 2)


def y1(x: Array) -> Array:
    return _right_of_zero(np.asarray(x, np.float64), 3)


def _right_of_zero(x: Array, which: int) -> Array:
    """-∞ at 0, NaN below."""
    value = _near_or_far(np.where(x > 0, x, 1))[which]
    return np.where(x > 0, value, np.where(x == 0, -np.inf, np.nan))


def _near_or_far(x: Array) -> tuple[Array, ...]:
    """J0, J1, Y0 and Y1 for x ≥ 0; NaN at infinity, as in PyTorch."""
    far = x > FAR
    near_values = by_recurrence(np.where(far, 1, x))
    far_values = by_hankel(np.where(far & np.isfinite(x), x, FAR))
    return tuple(
        np.where(np.isposinf(x), np.nan, np.where(far, b, a))
        for a, b in zip(near_values, far_values)
    )


def by_recurrence(x: Array) -> tuple[Array, ...]:
    """Down from a high order, after Miller; Y by the series A&S 9.1.88."""
    tiny = x < 1e-10
    z = np.where(tiny, 1, x)
    above, here = np.zeros_like(z), np.full_like(z, 1e-300)
    norm, sum0, sum1 = np.zeros_like(z), np.zeros_like(z), np.zeros_like(z)
    for n in range(90, 0, -1):  # here: J(n)
        half, sign = n // 2, (-1) ** (n // 2)
        if n % 2 == 0:
            norm, sum0 = norm + 2 * here, sum0 + sign / half * here
        elif n > 1:
            sum1 = sum1 + sign * n / (half * (half + 1)) * here
        above, here = here, 2 * n / z * here - above
        big = np.where(np.abs(here) > 1e200, 1e-200, 1.0)
        above, here, norm, sum0, sum1 = (v * big for v in (above, here, norm, sum0, sum1))
    first, second = (v / (norm + here) for v in (here, above))
    sum0, sum1 = (v / (norm + here) for v in (sum0, sum1))
    first, second = np.where(tiny, 1, first), np.where(tiny, x / 2, second)
    log = np.log(x / 2) + EULER
    zero = 2 / np.pi * (log * first - np.where(tiny, 0, 2 * sum0))
    one = 2 / np.pi * ((log - 1) * second - first / x - np.where(tiny, 0, sum1))
    return first, second, zero, one


def by_hankel(x: Array) -> tuple[Array, ...]:
    """A&S 9.2.5 and 9.2.6."""
    scale, (s, c) = 1 / np.sqrt(np.pi * x), (np.sin(x), np.cos(x))
    angles = ((s + c, s - c), (s - c, -s - c))  # √2 times cos and sin of x - π/4, of x - 3π/4
    values = []
    for order, (cos, sin) in enumerate(angles):
        terms = hankel(order, x)
        p = sum((-1) ** k * t for k, t in enumerate(terms[::2]))
        q = sum((-1) ** k * t for k, t in enumerate(terms[1::2]))
        values.append((scale * (p * cos - q * sin), scale * (p * sin + q * cos)))
    return values[0][0], values[1][0], values[0][1], values[1][1]


# ------------------------------------------------------------------ I and K


def i0e(x: Array) -> Array:
    """exp(-|x|) I0(x): A&S 9.6.16, or 9.7.1."""
    x = np.abs(np.asarray(x, np.float64))
    near = np.minimum(x, FAR_MODIFIED)
    total = 0.5 * (1 + np.exp(-2 * near))
    for j in range(1, 32):
        total = total + np.exp(near * (math.cos(j * math.pi / 32) - 1))
    return np.where(x > FAR_MODIFIED, _grown(0, x), total / 32)


def i1e(x: Array) -> Array:
    """exp(-|x|) I1(x): A&S 9.6.18, or 9.7.1."""
    x = np.asarray(x, np.float64)
    size = np.abs(x)
    near = np.minimum(size, FAR_MODIFIED)
    total = np.zeros_like(near)
    for j in range(1, 32):
        angle = j * math.pi / 32
        total = total + np.exp(near * (math.cos(angle) - 1)) * math.sin(angle) ** 2
    far = _grown(1, size)
    return np.where(x < 0, -1, 1) * np.where(size > FAR_MODIFIED, far, near * total / 32)


def _grown(order: int, x: Array) -> Array:
    x = np.maximum(x, FAR_MODIFIED)
    total = sum((-1) ** k * t for k, t in enumerate(hankel(order, x)))
    return total / np.sqrt(2 * np.pi * x)


def i0(x: Array) -> Array:
    return i0e(x) * np.exp(np.abs(np.asarray(x, np.float64)))


def i1(x: Array) -> Array:
    return i1e(x) * np.exp(np.abs(np.asarray(x, np.float64)))


def ke(order: float, x: Array) -> Array:
    """exp(x) K(x) for x ≥ 0.6: A&S 9.6.24, or 9.7.2."""
    near = np.clip(x, 0.6, FAR_MODIFIED)
    total = np.full_like(near, 0.5)
    for j in range(1, 42):
        cosh = math.cosh(j * STEP)
        total = total + np.exp(-near * (cosh - 1)) * math.cosh(order * j * STEP)
    far = np.maximum(x, FAR_MODIFIED)
    tail = sum(hankel(order, far)) * np.sqrt(np.pi / (2 * far))
    return np.where(x > FAR_MODIFIED, tail, total * STEP)


def k_series(order: int, x: Array) -> Array:
    """K0 and K1 for 0 < x ≤ 2: A&S 9.6.13 and 9.6.11."""
    square = x * x / 4
    term, harmonic = np.ones_like(x), 0.0
    total, regular = np.zeros_like(x), np.zeros_like(x)
    for k in range(20):
        regular = regular + term  # I(x), but for a factor
        weight = harmonic - EULER if order == 0 else harmonic - EULER + 0.5 / (k + 1)
        total = total + term * weight
        harmonic += 1 / (k + 1)
        term = term * square / ((k + 1) * (k + 1 + order))
    log = np.log(x / 2)
    if order == 0:
        return total - log * regular
    return 1 / x + x / 2 * (log * regular - total)


def scaled_k(order: int, x: Array) -> Array:
    """exp(x) K(x); infinite at 0, NaN below."""
    x = np.asarray(x, np.float64)
    small = np.clip(x, 0, 2)
    near = k_series(order, np.where(small > 0, small, 1)) * np.exp(small)
    value = np.where(x <= 2, near, ke(order, np.maximum(x, 2)))
    return np.where(x > 0, value, np.where(x == 0, np.inf, np.nan))


def k0e(x: Array) -> Array:
    return scaled_k(0, x)


def k1e(x: Array) -> Array:
    return scaled_k(1, x)


def k0(x: Array) -> Array:
    return scaled_k(0, x) * np.exp(-np.asarray(x, np.float64))


def k1(x: Array) -> Array:
    return scaled_k(1, x) * np.exp(-np.asarray(x, np.float64))


# ------------------------------------------------------------------ others


def spherical_j0(x: Array) -> Array:
    """sin(x) / x."""
    x = np.asarray(x, np.float64)
    usual = np.where((x != 0) & np.isfinite(x), x, 1)
    value = np.where(x == 0, 1, np.sin(usual) / usual)
    return np.where(np.isnan(x), x, np.where(np.isinf(x), 0, value))


def airy(x: Array) -> Array:
    """Ai: A&S 10.4.14 right of 1, 10.4.2 in the middle, 10.4.60 left of -7.5."""
    x = np.asarray(x, np.float64)
    right, left = np.maximum(x, 1), np.maximum(-x, 7.5)
    argument = 2 / 3 * right * np.sqrt(right)
    decaying = np.sqrt(right / 3) / np.pi * ke(1 / 3, argument) * np.exp(-argument)
    middle = _airy_series(np.clip(x, -7.5, 1))
    value = np.where(x > 1, decaying, np.where(x < -7.5, _airy_waves(left), middle))
    return np.where(np.isinf(x), np.nan, value)


def _airy_series(x: Array) -> Array:
    cube = x * x * x
    f, g = np.ones_like(x), x
    total = AIRY[0] * f - AIRY[1] * g
    for k in range(1, 60):
        f = f * cube / ((3 * k - 1) * 3 * k)
        g = g * cube / (3 * k * (3 * k + 1))
        total = total + (AIRY[0] * f - AIRY[1] * g)
    return total


def _airy_waves(z: Array) -> Array:
    argument = 2 / 3 * z * np.sqrt(z)
    term, terms = np.ones_like(z), []
    for k in range(20):
        terms.append(term)
        term = (
            term
            * ((6 * k + 5) * (6 * k + 3) * (6 * k + 1))
            / (216 * (k + 1) * (2 * k + 1) * argument)
        )
    even = sum((-1) ** k * t for k, t in enumerate(terms[::2]))
    odd = sum((-1) ** k * t for k, t in enumerate(terms[1::2]))
    angle = argument + np.pi / 4
    return (np.sin(angle) * even - np.cos(angle) * odd) / np.sqrt(np.pi * np.sqrt(z))
