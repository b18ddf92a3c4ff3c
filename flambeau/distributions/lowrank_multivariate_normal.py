"""LowRankMultivariateNormal: a covariance W W' + D, D diagonal."""

import math

import flambeau as fl
from flambeau.distributions import constraints
from flambeau.distributions._covariance import half_log_det
from flambeau.distributions.distribution import Distribution
from flambeau.distributions.multivariate_normal import _batch_mahalanobis, _batch_mv
from flambeau.distributions.utils import _standard_normal, lazy_property
from flambeau.size import Size

__all__ = ["LowRankMultivariateNormal"]


def _batch_capacitance_tril(W, D):  # noqa: N803
    """The Cholesky factor of I + W' D⁻¹ W."""
    scaled = W.mT / D.unsqueeze(-2)
    return fl.linalg.cholesky(scaled @ W + fl.eye(W.size(-1), dtype=W.dtype))


def _batch_lowrank_logdet(W, D, capacitance_tril):  # noqa: N803
    """log det(W W' + D), by the matrix determinant lemma."""
    return 2 * half_log_det(capacitance_tril) + D.log().sum(-1)


def _batch_lowrank_mahalanobis(W, D, x, capacitance_tril):  # noqa: N803
    """x' (W W' + D)⁻¹ x, by Woodbury's identity."""
    inner = _batch_mv(W.mT / D.unsqueeze(-2), x)
    return (x.pow(2) / D).sum(-1) - _batch_mahalanobis(capacitance_tril, inner)


class LowRankMultivariateNormal(Distribution):
    """Normal vectors of covariance cov_factor cov_factor' + diag(cov_diag)."""

    arg_constraints = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc, cov_factor, cov_diag, validate_args=None):
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        event = loc.shape[-1:]
        if cov_factor.dim() < 2:
            raise ValueError("cov_factor must be at least two-dimensional, with optional leading "
                             "batch dimensions")  # fmt: skip
        if cov_factor.shape[-2:-1] != event:
            raise ValueError(f"cov_factor must be a batch of matrices with shape {event[0]} x m")
        if cov_diag.shape[-1:] != event:
            raise ValueError(f"cov_diag must be a batch of vectors with shape {Size(event)}")
        try:
            batch = tuple(fl.broadcast_shapes(
                loc.shape[:-1], cov_factor.shape[:-2], cov_diag.shape[:-1]
            ))  # fmt: skip
        except RuntimeError as error:
            raise ValueError(
                f"Batch shapes do not match: loc {loc.shape}, cov_factor "
                f"{cov_factor.shape}, cov_diag {cov_diag.shape}"
            ) from error
        self.loc = loc.expand(batch + (-1,))
        self.cov_factor = cov_factor.expand(batch + tuple(cov_factor.shape[-2:]))
        self.cov_diag = cov_diag.expand(batch + (-1,))
        self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag = cov_factor, cov_diag
        self._capacitance_tril = _batch_capacitance_tril(cov_factor, cov_diag)
        super().__init__(batch, event, validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        parameters = {"loc": 1, "cov_factor": 2, "cov_diag": 1, "scale_tril": 2,
                      "covariance_matrix": 2, "precision_matrix": 2}  # fmt: skip
        return self._expanded(LowRankMultivariateNormal, batch_shape, _instance, parameters)

    @property
    def mean(self):
        return self.loc

    @property
    def mode(self):
        return self.loc

    @lazy_property
    def variance(self):
        variance = self._unbroadcasted_cov_factor.pow(2).sum(-1) + self._unbroadcasted_cov_diag
        return variance.expand(self._batch_shape + self._event_shape)

    def _full(self, matrix):
        return matrix.expand(self._batch_shape + self._event_shape + self._event_shape)

    @lazy_property
    def scale_tril(self):
        """The covariance's Cholesky factor: √D times that of I + D^(-1/2) W W' D^(-1/2)."""
        root = self._unbroadcasted_cov_diag.sqrt().unsqueeze(-1)
        scaled = self._unbroadcasted_cov_factor / root
        inner = scaled @ scaled.mT + fl.eye(self._event_shape[0], dtype=scaled.dtype)
        return self._full(root * fl.linalg.cholesky(inner))

    @lazy_property
    def covariance_matrix(self):
        """The covariance."""
        factor = self._unbroadcasted_cov_factor
        return self._full(factor @ factor.mT + fl.diag_embed(self._unbroadcasted_cov_diag))

    @lazy_property
    def precision_matrix(self):
        """The covariance's inverse, by Woodbury's identity."""
        scaled = self._unbroadcasted_cov_factor.mT / self._unbroadcasted_cov_diag.unsqueeze(-2)
        a = fl.linalg.solve_triangular(self._capacitance_tril, scaled, upper=False)
        inverse = fl.diag_embed(self._unbroadcasted_cov_diag.reciprocal())
        return self._full(inverse - a.mT @ a)

    def rsample(self, sample_shape=Size()):  # noqa: B008
        shape = self._extended_shape(sample_shape)
        factors = shape[:-1] + self.cov_factor.shape[-1:]
        of_factor = _standard_normal(factors, self.loc.dtype)
        own = _standard_normal(shape, self.loc.dtype)
        return (self.loc + _batch_mv(self._unbroadcasted_cov_factor, of_factor)
                + self._unbroadcasted_cov_diag.sqrt() * own)  # fmt: skip

    def _log_det(self):
        return _batch_lowrank_logdet(
            self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag, self._capacitance_tril
        )

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        distance = _batch_lowrank_mahalanobis(
            self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag, value - self.loc,
            self._capacitance_tril,
        )  # fmt: skip
        n = self._event_shape[0]
        return -0.5 * (n * math.log(2 * math.pi) + self._log_det() + distance)

    def entropy(self):
        n = self._event_shape[0]
        entropy = 0.5 * (n * (1.0 + math.log(2 * math.pi)) + self._log_det())
        return entropy.expand(self._batch_shape) if self._batch_shape else entropy
