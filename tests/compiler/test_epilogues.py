"""What a product's epilogue takes, and what it leaves to whoever reads the product."""

import numpy as np
import pytest

import flambeau
from flambeau.compiler import fuse
from flambeau.settings import settings

torch = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")


@pytest.fixture
def epilogues(monkeypatch):
    """For each fused program the names of what follows each of its products."""
    found, run = [], fuse.Fuser.run

    def noted(fuser):
        fused = run(fuser)
        found.append([[member.call.op.name for member in cluster.members[1:]]
                      for cluster in fused.clusters if cluster.kind == "matmul"])  # fmt: skip
        return fused

    monkeypatch.setattr(fuse.Fuser, "run", noted)
    with settings.override(compile=True, patience=0):
        yield found


def operands(framework):
    x = framework.linspace(-1, 1, 24 * 20).reshape(24, 20)
    return x, framework.linspace(-2, 1, 20 * 16).reshape(20, 16)


def clipped(framework):
    """A gradient that is wanted, and the sum of its squares."""
    a, b = operands(framework)
    product = a @ b
    return product, (product * product).sum()


def normalised(framework):
    """Each row of a product less its mean, which only its sum tells, and a sum of all rows."""
    a, b = operands(framework)
    product = a @ b
    scaled = product * b[0]
    return product.sum(0), (scaled - scaled.mean(1, keepdim=True)) @ b.T


def activated(framework):
    """Nobody but the epilogue reads the product; its result is summed up, and read by another."""
    a, b = operands(framework)
    hidden = (a @ b).tanh()
    return hidden.sum(0), hidden @ b.T


def squared(framework):
    """Nobody else reads the product: it may as well be stored squared."""
    a, b = operands(framework)
    return (((a @ b) ** 2).sum(0),)


@pytest.mark.parametrize(("program", "wanted"), [
    (clipped, [[]]), (normalised, [[], []]), (activated, [["tanh"], []]),
    (squared, [["pow_number"]]),
])  # fmt: skip
def test_only_what_spares_memory_is_done_where_a_product_is_stored(epilogues, program, wanted):
    for _ in range(3):
        mine = [result.numpy() for result in program(flambeau)]
    for a, b in zip(mine, program(torch), strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=2e-5, atol=1e-4)
    assert epilogues[-1] == wanted
