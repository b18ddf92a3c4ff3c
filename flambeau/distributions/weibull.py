"""Weibull: times until failure."""

import flambeau as fl
from flambeau.distributions import constraints
from flambeau.distributions.exponential import Exponential
from flambeau.distributions.gumbel import euler_constant
from flambeau.distributions.transformed_distribution import TransformedDistribution
from flambeau.distributions.transforms import AffineTransform, PowerTransform
from flambeau.distributions.utils import broadcast_all

__all__ = ["Weibull"]


class Weibull(TransformedDistribution):
    """P(X > x) = exp(-(x / scale)^concentration)."""

    arg_constraints = {"scale": constraints.positive, "concentration": constraints.positive}
    support = constraints.positive

    def __init__(self, scale, concentration, validate_args=None):
        self.scale, self.concentration = broadcast_all(scale, concentration)
        self.concentration_reciprocal = self.concentration.reciprocal()
        base = Exponential(fl.ones_like(self.scale), validate_args=validate_args)
        super().__init__(base, self._steps(), validate_args=validate_args)

    def _steps(self):
        return [PowerTransform(exponent=self.concentration_reciprocal),
                AffineTransform(loc=0, scale=self.scale)]  # fmt: skip

    def expand(self, batch_shape, _instance=None):
        new = self._get_checked_instance(Weibull, _instance)
        new.scale = self.scale.expand(batch_shape)
        new.concentration = self.concentration.expand(batch_shape)
        new.concentration_reciprocal = new.concentration.reciprocal()
        new.transforms = new._steps()
        return super().expand(batch_shape, _instance=new)

    @property
    def mean(self):
        return self.scale * fl.exp(fl.lgamma(1 + self.concentration_reciprocal))

    @property
    def mode(self):
        inverse = self.concentration_reciprocal
        return self.scale * ((self.concentration - 1) / self.concentration) ** inverse

    @property
    def variance(self):
        inverse = self.concentration_reciprocal
        square = fl.exp(fl.lgamma(1 + 2 * inverse)) - fl.exp(2 * fl.lgamma(1 + inverse))
        return self.scale.pow(2) * square

    def entropy(self):
        inverse = self.concentration_reciprocal
        return euler_constant * (1 - inverse) + fl.log(self.scale * inverse) + 1
