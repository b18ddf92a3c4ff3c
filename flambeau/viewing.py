"""Views: the same memory under another size, stride or start. No call is recorded that computes.

Arguments are checked here; the rows in ops/views.py say what comes out. Each function is a method
of Tensor, and where PyTorch has it, a function of `torch` too.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from math import prod
from typing import Any

from flambeau.autograd.inplace import check_write
from flambeau.ir.dtype import DType
from flambeau.ir.layout import Ints, Spec, broadcast_strides, contiguous_strides, view_strides
from flambeau.ops import views
from flambeau.ops.rules import infer_size, one_dim
from flambeau.size import Size
from flambeau.trace.recorder import record_view
from flambeau.trace.trie import here


def ints(given: Any) -> tuple[int, ...]:
    """`f(2, 3)`, `f((2, 3))` and `f(size)` → (2, 3)."""
    if len(given) == 1 and isinstance(given[0], (tuple, list)):
        given = given[0]
    for n in given:
        if n.__class__ is not int:
            return tuple(map(whole, given))
    return tuple(given)


def whole(n: Any) -> int:
    """One size or dim, or TypeError."""
    if isinstance(n, float) or not hasattr(n, "__index__"):
        raise TypeError(f"expected an int, not {type(n).__name__}")
    return n.__index__()


# ------------------------------------------------------------------ other sizes


def view(self: Any, *shape: Any, dtype: Any = None, size: Any = None) -> Any:
    """The same elements in another shape, or the same bytes as another dtype."""
    if dtype is not None or (len(shape) == 1 and isinstance(shape[0], DType)):
        return view_dtype(self, dtype or shape[0])
    size, stride = another_size(self._spec, shape if size is None else (size,))
    if stride is None:
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at "
            "least one dimension spans across two contiguous subspaces). Use "
            ".reshape(...) instead."
        )
    return record_view(views.reshaped, self, None, 1, size, stride)


def another_size(spec: Spec, shape: tuple[Any, ...]) -> tuple[Ints, Ints | None]:
    """The size that `view(*shape)` stands for, and the strides, where the memory allows it."""
    if len(shape) == 1 and shape[0].__class__ in (tuple, list, Size):
        shape = tuple(shape[0])
    for n in shape:
        if n.__class__ is not int:
            return sized(spec, ints(shape))
    return sized(spec, shape)


@lru_cache(4096)
def sized(spec: Spec, shape: Ints) -> tuple[Ints, Ints | None]:
    """`another_size` of clean ints; specs are interned, so programs repeat these."""
    size = infer_size(shape, spec.numel)
    return size, view_strides(spec.size, spec.stride, size)


def view_as(self: Any, other: Any) -> Any:
    return view(self, other._spec.size)


def view_dtype(self: Any, dtype: DType) -> Any:
    """The bytes read as another type; the last dim shrinks or grows where the widths differ."""
    spec, (old, new) = self._spec, (self._spec.dtype.itemsize, dtype.itemsize)
    if old == new:
        return record_view(views.as_type, self, None, 1, spec.size, spec.stride, dtype)
    if not spec.size:
        raise RuntimeError(
            f"self.dim() cannot be 0 to view {spec.dtype.legacy} as {dtype.legacy} "
            "(different element sizes)"
        )
    if spec.stride[-1] != 1:
        raise RuntimeError(
            f"self.stride(-1) must be 1 to view {spec.dtype.legacy} as {dtype.legacy} "
            f"(different element sizes), but got {spec.stride[-1]}"
        )
    nbytes = spec.size[-1] * old
    if nbytes % new:
        raise RuntimeError(
            f"self.size(-1) must be divisible by {new // old} to view {spec.dtype.legacy} "
            f"as {dtype.legacy} (different element sizes), but got {spec.size[-1]}"
        )
    counts = (nbytes, self._offset * old, *(s * old for s in spec.stride[:-1]))
    if any(n % new for n in counts):
        raise RuntimeError(
            f"sizes, strides and storage_offset must be divisible by {new // old} to "
            f"view {spec.dtype.legacy} as {dtype.legacy} (different element sizes)"
        )
    size = (*spec.size[:-1], nbytes // new)
    stride = (*(s * old // new for s in spec.stride[:-1]), 1)
    shift = self._offset * old // new - self._offset
    return record_view(views.as_type, self, 1 if shift else None, shift, size, stride, dtype)


def reshape(input: Any, *given: Any, shape: Any = None) -> Any:
    """A view where the memory allows it, else a copy."""
    size, stride = another_size(input._spec, given if shape is None else (shape,))
    if stride is not None:
        return record_view(views.reshaped, input, None, 1, size, stride)
    copy = input.clone(memory_format="torch.contiguous_format")
    return record_view(views.unsafe, copy, None, 1, size, contiguous_strides(size))


def reshape_as(self: Any, other: Any) -> Any:
    return reshape(self, other._spec.size)


def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Several dims as one."""
    size = input._spec.size
    flat = flattened(size, start_dim, end_dim)
    return input if flat == size else reshape(input, flat)


