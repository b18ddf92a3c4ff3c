"""nn.functional's grid_sample and affine_grid; the rows are in ops/grid.py."""

from __future__ import annotations

import warnings
from typing import Any

from flambeau.ops.grid import GRID_SAMPLER

MODES = {"bilinear": 0, "nearest": 1, "bicubic": 2}
PADDINGS = {"zeros": 0, "border": 1, "reflection": 2}


def aligned(name: str, align_corners: bool | None) -> bool:
    """Whether -1 and 1 are the middles of the outermost pixels; False is the default of today."""
    if align_corners is None:
        warnings.warn(f"Default {name} behavior has changed to align_corners=False since 1.3.0. "
                      "Please specify align_corners=True if the old behavior is desired. See the "
                      f"documentation of {name} for details.", stacklevel=3)  # fmt: skip
        return False
    return bool(align_corners)


def grid_sample(input, grid, mode="bilinear", padding_mode="zeros", align_corners=None):
    """The input at the points of a grid, whose last dim has x, y (and z) between -1 and 1.

    input: [n, channels, …, h, w]; grid: [n, …, 2 or 3]; mode: 'bilinear', 'nearest' or 'bicubic';
    padding_mode, for what lies outside: 'zeros', 'border' or 'reflection'.
    """
    if mode not in MODES:
        raise ValueError("nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' "
                         f"or 'bicubic', but got: '{mode}'")  # fmt: skip
    if padding_mode not in PADDINGS:
        raise ValueError("nn.functional.grid_sample(): expected padding_mode to be 'zeros', "
                         f"'border', or 'reflection', but got: '{padding_mode}'")  # fmt: skip
    return grid_sampler(input, grid, MODES[mode], PADDINGS[padding_mode],
                        aligned("grid_sample", align_corners))  # fmt: skip


def grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners):
    """grid_sample with numbers for words."""
    if input.shape[0] != grid.shape[0]:
        raise RuntimeError("grid_sampler(): expected grid and input to have same batch size, but "
                           f"got input with sizes {list(input.shape)} and grid with sizes "
                           f"{list(grid.shape)}")  # fmt: skip
    record = GRID_SAMPLER[3 if input.ndim == 5 else 2]
    return record(input, grid, interpolation_mode, padding_mode, align_corners)


def affine_grid(theta, size, align_corners=None):
    """The points that affine maps send a regular grid to, for grid_sample.

    theta: [n, 2, 3] or [n, 3, 4]; size: of the images, [n, channels, …].
    """
    align = aligned("affine_grid", align_corners)
    size = tuple(size)
    if not theta.is_floating_point():
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    dims = len(size) - 2
    if dims not in (2, 3):
        raise NotImplementedError("affine_grid only supports 4D and 5D sizes, for 2D and 3D affine "
                                  f"transforms, respectively. Got size {size}.")  # fmt: skip
    if theta.ndim != 3 or tuple(theta.shape[1:]) != (dims, dims + 1):
        raise ValueError(f"Expected a batch of {dims}D affine matrices of shape Nx{dims}x{dims + 1}"
                         f" for size {size}. Got {theta.shape}.")  # fmt: skip
    if min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {size}")
    return affine_grid_generator(theta, size, align)


def affine_grid_generator(theta, size, align_corners):
    """The same, without checks."""
    base = base_grid(theta, tuple(size[2:]), align_corners)
    n, dims = size[0], len(size) - 2
    points = base.view((1, -1, dims + 1)).expand((n, -1, dims + 1)).bmm(theta.transpose(1, 2))
    return points.view((n, *size[2:], dims))


def base_grid(theta: Any, size: tuple[int, ...], align: bool) -> Any:
    """x, y (, z), 1 of every pixel."""
    from flambeau import linspace, ones, stack

    axes = []
    for d, n in enumerate(size):
        if n > 1:
            axis = linspace(-1, 1, n, dtype=theta.dtype)
            axis = axis if align else axis * ((n - 1) / n)
        else:
            axis = ones(1, dtype=theta.dtype) * 0
        axes.append(axis.view((-1, *(1,) * (len(size) - 1 - d))).expand(size))
    return stack([*axes[::-1], ones(size, dtype=theta.dtype)], -1)
