"""torch.masked: reductions and normalisations that leave out where a mask is False.

What is left out is replaced by the reduction's identity first (0 for a sum, -inf for a maximum), so
derivatives there are zero. A reduction of nothing gives its identity, a mean of nothing NaN.
"""

from __future__ import annotations

import math
from typing import Any

import flambeau as fl
from flambeau.ir.layout import Ints
from flambeau.ops.rules import one_dim
from flambeau.tensor import Tensor

__all__ = """amax amin argmax argmin as_masked_tensor cumprod cumsum is_masked_tensor log_softmax
    logaddexp logsumexp masked_tensor mean median norm normalize prod softmax softmin std sum
    var""".split()  # fmt: skip


def kept(input: Any, mask: Any) -> Any:
    """The mask as booleans of the input's size; None where there is none."""
    if input.layout is not fl.strided:
        raise NotImplementedError("masked operations work on dense tensors only")
    if mask is None:
        return None
    return (mask if mask.dtype is fl.bool else mask.ne(0)).expand(input.shape)


def replaced(input: Any, mask: Any, value: Any) -> Any:
    """The input with a value where the mask is False."""
    mask = kept(input, mask)
    return input if mask is None else input.masked_fill(mask.logical_not(), value)


def dims_of(input: Any, dim: Any) -> Ints:
    """All dims where none is named; each at most once."""
    if dim is None or dim == ():
        return tuple(range(input.ndim))
    given = dim if isinstance(dim, (tuple, list)) else (dim,)
    dims = tuple(one_dim(d, input.ndim) for d in given)
    for d in dims:
        if dims.count(d) > 1:
            raise RuntimeError(f"dim={d} appears multiple times in the list of dims")
    return dims


def counted(input: Any, dtype: Any) -> Any:
    """Integers are added up as int64."""
    whole = not (input.is_floating_point() or input.is_complex())
    return dtype or (fl.int64 if whole else input.dtype)


def floating(input: Any, dtype: Any, name: str) -> Any:
    """The type of a result that is no whole number."""
    dtype = dtype or input.dtype
    if not (dtype.is_floating_point or dtype.is_complex):
        raise ValueError(f"{name}(): Could not infer output dtype. Input dtype must be either a "
                         f"floating point or complex dtype. Got: {dtype}")  # fmt: skip
    return dtype


def extreme(dtype: Any, largest: bool) -> Any:
    """The largest or smallest value of a type."""
    if dtype is fl.bool:
        return largest
    if dtype.is_floating_point or dtype.is_complex:
        return math.inf if largest else -math.inf
    limits = fl.iinfo(dtype)
    return limits.max if largest else limits.min


# ------------------------------------------------------------------ sums and products


def sum(input: Any, dim: Any = None, *, keepdim: bool | None = False, dtype: Any = None,
        mask: Any = None) -> Any:  # fmt: skip
    """The sum of what the mask keeps."""
    dims, dtype = dims_of(input, dim), counted(input, dtype)
    return replaced(input.to(dtype), mask, 0).sum(dims, keepdim=bool(keepdim), dtype=dtype)


def prod(input: Any, dim: Any = None, *, keepdim: bool | None = False, dtype: Any = None,
         mask: Any = None) -> Any:  # fmt: skip
    """The product of what the mask keeps."""
    dims, dtype = dims_of(input, dim), counted(input, dtype)
    result = replaced(input.to(dtype), mask, 1)
    for d in sorted(dims, reverse=True):
        result = result.prod(d, keepdim=bool(keepdim))
    return result


