"""Tensors out of nothing: zeros, full, arange, eye and their like.

One value everywhere is recorded as a call; sequences are computed at once, by NumPy.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flambeau.device import check_device, preserve_format
from flambeau.info import finfo, iinfo
from flambeau.ir import dtype as dt
from flambeau.ir.layout import contiguous_strides, result_strides, spec_of
from flambeau.ops.outs import c_name, refuse_gradient
from flambeau.tensor import FUNCTIONS, Tensor, empty_of
from flambeau.trace.trie import here, switch_for_all
from flambeau.viewing import ints


def get_default_dtype() -> dt.DType:
    """What Python floats become."""
    return here.stretch.mode.default_dtype


def set_default_dtype(d: dt.DType) -> None:
    """Change what Python floats become, in this thread and in those that begin later."""
    if not isinstance(d, dt.DType) or d.kind != "f":
        raise TypeError("only floating-point types are supported as the default type")
    switch_for_all(default_dtype=d)


def type_for(dtype: Any, out: Any) -> Any:
    """The dtype that is asked for, else that of `out`, else the default one."""
    if dtype is not None:
        return dtype
    return here.stretch.mode.default_dtype if out is None else out.dtype


def sizes(given: Any, name: str = "new") -> tuple[int, ...]:
    """A size as given to zeros(2, 3), zeros((2, 3)), zeros(size)."""
    try:
        size = ints(given)
    except TypeError:
        wrong = next((n for n in given if not hasattr(n, "__index__")), given[0])
        raise TypeError(
            f"{name}(): argument 'size' (position 1) must be tuple of ints, not "
            f"{type(wrong).__name__}"
        ) from None
    for n in size:
        if n < 0:
            if name == "zeros":
                raise RuntimeError("zeros: Dimension size must be non-negative.")
            raise RuntimeError(f"Trying to create tensor with negative dimension {n}: {list(size)}")
    return size


def finish(made: Any, requires_grad: bool = False, out: Any = None, name: str = "empty") -> Any:
    """What all factories end with."""
    if out is not None:
        refuse_gradient(name, out)
        if out.dtype is not made.dtype:
            raise RuntimeError(f"dtype {made.dtype.legacy} does not match dtype of out parameter "
                               f"({out.dtype.legacy})")  # fmt: skip
        if out._spec.size != made._spec.size:
            out._resize_for_out(made._spec.size)
        return out.copy_(made)
    if requires_grad:
        if made._spec.dtype.kind not in "fc":
            raise RuntimeError(
                "Only Tensors of floating point and complex dtype can require gradients"
            )
        made.requires_grad_()
    return made


def check_supported(dtype: Any) -> dt.DType:
    """A dtype that tensors can have, or an error."""
    if dtype in dt.SUPPORTED:
        return dtype
    if not isinstance(dtype, dt.DType):
        raise TypeError(f"dtype must be a torch.dtype, not {type(dtype).__name__}")
    if dtype.lazy:
        return dtype.plain
    raise NotImplementedError(f"tensors of {dtype} are not supported yet; use bfloat16 or float16")


def range_of(dtype: dt.DType) -> tuple[float, float]:
    """The smallest and the largest number that may be stored; -1 counts as 255 in uint8."""
    if dtype.kind == "b":
        return -math.inf, math.inf
    if dtype.kind in "fc":
        high = finfo(dtype).max  # type: ignore[attr-defined]
        return -high, high
    limits = iinfo(dtype)
    return (-limits.max if dtype.kind == "u" else limits.min), limits.max


RANGES = {dtype: range_of(dtype) for dtype in dt.SUPPORTED}
RANGES[dt.float16] = -65519.99, 65519.99  # what rounds to the largest
WIDE = {dtype: dtype.name + "_t" for dtype in RANGES if dtype.kind in "iu"} | {dt.int32: "int"}


FLOATS = RANGES[dt.float32][1]


def fitting(value: Any, dtype: dt.DType) -> Any:
    """A number that is to be stored in a type: RuntimeError where it is out of its range.

    Infinities and NaN fit into floats, complex numbers where nothing is lost.
    """
    low, high = RANGES[dtype]
    if value.__class__ in (int, float) and low <= value <= high:
        return value
    if isinstance(value, (int, float)):
        endless = dtype.kind in "fc" and not -FLOATS <= value <= FLOATS  # infinite in float32, too
        endless = endless and (dtype.itemsize == 2 or not math.isfinite(value))
        if not endless and not low <= value <= high:
            name = WIDE.get(dtype) or c_name(dtype)
            raise RuntimeError(f"value cannot be converted to type {name} without overflow")
        return value
    if isinstance(value, complex) and dtype.kind != "c":
        if value.imag:
            name = dtype.legacy.lower()
            raise RuntimeError(f"value cannot be converted to type {name} without overflow")
        return value.real
    return value


def filled(size: Any, value: Any, dtype: Any, stride: Any = None) -> Any:
    """One value everywhere, in an order of dims."""
    dtype = check_supported(dtype)
    if stride is None or stride == contiguous_strides(size):
        return FUNCTIONS["full"](size, fitting(value, dtype), dtype=dtype)
    out = empty_of(spec_of(size, stride, dtype))
    return out.fill_(value)


# ------------------------------------------------------------------ one value everywhere


def zeros(
    *given: Any,
    size: Any = None,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
    names: Any = None,
) -> Any:
    """Zeros."""
    check_device(device, layout)
    made = filled(sizes(given if size is None else size, "zeros"), 0, type_for(dtype, out))
    return made if out is None and not requires_grad else finish(made, requires_grad, out)


def ones(
    *given: Any,
    size: Any = None,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: bool = False,
    requires_grad: bool = False,
    names: Any = None,
) -> Any:
    """Ones."""
    check_device(device, layout)
    made = filled(sizes(given if size is None else size, "ones"), 1, type_for(dtype, out))
    return made if out is None and not requires_grad else finish(made, requires_grad, out)


def number_of(value: Any) -> Any:
    """A fill value: a number, or a tensor of one element."""
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(
                f"fill_ only supports 0-dimension value tensor but got tensor with "
                f"{value.ndim} dimensions."
            )
        return value.item()
    return value.item() if isinstance(value, np.generic) else value


def full(
    size: Any,
    fill_value: Any,
    *,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Any:
    """One value everywhere; its type decides the dtype."""
    check_device(device, layout)
    if isinstance(size, int):
        raise TypeError("full(): argument 'size' (position 1) must be tuple of ints, not int")
    if dtype is None and out is not None:
        dtype = out._spec.dtype
    made = filled(sizes((tuple(size),)), number_of(fill_value), dtype or type_of_fill(fill_value))
    return made if out is None and not requires_grad else finish(made, requires_grad, out)


def type_of_fill(value: Any) -> dt.DType:
    """The dtype that `full` gives: NumPy's numbers count as Python's, and its bools as floats."""
    if isinstance(value, np.bool_):
        return here.stretch.mode.default_dtype
    return dtype_of(value.item() if isinstance(value, np.generic) else value)


def dtype_of(value: Any) -> dt.DType:
    """The dtype of a Python number's tensor."""
    if isinstance(value, Tensor):
        return value._spec.dtype
    if isinstance(value, np.generic):
        return dt.FROM_NUMPY[value.dtype]
    if isinstance(value, bool):
        return dt.bool_
    if isinstance(value, complex):
        return here.stretch.mode.default_dtype.to_complex()
    return dt.int64 if isinstance(value, int) else here.stretch.mode.default_dtype


