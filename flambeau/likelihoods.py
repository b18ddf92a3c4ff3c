"""Losses that are likelihoods, as torch.nn.functional has them: Poisson, Gauss, CTC, classes."""

from __future__ import annotations

import math

from flambeau.ir import dtype as dt
from flambeau.losses import chosen, cross_entropy
from flambeau.margins import reduced
from flambeau.products import linear
from flambeau.tensor import FUNCTIONS as row
from flambeau.tensor import Tensor
from flambeau.trace.autocast import whole


@whole("float32")
def poisson_nll_loss(input, target, log_input=True, full=False, size_average=None, eps=1e-8,
                     reduce=None, reduction="mean"):  # fmt: skip
    """rate - target · log(rate); `full` adds Stirling's approximation of log(target!)."""
    reduction = chosen(reduction, size_average, reduce)
    if log_input:
        losses = input.exp() - target * input
    else:
        losses = input - target * (input + eps).log()
    if full:
        stirling = target * target.log() - target + 0.5 * (2 * math.pi * target).log()
        losses = losses + stirling.masked_fill(target <= 1, 0)
    return reduced(losses, reduction)


def gaussian_nll_loss(input, target, var, full=False, eps=1e-6, reduction="mean"):
    """(log(var) + (input - target)² / var) / 2; `full` adds the constant."""
    if not isinstance(var, Tensor):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = row["full"](tuple(input.shape), var, dtype=input.dtype)
    elif bool((var < 0).any()):
        raise ValueError("var has negative entry/entries")
    if var.size() != input.size():
        if input.size()[:-1] == var.size():
            var = var.unsqueeze(-1)
        elif not same_but_ones(var.size(), input.size()):
            raise ValueError("var is of incorrect size")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(reduction + " is not valid")
    var = var + (var.detach().clamp_min(eps) - var.detach())  # kept from 0, but not its gradient
    losses = 0.5 * (var.log() + (input - target) ** 2 / var)
    if full:
        losses = losses + 0.5 * math.log(2 * math.pi)
    return reduced(losses, reduction)


def same_but_ones(size, other):
    """Whether one size is the other with one dim, or more, of 1."""
    return len(size) == len(other) and all(n in (1, m) for n, m in zip(size, other))


def ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=0, reduction="mean",
             zero_infinity=False):  # fmt: skip
    """-log of the probability of all ways to emit the targets with blanks between them.

    log_probs (time, batch, classes), or without batch; targets (batch, longest), or all of them one
    after the other; the mean divides each loss by its target's length first.
    """
    if log_probs.dim() == 2:
        log_probs = log_probs.unsqueeze(1)
        loss = ctc_loss(log_probs, targets.reshape((1, -1)), one(input_lengths),
                        one(target_lengths), blank, reduction, zero_infinity)  # fmt: skip
        return loss.squeeze(0) if reduction == "none" else loss
    lengths = as_lengths(target_lengths)
    losses = row["_ctc_loss"](log_probs, targets.to(dt.int64), as_lengths(input_lengths), lengths,
                              blank, bool(zero_infinity))  # fmt: skip
    if reduction == "mean":
        losses = losses / lengths.clamp_min(1)
    return reduced(losses, reduction)


def one(length):
    """The length of a single sample, as that of a batch."""
    return length.reshape((1,)) if isinstance(length, Tensor) else (length,)


def as_lengths(lengths):
    """Lengths as an int64 tensor."""
    from flambeau import tensor

    if isinstance(lengths, Tensor):
        return lengths.to(dt.int64)
    return tensor(list(lengths), dtype=dt.int64)


def linear_cross_entropy(input, linear_weight, target, *, linear_bias=None, weight=None,
                         reduction="mean", ignore_index=None, label_smoothing=0.0,
                         options=None):  # fmt: skip
    """cross_entropy of linear(input, linear_weight, linear_bias).

    linear_weight (classes, *d, features) gives scores (batch, classes, *d). `options` say how to
    save memory; here the compiler decides that.
    """
    if input.shape[-1] != linear_weight.shape[-1]:
        raise RuntimeError("expected equal input and linear_weight last dimensions (in_features), "
                           f"got {input.shape[-1]} and {linear_weight.shape[-1]}, "
                           "respectively")  # fmt: skip
    sizes = tuple(linear_weight.shape[:-1])
    check_classes(input, sizes, target, weight, label_smoothing)
    if target.dtype.kind == "f" and ignore_index is not None:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    flat = None if linear_bias is None else linear_bias.reshape((-1,))
    scores = linear(input, linear_weight.reshape((-1, linear_weight.shape[-1])), flat)
    scores = scores.view((*input.shape[:-1], *sizes))
    ignored = -100 if ignore_index is None else ignore_index
    return cross_entropy(scores, target, weight, ignore_index=ignored, reduction=reduction,
                         label_smoothing=label_smoothing)  # fmt: skip


def check_weighting(classes, weight, label_smoothing):
    """A weight for each class, and a smoothing from 0 to 1."""
    if weight is not None and tuple(weight.shape) != (classes,):
        raise RuntimeError(f"expected weight shape to be {(classes,)}, got {tuple(weight.shape)}")
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"expected label_smoothing to be in range [0, 1], got {label_smoothing}")


def check_classes(input, sizes, target, weight, label_smoothing):
    """Sizes and types that fit, in PyTorch's words."""
    if input.dim() not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {input.dim()}")
    if len(sizes) > 1 and input.dim() < 2:
        raise RuntimeError(f"K-dimensional loss defined by linear_weight shape "
                           f"{(*sizes, input.shape[-1])} requires batched input")  # fmt: skip
    check_weighting(sizes[0], weight, label_smoothing)
    if input.dim() > 1 and target.dim() and target.shape[0] != input.shape[0]:
        raise ValueError(f"Expected input batch_size ({input.shape[0]}) to match target batch_size "
                         f"({target.shape[0]}).")  # fmt: skip
