"""Random programs mean the same in every tier, and the same as under PyTorch.

`pytest tests/compiler/test_fuzz.py` runs a fixed set of them; FLAMBEAU_FUZZ=5000 runs so many new
ones.
A failure is printed as leaves and steps, small already: add it to FOUND, then mend what it shows.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import flambeau
from flambeau.settings import settings as flambeau_settings
from tests.compiler.random_programs import ACTS, LEAVES, WILD, difference, run

LONG = int(os.environ.get("FLAMBEAU_FUZZ", "0"))
TOLERANCE = 1e-4

# tier → its settings, and how often a program runs in it (compiled at the second sighting)
TIERS = {
    "by NumPy": ({"numpy": True}, 1),
    "call by call": ({"compile": False}, 1),
    "compiled": ({"patience": 0}, 3),
}

numbers = st.integers(0, 31)
leaves = st.lists(st.integers(0, 2 * len(LEAVES) - 1), min_size=2, max_size=6)


def steps(names: list[str]) -> st.SearchStrategy:
    return st.lists(st.tuples(st.sampled_from(names), numbers, numbers, numbers), max_size=40)


def profile(examples: int):
    """Always the same examples, unless many are asked for."""
    return settings(
        max_examples=LONG or examples, derandomize=not LONG, deadline=None, database=None,
        phases=[Phase.generate, Phase.shrink] if LONG else [Phase.generate],
        suppress_health_check=list(HealthCheck))  # fmt: skip


@pytest.fixture(scope="module")
def oracle():
    return pytest.importorskip("torch", reason="PyTorch is the oracle of this test")


def check(given_leaves, given_steps, expected=None):
    """Run a program in all tiers, with two sets of inputs and scalars; compare what can be seen."""
    for salt in (0, 1):
        wanted = None if expected is None else run(expected, given_leaves, given_steps, salt)
        for tier, (values, times) in TIERS.items():
            with flambeau_settings.override(**values):
                for _ in range(times if salt == 0 else 1):
                    seen = run(flambeau, given_leaves, given_steps, salt)
                    wanted = wanted or seen
                    found = difference(seen, wanted, TOLERANCE)
                    assert found is None, f"{tier}, salt {salt}: {found}"


@profile(120)
@given(leaves, steps([name for name in ACTS if name not in WILD]))
def test_same_as_pytorch(oracle, given_leaves, given_steps):
    check(given_leaves, given_steps, oracle)


@profile(60)
@given(leaves, steps([*ACTS, *WILD * 8]))
def test_tiers_agree_where_memory_overlaps(given_leaves, given_steps):
    check(given_leaves, given_steps)


# Programs that went wrong once: what went wrong, leaves, steps.
FOUND = [
    ("a softmax over a dim of size 1 kept a row in scratch memory",
     [21, 6, 13], [("reduce_more", 14, 9, 8)]),
    ("a nest without accesses had tasks of no size", [24, 13, 1, 8, 16],
     [("diagonal", 19, 30, 22)]),
    ("retain_graph was forgotten when a backward was repeated as one edge",
     [8, 23, 11, 25, 22, 26], [("unary", 0, 13, 13), ("backward", 24, 19, 1)]),
    ("operands that partly overlap what is written were not refused",
     [13, 15, 8, 2], [("write", 29, 6, 21), ("shift", 12, 14, 5)]),
    ("a leaf was copied to itself without a word", [16, 12], [("write", 18, 26, 1)]),
    ("a broadcast part of the target was copied over all of it",
     [10, 26, 1, 5, 8], [("slice", 15, 23, 13), ("write", 0, 26, 31)]),
    ("the old value of a view with gaps was read with the view's strides",
     [23, 23], [("unary", 10, 25, 14), ("unfold", 12, 26, 26), ("write_scalar", 3, 4, 31)]),
    ("a part of a storage was taken for another part of it, made in the same kernel",
     [6, 24, 21], [("cast", 18, 21, 24), ("write", 12, 31, 28), ("diagonal", 23, 16, 19),
                   ("detach", 10, 19, 23), ("scalar", 0, 6, 22), ("reduce", 22, 5, 11),
                   ("binary", 30, 18, 10), ("select", 30, 2, 2), ("where", 30, 22, 0),
                   ("detach", 1, 5, 10), ("unary", 20, 20, 8), ("join", 24, 13, 30),
                   ("detach", 31, 14, 5), ("take", 12, 14, 14)]),
    ("a number at the end of a chain of views lost its history where there were no elements",
     [16, 1], [("slice", 22, 7, 15), ("create", 3, 26, 30), ("matmul", 6, 19, 24)]),
    ("a 0-dim view was assigned to a part of its own tensor",
     [3, 12], [("select", 1, 20, 31), ("assign", 1, 4, 31)]),
    ("assignment of a number to an expanded view was not refused",
     [6, 4], [("expand", 5, 11, 19), ("assign", 2, 16, 2)]),
]  # fmt: skip


@pytest.mark.parametrize(
    "given_leaves, given_steps", [f[1:] for f in FOUND], ids=[f[0] for f in FOUND]
)
def test_found_before(oracle, given_leaves, given_steps):
    check(given_leaves, given_steps, oracle)


@pytest.mark.parametrize("name", ACTS)
def test_every_step_does_something(name):
    """Programs are not made of refusals: each kind of step works on the first leaves."""
    tries = [run(flambeau, [0, 1, 2, 6], [(name, i, 1, k)]) for i in range(3) for k in range(4)]
    assert any(not isinstance(seen[0], str) for seen in tries)
