"""TransformedDistribution: numbers of one distribution, transformed."""

import flambeau as fl
from flambeau.distributions import constraints
from flambeau.distributions.distribution import Distribution
from flambeau.distributions.independent import Independent
from flambeau.distributions.transforms import ComposeTransform, Transform
from flambeau.distributions.utils import _sum_rightmost
from flambeau.size import Size

__all__ = ["TransformedDistribution"]


class TransformedDistribution(Distribution):
    """What transforms, one after the other, make of a distribution's numbers.

    log p(y) = log p(x) - log |det dy/dx|.
    """

    arg_constraints = {}

    def __init__(self, base_distribution, transforms, validate_args=None):
        if isinstance(transforms, Transform):
            self.transforms = [transforms]
        elif not isinstance(transforms, list):
            raise ValueError(f"transforms must be a Transform or list, but was {transforms}")
        elif not all(isinstance(t, Transform) for t in transforms):
            raise ValueError("transforms must be a Transform or a list of Transforms")
        else:
            self.transforms = transforms
        base = base_distribution
        shape = base.batch_shape + base.event_shape
        transform = ComposeTransform(self.transforms)
        needed = transform.domain.event_dim
        if len(shape) < needed:
            raise ValueError(f"base_distribution needs to have shape with size at least {needed}, "
                             f"but got {Size(shape)}.")  # fmt: skip
        forward = transform.forward_shape(shape)
        base = base.expand(transform.inverse_shape(forward)[: len(shape) - len(base.event_shape)])
        more = needed - len(base.event_shape)
        self.base_dist = Independent(base, more) if more > 0 else base
        # transforms may change how many dims an event has
        change = transform.codomain.event_dim - needed
        events = max(transform.codomain.event_dim, len(base.event_shape) + change)
        cut = len(forward) - events
        super().__init__(forward[:cut], forward[cut:], validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        new = self._get_checked_instance(TransformedDistribution, _instance)
        if "transforms" not in vars(new):
            new.transforms = self.transforms
        batch_shape = Size(batch_shape)
        inner = ComposeTransform(self.transforms).inverse_shape(batch_shape + self.event_shape)
        cut = len(inner) - len(self.base_dist.event_shape)
        new.base_dist = self.base_dist.expand(inner[:cut])
        return self._expanded(TransformedDistribution, batch_shape, new, {})

    @constraints.dependent_property(is_discrete=False)
    def support(self):
        if not self.transforms:
            return self.base_dist.support
        support, dims = self.transforms[-1].codomain, len(self.event_shape)
        if dims > support.event_dim:
            return constraints.independent(support, dims - support.event_dim)
        return support

    @property
    def has_rsample(self):
        return self.base_dist.has_rsample

    def _forward(self, x):
        for transform in self.transforms:
            x = transform(x)
        return x

    def sample(self, sample_shape=Size()):  # noqa: B008
        with fl.no_grad():
            return self._forward(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape=Size()):  # noqa: B008
        return self._forward(self.base_dist.rsample(sample_shape))

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        dims, total, y = len(self.event_shape), 0.0, value
        for transform in reversed(self.transforms):
            x = transform.inv(y)
            dims += transform.domain.event_dim - transform.codomain.event_dim
            term = transform.log_abs_det_jacobian(x, y)
            total = total - _sum_rightmost(term, dims - transform.domain.event_dim)
            y = x
        base = self.base_dist.log_prob(y)
        return total + _sum_rightmost(base, dims - len(self.base_dist.event_shape))

    def _monotonize_cdf(self, value):
        """1 - value where the transforms fall."""
        sign = 1
        for transform in self.transforms:
            sign = sign * transform.sign
        if isinstance(sign, int) and sign == 1:
            return value
        return sign * (value - 0.5) + 0.5

    def cdf(self, value):
        for transform in self.transforms[::-1]:
            value = transform.inv(value)
        if self._validate_args:
            self.base_dist._validate_sample(value)
        return self._monotonize_cdf(self.base_dist.cdf(value))

    def icdf(self, value):
        return self._forward(self.base_dist.icdf(self._monotonize_cdf(value)))
