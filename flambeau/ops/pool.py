"""Max and average pools in two and three dims; what nn.functional makes of them is in pooling.py.

A max pool remembers which tap it took, not where that looked: a byte for each result instead of
eight. Of equal elements the first is taken, and NaN before all.
"""

from __future__ import annotations

import math
from itertools import product
from math import prod
from typing import Any

from flambeau.ir import dtype as dt
from flambeau.ir.dtype import DType
from flambeau.ir.layout import Ints, Spec
from flambeau.ir.op import Op
from flambeau.ops.declare import composite
from flambeau.ops.functions import function_of
from flambeau.ops.pool_sizes import check_pool, overhang, pool_arguments, pooled_size
from flambeau.ops.rules import lifted
from flambeau.ops.samples import Refused, Sample, no_samples
from flambeau.ops.softmax import wide
from flambeau.ops.taps import (
    along,
    blocks_of,
    counting,
    every_tap,
    gathered,
    in_blocks,
    lead,
    number_of,
    numbered,
    one_dim_at_a_time,
    padded,
    part,
    repeated,
    tied,
)
from flambeau.trace.modes import Mode

MOST_TAPS = 36  # up to which taps are gone through one by one

# ------------------------------------------------------------------ the largest


def lowest(dtype: DType) -> Any:
    """What no element of a type is below."""
    if dtype.kind == "f":
        return -math.inf
    return 0 if dtype.kind == "u" else -(1 << (8 * dtype.itemsize - 1))


def max_arguments(name: str, dims: int) -> Any:
    def clean(input: Spec, kernel: Any, stride: Any, padding: Any, dilation: Any,
              ceil_mode: Any) -> tuple[Any, ...]:  # fmt: skip
        facts = pool_arguments(name, dims, kernel, stride, padding, dilation)
        check_pool(name, input, *facts, bool(ceil_mode))
        if input.dtype.kind in "bc" and input.numel:
            raise NotImplementedError(f"\"{name}\" not implemented for '{input.dtype.legacy}'")
        return (input, *facts, bool(ceil_mode))

    return clean


def tap_type(taps: Ints) -> DType:
    """What numbers all taps."""
    return dt.uint8 if prod(taps) <= 256 else dt.int32


def max_shape(mode: Mode, input: Spec, taps: Ints, stride: Ints, padding: Ints, dilation: Ints,
              ceil_mode: bool) -> Any:  # fmt: skip
    dims = len(taps)
    places = pooled_size(input.size[-dims:], taps, stride, padding, dilation, ceil_mode)
    size = (*input.size[:-dims], *places)
    return (size, input.dtype), (size, tap_type(taps))


def max_expand(input: Any, taps: Ints, stride: Ints, padding: Ints, dilation: Ints,
               ceil_mode: bool) -> tuple[Any, Any]:  # fmt: skip
    """Dim by dim from the last, where taps are many: the first maximum of first maxima."""
    dims, values, chosen = len(taps), input, None
    size = tuple(input.shape[-dims:])
    places = pooled_size(size, taps, stride, padding, dilation, ceil_mode)
    after = overhang(size, places, taps, stride, padding, dilation)
    for group in one_dim_at_a_time(taps)[::-1]:
        some, step, gap = (along(group, ns, 1) for ns in (taps, stride, dilation))
        ends = along(group, padding, 0), along(group, after, 0)
        now = tuple(places[d] if d in group else n for d, n in enumerate(values.shape[-dims:]))
        x = padded(values, *ends, lowest(input.dtype))
        known = None if chosen is None else padded(chosen, *ends)
        find = largest if prod(some) <= MOST_TAPS else largest_of_many
        values, chosen = find(x, known, some, now, step, gap, taps)
    return values, chosen


def largest(x: Any, known: Any, some: Ints, places: Ints, stride: Ints, dilation: Ints,
            taps: Ints) -> tuple[Any, Any]:  # fmt: skip
    """The largest that some taps see, and its tap's number among all; `known`: what the taps before
    have added to the numbers so far."""
    views = list(every_tap(x, some, places, stride, dilation))
    numbers: list[Any] = [number_of(tap, taps) for tap in product(*map(range, some))]
    if known is not None:
        parts = every_tap(known, some, places, stride, dilation)
        numbers = [part + n for part, n in zip(parts, numbers)]
    best, chosen = views[0], numbers[0]
    if known is None:
        chosen = x.new_zeros(tuple(best.shape), dtype=tap_type(taps))
    for candidate, number in zip(views[1:], numbers[1:]):
        later = candidate > best
        if x.dtype.kind == "f":
            later = later | (candidate != candidate)
        best = candidate.where(later, best)
        chosen = (chosen.masked_fill(later, number) if known is None else
                  number.where(later, chosen))  # fmt: skip
    return best, chosen


