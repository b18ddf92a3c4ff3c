"""kl_divergence of all registered pairs beside PyTorch's."""

from __future__ import annotations

from itertools import product

import pytest

import flambeau
from tests.beside import oracle, same

OF = {
    "Normal": [
        "Normal(t([0.,1.]),t([1.,2.]))",
        "Normal(t([.5,-1.]),t([2.,.7]))",
    ],
    "Bernoulli": [
        "Bernoulli(t([.3,.6]))",
        "Bernoulli(t([.5,1.]))",
        "Bernoulli(t([0.,1.]))",
    ],
    "Beta": [
        "Beta(t([.5,2.]),t([1.5,3.]))",
        "Beta(t([1.5,2.5]),t([.5,1.]))",
    ],
    "Binomial": [
        "Binomial(5,t([.3,.6]))",
        "Binomial(4,t([.4,.6]))",
        "Binomial(5,t([.4,.6]))",
    ],
    "Categorical": [
        "Categorical(t([.3,.6]))",
        "Categorical(t([1.,0.]))",
    ],
    "Cauchy": [
        "Cauchy(t([0.,1.]),t([1.,2.]))",
        "Cauchy(t([.5,-1.]),t([2.,.7]))",
    ],
    "ContinuousBernoulli": [
        "ContinuousBernoulli(t([.3,.5]))",
        "ContinuousBernoulli(t([.9,.2]))",
    ],
    "Dirichlet": [
        "Dirichlet(t([.5,1.,2.]))",
        "Dirichlet(t([1.5,.3,2.]))",
    ],
    "Exponential": [
        "Exponential(t([1.,2.5]))",
        "Exponential(t([.4,1.]))",
    ],
    "Gamma": [
        "Gamma(t([.5,3.]),t([1.,2.]))",
        "Gamma(t([1.5,1.]),t([.3,4.]))",
    ],
    "Geometric": [
        "Geometric(t([.3,.6]))",
        "Geometric(t([.5,.2]))",
    ],
    "Gumbel": [
        "Gumbel(t([0.,1.]),t([1.,2.]))",
        "Gumbel(t([.5,-1.]),t([2.,.7]))",
    ],
    "HalfNormal": [
        "HalfNormal(t([1.,2.]))",
        "HalfNormal(t([.5,3.]))",
    ],
    "Independent": [
        "Independent(D.Normal(t([0.,1.]), t([1.,2.])),1)",
        "Independent(D.Normal(t([0.5,1.]), t([.3,2.])),1)",
    ],
    "Laplace": [
        "Laplace(t([0.,1.]),t([1.,2.]))",
        "Laplace(t([.5,-1.]),t([2.,.7]))",
    ],
    "LowRankMultivariateNormal": [
        "LowRankMultivariateNormal(t([0.,1.]),t([[1.],[2.]]),t([1.,2.]))",
        "LowRankMultivariateNormal(t([[0.5,1.],[1.,2.]]),t([[.3],[1.]]),t([1.5,.7]))",
    ],
    "MultivariateNormal": [
        "MultivariateNormal(t([0.,1.]),t([[2.,.5],[.5,1.]]))",
        "MultivariateNormal(t([[0.5,1.],[2.,3.]]),t([[1.,.2],[.2,1.5]]))",
    ],
    "OneHotCategorical": [
        "OneHotCategorical(t([.3,.6]))",
        "OneHotCategorical(t([1.,.2]))",
    ],
    "Pareto": [
        "Pareto(t([1.,2.]),t([3.,2.5]))",
        "Pareto(t([.5,3.]),t([2.,.7]))",
    ],
    "Poisson": [
        "Poisson(t([1.,20.]))",
        "Poisson(t([3.,10.]))",
    ],
    "TransformedDistribution": [
        "LogNormal(t([0.,1.]),t([1.,.5]))",
        "LogNormal(t([0.5,1.]),t([2.,.5]))",
    ],
    "Uniform": [
        "Uniform(t([0.1,1.]),t([.9,4.]))",
        "Uniform(t([-.5,.5]),t([1.,4.]))",
        "Uniform(t([1.,3.]),t([2.,4.]))",
    ],
    "ExponentialFamily": [
        "Gamma(t([.5,3.]),t([1.,2.]))",
    ],
}


def pairs(torch) -> list[tuple[str, str]]:
    return sorted((p.__name__, q.__name__) for p, q in torch.distributions.kl._KL_REGISTRY)


def test_the_same_pairs_are_registered() -> None:
    assert pairs(flambeau) == pairs(oracle)


@pytest.mark.parametrize("pair", pairs(oracle), ids="-".join)
def test_divergences(pair: tuple[str, str]) -> None:
    for p, q in product(OF[pair[0]], OF[pair[1]]):
        same("D, t = torch.distributions, torch.tensor", f"p, q = D.{p}, D.{q}",
             "D.kl_divergence(p, q).tolist()", tolerance=1e-4, words=1)  # fmt: skip


def test_a_function_of_the_user() -> None:
    same(
        "D = torch.distributions",
        "class Mine(D.Normal): pass",
        "@D.register_kl(Mine, D.Normal)\ndef kl(p, q): return 'mine'",
        "[D.kl_divergence(Mine(0., 1.), D.Normal(0., 1.)), "
        "D.kl_divergence(D.Normal(0., 1.), Mine(0., 1.)).item()]",
    )
