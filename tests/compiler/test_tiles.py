"""Maps that read across run in tiles: beside PyTorch, and when they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations
from typing import Any

import numpy as np
import pytest

import flambeau
from flambeau.compiler import emit
from flambeau.trace import programs

torch = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")

RUNS = 3  # the first sighting, the compile, a replay
BODIES: dict[str, Callable[[Any, Any], Any]] = {
    "product": lambda T, x: (x.t() * 2).contiguous(),
    "two ways": lambda T, x: x.t().contiguous() * 2 + x.t(),
    "widened": lambda T, x: (x.t() != 0).contiguous(),
    "row and column": lambda T, x: x.t().contiguous() + x[:1].t() + x[:, 0],
    "positions": lambda T, x: T.arange(x.shape[0]).expand(x.shape[::-1]).contiguous() + x.t(),
}  # fmt: skip
SHAPES = [(9, 8), (16, 16), (17, 33), (100, 37), (1030, 20), (20, 1030), (5, 100), (64, 2100)]


@pytest.fixture
def modes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The modes of the nests that are launched; programs compile at the second sighting."""
    found: list[str] = []
    launch = emit.Emitter.nest_launch

    def noted(self: Any, scheduled: Any, number: int) -> Any:
        found.append(scheduled.nest.mode)
        return launch(self, scheduled, number)

    monkeypatch.setattr(emit.Emitter, "nest_launch", noted)
    monkeypatch.setattr(programs, "COMPILE_CALL", 0.0)
    yield found


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8", "bool", "bfloat16"])
@pytest.mark.parametrize("name", BODIES)
def test_beside_pytorch(name: str, dtype: str, modes: list[str]) -> None:
    if dtype == "bool" and name == "product":
        pytest.skip("the same as of other types")
    for shape in SHAPES:
        made = np.random.default_rng(0).standard_normal(shape) * 3
        expected = BODIES[name](torch, torch.tensor(made).to(getattr(torch, dtype)))
        x = flambeau.tensor(made).to(getattr(flambeau, dtype))
        for _ in range(RUNS):
            y = BODIES[name](flambeau, x)
            assert y.tolist() == expected.tolist()
            assert (y.shape, y.stride()) == (expected.shape, expected.stride())
    assert "tiles" in modes


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_every_order_of_dims(order: tuple[int, ...]) -> None:
    made = np.random.default_rng(0).standard_normal((3, 17, 9, 20)).astype(np.float32)
    x = flambeau.tensor(made)
    for _ in range(RUNS):
        seen = x.permute(order)
        y = (seen * seen.contiguous()).contiguous()
        assert np.array_equal(y.numpy(), made.transpose(order) ** 2)


def test_what_lies_along_the_last_loop_is_no_tile(modes: list[str]) -> None:
    x = flambeau.ones(64, 64)
    for _ in range(RUNS):
        (x.t() * 2 + x.t()).sum().item()  # walked as it lies
        (x[:, ::2] * 2).tolist()
        (x[:, :5].t() * 2).contiguous().tolist()  # five lines are no square
    assert "tiles" not in modes
