"""Gamma: waiting times."""

import flambeau as fl
from flambeau.distributions import constraints
from flambeau.distributions.exp_family import ExponentialFamily
from flambeau.distributions.utils import broadcast_all
from flambeau.size import Size

__all__ = ["Gamma"]


class Gamma(ExponentialFamily):
    """Density rate^c x^(c - 1) exp(-rate x) / Γ(c), c the concentration."""

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, concentration, rate, validate_args=None):
        self.concentration, self.rate = broadcast_all(concentration, rate)
        super().__init__(self.concentration.size(), validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        parameters = {"concentration": 0, "rate": 0}  # Chi2 has other constraints
        return self._expanded(Gamma, batch_shape, _instance, parameters)

    @property
    def mean(self):
        return self.concentration / self.rate

    @property
    def mode(self):
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self):
        return self.concentration / self.rate.pow(2)

    def rsample(self, sample_shape=Size()):  # noqa: B008
        shape = self._extended_shape(sample_shape)
        drawn = fl._standard_gamma(self.concentration.expand(shape)) / self.rate.expand(shape)
        drawn.detach().clamp_(min=fl.finfo(drawn.dtype).tiny)  # no gradient for what is raised
        return drawn

    def log_prob(self, value):
        value = fl.as_tensor(value, dtype=self.rate.dtype)
        if self._validate_args:
            self._validate_sample(value)
        c, rate = self.concentration, self.rate
        return fl.xlogy(c, rate) + fl.xlogy(c - 1, value) - rate * value - fl.lgamma(c)

    def entropy(self):
        c = self.concentration
        return c - fl.log(self.rate) + fl.lgamma(c) + (1.0 - c) * fl.digamma(c)

    @property
    def _natural_params(self):
        return self.concentration - 1, -self.rate

    def _log_normalizer(self, x, y):
        return fl.lgamma(x + 1) + (x + 1) * fl.log(-y.reciprocal())

    def cdf(self, value):
        if self._validate_args:
            self._validate_sample(value)
        return fl.special.gammainc(self.concentration, self.rate * value)
