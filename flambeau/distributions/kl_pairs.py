"""KL(p || q) for pairs of families.

Most are cross-entropies: KL = -H(p) - E_p[log q], and E_p[log q] needs a few expectations of p: its
mean, variance, E log x, … . Where q is zero on a part of p's support, the divergence is infinite.
"""

import math

import flambeau as fl
from flambeau.distributions._covariance import half_log_det
from flambeau.distributions.bernoulli import Bernoulli
from flambeau.distributions.beta import Beta
from flambeau.distributions.binomial import Binomial
from flambeau.distributions.categorical import Categorical
from flambeau.distributions.cauchy import Cauchy
from flambeau.distributions.continuous_bernoulli import ContinuousBernoulli
from flambeau.distributions.dirichlet import Dirichlet
from flambeau.distributions.exp_family import ExponentialFamily
from flambeau.distributions.exponential import Exponential
from flambeau.distributions.gamma import Gamma
from flambeau.distributions.geometric import Geometric
from flambeau.distributions.gumbel import Gumbel
from flambeau.distributions.half_normal import HalfNormal
from flambeau.distributions.independent import Independent
from flambeau.distributions.kl import kl_divergence, register_kl
from flambeau.distributions.laplace import Laplace
from flambeau.distributions.lowrank_multivariate_normal import (
    LowRankMultivariateNormal,
    _batch_lowrank_mahalanobis,
)
from flambeau.distributions.multivariate_normal import MultivariateNormal, _batch_mahalanobis
from flambeau.distributions.normal import Normal
from flambeau.distributions.one_hot_categorical import OneHotCategorical
from flambeau.distributions.pareto import Pareto
from flambeau.distributions.poisson import Poisson
from flambeau.distributions.transformed_distribution import TransformedDistribution
from flambeau.distributions.uniform import Uniform
from flambeau.distributions.utils import _sum_rightmost, euler_constant
from flambeau.nn.functional import softplus

# ------------------------------------------------------------------ expectations


def mean_log(p):
    """E log x."""
    if isinstance(p, Beta):
        return p.concentration1.digamma() - (p.concentration1 + p.concentration0).digamma()
    if isinstance(p, Gamma):
        return p.concentration.digamma() - p.rate.log()
    if isinstance(p, Exponential):
        return -euler_constant - p.rate.log()
    if isinstance(p, Pareto):
        return p.scale.log() + p.alpha.reciprocal()
    return (_log_integral(p.high) - _log_integral(p.low)) / (p.high - p.low)  # Uniform


def _log_integral(x):
    """∫ log x."""
    return fl.xlogy(x, x) - x


def mean_log_rest(p):
    """E log(1 - x)."""
    if isinstance(p, Beta):
        return p.concentration0.digamma() - (p.concentration1 + p.concentration0).digamma()
    return (_log_integral(1 - p.low) - _log_integral(1 - p.high)) / (p.high - p.low)


def mean_decay(p, q):
    """E exp(-(x - q.loc) / q.scale), from the moment-generating function."""
    t = q.scale.reciprocal()
    at = (q.loc * t).exp()
    if isinstance(p, Exponential):
        return at * p.rate / (p.rate + t)
    if isinstance(p, Gamma):
        return at * (1 + t / p.rate).pow(-p.concentration)
    if isinstance(p, Normal):
        return (-(p.loc - q.loc) * t + (p.scale * t).pow(2) / 2).exp()
    if isinstance(p, Gumbel):
        return (-(p.loc - q.loc) * t + (1 + p.scale * t).lgamma()).exp()
    return at * ((-p.low * t).exp() - (-p.high * t).exp()) / (t * (p.high - p.low))  # Uniform


def mean_distance(p, q):
    """E |x - q.loc|."""
    away = (p.loc - q.loc).abs()
    if isinstance(p, Laplace):
        return p.scale * (-away / p.scale).exp() + away
    z = away / (p.scale * math.sqrt(2))  # Normal
    return p.scale * math.sqrt(2 / math.pi) * (-z * z).exp() + away * fl.erf(z)


# ------------------------------------------------------------------ E log q


def in_normal(p, q):
    square = (p.variance + (p.mean - q.loc).pow(2)) / q.scale.pow(2)
    return -0.5 * (math.log(2 * math.pi) + square) - q.scale.log()


def in_exponential(p, q):
    return q.rate.log() - q.rate * p.mean


