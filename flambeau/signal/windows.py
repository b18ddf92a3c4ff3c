"""torch.signal.windows: how much each of M samples counts.

All are symmetric; with sym=False they are the first M of a symmetric window of M + 1, as a
spectrum's period asks for. The formulas are those of Harris 1978, "On the use of windows for
harmonic analysis with the discrete Fourier transform". torch.hann_window and its like, which have
the period by default, stand in flambeau/spectrogram.py on the same formulas.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from flambeau.creation import finish, get_default_dtype
from flambeau.device import check_device, strided
from flambeau.ir import dtype as dt
from flambeau.tensor import from_array

Array = Any

# ------------------------------------------------------------------ formulas, by NumPy
#
# Each is a function of the places: t from 0 to 1 along the window, and of its length.


def cosines(t: Array, a: Iterable[float]) -> Array:
    """The alternating sum of cosines of whole multiples of one period."""
    total = np.zeros_like(t)
    for k, factor in enumerate(a):
        total += (-1) ** k * factor * np.cos(2 * np.pi * k * t)
    return total


def triangle(t: Array) -> Array:
    """From 0 to 1 and back."""
    return 1 - np.abs(2 * t - 1)


def bessel(t: Array, beta: float) -> Array:
    """Kaiser & Schafer 1980, "On the use of the I0-sinh window for spectrum analysis"."""
    return np.i0(beta * np.sqrt(np.maximum(1 - (2 * t - 1) ** 2, 0))) / np.i0(beta)


def sampled(formula: Any, length: int, periodic: bool) -> Array:
    """A formula at so many places; one sample alone is 1."""
    if length <= 1:
        return np.ones(length)
    return formula(np.arange(length) / (length if periodic else length - 1))


# ------------------------------------------------------------------ the functions


def made(name: str, M: int, formula: Any, sym: bool, dtype: Any, layout: Any, device: Any,
         requires_grad: bool) -> Any:  # fmt: skip
    """Check what all windows check, and make the tensor."""
    check_device(device)
    dtype = get_default_dtype() if dtype is None else dtype
    if M < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={M}")
    if layout not in (None, strided):
        raise ValueError(f"{name} is implemented for strided tensors only, got: {layout}")
    if dtype not in (dt.float32, dt.float64):
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {dtype}")
    values = sampled(formula, M, not sym).astype(dtype.numpy)
    return finish(from_array(values, dtype), requires_grad)


def bartlett(M, *, sym=True, dtype=None, layout=strided, device=None, requires_grad=False):
    """A triangle."""
    return made("bartlett", M, triangle, sym, dtype, layout, device, requires_grad)


def general_cosine(M, *, a, sym=True, dtype=None, layout=strided, device=None,
                   requires_grad=False):  # fmt: skip
    """Cosines of whole multiples of the period, with the factors a and alternating signs."""

    def formula(t: Array) -> Array:
        return cosines(t, a)

    if M >= 0 and dtype in (None, dt.float32, dt.float64):
        if not isinstance(a, Iterable):
            raise TypeError("Coefficients must be a list/tuple")
        if not a:
            raise ValueError("Coefficients cannot be empty")
    return made("general_cosine", M, formula, sym, dtype, layout, device, requires_grad)


def general_hamming(M, *, alpha=0.54, sym=True, dtype=None, layout=strided, device=None,
                    requires_grad=False):  # fmt: skip
    """alpha - (1 - alpha)·cos."""
    return general_cosine(M, a=[alpha, 1 - alpha], sym=sym, dtype=dtype, layout=layout,
                          device=device, requires_grad=requires_grad)  # fmt: skip


def hamming(M, *, sym=True, dtype=None, layout=strided, device=None, requires_grad=False):
    """0.54 - 0.46·cos."""
    return general_hamming(M, sym=sym, dtype=dtype, layout=layout, device=device,
                           requires_grad=requires_grad)  # fmt: skip


def hann(M, *, sym=True, dtype=None, layout=strided, device=None, requires_grad=False):
    """0.5 - 0.5·cos."""
    return general_hamming(M, alpha=0.5, sym=sym, dtype=dtype, layout=layout, device=device,
                           requires_grad=requires_grad)  # fmt: skip


def blackman(M, *, sym=True, dtype=None, layout=strided, device=None, requires_grad=False):
    """0.42 - 0.5·cos + 0.08·cos of twice."""
    return general_cosine(M, a=[0.42, 0.5, 0.08], sym=sym, dtype=dtype, layout=layout,
                          device=device, requires_grad=requires_grad)  # fmt: skip


def nuttall(M, *, sym=True, dtype=None, layout=strided, device=None, requires_grad=False):
    """Four cosines (Nuttall 1981, "Some windows with very good sidelobe behavior")."""
    return general_cosine(M, a=[0.3635819, 0.4891775, 0.1365995, 0.0106411], sym=sym, dtype=dtype,
                          layout=layout, device=device, requires_grad=requires_grad)  # fmt: skip


def cosine(M, *, sym=True, dtype=None, layout=strided, device=None, requires_grad=False):
    """Half a period of the sine, each sample in the middle of its place."""
    n = M if sym else M + 1
    steps = n - 1

    def formula(t: Array) -> Array:
        return np.sin(np.pi * (t * steps + 0.5) / n)

    return made("cosine", M, formula, sym, dtype, layout, device, requires_grad)


def exponential(M, *, center=None, tau=1.0, sym=True, dtype=None, layout=strided, device=None,
                requires_grad=False):  # fmt: skip
    """exp(-|distance from the center| / tau), in samples."""
    if M >= 0 and dtype in (None, dt.float32, dt.float64):
        if tau <= 0:
            raise ValueError(f"Tau must be positive, got: {tau} instead.")
        if sym and center is not None:
            raise ValueError("Center must be None for symmetric windows")
    steps = M - 1 if sym else M
    middle = steps / 2 if center is None else center
    return made("exponential", M, lambda t: np.exp(-np.abs(t * steps - middle) / tau), sym, dtype,
                layout, device, requires_grad)  # fmt: skip


def gaussian(M, *, std=1.0, sym=True, dtype=None, layout=strided, device=None,
             requires_grad=False):  # fmt: skip
    """exp(-(distance from the middle / std)² / 2), in samples."""
    if M >= 0 and dtype in (None, dt.float32, dt.float64) and std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    steps = M - 1 if sym else M
    return made("gaussian", M, lambda t: np.exp(-(((t - 0.5) * steps / std) ** 2) / 2), sym, dtype,
                layout, device, requires_grad)  # fmt: skip


def kaiser(M, *, beta=12.0, sym=True, dtype=None, layout=strided, device=None,
           requires_grad=False):  # fmt: skip
    """The window of the Bessel function I0."""
    if M >= 0 and dtype in (None, dt.float32, dt.float64) and beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")
    return made("kaiser", M, lambda t: bessel(t, beta), sym, dtype, layout, device, requires_grad)


__all__ = [
    "bartlett",
    "blackman",
    "cosine",
    "exponential",
    "gaussian",
    "general_cosine",
    "general_hamming",
    "hamming",
    "hann",
    "kaiser",
    "nuttall",
]
