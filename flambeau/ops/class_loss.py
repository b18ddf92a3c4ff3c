"""Losses of classifiers, and the rows that class indices need."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.dtype import DType
from flambeau.ir.layout import Ints, Spec
from flambeau.ir.op import Bound, Op
from flambeau.ops.activation import linked
from flambeau.ops.declare import composite, elementwise, structured
from flambeau.ops.functions import function_of
from flambeau.ops.loss import REDUCTIONS, check_reduction, over, refuse_gradient, weighted
from flambeau.ops.samples import Sample, no_samples
from flambeau.ops.softmax import wide
from flambeau.trace.modes import Mode


def class_dim(ndim: int) -> int:
    return 0 if ndim == 1 else 1


def checked_classes(index: Any, classes: int, ignore: int) -> Any:
    """Where an index counts, and the index with 0 where it does not."""
    counts = index != ignore
    wrong = counts & ((index < 0) | (index >= classes))
    if np.any(wrong):
        raise IndexError(f"Target {index[wrong].flat[0]} is out of bounds.")
    return counts, np.where(counts, index, 0).astype(np.int64)


def pick_numpy(x: Any, index: Any, ignore: int) -> Any:
    """x at each index along the class dim; 0 where the index is ignored."""
    dim = class_dim(x.ndim)
    counts, index = checked_classes(index, x.shape[dim], ignore)
    taken = np.take_along_axis(x, np.expand_dims(index, dim), dim).squeeze(dim)
    return np.where(counts, taken, 0)


def place_numpy(g: Any, index: Any, classes: int, ignore: int) -> Any:
    """Zeros, but g at each index along a new class dim."""
    dim = class_dim(index.ndim + 1)
    counts, index = checked_classes(index, classes, ignore)
    out = np.zeros(with_classes(index.shape, classes), g.dtype)
    values = np.expand_dims(np.where(counts, g, 0), dim)
    np.put_along_axis(out, np.expand_dims(index, dim), values, dim)
    return out


def with_classes(size: Ints, classes: int) -> Ints:
    dim = class_dim(len(size) + 1)
    return (*size[:dim], classes, *size[dim:])


pick_class = structured(
    "pick_class(input, index, ignore)",
    public="",
    shape=lambda mode, input, index, ignore: ((index.size, input.dtype),),
    numpy=pick_numpy,
    grad=dict(
        input=lambda g, index, call: PLACE(
            g, index, call.input.size[class_dim(call.input.ndim)], call.ignore
        )
    ),
    samples=no_samples,
    may_fail=True,
)

place_class = structured(
    "place_class(input, index, classes, ignore)",
    public="",
    shape=lambda mode, input, index, classes, ignore: (
        (with_classes(index.size, classes), input.dtype),
    ),
    numpy=place_numpy,
    grad=dict(input=lambda g, index, call: PICK(g, index, call.ignore)),
    samples=no_samples,
    may_fail=True,
)

counts_class = elementwise(
    "counts_class(target, ignore)",  # not `ne`: what is static is the same forward and backward
    public="",
    dtype=lambda mode, target, ignore: (dt.int64, dt.bool_),  # `ignore` may not fit a byte
    numpy=lambda target, ignore: target != ignore,
    scalar=lambda k, target, ignore: k.ne(target, ignore),
    samples=no_samples,
    inplace=False,
)

PICK: Any = function_of(pick_class)
PLACE: Any = function_of(place_class)
COUNTS: Any = function_of(counts_class)


def nll_arguments(input: Spec, target: Spec, weight: Any, reduction: str, ignore: int) -> Any:
    """Sizes that fit, in PyTorch's words."""
    check_reduction(reduction)
    if input.ndim == 0 or target.ndim + 1 != input.ndim:
        raise RuntimeError(f"0D or 1D target tensor expected, multi-target not supported\n  given: "
                           f"input {input}, target {target}") if input.ndim < 3 else RuntimeError(
            f"only batches of spatial targets supported ({input.ndim - 1}D tensors) but got "
            f"targets of dimension: {target.ndim}")  # fmt: skip
    if target.dtype not in (dt.int64, dt.uint8):
        raise RuntimeError(
            f"expected target dtype to be Long or Byte, but got {target.dtype.legacy}"
        )
    classes = input.size[class_dim(input.ndim)]
    if input.ndim > 2 and target.size[:1] == input.size[:1]:
        expected = [input.size[0], *input.size[2:]]
        if list(target.size) != expected:
            raise RuntimeError(f"Expected target size {expected}, got {list(target.size)}")
    if with_classes(target.size, classes) != input.size:
        raise ValueError(f"Expected input batch_size ({input.size[0]}) to match target batch_size "
                         f"({target.size[0]}).")  # fmt: skip
    if weight is not None and weight.size != (classes,):
        raise RuntimeError(f"weight tensor should be defined either for all {classes} classes or "
                           "no classes but got weight tensor of shape: "
                           f"{list(weight.size)}")  # fmt: skip
    return input, target, weight, reduction, int(ignore)


