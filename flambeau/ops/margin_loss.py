"""Composite rows: losses that ask for a margin between scores."""

from __future__ import annotations

from typing import Any

from flambeau.ir import dtype as dt
from flambeau.ir.layout import Spec, broadcast_sizes
from flambeau.ir.op import Bound
from flambeau.ops.declare import composite
from flambeau.ops.loss import (
    REDUCTIONS,
    check_reduction,
    numel_of,
    over,
    pairs,
    refuse_gradient,
    share,
)
from flambeau.ops.samples import Sample
from flambeau.ops.softmax import wide
from flambeau.trace.modes import Mode

# ------------------------------------------------------------------ one number, yes or no


def soft_margin_expand(input: Any, target: Any, reduction: str) -> Any:
    """log(1 + exp(-t x))."""
    return over((-wide(target) * wide(input)).exp().log1p(), reduction).to(input.dtype)


def soft_margin_grad(g: Any, input: Any, target: Any, call: Any) -> Any:
    slope = -target * (-target * input).sigmoid()
    return share(g, call.reduction, numel_of(call)) * slope.conj()


def soft_margin_shape(mode: Mode, input: Spec, target: Spec, reduction: str) -> Any:
    if mode.grad and target.requires_grad:
        raise RuntimeError("The function 'soft_margin_loss' is not differentiable with respect to "
                           "argument 'target'. This input cannot have requires_grad "
                           "True.")  # fmt: skip
    check_reduction(reduction)
    size = broadcast_sizes([input.size, target.size])
    dtype = dt.promote(input.dtype, target.dtype)
    if dtype.kind not in "fc":
        raise NotImplementedError(f"\"soft_margin_loss\" not implemented for '{dtype.legacy}'")
    return ((size if reduction == "none" else (), dtype),)


soft_margin_loss = composite(
    "soft_margin_loss(input, target, reduction='mean')",
    public="",
    shape=soft_margin_shape,
    expand=soft_margin_expand,
    grad=dict(input=soft_margin_grad),
    samples=pairs(),
)

# ------------------------------------------------------------------ one class


def rows_of(input: Any) -> Any:
    """One sample as a batch of one."""
    return input if input.ndim == 2 else input.reshape((1, -1))


def classes_of(x: Any) -> Any:
    """0, 1, … for the columns of x."""
    return x.new_ones((x.shape[1],), dtype=dt.int64).cumsum(0) - 1


def multi_margin_arguments(input: Spec, target: Spec, weight: Any, reduction: str, p: Any,
                           margin: Any) -> Any:  # fmt: skip
    """Sizes and types that fit, in PyTorch's words."""
    check_reduction(reduction)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if input.ndim > 2 or 0 in input.size[1:] or input.size == (0,):
        raise RuntimeError("Expected non-empty vector or matrix with optional 0-dim batch size, "
                           f"but got: {list(input.size)}")  # fmt: skip
    samples = input.size[0] if input.ndim == 2 else 1
    if target.ndim > 1 or target.numel != samples:
        raise RuntimeError("multi_margin_loss: target tensor should be 1-D with size equal to the "
                           "number of input samples (batch size). Expected target size "
                           f"[{samples}], but got {list(target.size)}. Input has shape "
                           f"{list(input.size)}.")  # fmt: skip
    classes = input.size[-1] if input.size else 1
    if weight is not None and weight.ndim != 1:
        raise ValueError("weight must be one-dimensional")
    if weight is not None and weight.size != (classes,):
        raise RuntimeError(f"inconsistent weight size, expected {classes} but got "
                           f"{list(weight.size)}")  # fmt: skip
    check_types("multi_margin_loss_cpu_kernel", input, target)
    return input, target, weight, reduction, int(p), margin


def check_types(kernel: str, input: Spec, target: Spec) -> None:
    if target.dtype is not dt.int64:
        raise RuntimeError(f"expected scalar type Long but found {target.dtype.legacy}")
    if input.dtype not in (dt.float32, dt.float64):
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{input.dtype.legacy}'")


def target_bounds(low: int, input: Spec, words: str) -> list[Bound]:
    """What the target may hold."""
    classes = input.size[-1] if input.size else 1

    def check(target: Any) -> None:
        if ((target < low) | (target >= classes)).any():
            raise RuntimeError(words)

    return [Bound("target", low, classes, check)]


def multi_margin_shape(mode: Mode, input: Spec, target: Spec, weight: Any, reduction: str,
                       *rest: Any) -> Any:  # fmt: skip
    refuse_gradient(mode, "multi_margin_loss", *([weight] if weight is not None else []))
    return ((target.size if reduction == "none" else (), input.dtype),)


def class_margins(input: Any, target: Any, weight: Any, margin: Any) -> tuple[Any, Any, Any]:
    """How far each class comes too near the target's, its weight, and the target as one-hot."""
    x, index = rows_of(input), target.reshape((-1, 1))
    own = classes_of(x) == index
    gap = x - x.gather(1, index) + margin
    near = gap.masked_fill((gap > 0).logical_not() | own, 0)
    scale = 1 / x.shape[1]
    if weight is None:
        return near, scale, own
    return near, weight.index_select(0, index.reshape(-1)).unsqueeze(1) * scale, own


