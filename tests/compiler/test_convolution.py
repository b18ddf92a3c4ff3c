"""What convolutions become: kernels alone, no NumPy, and what follows them inside the product."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flambeau
from flambeau.compiler import emit

nn, F = flambeau.nn, flambeau.nn.functional


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of calls that run by their NumPy meaning inside compiled code."""
    found: set[str] = set()
    whole = emit.Emitter.compiled

    def compiled(self: Any, arena: int) -> Any:
        found.update(step.call.op.name for step in self.steps if step.call is not None)
        return whole(self, arena)

    monkeypatch.setattr(emit.Emitter, "compiled", compiled)
    return found


@pytest.fixture
def clusters(monkeypatch: pytest.MonkeyPatch) -> list[list[list[str]]]:
    """The ops of each cluster of each program that is emitted."""
    found: list[list[list[str]]] = []
    make = emit.Emitter.__init__

    def init(self: Any, fused: Any, *rest: Any) -> None:
        found.append([[m.call.op.name for m in c.members] for c in fused.clusters])
        make(self, fused, *rest)

    monkeypatch.setattr(emit.Emitter, "__init__", init)
    return found


def test_normalisation_and_activation_join_the_product(clusters: list[list[list[str]]]) -> None:
    net = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()).eval()
    x = flambeau.randn(4, 8, 32, 32)
    with flambeau.no_grad():
        for _ in range(40):
            net(x).tolist()
    products = [c for program in clusters for c in program if c[0] == "_correlate"]
    assert any(c[-1] == "relu" and len(c) == 5 for c in products), products  # + · + relu


def test_batches_that_begin_anywhere_need_no_numpy(interpreted: set[str]) -> None:
    data, w = flambeau.randn(12, 3, 8, 8), flambeau.randn(4, 3, 3, 3, requires_grad=True)
    for step in range(24):
        batch = data[step % 4 * 3 : step % 4 * 3 + 3]
        y = F.max_pool2d(F.conv2d(batch, w, padding=1).relu(), 2)
        (g,) = flambeau.autograd.grad(y.sum(), w)
        g.tolist()
    assert not interpreted


@pytest.mark.parametrize("channels", [(16, 2), (4, 16), (16, 16)], ids=str)
def test_ways_to_the_same_gradient(channels: tuple[int, int]) -> None:
    """Many outputs to few inputs: what taps give is added up; else what taps see is laid out."""
    out, inside = channels
    state = np.random.RandomState(0)
    x, w, g = (state.randn(*size) for size in ((2, inside, 7, 6), (out, inside, 3, 3),
                                               (2, out, 7, 6)))  # fmt: skip
    leaf = flambeau.tensor(x.tolist(), dtype=flambeau.float64, requires_grad=True)
    y = F.conv2d(leaf, flambeau.tensor(w.tolist(), dtype=flambeau.float64), padding=1)
    y.backward(flambeau.tensor(g.tolist(), dtype=flambeau.float64))
    padded = np.pad(g, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    expected = np.einsum("noyxij,ocij->ncyx", windows, w[:, :, ::-1, ::-1])
    np.testing.assert_allclose(leaf.grad.tolist(), expected, rtol=1e-9, atol=1e-9)
