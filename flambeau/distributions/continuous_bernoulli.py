"""ContinuousBernoulli: a Bernoulli likelihood for numbers between 0 and 1."""

import math

import flambeau as fl
from flambeau.distributions import constraints
from flambeau.distributions._chances import OfChance, floating
from flambeau.distributions.exp_family import ExponentialFamily
from flambeau.distributions.utils import broadcast_all, clamp_probs
from flambeau.nn.functional import binary_cross_entropy_with_logits
from flambeau.size import Size

__all__ = ["ContinuousBernoulli"]


class ContinuousBernoulli(OfChance, ExponentialFamily):
    """Density C(p) p^x (1 - p)^(1 - x) over [0, 1].

    G. Loaiza-Ganem, J. Cunningham, "The continuous Bernoulli", NeurIPS 2019. Between `lims`, near
    p = 1/2, series stand for what would be 0 / 0.
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    _mean_carrier_measure = 0
    has_rsample = True

    def __init__(self, probs=None, logits=None, lims=(0.499, 0.501), validate_args=None):
        self._set_chances(probs, logits, floating)
        if probs is not None:
            if (
                validate_args is not None
                and not self.arg_constraints["probs"].check(self.probs).all()
            ):
                raise ValueError("The parameter probs has invalid values")
            self.probs = clamp_probs(self.probs)
        self._lims = lims
        super().__init__(self._param.size(), validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        return self._expanded(ContinuousBernoulli, batch_shape, _instance)

    def _outside_unstable_region(self):
        return (self.probs <= self._lims[0]) | (self.probs > self._lims[1])

    def _cut_probs(self):
        return fl.where(self._outside_unstable_region(), self.probs,
                        fl.full_like(self.probs, self._lims[0]))  # fmt: skip

    def _cont_bern_log_norm(self):
        """log C = log(2 artanh(1 - 2p) / (1 - 2p))."""
        cut = self._cut_probs()
        below = fl.where(cut <= 0.5, cut, fl.zeros_like(cut))
        above = fl.where(cut >= 0.5, cut, fl.ones_like(cut))
        width = fl.where(cut <= 0.5, fl.log1p(-2.0 * below), fl.log(2.0 * above - 1.0))
        exact = fl.log(fl.abs(fl.log1p(-cut) - fl.log(cut))) - width
        x = (self.probs - 0.5).pow(2)
        series = math.log(2.0) + (4.0 / 3.0 + 104.0 / 45.0 * x) * x
        return fl.where(self._outside_unstable_region(), exact, series)

    @property
    def mean(self):
        cut = self._cut_probs()
        exact = cut / (2.0 * cut - 1.0) + 1.0 / (fl.log1p(-cut) - fl.log(cut))
        x = self.probs - 0.5
        series = 0.5 + (1.0 / 3.0 + 16.0 / 45.0 * x.pow(2)) * x
        return fl.where(self._outside_unstable_region(), exact, series)

    @property
    def stddev(self):
        return fl.sqrt(self.variance)

    @property
    def variance(self):
        cut = self._cut_probs()
        exact = cut * (cut - 1.0) / (1.0 - 2.0 * cut).pow(2)
        exact = exact + 1.0 / (fl.log1p(-cut) - fl.log(cut)).pow(2)
        x = (self.probs - 0.5).pow(2)
        series = 1.0 / 12.0 - (1.0 / 15.0 - 128.0 / 945.0 * x) * x
        return fl.where(self._outside_unstable_region(), exact, series)

    def sample(self, sample_shape=Size()):  # noqa: B008
        with fl.no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape=Size()):  # noqa: B008
        return self.icdf(fl.rand(self._extended_shape(sample_shape), dtype=self.probs.dtype))

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        likelihood = -binary_cross_entropy_with_logits(logits, value, reduction="none")
        return likelihood + self._cont_bern_log_norm()

    def cdf(self, value):
        if self._validate_args:
            self._validate_sample(value)
        cut = self._cut_probs()
        share = fl.pow(cut, value) * fl.pow(1.0 - cut, 1.0 - value) + cut - 1.0
        inside = fl.where(self._outside_unstable_region(), share / (2.0 * cut - 1.0), value)
        rest = fl.where(fl.ge(value, 1.0), fl.ones_like(inside), inside)
        return fl.where(fl.le(value, 0.0), fl.zeros_like(inside), rest)

    def icdf(self, value):
        cut = self._cut_probs()
        exact = fl.log1p(-cut + value * (2.0 * cut - 1.0)) - fl.log1p(-cut)
        exact = exact / (fl.log(cut) - fl.log1p(-cut))
        return fl.where(self._outside_unstable_region(), exact, value)

    def entropy(self):
        log0, log1 = fl.log1p(-self.probs), fl.log(self.probs)
        return self.mean * (log0 - log1) - self._cont_bern_log_norm() - log0

    @property
    def _natural_params(self):
        return (self.logits,)

    def _log_normalizer(self, x):
        """log((e^x - 1) / x)."""
        outside = (x <= self._lims[0] - 0.5) | (x > self._lims[1] - 0.5)
        cut = fl.where(outside, x, fl.full_like(x, self._lims[0] - 0.5))
        exact = fl.log(fl.abs(fl.expm1(cut))) - fl.log(fl.abs(cut))
        series = 0.5 * x + x.pow(2) / 24.0 - x.pow(4) / 2880.0
        return fl.where(outside, exact, series)
