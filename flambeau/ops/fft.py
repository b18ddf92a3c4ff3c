"""Discrete Fourier transforms along several dims: complex to complex, real to complex and back.

The functions that users call are in flambeau/fft.py. `scale` says what the sums are divided by:
'none', 'n' (the number of points) or 'root' (its square root); `forward` is the sign -1 in the
exponent. A real signal's spectrum is hermitian: `half` keeps only its first half along the last
dim, and the way back takes the signal's length there.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from flambeau.ir.layout import Ints, Spec
from flambeau.ops.declare import structured
from flambeau.ops.functions import function_of
from flambeau.ops.join import cat
from flambeau.ops.samples import no_samples
from flambeau.trace.modes import Mode

# NumPy's names of the divisors, which depend on the direction
NAMES = {True: {"none": "backward", "n": "forward", "root": "ortho"},
         False: {"none": "forward", "n": "backward", "root": "ortho"}}  # fmt: skip


def row(signature: str, **more: Any) -> Any:
    """A transform; its derivative says itself what is conjugated."""
    return structured(signature, public="", holomorphic=False, samples=no_samples, **more)


def replaced(size: Ints, dim: int, n: int) -> Ints:
    return (*size[:dim], n, *size[dim + 1 :])


def empty(size: Ints) -> bool:
    return prod(size) == 0


# ------------------------------------------------------------------ complex to complex


def c2c_numpy(x: Any, dims: Ints, scale: str, forward: bool) -> Any:
    if empty(x.shape) or not dims:
        return x
    transform = np.fft.fftn if forward else np.fft.ifftn
    return transform(x, axes=dims, norm=NAMES[forward][scale])  # type: ignore[arg-type]


c2c = row(
    "_fft_c2c(input, dims, scale, forward)",
    node="FftC2CBackward0",
    shape=lambda mode, input, dims, scale, forward: ((input.size, input.dtype),),
    numpy=c2c_numpy,
    grad=dict(input=lambda g, call: C2C(g, call.dims, call.scale, not call.forward)),
)
C2C: Any = function_of(c2c)

# ------------------------------------------------------------------ real to complex


def r2c_shape(mode: Mode, input: Spec, dims: Ints, scale: str, half: bool) -> Any:
    n = input.size[dims[-1]]
    size = replaced(input.size, dims[-1], n // 2 + 1) if half else input.size
    return ((size, input.dtype.to_complex()),)


def r2c_numpy(x: Any, dims: Ints, scale: str, half: bool) -> Any:
    if empty(x.shape):
        n = x.shape[dims[-1]]
        return np.zeros(replaced(x.shape, dims[-1], n // 2 + 1) if half else x.shape)
    transform = np.fft.rfftn if half else np.fft.fftn
    return transform(x, axes=dims, norm=NAMES[True][scale])  # type: ignore[arg-type]


def r2c_back(g: Any, call: Any) -> Any:
    """The real part of the way back, the second half of the spectrum being 0."""
    last = call.dims[-1]
    missing = call.input.size[last] - g.shape[last]
    if missing:
        g = g.constant_pad_nd((0, 0) * (g.ndim - 1 - last) + (0, missing))
    return C2C(g, call.dims, call.scale, False).real


r2c = row(
    "_fft_r2c(input, dims, scale, half)",
    node="FftR2CBackward0",
    shape=r2c_shape,
    numpy=r2c_numpy,
    grad=dict(input=r2c_back),
)
R2C: Any = function_of(r2c)
CAT: Any = function_of(cat)

# ------------------------------------------------------------------ complex to real


def c2r_shape(mode: Mode, input: Spec, dims: Ints, scale: str, length: int) -> Any:
    return ((replaced(input.size, dims[-1], length), input.dtype.to_real()),)


def c2r_numpy(x: Any, dims: Ints, scale: str, length: int) -> Any:
    size = replaced(x.shape, dims[-1], length)
    if empty(size):
        return np.zeros(size)
    sizes = [size[d] for d in dims]
    return np.fft.irfftn(x, sizes, dims, norm=NAMES[False][scale])  # type: ignore[arg-type]


def c2r_back(g: Any, call: Any) -> Any:
    """What has a mirror image that was left out counts twice."""
    last = call.dims[-1]
    g = R2C(g, call.dims, call.scale, True)
    twice = call.length - g.shape[last]
    if not twice:
        return g
    parts = [g.narrow(last, 0, 1), g.narrow(last, 1, twice) * 2]
    if g.shape[last] > 1 + twice:
        parts.append(g.narrow(last, 1 + twice, g.shape[last] - 1 - twice))
    return CAT(parts, last)


c2r = row(
    "_fft_c2r(input, dims, scale, length)",
    node="FftC2RBackward0",
    shape=c2r_shape,
    numpy=c2r_numpy,
    grad=dict(input=c2r_back),
)