def largest_of_many(x: Any, known: Any, some: Ints, places: Ints, stride: Ints, dilation: Ints,
                    taps: Ints) -> tuple[Any, Any]:  # fmt: skip
    """The same along one dim, as a reduction over windows."""
    (d,) = (d for d, k in enumerate(some) if k > 1)
    dim, k, weight = x.ndim - len(some) + d, some[d], prod(taps[d + 1 :])

    def windows(x: Any) -> Any:
        return x.unfold(dim, dilation[d] * (k - 1) + 1, stride[d])[..., :: dilation[d]].contiguous()

    seen = windows(x)
    where = seen.argmax(-1, keepdim=True)
    numbers = where * weight if known is None else windows(known).gather(-1, where) + where * weight
    return seen.amax((-1,)), numbers.squeeze(-1).to(tap_type(taps))


def indices_of(chosen: Any, size: Ints, taps: Ints, stride: Ints, padding: Ints,
               dilation: Ints) -> Any:  # fmt: skip
    """Where the chosen taps look, as positions among all elements of the last dims."""
    dims, total, tap = len(taps), None, chosen.to(dt.int64)
    for d in range(dims):
        digit = tap.div(lifted(prod(taps[d + 1 :]), tap), rounding_mode="floor")
        digit = digit.remainder(lifted(taps[d], tap))
        first = counting(chosen, chosen.shape[chosen.ndim - dims + d]) * stride[d] - padding[d]
        first = first.view((-1, *(1,) * (dims - 1 - d)))
        at = (digit * dilation[d] + first).clamp(0, size[d] - 1)
        total = at if total is None else total * size[d] + at
    return total


def are_many(taps: Ints, stride: Ints) -> bool:
    """Whether going through all taps costs more than reading and writing by index."""
    return prod(taps) > MOST_TAPS or prod(stride) > MOST_TAPS


def spread_expand(input: Any, source: Any, size: Ints, taps: Ints, stride: Ints, padding: Ints,
                  dilation: Ints) -> Any:  # fmt: skip
    """Each gradient to the element that was the largest; source: the chosen taps."""
    if are_many(taps, stride):
        front = lead(input, len(taps))
        index = indices_of(source, size, taps, stride, padding, dilation)
        zeros = input.new_zeros((*front, prod(size)))
        flat = (*front, prod(input.shape[len(front) :]))
        return zeros.scatter_add(-1, index.reshape(flat), input.reshape(flat)).view((*front, *size))
    whole = all(q * k <= n for q, k, n in zip(input.shape[-len(taps) :], taps, size))
    if taps == stride and whole and not any(padding) and all(d == 1 for d in dilation):
        return spread_in_blocks(input, source, size, taps)

    def fill(before: Ints, after: Ints) -> Any:
        return padded(input, before, after), padded(source, before, after)

    def seen(sources: Any, tap: Ints, starts: Ints, counts: Ints) -> Any:
        g, which = (part(x, starts, counts, (1,) * len(starts)) for x in sources)
        return g.masked_fill(which != number_of(tap, taps), 0)

    return gathered(input, size, (taps, stride, padding, dilation), fill, seen)


def spread_in_blocks(input: Any, source: Any, size: Ints, taps: Ints) -> Any:
    """The same where no element is seen by two places: each has a block of its own."""
    numbers = numbered(source, taps).to(source.dtype)
    made = in_blocks(input, taps).masked_fill(in_blocks(source, taps) != numbers, 0)
    return blocks_of(made, len(taps), size)


def picked_expand(input: Any, source: Any, size: Ints, taps: Ints, stride: Ints, padding: Ints,
                  dilation: Ints) -> Any:  # fmt: skip
    """What the chosen taps see in another tensor; size: how many places there are."""
    whole = tuple(input.shape[-len(taps) :])
    if are_many(taps, stride):
        front = lead(input, len(taps))
        index = indices_of(source, whole, taps, stride, padding, dilation)
        flat = input.reshape((*front, prod(whole)))
        return flat.gather(-1, index.reshape((*front, prod(size)))).view((*front, *size))
    after = overhang(whole, size, taps, stride, padding, dilation)
    x = padded(input, padding, after)
    total = None
    for number, view in enumerate(every_tap(x, taps, size, stride, dilation)):
        term = view.masked_fill(source != number, 0)
        total = term if total is None else total + term
    return total


def resized(name: str, expand: Any, grad: Any) -> Op:
    """A row that goes from places to elements or back, by the taps that were chosen."""

    def shape(mode: Mode, input: Spec, source: Spec, size: Ints, *rest: Any) -> Any:
        return (((*input.size[: -len(size)], *size), input.dtype),)

    return composite(
        f"{name}(input, source, size, taps, stride, padding, dilation)",
        public="",
        shape=shape,
        expand=expand,
        grad=dict(input=grad),
        samples=no_samples,  # tested through the derivatives of max pools
    )


