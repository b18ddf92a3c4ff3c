"""Sequences and other tensors that NumPy computes at once: arange, linspace, eye."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flambeau.creation import check_supported, finish, get_default_dtype, plain, type_for
from flambeau.device import check_device
from flambeau.ir import dtype as dt
from flambeau.tensor import from_array


def arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    *,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Any:
    """Numbers from `start` to before `end`, `step` apart."""
    check_device(device)
    start, end = (0, start) if end is None else (start, end)
    start, end, step = plain(start), plain(end), plain(step)
    if dtype is None:
        floats = any(isinstance(v, float) for v in (start, end, step))
        dtype = out.spec.dtype if out is not None else get_default_dtype() if floats else dt.int64
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if dtype.kind == "c" or dtype in (dt.uint16, dt.uint32, dt.uint64):
        raise NotImplementedError(f"\"arange_cpu\" not implemented for '{dtype.legacy}'")
    if not all(map(math.isfinite, (start, end))):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    if dtype.kind in "iu":  # each bound is converted first
        start, end, step = int(start), int(end), int(step)
        if step == 0:
            raise ValueError("step must be nonzero")
        values = np.arange(start, end, step, dtype=np.int64)
    else:
        count = math.ceil((end - start) / step)
        work = np.float64
        values = (np.arange(count, dtype=work) * work(step)) + work(start)
    return finish(from_array(dt.narrow(values, check_supported(dtype)), dtype), requires_grad, out)


def linspace_values(start: float, end: float, steps: int, dtype: dt.DType) -> np.ndarray:
    """Evenly spaced numbers, the second half counted from the end, in the type's own arithmetic."""
    if not hasattr(steps, "__index__"):
        raise TypeError("linspace() received an invalid combination of arguments: steps must be an "
                        f"int, not {type(steps).__name__}")  # fmt: skip
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    work = dt.compute_dtype(dtype).numpy.type if dtype.kind == "f" else np.float32
    low, high = (work(v) if dtype.kind == "f" else work(int(v)) for v in (start, end))
    if steps == 1:
        return np.array([low])
    step = work((high - low) / work(max(steps - 1, 1)))
    i = np.arange(steps).astype(work)
    with np.errstate(all="ignore"):
        upper = high - step * (work(steps - 1) - i)
    return np.where(np.arange(steps) < steps // 2, low + step * i, upper).astype(work)


def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Any:
    """`steps` evenly spaced numbers, both ends included."""
    check_device(device)
    dtype = check_supported(type_for(dtype, out))
    values = linspace_values(plain(start), plain(end), steps, dtype)
    return finish(from_array(dt.narrow(values, dtype), dtype), requires_grad, out)


def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Any:
    """`base` to the powers of a linspace."""
    check_device(device)
    dtype = check_supported(type_for(dtype, out))
    powers = linspace_values(plain(start), plain(end), steps, dtype)
    values = np.power(powers.dtype.type(base), powers)
    return finish(from_array(dt.narrow(values, dtype), dtype), requires_grad, out)


def eye(
    n: int,
    m: int | None = None,
    *,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Any:
    """Ones on the diagonal, zeros elsewhere."""
    check_device(device)
    dtype = check_supported(type_for(dtype, out))
    m = n if m is None else m
    if n < 0 or m < 0:
        name, value = ("n", n) if n < 0 else ("m", m)
        raise RuntimeError(f"{name} must be greater or equal to 0, got {value}")
    return finish(from_array(dt.narrow(np.eye(n, m), dtype), dtype), requires_grad, out)


def triangle(rows: int, columns: int, offset: int, dtype: Any, upper: bool) -> Any:
    """Where a matrix's upper or lower triangle is."""
    find = np.triu_indices if upper else np.tril_indices
    return from_array(np.stack(find(rows, offset, columns)), dt.int64).to(dtype)


def tril_indices(
    row: int,
    col: int,
    offset: int = 0,
    *,
    dtype: Any = dt.int64,
    device: Any = None,
    layout: Any = None,
) -> Any:
    """Rows and columns of the lower triangle."""
    return triangle(row, col, offset, dtype, False)


def triu_indices(
    row: int,
    col: int,
    offset: int = 0,
    *,
    dtype: Any = dt.int64,
    device: Any = None,
    layout: Any = None,
) -> Any:
    """Rows and columns of the upper triangle."""
    return triangle(row, col, offset, dtype, True)


PUBLIC = "arange linspace logspace eye tril_indices triu_indices".split()
