"""StudentT: a normal number over the root of a mean square."""

import math

import flambeau as fl
from flambeau.distributions import constraints
from flambeau.distributions.chi2 import Chi2
from flambeau.distributions.distribution import Distribution
from flambeau.distributions.utils import _standard_normal, broadcast_all
from flambeau.size import Size

__all__ = ["StudentT"]


class StudentT(Distribution):
    """Student's t of df degrees of freedom, moved and scaled."""

    arg_constraints = {
        "df": constraints.positive,
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    support = constraints.real
    has_rsample = True

    def __init__(self, df, loc=0.0, scale=1.0, validate_args=None):
        self.df, self.loc, self.scale = broadcast_all(df, loc, scale)
        self._chi2 = Chi2(self.df)
        super().__init__(self.df.size(), validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        new = self._get_checked_instance(StudentT, _instance)
        new._chi2 = self._chi2.expand(batch_shape)
        return self._expanded(StudentT, batch_shape, new)

    @property
    def mean(self):
        return self.loc.masked_fill(self.df <= 1, fl.nan)

    @property
    def mode(self):
        return self.loc

    @property
    def variance(self):
        finite = fl.where(self.df > 2, self.df, 3.0)
        variance = self.scale.pow(2) * finite / (finite - 2)
        variance = variance.masked_fill(self.df <= 2, fl.inf)
        return variance.masked_fill(self.df <= 1, fl.nan)

    def rsample(self, sample_shape=Size()):  # noqa: B008
        normal = _standard_normal(self._extended_shape(sample_shape), self.df.dtype)
        square = self._chi2.rsample(sample_shape)
        return self.loc + self.scale * (normal * fl.rsqrt(square / self.df))

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        y = (value - self.loc) / self.scale
        log_beta = fl.lgamma(0.5 * self.df) - fl.lgamma(0.5 * (self.df + 1.0))
        normalizer = self.scale.log() + 0.5 * self.df.log() + 0.5 * math.log(math.pi) + log_beta
        return -0.5 * (self.df + 1.0) * fl.log1p(y**2.0 / self.df) - normalizer

    def entropy(self):
        half, more = 0.5 * self.df, 0.5 * (self.df + 1)
        log_beta = fl.lgamma(half) + math.lgamma(0.5) - fl.lgamma(more)
        slope = fl.digamma(more) - fl.digamma(half)
        return self.scale.log() + more * slope + 0.5 * self.df.log() + log_beta
