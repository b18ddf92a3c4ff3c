"""Products of matrices: matmul of all ranks, linear, outer."""

from __future__ import annotations

from flambeau.filling import fill
from flambeau.ir.layout import broadcast_sizes, contiguous_strides
from flambeau.ops.matmul import unsafe_view
from flambeau.tensor import FUNCTIONS
from flambeau.trace.autocast import whole
from flambeau.trace.recorder import record_view
from flambeau.trace.tensor import Recorded, tensors

mm, bmm, mv, dot = (FUNCTIONS[name] for name in ("mm", "bmm", "mv", "dot"))
addmm = FUNCTIONS["addmm"]


def matmul(input, other, *, out=None):
    """The product of matrices, of vectors, or of batches of them that broadcast."""
    if input.__class__ not in tensors or other.__class__ not in tensors:
        for given in (input, other):
            if not isinstance(given, Recorded):
                raise TypeError(f"matmul(): argument must be Tensor, not {type(given).__name__}")
    n, m = len(input._spec.size), len(other._spec.size)
    if n == 2 and m == 2:
        return mm(input, other) if out is None else mm(input, other, out=out)
    if out is not None:
        return fill("matmul", matmul(input, other), out)
    if n == 0 or m == 0:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {n}D "
                           f"and {m}D")  # fmt: skip
    if n <= 2 and m <= 2:
        return of_vectors(input, other)
    if n >= 3 and m <= 2:
        return folded(input, other)
    return batched(input, other)


@whole("lower")
def of_vectors(input, other):
    """At least one of the two is a vector, the other at most a matrix."""
    if other.ndim == 1:
        return dot(input, other) if input.ndim == 1 else mv(input, other)
    return mm(input.unsqueeze(0), other).squeeze(0)


def reshaped(x, size):
    """A fresh product in another size."""
    return record_view(unsafe_view, x, None, 1, tuple(size), contiguous_strides(size))


def folded(input, other):
    """[…, n, k] times [k, m]: one tall matrix."""
    size = input._spec.size
    check_inner(input, other)
    rows = input.reshape((tall(size[:-1]), size[-1]))
    if other.ndim == 1:
        return reshaped(mv(rows, other), size[:-1])
    return reshaped(mm(rows, other), (*size[:-1], other._spec.size[1]))


def tall(size):
    """How many rows there are."""
    n = 1
    for s in size:
        n *= s
    return n


def check_inner(input, other):
    """The dim that is summed over, in the words of the product of two matrices."""
    k, k2 = input._spec.size[-1], other._spec.size[0]
    if k != k2:
        n = tall(input._spec.size[:-1])
        if other.ndim == 1:
            raise RuntimeError(f"size mismatch, got input ({n}), mat ({n}x{k}), vec ({k2})")
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({n}x{k} and "
                           f"{k2}x{other._spec.size[1]})")  # fmt: skip


def batched(input, other):
    """Batches of matrices that broadcast."""
    size = input._spec.size
    if len(size) == 3 == len(other._spec.size) and size[0] == other._spec.size[0]:
        product = bmm(input, other)
        # Only a history shows the step in which nothing changes.
        return reshaped(product, product._spec.size) if product._spec.requires_grad else product
    a = input.unsqueeze(0) if input.ndim == 1 else input
    b = other.unsqueeze(-1) if other.ndim == 1 else other
    (*_, n, k), (*_, k2, m) = a._spec.size, b._spec.size
    batch = broadcast_sizes([a._spec.size[:-2], b._spec.size[:-2]])
    count = tall(batch)
    product = bmm(a.expand((*batch, n, k)).reshape((count, n, k)),
                  b.expand((*batch, k2, m)).reshape((count, k2, m)))  # fmt: skip
    size = list(batch)
    size += [n] if input.ndim > 1 else []
    size += [m] if other.ndim > 1 else []
    return reshaped(product, size)


def linear(input, weight, bias=None, *, out=None):
    """input times the transposed weight, plus bias."""
    if out is not None:
        return fill("linear", linear(input, weight, bias), out)
    if weight is None:
        raise TypeError("linear(): argument 'weight' (position 2) must be Tensor, not NoneType")
    if bias is None:
        return matmul(input, weight.t())
    size = input._spec.size
    if len(size) == 2:
        return addmm(bias, input, weight.t())
    if weight.ndim != 2:
        return matmul(input, weight.t()) + bias
    rows = input.reshape((tall(size[:-1]), size[-1])) if size else input
    return addmm(bias, rows, weight.t()).view((*size[:-1], weight._spec.size[0]))


def bilinear(input1, input2, weight, bias=None):
    """input1 · weight[o] · input2 for each output o."""
    check_bilinear(input1, input2, weight)
    left = matmul(input1.unsqueeze(-2).unsqueeze(-2), weight)
    out = (left.squeeze(-2) * input2.unsqueeze(-2)).sum(-1)
    return out if bias is None else out + bias


def vdot(input, other, *, out=None):
    """The product of two vectors, the first one conjugated."""
    return dot(input.conj(), other, out=out)


def check_bilinear(input1, input2, weight):
    """Sizes that fit, in PyTorch's words."""
    for d, (n, m) in enumerate(zip(input1._spec.size[:-1], input2._spec.size[:-1])):
        if n != m:
            raise RuntimeError(f"bilinear(): input batch dimensions do not match at dim {d}: got "
                               f"{n} and {m}")  # fmt: skip
    for number, x in enumerate((input1, input2), 1):
        if x._spec.size[-1] != weight._spec.size[number]:
            raise RuntimeError(f"bilinear(): input{number} size does not match weight size: got "
                               f"{x._spec.size[-1]} but expected "
                               f"{weight._spec.size[number]}")  # fmt: skip


def outer(input, vec2, *, out=None):
    """The product of each element of one vector with each of the other."""
    for name, x in (("self", input), ("vec2", vec2)):
        if x.ndim != 1:
            raise RuntimeError(f"outer: Expected 1-D argument {name}, but got {x.ndim}-D")
    return FUNCTIONS["mul"](input.unsqueeze(1), vec2, out=out)


ger = outer


def inner(input, other, *, out=None):
    """The sum over the last dims of both."""
    if out is not None:
        return fill("inner", inner(input, other), out)
    if input.ndim == 0 or other.ndim == 0:
        return input * other
    if input._spec.size[-1] != other._spec.size[-1]:
        raise RuntimeError("inner() the last dimension must match on both input tensors but got "
                           "shapes "
                           f"{list(input._spec.size)} and {list(other._spec.size)}")  # fmt: skip
    flat = matmul(
        input.reshape((-1, input._spec.size[-1])), other.reshape((-1, other._spec.size[-1])).t()
    )
    return flat.reshape((*input._spec.size[:-1], *other._spec.size[:-1]))


METHODS = "matmul vdot outer ger inner".split()
PUBLIC = METHODS
