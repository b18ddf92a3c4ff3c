"""Dirichlet: chances of n classes."""

import flambeau as fl
from flambeau.autograd import Function
from flambeau.distributions import constraints
from flambeau.distributions.exp_family import ExponentialFamily
from flambeau.nn.functional import one_hot

__all__ = ["Dirichlet"]


class _Dirichlet(Function):
    """Draws whose derivative is implicit (M. Figurnov et al., 2018).

    Component i is a beta number; a change of it takes from the others in proportion.
    """

    @staticmethod
    def forward(ctx, concentration):
        drawn = fl._sample_dirichlet(concentration)
        ctx.save_for_backward(drawn, concentration)
        return drawn

    @staticmethod
    def backward(ctx, grad_output):
        drawn, concentration = ctx.saved_tensors
        total = concentration.sum(-1, True).expand_as(concentration)
        grad = fl._dirichlet_grad(drawn, concentration, total)
        return grad * (grad_output - (drawn * grad_output).sum(-1, True))


class Dirichlet(ExponentialFamily):
    """Density in proportion to Π x_i^(concentration_i - 1), over chances that add up to 1."""

    arg_constraints = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, concentration, validate_args=None):
        if concentration.dim() < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        shape = concentration.shape
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        return self._expanded(Dirichlet, batch_shape, _instance)

    def rsample(self, sample_shape=()):
        shape = self._extended_shape(sample_shape)
        return _Dirichlet.apply(self.concentration.expand(shape))

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        a = self.concentration
        return fl.xlogy(a - 1.0, value).sum(-1) + fl.lgamma(a.sum(-1)) - fl.lgamma(a).sum(-1)

    @property
    def mean(self):
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def mode(self):
        """Where all concentrations are below 1, the corner with the largest one."""
        excess = (self.concentration - 1).clamp(min=0.0)
        mode = excess / excess.sum(-1, True)
        corner = one_hot(mode.argmax(dim=-1), self.concentration.shape[-1]).to(mode)
        return fl.where((self.concentration < 1).all(dim=-1, keepdim=True), corner, mode)

    @property
    def variance(self):
        a, total = self.concentration, self.concentration.sum(-1, True)
        return a * (total - a) / (total.pow(2) * (total + 1))

    def entropy(self):
        a, n = self.concentration, self.concentration.size(-1)
        total = a.sum(-1)
        return (fl.lgamma(a).sum(-1) - fl.lgamma(total) - (n - total) * fl.digamma(total)
                - ((a - 1.0) * fl.digamma(a)).sum(-1))  # fmt: skip

    @property
    def _natural_params(self):
        return (self.concentration,)

    def _log_normalizer(self, x):
        return x.lgamma().sum(-1) - fl.lgamma(x.sum(-1))
