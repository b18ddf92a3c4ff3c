"""VonMises: normal numbers on a circle."""

import math

import flambeau as fl
from flambeau.distributions import constraints
from flambeau.distributions.distribution import Distribution
from flambeau.distributions.utils import broadcast_all, lazy_property
from flambeau.size import Size

__all__ = ["VonMises"]


class VonMises(Distribution):
    """Density in proportion to exp(concentration · cos(x - loc)), angles from -π to π."""

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real
    has_rsample = False

    def __init__(self, loc, concentration, validate_args=None):
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(self.loc.size(), validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        # what is drawn is computed in float64: found again from the expanded parameters
        new = self._get_checked_instance(VonMises, _instance)
        validate_args = vars(self).get("_validate_args")
        loc, concentration = (x.expand(batch_shape) for x in (self.loc, self.concentration))
        VonMises.__init__(new, loc, concentration, validate_args=validate_args)
        return new

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        k = self.concentration
        log_bessel = fl.special.i0e(k).log() + k
        return k * fl.cos(value - self.loc) - math.log(2 * math.pi) - log_bessel

    @lazy_property
    def _loc(self):
        return self.loc.to(fl.double)

    @lazy_property
    def _concentration(self):
        return self.concentration.to(fl.double)

    @lazy_property
    def _proposal_r(self):
        """Best and Fisher's r; a series for small concentrations."""
        k = self._concentration
        tau = 1 + (1 + 4 * k**2).sqrt()
        rho = (tau - (2 * tau).sqrt()) / (2 * k)
        return fl.where(k < 1e-5, 1 / k + k, (1 + rho**2) / (2 * rho))

    def sample(self, sample_shape=Size()):  # noqa: B008
        """By rejection: D. Best, N. Fisher, Applied Statistics 28, 1979."""
        with fl.no_grad():
            shape = self._extended_shape(sample_shape)
            k, r = (x.expand(shape) for x in (self._concentration, self._proposal_r))
            drawn, done = fl.empty(shape, dtype=self._loc.dtype), fl.zeros(shape, dtype=fl.bool)
            while not done.all():
                u1, u2, u3 = fl.rand((3, *shape), dtype=self._loc.dtype).unbind()
                z = fl.cos(math.pi * u1)
                f = (1 + r * z) / (r + z)
                c = k * (r - f)
                accept = ((c * (2 - c) - u2) > 0) | ((c / u2).log() + 1 - c >= 0)
                drawn = fl.where(accept, (u3 - 0.5).sign() * f.acos(), drawn)
                done = done | accept
            angle = (drawn + math.pi + self._loc) % (2 * math.pi) - math.pi
            return angle.to(self.loc.dtype)

    @property
    def mean(self):
        return self.loc

    @property
    def mode(self):
        return self.loc

    @lazy_property
    def variance(self):
        """The circular variance 1 - I1(k) / I0(k)."""
        return 1 - fl.special.i1e(self.concentration) / fl.special.i0e(self.concentration)