@lru_cache(4096)
def flattened(size: Ints, start_dim: int, end_dim: int) -> Ints:
    """The size with the dims from `start_dim` to `end_dim` as one."""
    first, last = one_dim(start_dim, len(size)), one_dim(end_dim, len(size))
    if first > last:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if not size:
        return (1,)
    return (*size[:first], prod(size[first : last + 1]), *size[last + 1 :])


def unflatten(input: Any, dim: int, sizes: Any) -> Any:
    """One dim as several."""
    old, dim = input._spec.size, one_dim(dim, input.ndim)
    sizes = tuple(map(whole, sizes))
    if sizes.count(-1) == 1 and prod(n for n in sizes if n != -1):
        rest = old[dim] // prod(n for n in sizes if n != -1)
        sizes = tuple(rest if n == -1 else n for n in sizes)
    if prod(sizes) != old[dim] or min(sizes, default=0) < 0:
        raise RuntimeError(
            f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of "
            f"dim {dim} ({old[dim]}) in the input tensor"
        )
    return view(input, (*old[:dim], *sizes, *old[dim + 1 :]))


def ravel(input: Any) -> Any:
    """All elements in row-major order as one dim."""
    return reshape(input.contiguous(), (-1,))


def squeeze(input: Any, dim: Any = None, *, axis: Any = None) -> Any:
    """Without the dims of size 1, all or those that are named."""
    size, stride = input._spec.size, input._spec.stride
    dim = dim if axis is None else axis
    if dim is None:
        op, gone = views.squeeze, set(range(len(size)))
    elif isinstance(dim, (tuple, list)):
        op, gone = views.squeeze_dims, {one_dim(d, len(size)) for d in dim}
    else:
        op, gone = views.squeeze_dim, {one_dim(dim, len(size))}
    kept = [d for d, n in enumerate(size) if n != 1 or d not in gone]
    return record_view(
        op, input, None, 1, tuple(size[d] for d in kept), tuple(stride[d] for d in kept)
    )


def unsqueeze(input: Any, dim: Any = None, *, axis: Any = None) -> Any:
    """With one more dim, of size 1."""
    dim = axis if dim is None else dim
    size, stride = input._spec.size, input._spec.stride
    d = one_dim(dim, len(size) + 1)
    step = size[d] * stride[d] if d < len(size) else 1
    return record_view(
        views.unsqueeze, input, None, 1, (*size[:d], 1, *size[d:]), (*stride[:d], step, *stride[d:])
    )


