"""Parts that fill a storage: nothing is written there before, and nothing goes missing."""

import numpy as np
import pytest

import flambeau
from flambeau.compiler import fuse
from flambeau.settings import settings

torch = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")


@pytest.fixture
def fillings(monkeypatch):
    """For each fused program how many fillings reach memory."""
    found, run = [], fuse.Fuser.run

    def noted(fuser):
        fused = run(fuser)
        names = [member.call.op.name for cluster in fused.clusters for member in cluster.members]
        found.append(names.count("full"))
        return fused

    monkeypatch.setattr(fuse.Fuser, "run", noted)
    with settings.override(compile=True, patience=0, check=True):
        yield found


def split(x):
    a, b, c = x.split(4, dim=1)
    return (a * b).sum() - (c * c).sum()


def unbound(x):
    return sum((row * row * (n + 1)).sum() for n, row in enumerate(x.unbind(0)))


def twice(x):
    """Two parts that are all there is, and one of them once more."""
    a, b = x.chunk(2, dim=0)
    return (a * b).sum() + (x[:3] * a).sum()


def gap(x):
    """The middle is left out: its gradient is zero."""
    a, _, c = x.split(4, dim=1)
    return (a * c).sum()


def crossing(x):
    """Each element of the parts counts as often as it is in one."""
    return (x[:4] * x[2:]).sum()


def turned(x):
    a, b = x.t().chunk(2, dim=0)
    return (a * b).sum()


@pytest.mark.parametrize(("program", "wanted"), [
    (split, 0), (unbound, 0), (twice, 0), (gap, 1), (crossing, 1), (turned, 0),
])  # fmt: skip
def test_only_what_parts_leave_open_is_filled(fillings, program, wanted):
    def gradient(framework):
        x = framework.linspace(-2, 3, 72).reshape(6, 12).requires_grad_()
        program(x).backward()
        return x.grad.numpy()

    for _ in range(4):
        mine = gradient(flambeau)
    np.testing.assert_allclose(mine, gradient(torch), rtol=1e-6, atol=1e-6)
    assert fillings[-1] == wanted


def test_parts_that_begin_elsewhere_each_time(fillings):
    def gradient(framework, first, second):
        x = framework.linspace(-2, 3, 24).reshape(4, 6).requires_grad_()
        parts = x.split(2, dim=1)
        (parts[first] * parts[second] + parts[1]).sum().backward()
        return x.grad.numpy()

    for places in ((0, 2), (0, 2), (0, 2), (2, 0), (1, 2), (1, 1), (0, 2), (0, 2)):
        want = gradient(torch, *places)
        np.testing.assert_allclose(gradient(flambeau, *places), want, rtol=1e-6)
