"""Wishart: random covariance matrices."""

import math
import warnings

import flambeau as fl
from flambeau.distributions import constraints
from flambeau.distributions._chances import floating
from flambeau.distributions._covariance import OfCovariance, half_log_det, the_one_given
from flambeau.distributions.exp_family import ExponentialFamily
from flambeau.size import Size

__all__ = ["Wishart"]


def _mvdigamma(x, p):
    """The derivative of the multivariate log Γ."""
    return fl.digamma(x.unsqueeze(-1) - 0.5 * fl.arange(p, dtype=x.dtype)).sum(-1)


class Wishart(OfCovariance, ExponentialFamily):
    """Sums of x x' over df normal vectors x; the covariance of x is given in one of three forms."""

    support = constraints.positive_definite
    has_rsample = True
    _mean_carrier_measure = 0

    @property
    def arg_constraints(self):
        return {
            "covariance_matrix": constraints.positive_definite,
            "precision_matrix": constraints.positive_definite,
            "scale_tril": constraints.lower_cholesky,
            "df": constraints.greater_than(self.event_shape[-1] - 1),
        }

    def __init__(self, df, covariance_matrix=None, precision_matrix=None, scale_tril=None,
                 validate_args=None):  # fmt: skip
        name, matrix = the_one_given(
            AssertionError, covariance_matrix=covariance_matrix, precision_matrix=precision_matrix,
            scale_tril=scale_tril,
        )  # fmt: skip
        if matrix.dim() < 2:
            raise ValueError(
                "scale_tril must be at least two-dimensional, with optional leading batch "
                "dimensions"
            )
        df = floating(df if fl.is_tensor(df) else fl.tensor(df, dtype=matrix.dtype))
        batch, event = fl.broadcast_shapes(df.shape, matrix.shape[:-2]), matrix.shape[-2:]
        if df.le(event[-1] - 1).any():
            raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = "
                             f"{event[-1] - 1}.")  # fmt: skip
        setattr(self, name, matrix.expand(tuple(batch) + (-1, -1)))
        self.df = df.expand(batch)
        if self.df.lt(event[-1]).any():
            warnings.warn("Low df values detected. Singular samples are highly likely to occur for "
                          "ndim - 1 < df < ndim.", stacklevel=2)  # fmt: skip
        super().__init__(batch, event, validate_args=validate_args)
        self._set_factor(name, matrix)
        self._dist_chi2 = self._chi2(batch)

    def _chi2(self, batch):
        """The squares on the diagonal: their degrees of freedom fall by one each row."""
        from flambeau.distributions.chi2 import Chi2

        p = self._event_shape[-1]
        df = self.df.unsqueeze(-1) - fl.arange(p, dtype=self.df.dtype).expand(tuple(batch) + (-1,))
        return Chi2(df=df)

    def expand(self, batch_shape, _instance=None):
        parameters = {"df": 0, "covariance_matrix": 2, "precision_matrix": 2, "scale_tril": 2}
        new = self._get_checked_instance(Wishart, _instance)
        new._dist_chi2 = self._dist_chi2.expand(Size(batch_shape) + self._event_shape[-1:])
        return self._expanded(Wishart, batch_shape, new, parameters)

    @property
    def mean(self):
        return self.df.view(self._batch_shape + (1, 1)) * self.covariance_matrix

    @property
    def mode(self):
        factor = self.df - self.covariance_matrix.shape[-1] - 1
        factor = factor.masked_fill(factor <= 0, fl.nan)
        return factor.view(self._batch_shape + (1, 1)) * self.covariance_matrix

    @property
    def variance(self):
        covariance = self.covariance_matrix
        diagonal = covariance.diagonal(dim1=-2, dim2=-1)
        square = covariance.pow(2) + diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2)
        return self.df.view(self._batch_shape + (1, 1)) * square

    def _bartlett_sampling(self, sample_shape=Size()):  # noqa: B008
        """L A A' L', A triangular: roots of chi-squares and normals (M. Bartlett, 1933)."""
        p = self._event_shape[-1]
        noise = self._dist_chi2.rsample(sample_shape).sqrt().diag_embed(dim1=-2, dim2=-1)
        rows, columns = fl.tril_indices(p, p, offset=-1)
        below = fl.randn(tuple(sample_shape) + self._batch_shape + (p * (p - 1) // 2,),
                         dtype=noise.dtype)  # fmt: skip
        flat = noise.reshape(noise.shape[:-2] + (p * p,))
        noise = flat.index_copy(-1, rows * p + columns, below).reshape(noise.shape)
        lower = self._unbroadcasted_scale_tril @ noise
        return lower @ lower.mT

    def _is_definite(self, drawn):
        """Whether each draw is positive definite, in any of the batch's places."""
        definite = self.support.check(drawn)
        return definite.amax(self._batch_dims) if self._batch_shape else definite

    @property
    def _batch_dims(self):
        return tuple(range(-len(self._batch_shape), 0))

    def rsample(self, sample_shape=Size(), max_try_correction=None):  # noqa: B008
        """Samples; as in PyTorch each is drawn twice, and anew where the second one is singular."""
        if max_try_correction is None:
            max_try_correction = 3 if self._event_shape[-1] < 10 else 10
        drawn = self._bartlett_sampling(Size(sample_shape))
        again = self._is_definite(drawn)
        for _ in range(max_try_correction):
            if not again.any():
                break
            anew = self._bartlett_sampling(Size((int(again.sum()),)))
            rows = drawn.reshape((-1,) + anew.shape[1:])
            rows = rows.index_put(again.reshape(-1).nonzero(as_tuple=True), anew)
            drawn = rows.reshape(drawn.shape)
            singular = ~self.support.check(anew)
            if self._batch_shape:
                singular = singular.amax(self._batch_dims)
            if singular.any():
                warnings.warn("Singular sample detected.", stacklevel=2)
            again = again.masked_scatter(again, singular)
        return drawn

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        nu, p, lower = self.df, self._event_shape[-1], self._unbroadcasted_scale_tril
        trace = fl.cholesky_solve(value, lower.expand(value.shape[:-2] + (p, p)))
        trace = trace.diagonal(dim1=-2, dim2=-1).sum(dim=-1)
        return (-nu * (p * math.log(2.0) / 2.0 + half_log_det(lower))
                - fl.mvlgamma(nu / 2.0, p=p)
                + (nu - p - 1.0) / 2.0 * fl.linalg.slogdet(value).logabsdet
                - trace / 2.0)  # fmt: skip

    def entropy(self):
        nu, p = self.df, self._event_shape[-1]
        half = half_log_det(self._unbroadcasted_scale_tril)
        return ((p + 1.0) * (p * math.log(2.0) / 2.0 + half) + fl.mvlgamma(nu / 2.0, p=p)
                - (nu - p - 1.0) / 2.0 * _mvdigamma(nu / 2.0, p=p) + nu * p / 2.0)  # fmt: skip

    @property
    def _natural_params(self):
        nu, p = self.df, self._event_shape[-1]
        return -self.precision_matrix / 2, (nu - p - 1) / 2

    def _log_normalizer(self, x, y):
        p = self._event_shape[-1]
        half = y + (p + 1) / 2
        return half * (p * math.log(2) - fl.linalg.slogdet(-2 * x).logabsdet) + fl.mvlgamma(
            half, p=p
        )