def in_gamma(p, q):
    c, rate = q.concentration, q.rate
    return c * rate.log() - c.lgamma() + (c - 1) * mean_log(p) - rate * p.mean


def in_beta(p, q):
    a, b = q.concentration1, q.concentration0
    log_beta = a.lgamma() + b.lgamma() - (a + b).lgamma()
    return (a - 1) * mean_log(p) + (b - 1) * mean_log_rest(p) - log_beta


def in_continuous_bernoulli(p, q):
    return p.mean * q.logits + fl.log1p(-q.probs) + q._cont_bern_log_norm()


def in_gumbel(p, q):
    return -q.scale.log() - (p.mean - q.loc) / q.scale - mean_decay(p, q)


def in_laplace(p, q):
    return -(2 * q.scale).log() - mean_distance(p, q) / q.scale


def in_pareto(p, q):
    return q.alpha.log() + q.alpha * q.scale.log() - (q.alpha + 1) * mean_log(p)


def in_uniform(p, q):
    return -(q.high - q.low).log()


def in_poisson(p, q):
    """Of p whose values are 0 and 1, so that log k! is 0."""
    return p.mean * q.rate.log() - q.rate


# Where q has no density on a part of p's support: bounds of p's support beside those of q.
BOUNDS = {
    Beta: lambda d: (0.0, 1.0),
    ContinuousBernoulli: lambda d: (0.0, 1.0),
    Uniform: lambda d: (d.low, d.high),
    Pareto: lambda d: (d.scale, math.inf),
    Exponential: lambda d: (0.0, math.inf),
    Gamma: lambda d: (0.0, math.inf),
}


def sticks_out(p, q):
    """Whether p's support is not inside q's, as a tensor or a bool."""
    low, high = BOUNDS[type_in(p)](p)
    q_low, q_high = BOUNDS[type_in(q)](q)
    return as_mask(low < q_low) | as_mask(high > q_high)


def type_in(d):
    return next(kind for kind in type(d).__mro__ if kind in BOUNDS)


def as_mask(x):
    return x if fl.is_tensor(x) else fl.tensor(x)


def infinite(p, q):
    """Infinity, of the common batch shape."""
    shape = fl.broadcast_shapes(p.batch_shape, q.batch_shape)
    return fl.full(shape, math.inf, dtype=p.mean.dtype)


def by_cross_entropy(log_q, bounded=False):
    """KL from E log q; infinite where p's support is not inside q's, if that may be."""

    def divergence(p, q):
        result = -p.entropy() - log_q(p, q)
        if bounded:
            result = fl.where(sticks_out(p, q), math.inf, result)
        return result

    return divergence


CROSS = {
    in_normal: (Beta, ContinuousBernoulli, Exponential, Gamma, Gumbel, Laplace, Pareto, Uniform),
    in_exponential: (Beta, ContinuousBernoulli, Gamma, Pareto),
    in_gamma: (Beta, Exponential, Pareto),
    in_continuous_bernoulli: (Beta, ContinuousBernoulli),
    in_gumbel: (Exponential, Gamma, Gumbel, Normal, Uniform),
    in_laplace: (Laplace, Normal),
}
TARGETS = {
    in_normal: Normal, in_exponential: Exponential, in_gamma: Gamma, in_beta: Beta,
    in_continuous_bernoulli: ContinuousBernoulli, in_gumbel: Gumbel, in_laplace: Laplace,
    in_pareto: Pareto, in_uniform: Uniform, in_poisson: Poisson,
}  # fmt: skip
BOUNDED = {
    in_beta: (Uniform,),
    in_continuous_bernoulli: (Uniform,),
    in_exponential: (Uniform,),
    in_gamma: (Uniform,),
    in_pareto: (Pareto, Uniform),
    in_uniform: (Beta, ContinuousBernoulli, Uniform),
}
INFINITE = {
    Beta: (Pareto,),
    ContinuousBernoulli: (Pareto,),
    Exponential: (Beta, ContinuousBernoulli, Pareto, Uniform),
    Gamma: (Beta, ContinuousBernoulli, Pareto, Uniform),
    Gumbel: (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform),
    Laplace: (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform),
    Normal: (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform),
    Pareto: (Beta, ContinuousBernoulli, Uniform),
    Poisson: (Bernoulli, Binomial),
}

