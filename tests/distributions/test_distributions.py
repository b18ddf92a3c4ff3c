"""Each distribution beside PyTorch's: samples of the same seed, densities, moments, derivatives."""

from __future__ import annotations

from typing import Any

import pytest

from tests.beside import same
from tests.distributions.cases import CASES

TOLERANCE = 3e-5
NAN_IN_PYTORCH = ("Kumaraswamy",)  # whose mode is NaN there, whatever the parameters
ASKED = """
[list(d.batch_shape), list(d.event_shape), repr(d), repr(d.support), repr(d.arg_constraints)]
d.sample((3,)).tolist() + [torch.rand(2).tolist()]
d.rsample((2, 3)).tolist() + [torch.rand(2).tolist()]
d.mean.tolist()
d.mode.tolist()
d.variance.tolist()
d.stddev.tolist()
d.entropy().tolist()
d.perplexity().tolist()
d.log_prob(x).tolist()
d.cdf(x).tolist()
d.icdf(torch.full(d.batch_shape, 0.3)).tolist()
d.enumerate_support().tolist()
d.enumerate_support(False).tolist()
d.expand((3, *d.batch_shape)).log_prob(x[0]).tolist()
d.expand((3, *d.batch_shape)).sample().tolist()
[list(d.expand((3, *d.batch_shape)).batch_shape), repr(d.expand((3, *d.batch_shape)))]
d.sample((0,)).shape
""".strip().splitlines()
MAKE = (
    "import warnings",
    "warnings.simplefilter('ignore')",
    "D, t = torch.distributions, torch.tensor",
)


def made(case: str) -> tuple[str, ...]:
    return (*MAKE, "torch.manual_seed(3)", f"d = D.{case}", "x = d.sample((5,))")


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("case", CASES)
def test_values(case: str, asked: str) -> None:
    if asked.startswith("d.mode") and case.startswith(NAN_IN_PYTORCH):
        pytest.skip("PyTorch answers NaN")
    same(*made(case), asked, tolerance=TOLERANCE, words=1 if "d.mode" not in asked else 0)


GRADIENTS = """
leaves = []
def t(x):
    leaf = torch.tensor(x, requires_grad=True)
    leaves.append(leaf)
    return leaf
"""


def slopes(case: str, what: str) -> tuple[str, ...]:
    return (*MAKE, GRADIENTS, f"d = D.{case}", "torch.manual_seed(5)", what, "z.backward()",
            "[[] if leaf.grad is None else leaf.grad.tolist() for leaf in leaves]")  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_density_has_derivatives(case: str) -> None:
    same(*slopes(case, "z = d.log_prob(d.sample((5,)).detach()).sum()"), tolerance=3e-4)


REPARAMETERISED = [c for c in CASES if not c.startswith("Wishart")]  # in PyTorch that one raises


@pytest.mark.parametrize("case", REPARAMETERISED)
def test_samples_have_derivatives(case: str) -> None:
    """PyTorch's derivatives of gamma and beta numbers are approximations: good to 2e-3."""
    what = "s = d.rsample((4,)); z = (s * torch.arange(float(s.numel())).reshape(s.shape)).sum()"
    same(*slopes(case, what), tolerance=2e-3, words=1)


@pytest.mark.parametrize("case", ["Gamma(t(0.4), 1.0)", "Gamma(t(30.0), 1.0)", "Beta(t(2.0), 0.7)",
                                  "Gamma(t(300.0), 1.0)"])  # fmt: skip
def test_implicit_derivatives_are_those_of_quantiles(case: str) -> None:
    """dz/da at fixed F(z; a), by differences of SciPy's quantiles."""
    special = pytest.importorskip("scipy.special")
    import flambeau

    distributions = flambeau.distributions
    leaf = flambeau.tensor(float(case.split("t(")[1].split(")")[0]), dtype=flambeau.float64)
    leaf.requires_grad_()
    d = eval(f"distributions.{case}", {"distributions": distributions, "t": lambda x: leaf})
    a, h = leaf.item(), 1e-5 * leaf.item()
    for seed in range(5):
        flambeau.manual_seed(seed)
        z = d.rsample()
        (slope,) = flambeau.autograd.grad(z, leaf)

        def quantile(shape: float, z: Any = z) -> float:
            if case.startswith("Gamma"):
                return special.gammaincinv(shape, special.gammainc(a, z.item()))
            return special.betaincinv(shape, 0.7, special.betainc(a, 0.7, z.item()))

        expected = (quantile(a + h) - quantile(a - h)) / (2 * h)
        assert abs(slope.item() - expected) <= 1e-5 * abs(expected) + 1e-9
