"""The number of threads may change at any time: code that lacks memory for more is made anew."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import flambeau as torch
from flambeau.compiler import emit, single
from flambeau.settings import settings
from flambeau.trace import programs


@pytest.fixture
def count() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.skipif(settings.numpy, reason="no threads then")
def test_more_threads_than_before(count: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are kept between passes lie in memory of each thread's own."""
    planned: list[int] = []
    scratch_bytes = emit.scratch_bytes

    def noted(operand: Any) -> int:
        planned.append(torch.get_num_threads())
        return scratch_bytes(operand)

    monkeypatch.setattr(emit, "scratch_bytes", noted)
    monkeypatch.setattr(programs, "COMPILE_CALL", 0.0)
    x = torch.rand(400, 3000)

    def shares() -> torch.Tensor:
        y = torch.nn.functional.softmax((x.exp().sin() * x.tanh()).exp(), 1)
        y.sum().item()
        return y

    results = []
    for threads in (1, 5, 2, 1, 3):
        torch.set_num_threads(threads)
        results += [shares() for _ in range(3)]
    assert set(planned) == {1, 5}
    assert all(torch.allclose(result, results[0]) for result in results)
    assert all(torch.equal(result, results[2]) for result in results[2:])


@pytest.mark.skipif(settings.numpy, reason="no native code then")
def test_single_calls_are_compiled_anew(count: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "COMPILE_CALL", 1e9)
    x = torch.rand(40, 50)
    known = []
    for threads in (1, 5, 2, 1, 3):
        torch.set_num_threads(threads)
        torch.nn.functional.softmax(x, 1).sum().item()
        found = [s for ((op, *_), _), s in single._singles.items() if op.name == "softmax"]
        known.append(found[0])
    assert known[0] is not known[1] is known[2] is known[3] is known[4]
