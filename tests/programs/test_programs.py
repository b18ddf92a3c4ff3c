"""Whole training programs give the same losses under Flambeau as under PyTorch from the same seed.

To add a program, write one function in one of the modules that are imported here.
"""

import functools
import itertools
import random
import sys

import pytest

from flambeau.settings import settings
from flambeau.trace import trie
from flambeau.trace.programs import counters
from tests.programs import (  # noqa: F401  (their programs join the catalogue)
    chances,
    decisions,
    fits,
    generative,
    loops,
    models,
    numerics,
    practice,
    relations,
    sequences,
    signals,
    structures,
    transformers,
    vision,
    ways,
)
from tests.programs.catalogue import CASES, STEADY, STEPS

RELATIVE, ABSOLUTE = 1e-4, 1e-6


def start(torch, name):
    """The program, about to run from fixed random numbers."""
    function, sizes = CASES[name]
    random.seed(1)
    torch.manual_seed(1)
    return function(torch, **sizes)


WARM, MORE = 4, 3  # rounds in which programs may be compiled, and rounds in which none may


@functools.cache
def expected(theirs, name):
    """The first numbers that PyTorch gives, as many as any test here looks at."""
    count = max(STEPS, (WARM + MORE) * STEADY.get(name, 1))
    return list(itertools.islice(start(theirs, name), count))


TIERS = {"compiled": {}, "call by call": {"compile": False}, "eager": {"eager": True}}


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", CASES)
def test_same_numbers(name, tier, theirs, ours):
    wanted = expected(theirs, name)[:STEPS]
    assert len(wanted) >= 4
    with settings.override(**TIERS[tier]):
        got = list(itertools.islice(start(ours, name), STEPS))
    assert got == pytest.approx(wanted, rel=RELATIVE, abs=ABSOLUTE, nan_ok=True)


@pytest.mark.parametrize("name", STEADY)
def test_soon_compiles_no_more(name, theirs, ours, monkeypatch):
    monkeypatch.setattr(trie, "STATES", sys.maxsize)  # what is forgotten now would be made anew
    warm, more = WARM * STEADY[name], MORE * STEADY[name]
    with settings.override(patience=0):
        running = start(ours, name)
        got = list(itertools.islice(running, warm))
        before = counters.programs, counters.compiled, counters.interpreted
        got += itertools.islice(running, more)
        assert (counters.programs, counters.compiled, counters.interpreted) == before
    assert got == pytest.approx(expected(theirs, name)[: warm + more], rel=RELATIVE, abs=ABSOLUTE)
