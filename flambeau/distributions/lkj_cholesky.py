"""LKJCholesky: Cholesky factors of random correlation matrices."""

import math

import flambeau as fl
from flambeau.distributions import constraints
from flambeau.distributions._chances import floating
from flambeau.distributions.beta import Beta
from flambeau.distributions.distribution import Distribution
from flambeau.size import Size

__all__ = ["LKJCholesky"]


class LKJCholesky(Distribution):
    """Density of a correlation matrix in proportion to det^(concentration - 1).

    Drawn row by row ("onion method": D. Lewandowski, D. Kurowicka, H. Joe, J. Multivariate Analysis
    100, 2009, section 3): a direction on a sphere, and a beta number for how far out.
    """

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(self, dim, concentration=1.0, validate_args=None):
        if dim < 2:
            raise ValueError(
                f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}."
            )
        self.dim = dim
        self.concentration = floating(concentration)
        row = fl.arange(dim - 1, dtype=self.concentration.dtype)
        row = fl.cat([row.new_zeros((1,)), row])
        marginal = self.concentration + 0.5 * (dim - 2)
        self._beta = Beta(row + 0.5, marginal.unsqueeze(-1) - 0.5 * row)
        super().__init__(self.concentration.size(), Size((dim, dim)), validate_args)

    def expand(self, batch_shape, _instance=None):
        new = self._get_checked_instance(LKJCholesky, _instance)
        new._beta = self._beta.expand(Size(batch_shape) + (self.dim,))
        return self._expanded(LKJCholesky, batch_shape, new)

    def sample(self, sample_shape=Size()):  # noqa: B008
        with fl.no_grad():
            y = self._beta.sample(sample_shape).unsqueeze(-1)
            shape = self._extended_shape(sample_shape)
            normal = fl.randn(shape, dtype=y.dtype).tril(-1)
            direction = normal / normal.norm(dim=-1, keepdim=True)
            direction[..., 0, :].fill_(0.0)  # the first row has none
            rows = fl.sqrt(y) * direction
            left = 1 - fl.sum(rows**2, dim=-1)
            return rows + fl.diag_embed(left.clamp(min=fl.finfo(rows.dtype).tiny).sqrt())

    def log_prob(self, value):
        """Page 1999 of the paper, theorem 5, with the volume of the Cholesky factor."""
        if self._validate_args:
            self._validate_sample(value)
        diagonal = value.diagonal(dim1=-1, dim2=-2)[..., 1:]
        order = fl.arange(2, self.dim + 1, dtype=self.concentration.dtype)
        order = 2 * (self.concentration - 1).unsqueeze(-1) + self.dim - order
        density = (order * diagonal.log()).sum(-1)
        n = self.dim - 1
        alpha = self.concentration + 0.5 * n
        normalizer = fl.mvlgamma(alpha - 0.5, n) - fl.lgamma(alpha) * n
        return density - (0.5 * n * math.log(math.pi) + normalizer)
