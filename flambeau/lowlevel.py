"""What torch has below nn.functional: the same losses and dropouts, with their codes and switches.

A reduction is a number here (0 none, 1 mean, 2 sum), 0 where none is given, `train` stands for
`training`, and nothing is checked twice. Imported when one of them is first asked for.
"""

from __future__ import annotations

from typing import Any

from flambeau import embeddings, likelihoods, losses, margins, noise, products
from flambeau.autograd.modes import no_grad
from flambeau.nn import functional as F
from flambeau.tensor import FUNCTIONS as row

# ------------------------------------------------------------------ losses


def words(name: str, reduction: Any) -> str:
    """The word for a reduction's number; unknown numbers reduce nothing, as in PyTorch."""
    if not isinstance(reduction, int) or isinstance(reduction, bool):
        raise TypeError(f"{name}(): argument 'reduction' must be int, not "
                        f"{type(reduction).__name__}")  # fmt: skip
    return {1: "mean", 2: "sum"}.get(reduction, "none")


def kl_div(input: Any, target: Any, reduction: int = 0, *, log_target: bool = False) -> Any:
    """KL divergence of distributions given as logarithms; see nn.functional.kl_div."""
    word = words("kl_div", reduction)
    loss = losses.kl_div(input, target, reduction="none", log_target=log_target)
    return loss if word == "none" else getattr(loss, word)()


def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, pos_weight: Any = None, reduction: int = 0
) -> Any:
    """Cross entropy of yes-or-no questions; see nn.functional."""
    return losses.binary_cross_entropy_with_logits(
        input, target, weight, pos_weight=pos_weight,
        reduction=words("binary_cross_entropy_with_logits", reduction),
    )  # fmt: skip


def cosine_embedding_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: int = 0
) -> Any:
    """See nn.functional.cosine_embedding_loss."""
    word = words("cosine_embedding_loss", reduction)
    return margins.cosine_embedding_loss(input1, input2, target, margin, reduction=word)


def hinge_embedding_loss(input: Any, target: Any, margin: float = 1.0, reduction: int = 0) -> Any:
    """See nn.functional.hinge_embedding_loss."""
    word = words("hinge_embedding_loss", reduction)
    return margins.hinge_embedding_loss(input, target, margin, reduction=word)


def margin_ranking_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: int = 0
) -> Any:
    """See nn.functional.margin_ranking_loss."""
    word = words("margin_ranking_loss", reduction)
    return margins.margin_ranking_loss(input1, input2, target, margin, reduction=word)


def triplet_margin_loss(
    anchor: Any, positive: Any, negative: Any, margin: float = 1.0, p: float = 2.0,
    eps: float = 1e-6, swap: bool = False, reduction: int = 0,
) -> Any:  # fmt: skip
    """See nn.functional.triplet_margin_loss."""
    word = words("triplet_margin_loss", reduction)
    return margins.triplet_margin_loss(
        anchor, positive, negative, margin, p, eps, swap, reduction=word
    )


def poisson_nll_loss(
    input: Any, target: Any, log_input: bool, full: bool, eps: float, reduction: int
) -> Any:
    """See nn.functional.poisson_nll_loss; nothing has a default."""
    word = words("poisson_nll_loss", reduction)
    return likelihoods.poisson_nll_loss(
        input, target, log_input=log_input, full=full, eps=eps, reduction=word
    )


def ctc_loss(
    log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int = 0,
    reduction: int = 0, zero_infinity: bool = False,
) -> Any:  # fmt: skip
    """See nn.functional.ctc_loss."""
    word = words("ctc_loss", reduction)
    return likelihoods.ctc_loss(
        log_probs, targets, input_lengths, target_lengths, blank, word, zero_infinity
    )


# ------------------------------------------------------------------ dropout


def check(p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {p}")


def dropout(input: Any, p: float, train: bool) -> Any:
    """See nn.functional.dropout."""
    check(p)
    return F.dropout(input, p, train)


def dropout_(input: Any, p: float, train: bool) -> Any:
    """dropout, over the input."""
    check(p)
    return F.dropout(input, p, train, True)


def feature_dropout(input: Any, p: float, train: bool) -> Any:
    """Zero whole channels; see nn.functional.dropout2d."""
    check(p)
    return noise.of_channels(input, p, train, False)


def feature_dropout_(input: Any, p: float, train: bool) -> Any:
    """feature_dropout, over the input."""
    check(p)
    return noise.of_channels(input, p, train, True)


def alpha_dropout_(input: Any, p: float, train: bool) -> Any:
    """alpha_dropout, over the input."""
    check(p)
    return noise.alpha_dropout(input, p, train, True)


def feature_alpha_dropout_(input: Any, p: float, train: bool) -> Any:
    """feature_alpha_dropout, over the input."""
    check(p)
    return noise.feature_alpha_dropout(input, p, train, True)


def native_dropout(input: Any, p: float, train: bool | None) -> tuple[Any, Any]:
    """The result of dropout, and which elements were kept; `train` may be None for True."""
    if train is False or not input.numel():
        return input.clone(), input.new_ones(input.shape).bool()
    if p == 1:
        kept = noise.empty_like(input).zero_()
    else:
        kept = noise.kept(input, p, False)
    scale = 0.0 if p == 1 else 1 / (1 - p)
    return input * kept * scale, kept.bool()


# ------------------------------------------------------------------ layers


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """See nn.functional.bilinear."""
    return products.bilinear(input1, input2, weight, bias)


@no_grad()
def embedding_renorm_(input: Any, indices: Any, max_norm: float, norm_type: float) -> Any:
    """Shorten the rows of a table that are used and longer than max_norm."""
    embeddings.shorten(indices, input, max_norm, norm_type)
    return input


def norm_except_dim(v: Any, pow: int = 2, dim: int = 0) -> Any:
    """The norm over all dims but one, which stays with the others as ones; -1: over all."""
    if dim == -1:
        return v.norm(pow)
    if dim not in (0, v.ndim - 1):
        return norm_except_dim(v.transpose(0, dim), pow, 0).transpose(0, dim)
    others = [d for d in range(v.ndim) if d != dim]
    return v.norm(pow, others, keepdim=True)


def native_channel_shuffle(input: Any, groups: int) -> Any:
    """See nn.functional.channel_shuffle."""
    return F.channel_shuffle(input, groups)


def spmm(input: Any, mat2: Any) -> Any:
    """A matrix product: both are dense."""
    return row["mm"](input, mat2)


dsmm = spmm