def cumsum(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Any:
    """Running sums; what is left out adds nothing."""
    dtype = counted(input, dtype)
    return replaced(input.to(dtype), mask, 0).cumsum(dim)


def cumprod(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Any:
    """Running products; what is left out changes nothing."""
    dtype = counted(input, dtype)
    return replaced(input.to(dtype), mask, 1).cumprod(dim)


def count(input: Any, dims: Ints, keepdim: bool, mask: Any) -> Any:
    """How many elements the mask keeps."""
    every = kept(input, mask)
    if every is None:
        every = fl.ones(input.shape, dtype=fl.bool)
    return every.sum(dims, keepdim=keepdim) if dims else every.to(fl.int64)


def mean(input: Any, dim: Any = None, *, keepdim: bool | None = False, dtype: Any = None,
         mask: Any = None) -> Any:  # fmt: skip
    """The mean of what the mask keeps; NaN where that is nothing."""
    dtype = floating(input, dtype, "mean")
    dims, keepdim = dims_of(input, dim), bool(keepdim)
    if mask is None:
        return input.to(dtype).mean(dims, keepdim=keepdim) if dims else input.to(dtype, copy=True)
    return sum(input, dims, keepdim=keepdim, dtype=dtype, mask=mask) / count(
        input, dims, keepdim, mask)  # fmt: skip


def var(input: Any, dim: Any = None, unbiased: bool | None = None, *,
        correction: float | None = None, keepdim: bool | None = False, dtype: Any = None,
        mask: Any = None) -> Any:  # fmt: skip
    """The variance of what the mask keeps, divided by their count less `correction` (1)."""
    return spread(input, dim, unbiased, correction, bool(keepdim), dtype, mask, "var")


def std(input: Any, dim: Any = None, unbiased: bool | None = None, *,
        correction: float | None = None, keepdim: bool | None = False, dtype: Any = None,
        mask: Any = None) -> Any:  # fmt: skip
    """The square root of `var`."""
    return spread(input, dim, unbiased, correction, bool(keepdim), dtype, mask, "std").sqrt()


def spread(input: Any, dim: Any, unbiased: Any, correction: Any, keepdim: bool, dtype: Any,
           mask: Any, name: str) -> Any:  # fmt: skip
    """The variance, for `var` and `std`."""
    if unbiased is not None and correction is not None:
        raise RuntimeError("Only one of unbiased and correction may be given")
    if correction is None:
        correction = 0 if unbiased is False else 1
    dtype = dtype or (input.dtype if input.is_floating_point() or input.is_complex()
                      else fl.get_default_dtype())  # fmt: skip
    dims, input = dims_of(input, dim), input.to(dtype)
    counts = count(input, dims, True, mask)
    centre = sum(input, dims, keepdim=True, mask=mask) / counts
    away = replaced(input - centre, mask, 0)
    squares = (away * away.conj()).real if away.is_complex() else away * away
    total = squares.sum(dims, keepdim=keepdim) if dims else squares
    counts = counts if keepdim else count(input, dims, False, mask)
    return (total / (counts - correction).clamp(min=0)).to(dtype)


# ------------------------------------------------------------------ extremes


def amax(input: Any, dim: Any = None, *, keepdim: bool | None = False, dtype: Any = None,
         mask: Any = None) -> Any:  # fmt: skip
    """The largest of what the mask keeps."""
    input = input.to(dtype or input.dtype)
    dims = dims_of(input, dim)
    return replaced(input, mask, extreme(input.dtype, False)).amax(dims, keepdim=bool(keepdim))


def amin(input: Any, dim: Any = None, *, keepdim: bool | None = False, dtype: Any = None,
         mask: Any = None) -> Any:  # fmt: skip
    """The smallest of what the mask keeps."""
    input = input.to(dtype or input.dtype)
    dims = dims_of(input, dim)
    return replaced(input, mask, extreme(input.dtype, True)).amin(dims, keepdim=bool(keepdim))


def argmax(input: Any, dim: int | None = None, *, keepdim: bool | None = False, dtype: Any = None,
           mask: Any = None) -> Any:  # fmt: skip
    """Where the largest of what the mask keeps is, as a number of the input's type."""
    dtype = dtype or input.dtype
    filled = replaced(input, mask, extreme(input.dtype, False))
    return filled.argmax(dim, keepdim=bool(keepdim)).to(dtype)


def argmin(input: Any, dim: int | None = None, *, keepdim: bool | None = False, dtype: Any = None,
           mask: Any = None) -> Any:  # fmt: skip
    """Where the smallest of what the mask keeps is, as a number of the input's type."""
    dtype = dtype or input.dtype
    filled = replaced(input, mask, extreme(input.dtype, True))
    return filled.argmin(dim, keepdim=bool(keepdim)).to(dtype)


def median(input: Any, dim: int = -1, *, keepdim: bool = False, dtype: Any = None,
           mask: Any = None) -> Any:  # fmt: skip
    """The lower median of what the mask keeps; NaN where that is nothing."""
    input, dim = input.to(dtype or input.dtype), one_dim(dim, input.ndim)
    if mask is None:
        return input.nanmedian(dim, keepdim).values
    if not input.is_floating_point():
        every = kept(input, mask)
        if not bool(every.all()):
            raise ValueError("median expects no fully masked out rows or the input to be of a "
                             f"floating point type, got {input.dtype}")  # fmt: skip
        return input.nanmedian(dim, keepdim).values
    return replaced(input, mask, math.nan).nanmedian(dim, keepdim).values


# ------------------------------------------------------------------ norms and normalisations


def norm(input: Any, ord: float | None = 2.0, dim: Any = None, *, keepdim: bool | None = False,
         dtype: Any = None, mask: Any = None) -> Any:  # fmt: skip
    """The vector norm of what the mask keeps."""
    dtype = floating(input, dtype, "norm")
    ord = 2.0 if ord is None else float(ord)
    filled = replaced(input.to(dtype), mask, 0.0 if ord >= 0 else math.inf)
    return fl.linalg.vector_norm(filled, ord, dims_of(input, dim), bool(keepdim), dtype=dtype)


def normalize(input: Any, ord: float, dim: int, *, eps: float = 1e-12, dtype: Any = None,
              mask: Any = None) -> Any:  # fmt: skip
    """The input divided by its norm along a dim, or by eps where that is larger."""
    dtype = floating(input, dtype, "normalize")
    length = norm(input, ord, dim, keepdim=True, dtype=dtype, mask=mask)
    return replaced(input.to(dtype), mask, 0) / length.clamp(min=eps)


def softmax(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Any:
    """softmax over what the mask keeps; 0 elsewhere."""
    return replaced(input.to(dtype or input.dtype), mask, -math.inf).softmax(dim)


def log_softmax(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Any:
    """log_softmax over what the mask keeps; -inf elsewhere."""
    return replaced(input.to(dtype or input.dtype), mask, -math.inf).log_softmax(dim)


def softmin(input: Any, dim: int, *, dtype: Any = None, mask: Any = None) -> Any:
    """softmax of the negated input."""
    return replaced(input.to(dtype or input.dtype), mask, math.inf).neg().softmax(dim)


def logsumexp(input: Any, dim: Any = None, *, keepdim: bool = False, dtype: Any = None,
              mask: Any = None) -> Any:  # fmt: skip
    """log of the sum of exponentials of what the mask keeps."""
    dims, dtype = dims_of(input, dim), dtype or input.dtype
    input = input.to(dtype)
    return replaced(input, mask, extreme(dtype, False)).logsumexp(dims, keepdim).to(dtype)


def logaddexp(input: Any, other: Any, *, dtype: Any = None, input_mask: Any = None,
              other_mask: Any = None) -> Any:  # fmt: skip
    """log(exp(input) + exp(other)), each as far as its mask keeps it."""
    dtype = dtype or input.dtype
    return replaced(input.to(dtype), input_mask, -math.inf).logaddexp(
        replaced(other.to(dtype), other_mask, -math.inf))  # fmt: skip


# ------------------------------------------------------------------ masked tensors


def is_masked_tensor(a: Any) -> bool:
    """Always False: there are no masked tensors."""
    return False


def masked_tensor(data: Tensor, mask: Tensor, requires_grad: bool = False) -> Any:
    """Refused."""
    raise NotImplementedError("MaskedTensor is not supported; pass mask= to the functions of "
                              "torch.masked")  # fmt: skip


as_masked_tensor = masked_tensor
