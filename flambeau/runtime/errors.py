"""NumPy meanings of the error function's family, in float64: scaled, logarithmic, inverse.

A&S is Abramowitz and Stegun, Handbook of Mathematical Functions, 1964.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = Any
ROOT_PI = math.sqrt(math.pi)


def mapped(function: Any) -> Any:
    """A function of Python's math module on arrays."""
    ufunc = np.frompyfunc(function, 1, 1)
    return lambda x: np.asarray(ufunc(np.asarray(x, np.float64))).astype(np.float64)


erf, erfc = mapped(math.erf), mapped(math.erfc)


def erfcx(x: Array) -> Array:
    """exp(x²) erfc(x): by the continued fraction A&S 7.1.14 where erfc gets small."""
    x = np.asarray(x, np.float64)
    large = x > 5
    z = np.where(large, x, 5)
    fraction = z
    for k in range(40, 0, -1):
        fraction = z + k / 2 / fraction
    square = x * x
    near = np.where(large, 0, x)
    low = _square_error(near)
    direct = np.exp(square) * (1 + low) * erfc(near)
    return np.where(large, 1 / (ROOT_PI * fraction), np.where(x < -26.7, np.inf, direct))


def _square_error(x: Array) -> Array:
    """What x · x lost to rounding, by halves of 26 bits (Dekker, 1971)."""
    scaled = x * 134217729.0
    high = scaled - (scaled - x)
    low = x - high
    return ((high * high - x * x) + 2 * high * low) + low * low


def log_ndtr(x: Array) -> Array:
    """log of the normal distribution's integral up to x."""
    x = np.asarray(x, np.float64)
    t = x / math.sqrt(2)
    left = x < -1
    tail = np.log(erfcx(np.where(left, -t, 1)) / 2) - t * t
    return np.where(left, tail, np.log1p(-erfc(np.where(left, 0, t)) / 2))


def erfinv(y: Array) -> Array:
    """The x with erf(x) = y."""
    y = np.asarray(y, np.float64)
    return _inverse(y, 1 - np.abs(y))


def ndtri(p: Array) -> Array:
    """The x up to which the normal distribution's integral is p."""
    p = np.asarray(p, np.float64)
    low = p < 0.5
    return math.sqrt(2) * _inverse(2 * p - 1, np.where(low, 2 * p, 2 * (1 - p)))


def _inverse(y: Array, q: Array) -> Array:
    """erf's inverse at y, where q = 1 - |y| is given for itself: it may be very small.

    Newton's steps on erf near 0, on log erfc in the tails, where that is almost a parabola.
    """
    size = np.abs(y)
    inside = (q > 0) & (size <= 1)
    q = np.where(inside, q, 1)
    # First guesses: S. Winitzki, 'A handy approximation for the error function', 2008.
    w = np.log(q * (2 - q))
    half = 2 / (np.pi * 0.147) + w / 2
    x = np.sqrt(np.sqrt(half * half - w / 0.147) - half)
    near, tail = size < 0.5, x
    start = np.where(near, x, 0)
    for _ in range(3):
        start = start - (erf(start) - size) * ROOT_PI / 2 * np.exp(start * start)
    for _ in range(4):
        scaled = erfcx(tail)
        tail = tail + (np.log(scaled) - tail * tail - np.log(q)) * scaled * ROOT_PI / 2
    x = np.copysign(np.where(near, start, tail), y)
    return np.where(inside, x, np.where(size == 1, np.copysign(np.inf, y), np.nan))
