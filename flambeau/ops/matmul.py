"""Products of matrices: structured rows, and those composed of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.layout import Spec
from flambeau.ir.program import Number
from flambeau.ops.copies import full
from flambeau.ops.declare import composite, elementwise, structured, view
from flambeau.ops.functions import function_of
from flambeau.ops.outs import c_name
from flambeau.ops.pointwise import is_one, scaled
from flambeau.ops.rules import promoted
from flambeau.ops.samples import Refused, Sample, no_samples
from flambeau.trace.modes import Mode


def refuse_bool(kernel: str, spec: Spec) -> None:
    if spec.dtype.kind == "b":
        raise NotImplementedError(f"\"{kernel}\" not implemented for 'Bool'")


def check_types(kernel: str, first: Spec, *others: Spec, says: str = "expected m1 and m2 to have "
                                                                     "the "
                "same dtype, but got: {} != {}") -> None:  # fmt: skip
    """One type for all, which is not bool."""
    for other in others:
        if other.dtype is not first.dtype:
            raise RuntimeError(says.format(c_name(first.dtype), c_name(other.dtype)))
    if all(spec.numel for spec in (first, *others)):
        refuse_bool(kernel, first)


def mm_shape(mode: Mode, input: Spec, mat2: Spec) -> Any:
    """[n, k] times [k, m]."""
    if input.ndim != 2:
        raise RuntimeError("self must be a matrix")
    if mat2.ndim != 2:
        raise RuntimeError("mat2 must be a matrix")
    (n, k), (k2, m) = input.size, mat2.size
    if k != k2:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({n}x{k} and {k2}x{m})")
    check_types("addmm_impl_cpu_", input, mat2)
    return (((n, m), input.dtype),)


def mm_samples(new: Any) -> Any:
    for n, k, m in ((2, 3, 4), (1, 1, 1), (0, 3, 4), (3, 0, 4), (17, 33, 40)):
        yield Sample(new(n, k), new(k, m))
    yield Sample(new(3, 2).t(), new(4, 3).t())
    yield Refused(new(2, 3), new(2, 3), error=RuntimeError, says="cannot be multiplied")
    yield Refused(new(2), new(2, 3), error=RuntimeError, says="must be a matrix")


mm = structured(
    "mm(input, mat2)",
    shape=mm_shape,
    numpy=lambda a, b: np.matmul(a, b),
    grad=dict(
        input=lambda g, mat2, call: left_grad(g, mat2, call.input),
        mat2=lambda g, input, call: right_grad(g, input, call.mat2),
    ),
    samples=mm_samples,
)


def lies_by_columns(matrix: Spec) -> bool:
    """Whether a matrix is the transposed view of a row-major one."""
    return matrix.stride == (1, matrix.size[0]) and matrix.size[0] != 1


def left_grad(g: Any, right: Any, left: Spec) -> Any:
    """g · rightᵀ, in the memory order of what it is the gradient of."""
    if lies_by_columns(left):
        return right.mm(g.t()).t()
    return g.mm(right.t())


def right_grad(g: Any, left: Any, right: Spec) -> Any:
    """leftᵀ · g, in the memory order of what it is the gradient of (a weight, seen transposed)."""
    if lies_by_columns(right):
        return g.t().mm(left).t()
    return left.t().mm(g)


def bmm_shape(mode: Mode, input: Spec, mat2: Spec) -> Any:
    """A batch of [n, k] times a batch of [k, m]."""
    if input.ndim != 3:
        raise RuntimeError("batch1 must be a 3D tensor")
    if mat2.ndim != 3:
        raise RuntimeError("batch2 must be a 3D tensor")
    (b, n, k), (b2, k2, m) = input.size, mat2.size
    if (b, k) != (b2, k2):
        raise RuntimeError("Expected size for first two dimensions of batch2 tensor to be: "
                           f"[{b}, {k}] but got: [{b2}, {k2}].")  # fmt: skip
    check_types("bmm", input, mat2)
    return (((b, n, m), input.dtype),)


def bmm_samples(new: Any) -> Any:
    for b, n, k, m in ((2, 3, 4, 5), (1, 1, 1, 1), (0, 2, 3, 4), (2, 3, 0, 4), (3, 17, 33, 40)):
        yield Sample(new(b, n, k), new(b, k, m))
    yield Sample(new(2, 4, 3).transpose(1, 2), new(2, 5, 4).transpose(1, 2))
    yield Refused(new(2, 3, 4), new(2, 3, 4), error=RuntimeError, says="Expected size")


bmm = structured(
    "bmm(input, mat2)",
    shape=bmm_shape,
    numpy=lambda a, b: np.matmul(a, b),
    grad=dict(
        input=lambda g, mat2: g.bmm(mat2.transpose(1, 2)),
        mat2=lambda g, input: input.transpose(1, 2).bmm(g),
    ),
    samples=bmm_samples,
)


def mv_shape(mode: Mode, input: Spec, vec: Spec) -> Any:
    """[n, k] times [k]."""
    if input.ndim != 2 or vec.ndim != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got 1, {input.ndim}, {vec.ndim}")
    (n, k), (k2,) = input.size, vec.size
    if k != k2:
        raise RuntimeError(f"size mismatch, got input ({n}), mat ({n}x{k}), vec ({k2})")
    check_types("addmv_impl_cpu", input, vec)
    return (((n,), input.dtype),)


mv = structured(
    "mv(input, vec)",
    shape=mv_shape,
    numpy=lambda a, b: np.matmul(a, b),
    grad=dict(
        input=lambda g, vec: g.unsqueeze(1) * vec,
        vec=lambda g, input: input.t().mv(g),
    ),
    samples=lambda new: (Sample(new(n, k), new(k)) for n, k in ((2, 3), (0, 3), (3, 0), (33, 40))),
)


def dot_shape(mode: Mode, input: Spec, tensor: Spec) -> Any:
    """[k] times [k]."""
    if input.ndim != 1 or tensor.ndim != 1:
        raise RuntimeError(f"1D tensors expected, but got {input.ndim}D and {tensor.ndim}D tensors")
    if input.dtype is not tensor.dtype:
        raise RuntimeError(f"dot : expected both vectors to have same dtype, but found "
                           f"{input.dtype.legacy} and {tensor.dtype.legacy}")  # fmt: skip
    refuse_bool("dot", input)
    if input.size != tensor.size:
        n, m = input.size[0], tensor.size[0]
        raise RuntimeError(f"inconsistent tensor size, expected tensor [{n}] and src [{m}] to "
                           f"have the same number of elements, but got {n} and {m} elements "
                           "respectively")  # fmt: skip
    return (((), input.dtype),)


dot = structured(
    "dot(input, tensor)",
    shape=dot_shape,
    numpy=lambda a, b: np.asarray(np.dot(a, b)),
    grad=dict(input=lambda g, tensor: g * tensor, tensor=lambda g, input: g * input),
    samples=lambda new: (Sample(new(n), new(n)) for n in (3, 1, 0, 100)),
)


# ------------------------------------------------------------------ with something to add


def added(multiply: str) -> Any:
    """The expansion of beta · input + alpha · product; 16-bit floats are rounded once, at the end.

    multiply: the method that gives the product.
    """

    def expand(input: Any, a: Any, b: Any, beta: Any, alpha: Any) -> Any:
        dtype = a.dtype
        if dtype.kind == "f" and dtype.itemsize < 4:
            input, a, b = (x.to(dt.float32) for x in (input, a, b))
        out = times(input, beta) + times(getattr(a, multiply)(b), alpha)
        return out.to(dtype)

    return expand


def times(x: Any, factor: Any) -> Any:
    """x times a number that becomes one of its own type: for integers 0.6 counts as 0."""
    if isinstance(factor, float) and x.dtype.kind != "f":
        factor = FULL((), factor, dtype=x.dtype)
    return scaled(x, factor)


FULL: Any = function_of(full)


def check_added(input: Spec, size: tuple[int, ...], mat: Spec) -> None:
    """What is added broadcasts to the product's size, and has its type."""
    fits = len(input.size) <= len(size) and all(
        n in (1, m) for n, m in zip(input.size[::-1], size[::-1]))  # fmt: skip
    if not fits:
        raise RuntimeError(f"The expanded size of the tensor ({size[-1]}) must match the existing "
                           f"size ({input.size[-1]}) at non-singleton dimension {len(size) - 1}.  "
                           f"Target "
                           f"sizes: {list(size)}.  Tensor sizes: {list(input.size)}")  # fmt: skip
    if input.dtype is not mat.dtype:
        raise RuntimeError(f"self and mat2 must have the same dtype, but got {input.dtype.legacy} "
                           f"and {mat.dtype.legacy}")  # fmt: skip