for _log_q, _kinds in CROSS.items():
    for _kind in _kinds:
        register_kl(_kind, TARGETS[_log_q])(by_cross_entropy(_log_q))
for _log_q, _kinds in BOUNDED.items():
    for _kind in _kinds:
        register_kl(_kind, TARGETS[_log_q])(by_cross_entropy(_log_q, bounded=True))
for _kind, _kinds in INFINITE.items():
    for _other in _kinds:
        register_kl(_kind, _other)(infinite)
register_kl(Bernoulli, Poisson)(by_cross_entropy(in_poisson))


# ------------------------------------------------------------------ the same family


@register_kl(Bernoulli, Bernoulli)
def _kl_bernoulli_bernoulli(p, q):
    def part(chance, other, p_logits, q_logits):
        term = chance * (softplus(-q_logits) - softplus(-p_logits))
        term = fl.where(other == 0, math.inf, term)
        return fl.where(chance == 0, 0.0, term)

    return part(p.probs, q.probs, p.logits, q.logits) + part(
        1 - p.probs, 1 - q.probs, -p.logits, -q.logits
    )


@register_kl(Beta, Beta)
def _kl_beta_beta(p, q):
    return _kl_dirichlet_dirichlet(p._dirichlet, q._dirichlet)


@register_kl(Binomial, Binomial)
def _kl_binomial_binomial(p, q):
    if (p.total_count < q.total_count).any():
        raise NotImplementedError(
            "KL between Binomials where q.total_count > p.total_count is not implemented"
        )
    trial = p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p()
    return fl.where(p.total_count > q.total_count, math.inf, p.total_count * trial)


@register_kl(Categorical, Categorical)
def _kl_categorical_categorical(p, q):
    term = p.probs * (p.logits - q.logits)
    term = fl.where((q.probs == 0).expand_as(term), math.inf, term)
    return fl.where((p.probs == 0).expand_as(term), 0.0, term).sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _kl_onehotcategorical_onehotcategorical(p, q):
    return _kl_categorical_categorical(p._categorical, q._categorical)


@register_kl(Cauchy, Cauchy)
def _kl_cauchy_cauchy(p, q):
    """F. Chyzak, F. Nielsen, 2019."""
    top = ((p.scale + q.scale).pow(2) + (p.loc - q.loc).pow(2)).log()
    return top - (4 * p.scale * q.scale).log()


@register_kl(Dirichlet, Dirichlet)
def _kl_dirichlet_dirichlet(p, q):
    a, b = p.concentration, q.concentration
    totals = a.sum(-1).lgamma() - b.sum(-1).lgamma()
    each = (b.lgamma() - a.lgamma()).sum(-1)
    slopes = (a - b) * (a.digamma() - a.sum(-1).digamma().unsqueeze(-1))
    return totals + each + slopes.sum(-1)


@register_kl(Exponential, Exponential)
def _kl_exponential_exponential(p, q):
    ratio = q.rate / p.rate
    return -ratio.log() + ratio - 1


@register_kl(ExponentialFamily, ExponentialFamily)
def _kl_expfamily_expfamily(p, q):
    """The Bregman divergence of the log-normaliser (F. Nielsen, R. Nock, ICIP 2010)."""
    if type(p) is not type(q):
        raise NotImplementedError("The cross KL-divergence between different exponential families "
                                  "cannot be computed using Bregman divergences")  # fmt: skip
    ours = [x.detach().requires_grad_() for x in p._natural_params]
    theirs = q._natural_params
    with fl.enable_grad():
        normalizer = p._log_normalizer(*ours)
        slopes = fl.autograd.grad(normalizer.sum(), ours, create_graph=True)
    result = q._log_normalizer(*theirs) - normalizer
    for a, b, slope in zip(ours, theirs, slopes):
        result = result - _sum_rightmost((b - a) * slope, len(q.event_shape))
    return result


@register_kl(Gamma, Gamma)
def _kl_gamma_gamma(p, q):
    return (q.concentration * (p.rate / q.rate).log()
            + q.concentration.lgamma() - p.concentration.lgamma()
            + (p.concentration - q.concentration) * p.concentration.digamma()
            + (q.rate - p.rate) * (p.concentration / p.rate))  # fmt: skip


@register_kl(Geometric, Geometric)
def _kl_geometric_geometric(p, q):
    return -p.entropy() - fl.log1p(-q.probs) / p.probs - q.logits


