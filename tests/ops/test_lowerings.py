"""Rows with two meanings, by NumPy and by machine code: both say the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau
from flambeau.ir import dtype as dt
from flambeau.ops.table import TABLE
from flambeau.settings import settings

from . import cases

ROWS = """atan2 hypot deg2rad rad2deg copysign heaviside ldexp fmax fmin logaddexp logaddexp2 sinc
    special_entr xlogy special_xlog1py nansum lgamma digamma erfinv""".split()
ULPS = {dt.float32: 3e-6, dt.float64: 1e-13}


def outcomes(name: str, dtype: dt.DType, extremes: bool, **tier: bool) -> list[Any]:
    """What a row's samples give; three times over, so that kernels are made and used."""
    found = []
    for sample in cases.samples_of(TABLE[name], dtype, extremes):
        if cases.refused(sample):
            continue
        with settings.override(**tier):
            for _ in range(3):
                args, kwargs, _ = cases.arguments(sample, cases.ours)
                result = flambeau.methods.FUNCTIONS[name](*args, **kwargs).tolist()
        found.append(np.asarray(result))
    return found


@pytest.mark.parametrize("extremes", [False, True], ids=["usual", "extremes"])
@pytest.mark.parametrize("dtype", [dt.float32, dt.float64], ids=lambda d: d.name)
@pytest.mark.parametrize("name", ROWS)
def test_kernels_compute_what_numpy_computes(name: str, dtype: dt.DType, extremes: bool) -> None:
    mine = outcomes(name, dtype, extremes, numpy=False, compile=True)
    meant = outcomes(name, dtype, extremes, numpy=True, compile=False)
    assert len(mine) == len(meant) > 0
    for a, b in zip(mine, meant):
        np.testing.assert_allclose(a, b, rtol=ULPS[dtype], atol=ULPS[dtype])
        zero = (a == 0) & (b == 0) & (name not in ("fmax", "fmin"))  # of equal zeros, either one
        np.testing.assert_array_equal(np.signbit(a[zero]), np.signbit(b[zero]))


def run_tiers(name: str, x: np.ndarray, native: bool) -> Any:
    """A function of one number, by machine code or by NumPy."""
    with settings.override(numpy=not native, compile=native):
        for _ in range(3):
            result = getattr(flambeau.from_numpy(x), name)().numpy()
    return result


@pytest.mark.parametrize("name", ["lgamma", "digamma"])
def test_gamma_functions_over_their_whole_range(name: str) -> None:
    state = np.random.RandomState(0)
    edges = [1e300, np.inf, -np.inf, np.nan, 0.0, -0.0, *range(-20, 20)]
    x = np.concatenate([state.uniform(-30, 30, 3000), 10.0 ** state.uniform(-30, 30, 1000), edges])
    for dtype, tolerance in ((np.float32, 1e-6), (np.float64, 1e-12)):
        with np.errstate(over="ignore"):
            narrow = x.astype(dtype)

        mine, meant = (run_tiers(name, narrow, native) for native in (True, False))
        np.testing.assert_allclose(mine, meant, rtol=tolerance, atol=3e-14)


def test_erfinv_up_to_the_ends() -> None:
    share = 10.0 ** np.random.RandomState(0).uniform(-16, 0, 3000)
    y = np.concatenate([1 - share, share - 1, share, [0.0, -0.0, 1, -1, 1.5, np.nan]])
    for dtype, tolerance in ((np.float32, 3e-7), (np.float64, 1e-12)):
        mine, meant = (run_tiers("erfinv", y.astype(dtype), native) for native in (True, False))
        np.testing.assert_allclose(mine, meant, rtol=tolerance)
