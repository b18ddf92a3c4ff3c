"""Losses, as torch.nn.functional has them: arguments are sorted out here, rows do the rest."""

from __future__ import annotations

import warnings

from flambeau.ops.class_loss import class_dim
from flambeau.ops.loss import check_reduction, over
from flambeau.tensor import FUNCTIONS
from flambeau.trace.autocast import whole

row = FUNCTIONS


def chosen(reduction, size_average, reduce):
    """The reduction, also by its two old arguments."""
    if size_average is None and reduce is None:
        return reduction
    average = True if size_average is None else size_average
    meant = ("mean" if average else "sum") if reduce in (None, True) else "none"
    warnings.warn("size_average and reduce args will be deprecated, please use "
                  f"reduction='{meant}' instead.", stacklevel=3)  # fmt: skip
    return meant


def warn_sizes(input, target):
    """A target of another size broadcasts, which is rarely meant."""
    if input._spec.size != target._spec.size:
        warnings.warn(
            f"Using a target size ({target.shape}) that is different to the input size "
            f"({input.shape}). "
            "This will likely lead to incorrect results due to broadcasting. Please ensure they "
            "have the same size.", stacklevel=3)  # fmt: skip


def mse_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """(input - target)²."""
    reduction = chosen(reduction, size_average, reduce)
    warn_sizes(input, target)
    if weight is not None:
        losses = row["mse_loss"](input, target, "none") * weight
        check_reduction(reduction)
        return losses.sum() / weight.sum() if reduction == "mean" else over(losses, reduction)
    return row["mse_loss"](input, target, reduction)


@whole("float32")
def l1_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None):
    """|input - target|."""
    reduction = chosen(reduction, size_average, reduce)
    check_reduction(reduction)
    warn_sizes(input, target)
    losses = (input - target).abs()
    if weight is not None:
        losses = losses * weight
        return losses.sum() / weight.sum() if reduction == "mean" else over(losses, reduction)
    return over(losses, reduction)


def smooth_l1_loss(input, target, size_average=None, reduce=None, reduction="mean", beta=1.0):
    """Squared below beta, straight above."""
    reduction = chosen(reduction, size_average, reduce)
    warn_sizes(input, target)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    return row["smooth_l1_loss"](input, target, reduction, float(beta))


def huber_loss(input, target, reduction="mean", delta=1.0, weight=None):
    """Squared below delta, straight above, with the slope delta."""
    warn_sizes(input, target)
    if not isinstance(delta, (int, float)):
        raise TypeError("huber_loss(): argument 'delta' (position 4) must be float, not "
                        f"{type(delta).__name__}")  # fmt: skip
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    if weight is None:
        return row["huber_loss"](input, target, reduction, float(delta))
    losses = row["huber_loss"](input, target, "none", float(delta)) * weight
    check_reduction(reduction)
    return losses.sum() / weight.sum() if reduction == "mean" else over(losses, reduction)


BATCHMEAN = (
    "reduction: 'mean' divides the total loss by both the batch size and the support size."
    "'batchmean' divides only by the batch size, and aligns with the KL div math definition."
    "'mean' will be changed to behave the same as 'batchmean' in the next major release."
)


@whole("float32")
def kl_div(input, target, size_average=None, reduce=None, reduction="mean", log_target=False):
    """target · (log target - input)."""
    reduction = chosen(reduction, size_average, reduce)
    if log_target:
        losses = target.exp() * (target - input)
    else:
        losses = (target * target.log()).masked_fill(target == 0, 0) - target * input
    if reduction == "batchmean":
        return losses.sum() / (input.shape[0] if input.ndim else 1)
    check_reduction(reduction)
    if reduction == "mean":
        warnings.warn(BATCHMEAN, stacklevel=2)
    return over(losses, reduction)


def nll_loss(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None,
             reduction="mean"):  # fmt: skip
    """-input at each target's class."""
    reduction = chosen(reduction, size_average, reduce)
    name = "nll_loss2d" if input.ndim > 2 else "nll_loss"
    return row[name](input, target, weight, reduction, ignore_index)


