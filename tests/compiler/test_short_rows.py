"""Reductions along short rows, whose vectors run across rows: beside PyTorch, and when they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import flambeau
from flambeau.compiler import emit
from flambeau.compiler.nesting import SHORT_REDUCED_ROW, SHORT_ROW
from flambeau.settings import settings
from flambeau.trace import programs

torch = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")

RUNS = 3  # the first sighting, the compile, a replay
BODIES: dict[str, Callable[[Any, Any], Any]] = {
    "softmax": lambda T, x: x.softmax(-1),
    "log_softmax": lambda T, x: x.log_softmax(-1) * 2,
    "logsumexp": lambda T, x: x.logsumexp(-1),
    "layer_norm": lambda T, x: T.nn.functional.layer_norm(x, x.shape[-1:]),
    "var": lambda T, x: x.var(-1),
    "amax": lambda T, x: x.amax(-1, keepdim=True) - x,
    "argmax": lambda T, x: x.argmax(-1),
    "argmin": lambda T, x: (x * 2).argmin(-1, keepdim=True),
    "any": lambda T, x: (x > 2).any(-1),
    "read at argmax": lambda T, x: (T.arange(x.shape[-1]) * 7).expand(x.shape).gather(
        -1, x.argmax(-1, keepdim=True)),
    "cross_entropy": lambda T, x: T.nn.functional.cross_entropy(
        x.reshape(-1, x.shape[-1]), T.arange(x[..., 0].numel()) % x.shape[-1], reduction="none"),
}  # fmt: skip
LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "dense": lambda x: x,
    "strided": lambda x: x[:, :, ::2],
    "turned": lambda x: x.permute(1, 0, 2),
    "expanded": lambda x: x[:, :1].expand(-1, 70, -1),
}


@pytest.fixture
def modes(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """The modes of the nests that are launched; programs compile at the second sighting."""
    found: set[str] = set()
    launch = emit.Emitter.nest_launch

    def noted(self: Any, scheduled: Any, number: int) -> Any:
        found.add(scheduled.nest.mode)
        return launch(self, scheduled, number)

    monkeypatch.setattr(emit.Emitter, "nest_launch", noted)
    monkeypatch.setattr(programs, "COMPILE_CALL", 0.0)
    yield found


def numbers(*size: int) -> np.ndarray:
    return (np.random.default_rng(0).standard_normal(size) * 3).astype(np.float32)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", BODIES)
def test_beside_torch(name: str, layout: str, modes: set[str]) -> None:
    x = numbers(3, 35, 10)
    x[1, 4, 2:4] = np.nan
    x[2, :, 5] = x[2, :, 3]  # the first of equals counts
    expected = BODIES[name](torch, LAYOUTS[layout](torch.from_numpy(x))).numpy()
    for check in (False, True):
        with settings.override(check=check):
            for _ in range(RUNS):
                found = BODIES[name](flambeau, LAYOUTS[layout](flambeau.from_numpy(x))).numpy()
                np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float64", "int64", "int32", "float16", "uint8", "bool"])
def test_element_types(dtype: str) -> None:
    x = numbers(67, 9).astype(dtype)
    for _ in range(RUNS):
        for method in ("sum", "prod", "argmax", "all") if dtype != "bool" else ("sum", "any"):
            found = getattr(flambeau.from_numpy(x), method)(1).numpy()
            expected = getattr(torch.from_numpy(x), method)(1).numpy()
            assert found.dtype == expected.dtype
            np.testing.assert_allclose(found, expected, rtol=1e-2 if dtype == "float16" else 1e-9)


@pytest.mark.parametrize(("row", "stores", "mode"), [
    (SHORT_ROW, True, "columns"), (SHORT_ROW + 1, True, "rows"),
    (SHORT_REDUCED_ROW, False, "columns"), (SHORT_REDUCED_ROW + 1, False, "rows"),
])  # fmt: skip
def test_when_vectors_run_across_rows(row: int, stores: bool, mode: str, modes: set[str]) -> None:
    for _ in range(RUNS):
        x = flambeau.from_numpy(numbers(64, row))
        _ = (x.softmax(1) if stores else x.logsumexp(1)).numpy()
    assert modes == {mode}


def test_few_rows_stay_rows(modes: set[str]) -> None:
    for _ in range(RUNS):
        _ = flambeau.from_numpy(numbers(4, 10)).softmax(1).numpy()
    assert modes == {"rows"}


def test_the_same_bits_on_any_number_of_threads() -> None:
    x, before = numbers(50_021, 10), flambeau.get_num_threads()

    def run(threads: int) -> np.ndarray:
        flambeau.set_num_threads(threads)
        return flambeau.from_numpy(x).log_softmax(1).numpy()

    results = [run(threads) for threads in (1, 2, 3)]
    flambeau.set_num_threads(before)
    for other in results[1:]:
        np.testing.assert_array_equal(results[0].view(np.int32), other.view(np.int32))
