"""What the linalg rows ask of their operands, in PyTorch's words, and how their results lie."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.ir.layout import Ints, Spec, broadcast_sizes, contiguous_strides
from flambeau.ops.declare import structured
from flambeau.ops.samples import no_samples


class _LinAlgError(RuntimeError):
    """A computation of linear algebra that failed because of the numbers."""


LinAlgError = _LinAlgError  # torch.linalg has it under this name, its tracebacks under the other


def floating(name: str, *specs: Spec, low: bool = False) -> None:
    """Floats or complex numbers of at least 32 bits each (`low`: of any precision)."""
    for spec in specs:
        dtype = spec.dtype
        if dtype.kind not in "fc":
            raise RuntimeError(f"{name}: Expected a floating point or complex tensor as input. Got "
                               f"{dtype.legacy}")  # fmt: skip
        if not low and dtype.itemsize < (4 if dtype.kind == "f" else 8):
            raise RuntimeError(f"{name}: Low precision dtypes not supported. Got {dtype.legacy}")


def same_type(name: str, a: Spec, b: Spec, names: str = "A B") -> None:
    if a.dtype is not b.dtype:
        first, second = names.split()
        raise RuntimeError(f"{name}: Expected {first} and {second} to have the same dtype, but "
                           f"found {first} of type {a.dtype.legacy} and {second} of type "
                           f"{b.dtype.legacy} instead")  # fmt: skip


def matrix(name: str, spec: Spec, argument: str = "A") -> None:
    if spec.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor {argument} must have at least 2 dimensions.")


def at_least_matrix(name: str, spec: Spec) -> None:
    """The same in the words of LU."""
    if spec.ndim < 2:
        raise RuntimeError(f"{name}: Expected tensor with 2 or more dimensions. Got size: "
                           f"{list(spec.size)} instead")  # fmt: skip


def square(name: str, spec: Spec, argument: str = "A") -> None:
    matrix(name, spec, argument)
    m, n = spec.size[-2:]
    if m != n:
        raise RuntimeError(f"{name}: {argument} must be batches of square matrices, but they are "
                           f"{m} by {n} matrices")  # fmt: skip


def fitting(name: str, a: Spec, b: Spec, left: bool, names: str = "A B") -> None:
    """A·X = B, or X·A = B, has a solution's size."""
    first, second = names.split()
    square(name, a, first)
    matrix(name, b, second)
    if a.size[-1] != b.size[-2 if left else -1]:
        (m, n), (p, q) = a.size[-2:], b.size[-2:]
        form = "AX = B" if left else "XA = B"
        raise RuntimeError(f"{name}: Incompatible shapes of {first} and {second} for the equation "
                           f"{form} ({m}x{n} and {p}x{q})")  # fmt: skip


def batches(*specs: Spec) -> Ints:
    """The common size of what stands before the matrices."""
    return broadcast_sizes([s.size[:-2] for s in specs])


def by_columns(size: Ints) -> Ints:
    """Strides of matrices whose columns lie in one piece, as LAPACK leaves them."""
    stride = contiguous_strides((*size[:-2], size[-1], size[-2]))
    return (*stride[:-2], stride[-1], stride[-2])


def decomposed(a: Any, **options: Any) -> Any:
    """NumPy's decomposition, its failure in PyTorch's words."""
    try:
        return np.linalg.svd(a, **options)
    except np.linalg.LinAlgError:
        bad = ~np.isfinite(a).all((-2, -1))
        place = f"(Batch element {np.argmax(bad)}): " if bad.ndim else ""
        why = " because the input matrix contained non-finite values" if bad.any() else ""
        raise LinAlgError(f"linalg.svd: {place}The algorithm failed to converge{why}.") from None


def not_derived(name: str) -> Any:
    """The derivative of what PyTorch has none for either."""

    def refuse(g: Any) -> Any:
        raise NotImplementedError(f"the derivative for '{name}' is not implemented.")

    return refuse


def matrix_row(signature: str, **more: Any) -> Any:
    """A row that the functions of torch.linalg record; its formulas say what is conjugated."""
    return structured(signature, public="", holomorphic=False, samples=no_samples, **more)
