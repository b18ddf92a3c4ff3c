"""What pools, folds and their derivatives share: where the taps of a kernel look.

All of it works on the last dims of a tensor, as many as the kernel has. `places` are the positions
of the kernel: at place p, tap k sees p·stride - padding + k·dilation. Parts are views, so a sum
over taps is elementwise, and one kernel of the compiler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from math import prod
from typing import Any

from flambeau.ir import dtype as dt
from flambeau.ir.layout import Ints, is_dense
from flambeau.ops.declare import composite
from flambeau.ops.functions import function_of
from flambeau.ops.join import stack
from flambeau.ops.samples import no_samples
from flambeau.trace.trie import here

STACK: Any = function_of(stack)
MOST_AT_ONCE = 25  # taps up to which a kernel of several dims is not taken apart into its dims


def lead(x: Any, dims: int) -> Ints:
    """The size before the last dims."""
    return tuple(x.shape[: x.ndim - dims])


def settled(x: Any) -> Any:
    """The tensor itself, or a copy where it has gaps: parts of an argument need a dense one."""
    return x if is_dense(tuple(x.shape), tuple(x.stride())) else x.contiguous()


def padded(x: Any, before: Ints, after: Ints, value: Any = 0) -> Any:
    """More elements around the last dims, or fewer where numbers are negative."""
    if not any(before) and not any(after):
        return settled(x)
    pairs = [pair for ends in zip(before[::-1], after[::-1]) for pair in ends]
    return x.constant_pad_nd(tuple(pairs), value)


def part(x: Any, starts: Ints, counts: Ints, steps: Ints) -> Any:
    """The elements start, start + step, … along the last dims: a view."""
    at = x.ndim - len(starts)
    strides = x.stride()
    begin = sum(a * s for a, s in zip(starts, strides[at:]))
    return x.as_strided(
        (*lead(x, len(starts)), *counts),
        (*strides[:at], *(a * s for a, s in zip(steps, strides[at:]))),
        x.storage_offset() + begin,
    )


def every_tap(x: Any, taps: Ints, places: Ints, stride: Ints, dilation: Ints) -> Iterator[Any]:
    """What each tap of a kernel sees in x, which is padded: views in the order of the taps."""
    for tap in product(*map(range, taps)):
        yield part(x, tuple(k * d for k, d in zip(tap, dilation)), places, stride)


def number_of(tap: Ints, taps: Ints) -> int:
    """The position of a tap in the order of all."""
    number = 0
    for k, n in zip(tap, taps):
        number = number * n + k
    return number


# ------------------------------------------------------------------ from places back to elements


class Phase:
    """The elements first, first + stride, … along one dim: the same taps reach them all.

    hits: (tap, place that reaches `first` by it) pairs; the next element has the next place.
    """

    def __init__(self, first: int, count: int, hits: list[tuple[int, int]]) -> None:
        self.first, self.count, self.hits = first, count, hits


def phases(size: int, taps: int, stride: int, padding: int, dilation: int) -> list[Phase]:
    """All phases along one dim."""
    found = []
    for first in range(min(stride, size)):
        at = ((k, first + padding - k * dilation) for k in range(taps))
        hits = [(k, reach // stride) for k, reach in at if reach % stride == 0]
        found.append(Phase(first, (size - first - 1) // stride + 1, hits))
    return found


def margin(axis: list[Phase], places: int) -> tuple[int, int]:
    """How many places are missed before and after those there are."""
    low = [place for phase in axis for _, place in phase.hits]
    high = [place + phase.count for phase in axis for _, place in phase.hits]
    return max(0, -min(low, default=0)), max(0, max(high, default=0) - places)


def gathered(
    x: Any, size: Ints, geometry: tuple[Ints, Ints, Ints, Ints], fill: Callable[..., Any],
    seen: Callable[..., Any],
) -> Any:  # fmt: skip
    """For each element, the sum of what the places that look at it give, by any tap.

    geometry: taps, stride, padding, dilation. fill(before, after) → the sources with so many more
    places around; seen(sources, tap, starts, counts) → what the tap gives at consecutive places.
    """
    taps, stride, padding, dilation = geometry
    axes = [phases(*facts) for facts in zip(size, taps, stride, padding, dilation)]
    margins = [margin(axis, n) for axis, n in zip(axes, x.shape[x.ndim - len(size) :])]
    sources = fill(tuple(a for a, _ in margins), tuple(b for _, b in margins))

    def total(phase: tuple[Phase, ...]) -> Any:
        result = None
        for hits in product(*(p.hits for p in phase)):
            starts = tuple(place + a for (_, place), (a, _) in zip(hits, margins))
            term = seen(sources, tuple(k for k, _ in hits), starts, tuple(p.count for p in phase))
            result = term if result is None else result + term
        return result

    if all(s == 1 for s in stride):
        return total(tuple(axis[0] for axis in axes))
    if all(n % s == 0 for n, s in zip(size, stride)) and all(p.hits for axis in axes for p in axis):
        return woven([total(phase) for phase in product(*axes)], stride)
    out = x.new_zeros((*x.shape[: x.ndim - len(size)], *size))
    for phase in product(*axes):
        if all(p.hits for p in phase):
            firsts, counts = tuple(p.first for p in phase), tuple(p.count for p in phase)
            part(out, firsts, counts, stride).copy_(total(phase))
    return out


def woven(parts: list[Any], times: Ints) -> Any:
    """Tensors of one size, put together: along each of the last dims an element of each in turn."""
    dims, size = len(times), tuple(parts[0].shape)
    at = len(size) - dims
    return interleaved(STACK(parts, at).view((*size[:at], *times, *size[at:])), dims)


def interleaved(x: Any, dims: int) -> Any:
    """[…, *parts, *places] as […, *(places · parts)]: an element of each part in turn."""
    at, end = x.ndim - 2 * dims, x.ndim - dims
    pairs = [(x.shape[end + d], x.shape[at + d]) for d in range(dims)]
    order = [d for pair in zip(range(end, x.ndim), range(at, end)) for d in pair]
    return x.permute((*range(at), *order)).reshape((*x.shape[:at], *(n * k for n, k in pairs)))


def numbered(x: Any, times: Ints) -> Any:
    """The number of each element of a block, in the size of a block, for views by `in_blocks`."""
    numbers = counting(x, prod(times))
    return numbers.view(tuple(n for k in times for n in (1, k)))


def amid_zeros(x: Any, number: int, times: Ints) -> Any:
    """Each element of the last dims as that number of a block whose others are zero."""
    spread = in_blocks(x, times).masked_fill(numbered(x, times) != number, 0)
    size = tuple(n * k for n, k in zip(x.shape[x.ndim - len(times) :], times))
    return blocks_of(spread, len(times), size)


def one_dim_at_a_time(taps: Ints) -> list[Ints]:
    """Which dims of a kernel are done together: all, or each alone where taps are many."""
    dims = range(len(taps))
    return [tuple(dims)] if prod(taps) <= MOST_AT_ONCE else [(d,) for d in dims]


def along(group: Ints, given: Ints, other: int) -> Ints:
    """A setting along some dims, and another along the rest."""
    return tuple(n if d in group else other for d, n in enumerate(given))


def counting(x: Any, n: int) -> Any:
    """0, 1, … n - 1."""
    return x.new_ones((n,), dtype=dt.int64).cumsum(0) - 1


def repeated(x: Any, times: Ints, size: Ints) -> Any:
    """Each element of the last dims as a block of copies, then zeros up to a size."""
    return blocks_of(in_blocks(x, times), len(times), size)


def in_blocks(x: Any, times: Ints) -> Any:
    """A view with a dim of blocks after each of the last dims, whose elements are all the same."""
    at = x.ndim - len(times)
    apart = [n for m in x.shape[at:] for n in (m, 1)]
    wanted = [n for pair in zip(x.shape[at:], times) for n in pair]
    return x.reshape((*x.shape[:at], *apart)).expand((*x.shape[:at], *wanted))


def blocks_of(x: Any, dims: int, size: Ints) -> Any:
    """The same dims with their blocks as one, then zeros up to a size."""
    at = x.ndim - 2 * dims
    made = tuple(n * k for n, k in zip(x.shape[at::2], x.shape[at + 1 :: 2]))
    whole = x.reshape((*x.shape[:at], *made))
    return padded(whole, (0,) * dims, tuple(n - m for n, m in zip(size, made)))


# ------------------------------------------------------------------ in the graph

tie = composite(
    "_tie(input, other)",
    public="",
    shape=lambda mode, input, other: ((input.size, input.dtype),),
    expand=lambda input, other: input.clone(),
    grad=dict(input=lambda g: g, other=lambda g, call: g.new_zeros(call.other.size)),
    samples=no_samples,  # tested through second derivatives
)
TIE: Any = function_of(tie)


def tied(gradient: Any, input: Any) -> Any:
    """A gradient that does not depend on the input, but whose own derivative by it is 0 rather than
    None, as where PyTorch's backward functions take the input."""
    return TIE(gradient, input) if here.stretch.mode.grad else gradient
