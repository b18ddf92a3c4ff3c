"""Random draws give PyTorch's numbers, in PyTorch's order, and leave the stream at the same "
"place."""

from __future__ import annotations

import pickle

import pytest

import flambeau
from tests.beside import same

DRAWS = """
torch.rand(3, 4)
torch.rand(7, dtype=torch.float64)
torch.rand(0)
torch.rand(())
torch.randn(5)
torch.randn(3, 3)
torch.randn(16)
torch.randn(1000)
torch.randn(21, dtype=torch.float64)
torch.randn(17, dtype=torch.bfloat16)
torch.rand(5, dtype=torch.float16)
torch.randint(10, (5,))
torch.randint(-3, 9, (2, 3), dtype=torch.int32)
torch.randint(0, 2**40, (4,))
torch.randint(0, 9, (3,), dtype=torch.float32)
torch.randperm(10)
torch.randperm(0)
torch.randperm(7, dtype=torch.int32)
torch.normal(1., 2., (20,))
torch.normal(torch.zeros(3), torch.ones(3))
torch.normal(torch.arange(4.), 1.)
torch.normal(2., torch.arange(1., 4.))
torch.bernoulli(torch.full((6,), 0.5))
torch.bernoulli(torch.zeros(6), 0.3)
torch.multinomial(torch.arange(5.), 3)
torch.multinomial(torch.arange(5.), 9, replacement=True)
torch.multinomial(torch.ones(2, 5), 2)
torch.rand_like(torch.zeros(3, 4).t())
torch.randn_like(torch.zeros(4, 5))
torch.randn_like(torch.zeros(4, 5).t())
torch.randint_like(torch.zeros(4), 3, 8)
torch.zeros(5).uniform_()
torch.zeros(5).uniform_(-2, 3)
torch.zeros(20).normal_(1, 3)
torch.zeros(4, 5).t().normal_()
torch.zeros(4, 5).t().uniform_()
torch.zeros(4, 5)[:, ::2].uniform_()
torch.zeros(9).exponential_(2.)
torch.zeros(9).cauchy_()
torch.zeros(9).geometric_(0.3)
torch.zeros(9).log_normal_()
torch.zeros(9).bernoulli_(0.3)
torch.zeros(9).bernoulli_()
torch.zeros(4).bernoulli_(torch.full((4,), 0.5))
torch.zeros(9).random_()
torch.zeros(9, dtype=torch.int64).random_()
torch.zeros(9, dtype=torch.uint8).random_()
torch.zeros(9, dtype=torch.int64).random_(5)
torch.zeros(9, dtype=torch.int64).random_(-5, 5)
torch.zeros(9, dtype=torch.int64).random_(2, None)
torch.rand(3, requires_grad=True)
""".strip().splitlines()


@pytest.mark.parametrize("draw", DRAWS)
def test_the_numbers_and_what_comes_after(draw: str) -> None:
    same(
        "torch.manual_seed(7)", f"x = {draw}", "[x, torch.rand(3), torch.randn(3)]", tolerance=2e-6
    )


REFUSED = """
torch.rand(3, dtype=torch.int64)
torch.randn(3, dtype=torch.int64)
torch.randint(5, 5, (2,))
torch.multinomial(torch.ones(2), 3)
torch.multinomial(torch.ones(2), 0)
torch.zeros(3).uniform_(3, 2)
torch.zeros(3).normal_(0, -1)
torch.zeros(3).exponential_(-1.)
torch.zeros(3).bernoulli_(2.)
torch.zeros(3).geometric_(0.)
torch.zeros(3, dtype=torch.int64).normal_()
torch.randperm(-1)
torch.rand(3, generator=5)
torch.rand(-1)
torch.bernoulli(torch.full((3,), 2.)).tolist()
torch.manual_seed(2**64)
torch.set_rng_state(torch.zeros(3))
torch.Generator().set_state([1])
torch.Generator().manual_seed(1.5)
torch.Generator().manual_seed('a')
torch.Generator().manual_seed(True)
torch.Generator().get_offset()
torch.Generator().set_offset(3)
""".strip().splitlines()


@pytest.mark.parametrize("draw", REFUSED)
def test_refused(draw: str) -> None:
    same(draw, words=1)


STREAMS = [
    (
        "torch.manual_seed(3)",
        "a = torch.rand(2)",
        "torch.manual_seed(3)",
        "b = torch.rand(2)",
        "[a, b]",
    ),
    (
        "torch.manual_seed(3)",
        "s = torch.get_rng_state()",
        "a = torch.randn(3)",
        "torch.set_rng_state(s)",
        "b = torch.randn(3)",
        "[a, b, s]",
    ),
    ("g = torch.Generator()", "[g.initial_seed(), torch.rand(2, generator=g)]"),
    (
        "g = torch.Generator().manual_seed(5)",
        "a = torch.randperm(5, generator=g)",
        "[a, torch.randint(9, (3,), generator=g), torch.rand(2), g.initial_seed()]",
    ),
    (
        "g = torch.Generator().manual_seed(5)",
        "torch.rand(3, generator=g)",
        "h = torch.Generator().set_state(g.get_state())",
        "[torch.rand(2, generator=g), torch.rand(2, generator=h)]",
    ),
    ("torch.manual_seed(-1)", "[torch.initial_seed(), torch.rand(2)]"),
    ("torch.manual_seed(1)", "x = torch.rand(3)", "torch.default_generator.initial_seed()"),
    ("torch.manual_seed(1)", "with torch.random.fork_rng():\n    torch.rand(3)", "torch.rand(2)"),
]


@pytest.mark.parametrize("lines", STREAMS, ids=lambda lines: lines[-1])
def test_streams(lines: tuple[str, ...]) -> None:
    same(*lines)


def test_a_dead_draw_advances_the_stream() -> None:
    same("torch.manual_seed(0)", "torch.rand(3)", "torch.randn(20)", "x = torch.rand(2)", "x")


def test_draws_in_a_loop_differ_each_time() -> None:
    """Compiled or not: the position in the stream is never part of a program."""
    same(
        "torch.manual_seed(0)",
        "seen = []",
        "for i in range(6):\n    x = torch.randn(20) * 2 + torch.rand(20)\n    "
        "seen.append(x.sum().item())",
        "seen",
        tolerance=1e-5,
    )


def test_a_generator_can_be_pickled() -> None:
    g = flambeau.Generator().manual_seed(9)
    flambeau.rand(3, generator=g)
    h = pickle.loads(pickle.dumps(g))
    assert flambeau.rand(4, generator=g).tolist() == flambeau.rand(4, generator=h).tolist()


def test_seed_gives_what_it_says() -> None:
    s = flambeau.seed()
    assert flambeau.initial_seed() == s
    a = flambeau.rand(3).tolist()
    flambeau.manual_seed(s)
    assert flambeau.rand(3).tolist() == a
