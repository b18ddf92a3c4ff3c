"""Reading images between their pixels, at points of a grid: grid_sampler_2d and _3d.

Along each dim a point has taps: positions, weights, and how weights change with the coordinate.
What is read is the product over dims, so both derivatives come from the same taps.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from math import prod
from typing import Any

from flambeau.ir import dtype as dt
from flambeau.ir.layout import Ints, Spec
from flambeau.ir.op import Op
from flambeau.ops.declare import composite
from flambeau.ops.functions import function_of
from flambeau.ops.samples import Refused, Sample
from flambeau.ops.softmax import wide
from flambeau.ops.taps import tied
from flambeau.trace.modes import Mode

BILINEAR, NEAREST, BICUBIC = 0, 1, 2
ZEROS, BORDER, REFLECTION = 0, 1, 2
# Position (int64, inside), weight, slope of the weight, and where the tap is outside: not read.
Tap = tuple[Any, Any, Any, Any]


def arguments(dims: int) -> Any:
    def clean(input: Spec, grid: Spec, mode: int, padding: int, align: bool) -> tuple[Any, ...]:
        if input.ndim != dims + 2 or grid.ndim != input.ndim:
            raise RuntimeError("grid_sampler(): expected 4D or 5D input and grid with same number "
                               f"of dimensions, but got input with sizes {list(input.size)} and "
                               f"grid with sizes {list(grid.size)}")  # fmt: skip
        check_grid(input, grid, dims)
        if input.dtype is not grid.dtype:
            raise RuntimeError(
                f"expected scalar type {input.dtype.legacy} but found {grid.dtype.legacy}"
            )
        if input.dtype.kind != "f":
            raise NotImplementedError(
                f"\"grid_sampler_{dims}d_cpu\" not implemented for '{input.dtype.legacy}'"
            )
        if dims == 3 and mode == BICUBIC:
            raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
        return input, grid, int(mode), int(padding), bool(align)

    return clean


def check_grid(input: Spec, grid: Spec, dims: int) -> None:
    if input.size[0] != grid.size[0]:
        raise RuntimeError("grid_sampler(): expected grid and input to have same batch size, but "
                           f"got input with sizes {list(input.size)} and grid with sizes "
                           f"{list(grid.size)}")  # fmt: skip
    if grid.size[-1] != dims:
        raise RuntimeError(f"grid_sampler(): expected grid to have size {dims} in last dimension, "
                           f"but got grid with sizes {list(grid.size)}")  # fmt: skip
    for d in range(2, input.ndim):
        if input.size[d] == 0:
            raise RuntimeError("grid_sampler(): expected input to have non-empty spatial "
                               f"dimensions, but input has sizes {list(input.size)} with dimension "
                               f"{d} being empty")  # fmt: skip


# ------------------------------------------------------------------ coordinates


def unnormalized(x: Any, size: int, align: bool) -> tuple[Any, float]:
    """-1 … 1 → pixels, and how fast."""
    if align:
        return (x + 1) * ((size - 1) / 2), (size - 1) / 2
    return ((x + 1) * size - 1) / 2, size / 2


def inside(x: Any, size: int, padding: int, align: bool) -> tuple[Any, Any]:
    """A coordinate brought into the image as the padding says, and its slope (None: 1)."""
    if padding == ZEROS:
        return x, None
    slope = None
    if padding == REFLECTION:
        low, high = (0, 2 * (size - 1)) if align else (-1, 2 * size - 1)
        x, slope = reflected(x, low, high)
    kept = (x > 0) & (x < size - 1)
    moving = kept.to(x.dtype)
    return x.clamp(0, size - 1), moving if slope is None else moving * slope


def reflected(x: Any, twice_low: int, twice_high: int) -> tuple[Any, Any]:
    """A coordinate mirrored at low and high until it lies between them."""
    if twice_low == twice_high:
        return x * 0, x * 0
    low, span = twice_low / 2, (twice_high - twice_low) / 2
    away = x - low
    sign = away.sign().masked_fill(away == 0, 1)
    away = away.abs()
    flips = (away / span).floor()
    extra = away - flips * span
    even = flips == (flips / 2).floor() * 2
    return (extra + low).where(even, span - extra + low), sign.where(even, -sign)


def tap(position: Any, weight: Any, slope: Any, size: int) -> Tap:
    """A tap; outside the image it weighs nothing."""
    outside = (position < 0) | (position > size - 1)
    index = position.clamp(0, size - 1).to(dt.int64).clamp(0, size - 1)
    return index, weight.masked_fill(outside, 0), slope.masked_fill(outside, 0), outside


def taps_along(x: Any, size: int, mode: int, padding: int, align: bool) -> list[Tap]:
    """The taps of one coordinate."""
    x, speed = unnormalized(x, size, align)
    if mode == BICUBIC:
        return cubic_taps(x, speed, size, padding, align)
    x, slope = inside(x, size, padding, align)
    change = x.new_ones(tuple(x.shape)) * speed if slope is None else slope * speed
    if mode == NEAREST:
        return [tap(x.round(), x.new_ones(tuple(x.shape)), x.new_zeros(tuple(x.shape)), size)]
    low = x.floor()
    share = x - low
    return [tap(low, 1 - share, -change, size), tap(low + 1, share, change, size)]


def cubic_taps(x: Any, speed: float, size: int, padding: int, align: bool) -> list[Tap]:
    """Four neighbours (R. Keys, 1981), each brought into the image by itself."""
    low = x.floor()
    t, a = x - low, -0.75
    weights: list[tuple[Any, Any]] = []
    for n in range(4):
        u, sign = ((t + 1, 1), (t, 1), (1 - t, -1), (2 - t, -1))[n]
        if n in (1, 2):
            weights.append((((a + 2) * u - (a + 3)) * u * u + 1,
                            (3 * (a + 2) * u - 2 * (a + 3)) * u * sign))  # fmt: skip
        else:
            weights.append((((a * u - 5 * a) * u + 8 * a) * u - 4 * a,
                            ((3 * a * u - 10 * a) * u + 8 * a) * sign))  # fmt: skip
    found = []
    for n, (weight, slope) in enumerate(weights):
        position, _ = inside(low + (n - 1), size, padding, align)
        found.append(tap(position, weight, slope * speed, size))
    return found


def corners(grid: Any, size: Ints, mode: int, padding: int, align: bool) -> list[Any]:
    """(position among all pixels, weight, slope by each coordinate, where not to read) of every
    tap; the grid's last dim has x first, sizes have it last. The nearest pixel is told in the
    grid's own type, as rounding decides which it is."""
    grid = grid if mode == NEAREST else wide(grid)
    axes = [taps_along(grid.select(-1, len(size) - 1 - d), n, mode, padding, align)
            for d, n in enumerate(size)]  # fmt: skip
    found = []
    for taps in product(*axes):
        index: Any = 0
        for (position, *_), n in zip(taps, size):
            index = index * n + position
        skipped = taps[0][3]
        for *_, outside in taps[1:]:
            skipped = skipped | outside
        slopes = [product_of([t[2] if e == d else t[1] for e, t in enumerate(taps)])
                  for d in range(len(size))]  # fmt: skip
        found.append((index, product_of([t[1] for t in taps]), slopes[::-1], skipped))
    return found


