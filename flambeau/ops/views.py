"""View rows: other sizes and strides on the same memory.

A view that can begin elsewhere (select, slice) is recorded with `start`, which is a run-time input and
which its derivative reads as `call.start`: the gradient goes back into zeros, where the view was.
"""

from __future__ import annotations

from typing import Any

from flambeau.ir.layout import Ints, Spec
from flambeau.ops.declare import view
from flambeau.trace.modes import Mode


def no_samples(new: Any) -> Any:
    """Views are tested through the methods that make them."""
    return iter(())


reshaped = view(
    "view(input, size, stride)",
    public="",
    shape=lambda mode, input, size, stride: (size, stride),
    grad=dict(input=lambda g, call: g.reshape(call.input.size)),
    samples=no_samples,
)


def permuted(mode: Mode, input: Spec, dims: Ints) -> Any:
    return tuple(input.size[d] for d in dims), tuple(input.stride[d] for d in dims)


def inverse(dims: Ints) -> Ints:
    return tuple(dims.index(d) for d in range(len(dims)))


permute = view(
    "permute(input, dims)",
    public="",
    shape=permuted,
    grad=dict(input=lambda g, call: g.permute(inverse(call.dims))),
    samples=no_samples,
)

transpose = view(
    "transpose(input, dims)",
    public="",
    shape=permuted,
    grad=dict(input=lambda g, call: g.permute(inverse(call.dims))),
    samples=no_samples,
)

t = view(
    "t(input, dims)",
    public="",
    node="TBackward0",
    shape=permuted,
    grad=dict(input=lambda g, call: g.permute(inverse(call.dims))),
    samples=no_samples,
)

expand = view(
    "expand(input, size, stride)",
    public="",
    shape=lambda mode, input, size, stride: (size, stride),
    grad=dict(input=lambda g, call: g.sum_to_size(call.input.size)),
    samples=no_samples,
)


def zeros_with(g: Any, size: Ints, place: Any) -> Any:
    """Zeros of `size` in which the view `place(zeros)` is g."""
    zeros = g.new_zeros(size)
    place(zeros).copy_(g)
    return zeros


select = view(
    "select(input, dim)",
    public="",
    shape=lambda mode, input, dim: (
        input.size[:dim] + input.size[dim + 1 :],
        input.stride[:dim] + input.stride[dim + 1 :],
    ),
    grad=dict(
        input=lambda g, call: zeros_with(
            g, call.input.size, lambda z: z.select(call.dim, call.start)
        )
    ),
    samples=no_samples,
)


def sliced(mode: Mode, input: Spec, dim: int, length: int, step: int) -> Any:
    size, stride = list(input.size), list(input.stride)
    size[dim], stride[dim] = length, stride[dim] * step
    return tuple(size), tuple(stride)


slice_ = view(
    "slice(input, dim, length, step)",
    public="",
    shape=sliced,
    grad=dict(
        input=lambda g, call: zeros_with(
            g,
            call.input.size,
            lambda z: z._slice(call.dim, call.start, call.length, call.step),
        )
    ),
    samples=no_samples,
)