def expand(self: Any, *given: Any, size: Any = None, implicit: bool = False) -> Any:
    """Dims of size 1 repeated, without copies."""
    old, size = self._spec.size, ints(given if size is None else (size,))
    lead = len(size) - len(old)
    if lead < 0:
        raise RuntimeError(
            f"expand(torch.{self._spec.dtype.legacy}Tensor{{{list(old)}}}, "
            f"size={list(size)}): the number of sizes provided ({len(size)}) must be "
            f"greater or equal to the number of dimensions in the tensor "
            f"({len(old)})"
        )
    new = tuple(expanded(old, size, d, lead) for d in range(len(size)))
    return record_view(
        views.expand, self, None, 1, new, expanded_strides(old, self._spec.stride, new)
    )


def expanded_strides(old: Any, stride: Any, new: Any) -> Any:
    """0 along dims that repeat; a new dim of size 1 has the stride of a row-major one."""
    if not old:
        return (0,) * len(new)
    strides = list(broadcast_strides(old, stride, new))
    for d in range(len(new) - len(old) - 1, -1, -1):
        strides[d] = new[d + 1] * strides[d + 1] if new[d] == 1 else 0
    return tuple(strides)


def expanded(old: Any, size: Any, d: int, lead: int) -> int:
    """One dim of an expanded size."""
    n = size[d]
    if d < lead:
        if n < 0:
            raise RuntimeError(
                f"The expanded size of the tensor ({n}) isn't allowed in a leading, "
                f"non-existing dimension {d}"
            )
        return n
    have = old[d - lead]
    if n == -1 or n == have:
        return have
    if have != 1:
        raise RuntimeError(
            f"The expanded size of the tensor ({n}) must match the existing size "
            f"({have}) at non-singleton dimension {d}.  Target sizes: {list(size)}.  "
            f"Tensor sizes: {list(old)}"
        )
    return n


def expand_as(self: Any, other: Any) -> Any:
    return expand(self, other._spec.size)


def broadcast_to(input: Any, size: Any) -> Any:
    return expand(input, tuple(size))


# ------------------------------------------------------------------ other orders


def permute(input: Any, *given: Any, dims: Any = None) -> Any:
    """The dims in another order."""
    dims = ints(given if dims is None else (dims,))
    if len(dims) != input.ndim:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the "
            "length "
            f"of the desired ordering of dimensions i.e. input.dim() = {input.ndim} is not equal "
            f"to "
            f"len(dims) = {len(dims)}"
        )
    order = tuple([one_dim(d, len(dims)) for d in dims])
    if len(set(order)) != len(order):
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return record_view(views.permute, input, None, 1, order)


def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """Two dims exchanged."""
    n = input.ndim
    a, b = one_dim(dim0, n), one_dim(dim1, n)
    order = list(range(n))
    if n:
        order[a], order[b] = b, a
    return record_view(views.transpose, input, None, 1, tuple(order))


def t(input: Any) -> Any:
    """A matrix transposed."""
    n = len(input._spec.size)
    if n > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {n}D")
    return record_view(views.t, input, None, 1, (1, 0)[2 - n :])


def movedim(input: Any, source: Any, destination: Any) -> Any:
    """Some dims elsewhere, the others in their order."""
    n = input.ndim
    froms, tos = (
        [one_dim(d, n) for d in (v if isinstance(v, (tuple, list)) else (v,))]
        for v in (source, destination)
    )
    if len(froms) != len(tos):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({froms} dims) should "
            f"contain the same number of dims as destination ({tos} dims)"
        )
    for name, dims in (("source", froms), ("destination", tos)):
        if len(set(dims)) != len(dims):
            raise RuntimeError(f"movedim: repeated dim in `{name}` ({dims})")
    if not n:
        return input
    rest = iter(d for d in range(n) if d not in froms)
    order = [froms[tos.index(d)] if d in tos else next(rest) for d in range(n)]
    return permute(input, order)


