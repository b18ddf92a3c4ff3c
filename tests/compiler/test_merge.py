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


@pytest.fixture
def kernels(monkeypatch):
    """The kinds of clusters of each fused program, with the names of their calls."""
    found, run = [], fuse.Fuser.run

    def noted(fuser):
        fused = run(fuser)
        found.append([[m.call.op.name for m in c.members] for c in fused.clusters])
        return fused

    monkeypatch.setattr(fuse.Fuser, "run", noted)
    with settings.override(compile=True, patience=0, check=True):
        yield found


@pytest.mark.parametrize("classes", [10, 65, 1027])
def test_cross_entropy_and_its_derivative_walk_over_the_rows_once(kernels, classes):
    def step(framework):
        scores = framework.linspace(-3, 5, 40 * classes).reshape(40, classes).sin()
        targets = framework.arange(40) * 7 % classes
        targets[3] = -100
        scores.tolist(), targets.tolist()
        scores.requires_grad_()
        loss = framework.nn.functional.cross_entropy(scores, targets)
        loss.backward()
        return loss.item(), scores.grad.numpy()

    for _ in range(4):
        loss, grad = step(flambeau)
    expected, theirs = step(torch)
    assert loss == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(grad, theirs, rtol=1e-4, atol=1e-8)
    (softmax,) = [names for names in kernels[-1] if "amax" in names]
    assert "place_known_class" in softmax and "sub" in softmax


def test_what_is_summed_up_of_a_softmax_is_stored_before(kernels):
    """A second sum over the same rows would compute the exponentials once more."""

    def program(framework):
        x = framework.linspace(-3, 5, 640).reshape(32, 20).sin()
        shares = x.softmax(1)
        return (shares * x).sum(1), (shares - shares.mean(1, keepdim=True))

    for _ in range(4):
        mine = [result.numpy() for result in program(flambeau)]
    for a, b in zip(mine, program(torch), strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-5, atol=1e-7)


def test_a_class_out_of_range_is_found_where_the_check_is_done_once(kernels):
    scores = flambeau.zeros(40, 10, requires_grad=True)
    for last in (9, 9, 9, 10):
        targets = flambeau.arange(40) % 10
        targets[-1] = last
        scores.grad = None
        if last == 10:
            with pytest.raises(IndexError):
                flambeau.nn.functional.cross_entropy(scores, targets).backward()
                scores.grad.numpy()
        else:
            flambeau.nn.functional.cross_entropy(scores, targets).backward()
            scores.grad.numpy()
