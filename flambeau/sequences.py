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
    start: Any = None,
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
    check_device(device, layout)
    if start is None and end is None:
        raise TypeError("arange() missing 1 required positional argument: 'end'")
    if start is None or end is None:
        start, end = 0, start if end is None else end
    start, end, step = plain(start), plain(end), plain(step)
    if dtype is None:
        floats = any(isinstance(v, float) for v in (start, end, step))
        dtype = out._spec.dtype if out is not None else get_default_dtype() if floats else dt.int64
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if dtype.kind in "bc" or dtype in (dt.uint16, dt.uint32, dt.uint64):
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


def spaced(start: Any, end: Any, steps: int, dtype: dt.DType, whole: dt.DType) -> np.ndarray:
    """Evenly spaced numbers, the second half counted from the end, in the type's own arithmetic.

    whole: the type to compute in where the numbers are integers; they are not yet rounded.
    """
    if not hasattr(steps, "__index__"):
        raise TypeError("linspace() received an invalid combination of arguments: steps must be an "
                        f"int, not {type(steps).__name__}")  # fmt: skip
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    if dtype.kind == "c":
        real = dtype.to_real()
        x, y = (spaced(v, w, steps, real, whole) for v, w in zip(parts(start), parts(end)))
        return x + 1j * y
    if dtype.kind != "f":
        start, end, dtype = int(start), int(end), whole

    def rounded(x: Any) -> np.ndarray:
        """In the type, and as NumPy computes with it."""
        return dt.widen(dt.narrow(np.asarray(x, dt.compute_dtype(dtype).numpy), dtype), dtype)

    with np.errstate(all="ignore"):
        low, high = rounded(start), rounded(end)
        if steps == 1:
            return np.array([low])
        step = rounded(rounded(high - low) / rounded(max(steps - 1, 1)))
        before, after = np.arange(steps), np.arange(steps)[::-1]
        if dtype.itemsize == 2:  # every operation rounds
            lower = rounded(low + rounded(step * rounded(before)))
            upper = rounded(high - rounded(step * rounded(after)))
        else:
            lower, upper = fused(step, before, low), fused(step, -after, high)
    return np.where(before < steps // 2, lower, upper).astype(low.dtype)


def type_between(start: Any, end: Any, dtype: Any, out: Any) -> dt.DType:
    """The type of numbers between two ends: complex where one of them is, by default."""
    found = type_for(dtype, out)
    if not isinstance(start, complex) and not isinstance(end, complex):
        return found
    if dtype is None and out is None:
        return found.to_complex()
    if found.kind != "c":
        raise RuntimeError("linspace(): inferred dtype is complex, which can't be safely cast to "
                           f"passed dtype {found}")  # fmt: skip
    return found


def parts(number: Any) -> tuple[float, float]:
    """Real and imaginary part of a Python number."""
    return number.real, number.imag


def fused(x: np.ndarray, n: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x·n + y rounded once, for whole numbers below 2^26.

    float64: x in two halves, whose products are exact, and the error of the first sum (T. J.
    Dekker,
    "A floating-point technique for extending the available precision", 1971).
    """
    if x.dtype == np.float32:
        return (x.astype(np.float64) * n + y).astype(np.float32)
    scaled = x * 134217729.0
    high = scaled - (scaled - x)
    product = high * n
    total = y + product
    virtual = total - y
    error = (y - (total - virtual)) + (product - virtual)
    exact = total + (error + (x - high) * n)
    return np.where(np.isfinite(exact), exact, x * n + y)


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
    check_device(device, layout)
    start, end = plain(start), plain(end)
    dtype = check_supported(type_between(start, end, dtype, out))
    values = spaced(start, end, steps, dtype, dt.float64)
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
    check_device(device, layout)
    start, end = plain(start), plain(end)
    dtype = check_supported(type_between(start, end, dtype, out))
    powers = spaced(start, end, steps, dtype, dt.float32)
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
    check_device(device, layout)
    dtype = check_supported(type_for(dtype, out))
    m = n if m is None else m
    if n < 0 or m < 0:
        name, value = ("n", n) if n < 0 else ("m", m)
        raise RuntimeError(f"{name} must be greater or equal to 0, got {value}")
    return finish(from_array(dt.narrow(np.eye(n, m), dtype), dtype), requires_grad, out)


def triangle(rows: int, columns: int, offset: int, dtype: Any, upper: bool) -> Any:
    """Where a matrix's upper or lower triangle is."""
    for name, n in (("row", rows), ("col", columns)):
        if n < 0:
            raise RuntimeError(f"{name} must be non-negative, got{n}")
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
    check_device(device, layout)
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
    check_device(device, layout)
    return triangle(row, col, offset, dtype, True)


PUBLIC = "arange linspace logspace eye tril_indices triu_indices".split()
