"""ExponentialFamily: densities exp(θ · t(x) - F(θ) + k(x))."""

import flambeau as fl
from flambeau.distributions.distribution import Distribution

__all__ = ["ExponentialFamily"]


class ExponentialFamily(Distribution):
    """A distribution with natural parameters θ, a log-normaliser F and a carrier measure k.

    The entropy follows from them: F. Nielsen, R. Nock, "Entropies and cross-entropies of
    exponential families", ICIP 2010.
    """

    @property
    def _natural_params(self):
        """θ, as a tuple of tensors."""
        raise NotImplementedError

    def _log_normalizer(self, *natural_params):
        """F(θ)."""
        raise NotImplementedError

    @property
    def _mean_carrier_measure(self):
        """The mean of k(x)."""
        raise NotImplementedError

    def entropy(self):
        """F(θ) - θ · ∇F(θ) - E k."""
        params = [p.detach().requires_grad_() for p in self._natural_params]
        with fl.enable_grad():
            normalizer = self._log_normalizer(*params)
            slopes = fl.autograd.grad(normalizer.sum(), params, create_graph=True)
        result = normalizer - self._mean_carrier_measure
        for param, slope in zip(params, slopes):
            product = param * slope
            result = result - product.reshape(self._batch_shape + (-1,)).sum(-1)
        return result
