"""Scalar expressions of inverse and hyperbolic functions: polynomials, and exp, log and sqrt.

Rows of unary.py lower to them; each is within 2 ulp over the whole range of float32, and within 4
of float64 (tests/codegen/test_precision.py). The coefficients are minimax fits of our own (Remez
exchange in 50 digits). How arguments are reduced follows the usual practice: W. J. Cody and
W. Waite, Software Manual for the Elementary Functions, 1980.
"""

from __future__ import annotations

import math
from typing import Any

LN2 = math.log(2)

# atan(t) = t + t³ · A(t²) for |t| ≤ 1
ATAN = {
    "float32": (-0.33333299089183965, 0.1999854828355387, -0.14264241663459556,
                0.10952185671120246, -0.08403450012077358, 0.057957588217569064,
                -0.031177840718024305, 0.010914603139338295, -0.0017936211627810651),
    "float64": (-0.3333333333333307, 0.1999999999995146, -0.1428571428257508, 0.1111111100702547,
                -0.09090907002981125, 0.0769227983918738, -0.06666404056809785,
                0.05880527810605271, -0.052535185376326045, 0.047223221740777956,
                -0.042191788668418134, 0.03664190955520195, -0.02990385701979369,
                0.021984852371906637, -0.013900559969277361, 0.007196503681722684,
                -0.002884919012797199, 0.0008313221507698672, -0.00015216095361050315,
                1.3225086586935521e-05),
}  # fmt: skip
# asin(t) = t + t³ · S(t²) for |t| ≤ limit
ASIN_LIMIT = {"float32": 0.65, "float64": 0.5}
ASIN = {
    "float32": (0.16666713808777403, 0.07497281546283979, 0.045168750423160375,
                0.025628091213572377, 0.044756719484568434, -0.03755119420548353,
                0.07460801473634368),
    "float64": (0.16666666666665408, 0.07500000000337016, 0.044642856828324154,
                0.030381959137136972, 0.02237175804728099, 0.017359704792068956,
                0.01388523538239424, 0.012169210913606392, 0.006527983367346574,
                0.019528231481726617, -0.016224184792907808, 0.03191221471813843),
}  # fmt: skip
# sinh(t) = t + t³ · S(t²) for |t| ≤ 1
SINH = {
    "float32": (0.1666666649756049, 0.008333350058233964, 0.00019836159765398328,
                2.8169512957944063e-06),
    "float64": (0.16666666666666669, 0.008333333333333148, 0.00019841269841431873,
                2.755731915707147e-06, 2.5052123136779785e-08, 1.6057259764860184e-10,
                7.758748903343398e-13),
}  # fmt: skip
HALF_PI = {  # π/2 in two parts
    "float32": (1.5707963705062866, -4.371139000186243e-08),
    "float64": (1.5707963267948966, 6.123233995736766e-17),
}
HALF_E = {  # e/2 in two parts
    "float32": (1.3591408729553223, 4.127420035205514e-08),
    "float64": (1.3591409142295225, 7.228234458646251e-17),
}


def odd(k: Any, t: Any, coefficients: Any) -> Any:
    """t + t³ · P(t²)"""
    square = t * t
    total = k.number(coefficients[-1], t.dtype)
    for c in reversed(coefficients[:-1]):
        total = k.fma(total, square, c)
    return k.fma(t * square, total, t)


def atan(k: Any, x: Any) -> Any:
    """The angle of the reciprocal above 1."""
    size = k.abs(x)
    large = size > 1
    angle = odd(k, k.where(large, 1 / size, size), ATAN[x.dtype.name])
    high, low = HALF_PI[x.dtype.name]
    return k.copysign(k.where(large, high - (angle - low), angle), x)


def half_asin(k: Any, size: Any) -> tuple[Any, Any]:
    """Whether size is large, and the angle: then half the one that is missing to π/2."""
    name = size.dtype.name
    large = size > ASIN_LIMIT[name]
    return large, odd(k, k.where(large, k.sqrt((1 - size) * 0.5), size), ASIN[name])


def asin(k: Any, x: Any) -> Any:
    large, angle = half_asin(k, k.abs(x))
    high, low = HALF_PI[x.dtype.name]
    return k.copysign(k.where(large, high - (2 * angle - low), angle), x)


def acos(k: Any, x: Any) -> Any:
    large, angle = half_asin(k, k.abs(x))
    high, low = HALF_PI[x.dtype.name]
    far = k.where(x < 0, 2 * high - (2 * angle - 2 * low), 2 * angle)
    return k.where(large, far, high - (k.copysign(angle, x) - low))


def sinh(k: Any, x: Any) -> Any:
    size = k.abs(x)
    large = size > 40
    e = k.exp(k.where(large, size - 1, size))
    far = k.where(large, half_e_times(k, e), 0.5 * e - 0.5 / e)
    return k.copysign(k.where(size < 1, odd(k, size, SINH[x.dtype.name]), far), x)


def cosh(k: Any, x: Any) -> Any:
    size = k.abs(x)
    large = size > 40
    e = k.exp(k.where(large, size - 1, size))
    return k.where(large, half_e_times(k, e), 0.5 * e + 0.5 / e)


def half_e_times(k: Any, before: Any) -> Any:
    """exp(x) / 2 from exp(x - 1), which is still finite where exp(x) is not."""
    high, low = HALF_E[before.dtype.name]
    return k.fma(before, high, before * low)


def asinh(k: Any, x: Any) -> Any:
    """log(x + sqrt(x² + 1)), with what is small kept apart from the 1."""
    size = k.abs(x)
    square = size * size
    near = k.log1p(size + square / (1 + k.sqrt(1 + square)))
    return k.copysign(k.where(size > 1e9, k.log(size) + LN2, near), x)


def acosh(k: Any, x: Any) -> Any:
    """log(x + sqrt(x² - 1)), as seen from 1; NaN below."""
    t = x - 1
    near = k.log1p(t + k.sqrt(k.where(t < 0, math.nan, 2 * t + t * t)))
    return k.where(x > 1e9, k.log(x) + LN2, near)


def atanh(k: Any, x: Any) -> Any:
    size = k.abs(x)
    return k.copysign(0.5 * k.log1p(2 * size / (1 - size)), x)
