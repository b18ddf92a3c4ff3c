"""Interpolation as nn.functional has it: tables of weights for ops/resample.py.

A table of one dim, from L elements to O: index[T, O] (-1: nothing) and weight[T, O]. Tables are
made once for each pair of sizes and kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ops.resample import RESAMPLE
from flambeau.tensor import from_array

Table = tuple[np.ndarray, np.ndarray]

# ------------------------------------------------------------------ tables


@lru_cache(maxsize=512)
def constant(make: Callable[..., tuple[np.ndarray, ...]], *args: Any) -> tuple[Any, ...]:
    """What `make` gives, as tensors: a constant of whatever program."""
    from flambeau.autograd.modes import inference_mode

    with inference_mode(False):
        return tuple(from_array(a, dt.float64 if a.dtype == np.float64 else
                                dt.float32 if a.dtype == np.float32 else dt.int64)
                     for a in make(*args))  # fmt: skip


def other_way(table: Table, size: int) -> Table:
    """The table of the transposed map, to `size` elements."""
    index, weight = table
    taps, outs = np.nonzero(index >= 0)
    into = index[taps, outs]
    order = np.lexsort((outs, into))
    into, outs, values = into[order], outs[order], weight[taps, outs][order]
    counts = np.bincount(into, minlength=size)
    place = np.arange(into.size) - np.repeat(np.cumsum(counts) - counts, counts)
    turned = np.full((max(int(counts.max(initial=0)), 1), size), -1, np.int64)
    weights = np.zeros(turned.shape, weight.dtype)
    turned[place, into], weights[place, into] = outs, values
    return turned, weights


def both_ways(kind: str, size: int, wanted: int, *rest: Any) -> tuple[np.ndarray, ...]:
    """index, weight and those of the other way."""
    index, weight = TABLES[kind](size, wanted, *rest)
    table = index.astype(np.int64), weight
    return (*table, *other_way(table, size))


def resample(name: str, input: Any, tables: Callable[..., Any], size: Any, *rest: Any) -> Any:
    """The row `name` with tables for each of the last dims; rest: a setting for each of them."""
    have = input.shape[-len(size) :]
    kind = float_of(input.dtype)
    facts = [(both_ways, *tables(n, m, *(r[d] for r in rest), kind))
             for d, (n, m) in enumerate(zip(have, size))]  # fmt: skip
    return by_tables(name, input, facts, "nearest" not in name)


def by_tables(name: str, input: Any, facts: Any, weighted: bool) -> Any:
    """The row `name` with the tables that `facts` (a maker and its arguments, for each dim) make:
    index, weight and those of the other way."""
    found = [constant(*fact) for fact in facts]
    there = [x for table in found for x in (table[:2] if weighted else table[:1])]
    back = [x for table in found for x in (table[2:] if weighted else table[2:3])]
    whole, back_whole = (all(is_whole(i, *fact) for fact in facts) for i in (0, 2))
    return RESAMPLE[name](input, [*there, *back], name, weighted, whole, back_whole)


@lru_cache(maxsize=1024)
def is_whole(place: int, make: Callable[..., Any], *args: Any) -> bool:
    """Whether a table has an element for each of its places."""
    return bool((make(*args)[place] >= 0).all())


def float_of(dtype: Any) -> Any:
    """The type of weights; bytes have their own."""
    return "byte" if dtype.kind == "u" else "float64" if dtype.itemsize == 8 else "float32"


def area_tables(size: int, wanted: int, kind: str) -> tuple[Any, ...]:
    return "area", size, wanted, kind


def area(size: int, wanted: int, kind: str) -> Table:
    """Windows that cut the input into so many, all elements the same."""
    i = np.arange(wanted)
    start, end = i * size // max(wanted, 1), -(-(i + 1) * size // max(wanted, 1))
    taps = int((end - start).max(initial=1))
    at = start + np.arange(taps)[:, None]
    weight = np.where(at < end, 1.0 / np.maximum(end - start, 1), 0.0)
    return np.where(at < end, at, -1), weight.astype(kind)


# ------------------------------------------------------------------ interpolation


def ratio_of(size: int, wanted: int, align: bool, scale: float | None) -> float:
    """How far apart neighbouring outputs are, in inputs."""
    if align:
        return (size - 1) / (wanted - 1) if wanted > 1 else 0.0
    return 1.0 / scale if scale is not None and scale > 0 else size / wanted


def nearest(size: int, wanted: int, scale: float | None, exact: bool, kind: str) -> Table:
    """The element at the start of each output, or (exact) at its middle."""
    real: Any = np.float64 if kind == "float64" else np.float32
    ratio = ratio_of(size, wanted, False, scale)
    at: Any = np.floor((np.arange(wanted) + (0.5 if exact else 0)).astype(real) * real(ratio))
    index = np.minimum(at.astype(np.int64), size - 1)[None]
    return index, np.ones(index.shape, real)


def source(size: int, wanted: int, align: bool, scale: float | None, real: Any) -> Any:
    """Where outputs lie among inputs."""
    ratio = real(ratio_of(size, wanted, align, scale))
    i: Any = np.arange(wanted).astype(real)
    return i * ratio if align else (i + real(0.5)) * ratio - real(0.5)


def linear(size: int, wanted: int, align: bool, scale: float | None, kind: str) -> Table:
    """Between two neighbours."""
    real = np.float64 if kind == "float64" else np.float32
    at = np.arange(wanted, dtype=real) if size == wanted else np.maximum(
        source(size, wanted, align, scale, real), 0)  # fmt: skip
    low = np.minimum(at.astype(np.int64), size - 1)
    share = np.clip(at - low.astype(real), 0, 1)
    return np.stack([low, low + (low < size - 1)]), np.stack([1 - share, share]).astype(real)


def cubic_weights(t: Any, a: float) -> list[Any]:
    """The weights of four neighbours (R. Keys, Cubic convolution interpolation, 1981)."""

    def near(x: Any) -> Any:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: Any) -> Any:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


def cubic(size: int, wanted: int, align: bool, scale: float | None, kind: str) -> Table:
    """Four neighbours; those outside are the outermost ones."""
    real = np.float64 if kind == "float64" else np.float32
    at = np.arange(wanted, dtype=real) if size == wanted else source(size, wanted, align, scale,
                                                                    real)  # fmt: skip
    low = np.floor(at).astype(np.int64)
    weight = np.stack(cubic_weights((at - low.astype(real)).astype(real), -0.75))
    index = np.clip(low + np.arange(-1, 3)[:, None], 0, size - 1)
    return index, weight.astype(real)


def triangle(x: Any) -> Any:
    return np.maximum(1 - np.abs(x), 0)


def bump(x: Any) -> Any:
    """The cubic with a = -1/2, as a filter."""
    x = np.abs(x)
    a = -0.5
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * x * a - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def lanczos(x: Any) -> Any:
    """sinc(x) sinc(x / 3) within three elements (C. Lanczos)."""
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


FILTERS = {"linear": (triangle, 2), "cubic": (bump, 4), "lanczos": (lanczos, 6)}


def filtered(size: int, wanted: int, align: bool, scale: float | None, filter: str,
             kind: str) -> Table:  # fmt: skip
    """A filter that grows with the ratio when sizes shrink, so that nothing is skipped."""
    function, reach = FILTERS[filter]
    ratio = ratio_of(size, wanted, align, scale)
    support = reach / 2 * max(ratio, 1.0)
    centre = ratio * (np.arange(wanted) + 0.5)
    first = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    count = np.minimum((centre + support + 0.5).astype(np.int64), size) - first
    taps = np.arange(max(int(count.max(initial=1)), 1))[:, None]
    weight = function((taps + first - centre + 0.5) / max(ratio, 1.0))
    weight = np.where(taps < count, weight, 0.0)
    total = weight.sum(0)
    weight = weight / np.where(total == 0, 1, total)
    index = np.where(taps < count, taps + first, -1)
    return index, weight.astype(np.float64 if kind == "float64" else np.float32)


def as_bytes_are(table: Table) -> Table:
    """Weights in 16-bit fixed point, as for bytes."""
    index, weight = table
    most, bits = float(weight.max(initial=0.0)), 0
    while bits < 22 and int(0.5 + most * (1 << (bits + 1))) < 1 << 15:
        bits += 1
    exact = weight.astype(np.float64) * (1 << bits)
    rounded = np.trunc(exact + np.copysign(0.5, exact))
    return index, (rounded / (1 << bits)).astype(np.float32)


def for_bytes(make: Callable[..., Table]) -> Callable[..., Table]:
    """A maker of tables that knows bytes, too."""

    def table(*args: Any) -> Table:
        *rest, kind = args
        return as_bytes_are(make(*rest, "float64")) if kind == "byte" else make(*args)

    return table


TABLES: dict[str, Callable[..., Table]] = {
    "area": area, "nearest": nearest, "linear": for_bytes(linear), "cubic": for_bytes(cubic),
    "filtered": for_bytes(filtered),
}  # fmt: skip

# ------------------------------------------------------------------ nn.functional

MODES = "nearest | linear | bilinear | bicubic | trilinear | lanczos | area | nearest-exact"
NEEDS = {"linear": 3, "bilinear": 4, "bicubic": 4, "trilinear": 5, "lanczos": 4}


def interpolate(input, size=None, scale_factor=None, mode="nearest", align_corners=None,
                recompute_scale_factor=None, antialias=False):  # fmt: skip
    """The input in another size, by size or by factor.

    input: [n, channels, …] with one to three dims of space. antialias: filters grow as sizes
    shrink (bilinear, bicubic, lanczos).
    """
    if mode in ("nearest", "area", "nearest-exact"):
        if align_corners is not None:
            raise ValueError("align_corners option can only be set with the interpolating modes: "
                             "linear | bilinear | bicubic | trilinear")  # fmt: skip
    align = bool(align_corners)
    dims = input.ndim - 2
    wanted, scales = sizes_of(input, size, scale_factor, recompute_scale_factor, dims)
    if antialias and not (mode in ("bilinear", "bicubic", "lanczos") and input.ndim == 4):
        raise ValueError("Anti-alias option is restricted to bilinear, bicubic, and lanczos modes "
                         "and requires a 4-D tensor as input")  # fmt: skip
    check_mode(input, mode)
    if mode == "lanczos":
        if not antialias:
            raise ValueError("Lanczos mode requires antialias=True")
        if align:
            raise ValueError("Lanczos mode does not support align_corners=True")
    if mode == "area":
        from flambeau import pooling

        return getattr(pooling, f"adaptive_avg_pool{dims}d")(input, wanted)
    check_sizes(input, wanted, mode, dims, antialias)
    if mode in ("nearest", "nearest-exact"):
        return by_nearest(input, wanted, scales, mode, dims)
    return by_weights(input, wanted, scales, mode, align, antialias, dims)


def check_mode(input: Any, mode: str) -> None:
    """Each mode has its number of dims."""
    if mode in NEEDS and 3 <= input.ndim <= 5 and NEEDS[mode] != input.ndim:
        if mode not in ("bicubic", "lanczos"):
            raise NotImplementedError(f"Got {input.ndim}D input, but {mode} mode needs "
                                      f"{NEEDS[mode]}D input")  # fmt: skip
    known = mode in MODES.split(" | ") and (mode not in NEEDS or NEEDS[mode] == input.ndim)
    if not known or not 3 <= input.ndim <= 5:
        raise NotImplementedError(
            f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {input.ndim}D) for the "
            f"modes: {MODES} (got {mode})")  # fmt: skip


def sizes_of(input: Any, size: Any, factor: Any, recompute: Any, dims: int) -> tuple[Any, Any]:
    """The size that is asked for, and a factor for each dim where those count (None where not)."""
    if size is not None and factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is None and factor is None:
        raise ValueError("either size or scale_factor should be defined")
    have = list(input.shape[2:])
    if size is not None:
        if recompute:
            raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
        return explicit(size, have, dims), (None,) * dims
    many = tuple(factor) if isinstance(factor, (tuple, list)) else (factor,) * dims
    if len(many) != dims:
        raise ValueError(
            "Input and scale_factor must have the same number of spatial dimensions, but got input "
            f"with spatial dimensions of {have} and scale_factor of shape {factor}. Please provide "
            "input tensor in (N, C, d1, d2, ...,dK) format and scale_factor in (s1, s2, ...,sK) "
            "format.")  # fmt: skip
    many = tuple(float(f) for f in many)
    wanted = tuple(math.floor(n * f) for n, f in zip(have, many))
    return wanted, (None,) * dims if recompute else many


def explicit(size: Any, have: list[int], dims: int) -> tuple[int, ...]:
    """A size that is given."""
    many = size if isinstance(size, (tuple, list)) else (size,) * dims
    if not all(hasattr(n, "__index__") for n in many):
        kinds = [type(n) for n in many]
        raise TypeError("expected size to be one of int or Tuple[int] or Tuple[int, int] or "
                        f"Tuple[int, int, int], but got size with types {kinds}")  # fmt: skip
    if len(many) != dims:
        raise ValueError(
            "Input and output must have the same number of spatial dimensions, but got input with "
            f"spatial dimensions of {have} and output size of {size}. Please provide input tensor "
            "in (N, C, d1, d2, ...,dK) format and output size in (o1, o2, ...,oK) "
            "format.")  # fmt: skip
    return tuple(int(n) for n in many)


def check_sizes(input: Any, wanted: Any, mode: str, dims: int, antialias: bool) -> None:
    """Nothing may be empty but the batch; bytes are the only integers."""
    have = input.shape[2:]
    if min(wanted) <= 0 or 0 in have:
        letters = ("W", "HW", "DHW")[dims - 1]
        before, after = (", ".join(f"{c}: {n}" for c, n in zip(letters, ns))
                         for ns in (have, wanted))  # fmt: skip
        raise RuntimeError("Input and output sizes should be greater than 0, but got input "
                           f"({before}) output ({after})")  # fmt: skip
    if input.shape[1] == 0:
        raise RuntimeError(f"Non-empty {dims + 2}D data tensor expected but got a tensor with "
                           f"sizes {list(input.shape)}")  # fmt: skip
    if input.dtype.kind != "f" and input.dtype is not dt.uint8:
        kernel = f"upsample_{mode}{dims}d_channels_last" if mode != "bicubic" else (
            "compute_indices_weights_cubic")  # fmt: skip
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{input.dtype.legacy}'")


def by_nearest(input: Any, wanted: Any, scales: Any, mode: str, dims: int) -> Any:
    exact = mode == "nearest-exact"

    def tables(n: int, m: int, scale: Any, kind: str) -> tuple[Any, ...]:
        return "nearest", n, m, scale, exact, kind

    name = f"upsample_nearest{'_exact' * exact}{dims}d"
    return resample(name, input, tables, wanted, scales)


def by_weights(input: Any, wanted: Any, scales: Any, mode: str, align: bool, antialias: bool,
               dims: int) -> Any:  # fmt: skip
    shape = "cubic" if mode == "bicubic" else "lanczos" if mode == "lanczos" else "linear"

    def tables(n: int, m: int, scale: Any, kind: str) -> tuple[Any, ...]:
        if antialias:
            return "filtered", n, m, align, scale, shape, kind
        return shape, n, m, align, scale, kind

    name = f"upsample_{mode}{dims}d" + "_aa" * antialias
    return resample(name, input, tables, wanted, scales)


def upsample(input, size=None, scale_factor=None, mode="nearest", align_corners=None):
    """interpolate, by its old name."""
    old("upsample", "interpolate")
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input, size=None, scale_factor=None):
    """interpolate(mode='nearest'), by its old name."""
    old("upsample_nearest", "interpolate")
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(input, size=None, scale_factor=None):
    """interpolate(mode='bilinear', align_corners=True), by its old name."""
    old("upsample_bilinear", "interpolate")
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)


def old(name: str, new: str) -> None:
    import warnings

    warnings.warn(f"`nn.functional.{name}` is deprecated. Use `nn.functional.{new}` instead.",
                  stacklevel=3)  # fmt: skip