def settings(call: Any) -> tuple[Any, ...]:
    return call.taps, call.stride, call.padding, call.dilation


max_indices = composite(  # what return_indices=True asks for
    "_max_pool_indices(input, size, taps, stride, padding, dilation)",
    public="",
    shape=lambda mode, input, *rest: ((input.size, dt.int64),),
    expand=indices_of,
    samples=no_samples,
)

spread: Any
pick: Any
max_spread = resized(
    "_max_pool_spread",
    spread_expand,
    lambda g, source, call: pick(g, source, call.input.size[-len(call.size) :], *settings(call)),
)
max_picked = resized(
    "_max_pool_picked",
    picked_expand,
    lambda g, source, call: spread(g, source, call.input.size[-len(call.size) :], *settings(call)),
)
spread, pick = function_of(max_spread), function_of(max_picked)


def max_grad(g: Any, input: Any, out1: Any, call: Any) -> Any:
    size = call.input.size[-len(call.kernel_size) :]
    rest = call.kernel_size, call.stride, call.padding, call.dilation
    return tied(spread(g[0], out1, size, *rest), input)


def max_row(dims: int) -> Op:
    """max_pool2d or max_pool3d: the values, and the taps that they came by."""
    name = f"max_pool{dims}d"
    return composite(
        f"_{name}(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False)",
        public="",
        node=f"MaxPool{dims}DWithIndicesBackward0",
        clean=max_arguments(name, dims),
        shape=max_shape,
        expand=max_expand,
        grad=dict(input=max_grad),
        samples=no_samples,  # see tests/nn/test_layers_of_images.py
    )


max_pool2d, max_pool3d = max_row(2), max_row(3)

# ------------------------------------------------------------------ the average


def average_arguments(name: str, dims: int) -> Any:
    def clean(input: Spec, kernel: Any, stride: Any, padding: Any, ceil_mode: Any,
              count_include_pad: Any, divisor_override: Any) -> tuple[Any, ...]:  # fmt: skip
        taps, steps, pad, one = pool_arguments(name, dims, kernel, stride, padding, 1)
        if divisor_override == 0:
            raise RuntimeError("divisor must be not zero")
        check_pool(name, input, taps, steps, pad, one, bool(ceil_mode))
        narrow = dims == 3 and input.dtype in (dt.float16, dt.bfloat16)
        if narrow or input.dtype.kind not in "f" and input.dtype is not dt.int64 and input.numel:
            kernel = name if dims == 2 else f"{name}_out_frame"
            raise NotImplementedError(f"\"{kernel}\" not implemented for '{input.dtype.legacy}'")
        return input, taps, steps, pad, bool(ceil_mode), bool(count_include_pad), divisor_override

    return clean


def average_shape(mode: Mode, input: Spec, taps: Ints, stride: Ints, padding: Ints,
                  ceil_mode: bool, *rest: Any) -> Any:  # fmt: skip
    size, one = input.size[-len(taps) :], (1,) * len(taps)
    places = pooled_size(size, taps, stride, padding, one, ceil_mode)
    return (((*input.size[: -len(taps)], *places), input.dtype),)


def summed(x: Any, size: Ints, places: Ints, taps: Ints, stride: Ints, padding: Ints) -> Any:
    """The sum of what all taps see, dim by dim where they are many."""
    dims = len(taps)
    after = overhang(size, places, taps, stride, padding, (1,) * dims)
    x = padded(x, padding, after)
    for group in one_dim_at_a_time(taps):
        now = tuple(places[d] if d in group else n for d, n in enumerate(x.shape[-dims:]))
        x = total_of(x, along(group, taps, 1), now, along(group, stride, 1))
    return x


def total_of(x: Any, taps: Ints, places: Ints, stride: Ints) -> Any:
    """The sum over taps: one by one, or as a reduction over windows along one dim."""
    if prod(taps) > MOST_TAPS:
        (d,) = (d for d, k in enumerate(taps) if k > 1)
        return x.unfold(x.ndim - len(taps) + d, taps[d], stride[d]).sum((-1,))
    total = None
    for view in every_tap(x, taps, places, stride, (1,) * len(taps)):
        total = view if total is None else total + view
    return total


def divided(x: Any, like: Any, size: Ints, places: Ints, taps: Ints, stride: Ints, padding: Ints,
            inside: bool, override: Any) -> Any:  # fmt: skip
    """x by the number of elements that each place counts.

    inside: padding counts too, what ceil_mode lets a place reach behind it does not.
    """
    if override is not None:
        return by(x, override)
    pad = padding if inside else (0,) * len(taps)
    whole = all((q - 1) * s + k <= n + 2 * p for n, q, k, s, p in
                zip(size, places, taps, stride, padding))  # fmt: skip
    if whole and (inside or not any(padding)):
        return by(x, prod(taps))
    ones = like.new_ones(tuple(n + 2 * p for n, p in zip(size, pad)), dtype=x.dtype)
    rest = tuple(p - q for p, q in zip(padding, pad))
    return by(x, summed(ones, tuple(ones.shape), places, taps, stride, rest))


