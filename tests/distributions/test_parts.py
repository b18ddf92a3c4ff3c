"""Constraints, transforms, registries, helpers and refusals beside PyTorch's."""

from __future__ import annotations

import pickle

import pytest

import flambeau
from tests.beside import same

BEFORE = """
import warnings
warnings.simplefilter("ignore")
D = torch.distributions
C, U = D.constraints, D.utils
x=torch.tensor([[.2,.8],[1.,1.]]); v=torch.tensor([.3,-.2])
cs=[C.real,C.real_vector,C.positive,C.nonnegative,C.unit_interval,C.interval(0,2),C.half_open_interval(0,1),C.less_than(2),C.greater_than_eq(1.),C.simplex,C.stack([C.real,C.positive])]
ts=[D.ExpTransform(),D.AffineTransform(1.,-2.),D.AffineTransform(torch.tensor([1.,2.]),2.,event_dim=1),D.SigmoidTransform(),D.SoftplusTransform(),D.TanhTransform(),D.StickBreakingTransform(),D.ComposeTransform([D.ExpTransform(),D.PowerTransform(2.)]),D.IndependentTransform(D.ExpTransform(),1),D.CumulativeDistributionTransform(D.Normal(0.,1.)),D.identity_transform]
class X(D.Normal):
    def __init__(s): super().__init__(0.,1.)
"""  # noqa: E501
ASKED = r"""
C.real.check(x)
[c.check(x).tolist() for c in [C.boolean,C.simplex,C.one_hot,C.real_vector,C.nonnegative_integer,C.multinomial(2),C.square]]
[bool(c.check(x)) for c in [C.corr_cholesky,C.lower_cholesky,C.lower_triangular,C.positive_definite,C.positive_semidefinite,C.symmetric]]
[bool(c.check(torch.eye(2))) for c in [C.corr_cholesky,C.lower_cholesky,C.lower_triangular,C.positive_definite,C.positive_semidefinite,C.symmetric]]
C.stack([C.real,C.unit_interval]).check(x)
C.cat([C.real,C.simplex],0,[1,1]).check(x)
C.dependent.check(x)
C.dependent.event_dim
C.dependent.is_discrete
C.Constraint().check(1)
C.dependent(is_discrete=True,event_dim=1).event_dim
C.independent(C.real,1).check(torch.tensor(1.))
repr(D.Uniform.support)
D.Uniform.support.event_dim
repr([C.cat([C.real,C.positive],0,[1,1]), C.stack([C.real,C.positive]), C.independent(C.real,2), C.MixtureSameFamilyConstraint(C.real), C.interval(0,2), C.half_open_interval(0,1), C.multinomial(3), C.integer_interval(0,3), C.positive_definite, C._IntegerLessThan(2)])
[repr(D.biject_to(c)) for c in cs]
[repr(D.transform_to(c)) for c in cs]
D.biject_to(C.lower_cholesky)
D.biject_to(3)
D.biject_to.register(3, lambda c: 1)
[D.biject_to(c)(torch.tensor([.3,-.2])).tolist() for c in cs]
[D.biject_to(c).inv(D.biject_to(c)(torch.tensor([.3,-.2]))).tolist() for c in cs]
[D.transform_to(c)(x).tolist() for c in [C.simplex,C.lower_cholesky,C.positive_definite,C.positive_semidefinite]]
[t(v).tolist() for t in ts]
[t.inv(t(v)).tolist() for t in ts]
[t.log_abs_det_jacobian(v,t(v)).tolist() for t in ts]
[repr(t)+repr(t.inv)+str(t.bijective) for t in ts]
[repr((t.domain,t.codomain)) for t in ts]
D.Transform(cache_size=3)
repr(D.ExpTransform(1).with_cache(1))
D.ReshapeTransform((2,),(3,))
D.IndependentTransform(3,1)
D.AbsTransform().log_abs_det_jacobian(torch.tensor(1.),torch.tensor(2.))
D.Transform()(torch.tensor(1.))
D.CatTransform([3])
D.StickBreakingTransform().forward_shape(())
tuple(D.StickBreakingTransform().forward_shape((3,)))
tuple(D.CorrCholeskyTransform().forward_shape((3,)))
D.CorrCholeskyTransform().forward_shape((4,))
D.CorrCholeskyTransform().inverse_shape((4,3))
D.ReshapeTransform((2,),(1,2)).forward_shape((3,))
D.CatTransform([D.ExpTransform(),D.identity_transform],dim=0,lengths=[1,1])(x).tolist()
D.CatTransform([D.ExpTransform(),D.AffineTransform(1.,2.)],dim=0,lengths=[1,1]).log_abs_det_jacobian(x,x).tolist()
D.StackTransform([D.ExpTransform(),D.AffineTransform(1.,2.)],dim=-1)(x).tolist()
D.StackTransform([D.ExpTransform(),D.AffineTransform(1.,2.)],dim=-1).log_abs_det_jacobian(x,x).tolist()
D.ReshapeTransform((2,),(1,2))(x).tolist()
D.CorrCholeskyTransform().inv(D.CorrCholeskyTransform()(torch.tensor([.3,-.2,.8]))).tolist()
D.CorrCholeskyTransform().log_abs_det_jacobian(torch.tensor([.3,-.2,.8]),D.CorrCholeskyTransform()(torch.tensor([.3,-.2,.8]))).tolist()
(lambda t,z: t.inv(t(z)) is z)(D.ExpTransform(cache_size=1), x)
U.probs_to_logits(torch.tensor([.1,.9,0.,1.]))
U.probs_to_logits(torch.tensor([.1,.9,0.,1.]),True)
U.tril_matrix_to_vec(torch.arange(9.).view(3,3),-1)
U.tril_matrix_to_vec(torch.arange(9.).view(3,3),5)
U.vec_to_tril_matrix(torch.arange(4.),1)
U.vec_to_tril_matrix(torch.arange(6.),0)
U.vec_to_tril_matrix(torch.arange(3.),-1)
U.vec_to_tril_matrix(torch.arange(4.),0)
U.broadcast_all('a',2)
U.broadcast_all(torch.tensor(1.,dtype=torch.float64),2)
repr(D.Normal(0.,1.))
repr(D.Normal(torch.tensor([0.]),torch.tensor([1.])))
D.Normal(0.,-1.)
D.Normal(torch.tensor([1.,2.]),torch.tensor([1.,-1.]))
D.Normal(0.,1.).log_prob(1.)
D.Normal(torch.zeros(3),1.).log_prob(torch.zeros(2))
D.Dirichlet(torch.ones(3)).log_prob(torch.ones(2)/2)
D.Dirichlet(torch.ones(3)).log_prob(torch.ones(3))
D.Dirichlet(torch.tensor(1.))
D.Bernoulli(.5,.5)
D.Bernoulli(2.)
D.Categorical(torch.tensor(1.))
D.Categorical(torch.tensor([-1.,2.]))
D.Categorical(torch.ones(3)).log_prob(torch.tensor(3))
D.Geometric(0.)
D.NegativeBinomial(1.,1.)
D.Binomial(torch.tensor([3,4]),torch.tensor([.1,.2])).enumerate_support()
D.Binomial(3,torch.tensor([.1,.2])).entropy()
D.Multinomial(torch.tensor(3),torch.ones(2))
D.Multinomial(3,torch.ones(2)).entropy()
D.Multinomial(3,torch.ones(2)).log_prob(torch.tensor([1.,1.]))
D.Multinomial(3,torch.ones(2)).rsample()
D.Normal(0.,1.).enumerate_support()
D.Distribution().sample()
D.Distribution().sample_n(2)
D.Independent(D.Normal(0.,1.),1)
D.kl_divergence(D.Normal(0.,1.),D.Bernoulli(.5))
D.kl_divergence(D.Normal(0.,1.),D.Weibull(1.,1.))
D.kl_divergence(D.Chi2(1.),D.Gamma(1.,2.))
D.Distribution.set_default_validate_args(3)
D.TransformedDistribution(D.Normal(0.,1.),3)
D.TransformedDistribution(D.Normal(0.,1.),[D.SoftmaxTransform()])
D.MultivariateNormal(torch.zeros(2))
D.MultivariateNormal(torch.zeros(2),-torch.eye(2))
D.MultivariateNormal(torch.zeros(2),scale_tril=torch.tensor(1.))
D.LowRankMultivariateNormal(torch.zeros(2),torch.ones(3,1),torch.ones(2))
D.LKJCholesky(1)
D.LKJCholesky(3).log_prob(torch.ones(3,3))
D.MixtureSameFamily(D.Categorical(torch.ones(2)),D.Normal(torch.zeros(3),1.))
D.Uniform(1.,0.)
D.Uniform(0.,1.,validate_args=False).log_prob(torch.tensor(2.))
D.Wishart(torch.tensor(1.),torch.eye(2))
D.Wishart(3,precision_matrix=torch.eye(2)).mean
D.Gamma(torch.tensor(2.,dtype=torch.float64),1.).sample((2,))
D.Normal(1,2).sample((2,))
X().expand((2,))
D.Bernoulli(.5).cdf(torch.tensor(1.))
D.Poisson(torch.tensor(0.)).log_prob(torch.tensor(0.))
D.Categorical(torch.tensor([0.,1.])).entropy()
D.StudentT(torch.tensor(3.)).expand((2,)).log_prob(torch.zeros(2))
hash(D.ExpTransform())
[D.ExpTransform() == D.ExpTransform(), D.AffineTransform(1, 2) == D.AffineTransform(1, 3)]
""".strip().splitlines()  # noqa: E501 programs, one a line


@pytest.mark.parametrize("asked", ASKED)
def test_the_same(asked: str) -> None:
    same(BEFORE, f"r = {asked}", "r.tolist() if hasattr(r, 'tolist') else r", tolerance=1e-5)


def test_distributions_can_be_pickled() -> None:
    """Inverses too, which in PyTorch forget what they invert."""
    d = flambeau.distributions.Gumbel(0.0, 1.0)
    again = pickle.loads(pickle.dumps(d))
    value = flambeau.tensor(0.4)
    assert again.cdf(value).item() == d.cdf(value).item()
    assert repr(again) == repr(d)


def test_the_package_is_imported_when_asked_for() -> None:
    import subprocess
    import sys

    code = "import flambeau, sys; print('flambeau.distributions' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
