"""MixtureSameFamily: a class is drawn, then a number of its distribution."""

import flambeau as fl
from flambeau.distributions import constraints
from flambeau.distributions.categorical import Categorical
from flambeau.distributions.constraints import MixtureSameFamilyConstraint
from flambeau.distributions.distribution import Distribution
from flambeau.size import Size

__all__ = ["MixtureSameFamily"]


class MixtureSameFamily(Distribution):
    """A mixture; the components are the last batch dim of one distribution."""

    arg_constraints = {}
    has_rsample = False

    def __init__(self, mixture_distribution, component_distribution, validate_args=None):
        mixture, component = mixture_distribution, component_distribution
        if not isinstance(mixture, Categorical):
            raise ValueError(" The Mixture distribution needs to be an  instance of "
                             "torch.distributions.Categorical")  # fmt: skip
        if not isinstance(component, Distribution):
            raise ValueError("The Component distribution needs to be an instance of "
                             "torch.distributions.Distribution")  # fmt: skip
        ours, theirs = mixture.batch_shape, component.batch_shape[:-1]
        for a, b in zip(reversed(ours), reversed(theirs)):
            if a != 1 and b != 1 and a != b:
                raise ValueError(
                    f"`mixture_distribution.batch_shape` ({ours}) is not compatible with "
                    f"`component_distribution.batch_shape`({Size(theirs)})"
                )
        classes, components = mixture.logits.shape[-1], component.batch_shape[-1]
        if classes != components:
            raise ValueError(
                f"`mixture_distribution component` ({classes}) does not equal "
                f"`component_distribution.batch_shape[-1]` ({components})"
            )
        self._mixture_distribution, self._component_distribution = mixture, component
        self._num_component = components
        self._event_ndims = len(component.event_shape)
        super().__init__(theirs, component.event_shape, validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        new = self._get_checked_instance(MixtureSameFamily, _instance)
        batch_shape = Size(batch_shape)
        component = self._component_distribution.expand(batch_shape + (self._num_component,))
        new._component_distribution = component
        new._mixture_distribution = self._mixture_distribution.expand(batch_shape)
        return self._expanded(MixtureSameFamily, batch_shape, new)

    @constraints.dependent_property
    def support(self):
        return MixtureSameFamilyConstraint(self._component_distribution.support)

    @property
    def mixture_distribution(self):
        """What draws the class."""
        return self._mixture_distribution

    @property
    def component_distribution(self):
        """What draws the number."""
        return self._component_distribution

    def _weighted(self, x):
        return fl.sum(self._pad_mixture_dimensions(self.mixture_distribution.probs) * x,
                      dim=-1 - self._event_ndims)  # fmt: skip

    @property
    def mean(self):
        return self._weighted(self.component_distribution.mean)

    @property
    def variance(self):
        """The mean of variances, and the variance of means."""
        away = self.component_distribution.mean - self._pad(self.mean)
        return self._weighted(self.component_distribution.variance) + self._weighted(away.pow(2))

    def cdf(self, x):
        cdf = self.component_distribution.cdf(self._pad(x))
        return fl.sum(cdf * self.mixture_distribution.probs, dim=-1)

    def log_prob(self, x):
        if self._validate_args:
            self._validate_sample(x)
        log_prob = self.component_distribution.log_prob(self._pad(x))
        log_weight = fl.log_softmax(self.mixture_distribution.logits, dim=-1)
        return fl.logsumexp(log_prob + log_weight, dim=-1)

    def sample(self, sample_shape=Size()):  # noqa: B008
        with fl.no_grad():
            dim = len(tuple(sample_shape)) + len(self.batch_shape)
            index = self.mixture_distribution.sample(sample_shape)
            drawn = self.component_distribution.sample(sample_shape)
            ones = (1,) * (1 + self._event_ndims)
            index = index.reshape(tuple(index.shape) + ones)
            index = index.expand(drawn.shape[:dim] + (1,) + drawn.shape[dim + 1 :])
            return fl.gather(drawn, dim, index).squeeze(dim)

    def _pad(self, x):
        return x.unsqueeze(-1 - self._event_ndims)

    def _pad_mixture_dimensions(self, x):
        missing = len(self.batch_shape) - len(self.mixture_distribution.batch_shape)
        shape = x.shape[:-1] + (1,) * missing + x.shape[-1:] + (1,) * self._event_ndims
        return x.reshape(shape)

    def __repr__(self):
        return (f"MixtureSameFamily(\n  {self.mixture_distribution},\n  "
                f"{self.component_distribution})")  # fmt: skip
