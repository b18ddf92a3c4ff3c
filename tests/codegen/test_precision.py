"""Rows' expressions against the truth, over the whole range of their types: 2 ulp of float32, 4 of
float64. What mathlib.py has under a name of its own is in test_mathlib.py.
"""

from __future__ import annotations

import numpy as np
import pytest

from flambeau.codegen.scalar import Load, k
from flambeau.ir import dtype as dt
from flambeau.ops.table import TABLE

from .harness import apply
from .test_mathlib import EDGES, ULP, check, grid


def wide(x):
    """Where longdouble has more digits than float64, it is the truth for float64 too."""
    return x.astype(np.longdouble)


def softplus(x):
    return np.where(x > 20, x, np.log1p(np.exp(np.minimum(x, 21))))


LONG = {
    "atan": np.arctan, "asin": np.arcsin, "acos": np.arccos, "sinh": np.sinh, "cosh": np.cosh,
    "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x), "reciprocal": lambda x: 1 / x,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "expm1": np.expm1, "exp2": np.exp2, "log2": np.log2, "log10": np.log10, "tan": np.tan,
}  # fmt: skip
UNIT = ("asin", "acos", "atanh")  # of numbers between -1 and 1
SPECIAL = ["erf", "erfinv", "lgamma", "digamma"]  # names in PyTorch


def dense(dtype, low, high):
    """Evenly in value, evenly in exponent, and the edges."""
    rng = np.random.default_rng(11)
    even = np.linspace(low, high, 40001)
    small = np.exp(rng.uniform(-80, 0, 20000)) * np.where(rng.random(20000) < 0.5, low, high)
    with np.errstate(all="ignore"):
        return np.concatenate([even, small, EDGES]).astype(dtype.numpy)


def computed(name, x, dtype):
    return apply(TABLE[name].scalar(k, Load(0, dtype)), [x], [dtype], dtype)


@pytest.mark.skipif(np.finfo(np.longdouble).nmant <= 52, reason="longdouble is no longer here")
@pytest.mark.parametrize("dtype", ULP, ids=str)
@pytest.mark.parametrize("name", LONG)
def test_within_a_few_ulp(name, dtype):
    x = dense(dtype, -1, 1) if name in UNIT else grid(dtype)
    with np.errstate(all="ignore"):
        truth = LONG[name](wide(x))
    got = computed(name, x, dtype)
    if name == "sigmoid":  # below the normal numbers it is 0
        keep = ~(np.abs(truth) < np.finfo(dtype.numpy).tiny)
        x, truth, got = x[keep], truth[keep], got[keep]
    check(got, truth, dtype)


@pytest.mark.parametrize("name", SPECIAL)
def test_special_functions_of_float32(name):
    special = pytest.importorskip("scipy.special")
    known = {"erf": special.erf, "erfinv": special.erfinv, "lgamma": special.gammaln,
             "digamma": special.digamma}  # fmt: skip
    low, high = {"erfinv": (-1, 1), "erf": (-5, 5)}.get(name, (1e-3, 60))
    x = dense(dt.float32, low, high)
    x = x[x > 0] if low > 0 else x
    with np.errstate(all="ignore"):
        truth = known[name](x.astype(np.float64))
    truth = np.where(x == 0, x, truth) if low < 0 else truth  # SciPy loses the sign of a zero
    got = computed(name, x, dt.float32)
    check(got, truth.astype(np.longdouble), dt.float32)


@pytest.mark.parametrize("name", ["erf", "erfinv", "lgamma"])
def test_special_functions_of_float64(name):
    """Also beside their zeros and poles."""
    mp = pytest.importorskip("mpmath")
    rng = np.random.default_rng(12)
    near_one = 1 - np.exp(rng.uniform(-36, 0, 150))
    x = {"erf": np.concatenate([rng.uniform(-6, 6, 300), rng.normal(size=50) * 1e-5]),
         "erfinv": np.concatenate([rng.uniform(-1, 1, 200), near_one, -near_one]),
         "lgamma": np.concatenate([rng.uniform(0, 12, 200), np.exp(rng.uniform(-40, 40, 100)),
                                   near_one, 1 + near_one, 3 - near_one])}[name]  # fmt: skip
    got = computed(name, x, dt.float64)
    with mp.workdps(60):
        known = {"erf": mp.erf, "erfinv": mp.erfinv, "lgamma": lambda x: mp.log(mp.gamma(x))}
        truth = [known[name](mp.mpf(v)) for v in x.tolist()]
        errors = [abs(mp.mpf(g) - t) / float(np.spacing(abs(float(t))) or 1)
                  for g, t in zip(got.tolist(), truth)]  # fmt: skip
    assert max(errors) <= 4
