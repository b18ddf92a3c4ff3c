"""Loops of two are walked with the loop around them: beside PyTorch, and when they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import flambeau
from flambeau.compiler import emit
from flambeau.settings import settings
from flambeau.trace import programs

torch = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")

RUNS = 3  # the first sighting, the compile, a replay


def doubled(x: Any) -> Any:
    """Each element of the last two dims as a block of four."""
    *front, height, width = x.shape
    many = x[..., :, None, :, None].expand(*front, height, 2, width, 2)
    return many.reshape(*front, 2 * height, 2 * width)


def woven(T: Any, x: Any) -> Any:
    """Four phases put together."""
    *front, height, width = x.shape
    parts = T.stack([x, -x, x * 2, x.abs()], 2).view(*front, 2, 2, height, width)
    return parts.permute(0, 1, 4, 2, 5, 3).reshape(*front, 2 * height, 2 * width)


def spread(T: Any, x: Any) -> Any:
    """The gradient of a pool of means, through what comes before it."""
    big = doubled(x).clone().requires_grad_()
    y = T.nn.functional.avg_pool2d(big.sigmoid(), 2)
    return T.autograd.grad((y * x).sum(), big)[0]


BODIES: dict[str, Callable[[Any, Any], Any]] = {
    "spread": spread,
    "doubled": lambda T, x: doubled(x) * 2,
    "beside dense": lambda T, x: doubled(x) * doubled(x + 1).contiguous(),
    "woven": woven,
    "a pair along": lambda T, x: x[..., None].expand(*x.shape, 2) * x[0, 0, 0, 1:3],
    "pool": lambda T, x: T.nn.functional.max_pool2d(x.exp(), 2),
    "every other": lambda T, x: x[..., ::2] + x[..., :: 2].exp(),
}  # fmt: skip


@pytest.fixture
def accesses(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Those of the nests that are launched; programs compile at the second sighting."""
    found: list[Any] = []
    launch = emit.Emitter.nest_launch

    def noted(self: Any, scheduled: Any, number: int) -> Any:
        found.extend(scheduled.nest.accesses)
        return launch(self, scheduled, number)

    monkeypatch.setattr(emit.Emitter, "nest_launch", noted)
    monkeypatch.setattr(programs, "COMPILE_CALL", 0.0)
    yield found


@pytest.mark.parametrize("size", [(2, 3, 8, 10), (3, 1, 5, 3), (1, 2, 1, 33)])
@pytest.mark.parametrize("name", BODIES)
def test_beside_torch(name: str, size: tuple[int, ...], accesses: list[Any]) -> None:
    if name == "pool" and size[2] == 1:
        pytest.skip("too small for a pool")
    x = np.random.default_rng(0).standard_normal(size).astype(np.float32)
    expected = BODIES[name](torch, torch.from_numpy(x)).numpy()
    for check in (False, True):
        with settings.override(check=check):
            for _ in range(RUNS):
                found = BODIES[name](flambeau, flambeau.from_numpy(x)).numpy()
                np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    if name in ("doubled", "woven", "a pair along", "spread"):
        assert any(access.every == 2 for access in accesses)


@pytest.mark.parametrize("dtype", ["float64", "int64", "uint8", "bool", "float16"])
def test_element_types(dtype: str, accesses: list[Any]) -> None:
    x = (np.random.default_rng(0).standard_normal((3, 4, 9, 17)) * 3).astype(dtype)
    for _ in range(RUNS):
        found = doubled(flambeau.from_numpy(x)).numpy()
        np.testing.assert_array_equal(found, doubled(torch.from_numpy(x)).numpy())
    assert any(access.every == 2 for access in accesses)
