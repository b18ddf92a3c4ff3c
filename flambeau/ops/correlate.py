"""Convolutions in the form that the compiler knows: products with what the taps of a kernel see.

Only expansions make these (ops/conv.py). At place p, tap k of a kernel sees p·stride - before +
k·dilation, and 0 where that lies outside. The compiler reads what they see as it multiplies
(codegen/cpu/gemm/windows.py); here, as their meaning, it is laid out.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from flambeau.ir.layout import Ints, Spec
from flambeau.ops.declare import structured
from flambeau.ops.functions import function_of
from flambeau.ops.samples import no_samples
from flambeau.trace.modes import Mode


def seen(x: np.ndarray, groups: int, taps: Ints, places: Ints, stride: Ints, before: Ints,
         dilation: Ints) -> np.ndarray:  # fmt: skip
    """[n, group, channel · tap, place]: what each tap sees at each place."""
    n, channels, *length = x.shape
    for d, size in enumerate(length):
        last = (places[d] - 1) * stride[d] - before[d] + (taps[d] - 1) * dilation[d]
        pad = [(0, 0)] * x.ndim
        pad[d + 2] = (max(before[d], 0), max(last + 1 - size, 0))
        x = np.pad(x, pad)
        cut: list[Any] = [slice(None)] * x.ndim
        cut[d + 2] = slice(max(-before[d], 0), None)
        x = x[tuple(cut)]
    outer, steps = x.strides[:2], x.strides[2:]
    size = (n, channels, *taps, *places)
    strides = (*outer, *(a * b for a, b in zip(steps, dilation)),
               *(a * b for a, b in zip(steps, stride)))  # fmt: skip
    windows = np.lib.stride_tricks.as_strided(x, size, strides)
    return windows.reshape(n, groups, channels // groups * prod(taps), prod(places))


def correlate_shape(mode: Mode, weight: Spec, input: Spec, places: Ints, *rest: Any) -> Any:
    groups, out = weight.size[:2]
    return (((input.size[0], groups * out, *places), input.dtype),)


def correlate_numpy(kernels: np.ndarray, x: np.ndarray, places: Ints, stride: Ints, before: Ints,
                    dilation: Ints, turned: bool) -> np.ndarray:  # fmt: skip
    groups, out, channels, *taps = kernels.shape
    if turned:
        kernels = np.flip(kernels, tuple(range(3, kernels.ndim)))
    columns = seen(x, groups, tuple(taps), places, stride, before, dilation)
    rows = kernels.reshape(groups, out, channels * prod(taps))
    return np.matmul(rows, columns).reshape(len(x), groups * out, *places)


def gradient_shape(mode: Mode, grad: Spec, input: Spec, groups: int, taps: Ints,
                   *rest: Any) -> Any:  # fmt: skip
    return (((grad.size[1], input.size[1] // groups, *taps), input.dtype),)


def gradient_numpy(grad: np.ndarray, x: np.ndarray, groups: int, taps: Ints, stride: Ints,
                   before: Ints, dilation: Ints) -> np.ndarray:  # fmt: skip
    n, out, *places = grad.shape
    columns = seen(x, groups, taps, tuple(places), stride, before, dilation)
    rows = grad.reshape(n, groups, out // groups, prod(places))
    made = np.einsum("ngop,ngcp->goc", rows, columns)
    return made.reshape(out, x.shape[1] // groups, *taps)


# weight: [group, out, channel, *taps], walked from the last tap to the first if `turned`;
# input: [n, group · channel, *length] → [n, group · out, *places]
_correlate = structured(
    "_correlate(weight, input, places, stride, before, dilation, turned)",
    public="",
    shape=correlate_shape,
    numpy=correlate_numpy,
    samples=no_samples,  # tested through convolution
)

# grad: [n, group · out, *places], input: [n, group · channel, *length] →
# [group · out, channel, *taps]: Σ over the batch and all places of grad · what each tap sees there
_correlate_weight = structured(
    "_correlate_weight(grad, input, groups, taps, stride, before, dilation)",
    public="",
    shape=gradient_shape,
    numpy=gradient_numpy,
    samples=no_samples,
)

correlate, correlate_weight = function_of(_correlate), function_of(_correlate_weight)