@whole("float32")
def cross_entropy(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None,
                  reduction="mean", label_smoothing=0.0):  # fmt: skip
    """-log softmax(input) at each target's class, or over probabilities of the classes."""
    reduction = chosen(reduction, size_average, reduce)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    check_reduction(reduction)
    if input.ndim == 0:
        raise RuntimeError("Expected input to have at least 1 dimension.")
    if input._spec.size == target._spec.size:
        return of_probabilities(input, target, weight, reduction, label_smoothing, ignore_index)
    logs = row["log_softmax"](input, class_dim(input.ndim))
    loss = nll_loss(logs, target, weight, ignore_index=ignore_index, reduction=reduction)
    if label_smoothing == 0:
        return loss
    return smoothed(loss, logs, target, weight, ignore_index, reduction, label_smoothing)


def class_view(weight, ndim):
    """The weights of the classes, broadcast against the input."""
    return weight.view((*(1,) * class_dim(ndim), -1, *(1,) * (ndim - class_dim(ndim) - 1)))


def of_probabilities(input, target, weight, reduction, smoothing, ignore_index):
    if target.dtype.kind != "f":
        raise RuntimeError("Expected floating point type for target with class probabilities, got "
                           f"{target.dtype.legacy}")  # fmt: skip
    if ignore_index >= 0:
        raise RuntimeError("ignore_index is not supported for floating point target")
    dim = class_dim(input.ndim)
    classes = input._spec.size[dim]
    logs = row["log_softmax"](input, dim)
    if smoothing > 0:
        target = target * (1 - smoothing) + smoothing / classes
    losses = logs * target
    losses = losses if weight is None else losses * class_view(weight, input.ndim)
    if reduction == "none":
        return -losses.sum(dim)
    if reduction == "sum":
        return -losses.sum()
    return -losses.sum() / max(input._spec.numel // max(classes, 1), 1)


def smoothed(loss, logs, target, weight, ignore_index, reduction, smoothing):
    """A part of every target goes evenly to all classes."""
    dim = class_dim(logs.ndim)
    classes = logs._spec.size[dim]
    spread = logs if weight is None else logs * class_view(weight, logs.ndim)
    ignored = target.eq(ignore_index)
    spread = -spread.sum(dim).masked_fill(ignored, 0)
    if reduction == "mean" and weight is None:
        spread = spread.sum() / ignored.logical_not().sum()
    elif reduction == "mean":
        ones = logs.detach() * 0 - 1
        total = row["nll_loss" if logs.ndim < 3 else "nll_loss2d"](ones, target, weight, "sum",
                                                                   ignore_index)  # fmt: skip
        spread = spread.sum() / total
    elif reduction == "sum":
        spread = spread.sum()
    return loss * (1 - smoothing) + spread * (smoothing / classes)


def binary_cross_entropy(input, target, weight=None, size_average=None, reduce=None,
                         reduction="mean"):  # fmt: skip
    """-(t log x + (1 - t) log (1 - x))."""
    reduction = chosen(reduction, size_average, reduce)
    if input._spec.size != target._spec.size:
        raise ValueError(f"Using a target size ({target.shape}) that is different to the input "
                         f"size ({input.shape}) is deprecated. Please ensure they have the same "
                         "size.")  # fmt: skip
    return row["binary_cross_entropy"](input, target, weight, reduction)


def binary_cross_entropy_with_logits(input, target, weight=None, size_average=None, reduce=None,
                                     reduction="mean", pos_weight=None):  # fmt: skip
    """binary_cross_entropy of sigmoid(input)."""
    reduction = chosen(reduction, size_average, reduce)
    if input._spec.size != target._spec.size:
        raise ValueError(
            f"Target size ({target.shape}) must be the same as input size ({input.shape})"
        )
    name = "binary_cross_entropy_with_logits"
    return row[name](input, target, weight, pos_weight, reduction)


NAMES = """mse_loss l1_loss smooth_l1_loss huber_loss kl_div nll_loss cross_entropy
    binary_cross_entropy binary_cross_entropy_with_logits""".split()