def empty(
    *given: Any,
    size: Any = None,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = None,
) -> Any:
    """Memory whose content nobody knows."""
    check_device(device, layout)
    dtype = check_supported(type_for(dtype, out))
    size = sizes(given if size is None else size)
    return finish(empty_of(spec_of(size, None, dtype)), requires_grad, out)


def empty_strided(
    size: Any,
    stride: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Any:
    """Memory whose content nobody knows, with strides."""
    check_device(device, layout)
    spec = spec_of(tuple(size), tuple(stride), check_supported(dtype or get_default_dtype()))
    out = empty_of(spec_of((spec.extent,), None, spec.dtype))
    out._spec = spec
    return finish(out, requires_grad)


def empty_permuted(size: Any, physical_layout: Any, **options: Any) -> Any:
    """Memory whose content nobody knows; the dims lie in memory in the order that is given."""
    size, order = tuple(size), tuple(physical_layout)
    if len(size) != len(order):
        raise RuntimeError("Number of dimensions in size does not match the length of the "
                           f"physical_layout; i.e. len(size) = {len(size)} is not equal to "
                           f"len(physical_layout) = {len(order)}")  # fmt: skip
    for n, d in enumerate(order):
        if not 0 <= d < len(size):
            raise RuntimeError("Dimension out of range (expected to be between 0 and "
                               f"{len(size) - 1}, but got {d} at index {n}).  NB: negative dims "
                               "not currently supported; file an issue if you want "
                               "it.")  # fmt: skip
    if len(set(order)) != len(order):
        raise RuntimeError("Duplicate dim not allowed")
    lying = contiguous_strides(sizes(([size[d] for d in order],)))
    stride = tuple(lying[order.index(d)] for d in range(len(size)))
    return empty_strided(size, stride, **options)


# ------------------------------------------------------------------ like another tensor


def strides_like(x: Any, memory_format: Any) -> Any:
    """The order of dims that a tensor like x has."""
    if memory_format not in (None, preserve_format) or x._spec.contiguous:
        return None
    return result_strides(x._spec.size, [x._spec.stride])


def make_like(
    input: Any,
    value: Any,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
    layout: Any = None,
    pin_memory: bool = False,
) -> Any:
    """One value everywhere, with a tensor's size, dtype and order of dims."""
    check_device(device, layout)
    spec = input._spec
    made = filled(spec.size, value, dtype or spec.dtype, strides_like(input, memory_format))
    return finish(made, True) if requires_grad else made


def zeros_like(input: Any, **options: Any) -> Any:
    return make_like(input, 0, **options)


def ones_like(input: Any, **options: Any) -> Any:
    return make_like(input, 1, **options)


def full_like(input: Any, fill_value: Any, **options: Any) -> Any:
    return make_like(input, number_of(fill_value), **options)


def empty_like(
    input: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
    layout: Any = None,
    pin_memory: bool = False,
) -> Any:
    """Memory whose content nobody knows, with a tensor's size, dtype and order of dims."""
    check_device(device, layout)
    stride = strides_like(input, memory_format)
    spec = spec_of(input._spec.size, stride, check_supported(dtype or input._spec.dtype))
    return finish(empty_of(spec), requires_grad)


def new_zeros(self: Any, *size: Any, dtype: Any = None, **options: Any) -> Any:
    return zeros(*size, dtype=dtype or self._spec.dtype, **options)


def new_ones(self: Any, *size: Any, dtype: Any = None, **options: Any) -> Any:
    return ones(*size, dtype=dtype or self._spec.dtype, **options)


def new_empty(self: Any, *size: Any, dtype: Any = None, **options: Any) -> Any:
    return empty(*size, dtype=dtype or self._spec.dtype, **options)


def new_full(self: Any, size: Any, fill_value: Any, *, dtype: Any = None, **options: Any) -> Any:
    return full(size, fill_value, dtype=dtype or self._spec.dtype, **options)


def new_empty_strided(
    self: Any, size: Any, stride: Any, *, dtype: Any = None, **options: Any
) -> Any:
    return empty_strided(size, stride, dtype=dtype or self._spec.dtype, **options)


def plain(x: Any) -> Any:
    """A bound as a Python number."""
    return x.item() if isinstance(x, (Tensor, np.generic)) else x


METHODS = "new_zeros new_ones new_empty new_full new_empty_strided".split()
PUBLIC = """get_default_dtype set_default_dtype zeros ones full empty empty_strided empty_permuted
    zeros_like ones_like full_like empty_like""".split()
