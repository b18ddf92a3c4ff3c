"""Counts what a training step must multiply and add, whatever computes it."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod


def linear_flops(batch: int, *widths: int) -> int:
    """Multiplications and additions of fully connected layers, forward and backward.

    Each layer multiplies forward and for its weights; all but the first for their inputs too.
    """
    products = [2 * batch * n * m for n, m in zip(widths, widths[1:], strict=False)]
    return 3 * sum(products) - products[0]


def conv_flops(batch: int, layers: Iterable[tuple[int, int, tuple[int, ...], tuple[int, ...]]],
               from_data: bool = True) -> int:
    """The same for convolutions: (channels in, channels out, taps, positions) each.

    A transposed convolution counts the positions of its input. Where the first layer's input is
    data, nobody needs its gradient.
    """
    products = [2 * batch * inputs * outputs * prod(taps) * prod(positions)
                for inputs, outputs, taps, positions in layers]
    return 3 * sum(products) - (products[0] if from_data else 0)
