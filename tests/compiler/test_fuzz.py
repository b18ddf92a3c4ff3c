"""Random programs mean the same in every tier, and the same as under PyTorch where that is there.

`pytest tests/compiler/test_fuzz.py` runs a fixed set of them; FLAMBEAU_FUZZ=5000 runs so many new
ones of each kind.
A failure is printed as leaves and steps, small already: add it to FOUND, then mend what it shows.
"""

from __future__ import annotations

import importlib.util
import os
import random
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import flambeau
from flambeau.settings import settings as flambeau_settings
from tests.compiler import random_exact, random_layers, random_picks, random_steps
from tests.compiler.random_programs import (
    ACTS,
    CHANGED,
    FIRST_EDGE,
    FIRST_HALF,
    PAST_EDGES,
    Step,
    difference,
    run,
)

LONG = int(os.environ.get("FLAMBEAU_FUZZ", "0"))
PARTS = 8  # tests that a kind is cut into, so that several processes share it

# tier → its settings, and the salts of the inputs with which a program runs in it, one run after
# the other: it is compiled at the second sighting
TIERS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "by NumPy": ({"numpy": True}, (0, 1)),
    "call by call": ({"compile": False}, (0,)),
    "compiled": ({"patience": 0}, (0, 0, 1)),
    "compiled and checked": ({"patience": 0, "check": True}, (0, 0, 1)),  # in one part of each kind
}


def acts_of(*modules: Any) -> list[str]:
    return [name for name, act in ACTS.items() if act.__module__ in {m.__name__ for m in modules}]


WILD = ["wild_write"]  # PyTorch's result depends on the order in which it walks over memory
PLAIN = [name for name in acts_of(random_steps) if name not in WILD]
RICH = PLAIN + acts_of(random_layers, random_picks)
# A little more or less makes a jump: not where each step rounds to three digits.
JUMPS = {"where", "cast", "unary", "sort", "masked", "fill_masked", "put_at", "number_of",
         "descend", "summarize", "reduce_more", "array_of", "pool", "cumulate", "draw",
         "create"}  # fmt: skip
HALF = [name for name in RICH if name not in JUMPS]
EXACT = acts_of(random_exact) * 2 + [
    "slice", "select", "permute", "expand", "reshape", "squeeze", "diagonal", "unfold", "detach",
    "join", "take", "drop", "look", "rearrange", "assign", "shift", "put_at", "masked"]  # fmt: skip


class Kind(NamedTuple):
    """A kind of programs: what they are made of, and how exactly their results are known."""

    leaves: tuple[int, int]  # the first number, and the one past the last
    names: list[str]
    count: int
    tolerance: float
    oracle: bool = True


KINDS = {
    "plain": Kind((0, FIRST_HALF), PLAIN, 400, 1e-4),
    "rich": Kind((0, FIRST_HALF), RICH, 800, 1e-4),
    "half": Kind((FIRST_HALF, FIRST_EDGE), HALF, 240, 0.06),
    "edges": Kind((FIRST_EDGE, PAST_EDGES), EXACT, 480, 0),
    "overlapping": Kind((0, FIRST_HALF), [*PLAIN, *WILD * 8], 160, 1e-4, oracle=False),
}


def programs(kind: Kind) -> tuple[st.SearchStrategy[list[int]], st.SearchStrategy[list[Step]]]:
    """Leaves and steps; the fewer, the simpler."""
    numbers = st.integers(0, 31)
    step = st.tuples(st.sampled_from(kind.names), numbers, numbers, numbers)
    lists = (st.lists(step, max_size=20), st.lists(step, min_size=12, max_size=60),
             st.lists(step, min_size=36, max_size=60))  # fmt: skip
    leaf = st.integers(kind.leaves[0], kind.leaves[1] - 1)
    return st.lists(leaf, min_size=2, max_size=6), st.one_of(lists)


def profile(examples: int) -> settings:
    return settings(
        max_examples=examples, deadline=None, database=None, phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck))  # fmt: skip


def pytorch() -> Any:
    """PyTorch, or None."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    return torch


def check(leaves: list[int], steps: list[Step], tolerance: float = 1e-4, oracle: Any = None,
          tiers: int = 4) -> None:  # fmt: skip
    """Run a program in all tiers, with two sets of inputs and scalars; compare what can be seen."""
    wanted = {} if oracle is None else {0: run(oracle, leaves, steps)}
    if CHANGED in wanted.get(0, ()):
        wanted = {}  # it keeps more for derivatives than Flambeau does, and needed what has changed
    for tier, (values, salts) in list(TIERS.items())[:tiers]:
        with flambeau_settings.override(**values):
            for number, salt in enumerate(salts):
                seen = run(flambeau, leaves, steps, salt)
                found = difference(seen, wanted.setdefault(salt, seen), tolerance)
                assert found is None, f"{tier}, run {number}, salt {salt}: {found}"


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", KINDS)
def test_all_tiers_agree(name, part):
    """Always the same programs, unless many are asked for."""
    kind = KINDS[name]
    oracle = pytorch() if kind.oracle else None

    @seed(random.randrange(1 << 32) if LONG else part)
    @profile(-(-(LONG or kind.count) // PARTS))
    @given(*programs(kind))
    def every(leaves: list[int], steps: list[Step]) -> None:
        check(leaves, steps, kind.tolerance, oracle, 4 if part == 0 else 3)

    every()


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
    ("an expanded view was overwritten by the kernel that was still to read it",
     [44], [("expand", 21, 12, 17), ("exact_cast", 29, 3, 6), ("exact_write", 4, 2, 14)]),
]  # fmt: skip


@pytest.mark.parametrize(
    "given_leaves, given_steps", [f[1:] for f in FOUND], ids=[f[0] for f in FOUND]
)
def test_found_before(given_leaves, given_steps):
    check(given_leaves, given_steps, oracle=pytorch())


@pytest.mark.parametrize("name", ACTS)
def test_every_step_does_something(name):
    """Programs are not made of refusals: each kind of step works on the first leaves."""
    tries = [run(flambeau, [0, 1, 2, 6], [(name, i, 1, k)]) for i in range(3) for k in range(4)]
    assert any(not isinstance(seen[0], str) for seen in tries)