def product_of(factors: list[Any]) -> Any:
    total = factors[0]
    for factor in factors[1:]:
        total = total * factor
    return total


# ------------------------------------------------------------------ the row and its derivatives


def flat(x: Any, dims: int) -> Any:
    return x.reshape((*x.shape[:2], prod(x.shape[2:])))


def over_channels(index: Any, channels: int) -> Any:
    """[n, …] → [n, channels, points]."""
    n = index.shape[0]
    return index.reshape((n, 1, -1)).expand((n, channels, prod(index.shape[1:])))


def sampled(input: Any, grid: Any, mode: int, padding: int, align: bool) -> Any:
    x, size, channels = wide(input), tuple(input.shape[2:]), input.shape[1]
    flat_x, total = flat(x, len(size)), None
    for index, weight, _, skipped in corners(grid, size, mode, padding, align):
        read = flat_x.gather(-1, over_channels(index, channels))
        term = read * wide(weight).reshape((x.shape[0], 1, -1))
        term = term.masked_fill(skipped.reshape((x.shape[0], 1, -1)), 0)
        total = term if total is None else total + term
    assert total is not None
    return total.view((*x.shape[:2], *grid.shape[1:-1])).to(input.dtype)


def input_grad(g: Any, grid: Any, call: Any) -> Any:
    """Every pixel gets what was read there, by its weight."""
    size, channels = call.input.size[2:], call.input.size[1]
    flat_g = flat(wide(g), len(size))
    total = flat_g.new_zeros((*call.input.size[:2], prod(size)))
    for index, weight, *_ in corners(grid, size, call.mode, call.padding, call.align):
        term = flat_g * wide(weight).reshape((flat_g.shape[0], 1, -1))
        total = total.scatter_add(-1, over_channels(index, channels), term)
    return total.view(call.input.size)


def grid_grad(g: Any, input: Any, grid: Any, call: Any) -> Any:
    """How the weights change, times what they weigh."""
    if call.mode == NEAREST:
        return tied(grid.new_zeros(call.grid.size), grid)
    size, channels = call.input.size[2:], call.input.size[1]
    x, flat_g = flat(wide(input), len(size)), flat(wide(g), len(size))
    totals: list[Any] = [None] * len(size)
    for index, _, slopes, skipped in corners(grid, size, call.mode, call.padding, call.align):
        read = (x.gather(-1, over_channels(index, channels)) * flat_g).sum(1)
        read = read.masked_fill(skipped.reshape((skipped.shape[0], -1)), 0)
        for d, slope in enumerate(slopes):
            term = read.view(tuple(slope.shape)) * slope
            totals[d] = term if totals[d] is None else totals[d] + term
    from flambeau.ops.table import TABLE

    return function_of(TABLE["stack"])(totals, -1)


def samples(dims: int) -> Callable[[Any], Any]:
    def make(new: Any) -> Any:
        size, points = ((4, 5), (3, 2)) if dims == 2 else ((3, 4, 2), (2, 1, 3))
        modes = (BILINEAR, NEAREST, BICUBIC) if dims == 2 else (BILINEAR, NEAREST)
        for mode in modes:
            for padding in (ZEROS, BORDER, REFLECTION):
                for align in (False, True):
                    grid = new(2, *points, dims, low=-1.4, high=1.4)
                    yield Sample(new(2, 3, *size), grid, mode, padding, align)
        yield Refused(new(2, 3, *size), new(1, *points, dims), 0, 0, False, error=RuntimeError,
                      says="same batch size")  # fmt: skip

    return make


def row(dims: int) -> Op:
    def shape(mode: Mode, input: Spec, grid: Spec, *rest: Any) -> Any:
        return (((*input.size[:2], *grid.size[1:-1]), input.dtype),)

    return composite(
        f"grid_sampler_{dims}d(input, grid, mode, padding, align)",
        statics=(),
        public="torch",
        node=f"GridSampler{dims}DBackward0",
        clean=arguments(dims),
        shape=shape,
        expand=sampled,
        grad=dict(input=input_grad, grid=grid_grad),
        samples=samples(dims),
    )


GRID_SAMPLER: dict[int, Any] = {dims: function_of(row(dims)) for dims in (2, 3)}
