"""NumPy meanings of orthogonal polynomials: three-term recurrences in the degree.

`p(x, n)`: n is cut to a whole number; 0 where that is negative. Chebyshev's polynomials of high
degree are told by angles inside [-1, 1] (Abramowitz and Stegun, 22.3.15 and 22.3.16).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = Any
BY_ANGLE = 8  # the degree up to which Chebyshev's recurrence is used inside (-1, 1)
HERMITE_LIMIT = {np.dtype(np.float32): 128, np.dtype(np.float64): 512}  # NaN above, as in PyTorch


def together(x: Array, n: Array) -> tuple[Array, Array]:
    """Arrays of one size; the degree as whole numbers."""
    x, n = np.broadcast_arrays(x, n)
    return x, np.where(np.isfinite(n), np.trunc(n), -1).astype(np.int64)


def recurrence(x: Array, n: Array, first: Array, step: Callable[..., Array]) -> Array:
    """p(0) = 1, p(1) = first, p(k + 1) = step(k, x, p(k), p(k - 1)), each up to its own degree."""
    result = np.where(n < 0, x.dtype.type(0), np.where(n == 0, x.dtype.type(1), first)).ravel()
    n, x, here = n.ravel(), x.ravel(), first.ravel()
    before, at, k = np.ones_like(x), np.arange(x.size), 1
    while True:
        keep = (n > k) & ~np.isnan(here)
        if not keep.any():
            return result
        at, n, x, here, before = (v[keep] for v in (at, n, x, here, before))
        before, here = here, step(k, x, here, before)
        k += 1
        result[at] = here


def doubling(k: int, x: Array, here: Array, before: Array) -> Array:
    """All of Chebyshev's."""
    return 2 * x * here - before


def chebyshev(first: Callable[[Array], Array], angle: Callable[[Array, Array], Array]) -> Any:
    """One of Chebyshev's four: its p(1), and its value by degree and angle."""

    def polynomial(x: Array, n: Array) -> Array:
        x, n = together(x, n)
        wave = (np.abs(x) < 1) & (n > BY_ANGLE)
        short = np.where(wave, 0, n)
        steps = recurrence(x, short, np.asarray(first(x)), doubling).reshape(x.shape)
        inner = np.where(wave, x, 0)
        return np.where(wave, angle(n, np.arccos(inner)), steps)

    return polynomial


chebyshev_t = chebyshev(lambda x: x, lambda n, t: np.cos(n * t))
chebyshev_u = chebyshev(lambda x: 2 * x, lambda n, t: np.sin((n + 1) * t) / np.sin(t))
chebyshev_v = chebyshev(lambda x: 2 * x - 1, lambda n, t: np.cos((n + 0.5) * t) / np.cos(t / 2))
chebyshev_w = chebyshev(lambda x: 2 * x + 1, lambda n, t: np.sin((n + 0.5) * t) / np.sin(t / 2))


def shifted(polynomial: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    """The same over [0, 1]."""
    return lambda x, n: polynomial(2 * x - 1, n)


def hermite(scale: int) -> Callable[[Array, Array], Array]:
    """The physicists' (2) and the probabilists' (1)."""

    def polynomial(x: Array, n: Array) -> Array:
        x, n = together(x, n)
        high = n > HERMITE_LIMIT[x.dtype]

        def step(k: int, x: Array, here: Array, before: Array) -> Array:
            wide = here.astype(np.float64)  # float32 is rounded once, as in PyTorch's loops
            return (scale * (x * wide - k * before)).astype(x.dtype)

        steps = recurrence(x, np.where(high, 0, n), np.asarray(scale * x), step).reshape(x.shape)
        return np.where(high, np.nan, steps)

    return polynomial


def laguerre(x: Array, n: Array) -> Array:
    """Laguerre's."""
    x, n = together(x, n)

    def step(k: int, x: Array, here: Array, before: Array) -> Array:
        return ((2 * k + 1 - x) * here - k * before) / (k + 1)

    return recurrence(x, n, np.asarray(1 - x), step).reshape(x.shape)


def legendre(x: Array, n: Array) -> Array:
    """Legendre's."""
    x, n = together(x, n)

    def step(k: int, x: Array, here: Array, before: Array) -> Array:
        return ((2 * k + 1) * x * here - k * before) / (k + 1)

    return recurrence(x, n, x, step).reshape(x.shape)


shifted_t, shifted_u, shifted_v, shifted_w = map(
    shifted, (chebyshev_t, chebyshev_u, chebyshev_v, chebyshev_w)
)
hermite_h, hermite_he = hermite(2), hermite(1)
