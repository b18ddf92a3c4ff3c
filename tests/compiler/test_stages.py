"""What a pass has written over, no later pass reads: programs that change what they then use."""

import pytest

import flambeau
from flambeau.compiler import emit
from flambeau.settings import settings


def changed_then_normalised(x):
    """The elements are written over in the pass that sums them, and needed once more after it."""
    x += 1
    return x / x.sum()


def changed_row_by_row(x):
    x *= 2
    return x - x.mean(1, keepdim=True)


def scalar_from_what_it_changes(x):
    """A number is moved by a mean, then read by every element."""
    a = flambeau.ones(())
    a.tolist()
    for _ in range(2):
        a -= 0.1 * x.mean()
        x = x + a * x
    return x


def running_mean(x):
    """A row's result is written over, and another row's result reads what was there before."""
    mean = flambeau.zeros(x.shape[0])
    mean.tolist()
    old = mean * 3
    mean.mul_(0.9).add_(x.mean(1), alpha=0.1)
    return (x - mean[:, None]) * (old[:, None] + 1)


def weights_by_hand(x):
    w = flambeau.ones(x.shape[1])
    w.tolist()
    error = x @ w - 1
    w -= 0.01 * (error[:, None] * x).mean(0)
    return (x * w).sum(1)


CASES = [changed_then_normalised, changed_row_by_row, scalar_from_what_it_changes, running_mean,
         weights_by_hand]  # fmt: skip


def outcome(function, **how):
    """The result of the third time, and what became of the argument."""
    with settings.override(**how):
        for _ in range(3):
            x = flambeau.arange(60.0).reshape(4, 15) / 7
            x.tolist()
            result = function(x)
            values = result.tolist(), x.tolist()
    return [number for value in values for number in flattened(value)]


def flattened(value):
    """The numbers of a list of lists."""
    return [n for row in value for n in flattened(row)] if isinstance(value, list) else [value]


@pytest.mark.parametrize("function", CASES, ids=lambda f: f.__name__)
def test_what_is_written_over_is_not_read_again(function):
    plain = outcome(function, numpy=True)
    assert outcome(function, patience=0.0, check=True) == pytest.approx(plain, rel=1e-5, abs=1e-5)
    assert outcome(function, compile=False) == pytest.approx(plain, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("kept", [False, True])
def test_a_product_that_only_its_epilogue_reads_has_no_memory(kept, monkeypatch):
    found, reaches_memory = [], emit.reaches_memory

    def noted(fused):
        found.append(reaches_memory(fused))
        return found[-1]

    monkeypatch.setattr(emit, "reaches_memory", noted)
    a, b = flambeau.arange(60.0).reshape(4, 15) / 7, flambeau.ones(15, 6)
    rows = a.tolist()
    b.tolist()
    with settings.override(patience=0.0, check=True):
        for _ in range(3):
            product = a @ b
            result = flambeau.relu(product - 20)
            if not kept:
                del product
            values = result.tolist()
    assert len(found[-1]) == 3 + kept  # both operands, the result, and the product
    wanted = [max(sum(row) - 20, 0.0) for row in rows for _ in range(6)]
    assert flattened(values) == pytest.approx(wanted, rel=1e-5)
