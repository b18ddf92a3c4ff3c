"""View rows: other sizes and strides on the same memory.

A view that can begin elsewhere (select, slice) is recorded with `start`, which is a run-time
input and which its derivative reads as `call.start`: the gradient goes back into zeros,
where the view was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau.ir import dtype as dt
from flambeau.ir.layout import Ints, Spec, extent, overlaps_itself
from flambeau.ir.op import Op
from flambeau.ops.declare import view
from flambeau.ops.samples import no_samples
from flambeau.trace.modes import Mode


def row(
    signature: str, shape: Callable[..., Any], grad: Callable[..., Any] | None, **more: Any
) -> Op:
    """A view row; it is no function of its own, but what methods record."""
    formulas = {} if grad is None else dict(input=grad)
    return view(signature, public="", shape=shape, grad=formulas, samples=no_samples, **more)


# ------------------------------------------------------------------ other sizes


def given(mode: Mode, input: Spec, size: Ints, stride: Ints) -> Any:
    """Size and stride that the method worked out."""
    return size, stride


def back(g: Any, call: Any) -> Any:
    return g.reshape(call.input.size)


reshaped = row("view(input, size, stride)", given, back)
unsafe = row("unsafe_reshape(input, size, stride)", given, back, node="UnsafeViewBackward0")
squeeze = row("squeeze(input, size, stride)", given, back)
squeeze_dim = row("squeeze_dim(input, size, stride)", given, back, node="SqueezeBackward1")
squeeze_dims = row("squeeze_dims(input, size, stride)", given, back, node="SqueezeBackward2")
unsqueeze = row("unsqueeze(input, size, stride)", given, back)
alias = row("alias(input, size, stride)", given, lambda g: g)
expand = row("expand(input, size, stride)", given, lambda g, call: g.sum_to_size(call.input.size))

as_type = row(  # the same bytes as another type: no derivative
    "view_dtype(input, size, stride, dtype)",
    lambda mode, input, size, stride, dtype: (size, stride, dtype),
    None,
)

# ------------------------------------------------------------------ other orders


def permuted(mode: Mode, input: Spec, dims: Ints) -> Any:
    return tuple(input.size[d] for d in dims), tuple(input.stride[d] for d in dims)


def permuted_back(g: Any, call: Any) -> Any:
    """The inverse permutation."""
    return g.permute(tuple(call.dims.index(d) for d in range(len(call.dims))))


permute = row("permute(input, dims)", permuted, permuted_back)
transpose = row("transpose(input, dims)", permuted, permuted_back)
t = row("t(input, dims)", permuted, permuted_back)

# ------------------------------------------------------------------ parts


def zeros_with(g: Any, size: Ints, place: Any) -> Any:
    """Zeros of `size` in which the view `place(zeros)` is g."""
    zeros = g.new_zeros(size)
    place(zeros).copy_(g)
    return zeros


def sliced(mode: Mode, input: Spec, dim: int, length: int, step: int) -> Any:
    size, stride = list(input.size), list(input.stride)
    size[dim], stride[dim] = length, stride[dim] * step
    return tuple(size), tuple(stride)


def slice_of(z: Any, call: Any) -> Any:
    return z._slice(call.dim, call.start, call.length, call.step)


def slice_back(g: Any, call: Any) -> Any:
    return zeros_with(g, call.input.size, lambda z: slice_of(z, call))


def selected(mode: Mode, input: Spec, dim: int) -> Any:
    size, stride = input.size, input.stride
    return size[:dim] + size[dim + 1 :], stride[:dim] + stride[dim + 1 :]


def select_of(z: Any, call: Any) -> Any:
    return z.select(call.dim, call.start)


def select_back(g: Any, call: Any) -> Any:
    return zeros_with(g, call.input.size, lambda z: select_of(z, call))


select = row("select(input, dim)", selected, select_back)
unbind = row("unbind(input, dim)", selected, select_back)
slice_ = row("slice(input, dim, length, step)", sliced, slice_back)
split = row("split(input, dim, length, step)", sliced, slice_back)
split_with_sizes = row("split_with_sizes(input, dim, length, step)", sliced, slice_back)

# Parts, of which a tensor may have many: row → (a gradient of the whole, call) → the same part.
PARTS: dict[Op, Callable[..., Any]] = {select: select_of, unbind: select_of} | dict.fromkeys(
    (slice_, split, split_with_sizes), slice_of
)


def diagonal_of(mode: Mode, input: Spec, offset: int, dim1: int, dim2: int) -> Any:
    """The diagonal goes last."""
    rest = [d for d in range(input.ndim) if d not in (dim1, dim2)]
    rows, columns = input.size[dim1], input.size[dim2]
    length = min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns)
    step = input.stride[dim1] + input.stride[dim2]
    return (*(input.size[d] for d in rest), max(length, 0)), (
        *(input.stride[d] for d in rest),
        step,
    )


diagonal = row(
    "diagonal(input, offset, dim1, dim2)",
    diagonal_of,
    lambda g, call: zeros_with(
        g, call.input.size, lambda z: z.diagonal(call.offset, call.dim1, call.dim2)
    ),
)


def unfolded(mode: Mode, input: Spec, dim: int, length: int, step: int) -> Any:
    """Windows along a dim: their number stands there, what is in them goes last."""
    count = (input.size[dim] - length) // step + 1
    size = (*input.size[:dim], count, *input.size[dim + 1 :], length)
    at = input.stride[dim]
    return size, (*input.stride[:dim], at * step, *input.stride[dim + 1 :], at)


def strided_back(g: Any, size: Ints, stride: Ints, start: int, spec: Spec) -> Any:
    """Add g where an as_strided view of `spec` was, in memory that is laid out as spec's was."""
    if overlaps_itself(spec.size, spec.stride):
        raise NotImplementedError(
            "the derivative of as_strided of a tensor that overlaps itself; clone() it first"
        )
    low = min(start, 0)
    length = max(start + extent(size, stride), spec.extent) - low
    memory = g.new_zeros((length,))
    if overlaps_itself(size, stride):
        places = g.new_ones((length,), dtype=dt.int64).cumsum(0) - 1
        memory.index_add_(
            0, places.as_strided(size, stride, start - low).reshape(-1), g.reshape(-1)
        )
    else:
        memory.as_strided(size, stride, start - low).copy_(g)
    return memory.as_strided(spec.size, spec.stride, -low).clone()


def as_strided_back(g: Any, call: Any) -> Any:
    return strided_back(g, call.size, call.stride, call.start or 0, call.input)


def unfold_back(g: Any, call: Any) -> Any:
    from flambeau.ir.layout import contiguous_strides, spec_of

    plain = spec_of(call.input.size, contiguous_strides(call.input.size), call.input.dtype)
    size, stride = unfolded(None, plain, call.dim, call.length, call.step)  # type: ignore[arg-type]
    return strided_back(g, size, stride, 0, plain)


as_strided = row("as_strided(input, size, stride)", given, as_strided_back)
unfold = row("unfold(input, dim, length, step)", unfolded, unfold_back)