@register_kl(HalfNormal, HalfNormal)
def _kl_halfnormal_halfnormal(p, q):
    return _kl_normal_normal(p.base_dist, q.base_dist)


@register_kl(Normal, Normal)
def _kl_normal_normal(p, q):
    ratio = (p.scale / q.scale).pow(2)
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).pow(2) - 1 - ratio.log())


@register_kl(Poisson, Poisson)
def _kl_poisson_poisson(p, q):
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


# ------------------------------------------------------------------ normal vectors


def _check_sizes(p, q, names):
    if p.event_shape != q.event_shape:
        raise ValueError(f"KL-divergence between two {names} with different event shapes cannot be "
                         "computed")  # fmt: skip


def _squares(lower, columns):
    """The trace of (L L')⁻¹ C C', as squares of L⁻¹ C."""
    return fl.linalg.solve_triangular(lower, columns, upper=False).pow(2).sum((-2, -1))


def _shared(*matrices):
    """Matrices with the same batch dims."""
    batch = fl.broadcast_shapes(*(m.shape[:-2] for m in matrices))
    return [m.expand(tuple(batch) + tuple(m.shape[-2:])) for m in matrices]


@register_kl(MultivariateNormal, MultivariateNormal)
def _kl_multivariatenormal_multivariatenormal(p, q):
    _check_sizes(p, q, "Multivariate Normals")
    ours, theirs = p._unbroadcasted_scale_tril, q._unbroadcasted_scale_tril
    trace = _squares(*reversed(_shared(ours, theirs)))
    distance = _batch_mahalanobis(theirs, q.loc - p.loc)
    halves = half_log_det(theirs) - half_log_det(ours)
    return halves + 0.5 * (trace + distance - p.event_shape[0])


def _log_det(d):
    return d._log_det() if isinstance(d, LowRankMultivariateNormal) else 2 * half_log_det(
        d._unbroadcasted_scale_tril
    )  # fmt: skip


@register_kl(MultivariateNormal, LowRankMultivariateNormal)
def _kl_multivariatenormal_lowrankmultivariatenormal(p, q):
    _check_sizes(p, q, "(Low Rank) Multivariate Normals")
    return _to_low_rank(p, q, [p._unbroadcasted_scale_tril])


@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
def _kl_lowrankmultivariatenormal_lowrankmultivariatenormal(p, q):
    _check_sizes(p, q, "Low Rank Multivariate Normals")
    columns = [p._unbroadcasted_cov_factor, p._unbroadcasted_cov_diag.sqrt().diag_embed()]
    return _to_low_rank(p, q, columns)


def _to_low_rank(p, q, columns):
    """columns: matrices C whose C C' add up to p's covariance. By Woodbury's identity for q's."""
    diagonal = q._unbroadcasted_cov_diag
    distance = _batch_lowrank_mahalanobis(
        q._unbroadcasted_cov_factor, diagonal, q.loc - p.loc, q._capacitance_tril
    )
    scaled = q._unbroadcasted_cov_factor.mT / diagonal.unsqueeze(-2)
    trace = 0
    for c in columns:
        trace = trace + (c.pow(2) / diagonal.unsqueeze(-1)).sum((-2, -1))
        trace = trace - _squares(*_shared(q._capacitance_tril, scaled @ c))
    return 0.5 * (_log_det(q) - _log_det(p) + trace + distance - p.event_shape[0])


@register_kl(LowRankMultivariateNormal, MultivariateNormal)
def _kl_lowrankmultivariatenormal_multivariatenormal(p, q):
    _check_sizes(p, q, "(Low Rank) Multivariate Normals")
    lower = q._unbroadcasted_scale_tril
    trace = sum(_squares(*_shared(lower, c)) for c in (
        p._unbroadcasted_cov_factor, p._unbroadcasted_cov_diag.sqrt().diag_embed()
    ))  # fmt: skip
    distance = _batch_mahalanobis(lower, q.loc - p.loc)
    return 0.5 * (_log_det(q) - _log_det(p) + trace + distance - p.event_shape[0])


# ------------------------------------------------------------------ of other distributions


@register_kl(Independent, Independent)
def _kl_independent_independent(p, q):
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError
    return _sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(TransformedDistribution, TransformedDistribution)
def _kl_transformed_transformed(p, q):
    """The same invertible transforms change nothing."""
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError
    return kl_divergence(p.base_dist, q.base_dist)
