"""A wrong index is an error of the call that was given it, the first time and later."""

from __future__ import annotations

import pytest

import flambeau
from tests.beside import oracle

F = "torch.nn.functional."
CALLS = {
    "x[i]": "x[i]",
    "x[:, i]": "x[:, i]",
    "x[i] = 1": "x.__setitem__(i, 1.0)",
    "gather": "x.gather(0, i.view(-1, 1))",
    "scatter": "x.scatter(0, i.view(-1, 1), 1.0)",
    "scatter_": "x.scatter_(0, i.view(-1, 1), torch.ones(2, 3))",
    "scatter_add_": "x.scatter_add_(0, i.view(-1, 1), torch.ones(2, 3))",
    "scatter_reduce": "x.scatter_reduce(0, i.view(-1, 1), torch.ones(2, 3), 'amax')",
    "index_select": "x[:, 0].index_select(0, i)",
    "index_add_": "x[:, 0].index_add_(0, i, torch.ones(2))",
    "index_copy": "x.index_copy(0, i, torch.ones(2, 3))",
    "index_fill": "x.index_fill(0, i, 1.0)",
    "take": "x.take(i * 5)",
    "put": "x.put(i * 5, torch.ones(2))",
    "embedding": F + "embedding(i, x)",
    "nll_loss": F + "nll_loss(torch.zeros(2, 3), i)",
    "cross_entropy": F + "cross_entropy(torch.zeros(2, 3, requires_grad=True), i)",
    "multi_margin": F + "multi_margin_loss(torch.zeros(2, 3), i)",
    "multilabel": F + "multilabel_margin_loss(torch.zeros(2), i)",
    "one_hot": F + "one_hot(i, 3)",
    "max_unpool": F + "max_unpool1d(torch.zeros(1, 1, 2), (i * 4).view(1, 1, 2), 2)",
}
LATER = {"take", "put", "max_unpool"}  # their index is computed first


def told(torch, line, index):
    """The class and the words of what a line raises; what it gives is not looked at."""
    x = torch.zeros(3, 3)
    i = torch.tensor(index)
    try:
        made = eval(line, {"torch": torch, "x": x, "i": i})
        if made is not None and torch is flambeau and any(name in line for name in LATER):
            made.tolist()
    except Exception as error:
        return type(error).__name__, str(error).splitlines()[0]
    return None


@pytest.mark.parametrize("name", CALLS)
def test_a_wrong_index_is_refused_by_the_call(name):
    line = CALLS[name]
    for index in ([0, 7], [0, 1], [0, 7], [-9, 0]):  # wrong at first sight, and later
        expected = told(oracle, line, index)
        found = told(flambeau, line, index)
        assert (found and found[0]) == (expected and expected[0]), index


@pytest.mark.parametrize("name", ["x[i]", "gather", "scatter", "index_fill", "nll_loss", "one_hot",
                                  "embedding", "multi_margin"])  # fmt: skip
def test_words(name):
    assert told(flambeau, CALLS[name], [0, 7]) == told(oracle, CALLS[name], [0, 7])


def test_nothing_was_recorded():
    """What was pending goes on, numbers of the refused call included."""
    x = flambeau.arange(4.0)
    for _ in range(3):
        y = x * 2.5
        with pytest.raises(IndexError):
            y[flambeau.tensor([9])]
        with pytest.raises(RuntimeError):
            y.scatter_(0, flambeau.tensor([9]), 7.5)
        with pytest.raises(IndexError):
            y.index_fill_(0, flambeau.tensor([9]), 7.5)
        assert (y + 0.5).tolist() == [0.5, 3.0, 5.5, 8.0]


def test_an_index_that_changes():
    """Its range is remembered for its version alone."""
    x, i = flambeau.arange(4.0), flambeau.tensor([1, 2])
    assert x[i].tolist() == [1, 2]
    i += 1
    i.tolist()
    assert x[i].tolist() == [2, 3]
    i += 1
    i.tolist()
    with pytest.raises(IndexError, match="index 4 is out of bounds"):
        x[i]
    i.data.sub_(1)
    assert x[i].tolist() == [2, 3]


def test_a_part_of_a_storage():
    """Wrong elements that a view leaves out do not count."""
    whole = flambeau.tensor([0, 1, 9, 2])
    x = flambeau.arange(4.0)
    for _ in range(2):
        assert x[whole[:2]].tolist() == [0, 1]
        assert x[whole[3:]].tolist() == [2]
        with pytest.raises(IndexError):
            x[whole[1:3]]


def test_classes_that_are_ignored():
    x = flambeau.zeros(2, 3)
    for _ in range(2):
        loss = flambeau.nn.functional.cross_entropy(x, flambeau.tensor([-100, 1]))
        assert loss.item() == pytest.approx(1.0986, rel=1e-4)
        with pytest.raises(IndexError, match="Target -99 is out of bounds"):
            flambeau.nn.functional.cross_entropy(x, flambeau.tensor([-99, 1]))


def test_index_fill_counts_from_the_end():
    for torch in (oracle, flambeau):
        made = torch.zeros(2, 3).index_fill(1, torch.tensor([-1, 0]), 2.0)
        assert made.tolist() == [[2, 0, 2], [2, 0, 2]]
