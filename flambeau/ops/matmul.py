"""Structured rows: products of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.ir.layout import Spec
from flambeau.ops.declare import structured
from flambeau.ops.samples import Refused, Sample
from flambeau.trace.modes import Mode


def mm_shape(mode: Mode, input: Spec, mat2: Spec) -> Any:
    """[n, k] times [k, m]."""
    if input.ndim != 2:
        raise RuntimeError(f"self must be a matrix, but got {input.ndim}-D tensor")
    if mat2.ndim != 2:
        raise RuntimeError(f"mat2 must be a matrix, but got {mat2.ndim}-D tensor")
    (n, k), (k2, m) = input.size, mat2.size
    if k != k2:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({n}x{k} and {k2}x{m})")
    if input.dtype is not mat2.dtype:
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: "
                           f"{input.dtype.legacy.lower()} != {mat2.dtype.legacy.lower()}")  # fmt: skip
    return (((n, m), input.dtype),)


def mm_samples(new: Any) -> Any:
    for n, k, m in ((2, 3, 4), (1, 1, 1), (0, 3, 4), (3, 0, 4), (17, 33, 40)):
        yield Sample(new(n, k), new(k, m))
    yield Sample(new(3, 2).t(), new(4, 3).t())
    yield Refused(new(2, 3), new(2, 3), error=RuntimeError, says="cannot be multiplied")


mm = structured(
    "mm(input, mat2)",
    shape=mm_shape,
    numpy=lambda a, b: np.matmul(a, b),
    grad=dict(input=lambda g, mat2: g.mm(mat2.t()), mat2=lambda g, input: input.t().mm(g)),
    samples=mm_samples,
)
