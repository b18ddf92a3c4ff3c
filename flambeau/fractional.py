"""Fractional max pools: windows that overlap at random (B. Graham, 2014)."""

from __future__ import annotations

import math
from typing import Any

from flambeau.ops.pool_sizes import WORDS, pool_arguments
from flambeau.ops.window_max import WINDOW_MAX
from flambeau.pooling import joined_positions, wanted_size


def _fractional_max_pool(dims: int) -> Any:
    """fractional_max_pool2d or 3d (B. Graham, Fractional max-pooling, 2014)."""
    name = f"fractional_max_pool{dims}d"

    def function(input, kernel_size, output_size=None, output_ratio=None, return_indices=False,
                 _random_samples=None):  # fmt: skip
        if output_size is None and output_ratio is None:
            raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
        if output_size is None:
            ratios = output_ratio
            if not isinstance(ratios, (tuple, list)):
                ratios = (ratios,) * dims
            output_size = [int(n * r) for n, r in zip(input.shape[-dims:], ratios)]
        taps = pool_arguments(name, dims, kernel_size, None, 0, 1)[0]
        size = wanted_size(name, input, output_size, dims)
        windows = fractional_windows(name, input, taps, size, _random_samples)
        values, indices = WINDOW_MAX[name](input, windows, size)
        return (values, indices) if return_indices else values

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"The largest elements of windows that overlap at random, in {WORDS[dims][:-1]}."
    )
    return function


def fractional_windows(name: str, input: Any, taps: Any, size: Any, samples: Any) -> Any:
    """The positions that each result of each channel looks at."""
    import numpy as np

    from flambeau.ir import dtype as dt
    from flambeau.tensor import from_array

    dims = len(size)
    if input.ndim not in (dims + 1, dims + 2) or 0 in input.shape[-dims - 1 :]:
        raise RuntimeError(f"{name}(): Expected {dims + 1}D or {dims + 2}D tensor, but got: "
                           f"{list(input.shape)}")  # fmt: skip
    inside = tuple(input.shape[-dims:])
    words = ("time", "height", "width")[-dims:]
    for n, k, m, word in zip(inside, taps, size, words):
        if m + k - 1 > n:
            suffix = "" if dims == 2 else "_out"
            raise RuntimeError(f"{name}{suffix}(): pool {word} {k} too large relative to input "
                               f"{word} {n}")  # fmt: skip
    batch = input.shape[0] if input.ndim == dims + 2 else 1
    channels = input.shape[-dims - 1]
    draws = drawn(input, samples, batch, channels, dims)
    axes = []
    for d, (n, k, m) in enumerate(zip(inside, taps, size)):
        order = dims - 1 - d if dims == 2 else d  # in two dims the width has the first number
        u = draws[..., order].astype(np.float64)[..., None]
        starts = np.full((batch, channels, m), n - k)
        if m > 1:
            alpha = (n - k) / (m - 1)
            i = np.arange(m - 1)
            starts[..., :-1] = (np.trunc((i + u) * alpha) - np.trunc(u * alpha)).astype(np.int64)
        axes.append(starts[..., None] + np.arange(k))
    pieces = [joined_positions([axis[b, c] for axis in axes], inside)
              for b in range(batch) for c in range(channels)]  # fmt: skip
    size = batch, channels, math.prod(size), math.prod(taps)
    return from_array(np.array(pieces, np.int64).reshape(size), dt.int64)


def drawn(input: Any, samples: Any, batch: int, channels: int, dims: int) -> Any:
    """One number for each image, channel and dim."""
    from flambeau import rand

    if samples is None:
        samples = rand((batch, channels, dims), dtype=input.dtype)
    if samples.ndim != 3:
        raise RuntimeError(f"Expect _random_samples to have 3 dimensions, got {samples.ndim}")
    if samples.shape[0] < batch:
        raise RuntimeError("Expect _random_samples.size(0) no less then input batch size.")
    if samples.shape[1] != channels:
        raise RuntimeError("Expect _random_samples.size(1) equals to input channel size.")
    if samples.shape[2] != dims:
        raise RuntimeError(f"Expect _random_samples.size(2) equals to {dims}; got "
                           f"{samples.shape[2]}.")  # fmt: skip
    return samples._numbers()[:batch]


fractional_max_pool2d, fractional_max_pool3d = map(_fractional_max_pool, (2, 3))


def _fractional_indexed(pool: Any) -> Any:
    def function(input, kernel_size, output_size=None, output_ratio=None, return_indices=True,
                 _random_samples=None):  # fmt: skip
        return pool(input, kernel_size, output_size, output_ratio, True, _random_samples)

    function.__name__ = function.__qualname__ = f"{pool.__name__}_with_indices"
    function.__doc__ = f"{pool.__name__}, and the positions of the elements."
    return function


fractional_max_pool2d_with_indices, fractional_max_pool3d_with_indices = map(
    _fractional_indexed, (fractional_max_pool2d, fractional_max_pool3d)
)
