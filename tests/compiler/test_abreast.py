"""Launches that need nothing of each other run at once; others stay in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import flambeau
from flambeau.compiler import abreast, emit
from flambeau.settings import settings
from flambeau.trace import programs

RUNS = 3  # the first sighting, the compile, a replay


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The groups of the programs that are compiled, which is at the second sighting."""
    seen: list[Any] = []

    def noted(emitter: Any, step: Any) -> Any:
        seen.append((abreast.groups(emitter, step), len(step.launches)))
        return seen[-1][0]

    monkeypatch.setattr(emit, "groups", noted)
    monkeypatch.setattr(programs, "COMPILE_CALL", 0.0)
    yield seen


def results(make: Callable[[list[Any]], list[Any]], threads: int) -> list[Any]:
    before = flambeau.get_num_threads()
    flambeau.set_num_threads(threads)
    try:
        flambeau.manual_seed(0)
        xs = [flambeau.randn(90, 110) for _ in range(12)]
        flambeau.stack(xs).sum().item()
        for _ in range(RUNS):
            made = make(xs)
            values = [y.numpy().copy() for y in made]
        return values
    finally:
        flambeau.set_num_threads(before)


FORMS: dict[str, tuple[Callable[[list[Any]], list[Any]], bool]] = {
    "sums": (lambda xs: [x.sum(-1) for x in xs], True),
    "softmax, with scratch": (lambda xs: [x.softmax(-1) for x in xs], True),
    "products": (lambda xs: [x @ x.t() for x in xs], True),
    "several kinds": (lambda xs: [f(x) for x in xs for f in (
        lambda x: x.exp(), lambda x: x.amax(0), lambda x: x @ x.t())], True),
    "positions": (lambda xs: [x[:, :1] + flambeau.arange(110) for x in xs], True),
    "each from the one before": (lambda xs: chain(xs), False),
    "indices that may be wrong": (
        lambda xs: [x[flambeau.arange(90) * 1] + 0 for x in xs], False),
}  # fmt: skip


def chain(xs: list[Any]) -> list[Any]:
    y = xs[0]
    for x in xs:
        y = (y.sum(1, keepdim=True) + x).sum(0, keepdim=True) + x
    return [y]


@pytest.mark.parametrize("name", FORMS)
def test_the_same_bits_on_any_number_of_threads(name: str, found: list[Any]) -> None:
    make, grouped = FORMS[name]
    first = results(make, 1)
    for threads in (2, 3):
        for x, y in zip(first, results(make, threads)):
            assert np.array_equal(x, y)
    if not settings.check:  # checked kernels can all fail
        assert any(groups for groups, _ in found) == grouped


def test_what_is_written_in_place_is_read_before(found: list[Any]) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")

    def run(T: Any) -> list[float]:
        x = T.arange(20_000.0) / 20_000
        ys = [T.full((20_000,), 1.0 + n) for n in range(6)]
        seen = []
        for _ in range(RUNS + 1):
            sums = []
            for y in ys:
                sums.append((x * y).mean())
                y.add_(sums[0])
                ys[0].mul_(0.5)
                x.mul_(0.75)
            seen += [s.item() for s in (*sums, *(y.mean() for y in ys))]
        return seen

    assert run(flambeau) == pytest.approx(run(torch), rel=1e-5)
