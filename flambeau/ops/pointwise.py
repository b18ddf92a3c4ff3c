"""Elementwise rows: arithmetic and functions of one or two real elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.ir.dtype import DType
from flambeau.ir.layout import Spec
from flambeau.ops.declare import declare, elementwise
from flambeau.ops.rules import same, to_float
from flambeau.ops.samples import binary, unary
from flambeau.trace.modes import Mode


def is_one(alpha: Any) -> bool:
    """Whether a factor was left at its default."""
    return alpha.__class__ is int and alpha == 1


def scaled(x: Any, alpha: Any) -> Any:
    return x if is_one(alpha) else x * alpha


def operands_only(rule: Any) -> Any:
    """The types of the two operands decide, not alpha's."""
    return lambda mode, input, other, *rest: rule(mode, input, other)


add = elementwise(
    "add(input, other, *, alpha=1)",
    numbers=("alpha",),
    dtype=operands_only(same),
    numpy=lambda x, y, alpha: x + scaled(y, alpha),
    scalar=lambda k, x, y, alpha: x + scaled(y, alpha),
    grad=dict(input=lambda g: g, other=lambda g, call: scaled(g, call.alpha)),
    samples=binary(),
)

sub = elementwise(
    "sub(input, other, *, alpha=1)",
    aliases="subtract",
    numbers=("alpha",),
    dtype=operands_only(same),
    numpy=lambda x, y, alpha: x - scaled(y, alpha),
    scalar=lambda k, x, y, alpha: x - scaled(y, alpha),
    grad=dict(input=lambda g: g, other=lambda g, call: scaled(g.neg(), call.alpha)),
    samples=binary(),
)

mul = elementwise(
    "mul(input, other)",
    aliases="multiply",
    dtype=same,
    numpy=lambda x, y: x * y,
    scalar=lambda k, x, y: x * y,
    grad=dict(input=lambda g, other: g * other, other=lambda g, input: g * input),
    samples=binary(),
)

div = elementwise(
    "true_divide(input, other)",
    public="",
    node="DivBackward0",
    dtype=to_float,
    numpy=lambda x, y: x / y,
    scalar=lambda k, x, y: x / y,
    grad=dict(
        input=lambda g, other: g / other,
        other=lambda g, input, other: -g * ((input / other) / other),
    ),
    samples=binary(),
)

neg = elementwise(
    "neg(input)",
    aliases="negative",
    dtype=same,
    numpy=lambda x: -x,
    scalar=lambda k, x: -x,
    grad=dict(input=lambda g: g.neg()),
    samples=unary(),
)

exp = elementwise(
    "exp(input)",
    dtype=to_float,
    numpy=np.exp,
    scalar=lambda k, x: k.exp(x),
    grad=dict(input=lambda g, out: g * out),
    samples=unary(),
)


# ------------------------------------------------------------------ copies and casts


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
    samples=unary(),
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
    grad=dict(input=lambda g, call: g.to(call.input.dtype)),
    samples=lambda new: iter(()),
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
    samples=lambda new: iter(()),
)
