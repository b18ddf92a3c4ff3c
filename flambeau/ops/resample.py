"""Weighted sums of elements along the last dims: interpolation, adaptive average pools.

How a dim of L elements becomes one of O is told by a table: index[T, O], the elements that each
output reads (-1: none), and weight[T, O]. A derivative is the same op with the table the other way
round, so each call brings both. flambeau/resizing.py makes the tables.
"""

from __future__ import annotations

from typing import Any

from flambeau.ir import dtype as dt
from flambeau.ir.layout import Spec
from flambeau.ir.op import Op
from flambeau.ops.declare import composite
from flambeau.ops.functions import function_of
from flambeau.ops.samples import no_samples
from flambeau.ops.softmax import wide
from flambeau.ops.taps import tied
from flambeau.trace.modes import Mode


def resampled_shape(mode: Mode, input: Spec, tensors: Any, name: str, weighted: bool,
                    *rest: Any) -> Any:  # fmt: skip
    per_dim = 2 if weighted else 1
    dims = len(tensors) // (2 * per_dim)
    sizes = tuple(tensors[d * per_dim].size[1] for d in range(dims))
    return (((*input.size[:-dims], *sizes), input.dtype),)


def resampled(input: Any, tensors: Any, name: str, weighted: bool, whole: bool,
              back_whole: bool) -> Any:  # fmt: skip
    """Dim by dim, from the last. whole: the tables have no -1; back_whole: those back."""
    per_dim = 2 if weighted else 1
    dims = len(tensors) // (2 * per_dim)
    rounds = weighted and input.dtype.kind != "f"
    x = input.to(dt.float32) if rounds else wide(input)
    for d in reversed(range(dims)):
        index, *weight = tensors[d * per_dim : (d + 1) * per_dim]
        x = along_dim(x, input.ndim - dims + d, whole, index, *weight)
        x = (x + 0.5).floor().clamp(0, 255) if rounds else x  # bytes are rounded after each dim
    return x.to(input.dtype)


def along_dim(x: Any, dim: int, whole: bool, index: Any, weight: Any = None) -> Any:
    """One dim, by its table; without weights they are all 1."""
    taps, count = index.shape
    size, rest = tuple(x.shape), (1,) * (x.ndim - dim - 1)
    flat = index.reshape((-1,))
    picked = x.index_select(dim, flat if whole else flat.clamp_min(0))
    picked = picked.view((*size[:dim], taps, count, *size[dim + 1 :]))
    if weight is not None:
        picked = picked * weight.view((taps, count, *rest))
    if not whole:
        picked = picked.masked_fill(index.view((taps, count, *rest)) < 0, 0)
    return picked.sum((dim,)) if taps > 1 else picked.squeeze(dim)


TIED = "adaptive_avg", "reflection", "replication"  # names of backward functions of the input


def without(g: Any, tensors: Any, call: Any) -> Any:
    """The derivative: the same with the tables the other way round."""
    record = RESAMPLE[call.name]
    return record(g, swapped(tensors), call.name, call.weighted, call.back_whole, call.whole)


def with_input(g: Any, input: Any, tensors: Any, call: Any) -> Any:
    return tied(without(g, tensors, call), input)


def swapped(tensors: Any) -> list[Any]:
    """The tables for the other way."""
    half = len(tensors) // 2
    return [*tensors[half:], *tensors[:half]]


def resampling(name: str, node: str) -> Op:
    """One of PyTorch's ops that are weighted sums along dims."""
    return composite(
        f"_{name}(input, tensors, name, weighted, whole, back_whole)",
        public="",
        node=node if node == "CopySlices" else f"{node}Backward0",
        shape=resampled_shape,
        expand=resampled,
        grad=dict(input=with_input if name.startswith(TIED) else without),
        samples=no_samples,  # see tests/nn/test_layers_of_images.py
    )  # fmt: skip


NODES = {
    "upsample_linear1d": "UpsampleLinear1D", "upsample_bilinear2d": "UpsampleBilinear2D",
    "upsample_trilinear3d": "UpsampleTrilinear3D", "upsample_bicubic2d": "UpsampleBicubic2D",
    "upsample_bilinear2d_aa": "UpsampleBilinear2DAa",
    "upsample_bicubic2d_aa": "UpsampleBicubic2DAa",
    "upsample_lanczos2d_aa": "UpsampleLanczos2DAa",
    "adaptive_avg_pool2d": "AdaptiveAvgPool2D", "adaptive_avg_pool3d": "AdaptiveAvgPool3D",
}  # fmt: skip
for _dims in (1, 2, 3):
    NODES[f"upsample_nearest{_dims}d"] = f"UpsampleNearest{_dims}D"
    NODES[f"reflection_pad{_dims}d"] = f"ReflectionPad{_dims}D"
    NODES[f"replication_pad{_dims}d"] = f"ReplicationPad{_dims}D"
    NODES[f"circular_pad{_dims}d"] = "CopySlices"
    NODES[f"upsample_nearest_exact{_dims}d"] = f"UpsampleNearestExact{_dims}D"
RESAMPLE: dict[str, Any] = {
    name: function_of(resampling(name, node)) for name, node in NODES.items()
}