def addmm_shape(mode: Mode, input: Spec, mat1: Spec, mat2: Spec, *rest: Any) -> Any:
    if mat1.ndim != 2 or mat2.ndim != 2:
        which, spec = ("mat1", mat1) if mat1.ndim != 2 else ("mat2", mat2)
        raise RuntimeError(f"{which} must be a matrix, got {spec.ndim}-D tensor")
    if mat1.dtype is not mat2.dtype:
        raise RuntimeError(f"mat1 and mat2 must have the same dtype, but got {mat1.dtype.legacy} "
                           f"and {mat2.dtype.legacy}")  # fmt: skip
    ((size, dtype),) = mm_shape(mode, mat1, mat2)
    check_added(input, size, mat2)
    if 0 not in size:
        refuse_bool("addmm_impl_cpu_", mat1)
    return ((size, dtype),)


def addmm_samples(new: Any) -> Any:
    for n, k, m in ((2, 3, 4), (0, 3, 4), (3, 0, 4), (17, 33, 40)):
        yield Sample(new(n, m), new(n, k), new(k, m))
        yield Sample(new(m), new(n, k), new(k, m), beta=2, alpha=3)
    yield Refused(new(3), new(2, 3), new(3, 4), error=RuntimeError, says="must match")


addmm = composite(
    "addmm(input, mat1, mat2, *, beta=1, alpha=1)",
    numbers=("beta", "alpha"),
    inplace=True,
    shape=addmm_shape,
    expand=added("mm"),
    grad=dict(
        input=lambda g, call: scaled(g, call.beta),
        mat1=lambda g, mat2, call: scaled(left_grad(g, mat2, call.mat1), call.alpha),
        mat2=lambda g, mat1, call: scaled(right_grad(g, mat1, call.mat2), call.alpha),
    ),
    samples=addmm_samples,
)


