"""The largest element of windows that no strides can say: adaptive and fractional max pools, and
max_unpool, which puts values back.

`source`: which elements each result looks at, as positions among those of the last dims.
"""

from __future__ import annotations

from math import prod
from typing import Any

from flambeau.ir import dtype as dt
from flambeau.ir.layout import Ints, Spec
from flambeau.ir.op import Bound, Op
from flambeau.ops.declare import composite
from flambeau.ops.functions import function_of
from flambeau.ops.samples import no_samples
from flambeau.ops.taps import tied
from flambeau.trace.modes import Mode


def window_shape(mode: Mode, input: Spec, source: Spec, size: Ints) -> Any:
    made = (*input.size[: -len(size)], *size)
    return (made, input.dtype), (made, dt.int64)


def window_expand(input: Any, source: Any, size: Ints) -> tuple[Any, Any]:
    """source: [results, elements of a window] for all channels, or […, results, elements]."""
    front = tuple(input.shape[: input.ndim - len(size)])
    flat = input.reshape((*front, prod(input.shape[len(front) :])))
    count, taps = source.shape[-2:]
    if source.ndim == 2:
        seen = flat.index_select(-1, source.reshape((-1,))).view((*front, count, taps))
        places = source.expand((*front, count, taps))
    else:
        places = source.reshape((*front, count, taps))
        seen = flat.gather(-1, places.reshape((*front, count * taps))).view((*front, count, taps))
    tap = seen.argmax(-1, keepdim=True)
    made = (*front, *size)
    return seen.amax((-1,)).view(made), places.gather(-1, tap).view(made)


def flattened(x: Any, dims: int) -> Any:
    """The last dims as one."""
    front = tuple(x.shape[: x.ndim - dims])
    return x.reshape((*front, prod(x.shape[len(front) :])))


def placed(g: Any, index: Any, size: Ints) -> Any:
    """Each element added at its position among those of the last dims."""
    front, dims = tuple(g.shape[: g.ndim - len(size)]), len(size)
    zeros = g.new_zeros((*front, prod(size)))
    added = zeros.scatter_add(-1, flattened(index, dims), flattened(g, dims))
    return added.view((*front, *size))


def window_row(name: str, node: str) -> Op:
    return composite(
        f"_{name}(input, source, size)",
        public="",
        node=f"{node}Backward0",
        shape=window_shape,
        expand=window_expand,
        grad=dict(
            input=lambda g, input, out1, call: tied(
                placed(g[0], out1, call.input.size[-len(call.size) :]), input
            )
        ),
        samples=no_samples,  # see tests/nn/test_layers_of_images.py
    )


WINDOW_MAX: dict[str, Any] = {
    name: function_of(window_row(name, node))
    for name, node in {
        "adaptive_max_pool2d": "AdaptiveMaxPool2D", "adaptive_max_pool3d": "AdaptiveMaxPool3D",
        "fractional_max_pool2d": "FractionalMaxPool2D",
        "fractional_max_pool3d": "FractionalMaxPool3D",
    }.items()
}  # fmt: skip


def unpool_shape(mode: Mode, input: Spec, indices: Spec, size: Ints) -> Any:
    return (((*input.size[: -len(size)], *size), input.dtype),)


def unpool_expand(input: Any, indices: Any, size: Ints) -> Any:
    """Zeros but for the values, each at its index."""
    front, dims = tuple(input.shape[: input.ndim - len(size)]), len(size)
    zeros = input.new_zeros((*front, prod(size)))
    put = zeros.scatter(-1, flattened(indices, dims), flattened(input, dims))
    return put.view((*front, *size))


def unpool_bounds(input: Spec, indices: Spec, size: Ints) -> list[Bound]:
    """What the indices may hold: places in the volume that each channel has."""
    volume = "x".join(map(str, size if len(size) > 1 else (*size, 1)))

    def check(index: Any) -> None:
        wrong = (index < 0) | (index >= prod(size))
        if wrong.any():
            raise RuntimeError(f"Found an invalid max index: {index[wrong].flat[0]} (output "
                               f"volumes are of size {volume})")  # fmt: skip

    return [Bound("indices", 0, prod(size), check)]


def unpool_grad(g: Any, indices: Any, call: Any) -> Any:
    dims = len(call.size)
    taken = flattened(g, dims).gather(-1, flattened(indices, dims))
    return taken.reshape(call.input.size)


def unpool_row(dims: int) -> Op:
    return composite(
        f"_max_unpool{dims}d(input, indices, size)",
        public="",
        node=f"MaxUnpool{dims}DBackward0",
        shape=unpool_shape,
        expand=unpool_expand,
        bounds=unpool_bounds,
        grad=dict(input=unpool_grad),
        samples=no_samples,  # see tests/nn/test_layers_of_images.py
        may_fail=True,
    )


MAX_UNPOOL: dict[int, Any] = {dims: function_of(unpool_row(dims)) for dims in (2, 3)}
