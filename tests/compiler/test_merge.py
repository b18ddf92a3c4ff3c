"""Maps that write are merged where they touch the same elements, and only there."""

import numpy as np
import pytest

import flambeau
from flambeau.compiler import fuse
from flambeau.settings import settings

torch = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")


@pytest.fixture
def maps(monkeypatch):
    """How many maps each fused program has."""
    found, run = [], fuse.Fuser.run

    def counted(fuser):
        fused = run(fuser)
        found.append(sum(cluster.kind == "map" for cluster in fused.clusters))
        return fused

    monkeypatch.setattr(fuse.Fuser, "run", counted)
    with settings.override(compile=True, patience=0):
        yield found


def step(framework):
    """Some steps of AdamW with given gradients; the parameter and both averages."""
    param = framework.nn.Parameter(framework.linspace(-1, 1, 24).reshape(4, 6))
    optimizer = framework.optim.AdamW([param], lr=0.1, weight_decay=0.2, betas=(0.8, 0.9))
    for turn in range(5):
        param.grad = framework.linspace(-2, 3, 24).reshape(4, 6) * (turn - 2)
        optimizer.step()
    state = optimizer.state[param]
    return [x.detach().numpy() for x in (param, state["exp_avg"], state["exp_avg_sq"])]


def test_an_update_is_one_pass_over_memory(maps):
    for a, b in zip(step(flambeau), step(torch)):
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-7)
    assert maps[-1] == 1


def shifted(framework):
    """What is written is read one element further on: two passes."""
    x, y = framework.zeros(9), framework.ones(9)
    x.tolist(), y.tolist()
    x[1:] += y[1:]
    y[:-1] *= x[:-1] + x[1:] * 3
    y[1:] += x[:-1]
    return [x.numpy(), y.numpy()]


def test_elements_at_other_places_are_not_mixed_up(maps):
    for a, b in zip(shifted(flambeau), shifted(torch)):
        np.testing.assert_array_equal(a, b)