def addmv_shape(mode: Mode, input: Spec, mat: Spec, vec: Spec, *rest: Any) -> Any:
    ((size, dtype),) = mv_shape(mode, mat, vec)
    check_added(input, size, mat)
    return ((size, dtype),)


addmv = composite(
    "addmv(input, mat, vec, *, beta=1, alpha=1)",
    numbers=("beta", "alpha"),
    inplace=True,
    shape=addmv_shape,
    expand=added("mv"),
    grad=dict(
        input=lambda g, call: scaled(g, call.beta),
        mat=lambda g, vec, call: scaled(g.unsqueeze(1) * vec, call.alpha),
        vec=lambda g, mat, call: scaled(mat.t().mv(g), call.alpha),
    ),
    samples=lambda new: (Sample(new(3), new(3, 4), new(4), **more) for more in ({}, dict(alpha=2))),
)


def baddbmm_shape(mode: Mode, input: Spec, batch1: Spec, batch2: Spec, *rest: Any) -> Any:
    ((size, dtype),) = bmm_shape(mode, batch1, batch2)
    check_added(input, size, batch1)
    return ((size, dtype),)


baddbmm = composite(
    "baddbmm(input, batch1, batch2, *, beta=1, alpha=1)",
    numbers=("beta", "alpha"),
    inplace=True,
    shape=baddbmm_shape,
    expand=added("bmm"),
    grad=dict(
        input=lambda g, call: scaled(g, call.beta),
        batch1=lambda g, batch2, call: scaled(g.bmm(batch2.transpose(1, 2)), call.alpha),
        batch2=lambda g, batch1, call: scaled(batch1.transpose(1, 2).bmm(g), call.alpha),
    ),
    samples=lambda new: (
        Sample(new(*size), new(2, 3, 4), new(2, 4, 5), **more)
        for size in ((2, 3, 5), (5,)) for more in ({}, dict(beta=2, alpha=3))
    ),
)  # fmt: skip


