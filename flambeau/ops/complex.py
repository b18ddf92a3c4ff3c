"""Rows for complex numbers: making them, their parts, and the views between them and pairs."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.dtype import DType
from flambeau.ir.layout import Ints, Spec
from flambeau.ir.program import Number
from flambeau.ops.declare import declare, elementwise, elementwise_result, view
from flambeau.ops.samples import Refused, Sample, no_samples, unary
from flambeau.trace.modes import Mode

# ------------------------------------------------------------------ out of two real numbers


def parts_type(name: str, names: tuple[str, str], floats: tuple[DType, ...]) -> Any:
    """Two real tensors of one type, and the complex type of that precision."""

    def types(mode: Mode, *facts: Any) -> tuple[DType, DType]:
        for place, (argument, fact) in enumerate(zip(names, facts), 1):
            if isinstance(fact, Number):
                raise TypeError(f"{name}(): argument '{argument}' (position {place}) must be "
                                f"Tensor, not {fact.type.__name__}")  # fmt: skip
        first, second = facts[0].dtype, facts[1].dtype
        if not {first, second} <= {dt.float16, dt.float32, dt.float64}:
            raise RuntimeError("Expected both inputs to be Half, Float or Double tensors but got "
                               f"{first.legacy} and {second.legacy}")  # fmt: skip
        if first is not second:
            raise RuntimeError(f"Expected object of scalar type {first.legacy} but got scalar type "
                               f"{second.legacy} for second argument")  # fmt: skip
        if first not in floats:
            raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{first.legacy}'")
        return first, first.to_complex()

    return types


def pairs(new: Any) -> Any:
    for a, b in (((2, 3), (2, 3)), ((4, 1), (5,)), ((), ()), ((0,), (1,))):
        yield Sample(new(*a), new(*b))
    yield Refused(new(2), 1.0, error=TypeError, says="must be Tensor")


def joined(real: Any, imag: Any) -> Any:
    """real + imag · i, without arithmetic: infinities and NaN stay in their part."""
    real, imag = np.broadcast_arrays(real, imag)
    out = np.empty(real.shape, np.complex128 if real.dtype == np.float64 else np.complex64)
    out.real, out.imag = real, imag
    return out


complex_ = elementwise(
    "complex(input, other)",
    public="",
    inplace=False,
    dtype=parts_type("complex", ("real", "imag"), (dt.float16, dt.float32, dt.float64)),
    numpy=joined,
    scalar=None,
    grad=dict(input=lambda g: real(g), other=lambda g: imag(g)),
    holomorphic=False,
    samples=pairs,
)


def by_angle(abs: Any, angle: Any) -> Any:
    """abs · (cos angle + i sin angle)."""
    return joined(abs * np.cos(angle), abs * np.sin(angle))


polar = elementwise(
    "polar(input, other)",
    public="",
    inplace=False,
    dtype=parts_type("polar", ("abs", "angle"), (dt.float32, dt.float64)),
    numpy=by_angle,
    scalar=None,
    grad=dict(
        input=lambda g, out: real(g * out.sgn().conj()),
        other=lambda g, out: real(g * (out * 1j).conj()),
    ),
    holomorphic=False,
    samples=pairs,
)


def real(x: Any) -> Any:
    """The real part; a real tensor is its own."""
    return x.real


def imag(x: Any) -> Any:
    """The imaginary part; zeros for a real tensor."""
    return x.imag if x.is_complex() else x.new_zeros(x._spec.size)


# ------------------------------------------------------------------ angle, conjugate


def angle_type(mode: Mode, input: Spec) -> tuple[DType, DType]:
    """Real, of the input's precision; integers become the default float."""
    if dt.category(input.dtype) < 2:
        return mode.default_dtype, mode.default_dtype
    return input.dtype, input.dtype.to_real()


def angle_numpy(x: Any) -> Any:
    """Real numbers lie at 0 or π."""
    if x.dtype.kind == "c":
        return np.angle(x)
    return np.where(np.isnan(x), x, np.where(x < 0, x.dtype.type(np.pi), x.dtype.type(0)))


def angle_grad(g: Any, input: Any) -> Any:
    """i · z / |z|² turns with the angle; 0 at 0, and for real numbers."""
    if not input.is_complex():
        return g.new_zeros(input._spec.size)
    size = input.abs()
    turn = (input / size / size) * 1j
    return g * turn.masked_fill(size.eq(0), 0)


def angle_shape(mode: Mode, input: Spec) -> Any:
    """Row-major where the numbers are complex."""
    dtype = angle_type(mode, input)[1]
    complex_ = input.dtype.kind == "c"
    return ((input.size, dtype) if complex_ else elementwise_result((input,), dtype),)


angle = declare(
    "elementwise",
    "angle(input)",
    infer=angle_shape,
    compute=lambda mode, input: angle_type(mode, input)[0],
    numpy=angle_numpy,
    scalar=lambda k, x: k.where(k.isnan(x), x, k.where(k.lt(x, 0), k.number(np.pi, x.dtype), 0.0)),
    grad=dict(input=angle_grad),
    holomorphic=False,
    samples=unary(),
)

conj_physical = declare(  # a copy; for real numbers the tensor itself (see complexes.py)
    "elementwise",
    "conj_physical(input)",
    out_type="unary",
    public="",
    infer=lambda mode, input: (elementwise_result((input,), input.dtype),),
    compute=lambda mode, input: input.dtype,
    numpy=np.conjugate,
    scalar=lambda k, x: x,
    grad=dict(input=lambda g: g.conj()),
    holomorphic=False,
    samples=unary(),
)

# ------------------------------------------------------------------ views


def turned(mode: Mode, input: Spec) -> Any:
    """Read conjugated, or negated, from now on; twice is not at all."""
    return input.size, input.stride, input.dtype.opposite


conj = view(
    "conj(input)", public="", shape=turned, grad=dict(input=lambda g: g.conj()), samples=no_samples
)
neg_view = view(
    "neg_view(input)", public="", shape=turned, grad=dict(input=lambda g: g.neg()),
    samples=no_samples,
)  # fmt: skip


def as_pairs(mode: Mode, input: Spec) -> Any:
    """One more dim at the end: the real and the imaginary part."""
    stride: Ints = (*(2 * s for s in input.stride), 1)
    return (*input.size, 2), stride, input.dtype.to_real()


def as_numbers(mode: Mode, input: Spec) -> Any:
    """The last dim holds real and imaginary part."""
    return input.size[:-1], tuple(s // 2 for s in input.stride[:-1]), input.dtype.to_complex()


view_as_real = view(
    "view_as_real(input)",
    public="",
    shape=as_pairs,
    grad=dict(input=lambda g: g.contiguous().view_as_complex()),
    samples=no_samples,
)
view_as_complex = view(
    "view_as_complex(input)",
    public="",
    shape=as_numbers,
    grad=dict(input=lambda g: g.contiguous().resolve_conj().view_as_real()),
    samples=no_samples,
)
