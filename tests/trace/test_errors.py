"""A flush is a transaction: what failed, what was before it, and what came after.

An index whose values are there is looked at by the call. The others, `torch.tensor(…) + 0` here,
are looked at when they are computed.
"""

from __future__ import annotations

import inspect

import pytest

import flambeau
from flambeau.settings import settings
from tests.beside import oracle

TIERS = [{"patience": 0}, {"compile": False}, {"numpy": True}]


@pytest.fixture(params=TIERS, ids=str)
def tier(request):
    with settings.override(**request.param):
        yield request.param


def both(story):
    """What a story tells under PyTorch, and what it tells under Flambeau, three times."""
    oracle.manual_seed(0)
    expected = story(oracle)
    for _ in range(3):  # call by call, compiled, replayed
        flambeau.manual_seed(0)
        assert plain(story(flambeau)) == pytest.approx(plain(expected), rel=1e-5)


def plain(found):
    return [y for x in found for y in (plain(x) if isinstance(x, (list, tuple)) else [x])]


def raised(function):
    """The class of what a function raises."""
    try:
        function()
    except Exception as error:
        return type(error)
    return None


def test_parameters_are_as_before_the_offender(tier):
    """The forward pass fails: the optimizer's step that comes after it never happens."""
    def story(torch):
        net = torch.nn.Embedding(5, 3)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        seen = []
        for index in ([0, 1], [2, 7], [3, 4]):
            try:
                loss = net(torch.tensor(index) + 0).pow(2).sum()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                seen.append(loss.item())
            except IndexError:
                seen.append("refused")
        return [s for s in seen if s != "refused"], seen.count("refused"), net.weight.tolist()

    both(story)


def test_draws_before_the_offender_have_happened(tier):
    """The random stream is where PyTorch's is."""
    def story(torch):
        x = torch.rand(4)
        first = torch.rand(3)
        try:
            bad = x[torch.tensor([1, 9]) + 0]
            bad.tolist()
        except IndexError:
            pass
        return first.tolist(), torch.rand(3).tolist()

    both(story)


def test_writes_before_the_offender_have_happened(tier):
    def story(torch):
        x, y = torch.zeros(3), torch.ones(3)
        x += 5
        try:
            z = y.index_select(0, torch.tensor([3]) + 0)
            x += z.sum()
            x.tolist()
        except IndexError:
            pass
        return x.tolist(), y.tolist()

    oracle_seen = story(oracle)
    for _ in range(3):
        x, y = flambeau.zeros(3), flambeau.ones(3)
        x += 5
        z = y.index_select(0, flambeau.tensor([3]) + 0)
        assert raised(z.tolist) is IndexError
        assert [x.tolist(), y.tolist()] == list(oracle_seen)


def test_results_after_the_offender_raise_the_same_error(tier):
    for _ in range(3):
        x = flambeau.arange(4.0)
        before = x * 2
        bad = x[flambeau.tensor([4]) + 0]
        after = bad + 1
        with pytest.raises(IndexError, match="index 4 is out of bounds for dimension 0 with size"):
            after.tolist()
        for victim in (bad, after):
            with pytest.raises(IndexError, match="index 4 is out of bounds"):
                victim.tolist()
            with pytest.raises(IndexError, match="index 4 is out of bounds"):
                victim + 1
        assert before.tolist() == [0, 2, 4, 6]
        assert (before + 1).tolist() == [1, 3, 5, 7]  # what is recorded next is in order


def test_message_names_the_line(tier):
    x = flambeau.arange(4.0)
    for _ in range(3):
        line = inspect.currentframe().f_lineno + 1
        bad = x.gather(0, flambeau.tensor([17]) + 0)
        other = x + 1
        with pytest.raises(RuntimeError, match="index 17 is out of bounds") as found:
            other.tolist()
            bad.tolist()
        assert f"{__file__}:{line}" in "".join(found.value.__notes__)


def test_a_target_out_of_range_in_training(tier):
    """The commonest of all: a class that is none. The network is as it was."""
    def story(torch):
        x = torch.ones(2, 3)
        net = torch.nn.Linear(3, 4)
        optimizer = torch.optim.Adam(net.parameters())
        seen = []
        for target in ([0, 1], [3, 4], [1, 2]):
            try:
                loss = torch.nn.functional.cross_entropy(net(x), torch.tensor(target) + 0)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            except IndexError:
                seen.append(1)
        return seen, net.weight.tolist(), net.bias.tolist()

    both(story)


@pytest.mark.parametrize("kind", ["Adam", "SGD", "AdamW", "RMSprop", "Adagrad"])
def test_the_first_step_fails(tier, kind):
    """State that an optimizer makes in its first step is not left behind as an error."""
    if not hasattr(flambeau.optim, kind):
        pytest.skip(f"no {kind} yet")

    def story(torch):
        x, w = torch.ones(2, 3), torch.zeros(3, 4, requires_grad=True)
        more = {"momentum": 0.9} if kind == "SGD" else {}
        optimizer = getattr(torch.optim, kind)([w], lr=0.1, **more)
        seen = []
        for target in ([0, 4], [4, 4], [3, 3], [1, 2]):
            try:
                loss = torch.nn.functional.cross_entropy(x @ w, torch.tensor(target) + 0)
                optimizer.zero_grad(set_to_none=False)
                loss.backward()
                optimizer.step()
            except IndexError:
                seen.append(len(optimizer.state))
        return seen, w.tolist(), w.grad.tolist()

    both(story)


def test_gradients_by_hand_after_a_failure(tier):
    """A gradient that was never computed is None again."""
    def story(torch):
        w, seen = torch.ones(3, requires_grad=True), []
        for index in (9, 0, 9, 1):
            try:
                (w * 2).index_select(0, torch.tensor([index]) + 0).sum().backward()
                with torch.no_grad():
                    w -= 0.1 * w.grad
                w.sum().item()
            except IndexError:
                seen.append(w.grad is None)
            if w.grad is not None:
                w.grad.zero_()
        return seen, w.tolist()

    both(story)


def test_integer_division_by_zero(tier):
    def story(torch):
        x = torch.tensor([1, 2, 3])
        y = x + 1
        try:
            (y // torch.tensor([1, 0, 2])).tolist()
        except RuntimeError as error:
            return y.tolist(), [str(error) == "ZeroDivisionError"]

    both(story)


def test_a_refused_call_leaves_nothing_behind():
    """Errors at the call: its numbers and edges don't disturb the next ones."""
    x = flambeau.ones(3)
    for bad in ("abc", {}, flambeau.ones(2)):
        with pytest.raises((TypeError, RuntimeError)):
            flambeau.add(2.5, bad) if not isinstance(bad, flambeau.Tensor) else flambeau.add(x, bad)
        with pytest.raises((TypeError, RuntimeError)):
            x.add_(7.0).add(flambeau.ones(5), alpha=3.0)
        x.sub_(7.0)
    assert (x * 3.0 + 0.5).tolist() == [3.5] * 3


def test_an_error_in_the_graph_does_not_stop_the_next_step(tier):
    w = flambeau.ones(3, requires_grad=True)
    for index in (0, 5, 1):
        loss = (w * w).index_select(0, flambeau.tensor([index]) + 0).sum()
        if index == 5:
            assert raised(loss.item) is IndexError
            continue
        loss.backward()
        assert w.grad.sum().item() == 2.0
        w.grad = None
