"""Binomial: how many of n trials succeed."""

import flambeau as fl
from flambeau.distributions import constraints
from flambeau.distributions._chances import OfChance
from flambeau.distributions.distribution import Distribution
from flambeau.distributions.utils import broadcast_all
from flambeau.size import Size

__all__ = ["Binomial"]


def _positive_part(x):
    """max(x, 0), with a derivative of 1/2 at 0."""
    return (x.clamp(min=0) + x - x.clamp(max=0)) / 2


class Binomial(OfChance, Distribution):
    """Successes among `total_count` trials of the chance `probs`."""

    arg_constraints = {
        "total_count": constraints.nonnegative_integer,
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    has_enumerate_support = True

    def __init__(self, total_count=1, probs=None, logits=None, validate_args=None):
        def made(chance):
            self.total_count, chance = broadcast_all(total_count, chance)
            self.total_count = self.total_count.type_as(chance)
            return chance

        self._set_chances(probs, logits, made)
        super().__init__(self._param.size(), validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        return self._expanded(Binomial, batch_shape, _instance)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self):
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self):
        return self.total_count * self.probs

    @property
    def mode(self):
        return ((self.total_count + 1) * self.probs).floor().clamp(max=self.total_count)

    @property
    def variance(self):
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape=Size()):  # noqa: B008
        shape = self._extended_shape(sample_shape)
        with fl.no_grad():
            return fl.binomial(self.total_count.expand(shape), self.probs.expand(shape))

    def log_prob(self, value):
        """log n! / (k! (n - k)!) + k logit - n log(1 + exp(logit))."""
        if self._validate_args:
            self._validate_sample(value)
        n, logits = self.total_count, self.logits
        ways = fl.lgamma(n + 1) - fl.lgamma(value + 1) - fl.lgamma(n - value + 1)
        log_miss = n * _positive_part(logits) + n * fl.log1p(fl.exp(-fl.abs(logits)))
        return value * logits + ways - log_miss

    def entropy(self):
        self._one_count("entropy")
        log_prob = self.log_prob(self.enumerate_support(False))
        return -(fl.exp(log_prob) * log_prob).sum(0)

    def enumerate_support(self, expand=True):
        total = self._one_count("enumerate_support")
        values = fl.arange(1 + total, dtype=self._param.dtype)
        values = values.view((-1,) + (1,) * len(self._batch_shape))
        return values.expand((-1,) + self._batch_shape) if expand else values

    def _one_count(self, name):
        total = int(self.total_count.max())
        if self.total_count.min() != total:
            raise NotImplementedError(f"Inhomogeneous total count not supported by `{name}`.")
        return total
