"""Multinomial: how often each class comes in n draws."""

import flambeau as fl
from flambeau.distributions import constraints
from flambeau.distributions.binomial import Binomial
from flambeau.distributions.categorical import Categorical
from flambeau.distributions.distribution import Distribution
from flambeau.distributions.utils import broadcast_all
from flambeau.size import Size

__all__ = ["Multinomial"]


class Multinomial(Distribution):
    """Counts of each class among `total_count` draws."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}

    def __init__(self, total_count=1, probs=None, logits=None, validate_args=None):
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        self._categorical = Categorical(probs=probs, logits=logits)
        self._binomial = Binomial(total_count=total_count, probs=self.probs)
        batch = self._categorical.batch_shape
        super().__init__(batch, self._categorical.param_shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        new = self._get_checked_instance(Multinomial, _instance)
        new._categorical = self._categorical.expand(batch_shape)
        return self._expanded(Multinomial, batch_shape, new)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self):
        return constraints.multinomial(self.total_count)

    @property
    def mean(self):
        return self.probs * self.total_count

    @property
    def variance(self):
        return self.total_count * self.probs * (1 - self.probs)

    @property
    def logits(self):
        """The logarithms of the chances."""
        return self._categorical.logits

    @property
    def probs(self):
        """The chances."""
        return self._categorical.probs

    @property
    def param_shape(self):
        """The shape of probs and logits."""
        return self._categorical.param_shape

    def sample(self, sample_shape=Size()):  # noqa: B008
        sample_shape = tuple(sample_shape)
        drawn = self._categorical.sample(Size((self.total_count, *sample_shape)))
        drawn = drawn.movedim(0, -1)  # draws last
        counts = drawn.new_zeros(self._extended_shape(sample_shape))
        counts = counts.scatter_add(-1, drawn, fl.ones_like(drawn))
        return counts.type_as(self.probs)

    def entropy(self):
        """n H - log n! + Σ over classes of E log k!, each k binomial."""
        n = fl.tensor(self.total_count)
        first = n * self._categorical.entropy() - fl.lgamma(n + 1)
        support = self._binomial.enumerate_support(expand=False)[1:]
        chances = fl.exp(self._binomial.log_prob(support))
        return first + (chances * fl.lgamma(support + 1)).sum([0, -1])

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        ways = fl.lgamma(value.sum(-1) + 1) - fl.lgamma(value + 1).sum(-1)
        never = (value == 0) & (logits == -fl.inf)  # 0 · log 0 is 0
        return ways + (logits.masked_fill(never, 0.0) * value).sum(-1)