def reversed_dims(self: Any) -> Any:
    """x.T"""
    if self.ndim != 2:
        warnings.warn(
            "The use of `x.T` on tensors of dimension other than 2 to reverse their shape is "
            "deprecated and it will throw an error in a future release. Consider `x.mT` to "
            "transpose "
            "batches of matrices or `x.permute(*torch.arange(x.ndim - 1, -1, -1))` to reverse the "
            "dimensions of a tensor.",
            stacklevel=2,
        )
    return record_view(views.permute, self, None, 1, tuple(range(self.ndim))[::-1])


def matrix_transpose(self: Any, name: str = "mT") -> Any:
    """x.mT"""
    if self.ndim < 2:
        raise RuntimeError(
            f"tensor.{name} is only supported on matrices or batches of matrices. Got "
            f"{self.ndim}-D tensor."
        )
    return transpose(self, -2, -1)


def conjugate_transpose(self: Any) -> Any:
    """x.H: the same as mT where numbers are real."""
    if self.ndim not in (0, 2):
        raise RuntimeError(
            f"tensor.H is only supported on matrices (2-D tensors). Got {self.ndim}-D "
            "tensor. For batches of matrices, consider using tensor.mH"
        )
    return (transpose(self, 0, 1) if self.ndim else self).conj()


def adjoint(input: Any, name: str = "adjoint()") -> Any:
    """x.mH: the conjugates of x.mT."""
    return matrix_transpose(input, name).conj()


# ------------------------------------------------------------------ in place: the tensor itself


def in_place(make: Any) -> Any:
    """`x.unsqueeze_(0)`: the tensor itself becomes its view."""

    def change(self: Any, *args: Any, **kwargs: Any) -> Any:
        if here.stretch.mode.grad:
            check_write(self)
        view = make(self, *args, **kwargs)
        if view is not self:
            self._spec, self._offset, self._edge = view._spec, view._offset, view._edge
            self._stretch, self._slot = view._stretch, view._slot
        self._counter().version += 1
        return self

    change.__name__ = change.__qualname__ = make.__name__ + "_"
    change.__doc__ = f"In-place version of `{make.__name__}`."
    return change


def as_strided(input: Any, size: Any, stride: Any, storage_offset: int | None = None) -> Any:
    """Any size and stride on the storage, from its own start."""
    size, stride = tuple(map(whole, size)), tuple(map(whole, stride))
    if len(size) != len(stride):
        raise RuntimeError("mismatch in length of strides and shape")
    if min(stride, default=0) < 0:
        raise RuntimeError(
            "as_strided: Negative strides are not supported at the moment, got strides: "
            f"{list(stride)}"
        )
    offset = input._offset if storage_offset is None else storage_offset
    item = input._spec.dtype.itemsize
    last = offset + sum((n - 1) * s for n, s in zip(size, stride)) + 1
    if 0 not in size and last * item > input._storage.nbytes:
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset "
            f"{offset}, and itemsize {item} requiring a storage size of {last * item} "
            f"are out of bounds for storage of size {input._storage.nbytes}"
        )
    start = None if storage_offset is None else storage_offset - input._offset
    return record_view(views.as_strided, input, start, 1, size, stride)


squeeze_, unsqueeze_, t_ = in_place(squeeze), in_place(unsqueeze), in_place(t)
transpose_, as_strided_ = in_place(transpose), in_place(as_strided)
swapdims = transpose


def swapaxes(input: Any, axis0: int, axis1: int) -> Any:
    """Two dims exchanged."""
    return transpose(input, axis0, axis1)


swapaxes_ = swapdims_ = transpose_
moveaxis = movedim

METHODS = """view view_as reshape reshape_as flatten unflatten ravel squeeze unsqueeze expand
    expand_as broadcast_to permute transpose t movedim moveaxis swapaxes swapdims adjoint as_strided
    squeeze_ unsqueeze_ t_ transpose_ swapaxes_ swapdims_ as_strided_""".split()
PUBLIC = """reshape flatten unflatten ravel squeeze unsqueeze broadcast_to permute transpose t
    movedim moveaxis swapaxes swapdims adjoint as_strided""".split()
