"""Gradients kept from growing too large."""

import math
import warnings

from flambeau.autograd.modes import no_grad
from flambeau.tensor import Tensor


def gradients_of(parameters):
    """The gradients of one parameter or of several."""
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    return [p.grad for p in parameters if p.grad is not None]


def get_total_norm(tensors, norm_type=2.0, error_if_nonfinite=False, foreach=None):
    """The norm of all elements of all tensors together."""
    import flambeau as fl

    tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    norm_type = float(norm_type)
    if not tensors:
        return fl.tensor(0.0)
    norms = fl.stack([one_norm(t, norm_type) for t in tensors])
    total = one_norm(norms, norm_type)
    if error_if_nonfinite and not math.isfinite(total.item()):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is "
            "non-finite, so "
            "it cannot be clipped. To disable this error and scale the gradients by the non-finite "
            "norm anyway, set `error_if_nonfinite=False`"
        )
    return total


def one_norm(tensor, order):
    """The norm of a tensor's elements."""
    if order == 2.0:
        return (tensor * tensor).sum().sqrt()
    if order == math.inf:
        return tensor.abs().max()
    if order == -math.inf:
        return tensor.abs().min()
    if order == 1.0:
        return tensor.abs().sum()
    if order == 0.0:
        return (tensor != 0).sum().to(tensor.dtype)
    return (tensor.abs() ** order).sum() ** (1.0 / order)


@no_grad()
def clip_grads_with_norm_(parameters, max_norm, total_norm, foreach=None):
    """Scale gradients so that their norm, which is known, is at most max_norm."""
    factor = (float(max_norm) / (total_norm + 1e-6)).clamp(max=1.0)
    for grad in gradients_of(parameters):
        grad.mul_(factor)


@no_grad()
def clip_grad_norm_(parameters, max_norm, norm_type=2.0, error_if_nonfinite=False, foreach=None):
    """Scale gradients so that their norm is at most max_norm; returns the norm before."""
    if not isinstance(parameters, Tensor):
        generator = not hasattr(parameters, "__len__")
        parameters = list(parameters)
        if generator and not parameters:
            warnings.warn("`parameters` is an empty generator, no gradient clipping will occur.",
                          stacklevel=3)  # fmt: skip
    total = get_total_norm(gradients_of(parameters), norm_type, error_if_nonfinite, foreach)
    clip_grads_with_norm_(parameters, max_norm, total, foreach)
    return total


def clip_grad_norm(parameters, max_norm, norm_type=2.0, error_if_nonfinite=False, foreach=None):
    """The old name of clip_grad_norm_."""
    warnings.warn("`torch.nn.utils.clip_grad_norm` is now deprecated in favor of "
                  "`torch.nn.utils.clip_grad_norm_`.", FutureWarning, stacklevel=2)  # fmt: skip
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)


@no_grad()
def clip_grad_value_(parameters, clip_value, foreach=None):
    """Clamp every element of the gradients to [-clip_value, clip_value]."""
    limit = float(clip_value)
    for grad in gradients_of(parameters):
        grad.clamp_(min=-limit, max=limit)
