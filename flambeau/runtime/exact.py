"""Arithmetic that gives PyTorch's very bits where NumPy's own operations would differ by an ulp.

For the NumPy meaning of random draws: PyTorch's loops fuse multiply and add, and its float32
normals use the single precision polynomials of S. Moshier's Cephes library, in blocks of eight.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Floats = np.ndarray

LOG = (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
    -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip
LN2_LOW, LN2_HIGH = -2.12194440e-4, 0.693359375
SIN = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
COS = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
PI_4 = (0.78515625, 2.4187564849853515625e-4, 3.77489497744594108e-8)  # pi/4 in three parts
SQRT_HALF = 0.707106781186547524
FOUR_OVER_PI = 1.27323954473516


def fma(a: Any, b: Any, c: Any) -> Floats:
    """a * b + c, rounded once; float64 if `a` is, else float32."""
    if np.asarray(a).dtype == np.float64:
        return _fma64(*(np.asarray(v, np.float64) for v in (a, b, c)))
    a, b, c = (np.asarray(v, np.float32).astype(np.float64) for v in (a, b, c))
    return _add_to_odd(a * b, c).astype(np.float32)  # the product of two float32 is exact


def _fma64(a: Floats, b: Floats, c: Floats) -> Floats:
    """After Boldo and Melquiond, 'Emulation of FMA and correctly rounded sums', 2008."""
    high = a * b
    low = _product_error(a, b, high)
    carried, carried_error = _two_sum(c, low)
    total, total_error = _two_sum(high, carried)
    return total + _add_to_odd(carried_error, total_error)


def _two_sum(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    total = a + b
    other = total - a
    return total, (a - (total - other)) + (b - other)


def _product_error(a: Floats, b: Floats, product: Floats) -> Floats:
    """What a * b lost to rounding (Dekker's halves of 26 bits)."""
    a_high, a_low = _halves(a)
    b_high, b_low = _halves(b)
    return a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)


def _halves(a: Floats) -> tuple[Floats, Floats]:
    scaled = a * 134217729.0
    high = scaled - (scaled - a)
    return high, a - high


def _add_to_odd(a: Floats, b: Floats) -> Floats:
    """a + b, an inexact sum rounded to the odd neighbour, so that rounding it again is harmless."""
    total, error = _two_sum(a, b)
    bits = total.view(np.int64)
    step = np.where((error > 0) == (total > 0), 1, -1)
    odd = np.where((error != 0) & ((bits & 1) == 0), bits + step, bits)
    return odd.view(np.float64)


def libm(function: Callable[[float], float], x: Floats) -> Floats:
    """The C library's float64 function, one element at a time: NumPy's differs in the last bit."""
    return np.asarray(np.frompyfunc(function, 1, 1)(x)).astype(np.float64)


def _polynomial(x: Floats, coefficients: tuple[float, ...]) -> Floats:
    total = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total = fma(total, x, coefficient)
    return total


def log32(x: Floats) -> Floats:
    """The natural logarithm of positive normal float32 numbers."""
    m, e = np.frexp(x)
    low = m < np.float32(SQRT_HALF)
    e = (e - low).astype(np.float32)
    m = np.where(low, m + m, m) - np.float32(1)
    square = m * m
    y = fma(_polynomial(m, LOG) * m, square, e * np.float32(LN2_LOW))
    return fma(e, LN2_HIGH, m + fma(-square, 0.5, y))


def sincos32(x: Floats) -> tuple[Floats, Floats]:
    """Sine and cosine of float32 numbers that are not negative."""
    octant = ((x * np.float32(FOUR_OVER_PI)).astype(np.int32) + 1) & ~1
    for part in PI_4:
        x = fma(octant, -part, x)
    square = x * x
    cosine = _polynomial(square, COS) * square
    cosine = fma(cosine, square, -(square * np.float32(0.5))) + np.float32(1)
    sine = fma(_polynomial(square, SIN) * square, x, x)
    swap = (octant & 2) != 0
    sine, cosine = np.where(swap, cosine, sine), np.where(swap, sine, cosine)
    return (
        np.where((octant & 4) != 0, -sine, sine),
        np.where(((octant - 2) & 4) != 0, cosine, -cosine),
    )


def box_muller(u: Floats, mean: float, std: float) -> Floats:
    """Uniform numbers in [0, 1), a multiple of 16 → normals: eight radii, then eight angles."""
    blocks = u.reshape(-1, 2, 8)
    radius, sine, cosine = (_polar32 if u.dtype == np.float32 else _polar64)(blocks)
    normals = np.stack([radius * cosine, radius * sine], 1)
    return fma(normals, std, mean).reshape(-1)


def _polar32(blocks: Floats) -> tuple[Floats, Floats, Floats]:
    radius = np.sqrt(np.float32(-2) * log32(np.float32(1) - blocks[:, 0]))
    return radius, *sincos32(np.float32(2 * math.pi) * blocks[:, 1])


def _polar64(blocks: Floats) -> tuple[Floats, Floats, Floats]:
    radius = np.sqrt(-2 * libm(math.log, 1 - blocks[:, 0]))
    theta = 2 * math.pi * blocks[:, 1]
    return radius, libm(math.sin, theta), libm(math.cos, theta)
