"""Losses of margins and distances, as torch.nn.functional has them."""

from __future__ import annotations

from flambeau.losses import chosen
from flambeau.ops.loss import check_reduction, over
from flambeau.tensor import FUNCTIONS as row
from flambeau.trace.autocast import whole


def reduced(losses, reduction):
    """The mean, the sum, or each of the losses; refuses other words."""
    check_reduction(reduction)
    return over(losses, reduction)


def soft_margin_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    """log(1 + exp(-target · input))."""
    return row["soft_margin_loss"](input, target, chosen(reduction, size_average, reduce))


def multi_margin_loss(input, target, p=1, margin=1.0, weight=None, size_average=None, reduce=None,
                      reduction="mean"):  # fmt: skip
    """Classes whose score comes within the margin of the target's, to the power p."""
    reduction = chosen(reduction, size_average, reduce)
    return row["multi_margin_loss"](input, target, weight, reduction, p, float(margin))


def multilabel_margin_loss(input, target, size_average=None, reduce=None, reduction="mean"):
    """The same for several target classes a sample, which end at the first -1."""
    reduction = chosen(reduction, size_average, reduce)
    return row["multilabel_margin_loss"](input, target, reduction)


def multilabel_soft_margin_loss(input, target, weight=None, size_average=None, reduce=None,
                                reduction="mean"):  # fmt: skip
    """Binary cross entropy of sigmoid(input), averaged over the classes."""
    reduction = chosen(reduction, size_average, reduce)
    losses = -(target * row["logsigmoid"](input) + (1 - target) * row["logsigmoid"](-input))
    losses = losses if weight is None else losses * weight
    losses = losses.sum(dim=input.dim() - 1) / input.size(input.dim() - 1)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(reduction + " is not valid")
    return over(losses, reduction)


@whole("float32")
def margin_ranking_loss(input1, input2, target, margin=0, size_average=None, reduce=None,
                        reduction="mean"):  # fmt: skip
    """max(0, -target · (input1 - input2) + margin)."""
    reduction = chosen(reduction, size_average, reduce)
    if not input1.dim() == input2.dim() == target.dim():
        raise RuntimeError("margin_ranking_loss : All input tensors should have same dimension but "
                           f"got sizes: input1: {input1.size()}, input2: {input2.size()}, target: "
                           f"{target.size()} ")  # fmt: skip
    return reduced((-target * (input1 - input2) + margin).clamp_min(0), reduction)


@whole("float32")
def hinge_embedding_loss(input, target, margin=1.0, size_average=None, reduce=None,
                         reduction="mean"):  # fmt: skip
    """input where the target is 1, max(0, margin - input) where it is -1."""
    reduction = chosen(reduction, size_average, reduce)
    zero = input.new_zeros(())
    apart = (margin - input).clamp_min(0).where(target != 1, zero)
    return reduced(apart + input.where(target != -1, zero), reduction)


COSINE_EPS = 1e-12


@whole("float32")
def cosine_embedding_loss(input1, input2, target, margin=0, size_average=None, reduce=None,
                          reduction="mean"):  # fmt: skip
    """1 - cos where the target is 1, max(0, cos - margin) where it is -1."""
    reduction = chosen(reduction, size_average, reduce)
    if target.dim() not in (0, 1):
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    dim = target.dim()
    if not input1.dim() == input2.dim() == dim + 1:
        raise RuntimeError(f"{dim}D target tensor expects {dim + 1}D input tensors, but found "
                           f"inputs with sizes {list(input1.shape)} and "
                           f"{list(input2.shape)}.")  # fmt: skip
    products = ((input1 * input2).sum(dim), *((x * x).sum(dim) + COSINE_EPS
                                              for x in (input1, input2)))  # fmt: skip
    cosine = products[0] / (products[1] * products[2]).sqrt()
    zero = cosine.new_zeros(())
    near = (1 - cosine).where(target == 1, zero)
    apart = (cosine - margin).clamp_min(0).where(target == -1, zero)
    return reduced(near + apart, reduction)


@whole("float32")
def triplet_margin_loss(anchor, positive, negative, margin=1.0, p=2, eps=1e-6, swap=False,
                        size_average=None, reduce=None, reduction="mean"):  # fmt: skip
    """max(0, distance to the positive - distance to the negative + margin)."""
    reduction = chosen(reduction, size_average, reduce)
    check_margin(margin)
    if not anchor.dim() == positive.dim() == negative.dim():
        raise RuntimeError("The anchor, positive, and negative tensors are expected to have the "
                           f"same number of dimensions, but got: anchor {anchor.dim()}D, positive "
                           f"{positive.dim()}D, and negative {negative.dim()}D inputs")  # fmt: skip
    return of_triplets(euclid(p, eps), anchor, positive, negative, margin, swap, reduction)


def triplet_margin_with_distance_loss(anchor, positive, negative, *, distance_function=None,
                                      margin=1.0, swap=False, reduction="mean"):  # fmt: skip
    """The same with a distance of one's own."""
    check_reduction(reduction)
    check_margin(margin)
    if not anchor.dim() == positive.dim() == negative.dim():
        raise RuntimeError("The anchor, positive, and negative tensors are expected to have the "
                           f"same number of dimensions, but got: anchor {anchor.dim()}D, positive "
                           f"{positive.dim()}D, and negative {negative.dim()}D inputs")  # fmt: skip
    distance = distance_function or euclid()
    return of_triplets(distance, anchor, positive, negative, margin, swap, reduction)


def euclid(p=2.0, eps=1e-6):
    """The p-norm of the difference of two points."""
    from flambeau.nn.functional import pairwise_distance

    return lambda x, y: pairwise_distance(x, y, p, eps)


def check_margin(margin):
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")


def of_triplets(distance, anchor, positive, negative, margin, swap, reduction):
    """The loss of three points; with swap, the nearer of both distances to the negative counts."""
    near, apart = distance(anchor, positive), distance(anchor, negative)
    if swap:
        apart = apart.minimum(distance(positive, negative))
    return reduced((margin + near - apart).clamp_min(0), reduction)
