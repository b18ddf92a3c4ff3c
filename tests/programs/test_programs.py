"""Whole training programs give the same losses under Flambeau as under PyTorch from the same seed.

To add a program, write one function in `models` or `loops`.
"""

import itertools
import random

import pytest

from flambeau.settings import settings
from tests.programs import loops, models  # noqa: F401  (their programs join the catalogue)
from tests.programs.catalogue import CASES, STEPS

RELATIVE, ABSOLUTE = 1e-4, 1e-6


def numbers(torch, name):
    """What the program yields, from fixed random numbers."""
    function, sizes = CASES[name]
    random.seed(1)
    torch.manual_seed(1)
    return list(itertools.islice(function(torch, **sizes), STEPS))


TIERS = {"compiled": {}, "call by call": {"compile": False}, "eager": {"eager": True}}


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", CASES)
def test_same_numbers(name, tier, theirs, ours):
    expected = numbers(theirs, name)
    assert len(expected) >= 4
    with settings.override(**TIERS[tier]):
        got = numbers(ours, name)
    assert got == pytest.approx(expected, rel=RELATIVE, abs=ABSOLUTE, nan_ok=True)
