"""Convolution in any number of spatial dims, its transpose and the derivative of its weight.

A convolution is a product of matrices: the weight, a row for each output channel, times what the
taps of the kernel see, a column for each of its places (ops/correlate.py). Where a kernel works on
each channel alone, it is a sum over the taps instead, of views of the padded input. Transposed
convolutions (so the derivatives with respect to the input) are convolutions too: an output at i
hears of an input at j by tap k where i = j·stride - padding + k·dilation, so outputs with the same
remainder modulo the stride use the same taps, and are one ordinary convolution with those taps,
turned around (W. Shi et al., Is the deconvolution layer the same as a convolutional layer?, 2016).
"""

from __future__ import annotations

from itertools import product
from math import gcd, prod
from typing import Any

from flambeau.ir.layout import Ints, Spec
from flambeau.ops.conv_sizes import (
    conv_arguments,
    conv_size,
    transposed_size,
)
from flambeau.ops.correlate import correlate as CORRELATE
from flambeau.ops.correlate import correlate_weight as CORRELATE_WEIGHT
from flambeau.ops.declare import composite
from flambeau.ops.functions import function_of
from flambeau.ops.samples import Refused, Sample, no_samples
from flambeau.ops.softmax import wide
from flambeau.ops.taps import amid_zeros, interleaved, padded, part, settled, woven
from flambeau.trace.modes import Mode

MOST_TAPS = 27  # of a kernel that works on each channel alone, to be done tap by tap
SPARSE = 6  # times as many input as output channels, or outputs as places: taps are added up
WIDE = 256  # places of an image that make a product of their own
MOST_ADDED = 256  # taps that are: each is a call


def conv_shape(mode: Mode, input: Spec, weight: Spec, bias: Any, stride: Ints, padding: Ints,
               dilation: Ints, transposed: bool, output_padding: Ints,
               groups: int) -> Any:  # fmt: skip
    taps, rest = weight.size[2:], (stride, padding, dilation)
    if transposed:
        size = transposed_size(input.size[2:], taps, *rest, output_padding)
        if min(size) <= 0:
            raise RuntimeError(f"Given input size per channel: {list(input.size[2:])}. Calculated "
                               f"output size per channel: {list(size)}. Output size is too "
                               "small")  # fmt: skip
        return (((input.size[0], weight.size[1] * groups, *size), input.dtype),)
    size = conv_size(input.size[2:], taps, *rest)
    return (((input.size[0], weight.size[0], *size), input.dtype),)


# ------------------------------------------------------------------ windows and products


def windows(x: Any, taps: Ints, places: Ints, stride: Ints, dilation: Ints) -> Any:
    """The view [n, channel, *taps, *places] of x: what each tap sees at each place."""
    outer, steps = x.stride()[:2], x.stride()[2:]
    between_taps = (a * d for a, d in zip(steps, dilation))
    between_places = (a * s for a, s in zip(steps, stride))
    return x.as_strided((*x.shape[:2], *taps, *places), (*outer, *between_taps, *between_places))