def addbmm_shape(mode: Mode, input: Spec, batch1: Spec, batch2: Spec, *rest: Any) -> Any:
    ((size, dtype),) = bmm_shape(mode, batch1, batch2)
    check_added(input, size[1:], batch1)
    if 0 not in size:
        refuse_bool("addmm_impl_cpu_", batch1)
    return ((size[1:], dtype),)


def addbmm_expand(input: Any, batch1: Any, batch2: Any, beta: Any, alpha: Any) -> Any:
    """The sum over the batch is part of one long product."""
    b, n, k = batch1.shape
    long = batch1.transpose(0, 1).reshape((n, b * k))
    return added("mm")(input, long, batch2.reshape((b * k, batch2.shape[2])), beta, alpha)


addbmm = composite(
    "addbmm(input, batch1, batch2, *, beta=1, alpha=1)",
    numbers=("beta", "alpha"),
    inplace=True,
    shape=addbmm_shape,
    expand=addbmm_expand,
    grad=dict(
        input=lambda g, call: scaled(g, call.beta),
        batch1=lambda g, batch2, call: scaled(over(g, batch2).bmm(batch2.mT), call.alpha),
        batch2=lambda g, batch1, call: scaled(batch1.mT.bmm(over(g, batch1)), call.alpha),
    ),
    samples=lambda new: (
        Sample(new(3, 5), new(2, 3, 4), new(2, 4, 5), **more)
        for more in ({}, dict(beta=2, alpha=3))
    ),
)


def over(g: Any, batch: Any) -> Any:
    """A gradient that every matrix of a batch gets."""
    return g.expand((batch.shape[0], *g.shape))


def addr_type(mode: Mode, input: Any, mat1: Any, vec2: Any, beta: Any, alpha: Any) -> Any:
    """All three decide; numbers must fit."""
    dtype = promoted(mode, input, mat1, vec2)
    for name, number in (("beta", beta), ("alpha", alpha)):
        if isinstance(number, Number) and number.type is float and dt.category(dtype) < 2:
            raise RuntimeError(f"For integral input tensors, argument {name} must not be a "
                               "floating point number.")  # fmt: skip
    return dtype, dtype


def addr_numpy(x: Any, a: Any, b: Any, beta: Any, alpha: Any) -> Any:
    """With beta = 0 the input does not count, not even where it is NaN."""
    kept = x * np.asarray(beta).astype(x.dtype) if beta else np.zeros((), x.dtype)
    return kept + np.asarray(alpha).astype(x.dtype) * (a * b)


def addr_scalar(k: Any, x: Any, a: Any, b: Any, beta: Any, alpha: Any) -> Any:
    product = scaled(a * b, alpha)
    if is_one(beta):
        return x + product
    return k.where(k.eq(beta, 0), 0, x * beta) + product


addr = elementwise(  # the first vector as a column
    "_addr(input, mat1, vec2, *, beta=1, alpha=1)",
    public="",
    node="AddrBackward0",
    numbers=("beta", "alpha"),
    dtype=addr_type,
    numpy=addr_numpy,
    scalar=addr_scalar,
    grad=dict(
        input=lambda g, call: scaled(g, call.beta),
        mat1=lambda g, vec2, call: scaled(g.mv(vec2).unsqueeze(1), call.alpha),
        vec2=lambda g, mat1, call: scaled(g.t().mv(mat1.squeeze(1)), call.alpha),
    ),
    samples=no_samples,  # through torch.addr
)


unsafe_view = view(  # as reshape, of a fresh product that nobody else can see
    "unsafe_view(input, size, stride)",
    public="",
    shape=lambda mode, input, size, stride: (size, stride),
    grad=dict(input=lambda g, call: g.reshape(call.input.size)),
    samples=no_samples,
)
