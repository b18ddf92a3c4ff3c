"""No loop compiles again once it has warmed up, and every loop computes what PyTorch computes."""

from __future__ import annotations

import itertools
import sys

import pytest

import flambeau
from flambeau.settings import settings
from flambeau.trace import trie
from flambeau.trace.programs import counters
from tests.trace.loops import LOOPS, PERIOD

WARM = 4  # periods after which nothing new may happen (compiled at the second sighting)
MORE = 5


def seen(torch, name: str, count: int) -> list:
    torch.manual_seed(0)
    return list(itertools.islice(LOOPS[name](torch), count))


def made() -> tuple[int, int]:
    """Programs so far, and how often one was compiled."""
    return counters.programs, counters.compiled


@pytest.mark.parametrize("name", LOOPS)
def test_settles(name, monkeypatch):
    monkeypatch.setattr(trie, "STATES", sys.maxsize)  # what is forgotten now would be made anew
    with settings.override(patience=0):
        flambeau.manual_seed(0)
        steps = LOOPS[name](flambeau)
        list(itertools.islice(steps, WARM * PERIOD[name]))
        before = made()
        interpreted = counters.interpreted
        list(itertools.islice(steps, MORE * PERIOD[name]))
        assert made() == before
        assert counters.interpreted == interpreted  # everything ran compiled


@pytest.mark.parametrize("tier", [{"patience": 0}, {"compile": False}, {"eager": True}], ids=str)
@pytest.mark.parametrize("name", LOOPS)
def test_same_as_pytorch(name, tier):
    oracle = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")
    count = 6 * PERIOD[name]
    expected = seen(oracle, name, count)
    with settings.override(**tier):
        mine = seen(flambeau, name, count)
        assert flat(mine) == pytest.approx(flat(expected), rel=1e-3, abs=1e-5)


def flat(found: list) -> list:
    """Tuples opened; what was not looked at left out."""
    return [y for x in found if x is not None for y in (x if isinstance(x, tuple) else (x,))]
