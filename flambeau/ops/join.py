"""Rows that put tensors together or lay one out anew: cat, stack, repeat, roll, flip, pad."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.layout import Ints, Spec
from flambeau.ops.declare import structured
from flambeau.ops.rules import one_dim
from flambeau.ops.samples import Refused, Sample, no_samples
from flambeau.trace.modes import Mode

# ------------------------------------------------------------------ cat, stack


def counts(spec: Spec) -> bool:
    """cat leaves out empty tensors of one dim, whatever the others look like."""
    return spec.size != (0,)


def clean_cat(tensors: Any, dim: Any) -> Any:
    """The dim from the front, by the first tensor that counts."""
    if not tensors:
        raise ValueError("torch.cat(): expected a non-empty list of Tensors")
    for n, spec in enumerate(tensors):
        if not spec.size:
            raise RuntimeError(f"zero-dimensional tensor (at position {n}) cannot be concatenated")
    first = next(filter(counts, tensors), tensors[0])
    return tensors, one_dim(dim, first.ndim)


def common(tensors: Any) -> dt.DType:
    dtype = tensors[0].dtype
    for spec in tensors[1:]:
        dtype = dt.promote(dtype, spec.dtype)
    return dtype


def cat_shape(mode: Mode, tensors: Any, dim: int) -> Any:
    parts = [s for s in tensors if counts(s)] or [tensors[0]]
    size = list(parts[0].size)
    for n, spec in enumerate(tensors):
        if counts(spec):
            check_beside(size, spec.size, dim, n)
    size[dim] = sum(s.size[dim] for s in parts)
    return ((tuple(size), common(tensors)),)


def check_beside(size: list[int], other: Ints, dim: int, n: int) -> None:
    if len(other) != len(size):
        raise RuntimeError(
            f"Tensors must have same number of dimensions: got {len(size)} and {len(other)}"
        )
    for d, (a, b) in enumerate(zip(size, other)):
        if d != dim and a != b:
            raise RuntimeError(
                f"Sizes of tensors must match except in dimension {dim}. Expected size "
                f"{a} but got size {b} for tensor number {n} in the list."
            )


def cat_numpy(tensors: Any, dim: int) -> Any:
    parts = [x for x in tensors if x.shape != (0,)]
    return np.concatenate(parts, dim) if parts else tensors[0]


def cat_back(g: Any, call: Any) -> list[Any]:
    """Each tensor's part of the gradient."""
    parts, start = [], 0
    for spec in call.tensors:
        n = spec.size[call.dim] if counts(spec) else 0
        parts.append(g.narrow(call.dim, start, n) if counts(spec) else g.new_zeros(spec.size))
        start += n
    return parts


def cat_samples(new: Any) -> Any:
    yield Sample([new(2, 3), new(4, 3)])
    yield Sample([new(2, 3), new(2, 1), new(2, 0)], -1)
    yield Sample([new(3)])
    yield Sample([new(0), new(2, 3)])
    yield Sample([new(3, 2).t(), new(2, 2)], dim=1)
    yield Refused([new(2, 3), new(2, 4)], error=RuntimeError, says="must match except")
    yield Refused([], error=ValueError, says="non-empty")


cat = structured(
    "cat(tensors, dim=0)",
    out_type="joins",
    public="torch",
    aliases="concat concatenate",
    clean=clean_cat,
    shape=cat_shape,
    numpy=cat_numpy,
    grad=dict(tensors=cat_back),
    samples=cat_samples,
)


def clean_stack(tensors: Any, dim: Any) -> Any:
    if not tensors:
        raise RuntimeError("stack expects a non-empty TensorList")
    for n, spec in enumerate(tensors):
        if spec.size != tensors[0].size:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got "
                f"{list(tensors[0].size)} at entry 0 and {list(spec.size)} at entry {n}"
            )
    return tensors, one_dim(dim, tensors[0].ndim + 1)


def stack_shape(mode: Mode, tensors: Any, dim: int) -> Any:
    size = tensors[0].size
    return (((*size[:dim], len(tensors), *size[dim:]), common(tensors)),)


