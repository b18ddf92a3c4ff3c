"""Views of parts: one index, a range, pieces along a dim, diagonals, windows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flambeau.ops import views
from flambeau.ops.rules import one_dim
from flambeau.trace.recorder import record_view
from flambeau.viewing import whole


def select(input: Any, dim: int, index: int) -> Any:
    """One index along a dim, which goes."""
    spec = input._spec
    if not spec.size:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    dim, index = one_dim(dim, len(spec.size)), whole(index)
    n = spec.size[dim]
    if not -n <= index < n:
        raise IndexError(
            f"select(): index {index} out of range for tensor of size {list(spec.size)} at "
            f"dimension {dim}"
        )
    return record_view(views.select, input, index % n, spec.stride[dim], dim)


def part(
    self: Any, dim: int, start: int, length: int, step: int = 1, op: Any = views.slice_
) -> Any:
    """`length` indices from `start` on, which are known to be there."""
    return record_view(op, self, start, self._spec.stride[dim], dim, length, step)


def narrow(input: Any, dim: int, start: Any, length: int) -> Any:
    """`length` indices along a dim, from `start` on."""
    if not input.ndim:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if hasattr(start, "_spec") and (start.ndim or start.dtype.kind not in "iu"):
        raise RuntimeError("start must be an 0-dim integral Tensor.")
    dim, start = one_dim(dim, input.ndim), whole(start)
    n = input._spec.size[dim]
    if not -n <= start <= n:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-n}, {n}], but got {start})"
        )
    start = start + n if start < 0 else start
    if start + length > n:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({n}).")
    return part(input, dim, start, length)


def pieces(input: Any, dim: int, lengths: Iterable[int], op: Any) -> tuple[Any, ...]:
    """Consecutive parts along a dim."""
    parts, start = [], 0
    for length in lengths:
        parts.append(part(input, dim, start, length, op=op))
        start += length
    return tuple(parts)


def even(n: int, size: int) -> list[int]:
    """Lengths of pieces of `size`, the last one shorter; one empty piece of nothing."""
    return [min(size, n - i) for i in range(0, n, size)] or [0]


def split(tensor: Any, split_size_or_sections: Any, dim: int = 0) -> tuple[Any, ...]:
    """Pieces of a size, or of given sizes."""
    if not tensor.ndim:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    dim = one_dim(dim, tensor.ndim)
    n, size = tensor._spec.size[dim], split_size_or_sections
    if isinstance(size, (tuple, list)):
        if sum(size) != n or min(size, default=0) < 0:
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {n} (input "
                f"tensor's size at dimension {dim}), but got split_sizes={list(size)}"
            )
        return pieces(tensor, dim, map(whole, size), views.split_with_sizes)
    if size < 0:
        raise RuntimeError(f"split expects split_size be non-negative, but got split_size={size}")
    if not size and n:
        raise RuntimeError(
            f"split_size can only be 0 if dimension size is 0, but got dimension size of {n}"
        )
    return pieces(tensor, dim, even(n, whole(size) or 1), views.split)


def split_method(self: Any, split_size: Any, dim: int = 0) -> tuple[Any, ...]:
    """Pieces of a size, or of given sizes."""
    return split(self, split_size, dim)


def split_with_sizes(input: Any, split_sizes: Any, dim: int = 0) -> tuple[Any, ...]:
    return split(input, list(split_sizes), dim)


def chunk(input: Any, chunks: int, dim: int = 0) -> tuple[Any, ...]:
    """At most so many pieces of one size, the last one shorter."""
    if not input.ndim:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    dim = one_dim(dim, input.ndim)
    n = input._spec.size[dim]
    lengths = even(n, -(-n // chunks)) if n else [0] * chunks
    return pieces(input, dim, lengths, views.split)


def tensor_split(input: Any, indices_or_sections: Any, dim: int = 0) -> tuple[Any, ...]:
    """So many pieces of nearly one size, or pieces that end at given indices."""
    if not input.ndim:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a "
                           "tensor with 0 dims")  # fmt: skip
    dim, n = one_dim(dim, input.ndim), input._spec.size[dim]
    wanted = where_to_split("tensor_split", indices_or_sections)
    if isinstance(wanted, int):
        if wanted <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {wanted}")
        lengths = [n // wanted + (i < n % wanted) for i in range(wanted)]
        return pieces(input, dim, lengths, views.slice_)
    ends = [slice(None, int(e)).indices(n)[1] for e in wanted] + [n]
    starts = [0, *ends[:-1]]
    return tuple(part(input, dim, a, max(b - a, 0)) for a, b in zip(starts, ends))


def where_to_split(name: str, wanted: Any) -> Any:
    """How many pieces, or where they end; either may be a tensor."""
    if hasattr(wanted, "_spec"):
        if wanted.dtype.kind != "i" or wanted.dtype.itemsize != 8:
            raise RuntimeError(f"{name} expected tensor_indices_or_sections to have dtype of long, "
                               f"but got {wanted.dtype.legacy}")  # fmt: skip
        if wanted.ndim > 1:
            raise RuntimeError(f"{name} expected tensor_indices_or_sections to be a "
                               "zero-dimensional or one-dimensional tensor, but got a tensor with "
                               f"{wanted.ndim} dims")  # fmt: skip
        return wanted.tolist()
    if not isinstance(wanted, (int, tuple, list)):
        raise TypeError(f"{name}() received an invalid combination of arguments - got (Tensor, "
                        f"{type(wanted).__name__}), but expected ints")  # fmt: skip
    return wanted


def unbind(input: Any, dim: int = 0) -> tuple[Any, ...]:
    """Every index along a dim."""
    if not input.ndim:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    dim = one_dim(dim, input.ndim)
    step = input._spec.stride[dim]
    return tuple(
        [record_view(views.unbind, input, i, step, dim) for i in range(input._spec.size[dim])]
    )


def diagonal(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """The diagonal of two dims, as the last one."""
    a, b = one_dim(dim1, input.ndim), one_dim(dim2, input.ndim)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    spec = input._spec
    if offset >= 0:
        start, unit = offset, spec.stride[b]
        inside = offset < spec.size[b]
    else:
        start, unit = -offset, spec.stride[a]
        inside = -offset < spec.size[a]
    return record_view(
        views.diagonal, input, start if inside and start else None, unit, offset, a, b
    )


def unfold(self: Any, dimension: int, size: int, step: int) -> Any:
    """Windows of `size` along a dim, `step` apart."""
    dim = one_dim(dimension, self.ndim)
    n = self._spec.size[dim] if self.ndim else 1
    if size > n or size < 0:
        raise RuntimeError(f"maximum size for tensor at dimension {dim} is {n} but size is {size}")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    if not self.ndim:  # its one element is its one window
        return narrow(self.unsqueeze(0), 0, 0, size)
    return record_view(views.unfold, self, None, 1, dim, whole(size), whole(step))


# PyTorch's unsafe forms give parts that autograd takes for no views; here all parts are views.
def unsafe_split(tensor: Any, split_size: Any, dim: int = 0) -> tuple[Any, ...]:
    return split(tensor, split_size, dim)


def unsafe_chunk(input: Any, chunks: int, dim: int = 0) -> tuple[Any, ...]:
    return chunk(input, chunks, dim)


def unsafe_split_with_sizes(input: Any, split_sizes: Any, dim: int = 0) -> tuple[Any, ...]:
    return split_with_sizes(input, split_sizes, dim)


def splitter(name: str, least: int, dim: int) -> Any:
    """hsplit, vsplit or dsplit: tensor_split along one dim, into pieces of one size."""

    def function(input: Any, indices_or_sections: Any) -> tuple[Any, ...]:
        if input.ndim < least:
            raise RuntimeError(f"torch.{name} requires a tensor with at least {least} dimension, "
                               f"but got a tensor with {input.ndim} dimensions!")  # fmt: skip
        d = min(dim, input.ndim - 1)
        n, wanted = input._spec.size[d], where_to_split(name, indices_or_sections)
        if isinstance(wanted, int) and (wanted <= 0 or n % wanted):
            raise RuntimeError(f"torch.{name} attempted to split along dimension {d}, but the size "
                               f"of the dimension {n} is not divisible by the split_size "
                               f"{wanted}!")  # fmt: skip
        return tensor_split(input, wanted, d)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Pieces of one size, or that end at given indices, along dim {dim}."
    return function


hsplit, vsplit = splitter("hsplit", 1, 1), splitter("vsplit", 2, 0)
dsplit = splitter("dsplit", 3, 2)

METHODS = """select narrow split_with_sizes chunk tensor_split unbind diagonal unfold hsplit vsplit
    dsplit unsafe_split unsafe_chunk unsafe_split_with_sizes""".split()
PUBLIC = """select narrow split split_with_sizes chunk tensor_split unbind diagonal hsplit vsplit
    dsplit unsafe_split unsafe_chunk unsafe_split_with_sizes""".split()