def by(x: Any, divisor: Any) -> Any:
    """A quotient; integers are cut off."""
    if x.dtype.kind == "f":
        return x / divisor
    return x.div(lifted(divisor, x), rounding_mode="trunc")


def average_expand(input: Any, taps: Ints, stride: Ints, padding: Ints, ceil_mode: bool,
                   inside: bool, override: Any) -> Any:  # fmt: skip
    x, dims = wide(input), len(taps)
    size = tuple(x.shape[-dims:])
    places = pooled_size(size, taps, stride, padding, (1,) * dims, ceil_mode)
    total = summed(x, size, places, taps, stride, padding)
    rest = (size, places, taps, stride, padding, inside, override)
    return divided(total, input, *rest).to(input.dtype)


def average_spread_expand(input: Any, size: Ints, taps: Ints, stride: Ints, padding: Ints,
                          ceil_mode: bool, inside: bool, override: Any) -> Any:  # fmt: skip
    """What each element gets from the places that count it."""
    x, dims = wide(input), len(taps)
    places = tuple(x.shape[-dims:])
    x = divided(x, input, size, places, taps, stride, padding, inside, override)
    if taps == stride and not any(padding) and not ceil_mode:
        return repeated(x, taps, size).to(input.dtype)
    for group in one_dim_at_a_time(taps):
        now = tuple(size[d] if d in group else n for d, n in enumerate(x.shape[-dims:]))
        some, step, pad = along(group, taps, 1), along(group, stride, 1), along(group, padding, 0)
        x = same_for_all(x, now, (some, step, pad, (1,) * dims))
    return x.to(input.dtype)


def same_for_all(x: Any, size: Ints, geometry: tuple[Ints, Ints, Ints, Ints]) -> Any:
    """Every tap gives the same."""
    ones = (1,) * len(size)
    return gathered(
        x, size, geometry, lambda before, after: padded(x, before, after),
        lambda source, tap, starts, counts: part(source, starts, counts, ones),
    )  # fmt: skip


def spread_shape(mode: Mode, input: Spec, size: Ints, *rest: Any) -> Any:
    return (((*input.size[: -len(size)], *size), input.dtype),)


AVERAGE: dict[int, Any]
average_spread = composite(
    "_avg_pool_spread(input, size, taps, stride, padding, ceil_mode, inside, override)",
    public="",
    shape=spread_shape,
    expand=average_spread_expand,
    grad=dict(
        input=lambda g, call: AVERAGE[len(call.size)](
            g, call.taps, call.stride, call.padding, call.ceil_mode, call.inside, call.override
        )
    ),
    samples=no_samples,  # tested through the derivatives of average pools
)
spread_evenly = function_of(average_spread)


def average_grad(g: Any, input: Any, call: Any) -> Any:
    size = call.input.size[-len(call.kernel_size) :]
    made = spread_evenly(g, size, call.kernel_size, call.stride, call.padding, call.ceil_mode,
                         call.count_include_pad, call.divisor_override)  # fmt: skip
    return tied(made, input)


def average_samples(dims: int) -> Any:
    def make(new: Any) -> Any:
        size = (5, 6, 4)[:dims]
        yield Sample(new(2, 3, *size), 2)
        yield Sample(new(3, *size), 3, 2, 1)
        yield Sample(new(2, 1, *size), 3, 2, 1, True, False)
        yield Sample(new(2, 1, *size), 3, 2, 1, True, True)
        yield Sample(new(2, 1, *size), (2, 3, 1)[:dims], 1, 0, False, True, 5)
        yield Sample(new(1, 2, *(8, 9, 7)[:dims]), 4, 3, 2)
        yield Refused(new(2, 3, *size), 9, error=RuntimeError, says="Output size is too small")
        yield Refused(new(2, 3, *size), 2, 0, error=RuntimeError, says="stride")

    return make


def average_row(dims: int) -> Op:
    """avg_pool2d or avg_pool3d."""
    name = f"avg_pool{dims}d"
    return composite(
        f"{name}(input, kernel_size, stride=None, padding=0, ceil_mode=False, "
        "count_include_pad=True, divisor_override=None)",
        public="nn.functional",
        node=f"AvgPool{dims}DBackward0",
        clean=average_arguments(name, dims),
        shape=average_shape,
        expand=average_expand,
        grad=dict(input=average_grad),
        samples=average_samples(dims),
    )


AVERAGE = {dims: function_of(average_row(dims)) for dims in (2, 3)}