def channel_first(x: Any, groups: int, taps: int) -> Any:
    """[n, channel, *taps, *places] as [group, channel of the group, *taps, n, *places]: a view."""
    n, channels, *rest = x.shape
    x = x.reshape((n, groups, channels // groups, *rest))
    return x.permute((1, 2, *range(3, 3 + taps), 0, *range(3 + taps, x.ndim)))


def correlate(x: Any, kernels: Any, bias: Any, places: Ints, stride: Ints, before: Ints,
              dilation: Ints, turned: bool = False) -> Any:  # fmt: skip
    """Each kernel at every place of x; kernels: [group, out, in, *taps].

    before: zeros in front of x along each dim (where negative, elements that are left out);
    turned: the last tap comes first.
    """
    groups, out, channels, *taps = kernels.shape
    one_each = (groups * out, *(1,) * len(places))
    if channels == 0:
        made = x.new_zeros((x.shape[0], groups * out, *places))
    elif channels == 1 and groups > 1 and prod(taps) <= MOST_TAPS:
        kernels = kernels.flip(tuple(range(3, kernels.ndim))) if turned else kernels
        x = framed(x, tuple(taps), places, stride, before, dilation)
        seen = windows(x, tuple(taps), places, stride, dilation)
        return tap_by_tap(seen, kernels, bias, places)
    elif prod(taps) == 1 == groups and not any(before) and places == tuple(x.shape[2:]):
        n, area = x.shape[0], prod(places)
        made = kernels.reshape((1, out, channels)).expand((n, out, channels))
        made = made.bmm(x.reshape((n, channels, area))).view((n, out, *places))
    else:
        made = CORRELATE(kernels, x, places, stride, before, dilation, turned)
    return made if bias is None else made + bias.view(one_each)


def framed(x: Any, taps: Ints, places: Ints, stride: Ints, before: Ints, dilation: Ints) -> Any:
    """Just what some taps look at, with zeros around what x has of it."""
    after = (
        (p - 1) * s - b + (k - 1) * d + 1 - n
        for p, s, b, k, d, n in zip(places, stride, before, taps, dilation, x.shape[2:])
    )
    return padded(x, before, tuple(after))


def tap_by_tap(seen: Any, kernels: Any, bias: Any, places: Ints) -> Any:
    """Every channel alone, with one or several kernels: a sum over the taps."""
    (groups, out, _, *taps), n, dims = kernels.shape, seen.shape[0], len(places)
    one_each = (groups, out, *(1,) * dims)
    total = None if bias is None else wide(bias).view(one_each)
    for tap in product(*map(range, taps)):
        x = wide(part_at(seen, 2, tap)).unsqueeze(2)
        term = x * wide(part_at(kernels, 3, tap)).reshape(one_each)
        total = term if total is None else total + term
    assert total is not None
    return total.reshape((n, groups * out, *places)).to(seen.dtype)


def part_at(x: Any, dim: int, index: Ints) -> Any:
    """x at an index of some adjacent dims."""
    for i in index:
        x = x.select(dim, i)
    return x


def grouped(weight: Any, groups: int) -> Any:
    """[group · out, in, *taps] as [group, out, in, *taps]."""
    return weight.reshape((groups, weight.shape[0] // groups, *weight.shape[1:]))


def spread(x: Any, weight: Any, bias: Any, stride: Ints, padding: Ints, dilation: Ints,
           groups: int, size: Ints) -> Any:  # fmt: skip
    """A transposed convolution with a spatial size; weight: [group · in, out, *taps]."""
    kernels = grouped(weight, groups).transpose(1, 2)
    taps, length = tuple(kernels.shape[3:]), tuple(x.shape[2:])
    if groups == 1 and are_apart(length, taps, stride, padding, dilation, size):
        made = blocks(x, weight, size)
    elif folding_pays(kernels, length, prod(size) // prod(stride)):
        return folded(x, kernels, bias, stride, padding, dilation, size)
    else:
        axes = [phases(*facts) for facts in zip(size, taps, stride, padding, dilation)]
        if all(s == 1 for s in stride):
            (phase,) = product(*axes)
            return one_phase(x, kernels, bias, phase)
        made = all_phases(x, kernels, axes, stride, size)
    return made if bias is None else made + bias.view((-1, *(1,) * len(size)))


def are_apart(length: Ints, taps: Ints, stride: Ints, padding: Ints, dilation: Ints,
              size: Ints) -> bool:  # fmt: skip
    """Whether every output hears of one input, by one tap, and all inputs are heard in full."""
    if any(padding) or any(d != 1 for d in dilation):
        return False
    near = all(k == s or n == 1 for n, k, s in zip(length, taps, stride))
    return near and all(m == n * k for m, n, k in zip(size, length, taps))


def blocks(x: Any, weight: Any, size: Ints) -> Any:
    """A transposed convolution that makes a block of outputs from each input: one product."""
    n, channels, *length = x.shape
    out, *taps = weight.shape[1:]
    given = weight.reshape((channels, out * prod(taps)))
    if prod(length) == 1:
        return x.reshape((n, channels)).mm(given).view((n, out, *size))
    rows = given.t().reshape((1, out * prod(taps), channels)).expand((n, -1, -1))
    made = rows.bmm(x.reshape((n, channels, prod(length))))
    return interleaved(made.view((n, out, *taps, *length)), len(taps))


def all_phases(x: Any, kernels: Any, axes: list[list[Phase]], stride: Ints, size: Ints) -> Any:
    """The outputs of all phases, in their places."""
    groups, out = kernels.shape[:2]
    every = list(product(*axes))
    heard = [n for n, phase in enumerate(every) if all(p.taps for p in phase)]
    if all(n % s == 0 for n, s in zip(size, stride)) and len(heard) in (1, len(every)):
        made = [one_phase(x, kernels, None, every[n]) for n in heard]
        return woven(made, stride) if len(made) > 1 else amid_zeros(made[0], heard[0], stride)
    total = x.new_zeros((x.shape[0], groups * out, *size))
    for phase in every:
        if all(p.taps for p in phase):
            made = one_phase(x, kernels, None, phase)
            part(total, tuple(p.first for p in phase), tuple(made.shape[2:]), stride).copy_(made)
    return total


def folding_pays(kernels: Any, places: Ints, area: int) -> bool:
    """Whether adding up what taps give costs less than reading what taps see.

    Adding moves an element for each output channel and tap through memory, reading touches one for
    each input channel and tap. And where few places reach many outputs, most taps see zeros.
    """
    _, out, channels, *taps = kernels.shape
    few = SPARSE * out <= channels or SPARSE * prod(places) <= area
    return 1 < prod(taps) <= MOST_ADDED and few


def folded(x: Any, kernels: Any, bias: Any, stride: Ints, padding: Ints, dilation: Ints,
           size: Ints) -> Any:  # fmt: skip
    """What each input gives by each tap, as one product, added up where it belongs: for few output
    channels beside those of the input."""
    groups, out, channels, *taps = kernels.shape
    n, places, dtype = x.shape[0], tuple(x.shape[2:]), x.dtype
    x, kernels = wide(x), wide(kernels)
    rows = kernels.permute((0, 1, *range(3, kernels.ndim), 2)).reshape((groups, -1, channels))
    if groups == 1 and prod(places) >= WIDE:
        columns = x.reshape((n, channels, prod(places)))
        given = rows.expand((n, -1, -1)).bmm(columns).view((n, out, *taps, *places))
        total = x.new_zeros((n, out, *size))
    else:  # all images beside each other
        columns = channel_first(x, groups, 0).reshape((groups, channels, n * prod(places)))
        given = rows.bmm(columns).view((groups * out, *taps, n, *places))
        at = 1 + len(taps)
        given = given.permute((at, *range(at), *range(at + 1, given.ndim)))
        total = x.new_zeros((groups * out, n, *size)).transpose(0, 1)
    for tap in product(*map(range, taps)):
        facts = zip(tap, size, places, stride, padding, dilation)
        reach = [reached(*fact) for fact in facts]
        if all(count > 0 for _, _, count in reach):
            first, starts, counts = zip(*reach)
            there = part(total, starts, counts, stride)
            there.add_(part(part_at(given, 2, tap), first, counts, (1,) * len(size)))
    total = total if bias is None else total + wide(bias).view((-1, *(1,) * len(size)))
    return total.contiguous().to(dtype)


def reached(tap: int, size: int, places: int, stride: int, padding: int,
            dilation: int) -> tuple[int, int, int]:  # fmt: skip
    """The first place that reaches an element inside by a tap, that element, and how many do."""
    offset = tap * dilation - padding
    first = max(0, -(offset // stride))
    last = min(places - 1, (size - 1 - offset) // stride)
    return first, first * stride + offset, last - first + 1


class Phase:
    """The outputs first, first + stride, … along one dim, as an ordinary convolution.

    taps: the tap that it begins with and the step between them (None where there is none);
    count: of outputs; before: zeros in front of the input; dilation: between taps, counted in
    inputs.
    """

    def __init__(self, first: int, taps: Any, count: int, before: int, dilation: int) -> None:
        self.first, self.taps, self.count = first, taps, count
        self.before, self.dilation = before, dilation


def phases(size: int, taps: int, stride: int, padding: int, dilation: int) -> list[Phase]:
    """The phases along one dim that have outputs."""
    found = []
    step = stride // gcd(stride, dilation)
    for first in range(min(stride, size)):
        hits = [k for k in range(taps) if (first + padding - k * dilation) % stride == 0]
        if not hits:
            found.append(Phase(first, None, 0, 0, 1))
            continue
        gap = dilation * step // stride
        start = (first + padding - hits[0] * dilation) // stride
        count = (size - first - 1) // stride + 1
        before = (len(hits) - 1) * gap - start
        found.append(Phase(first, (hits[0], step), count, before, gap))
    return found


def one_phase(x: Any, kernels: Any, bias: Any, phase: tuple[Phase, ...]) -> Any:
    """The outputs of one phase."""
    for d, p in enumerate(phase):
        first, step = p.taps
        if step > 1:
            kernels = kernels[(slice(None),) * (3 + d) + (slice(first, None, step),)]
    counts, before, gaps = zip(*((p.count, p.before, p.dilation) for p in phase))
    return correlate(x, kernels, bias, counts, (1,) * len(phase), before, gaps, True)


def conv_expand(input: Any, weight: Any, bias: Any, stride: Ints, padding: Ints, dilation: Ints,
                transposed: bool, output_padding: Ints, groups: int) -> Any:  # fmt: skip
    taps = tuple(weight.shape[2:])
    if transposed:
        input, weight = settled(input), settled(weight)
        size = transposed_size(tuple(input.shape[2:]), taps, stride, padding, dilation,
                               output_padding)  # fmt: skip
        return spread(input, weight, bias, stride, padding, dilation, groups, size)
    places = conv_size(tuple(input.shape[2:]), taps, stride, padding, dilation)
    return correlate(input, grouped(weight, groups), bias, places, stride, padding, dilation)


# ------------------------------------------------------------------ derivatives


def input_grad(g: Any, weight: Any, size: Ints, stride: Ints, padding: Ints, dilation: Ints,
               groups: int) -> Any:  # fmt: skip
    """What the input of a convolution gets, in its spatial size."""
    plain = transposed_size(g.shape[2:], weight.shape[2:], stride, padding, dilation,
                            (0,) * len(size))  # fmt: skip
    rest = tuple(n - m for n, m in zip(size, plain))
    return convolve(g, weight, None, stride, padding, dilation, True, rest, groups)


def transposed_input_grad(g: Any, weight: Any, call: Any) -> Any:
    """What the input of a transposed convolution gets."""
    made = convolve(g, weight, None, call.stride, call.padding, call.dilation, False,
                         (0,) * len(call.stride), call.groups)  # fmt: skip
    for d, n in enumerate(call.input.size[2:], 2):  # output_padding may have made room for more
        made = made.narrow(d, 0, n) if made.shape[d] != n else made
    return made


def conv_input_grad(g: Any, weight: Any, call: Any) -> Any:
    if call.transposed:
        return transposed_input_grad(g, weight, call)
    return input_grad(g, weight, call.input.size[2:], call.stride, call.padding, call.dilation,
                      call.groups)  # fmt: skip


def conv_weight_grad(g: Any, input: Any, call: Any) -> Any:
    """In a transposed convolution, input and output change places."""
    x, y = (g, input) if call.transposed else (input, g)
    return weight_of(x, y, call.weight.size[2:], call.stride, call.padding,
                                       call.dilation, call.groups)  # fmt: skip


def bias_grad(g: Any) -> Any:
    return g.sum((0, *range(2, g.ndim)))


def conv_samples(new: Any) -> Any:
    def settings(stride: Any = 1, padding: Any = 0, dilation: Any = 1, transposed: bool = False,
                 output_padding: Any = 0, groups: int = 1) -> Any:  # fmt: skip
        return stride, padding, dilation, transposed, output_padding, groups

    def many(dims: int, *settings: Any) -> Any:
        return ((n,) * dims if isinstance(n, int) and not isinstance(n, bool) and i != 5 else n
                for i, n in enumerate(settings))  # fmt: skip

    x = new(2, 4, 6, 5)
    yield Sample(x, new(6, 4, 3, 3), new(6), *many(2, *settings()))
    yield Sample(x, new(6, 2, 3, 2), None, *many(2, *settings((2, 1), 1, groups=2)))
    yield Sample(x, new(8, 1, 2, 2), new(8), *many(2, *settings(1, 1, 2, groups=4)))
    yield Sample(new(3, 4, 9), new(5, 4, 3), new(5), *many(1, *settings(3, 2, 2)))
    yield Sample(new(1, 2, 4, 4, 3), new(3, 2, 2, 2, 2), None, *many(3, *settings(2, 1)))
    yield Sample(new(0, 3, 5, 5), new(2, 3, 3, 3), new(2), *many(2, *settings()))
    yield Sample(x, new(4, 3, 3, 3), new(3), *many(2, *settings(transposed=True)))
    more = settings((2, 3), 1, (3, 2), True, (1, 2), 2)
    yield Sample(x, new(4, 3, 3, 3), new(6), *many(2, *more))
    yield Sample(new(2, 4, 5), new(4, 1, 4), None, *many(1, *settings(2, 1, 1, True, 1, 4)))
    yield Sample(new(2, 4, 5), new(4, 2, 1), None, *many(1, *settings(3, 0, 1, True, 2)))
    says = "to have 4 channels"
    yield Refused(new(1, 3, 7, 7), new(6, 4, 3, 3), None, *many(2, *settings()),
                  error=RuntimeError, says=says)  # fmt: skip
    yield Refused(new(1, 4, 2, 2), new(6, 4, 3, 3), None, *many(2, *settings()),
                  error=RuntimeError, says="Kernel size can't be greater")  # fmt: skip


convolution = composite(
    "convolution(input, weight, bias=None, stride=1, padding=0, dilation=1, transposed=False, "
    "output_padding=0, groups=1)",
    public="torch",
    clean=conv_arguments,
    shape=conv_shape,
    expand=conv_expand,
    grad=dict(
        input=conv_input_grad,
        weight=conv_weight_grad,
        bias=bias_grad,
    ),
    samples=conv_samples,
)


convolve = function_of(convolution)

# ------------------------------------------------------------------ the weight's derivative


def weight_shape(mode: Mode, input: Spec, grad: Spec, taps: Ints, stride: Ints, padding: Ints,
                 dilation: Ints, groups: int) -> Any:  # fmt: skip
    return (((grad.size[1], input.size[1] // groups, *taps), input.dtype),)


def weight_expand(input: Any, grad: Any, taps: Ints, stride: Ints, padding: Ints, dilation: Ints,
                  groups: int) -> Any:  # fmt: skip
    """Σ over the batch and all places of grad · what the taps see there."""
    if not input.shape[0]:
        return input.new_zeros((grad.shape[1], input.shape[1] // groups, *taps))
    if groups == 1 and prod(grad.shape[2:]) == 1 and taps == tuple(input.shape[2:]):
        if not any(padding):  # one place, which sees all of the image
            rows, columns = (x.reshape((x.shape[0], prod(x.shape[1:]))) for x in (grad, input))
            return rows.t().mm(columns).view((grad.shape[1], input.shape[1], *taps))
    return CORRELATE_WEIGHT(grad.contiguous(), input, groups, taps, stride, padding, dilation)


def weight_input_grad(g: Any, grad: Any, call: Any) -> Any:
    return input_grad(grad, g, call.input.size[2:], call.stride, call.padding, call.dilation,
                      call.groups)  # fmt: skip


def weight_grad_grad(g: Any, input: Any, call: Any) -> Any:
    made = convolve(input, g, None, call.stride, call.padding, call.dilation, False,
                                   (0,) * len(call.stride), call.groups)  # fmt: skip
    for d, n in enumerate(call.grad.size[2:], 2):
        made = made.narrow(d, 0, n) if made.shape[d] != n else made
    return made


convolution_weight = composite(
    "convolution_weight(input, grad, taps, stride, padding, dilation, groups)",
    public="",
    node="ConvolutionBackwardBackward0",
    shape=weight_shape,
    expand=weight_expand,
    grad=dict(input=weight_input_grad, grad=weight_grad_grad),
    samples=no_samples,  # tested through the second derivatives of convolution
)
weight_of = function_of(convolution_weight)
