"""GeneralizedPareto: what is beyond a threshold."""

import flambeau as fl
from flambeau.distributions import constraints
from flambeau.distributions.distribution import Distribution
from flambeau.distributions.utils import broadcast_all
from flambeau.size import Size

__all__ = ["GeneralizedPareto"]


class GeneralizedPareto(Distribution):
    """Survival (1 + k z)^(-1 / k), z = (x - loc) / scale, k the concentration; exp(-z) for 0."""

    arg_constraints = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "concentration": constraints.real,
    }
    has_rsample = True

    def __init__(self, loc, scale, concentration, validate_args=None):
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(self.loc.size(), validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        return self._expanded(GeneralizedPareto, batch_shape, _instance)

    def rsample(self, sample_shape=Size()):  # noqa: B008
        return self.icdf(fl.rand(self._extended_shape(sample_shape), dtype=self.loc.dtype))

    def _z(self, x):
        return (x - self.loc) / self.scale

    def _split(self):
        """Where k counts as 0, and k with 1 in these places."""
        zero = fl.isclose(self.concentration, fl.zeros_like(self.concentration))
        return zero, fl.where(zero, fl.ones_like(self.concentration), self.concentration)

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        z, (zero, k) = self._z(value), self._split()
        return fl.where(zero, -z, -(1 + 1 / k) * fl.log1p(k * z)) - fl.log(self.scale)

    def log_survival_function(self, value):
        """log P(X > value)."""
        if self._validate_args:
            self._validate_sample(value)
        z, (zero, k) = self._z(value), self._split()
        return fl.where(zero, -z, -fl.log1p(k * z) / k)

    def log_cdf(self, value):
        """log P(X ≤ value)."""
        return fl.log1p(-fl.exp(self.log_survival_function(value)))

    def cdf(self, value):
        return fl.exp(self.log_cdf(value))

    def icdf(self, value):
        log_left, (zero, k) = fl.log1p(-value), self._split()
        return self.loc + self.scale * fl.where(zero, -log_left, fl.expm1(-k * log_left) / k)

    @property
    def mean(self):
        k = self.concentration
        valid = k < 1
        mean = self.loc + self.scale / (1 - fl.where(valid, k, fl.full_like(k, 0.5)))
        return fl.where(valid, mean, fl.full_like(mean, fl.inf))

    @property
    def variance(self):
        k = self.concentration
        valid = k < 0.5
        safe = fl.where(valid, k, fl.full_like(k, 0.25))
        variance = self.scale**2 / ((1 - safe) ** 2 * (1 - 2 * safe))
        return fl.where(valid, variance, fl.full_like(variance, fl.inf))

    def entropy(self):
        return fl.log(self.scale) + self.concentration + 1

    @property
    def mode(self):
        return self.loc

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self):
        bounded = self.concentration < 0
        end = self.loc - self.scale / self.concentration
        upper = fl.where(bounded, end, fl.full_like(self.loc, fl.inf))
        return constraints.interval(self.loc, upper)
