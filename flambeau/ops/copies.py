"""Elementwise rows that compute nothing: copies, casts, one value everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.compiler.expand import copies_by
from flambeau.ir.dtype import DType
from flambeau.ir.layout import Spec
from flambeau.ops.declare import declare
from flambeau.ops.samples import no_samples, unary
from flambeau.trace.modes import Mode


def clone_shape(mode: Mode, input: Spec, memory_format: Any) -> Any:
    """The operand's own strides where it is dense, row-major where that is asked for."""
    from flambeau.ir.layout import result_strides

    if memory_format is not None and "contiguous_format" in str(memory_format):
        return ((input.size, input.dtype),)
    return ((input.size, input.dtype, result_strides(input.size, [input.stride])),)


clone = declare(
    "elementwise",
    "clone(input, *, memory_format=None)",
    infer=clone_shape,
    compute=lambda mode, input, memory_format: input.dtype,
    numpy=lambda x, memory_format: x,
    scalar=lambda k, x, memory_format: x,
    grad=dict(input=lambda g: g),
    samples=unary(),
)

copy = declare(  # what copy_ and assignment record: the target's elements become the input's
    "elementwise",
    "copy(input)",
    public="",
    node="CopyBackwards",
    infer=lambda mode, input: ((input.size, input.dtype),),
    compute=lambda mode, input: input.dtype,
    numpy=lambda x: x,
    scalar=lambda k, x: x,
    grad=dict(input=lambda g: g),
    samples=no_samples,
)


def cast_shape(mode: Mode, input: Spec, dtype: DType) -> Any:
    from flambeau.ir.layout import result_strides

    return ((input.size, dtype, result_strides(input.size, [input.stride])),)


cast = declare(  # x.to(dtype)
    "elementwise",
    "cast(input, dtype)",
    public="",
    node="ToCopyBackward0",
    infer=cast_shape,
    compute=lambda mode, input, dtype: input.dtype,
    numpy=lambda x, dtype: x,
    scalar=lambda k, x, dtype: x,
    grad=dict(input=lambda g: g),  # which is cast back wherever it arrives
    samples=no_samples,
)

full = declare(  # zeros, ones, full, fill_: one value everywhere
    "elementwise",
    "full(size, value, *, dtype)",
    public="",
    numbers=("value",),
    infer=lambda mode, size, value, dtype: ((size, dtype),),
    compute=lambda mode, size, value, dtype: dtype,
    numpy=lambda size, value, dtype: np.broadcast_to(value, size),
    scalar=lambda k, size, value, dtype: value,
    samples=no_samples,
)

copies_by(copy)
