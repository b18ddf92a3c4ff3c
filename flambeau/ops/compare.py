"""Elementwise rows: comparisons, logic, bits, and choices by a mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.dtype import DType
from flambeau.ir.layout import Spec
from flambeau.ir.op import Op
from flambeau.ops.declare import declare, elementwise, elementwise_result
from flambeau.ops.rules import (
    if_tensor,
    keep,
    not_for,
    promoted,
    real_only,
    same,
    tensors_only,
    to_bool,
)
from flambeau.ops.samples import Sample, binary, unary
from flambeau.trace.modes import Mode

# ------------------------------------------------------------------ comparisons


def comparison(name: str, alias: str, numpy: Callable[..., Any]) -> Op:
    """Two operands in their common type, a truth value. Complex numbers have no order."""
    kinds = "" if name in ("eq", "ne") else "c"
    return elementwise(
        f"{name}(input, other)",
        aliases=alias,
        dtype=not_for(kinds, f"{name}_cpu", tensors_only(name, to_bool, ("input",))),
        numpy=numpy,
        scalar=lambda k, x, y: getattr(k, name)(x, y),
        samples=binary(),
    )


eq = comparison("eq", "", np.equal)
ne = comparison("ne", "not_equal", np.not_equal)
lt = comparison("lt", "less", np.less)
le = comparison("le", "less_equal", np.less_equal)
gt = comparison("gt", "greater", np.greater)
ge = comparison("ge", "greater_equal", np.greater_equal)


def special(name: str, numpy: Callable[..., Any], whole: bool) -> Op:
    """A question about one number, whose answer is `whole` for every integer."""
    return elementwise(
        f"{name}(input)",
        dtype=to_bool,
        inplace=False,
        numpy=lambda x: numpy(x) if x.dtype.kind in "fc" else np.full(x.shape, whole),
        scalar=lambda k, x: (
            getattr(k, name)(x) if x.dtype.kind == "f" else k.number(whole, dt.bool_)
        ),
        samples=unary(),
    )


isnan = special("isnan", np.isnan, False)
isinf = special("isinf", np.isinf, False)
isfinite = special("isfinite", np.isfinite, True)
isposinf = elementwise(
    "isposinf(input)",
    out_type="boolean",
    dtype=real_only("isposinf does not support complex inputs.", to_bool, RuntimeError),
    inplace=False,
    numpy=lambda x: x == np.inf,
    scalar=lambda k, x: k.eq(x, np.inf) if x.dtype.kind == "f" else k.number(False, dt.bool_),
    samples=unary(),
)
isneginf = elementwise(
    "isneginf(input)",
    out_type="boolean",
    dtype=real_only("isneginf does not support complex inputs.", to_bool, RuntimeError),
    inplace=False,
    numpy=lambda x: x == -np.inf,
    scalar=lambda k, x: k.eq(x, -np.inf) if x.dtype.kind == "f" else k.number(False, dt.bool_),
    samples=unary(),
)
signbit = elementwise(
    "signbit(input)",
    out_type="boolean",
    dtype=real_only("signbit is not implemented for complex tensors.", to_bool),
    inplace=False,
    numpy=lambda x: np.signbit(x) if x.dtype.kind == "f" else x < 0,
    scalar=lambda k, x: k.lt(k.copysign(1.0, x), 0) if x.dtype.kind == "f" else k.lt(x, 0),
    samples=unary(),
)


def close_type(mode: Mode, input: Any, other: Any, *rest: Any) -> tuple[DType, DType]:
    if input.dtype is not other.dtype:
        raise RuntimeError(f"{input.dtype.legacy} did not match {other.dtype.legacy}")
    return input.dtype if input.dtype.kind in "fc" else dt.float64, dt.bool_


def close_numpy(x: Any, y: Any, rtol: Any, atol: Any, equal_nan: bool) -> Any:
    """Equal, or apart by no more than atol + rtol · |y|."""
    close = x == y
    if equal_nan:
        close = close | (np.isnan(x) & np.isnan(y))
    error = np.abs(x - y)
    return close | (np.isfinite(error) & (error <= (atol + np.abs(rtol * y)).real))


def close_scalar(k: Any, x: Any, y: Any, rtol: Any, atol: Any, equal_nan: bool) -> Any:
    close = k.eq(x, y)
    if equal_nan:
        close = close | (k.isnan(x) & k.isnan(y))
    error = k.abs(x - y)
    return close | (k.isfinite(error) & k.le(error, atol + k.abs(rtol * y)))


isclose = elementwise(
    "isclose_float(input, other, rtol, atol, equal_nan)",
    public="",
    numbers=("rtol", "atol"),
    dtype=tensors_only("isclose", close_type),
    numpy=close_numpy,
    scalar=close_scalar,
    samples=lambda new: (Sample(new(3, 4), new(3, 4), 0.5, 0.1, nan) for nan in (False, True)),
)


# ------------------------------------------------------------------ logic


def truths(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *x: function(*[a != 0 for a in x])


def logic(name: str, numpy: Callable[..., Any]) -> Op:
    return elementwise(
        f"{name}(input, other)",
        dtype=tensors_only(name, to_bool),
        numpy=truths(numpy),
        scalar=lambda k, x, y: getattr(k, name)(x, y),
        samples=binary(numbers=False),
    )


logical_and = logic("logical_and", np.logical_and)
logical_or = logic("logical_or", np.logical_or)
logical_xor = logic("logical_xor", np.logical_xor)
logical_not = elementwise(
    "logical_not(input)",
    dtype=to_bool,
    numpy=truths(np.logical_not),
    scalar=lambda k, x: k.logical_not(x),
    samples=unary(),
)


def bits(name: str, kernel: str, numpy: Callable[..., Any], scalar: Callable[..., Any],
         kinds: str = "fc") -> Op:  # fmt: skip
    return elementwise(
        f"{name}(input, other)",
        dtype=not_for(kinds, kernel, same),
        numpy=numpy,
        scalar=scalar,
        samples=binary(low=0, high=7),
    )


bitwise_and = bits("bitwise_and", "bitwise_and_cpu", np.bitwise_and, lambda k, x, y: x & y)
bitwise_or = bits("bitwise_or", "bitwise_or_cpu", np.bitwise_or, lambda k, x, y: x | y)
bitwise_xor = bits("bitwise_xor", "bitwise_xor_cpu", np.bitwise_xor, lambda k, x, y: x ^ y)
left_shift = bits(
    "bitwise_left_shift", "lshift_cpu", np.left_shift, lambda k, x, y: x << y, kinds="bfc"
)
right_shift = bits(
    "bitwise_right_shift", "rshift_cpu", np.right_shift, lambda k, x, y: x >> y, kinds="bfc"
)
bitwise_not = elementwise(
    "bitwise_not(input)",
    out_type="unary",
    dtype=not_for("fc", "bitwise_not_cpu", same),
    numpy=np.invert,
    scalar=lambda k, x: ~x,
    samples=unary(),
)


# ------------------------------------------------------------------ choices


def where_type(mode: Mode, condition: Any, input: Any, other: Any) -> tuple[DType, DType]:
    """The two choices decide."""
    if isinstance(condition, Spec) and condition.dtype not in (dt.bool_, dt.uint8):
        raise RuntimeError(f"where expected condition to be a boolean tensor, but got a tensor "
                           f"with dtype {condition.dtype.legacy}")  # fmt: skip
    dtype = promoted(mode, input, other)
    return dtype, dtype


def choices(new: Any) -> Any:
    for mask, a, b in (((2, 3), (2, 3), (2, 3)), ((3,), (2, 1), ()), ((4, 1), (1, 5), (5,)),
                       ((0, 3), (3,), (3,))):  # fmt: skip
        yield Sample(new.mask(*mask), new(*a), new(*b))
    yield Sample(new.mask(2, 3), new(2, 3), 0)
    yield Sample(new.mask(2, 3), 1.5, new(3))


where = elementwise(
    "where(condition, input, other)",
    out_type="unary",
    public="",
    inplace=False,
    dtype=where_type,
    numpy=lambda c, x, y: np.where(c != 0, x, y),
    scalar=lambda k, c, x, y: k.where(k.truth(c), x, y),
    grad=dict(
        input=lambda g, condition: g.where(condition, 0),
        other=lambda g, condition: g.masked_fill(condition, 0),
    ),
    samples=choices,
)


def fill_type(mode: Mode, input: Spec, mask: Any, value: Any) -> tuple[DType, DType]:
    if isinstance(mask, Spec) and mask.dtype is not dt.bool_:
        raise RuntimeError("masked_fill_ only supports boolean masks, but got mask with dtype "
                           f"{mask.dtype.name}")  # fmt: skip
    if isinstance(value, Spec) and value.size:
        raise RuntimeError("masked_fill_ only supports a 0-dimensional value tensor, but got "
                           f"tensor with {value.ndim} dimension(s).")  # fmt: skip
    return keep(mode, input)


def fill_shape(mode: Mode, *facts: Any) -> Any:
    """Row-major, whatever the operands' strides are."""
    return (elementwise_result(facts, fill_type(mode, *facts)[1])[:2],)


masked_fill = declare(
    "elementwise",
    "masked_fill(input, mask, value)",
    overload=if_tensor(2, 1, 0),
    inplace=True,
    numbers=("value",),
    infer=fill_shape,
    compute=lambda mode, *facts: fill_type(mode, *facts)[0],
    numpy=lambda x, mask, value: np.where(mask != 0, value, x),
    scalar=lambda k, x, mask, value: k.where(k.truth(mask), value, x),
    grad=dict(
        input=lambda g, mask: g.masked_fill(mask, 0),
        value=lambda g, mask: g.where(mask, 0).sum(),
    ),
    samples=lambda new: (
        Sample(new(*size), new.mask(*mask), 2) for size, mask in (((2, 3), (3,)), ((), ()),
        ((2, 1), (1, 3)), ((0, 2), (0, 2)))
    ),
)  # fmt: skip
