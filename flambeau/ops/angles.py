"""Scalar expressions of inverse and hyperbolic functions, in terms of exp, log and sqrt.

Rows of unary.py lower to them; each is within a few ulp over the whole range of its type.
"""

from __future__ import annotations

import math
from typing import Any

LN2 = math.log(2)
TERMS = 12  # atan's series below 0.2: the next term is less than 1e-18


def halved(k: Any, t: Any) -> Any:
    """tan of half the angle whose tan is t."""
    return t / (1 + k.sqrt(1 + t * t))


def series(t: Any) -> Any:
    """t - t³/3 + t⁵/5 - …"""
    square = t * t
    total = square * (1 / (2 * TERMS + 1) * (-1) ** TERMS)
    for n in range(TERMS - 1, 0, -1):
        total = (total + (-1) ** n / (2 * n + 1)) * square
    return t + t * total


def atan(k: Any, x: Any) -> Any:
    """The reciprocal above 1; then the angle is halved twice."""
    size = k.abs(x)
    large = size > 1
    t = halved(k, halved(k, k.where(large, 1 / size, size)))
    angle = 4 * series(t)
    return k.copysign(k.where(large, math.pi / 2 - angle, angle), x)


def asin(k: Any, x: Any) -> Any:
    """Twice the angle with tan x / (1 + sqrt(1 - x²))."""
    return 2 * atan(k, x / (1 + k.sqrt((1 - x) * (1 + x))))


def acos(k: Any, x: Any) -> Any:
    """Twice the angle with tan sqrt((1 - x) / (1 + x))."""
    return 2 * atan(k, k.sqrt((1 - x) / (1 + x)))


def sinh(k: Any, x: Any) -> Any:
    """By expm1 near 0; by the square of exp(x / 2) where exp(x) might overflow."""
    size = k.abs(x)
    t, root = k.expm1(size), k.exp(size * 0.5)
    small = 0.5 * (t + t / (t + 1))
    return k.copysign(k.where(size > 20, 0.5 * root * root, small), x)


def cosh(k: Any, x: Any) -> Any:
    size = k.abs(x)
    e, root = k.exp(size), k.exp(size * 0.5)
    return k.where(size > 20, 0.5 * root * root, 0.5 * e + 0.5 / e)


def asinh(k: Any, x: Any) -> Any:
    """log(x + sqrt(x² + 1)), with what is small kept apart from the 1."""
    size = k.abs(x)
    square = size * size
    near = k.log1p(size + square / (1 + k.sqrt(1 + square)))
    return k.copysign(k.where(size > 1e9, k.log(size) + LN2, near), x)


def acosh(k: Any, x: Any) -> Any:
    t = x - 1
    return k.where(x > 1e9, k.log(x) + LN2, k.log1p(t + k.sqrt(2 * t + t * t)))


def atanh(k: Any, x: Any) -> Any:
    size = k.abs(x)
    return k.copysign(0.5 * k.log1p(2 * size / (1 - size)), x)
