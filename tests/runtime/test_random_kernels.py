"""The random kernels beside the NumPy meaning: the same values, and the same state afterwards."""

from __future__ import annotations

import ctypes
import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from flambeau.codegen.cpu import random
from flambeau.codegen.cpu.target import cpu
from flambeau.ir import dtype as dt
from flambeau.runtime import draws, generator

SIZES = (0, 1, 2, 15, 16, 17, 31, 33, 48, 50, 623, 625, 1000, 1024, 1025, 1040, 1057, 20003)
ALL = dt.FLOATS + (dt.bool_,) + dt.INTEGERS
Meaning = Callable[[generator.State, int], np.ndarray]


def launch(
    kind: str, dtype: dt.DType, state: generator.State, out: np.ndarray, n: int, *parameters: Any,
    p_dtype: dt.DType | None = None,
) -> None:  # fmt: skip
    """Run one kernel."""
    name = random.kernel_name(kind, dtype, p_dtype)
    kernel = cpu().load_text(random.kernel_text(kind, dtype, p_dtype), name)
    word = ctypes.c_int64
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, word, word, word)(operator.index(kernel.address))
    rest = [random.bits(v) if isinstance(v, float) else v for v in parameters]
    words = np.array([state.ctypes.data, out.ctypes.data, n, *rest], np.int64)
    run(words.ctypes.data, 0, 1, 0)


def agrees(
    kind: str, dtype: dt.DType, meaning: Meaning, *parameters: Any, sizes: tuple[int, ...] = SIZES
) -> None:
    """Draw all sizes one after the other, from one stream."""
    state = generator.new_state(5)
    other = state.copy()
    for n in sizes:
        out = np.ones(n + 9, dtype.numpy)
        launch(kind, dtype, state, out, n, *parameters)
        np.testing.assert_array_equal(out[:n], meaning(other, n))
        np.testing.assert_array_equal(state, other)
        assert (out[n:] == 1).all()


@pytest.mark.parametrize("dtype", dt.FLOATS, ids=str)
@pytest.mark.parametrize("kind, meaning, parameters", [
    ("uniform", draws.uniform, (-0.3, 0.7)),
    ("normal", draws.normal, (0.3, 1.7)),
    ("normal_one_by_one", partial(draws.normal, contiguous=False), (0.3, 1.7)),
    ("log_normal", draws.log_normal, (0.3, 0.7)),
    ("exponential", draws.exponential, (2.5,)),
    ("cauchy", draws.cauchy, (1.5, 3.0)),
])  # fmt: skip
def test_floats(dtype: dt.DType, kind: str, meaning: Any, parameters: tuple[float, ...]) -> None:
    agrees(kind, dtype, lambda s, n: meaning(s, n, dtype, *parameters), *parameters)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.7])
@pytest.mark.parametrize("dtype", dt.FLOATS, ids=str)
def test_dropout(dtype: dt.DType, p: float) -> None:
    scale = draws.dropout_scale(dtype, p)
    agrees("bernoulli", dtype, lambda s, n: draws.dropout_mask(s, n, dtype, p), 1.0 - p, scale)


@pytest.mark.parametrize("dtype", ALL, ids=str)
def test_whole_numbers(dtype: dt.DType) -> None:
    low, high = (0, 2) if dtype is dt.bool_ else (7, 99)
    agrees("bernoulli", dtype, lambda s, n: draws.bernoulli(s, n, dtype, 0.3), 0.3, 1.0)
    draw_span(draws.span_between(low, high, dtype), dtype)
    if dtype is not dt.bool_:
        agrees("geometric", dtype, lambda s, n: draws.geometric(s, n, dtype, 0.2), 0.2)


def draw_span(span: draws.Span, dtype: dt.DType) -> None:
    kind, count = "integers64" if span.wide else "integers32", np.uint64(span.size).view(np.int64)
    agrees(kind, dtype, lambda s, n: draws.integers(s, n, span, dtype), span.low, int(count))


@pytest.mark.parametrize("dtype", ALL, ids=str)
def test_whole_types(dtype: dt.DType) -> None:
    draw_span(draws.span_of_type(dtype), dtype)


@pytest.mark.parametrize("low, high", [(-5, 2**45), (0, 2**29), (-(2**63), 2**63 - 1), (3, 2**28)])
@pytest.mark.parametrize("dtype", [dt.int64, dt.float32, dt.float64], ids=str)
def test_wide_ranges(dtype: dt.DType, low: int, high: int) -> None:
    draw_span(draws.span_between(low, high, dtype), dtype)


@pytest.mark.parametrize("low", [-(2**63), 5])
def test_ranges_without_an_end(low: int) -> None:
    draw_span(draws.span_from(low, dt.int64), dt.int64)


@pytest.mark.parametrize("dtype", dt.FLOATS + dt.INTEGERS, ids=str)
def test_randperm(dtype: dt.DType) -> None:
    most = {1: 127, 2: 1200}.get(dtype.itemsize, 10**6)
    sizes = tuple(n for n in SIZES if n <= most)
    agrees("randperm", dtype, lambda s, n: draws.randperm(s, n, dtype), sizes=sizes)


@pytest.mark.parametrize("dtype", [dt.float32, dt.bool_, dt.float64, dt.bfloat16], ids=str)
@pytest.mark.parametrize("p_dtype", dt.FLOATS, ids=str)
def test_bernoulli_of_a_tensor(p_dtype: dt.DType, dtype: dt.DType) -> None:
    state = generator.new_state(5)
    other, record = state.copy(), np.zeros(8, np.int64)
    for n in SIZES:
        p = dt.narrow(np.random.default_rng(n).random(n), p_dtype)
        out = np.zeros(n, dtype.numpy)
        launch("bernoulli_tensor", dtype, state, out, n, p.ctypes.data, record.ctypes.data,
               p_dtype=p_dtype)
        np.testing.assert_array_equal(out, draws.bernoulli_tensor(other, p, p_dtype, dtype))
        np.testing.assert_array_equal(state, other)
    assert not record.any()


@pytest.mark.parametrize("bad", [-0.1, 1.5, np.nan])
def test_a_bad_probability_is_reported_before_anything_is_drawn(bad: float) -> None:
    state = generator.new_state(5)
    before, record, out = state.copy(), np.zeros(8, np.int64), np.full(50, 7, np.float32)
    p = np.full(50, 0.5, np.float32)
    p[33] = bad
    launch("bernoulli_tensor", dt.float32, state, out, 50, p.ctypes.data, record.ctypes.data,
           p_dtype=dt.float32)
    assert record[:2].tolist() == [random.ERROR_PROBABILITY, 33]
    np.testing.assert_array_equal(state, before)
    assert (out == 7).all()


def test_the_steps_of_a_huge_permutation(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the limit lowered: the kernel and the meaning take two words a step."""
    from flambeau.codegen.cpu.random import shuffle

    monkeypatch.setattr(shuffle, "WIDE_PERMUTATION", 100)
    monkeypatch.setattr(draws, "WIDE_PERMUTATION", 100)
    random.kernel_text.cache_clear()
    agrees("randperm", dt.int64, draws.randperm, sizes=(99, 100, 101, 1000))
    random.kernel_text.cache_clear()
