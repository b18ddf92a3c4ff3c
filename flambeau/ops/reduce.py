"""Rows that reduce along dims."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.layout import Spec
from flambeau.ops.declare import reduction
from flambeau.ops.rules import many_dims, restore_dims, without_dims
from flambeau.ops.samples import Sample
from flambeau.trace.modes import Mode


def reductions(**kwargs: Any) -> Any:
    """Over all, one and several dims, kept and dropped, of empty and 0-dim tensors."""

    def make(new: Any) -> Any:
        for size, dim in (((5,), None), ((2, 3), 0), ((2, 3), -1), ((2, 3, 4), (0, 2)), ((), None),
                          ((3, 0), 1), ((7, 40), 1), ((70, 9), 0)):  # fmt: skip
            yield Sample(new(*size), dim, **kwargs)
            yield Sample(new(*size), dim, keepdim=True, **kwargs)

    return make


def clean_dims(input: Any, dim: Any, keepdim: Any, *rest: Any) -> tuple[Any, ...]:
    """Sorted dims from the front."""
    return (input, many_dims(dim, input.ndim), bool(keepdim), *rest)


def reduced(input: Spec, dim: Any, keepdim: bool, *rest: Any) -> Any:
    """The dims that go, and the size that stays."""
    return dim, without_dims(input.size, dim, keepdim)


def integers_to_int64(mode: Mode, input: Spec, dim: Any, keepdim: Any, dtype: Any) -> Any:
    """The type that is asked for, else int64 for integers and bool."""
    result = dtype or (dt.int64 if input.dtype.kind in "biu" else input.dtype)
    return result, result


sum_ = reduction(
    "sum(input, dim=None, keepdim=False, *, dtype=None)",
    clean=clean_dims,
    shape=reduced,
    dtype=integers_to_int64,
    numpy=lambda x, dim, keepdim, dtype: np.add.reduce(
        x if dtype is None else x.astype(dt.compute_dtype(dtype).numpy), dim, keepdims=keepdim
    ),
    reduce="sum",
    grad=dict(
        input=lambda g, call: restore_dims(g, call.dim, call.input.size, call.keepdim).expand(
            call.input.size
        )
    ),
    samples=reductions(),
)