def stack_samples(new: Any) -> Any:
    yield Sample([new(2, 3), new(2, 3)])
    yield Sample([new(2, 3), new(2, 3), new(2, 3)], -1)
    yield Sample([new(), new()])
    yield Sample([new(3, 2).t(), new(2, 3)], dim=1)


stack = structured(
    "stack(tensors, dim=0)",
    out_type="joins",
    public="torch",
    clean=clean_stack,
    shape=stack_shape,
    numpy=lambda tensors, dim: np.stack(tensors, dim),
    grad=dict(tensors=lambda g, call: list(g.unbind(call.dim))),
    samples=stack_samples,
)

# ------------------------------------------------------------------ repeat


def repeat_shape(mode: Mode, input: Spec, repeats: Ints) -> Any:
    size = (1,) * (len(repeats) - input.ndim) + input.size
    return ((tuple(n * r for n, r in zip(size, repeats)), input.dtype),)


def repeat_back(g: Any, call: Any) -> Any:
    """Sum over the copies."""
    size = (1,) * (len(call.repeats) - call.input.ndim) + call.input.size
    split = tuple(n for pair in zip(call.repeats, size) for n in pair)
    if 0 in call.repeats:
        return g.new_zeros(call.input.size)
    if not split:
        return g
    return g.reshape(split).sum(tuple(range(0, len(split), 2))).reshape(call.input.size)


repeat = structured(
    "_repeat(input, repeats)",
    public="",
    shape=repeat_shape,
    numpy=lambda x, repeats: np.tile(x, repeats),
    grad=dict(input=repeat_back),
    samples=no_samples,
)

# ------------------------------------------------------------------ roll, flip


def roll_numpy(x: Any, shifts: Ints, dims: Ints) -> Any:
    return np.roll(x, shifts, dims) if dims else np.roll(x, shifts[0])


def clean_roll(input: Any, shifts: Any, dims: Any) -> Any:
    shifts = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    dims = () if dims is None else (dims,) if isinstance(dims, int) else tuple(dims)
    if not shifts:
        raise RuntimeError("`shifts` required")
    if len(shifts) != len(dims) and (dims or len(shifts) != 1):
        raise RuntimeError(
            f"shifts and dimensions must align. shifts: {len(shifts)}, dims:{len(dims)}"
        )
    if dims and not input.ndim:
        raise IndexError(f"Dimension specified as {dims[0]} but tensor has no dimensions")
    return input, shifts, tuple(one_dim(d, input.ndim) for d in dims)


def unchanged(mode: Mode, input: Spec, *rest: Any) -> Any:
    """The size and type of the first operand, row-major."""
    return ((input.size, input.dtype),)


roll = structured(
    "roll(input, shifts, dims=None)",
    clean=clean_roll,
    shape=unchanged,
    numpy=roll_numpy,
    grad=dict(input=lambda g, call: g.roll(tuple(-s for s in call.shifts), call.dims or None)),
    samples=lambda new: iter(
        [
            Sample(new(2, 3), 1),
            Sample(new(2, 3), 1, 0),
            Sample(new(2, 3), (1, -1), (0, 1)),
            Sample(new(5), 7, 0),
            Sample(new(0, 3), 1, 1),
        ]
    ),
)


def clean_flip(input: Any, dims: Any) -> Any:
    dims = (dims,) if isinstance(dims, int) else tuple(dims)
    dims = tuple(one_dim(d, input.ndim) for d in dims)
    if len(set(dims)) != len(dims):
        twice = next(d for d in dims if dims.count(d) > 1)
        raise RuntimeError(f"dim {twice} appears multiple times in the list of dims")
    return input, dims if input.ndim else ()


def flip_shape(mode: Mode, input: Spec, dims: Ints) -> Any:
    from flambeau.ir.layout import result_strides

    return ((input.size, input.dtype, result_strides(input.size, [input.stride])),)


flip = structured(
    "_flip(input, dims)",
    public="",
    node="FlipBackward0",
    clean=clean_flip,
    shape=flip_shape,
    numpy=lambda x, dims: np.flip(x, dims),
    grad=dict(input=lambda g, call: g.flip(call.dims)),
    samples=no_samples,
)

# ------------------------------------------------------------------ padding


