"""Products of wider floats by tile registers, which multiply their bfloat16 pieces."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from flambeau.codegen.cpu.gemm import amx_plan
from flambeau.codegen.cpu.matmul import Matmul, machine_of, plan, product
from flambeau.codegen.cpu.target import CPU, cpu
from flambeau.ir import dtype as types
from flambeau.ir.dtype import DType, narrow, widen
from flambeau.ir.kernel import Access, Store
from flambeau.ir.record import replace
from flambeau.settings import settings

from .test_matmul import operand, plain, run

pytestmark = pytest.mark.skipif(not machine_of(cpu()).tiles, reason="no tile registers here")
SIZES = [(5, 7, 5), (16, 32, 32), (17, 16, 33), (33, 31, 64), (64, 64, 40), (100, 130, 77)]
rng = np.random.default_rng(3)


@pytest.fixture(autouse=True)
def whatever_the_size(monkeypatch: pytest.MonkeyPatch):
    """Small products go by tiles too."""
    for name in ("WORTH", "DEEP", "ENOUGH", "FEWEST_LINES"):
        monkeypatch.setattr(amx_plan, name, 1)
    plan.cache_clear()
    yield
    plan.cache_clear()


def multiplied(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    c = np.zeros((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]), "f4")
    run(plain(types.float32, c.ndim - 2), {"a": a, "b": b, "access0": c})
    return c


def error(c: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """The largest one, over the sum of the products' magnitudes."""
    a, b = a.astype("f8"), b.astype("f8")
    return float((np.abs(c - a @ b) / (np.abs(a) @ np.abs(b) + 1e-300)).max(initial=0))


@pytest.mark.parametrize("layouts", ["NN", "NT", "TN", "TT", "SS"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_as_exact_as_float32(sizes: tuple[int, int, int], layouts: str) -> None:
    m, n, k = sizes
    a, b = (operand(shape, layout) for shape, layout in zip(((m, k), (k, n)), layouts))
    assert error(multiplied(a, b), a, b) < 2**-22


@pytest.mark.parametrize("k", [64, 1000, 5000])
def test_errors_are_no_larger_than_those_of_sums_in_float32(k: int) -> None:
    """Of numbers of very different sizes, and of positive ones, whose sums grow."""
    wide = [10 ** rng.uniform(-4, 4, shape) for shape in ((70, k), (k, 80))]
    for factors in (wide, [np.sign(rng.standard_normal(x.shape)) * x for x in wide]):
        a, b = (np.array(x, "f4") for x in factors)
        plainly = np.zeros((70, 80), "f4")
        for i in range(k):
            plainly += a[:, i : i + 1] * b[i]
        assert error(multiplied(a, b), a, b) <= max(error(plainly, a, b), 2**-22)


def test_small_integers_are_exact() -> None:
    a, b = (rng.integers(-2000, 2000, shape).astype("f4") for shape in ((50, 90), (90, 60)))
    a, b = np.round(a / 50), np.round(b / 50)
    assert np.array_equal(multiplied(a, b), a.astype("f8") @ b)


def test_what_is_not_finite_is_as_in_float32() -> None:
    a, b = (rng.standard_normal(shape).astype("f4") for shape in ((40, 64), (64, 48)))
    a[3, 4], a[5, 6], a[7, 8], b[9, 10], b[:, 11] = np.inf, np.nan, -np.inf, np.inf, 0
    b[20, 21], a[22, :], a[23, :] = np.nan, 3e38, 1e38
    with np.errstate(all="ignore"):
        want = (a.astype("f8") @ b).astype("f4")
    got = multiplied(a, b)
    plainly = [row for row in range(40) if row not in (22, 23)]  # these overflow on the way
    assert np.array_equal(np.isnan(got[plainly]), np.isnan(want[plainly]))
    infinite = np.isinf(want[plainly])
    assert np.array_equal(got[plainly][infinite], want[plainly][infinite])
    finite = np.isfinite(want[:22])
    assert np.allclose(got[:22][finite], want[:22][finite], rtol=1e-4, atol=1e-5)
    assert not np.isfinite(np.delete(got[22], 11)).any()


def test_a_sum_that_leaves_the_range_on_the_way_is_infinite() -> None:
    a, b = np.full((33, 40), 1e20, "f4"), np.full((40, 34), 1e19, "f4")
    assert np.isinf(multiplied(a, b)).all()


@pytest.mark.parametrize("first, second", list(itertools.permutations(
    (types.float32, types.bfloat16, types.float16), 2)), ids=str)  # fmt: skip
def test_different_types(first: DType, second: DType) -> None:
    a, b = (rng.standard_normal(shape).astype("f4") for shape in ((50, 70), (70, 40)))
    a, b = (x if d is types.float32 else narrow(x, d) for x, d in ((a, first), (b, second)))
    c = np.zeros((50, 40), "f4")
    access = Access(types.float32, (None, 1))
    run(Matmul(first, second, 0, (access,), (), (Store(0, product(types.float32)),)),
        {"a": a, "b": b, "access0": c})  # fmt: skip
    wide = [x if d is types.float32 else widen(x, d) for x, d in ((a, first), (b, second))]
    assert error(c, *wide) < 2**-22


def test_batches() -> None:
    a, b = operand((3, 2, 37, 64), "N"), operand((3, 2, 64, 50), "T")
    assert error(multiplied(a, b), a, b) < 2**-22


@pytest.mark.parametrize("k", [256, 388])
def test_parts_of_a_long_sum(k: int) -> None:
    """A small C, for which each processor takes a part of k."""
    machine = replace(machine_of(cpu()), processors=2)
    a, b, c = operand((200, k), "N"), operand((k, 250), "T"), np.zeros((200, 250), "f4")
    run(plain(types.float32), {"a": a, "b": b, "access0": c}, machine=machine)
    assert error(c, a, b) < 2**-22


@pytest.mark.parametrize("dtype", [types.float32, types.bfloat16], ids=str)
@pytest.mark.parametrize("m, n", [(300, 20), (20, 300)])
def test_longest_sums_do_not_fill_the_stack(m: int, n: int, dtype: DType) -> None:
    a, b = (rng.standard_normal(shape).astype("f4") for shape in ((m, 50_000), (50_000, n)))
    c = np.zeros((m, n), "f4")
    if dtype is types.bfloat16:
        a, b = narrow(a, dtype), narrow(b, dtype)
    run(plain(dtype, out=types.float32), {"a": a, "b": b, "access0": c})
    wide = [x if dtype is types.float32 else widen(x, dtype) for x in (a, b)]
    assert error(c, *wide) < 2**-18


def test_a_setting_does_without_the_registers() -> None:
    with settings.override(tiles=False):
        assert not CPU().tiles
