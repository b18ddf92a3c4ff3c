"""NegativeBinomial: successes before the n-th failure."""

import flambeau as fl
from flambeau.distributions import constraints
from flambeau.distributions._chances import OfChance
from flambeau.distributions.distribution import Distribution
from flambeau.distributions.gamma import Gamma
from flambeau.distributions.utils import broadcast_all
from flambeau.nn.functional import logsigmoid
from flambeau.size import Size

__all__ = ["NegativeBinomial"]


class NegativeBinomial(OfChance, Distribution):
    """Successes of chance `probs` before `total_count` failures, which need be no whole number."""

    arg_constraints = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer

    def __init__(self, total_count, probs=None, logits=None, validate_args=None):
        def made(chance):
            self.total_count, chance = broadcast_all(total_count, chance)
            self.total_count = self.total_count.type_as(chance)
            return chance

        self._set_chances(probs, logits, made)
        super().__init__(self._param.size(), validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        new = self._get_checked_instance(NegativeBinomial, _instance)
        return self._expanded(NegativeBinomial, batch_shape, new)

    @property
    def mean(self):
        return self.total_count * fl.exp(self.logits)

    @property
    def mode(self):
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @property
    def variance(self):
        return self.mean / fl.sigmoid(-self.logits)

    @property
    def _gamma(self):
        """What the Poisson rate is drawn from."""
        return Gamma(self.total_count, fl.exp(-self.logits), validate_args=False)

    def sample(self, sample_shape=Size()):  # noqa: B008
        with fl.no_grad():
            return fl.poisson(self._gamma.sample(sample_shape))

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        n = self.total_count
        density = n * logsigmoid(-self.logits) + value * logsigmoid(self.logits)
        ways = fl.lgamma(n + value) - fl.lgamma(1.0 + value) - fl.lgamma(n)
        return density + ways.masked_fill(n + value == 0.0, 0.0)
