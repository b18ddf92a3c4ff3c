"""What distributions share: broadcasting of parameters, chances and their logits, late values."""

import math
from functools import update_wrapper
from numbers import Number

import flambeau as fl
from flambeau.tensor import Tensor

euler_constant = 0.57721566490153286060  # Euler's γ

__all__ = ["broadcast_all", "logits_to_probs", "clamp_probs", "probs_to_logits", "lazy_property",
           "tril_matrix_to_vec", "vec_to_tril_matrix"]  # fmt: skip


def broadcast_all(*values):
    """Tensors of one size from numbers and tensors; numbers get the type of the first tensor."""
    if not all(isinstance(v, (Number, Tensor)) for v in values):
        raise ValueError(
            "Input arguments must all be instances of Number, torch.Tensor or objects "
            "implementing __torch_function__."
        )
    like = next((v for v in values if isinstance(v, Tensor)), None)
    dtype = fl.get_default_dtype() if like is None else like.dtype
    return fl.broadcast_tensors(
        *(v if isinstance(v, Tensor) else fl.tensor(v, dtype=dtype) for v in values)
    )


def _standard_normal(shape, dtype, device=None):
    """Normal numbers, mean 0 and deviation 1."""
    return fl.empty(tuple(shape), dtype=dtype).normal_()


def _sum_rightmost(value, dim):
    """The sum over the last `dim` dims."""
    return value if dim == 0 else value.reshape(value.shape[:-dim] + (-1,)).sum(-1)


def logits_to_probs(logits, is_binary=False):
    """Chances from logits: of one of two, or of the classes along the last dim."""
    return fl.sigmoid(logits) if is_binary else fl.softmax(logits, dim=-1)


def clamp_probs(probs):
    """Chances a little away from 0 and 1."""
    eps = fl.finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def probs_to_logits(probs, is_binary=False):
    """Logits from chances, which are kept away from 0 and 1."""
    clamped = clamp_probs(probs)
    return fl.log(clamped) - fl.log1p(-clamped) if is_binary else fl.log(clamped)


class lazy_property:  # noqa: N801 PyTorch's name
    """A method that becomes an attribute, computed when it is first asked for."""

    def __init__(self, wrapped):
        self.wrapped = wrapped
        update_wrapper(self, wrapped)

    def __get__(self, instance, owner=None):
        if instance is None:
            return _of_class(self.wrapped)
        with fl.enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value


class _of_class(lazy_property, property):  # noqa: N801
    """What a class answers for a lazy property: a property."""

    def __init__(self, wrapped):
        property.__init__(self, wrapped)


def lower_triangle(n, diag):
    """The flat places of an n × n matrix at and below a diagonal, in order."""
    rows, columns = fl.tril_indices(n, n, offset=diag)
    return rows * n + columns


def tril_matrix_to_vec(mat, diag=0):
    """The lower triangle of (…, n, n) as (…, elements), row by row."""
    n = mat.shape[-1]
    if not -n <= diag < n:
        raise ValueError(f"diag ({diag}) provided is outside [{-n}, {n - 1}].")
    return mat.reshape(mat.shape[:-2] + (n * n,)).index_select(-1, lower_triangle(n, diag))


def vec_to_tril_matrix(vec, diag=0):
    """(…, elements) as the lower triangle of (…, n, n), row by row."""
    count = vec.shape[-1]
    # the side n of a triangle that reaches to diagonal `diag` has n (n + 1 + 2 diag) / 2 elements,
    # less those that stick out of the square
    n = (
        -(1 + 2 * diag) + math.sqrt((1 + 2 * diag) ** 2 + 8 * count + 4 * abs(diag) * (diag + 1))
    ) / 2
    eps = fl.finfo(vec.dtype).eps
    if not fl.is_tensor(n) and (round(n) - n > eps):
        raise ValueError(
            f"The size of last dimension is {count} which cannot be expressed as the lower "
            "triangular part of a square D x D matrix."
        )
    n = round(n)
    places = lower_triangle(n, diag)
    if len(places) != count:
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(vec.shape)} cannot be broadcast to "
            f"indexing result of shape {list(vec.shape[:-1]) + [len(places)]}"
        )
    flat = vec.new_zeros(vec.shape[:-1] + (n * n,))
    return flat.index_copy(-1, places, vec).reshape(vec.shape[:-1] + (n, n))
