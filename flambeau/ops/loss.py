"""Composite rows: losses of numbers; those of class indices are in class_loss.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.failures import CHECKS
from flambeau.ir.layout import Spec, broadcast_sizes
from flambeau.ir.op import Op
from flambeau.ops.declare import composite, declare, elementwise_result
from flambeau.ops.functions import function_of
from flambeau.ops.samples import Sample, no_samples
from flambeau.ops.softmax import wide
from flambeau.trace.modes import Mode

REDUCTIONS = ("none", "mean", "sum")


def check_reduction(reduction: Any) -> None:
    if reduction not in REDUCTIONS:
        raise ValueError(f"{reduction} is not a valid value for reduction")


def over(losses: Any, reduction: str) -> Any:
    """The mean, the sum, or each of the losses."""
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()


def share(g: Any, reduction: str, count: int) -> Any:
    """The gradient that each loss gets."""
    return g / max(count, 1) if reduction == "mean" else g


# ------------------------------------------------------------------ one number for each element


def loss_shape(kernel: str) -> Callable[..., Any]:
    """All losses, or one number; `reduction` is the last argument but numbers."""

    def shape(mode: Mode, input: Spec, target: Spec, *rest: Any) -> Any:
        refuse_gradient(mode, kernel, *[f for f in rest if isinstance(f, Spec)])
        dtype = dt.promote(input.dtype, target.dtype)
        if dtype.kind != "f":
            raise NotImplementedError(f"\"{kernel}\" not implemented for '{dtype.legacy}'")
        specs = [f for f in (input, target, *rest) if isinstance(f, Spec)]
        size = broadcast_sizes([s.size for s in specs])
        reduction = next(r for r in rest if isinstance(r, str))
        check_reduction(reduction)
        return ((size if reduction == "none" else (), dtype),)

    return shape


def refuse_gradient(mode: Mode, name: str, *weights: Spec) -> None:
    """The weights of a loss have no derivatives."""
    if mode.grad and any(w.requires_grad for w in weights):
        raise RuntimeError(f"The function '{name}' is not differentiable with respect to argument "
                           "'weight'. This input cannot have requires_grad True.")  # fmt: skip


def numel_of(call: Any) -> int:
    """How many losses there are."""
    n = 1
    for size in broadcast_sizes([s.size for s in vars(call).values() if isinstance(s, Spec)]):
        n *= size
    return n


def pair_loss(signature: str, kernel: str, losses: Callable[..., Any], slope: Callable[..., Any],
              samples: Any, **more: Any) -> Op:  # fmt: skip
    """A loss of the difference input - target: its value and its slope, both functions of it."""

    def expand(input: Any, target: Any, reduction: str, *numbers: Any) -> Any:
        difference = wide(input) - wide(target)
        dtype = dt.promote(input.dtype, target.dtype)
        return over(losses(difference, *numbers), reduction).to(dtype)

    def grad(g: Any, input: Any, target: Any, call: Any) -> Any:
        numbers = [getattr(call, name) for name in more.get("numbers", ())]
        return share(g, call.reduction, numel_of(call)) * slope(input - target, *numbers)

    return composite(
        signature,
        public="",
        shape=loss_shape(kernel),
        expand=expand,
        grad=dict(input=grad, target=lambda g, input, target, call: -grad(g, input, target, call)),
        samples=samples,
        **more,
    )


def pairs(**numbers: Any) -> Callable[..., Any]:
    def make(new: Any) -> Any:
        for reduction in REDUCTIONS:
            for size in ((5,), (2, 3), (), (0,), (7, 40)):
                yield Sample(new(*size), new(*size), reduction, **numbers)

    return make


mse_loss = pair_loss(
    "mse_loss(input, target, reduction='mean')", "mse_cpu",
    lambda d: d * d, lambda d: d * 2, pairs(),
)  # fmt: skip


def smooth_l1_losses(d: Any, beta: Any) -> Any:
    z = d.abs()
    return (z * z / beta * 0.5).where(z < beta, z.sub(beta, alpha=0.5))


smooth_l1_loss = pair_loss(
    "smooth_l1_loss(input, target, reduction='mean', beta=1.0)",
    "smooth_l1_cpu",
    smooth_l1_losses,
    lambda d, beta: (d / beta).where(d.abs() < beta, d.sgn()),
    pairs(beta=0.7),
    node="SmoothL1LossBackward0",
    numbers=("beta",),
)


def huber_losses(d: Any, delta: Any) -> Any:
    z = d.abs()
    return (z * z * 0.5).where(z <= delta, z.sub(delta, alpha=0.5) * delta)


huber_loss = pair_loss(
    "huber_loss(input, target, reduction='mean', delta=1.0)",
    "huber_cpu",
    huber_losses,
    lambda d, delta: d.where(d.abs() <= delta, d.sgn() * delta),
    pairs(delta=0.7),
    numbers=("delta",),
)


# ------------------------------------------------------------------ yes or no


def weighted(losses: Any, weight: Any) -> Any:
    return losses if weight is None else losses * weight


def probability_numpy(x: Any, name: str) -> Any:
    """The number itself, if it is between 0 and 1."""
    if not np.all((x >= 0) & (x <= 1)):
        raise CHECKS[f"bce {name}"](0, 0, 0)
    return x


def probability_scalar(k: Any, x: Any, name: str) -> Any:
    """x - 0 where x is between 0 and 1; else a failed check."""
    outside = k.cast(~((x >= 0) & (x <= 1)), dt.int64)
    return x - k.cast(k.check(outside, k.number(1, dt.int64), f"bce {name}"), x.dtype)


probability = declare(
    "elementwise",
    "_probability(input, name)",
    public="",
    infer=lambda mode, input, name: (elementwise_result((input,), input.dtype),),
    compute=lambda mode, input, name: input.dtype,
    numpy=probability_numpy,
    scalar=probability_scalar,
    grad=dict(input=lambda g: g),
    samples=no_samples,
    own_types=True,
    may_fail=True,
)
PROBABILITY: Any = function_of(probability)


def bce_expand(input: Any, target: Any, weight: Any, reduction: str) -> Any:
    """-(t log x + (1 - t) log (1 - x)), with logarithms of at least -100."""
    x, t = PROBABILITY(wide(input), "input"), PROBABILITY(wide(target), "target")
    losses = (t - 1) * (-x).log1p().clamp_min(-100) - t * x.log().clamp_min(-100)
    return over(weighted(losses, weight), reduction).to(input.dtype)


def bce_input_grad(g: Any, input: Any, target: Any, weight: Any, call: Any) -> Any:
    slope = (input - target) / ((1 - input) * input).clamp_min(1e-12)
    return share(g, call.reduction, numel_of(call)) * weighted(slope, weight)


def bce_target_grad(g: Any, input: Any, weight: Any, call: Any) -> Any:
    slope = (1 - input).log().clamp_min(-100) - input.log().clamp_min(-100)
    return share(g, call.reduction, numel_of(call)) * weighted(slope, weight)


def probabilities(new: Any) -> Any:
    for reduction in REDUCTIONS:
        for size in ((5,), (2, 3), (7, 40)):
            x, t = new(*size, low=0.05, high=0.95), new(*size, low=0.05, high=0.95)
            yield Sample(x, t, None, reduction)
        yield Sample(
            new(2, 3, low=0.05, high=0.95), new(2, 3, low=0, high=1), new(3, low=0.5), reduction
        )


binary_cross_entropy = composite(
    "binary_cross_entropy(input, target, weight=None, reduction='mean')",
    public="",
    shape=loss_shape("binary_cross_entropy"),
    expand=bce_expand,
    grad=dict(input=bce_input_grad, target=bce_target_grad),
    samples=probabilities,
    may_fail=True,
)


def logits_expand(input: Any, target: Any, weight: Any, pos_weight: Any, reduction: str) -> Any:
    """(1 - t) x - log sigmoid(x), the second term weighted where the answer is yes."""
    x, t = wide(input), wide(target)
    log = LOGSIGMOID(x)
    log = log if pos_weight is None else log * ((pos_weight - 1) * t + 1)
    return over(weighted((1 - t) * x - log, weight), reduction).to(input.dtype)


def LOGSIGMOID(x: Any) -> Any:  # noqa: N802 min(x, 0) - log(1 + exp(-|x|))
    return x.clamp_max(0) - (-x.abs()).exp().log1p()


def logits_grad(g: Any, input: Any, target: Any, weight: Any, pos_weight: Any, call: Any) -> Any:
    if pos_weight is None:
        slope = input.sigmoid() - target
    else:
        yes = pos_weight * target
        slope = (yes + 1 - target) * input.sigmoid() - yes
    return share(g, call.reduction, numel_of(call)) * weighted(slope, weight)


def logits_target_grad(g: Any, input: Any, weight: Any, pos_weight: Any, call: Any) -> Any:
    slope = -input if pos_weight is None else (
        LOGSIGMOID(-input) - LOGSIGMOID(input) * pos_weight)  # fmt: skip
    return share(g, call.reduction, numel_of(call)) * weighted(slope, weight)


def logits(new: Any) -> Any:
    for reduction in REDUCTIONS:
        for size in ((5,), (2, 3), (7, 40)):
            yield Sample(new(*size), new(*size, low=0, high=1), None, None, reduction)
        yield Sample(
            new(2, 3), new(2, 3, low=0, high=1), new(3, low=0.5), new(3, low=0.5), reduction
        )


bce_with_logits = composite(
    "binary_cross_entropy_with_logits(input, target, weight=None, pos_weight=None, "
    "reduction='mean')",
    public="",
    shape=loss_shape("binary_cross_entropy_with_logits"),
    expand=logits_expand,
    grad=dict(input=logits_grad, target=logits_target_grad),
    samples=logits,
)