def multi_margin_expand(input: Any, target: Any, weight: Any, reduction: str, p: int,
                        margin: Any) -> Any:  # fmt: skip
    """Σ max(0, margin - x[target] + x[i])ᵖ w[target] / classes."""
    near, scale, _ = class_margins(input, target, weight, margin)
    losses = ((near if p == 1 else near * near) * scale).masked_fill(near == 0, 0).sum(1)
    return over(losses.reshape(target.shape), reduction)


def multi_margin_grad(g: Any, input: Any, target: Any, weight: Any, call: Any) -> Any:
    near, scale, own = class_margins(input, target, weight, call.margin)
    slope = ((near > 0).to(input.dtype) if call.p == 1 else near * 2) * scale
    slope = slope.where(own.logical_not(), -slope.sum(1, keepdim=True))
    g = share(g, call.reduction, call.target.numel)
    return (g.expand(call.target.size).reshape((-1, 1)) * slope).reshape(call.input.size)


def multi_margin_samples(new: Any) -> Any:
    for reduction in REDUCTIONS:
        for size, p, margin in (((5, 3), 1, 1.0), ((17, 10), 2, 0.5), ((4,), 1, 0.7)):
            target = new.index(*size[:-1], high=size[-1])
            yield Sample(new(*size), target, None, reduction, p, margin)
            yield Sample(new(*size), target, new(size[-1], low=0.2), reduction, p, margin)


multi_margin_loss = composite(
    "multi_margin_loss(input, target, weight=None, reduction='mean', p=1, margin=1.0)",
    public="",
    numbers=("margin",),
    clean=multi_margin_arguments,
    shape=multi_margin_shape,
    expand=multi_margin_expand,
    bounds=lambda input, *rest: target_bounds(0, input, "target out of range"),
    grad=dict(input=multi_margin_grad),
    samples=multi_margin_samples,
    may_fail=True,
)

# ------------------------------------------------------------------ several classes


def multilabel_arguments(input: Spec, target: Spec, reduction: str) -> Any:
    check_reduction(reduction)
    if input.ndim > 2 or 0 in input.size[1:]:
        raise RuntimeError("Expected non-empty vector or matrix with optional 0-dim batch size, "
                           f"but got: {list(input.size)}")  # fmt: skip
    if target.size != input.size:
        raise RuntimeError(f"inconsistent target size: {list(target.size)} for input of size: "
                           f"{list(input.size)}")  # fmt: skip
    check_types("multilabel_margin_loss_forward_out_frame", input, target)
    return input, target, reduction


def label_margins(input: Any, target: Any) -> tuple[Any, Any]:
    """How far each class comes too near each target, (batch, targets, classes), and which is which.

    The targets end at the first -1.
    """
    x, index = rows_of(input), rows_of(target)
    counts = (index < 0).cumsum(1) == 0
    index = index.where(index != -1, index.new_zeros(()))
    same = (classes_of(x) == index.unsqueeze(2)) & counts.unsqueeze(2)
    gap = 1 - x.gather(1, index).unsqueeze(2) + x.unsqueeze(1)
    pairs = counts.unsqueeze(2) & same.any(1, keepdim=True).logical_not()
    return gap.masked_fill((pairs & (gap > 0)).logical_not(), 0), same


def multilabel_expand(input: Any, target: Any, reduction: str) -> Any:
    """Σ max(0, 1 - x[target] + x[i]) / classes, over all targets and all other classes."""
    if not input.ndim:
        return over(input * 0, reduction)
    losses = label_margins(input, target)[0].sum((1, 2)) / input.shape[-1]
    return over(losses.reshape(input.shape[:-1]), reduction)


def multilabel_grad(g: Any, input: Any, target: Any, call: Any) -> Any:
    if not call.input.ndim:
        return g * 0
    near, same = label_margins(input, target)
    near = (near > 0).to(input.dtype)
    slope = near.sum(1) - (near.sum(2, keepdim=True) * same).sum(1)
    classes = call.input.size[-1]
    g = share(g, call.reduction, call.input.numel // classes) / classes
    return (g.expand(call.input.size[:-1]).reshape((-1, 1)) * slope).reshape(call.input.size)


def multilabel_samples(new: Any) -> Any:
    for reduction in REDUCTIONS:
        for size in ((5, 3), (4, 7), (4,)):
            yield Sample(new(*size), new.index(*size, high=size[-1]), reduction)


multilabel_margin_loss = composite(
    "multilabel_margin_loss(input, target, reduction='mean')",
    public="",
    clean=multilabel_arguments,
    shape=lambda mode, input, target, reduction: (
        (input.size[:-1] if reduction == "none" else (), input.dtype),
    ),
    expand=multilabel_expand,
    bounds=lambda input, *rest: target_bounds(-1, input, "argument #2 'target' is out of range"),
    grad=dict(input=multilabel_grad),
    samples=multilabel_samples,
    may_fail=True,
)