def class_bounds(
    input: Spec, target: Spec, weight: Any, reduction: str, ignore: int
) -> list[Bound]:
    """What the target may hold, besides `ignore`."""
    classes = input.size[class_dim(input.ndim)]
    return [Bound("target", 0, classes, lambda index: checked_classes(index, classes, ignore))]


def nll_shape(
    mode: Mode, input: Spec, target: Spec, weight: Any, reduction: str, ignore: int
) -> Any:
    dtype: DType = input.dtype
    refuse_gradient(mode, "nll_loss_forward", *([weight] if weight is not None else []))
    if dtype.kind != "f":
        raise NotImplementedError(f"\"nll_loss_out_frame\" not implemented for '{dtype.legacy}'")
    return ((target.size if reduction == "none" else (), dtype),)


def class_weights(weight: Any, target: Any, ndim: int, ignore: int) -> Any:
    """The weight of each target's class, 0 where it is ignored; without weights, 1."""
    if weight is None:
        return COUNTS(target, ignore)
    classes = weight.shape[0]
    lead = (1,) * class_dim(ndim)
    view = weight.reshape((*lead, classes, *(1,) * (ndim - len(lead) - 1)))
    return PICK(view.expand(with_classes(target.shape, classes)), target, ignore)


def nll_expand(input: Any, target: Any, weight: Any, reduction: str, ignore: int) -> Any:
    """-w[target] · input[target], divided by the sum of the weights for the mean."""
    losses = -PICK(wide(input), target, ignore)
    weights = class_weights(weight, target, input.ndim, ignore)
    losses = weighted(losses, None if weight is None else weights)
    if reduction == "mean":
        return (losses.sum() / weights.sum()).to(input.dtype)
    return over(losses, reduction).to(input.dtype)


def nll_grad(g: Any, input: Any, target: Any, weight: Any, call: Any) -> Any:
    ignore, ndim = call.ignore_index, call.input.ndim
    if call.reduction == "mean" or weight is not None:
        weights = class_weights(weight, target, ndim, ignore)
        g = g / weights.sum() if call.reduction == "mean" else g
        g = weighted(g, None if weight is None else weights)
    classes = call.input.size[class_dim(ndim)]
    return linked(PLACE((-g).expand(call.target.size), target, classes, ignore), input)


def nll_row(name: str, node: str, sizes: Any) -> Op:
    def samples(new: Any) -> Any:
        for reduction in REDUCTIONS:
            for size in sizes:
                classes = size[class_dim(len(size))]
                target = new.index(*size[: class_dim(len(size))], *size[2:], high=classes)
                yield Sample(new(*size), target, None, reduction)
                yield Sample(new(*size), target, new(classes, low=0.2), reduction, 1)

    return composite(
        f"{name}(input, target, weight=None, reduction='mean', ignore_index=-100)",
        public="",
        node=node,
        clean=nll_arguments,
        shape=nll_shape,
        expand=nll_expand,
        bounds=class_bounds,
        grad=dict(input=nll_grad),
        samples=samples,
        may_fail=True,
    )


nll_loss = nll_row("nll_loss", "NllLossBackward0", ((5, 3), (17, 10), (4,)))
nll_loss2d = nll_row("nll_loss2d", "NllLoss2DBackward0", ((2, 3, 4), (2, 3, 4, 5)))