def padding(pad: Ints, ndim: int) -> list[tuple[int, int]]:
    """Before and after each dim; PyTorch names the last dim first."""
    pairs = [(pad[i], pad[i + 1]) for i in range(0, len(pad), 2)]
    return [(0, 0)] * (ndim - len(pairs)) + pairs[::-1]


def clean_pad(input: Any, pad: Any, value: Any) -> Any:
    pad = tuple(pad)
    if len(pad) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    if len(pad) > 2 * input.ndim:
        raise RuntimeError(
            f"Padding length should be less than or equal to two times the input dimension but "
            f"got padding length {len(pad)} and input of dimension {input.ndim}"
        )
    return input, pad, value


def pad_shape(mode: Mode, input: Spec, pad: Ints, value: Any) -> Any:
    size = tuple(n + a + b for n, (a, b) in zip(input.size, padding(pad, input.ndim)))
    if min(size, default=0) < 0:
        raise RuntimeError(
            f"The input size {list(input.size)}, plus negative padding {list(pad)}, "
            "resulted in a negative output size, which is invalid"
        )
    return ((size, input.dtype),)


def pad_numpy(x: Any, pad: Ints, value: Any) -> Any:
    pairs = padding(pad, x.ndim)
    x = x[tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, pairs))]
    return np.pad(x, [(max(a, 0), max(b, 0)) for a, b in pairs], constant_values=value)


constant_pad = structured(
    "constant_pad_nd(input, pad, value=0)",
    public="torch Tensor",
    numbers=("value",),
    clean=clean_pad,
    shape=pad_shape,
    numpy=pad_numpy,
    grad=dict(input=lambda g, call: g.constant_pad_nd(tuple(-p for p in call.pad))),
    samples=lambda new: iter(
        [
            Sample(new(2, 3), (1, 2)),
            Sample(new(2, 3), (1, 0, 0, 2), 2),
            Sample(new(2, 3), (-1, 1)),
        ]
    ),
)

# ------------------------------------------------------------------ triangles, diagonals


def triangle(name: str) -> Any:
    """tril or triu."""
    cut = getattr(np, name)

    def check(input: Any, diagonal: Any) -> Any:
        if input.ndim < 2:
            raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
        return input, int(diagonal)

    return structured(
        f"{name}(input, diagonal=0)",
        clean=check,
        shape=unchanged,
        numpy=lambda x, diagonal: cut(x, diagonal),
        grad=dict(input=lambda g, call: getattr(g, name)(call.diagonal)),
        samples=lambda new: iter(
            [
                Sample(new(3, 4)),
                Sample(new(2, 3, 3), 1),
                Sample(new(4, 2), -1),
                Sample(new(0, 3)),
                Refused(new(3), error=RuntimeError, says="at least 2 dim"),
            ]
        ),
        inplace=True,
    )


tril, triu = triangle("tril"), triangle("triu")


def clean_embed(input: Any, offset: Any, dim1: Any, dim2: Any) -> Any:
    a, b = one_dim(dim1, input.ndim + 1), one_dim(dim2, input.ndim + 1)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return input, int(offset), a, b


def embed_shape(mode: Mode, input: Spec, offset: int, dim1: int, dim2: int) -> Any:
    size = list(input.size[:-1])
    for d in sorted((dim1, dim2)):
        size.insert(d, input.size[-1] + abs(offset))
    return ((tuple(size), input.dtype),)


def embed_numpy(x: Any, offset: int, dim1: int, dim2: int) -> Any:
    n = x.shape[-1] + abs(offset)
    out = np.zeros((*x.shape[:-1], n, n), x.dtype)
    i = np.arange(x.shape[-1])
    out[..., i + max(-offset, 0), i + max(offset, 0)] = x
    return np.moveaxis(out, (-2, -1), (dim1, dim2))


diag_embed = structured(
    "diag_embed(input, offset=0, dim1=-2, dim2=-1)",
    clean=clean_embed,
    shape=embed_shape,
    numpy=embed_numpy,
    grad=dict(input=lambda g, call: g.diagonal(call.offset, call.dim1, call.dim2)),
    samples=lambda new: iter(
        [
            Sample(new(3)),
            Sample(new(2, 3), 1),
            Sample(new(2, 3), -1, 0, 2),
        ]
    ),
)
