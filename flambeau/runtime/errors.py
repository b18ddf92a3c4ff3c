"""NumPy meanings of the error function's family, in float64: scaled, logarithmic, inverse.

A&S is Abramowitz and Stegun, Handbook of Mathematical Functions, 1964.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = Any
# First guesses of erf's inverse: M. Giles, 'Approximating the erfinv function', GPU Computing Gems,
# Jade edition, 2011; by w = -log(1 - y²), in w - 2.5 below 5, in √w - 3 above.
NEAR = (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
        -0.00125372503, -0.00417768164, 0.246640727, 1.50140941)  # fmt: skip
FAR = (-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
       -0.0076224613, 0.00943887047, 1.00167406, 2.83297682)  # fmt: skip
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
    w = -np.log(q * (2 - q))
    guess = np.where(w < 5, np.polyval(NEAR, w - 2.5) * (1 - q), np.sqrt(w))
    x = np.where((w >= 5) & (w < 16), np.polyval(FAR, np.sqrt(np.clip(w, 0, 16)) - 3), guess)
    near, tail = size < 0.5, x
    start = np.where(near, x, 0)
    for _ in range(2):
        start = start - (erf(start) - size) * ROOT_PI / 2 * np.exp(start * start)
    for _ in range(4):
        scaled = erfcx(tail)
        tail = tail + (np.log(scaled) - tail * tail - np.log(q)) * scaled * ROOT_PI / 2
    x = np.copysign(np.where(near, start, tail), y)
    return np.where(inside, x, np.where(size == 1, np.copysign(np.inf, y), np.nan))
