"""Distributions over normal vectors, whose covariance is given in one of three forms."""

import flambeau as fl
from flambeau.distributions.utils import lazy_property


def _precision_to_scale_tril(P):  # noqa: N803 PyTorch's name
    """L of the covariance L L' from the precision: its factor, from the other corner, inverted."""
    flipped = fl.linalg.cholesky(fl.flip(P, (-2, -1)))
    upper = fl.flip(flipped, (-2, -1)).mT
    eye = fl.eye(P.shape[-1], dtype=P.dtype)
    return fl.linalg.solve_triangular(upper, eye.expand(upper.shape), upper=False)


def half_log_det(scale_tril):
    """log of the product of a triangle's diagonal."""
    return scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def the_one_given(error, **forms):
    """Name and matrix of the form that is not None; `error` where there is not exactly one."""
    given = {name: matrix for name, matrix in forms.items() if matrix is not None}
    if len(given) != 1:
        raise error("Exactly one of covariance_matrix or precision_matrix or scale_tril may be "
                    "specified.")  # fmt: skip
    return given.popitem()


class OfCovariance:
    """Answers covariance, precision and Cholesky factor, whichever of them is given."""

    def _set_factor(self, name, matrix):
        """Keep what everything is computed from: the factor, without the batch's dims."""
        if name == "covariance_matrix":
            matrix = fl.linalg.cholesky(matrix)
        elif name == "precision_matrix":
            matrix = _precision_to_scale_tril(matrix)
        self._unbroadcasted_scale_tril = matrix

    def _full(self, matrix):
        return matrix.expand(self._batch_shape + self._event_shape[-1:] + self._event_shape[-1:])

    @lazy_property
    def scale_tril(self):
        """The covariance's Cholesky factor."""
        return self._full(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self):
        """The covariance of the normal vectors."""
        lower = self._unbroadcasted_scale_tril
        return self._full(lower @ lower.mT)

    @lazy_property
    def precision_matrix(self):
        """The covariance's inverse."""
        return self._full(fl.cholesky_inverse(self._unbroadcasted_scale_tril))
