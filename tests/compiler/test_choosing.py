"""Products with one-hot rows, in all four places, with numbers that are not finite."""

import numpy as np
import pytest

import flambeau
from flambeau.compiler import choosing
from flambeau.settings import settings

CLASSES, WIDTH = 300, 1024  # rows of a page: they are kept apart


@pytest.fixture(autouse=True)
def rewritten(monkeypatch):
    """Programs are compiled when they come the second time; how many products are no more."""
    found = []
    for name in ("choose", "add_up"):
        made = getattr(choosing, name)
        monkeypatch.setattr(choosing, name, lambda *a, made=made: (found.append(1), made(*a))[1])
    with settings.override(patience=0):
        yield found


def operands(bad, transposed):
    """Classes, a matrix with a row a class, and one with a row an element."""
    draw = np.random.default_rng(0)
    index = draw.integers(0, CLASSES, (40, 9))
    index[0, 0] = index[3, 4] = index[9, 8] = 7
    index = index.T if transposed else index
    by_class = draw.standard_normal((CLASSES, WIDTH)).astype("f")
    by_element = draw.standard_normal((360, WIDTH)).astype("f")
    if bad:
        by_class[7, 5], by_class[[1, 2], 6] = np.inf, (np.nan, -np.inf)
        by_element[3, 4], by_element[[5, 6], 8] = np.inf, np.nan
        by_element[np.flatnonzero(index.reshape(-1) == 7)[:2], 9] = np.inf
    return index, by_class, by_element


FORMS = [
    lambda hot, by_class, by_element: hot @ by_class,
    lambda hot, by_class, by_element: by_class.t() @ hot.t(),
    lambda hot, by_class, by_element: hot.t() @ by_element,
    lambda hot, by_class, by_element: by_element.t() @ hot,
]


def product(torch, form, index, *matrices):
    """A product with one-hot rows."""
    hot = torch.nn.functional.one_hot(torch.from_numpy(index), CLASSES).float()
    return form(hot.reshape(-1, CLASSES), *map(torch.from_numpy, matrices)).numpy()


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_values_are_those_of_the_product(form, transposed, rewritten):
    torch = pytest.importorskip("torch")
    for bad in (False, True):
        arrays = operands(bad, transposed)
        wanted = product(torch, form, *(a.copy() for a in arrays))
        for _ in range(3):
            found = product(flambeau, form, *arrays)
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    assert len(rewritten) == 1


def test_classes_out_of_range_are_refused():
    by_class = flambeau.randn(CLASSES, WIDTH)
    for highest in (CLASSES - 1, CLASSES - 1, CLASSES - 1, CLASSES, -1):
        index = flambeau.zeros(360, dtype=flambeau.int64)
        index[5] = highest
        hot = flambeau.nn.functional.one_hot(index, CLASSES).float()
        if 0 <= highest < CLASSES:
            assert (hot @ by_class)[5, 0].item() == by_class[highest, 0].item()
        else:
            with pytest.raises(RuntimeError, match="Class values must be"):
                (hot @ by_class)[5, 0].item()
