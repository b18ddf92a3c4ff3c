"""Polynomials against long doubles, over the whole range and at the edges."""

import math

import numpy as np
import pytest

from flambeau.codegen.scalar import Load, k
from flambeau.ir import dtype as dt

from .harness import apply

EDGES = [
    0.0, -0.0, 1.0, -1.0, 0.5, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1e-40, 2**-126, 88.7, 88.8,
    -87.4, -103.9, -104.1, 709.78, 709.8, -745.1, -745.2, 1e-310, 1e300, 3e38, -3e38, 0.625, 4.1,
]  # fmt: skip
ULP = {dt.float32: 2, dt.float64: 4}
UNARY = ["exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "sin", "cos", "tan", "tanh"]


def grid(dtype):
    """Random bit patterns, and values of the sizes that matter."""
    rng = np.random.default_rng(7)
    word = np.uint32 if dtype is dt.float32 else np.uint64
    bits = rng.integers(0, np.iinfo(word).max, 60000, dtype=word).view(dtype.numpy)
    near = [rng.normal(size=20000) * s for s in (0.1, 1, 10, 100)]
    near += [rng.uniform(-750, 750, 20000), 1 + rng.normal(size=20000) * 1e-3]
    with np.errstate(all="ignore"):
        return np.concatenate([bits, *near, EDGES]).astype(dtype.numpy)


def check(got, truth, dtype):
    """Within the bound where the truth is finite, equal where it is not, zeros of the same sign."""
    with np.errstate(all="ignore"):
        rounded = truth.astype(dtype.numpy)
        finite = np.isfinite(rounded)
        assert np.array_equal(got[~finite], rounded[~finite], equal_nan=True)
        smallest = np.finfo(dtype.numpy).tiny
        unit = np.spacing(np.maximum(np.abs(rounded[finite]), smallest)).astype(np.longdouble)
        error = np.abs(got[finite].astype(np.longdouble) - truth[finite]) / unit
    assert error.max() <= ULP[dtype]
    zero = rounded == 0
    assert np.array_equal(np.signbit(got[zero]), np.signbit(rounded[zero]))


@pytest.mark.parametrize("dtype", ULP, ids=str)
@pytest.mark.parametrize("name", UNARY)
def test_function(name, dtype):
    x = grid(dtype)
    got = apply(getattr(k, name)(Load(0, dtype)), [x], [dtype], dtype)
    with np.errstate(all="ignore"):
        truth = getattr(np, name)(x.astype(np.longdouble))
    check(got, truth, dtype)


@pytest.mark.parametrize("dtype", ULP, ids=str)
def test_erf(dtype):
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.uniform(-7, 7, 20000), rng.normal(size=5000) * 1e-3, EDGES])
    with np.errstate(all="ignore"):
        x = x.astype(dtype.numpy)
    got = apply(k.erf(Load(0, dtype)), [x], [dtype], dtype)
    truth = np.array([math.erf(v) for v in x], np.longdouble)  # itself within an ulp of float64
    check(got, truth, dtype)


@pytest.mark.parametrize("dtype", ULP, ids=str)
def test_pow(dtype):
    rng = np.random.default_rng(4)
    edges = np.array([0.0, -0.0, 1, -1, 2, -2, 3, 0.5, -0.5, np.inf, -np.inf, np.nan, -3, 1e30])
    a, b = (m.ravel() for m in np.meshgrid(edges, edges))
    a = np.concatenate([a, np.exp(rng.normal(size=20000) * 8)]).astype(dtype.numpy)
    b = np.concatenate([b, rng.normal(size=20000) * 4]).astype(dtype.numpy)
    tree = k.pow(Load(0, dtype), Load(1, dtype))
    got = apply(tree, [a, b], [dtype, dtype], dtype)
    with np.errstate(all="ignore"):
        truth = np.power(a.astype(np.longdouble), b.astype(np.longdouble))
    check(got, truth, dtype)


X, Y, Z = (Load(j, dt.float32) for j in range(3))
SENSITIVE = [
    k.tanh(X) * k.exp(X),
    X * Y - Y * Z,  # which product is fused with the difference must not depend on the place
    k.tanh(X * Y + Z * Z) - (X * X + Y * Y) * (Z * Y - X * Z),
]


@pytest.mark.parametrize("tree", SENSITIVE, ids=range(len(SENSITIVE)))
def test_the_same_bits_in_the_vector_body_and_in_the_tail(tree):
    rng = np.random.default_rng(5)
    arrays = [rng.normal(size=1003).astype(np.float32) for _ in range(3)]
    whole = apply(tree, arrays, [dt.float32] * 3, dt.float32)
    for start in (1, 7, 500, 995):
        part = apply(tree, [a[start:].copy() for a in arrays], [dt.float32] * 3, dt.float32)
        assert np.array_equal(part, whole[start:])
