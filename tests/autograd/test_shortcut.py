"""A repeated backward is one edge of the trie, and does what a walk would."""

from __future__ import annotations

import numpy as np
import pytest

import flambeau as torch
from flambeau.autograd import shortcut, walk
from flambeau.settings import settings


@pytest.fixture(autouse=True)
def compiled():
    with settings.override(patience=0):
        yield


@pytest.fixture
def walks(monkeypatch):
    """How many backward passes were walked."""
    seen = []
    plain = walk.Walk.run

    def run(self, roots, grads):
        seen.append(len(roots))
        return plain(self, roots, grads)

    monkeypatch.setattr(walk.Walk, "run", run)
    return seen


def weights():
    return torch.tensor([1.0, -2.0, 3.0], requires_grad=True)


def flush(*tensors):
    for tensor in tensors:
        tensor.tolist()


def test_the_second_backward_is_not_walked(walks):
    w = weights()
    flush(w)
    for _ in range(5):
        w.grad = None
        (w * w * 2.0).sum().backward()
        assert w.grad.tolist() == [4.0, -8.0, 12.0]
    assert len(walks) == 1


def test_gradients_accumulate_as_in_a_walk(walks):
    w, expected = weights(), np.zeros(3)
    flush(w)
    for n in range(6):
        (w * float(n)).sum().backward()
        expected += n
        assert w.grad.tolist() == expected.tolist()
    assert len(walks) == 2  # no gradient before, a gradient before


def test_numbers_are_those_of_now(walks):
    """A factor that the derivative hands on is a run-time number."""
    w = weights()
    flush(w)
    for n in range(1, 6):
        w.grad = None
        ((w * (n / 3)) ** 2).sum().backward()
        expected = 2 * (n / 3) ** 2 * np.array([1, -2, 3])
        np.testing.assert_allclose(w.grad.tolist(), expected, rtol=1e-5)
    assert len(walks) == 1


def test_offsets_are_those_of_now():
    w, x = weights(), torch.arange(20.0)
    flush(w, x)
    for n in (0, 3, 7, 3, 11):
        w.grad = None
        part = x[n : n + 3]
        (w[0:2] * part[1:]).sum().backward()
        assert w.grad.tolist() == [n + 1.0, n + 2.0, 0.0]


def test_a_gradient_that_is_a_view_of_other_memory():
    w, memory = weights(), torch.zeros(6)
    flush(w, memory)
    for n in range(1, 4):
        w.grad = memory[3:]
        (w * 2).sum().backward()
        assert memory.tolist() == [0, 0, 0] + [2.0 * n] * 3


def test_gradients_shared_by_two_leaves():
    for _ in range(3):
        a, b = weights(), weights()
        a.grad = b.grad = torch.zeros(3)
        (a * 2 + b * 3).sum().backward()
        assert a.grad is b.grad and a.grad.tolist() == [5.0] * 3


def test_a_hook_is_called_each_time():
    w, calls = weights(), []
    handle = None
    for n in range(6):
        w.grad = None
        if n == 2:
            handle = w.register_hook(lambda g: calls.append(1) or g * 10)
        if n == 4:
            handle.remove()
        (w * 3).sum().backward()
        assert w.grad.tolist() == [30.0 if n in (2, 3) else 3.0] * 3
    assert len(calls) == 2


def test_a_hook_on_what_lies_between():
    w = weights()
    flush(w)
    for n in range(5):
        w.grad = None
        y = w * 3
        if n % 2:
            y.register_hook(lambda g: g * 10)
        (y * y).sum().backward()
        np.testing.assert_allclose(w.grad.tolist(), np.array([18, -36, 54]) * (10 if n % 2 else 1))


def test_retain_grad_and_retain_graph():
    w = weights()
    flush(w)
    for n in range(5):
        w.grad = None
        y = w * 3
        if n >= 3:
            y.retain_grad()
        loss = (y * y).sum()
        loss.backward(retain_graph=True)
        loss.backward()
        assert w.grad.tolist() == [36.0, -72.0, 108.0]
        if n >= 3:
            assert y.grad.tolist() == [12.0, -24.0, 36.0]
        with pytest.raises(RuntimeError, match="second time"):
            loss.backward()


def test_a_leaf_that_is_frozen_later():
    w, v = weights(), weights()
    flush(w, v)
    for n in range(6):
        w.grad = v.grad = None
        v.requires_grad_(n < 3)
        (w * v).sum().backward()
        assert w.grad.tolist() == [1.0, -2.0, 3.0]
        assert (v.grad is None) == (n >= 3)


def test_a_graph_that_spans_flushes():
    """`loss.item()` before `backward()`: a walk, each time right."""
    w = weights()
    for _ in range(4):
        w.grad = None
        loss = (w * w).sum()
        assert loss.item() == 14.0
        loss.backward()
        assert w.grad.tolist() == [2.0, -4.0, 6.0]


def test_the_same_trace_with_other_leaves():
    """Which leaf gets what follows the slots, not the tensors of the first walk."""
    for turn in range(4):
        first, second = weights(), weights()
        flush(first, second)
        a, b = (first, second) if turn % 2 else (second, first)
        (a * 2 + b * 5).sum().backward()
        assert a.grad.tolist() == [2.0] * 3 and b.grad.tolist() == [5.0] * 3


def test_the_same_leaf_twice():
    w, v = weights(), weights()
    flush(w, v)
    for n in range(5):
        w.grad = v.grad = None
        other = w if n % 2 else v
        (w * 2 + other * 5).sum().backward()
        assert w.grad.tolist() == [7.0 if n % 2 else 2.0] * 3


def test_versions_are_checked_each_time():
    w = weights()
    flush(w)
    for n in range(4):
        y = w * 2
        z = y * y
        if n == 2:
            y.add_(1)
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                z.sum().backward()
        else:
            z.sum().backward()


def test_dropout_between(walks):
    """The mask of now is used, and another one each time."""
    torch.manual_seed(0)
    w, masks = torch.ones(50, requires_grad=True), set()
    for _ in range(5):
        w.grad = None
        y = torch.nn.functional.dropout(w, 0.5)
        y.sum().backward()
        assert w.grad.tolist() == y.tolist()
        masks.add(tuple(y.tolist()))
    assert len(masks) == 5


def test_macros_hold_no_tensors():
    import gc
    import weakref

    def step():
        w = weights()
        (w * 1.5).sum().backward()
        return weakref.ref(w), weakref.ref(w.grad)

    references = [r for _ in range(3) for r in step()]
    torch.ones(1).tolist()
    from flambeau.trace.flush import flush as end
    from flambeau.trace.trie import here

    end(here.stretch)
    gc.collect()
    assert all(r() is None for r in references)
    assert shortcut.Macro.__slots__ == ("leaves", "cases")
