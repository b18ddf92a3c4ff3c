"""The trie and its bounds, tiers and bits, and the random stream."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import flambeau as torch
from flambeau.settings import settings
from flambeau.trace import flush as flush_module
from flambeau.trace import trie
from flambeau.trace.programs import counters
from flambeau.trace.trie import here


@pytest.fixture(autouse=True)
def compiled():
    with settings.override(patience=0):
        flush_module.flush(here.stretch)
        yield


# ------------------------------------------------------------------ the trie


def test_a_trie_that_is_pruned_loses_nothing(monkeypatch):
    """Shapes that wander fill the trie; what is used often stays compiled, all is right."""
    monkeypatch.setattr(trie, "STATES", 3000)

    def often(n):
        x = torch.full((6,), float(n))
        return ((x * 2 + 1) ** 2).sum().item()

    def seldom(size):
        x = torch.arange(float(size))
        for _ in range(5):
            x = x + 1
        return x.sum().item()

    for n in range(4):
        often(n)
    most = 0
    for turn in range(2000):
        size = 7 + turn % 700
        assert seldom(size) == size * (size - 1) / 2 + 5 * size
        before = counters.compiled
        assert often(turn % 99) == 6 * (2.0 * (turn % 99) + 1) ** 2
        assert counters.compiled == before  # was never forgotten
        most = max(most, trie.State.count)
    assert most <= 2 * 3000


def test_programs_of_a_path_that_is_forgotten_are_made_again(monkeypatch):
    def work():
        x = torch.full((9,), 3.0) - 1
        return x.prod().item()

    for _ in range(3):
        assert work() == 512.0
    trie.prune(trie.ROOT, counters.flushes + 1000)
    assert not trie.ROOT.edges
    for _ in range(3):
        assert work() == 512.0


def test_a_shape_that_wanders_is_not_compiled_each_time():
    """One sighting compiles nothing; kernels take their sizes as arguments."""
    before = counters.compiled
    for n in range(30):
        x = torch.ones(50 + n) * 2
        assert x.sum().item() == 2 * (50 + n)
    assert counters.compiled == before


def test_static_arguments_do_not_meet():
    """2, 2.0, True and -0.0 are different keys."""
    x = torch.arange(1, 4)
    for _ in range(3):
        assert (x * 2).dtype == torch.int64 and (x * 2.0).dtype == torch.float32
        assert (x * True).dtype == torch.int64
        assert str(torch.full((1,), 0.0)) == "tensor([0.])"
        assert str(torch.full((1,), -0.0)) == "tensor([-0.])"
        assert torch.full((1,), 2).dtype == torch.int64
        assert torch.full((1,), True).dtype == torch.bool
        assert (x.float() ** 2).tolist() == [1.0, 4.0, 9.0]
        assert (x.float() ** 0.5).tolist() == pytest.approx([1.0, 2**0.5, 3**0.5])


def test_modes_do_not_meet():
    w = torch.ones(2, requires_grad=True)
    for _ in range(3):
        assert (w * 2).requires_grad
        with torch.no_grad():
            assert not (w * 2).requires_grad
        with torch.inference_mode():
            assert (w * 2).is_inference()


def test_which_inputs_share_memory_is_part_of_the_key():
    for turn in range(6):
        a = torch.zeros(4)
        b = a[:] if turn % 2 else torch.zeros(4)
        a.tolist(), b.tolist()
        a += 1
        assert (b * 2).tolist() == [2.0 * (turn % 2)] * 4


def test_which_offsets_are_equal_is_part_of_the_key():
    x = torch.arange(10.0)
    x.tolist()
    for i, j in ((1, 4), (2, 5), (3, 3), (4, 1), (3, 3), (2, 3)):
        y = x.clone()
        y.tolist()
        y[i : i + 2] += y[j : j + 2].clone()
        y[j : j + 2] *= 2
        expected = np.arange(10.0)
        expected[i : i + 2] += expected[j : j + 2].copy()
        expected[j : j + 2] *= 2
        assert y.tolist() == expected.tolist()


def test_a_loop_of_views_alone_stays_small():
    x = torch.zeros(100)
    x.tolist()
    for n in range(30_000):
        x[n % 100]
    states = trie.State.count
    for n in range(30_000):
        x[n % 100]
    assert trie.State.count - states < 20_000
    assert len(here.stretch.views) < 20_000


def test_inputs_that_nobody_holds_are_not_kept_for_long():
    """A loop over large fresh tensors: their memory is given back as it goes."""
    import tracemalloc

    total = torch.zeros(())
    array = np.ones(1 << 20, np.float32)
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(300):
            total += torch.tensor(array).sum()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total.item() == 300.0 * (1 << 20)
    assert peak < 600 << 20  # 1200 MiB went through


# ------------------------------------------------------------------ tiers and bits

STEP = """
    import sys
    import flambeau as torch
    torch.manual_seed(3)
    net = torch.nn.Sequential(torch.nn.Linear(40, 70), torch.nn.Tanh(), torch.nn.Linear(70, 9))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    x, y = torch.randn(500, 40), torch.randint(0, 9, (500,))
    for _ in range(6):
        loss = torch.nn.functional.cross_entropy(torch.nn.functional.dropout(net(x), 0.1), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    big = torch.randn(200_000)
    print(loss.item().hex(), big.sum().item().hex(), big.std().item().hex(),
          (big.view(1000, 200).t() @ big.view(1000, 200)).sum().item().hex(),
          big.view(1000, 200).sum(0).sum().item().hex(), net[0].weight.sum().item().hex())
"""


def printed(**environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(STEP)],
        capture_output=True, text=True, timeout=120, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_same_bits_on_any_number_of_threads_and_in_every_run(tmp_path):
    cold = printed(FLAMBEAU_THREADS="1", FLAMBEAU_CACHE=str(tmp_path))
    warm = printed(FLAMBEAU_THREADS="1", FLAMBEAU_CACHE=str(tmp_path))
    several = printed(FLAMBEAU_THREADS="2", FLAMBEAU_CACHE=str(tmp_path))
    many = printed(FLAMBEAU_THREADS="5", FLAMBEAU_CACHE=str(tmp_path))
    assert cold == warm == several == many


def test_eager_gives_the_same_to_rounding():
    lazy = [float.fromhex(x) for x in printed()]
    eager = [float.fromhex(x) for x in printed(FLAMBEAU_EAGER="1")]
    meant = [float.fromhex(x) for x in printed(FLAMBEAU_NUMPY="1")]
    assert lazy == pytest.approx(eager, rel=1e-4, abs=1e-2)
    assert lazy == pytest.approx(meant, rel=1e-4, abs=1e-2)


def test_eager_runs_each_call_when_it_is_made():
    with settings.override(eager=True):
        flush_module.flush(here.stretch)
        before = counters.flushes
        x = torch.ones(3) + 1
        assert counters.flushes == before + 2
        assert x._storage.buffer is not None


# ------------------------------------------------------------------ the random stream


def test_each_step_has_its_own_mask():
    torch.manual_seed(1)
    masks = {tuple(torch.nn.functional.dropout(torch.ones(64)).tolist()) for _ in range(8)}
    assert len(masks) == 8


@pytest.mark.parametrize("size", [3, 40])
def test_draws_that_nobody_wants_advance_the_stream(size):
    oracle = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")

    def draw(torch):
        torch.manual_seed(5)
        torch.rand(size)
        torch.randn(size)
        torch.nn.functional.dropout(torch.ones(size))
        torch.randperm(size)
        return torch.rand(4).tolist()

    for _ in range(4):
        assert draw(torch) == draw(oracle)


def test_a_seed_inside_the_loop():
    oracle = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")

    def draw(torch):
        seen = []
        for n in range(6):
            torch.manual_seed(n % 2)
            a = torch.rand(3)
            b = torch.randn(20) + a.sum()
            seen += a.tolist() + b.tolist()
        return seen

    np.testing.assert_allclose(draw(torch), draw(oracle), rtol=1e-5, atol=1e-6)


def test_states_are_saved_and_restored_between_pending_draws():
    torch.manual_seed(2)
    for _ in range(4):
        state = torch.get_rng_state()
        a = torch.randn(5)
        torch.set_rng_state(state)
        b = torch.randn(5)
        assert a.tolist() == b.tolist()


def test_generators_of_their_own():
    g, h = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    for _ in range(4):
        torch.rand(2)
        assert torch.rand(3, generator=g).tolist() == torch.rand(3, generator=h).tolist()
