"""What is alive is computed, once; what died is not; loops that look at nothing stay small."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import flambeau as torch
from flambeau.runtime import buffers
from flambeau.settings import settings
from flambeau.trace import flush as flush_module
from flambeau.trace import programs, trie
from flambeau.trace.programs import counters
from flambeau.trace.trie import here


def alive_now():
    """The first values of the results that somebody holds."""
    return {storage.born for storage in flush_module.living(here.stretch.results)}


@pytest.fixture
def ran(monkeypatch):
    """Every (op, size) that a program ran call by call in this test."""
    seen = []
    plain = programs.interpreted

    def watched(program):
        found = plain(program)
        seen.extend((call.op.name, call.outs[0].size) for call in program.calls)
        return found

    monkeypatch.setattr(programs, "interpreted", watched)
    return seen


def pending() -> int:
    return here.stretch.state.depth


def test_nothing_runs_before_a_look():
    flush()
    before = counters.flushes
    x = torch.ones(7)
    for _ in range(5):
        x = x * 2 + 1
    assert counters.flushes == before and pending() == 11
    assert x[0].item() == 63.0
    assert counters.flushes == before + 1


def flush() -> None:
    """Begin a new stretch, with the limits of now."""
    flush_module.flush(here.stretch)


def test_one_look_computes_all_that_is_alive():
    flush()
    x = torch.arange(5.0)
    y, z = x + 1, x * 3
    before = counters.flushes
    assert y.tolist() == [1, 2, 3, 4, 5]
    assert z.tolist() == [0, 3, 6, 9, 12]
    assert x.tolist() == [0, 1, 2, 3, 4]
    assert counters.flushes == before + 1


def test_what_died_has_no_memory():
    flush()
    x = torch.ones(3)
    dead = x * 2
    alive = dead + 1
    del dead
    born = alive_now()
    assert alive.tolist() == [3, 3, 3]
    assert len(born) == 2  # x and alive


def test_dead_code_is_dropped_when_compiled():
    """A call whose result nobody holds is no part of what is compiled."""
    from flambeau.compiler.pipeline import clusters_of

    flush()
    x = torch.ones(11)
    y = x + 1
    (x * 5).sum()  # dropped at once
    state, live = here.stretch.state, (x._slot, y._slot)
    program = programs.new_entry(state, live).program
    assert [c.op.name for c in program.calls] == ["full", "add", "mul", "sum_all"]
    kept = {v for c in clusters_of(program).clusters for v in c.made}
    assert kept == set(live)


def test_a_live_set_that_flaps_settles():
    """Results that now and then survive do not make programs for ever."""
    random = np.random.default_rng(0)

    def step(keep):
        a = torch.full((5,), 1.5)
        results = [a + 1, a * 2, a - 1, a / 2, a.exp(), a.sin()]
        kept = [r for r, k in zip(results, keep) if k]
        del results, a
        return [k.tolist() for k in kept]

    with settings.override(patience=0):
        for _ in range(150):
            step(random.random(6) < 0.5)
        before = counters.compiled
        for _ in range(150):
            keep = random.random(6) < 0.5
            found = step(keep)
            expected = [2.5, 3.0, 0.5, 0.75, np.exp(1.5), np.sin(1.5)]
            for values, e in zip(found, [e for e, k in zip(expected, keep) if k]):
                np.testing.assert_allclose(values, [e] * 5, rtol=1e-6)
    assert counters.compiled - before <= 2


@pytest.mark.parametrize("calls", [1, 3, 17, 130, 700])
def test_loops_that_look_at_nothing_settle_on_one_program(calls):
    """The cap cuts at the loop's own period: the same program again and again."""
    def turns(start, count):
        x = start.pop()  # nobody else holds it
        for _ in range(count):
            for n in range(calls):
                x = x + 1 if n % 3 == 0 else x * 0.5 if n % 3 == 1 else x - 0.25
        return x

    with settings.override(patience=0):
        x = turns([torch.zeros(8)], 16_000 // calls)
        before = counters.programs, counters.compiled
        states, start = trie.State.count, [x]
        del x
        x = turns(start, 20_000 // calls)
        assert (counters.programs, counters.compiled) == before
        assert trie.State.count == states
        assert pending() <= trie.CALL_LIMIT
        expected = np.zeros(8, np.float32)
        for _ in range(16_000 // calls + 20_000 // calls):
            for n in range(calls):
                expected = [expected + 1, expected * 0.5, expected - 0.25][n % 3]
        np.testing.assert_allclose(x.tolist(), expected, rtol=1e-4)


def test_training_that_looks_at_nothing_keeps_memory_flat():
    """20,000 steps by hand, without a look: neither pending calls nor buffers pile up."""
    w = torch.zeros(4, 1, requires_grad=True)
    x, y = torch.ones(6, 4), torch.ones(6, 1)

    def steps(count):
        for _ in range(count):
            loss = ((x @ w - y) ** 2).mean()
            loss.backward()
            with torch.no_grad():
                w.sub_(0.01 * w.grad)
            w.grad = None

    steps(300)
    gc.collect()
    states, made, blocks = trie.State.count, counters.programs, live_buffers()
    steps(3_000)
    gc.collect()
    assert trie.State.count == states and counters.programs == made
    assert 0 < live_buffers() <= blocks + 4
    assert pending() <= trie.CALL_LIMIT
    np.testing.assert_allclose(w.tolist(), [[0.25]] * 4, rtol=1e-4)


def live_buffers() -> int:
    """How many buffers somebody holds."""
    return sum(issubclass(type(o), buffers.Buffer) for o in gc.get_objects())


def test_results_that_pile_up_are_computed_in_time():
    """A list of 5,000 pending results: the cap flushes, and each is right."""
    kept, x = [], torch.zeros(())
    for _ in range(5_000):
        x = x + 1
        kept.append(x)
    assert [k.item() for k in kept[::499]] == [float(n + 1) for n in range(0, 5_000, 499)]


def test_programs_hold_shapes_never_data():
    """What was computed is given back when nobody holds it any more."""
    import weakref

    x = torch.ones(1000) * 2
    x.tolist()
    buffer = weakref.ref(x._storage.buffer)
    storage = weakref.ref(x._storage)
    y = x + 1
    y.tolist()
    del x, y
    gc.collect()
    assert buffer() is None and storage() is None


def test_no_reference_cycles_in_a_step():
    """Which results are alive must not depend on when the garbage collector runs."""
    w = torch.ones(3, requires_grad=True)
    gc.disable()
    try:
        hidden = (w * 2).tanh()
        loss = (hidden[1:] * hidden[:-1]).sum()
        loss.backward()
        found = {t._storage.born for t in (hidden, loss)}
        assert found < alive_now()
        del hidden, loss
        assert not found & alive_now()
    finally:
        gc.enable()
    assert w.grad is not None
