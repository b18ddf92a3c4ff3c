"""make_tensor: random tensors of any type, within bounds."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau import creation, random
from flambeau.complexes import view_as_complex
from flambeau.info import finfo
from flambeau.ir import dtype as dt


def make_tensor(
    *shape: Any,
    dtype: Any,
    device: Any,
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
    memory_format: Any = None,
) -> Any:
    """A tensor of random elements in [low, high), drawn uniformly.

    Without bounds from -9 to 9 (booleans 0 to 1, unsigned 0 to 9). noncontiguous: every second
    element of a larger tensor; exclude_zero: zeros become the smallest number above.
    Raises ValueError for bounds the wrong way round, and gradients of integers.
    """
    if memory_format is not None:
        raise NotImplementedError("make_tensor(memory_format=…) is not supported; convert the "
                                  "result instead")  # fmt: skip
    if requires_grad and dtype.kind not in "fc":
        raise ValueError("`requires_grad=True` is not supported for boolean and integral dtypes, "
                         f"but got {dtype=}")  # fmt: skip
    size = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape
    low, high = bounds(dtype, low, high)
    drawn = (*size[:-1], 2 * size[-1]) if noncontiguous and size else size
    out = draw(drawn, dtype, low, high)
    if noncontiguous and size:
        out = out[..., ::2]
    if exclude_zero:
        facts: Any = None if dtype.kind in "biu" else finfo(dtype.to_real())
        smallest = 1 if facts is None else facts.tiny
        out.masked_fill_(out == 0, smallest)
    return out.requires_grad_() if requires_grad else out


def bounds(dtype: dt.DType, low: Any, high: Any) -> tuple[Any, Any]:
    """The bounds that were given, or those of the type, within what the type can hold."""
    if dtype is dt.bool_:
        lowest, highest, least, most = 0, 2, 0, 2
    elif dtype.kind in "iu":
        facts = np.iinfo(dtype.numpy)
        lowest, highest = (0 if dtype.kind == "u" else -9), 10
        least, most = int(facts.min), int(facts.max) + (dtype is not dt.int64)
    else:
        real: Any = finfo(dtype.to_real())
        limit = real.max
        lowest, highest, least, most = -9, 9, -limit, limit
    low, high = lowest if low is None else low, highest if high is None else high
    if any(bound != bound for bound in (low, high)):
        raise ValueError(f"`low` and `high` cannot be NaN, but got {low=} and {high=}")
    if low > high or low == high and dtype.kind in "fc":
        raise ValueError(f"`low` must be less than `high`, but got {low} >= {high}")
    low, high = max(low, least), min(high, most)
    if dtype.kind in "biu":
        low, high = -int(-low // 1), -int(-high // 1)
    return low, high


def draw(size: Any, dtype: dt.DType, low: Any, high: Any) -> Any:
    """Random elements, a complex number as two."""
    if dtype.kind in "biu":
        return random.randint(low, high, size, dtype=dtype)
    if dtype.kind == "f":
        return creation.empty(size, dtype=dtype).uniform_(low, high)
    pairs = creation.empty((*size, 2), dtype=dtype.to_real()).uniform_(low, high)
    return view_as_complex(pairs)
