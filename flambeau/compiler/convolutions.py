"""Convolutions: a cluster whose core is `_correlate` becomes launches that read what its taps see.

As with products (products.py), what follows element by element is the epilogue.
"""

from __future__ import annotations

from math import prod

from flambeau.codegen.cpu.direct import direct_plan
from flambeau.codegen.cpu.direct_gradient import direct_gradient_plan
from flambeau.codegen.cpu.gemm.convolving import Convolution, Kernels, convolution_plan
from flambeau.codegen.cpu.gemm.spec import Machine, Plan, machine_of
from flambeau.codegen.cpu.gemm.weight_plan import Gradient, gradient_plan
from flambeau.codegen.cpu.gemm.windows import Geometry
from flambeau.codegen.cpu.target import cpu
from flambeau.compiler.clusters import Cluster, Fused
from flambeau.compiler.products import EpilogueWriter, Planned, epilogue_of
from flambeau.compiler.scheduled import as_access
from flambeau.ir import dtype as dt
from flambeau.ir.dims import later
from flambeau.ir.layout import Ints
from flambeau.ir.program import Ref


def correlate_plan(cluster: Cluster, fused: Fused, stored: set[int]) -> Planned:
    """The launches of a convolution with everything that follows it."""
    weight, x, places, stride, before, dilation, turned = cluster.members[0].call.args
    writer = EpilogueWriter(cluster, fused, stored)
    writer.loops = [(0,), (1,), tuple(range(2, len(cluster.domain)))]
    writer.element = dt.float64 if weight.dtype is dt.float64 else dt.float32
    stores = epilogue_of(writer)
    geometry = Geometry(x.size[0], places, x.size[2:], weight.size[3:], stride, before, dilation,
                        x.layout.stride)  # fmt: skip
    made = Plan((), 0)
    if prod(cluster.domain):
        conv = Convolution(
            writer.element, x.dtype, kernels_of(weight, turned), geometry,
            tuple(map(as_access, writer.operands)), tuple(o.strides for o in writer.operands),
            tuple(s.dtype for s in writer.scalars), stores,
        )  # fmt: skip
        made = later(planned, conv, machine_of(cpu()))
    return Planned(made, weight, x, tuple(writer.operands), tuple(writer.scalars))


def planned(conv: Convolution, machine: Machine) -> Plan:
    """The launches of a convolution: beside its image, or from what is packed."""
    return direct_plan(conv, machine) or convolution_plan(conv, machine)


def kernels_of(weight: Ref, turned: bool) -> Kernels:
    """The weights, from the tap that is walked first."""
    strides, start = weight.layout.stride, 0
    if turned:
        taps: Ints = weight.size[3:]
        start = sum((n - 1) * s for n, s in zip(taps, strides[3:]))
        strides = (*strides[:3], *(-s for s in strides[3:]))
    groups, rows, channels = weight.size[:3]
    return Kernels(weight.dtype, groups, rows, channels, strides, start)


def correlate_weight_plan(cluster: Cluster, fused: Fused, stored: set[int]) -> Planned:
    """The launches of a weight's gradient with everything that follows it."""
    grad, x, groups, taps, stride, before, dilation = cluster.members[0].call.args
    writer = EpilogueWriter(cluster, fused, stored)
    writer.loops = [(0,), tuple(range(1, len(cluster.domain)))]
    writer.element = dt.float64 if grad.dtype is dt.float64 else dt.float32
    stores = epilogue_of(writer)
    geometry = Geometry(x.size[0], grad.size[2:], x.size[2:], taps, stride, before, dilation,
                        x.layout.stride)  # fmt: skip
    made = Plan((), 0)
    if prod(cluster.domain):
        gradient = Gradient(
            writer.element, grad.dtype, x.dtype, groups, grad.size[1] // groups,
            x.size[1] // groups, grad.layout.stride[:2], geometry,
            tuple(map(as_access, writer.operands)), tuple(o.strides for o in writer.operands),
            tuple(s.dtype for s in writer.scalars), stores,
        )  # fmt: skip
        made = later(gradient_planned, gradient, machine_of(cpu()))
    return Planned(made, grad, x, tuple(writer.operands), tuple(writer.scalars))


def gradient_planned(gradient: Gradient, machine: Machine) -> Plan:
    """The launches of a weight's gradient, in the same two ways."""
    return direct_gradient_plan(gradient, machine) or gradient_plan(gradient, machine)


PLANS = {"_correlate": correlate_plan, "_correlate_weight": correlate_weight_plan}
