"""Pools as nn.functional and torch have them; the rows are in ops/pool.py and its neighbours.

Pools in one dim are pools in two with a height of 1.
"""

from __future__ import annotations

from typing import Any

from flambeau.ops.pool_sizes import pool_arguments
from flambeau.ops.window_max import MAX_UNPOOL, WINDOW_MAX
from flambeau.resizing import area_tables, constant, resample
from flambeau.tensor import FUNCTIONS

# ------------------------------------------------------------------ one dim as two


def first(x: Any) -> Any:
    """The one int of a setting of one dim."""
    return x[0] if isinstance(x, (tuple, list)) and len(x) == 1 else x


def flat(name: str, what: str, x: Any, other: int) -> Any:
    """A setting of one dim for two: `other` for the height."""
    if isinstance(x, (tuple, list)):
        if len(x) != 1:
            raise RuntimeError(f"{name}() {what} must be an int or a tuple of one int, not "
                               f"{tuple(x)}")  # fmt: skip
        (x,) = x
    return (other, x)


def check_1d(name: str, input: Any) -> None:
    if input.ndim not in (2, 3):
        raise RuntimeError(f"{name}() Expected 2D or 3D input tensor, but got {list(input.shape)}")


# ------------------------------------------------------------------ max pools


def with_indices(input: Any, dims: int, kernel_size: Any, stride: Any, padding: Any,
                 dilation: Any, ceil_mode: Any) -> tuple[Any, Any]:  # fmt: skip
    """Values, and the positions that they come from."""
    name = f"max_pool{dims}d"
    given = (kernel_size, stride, padding, dilation)
    values, taps = FUNCTIONS[f"_{name}"](input, *given, ceil_mode)
    size = tuple(input.shape[-dims:])
    return values, FUNCTIONS["_max_pool_indices"](taps, size, *pool_arguments(name, dims, *given))


def _max_pool(dims: int) -> Any:
    """max_pool2d or max_pool3d."""
    row = FUNCTIONS[f"_max_pool{dims}d"]

    def function(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False,
                 return_indices=False):  # fmt: skip
        if return_indices:
            return with_indices(input, dims, kernel_size, stride, padding, dilation, ceil_mode)
        return row(input, kernel_size, stride, padding, dilation, ceil_mode)[0]

    function.__name__ = function.__qualname__ = f"max_pool{dims}d"
    function.__doc__ = f"The largest element of every window, in {dims} dims."
    return function


max_pool2d, max_pool3d = _max_pool(2), _max_pool(3)


def max_pool1d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False,
               return_indices=False):  # fmt: skip
    """The largest element of every window along the last dim."""
    name = "max_pool1d"
    check_1d(name, input)
    if input.dtype.kind != "f" and not return_indices:
        kind = input.dtype.legacy
        raise NotImplementedError(f"\"max_pool1d_impl\" not implemented for '{kind}'")
    stride = None if stride is None or stride in ((), []) else flat(name, "stride", stride, 1)
    out = max_pool2d(input.unsqueeze(-2), flat(name, "kernel_size", kernel_size, 1), stride,
                     flat(name, "padding", padding, 0), flat(name, "dilation", dilation, 1),
                     ceil_mode, return_indices)  # fmt: skip
    return tuple(x.squeeze(-2) for x in out) if return_indices else out.squeeze(-2)


def _indexed(pool: Any) -> Any:
    """A max pool that gives indices too."""

    def function(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False,
                 return_indices=True):  # fmt: skip
        return pool(input, kernel_size, stride, padding, dilation, ceil_mode, True)

    function.__name__ = function.__qualname__ = f"{pool.__name__}_with_indices"
    function.__doc__ = f"{pool.__name__}, and the positions of the elements."
    return function


max_pool1d_with_indices, max_pool2d_with_indices, max_pool3d_with_indices = map(
    _indexed, (max_pool1d, max_pool2d, max_pool3d)
)

# ------------------------------------------------------------------ average pools


def avg_pool1d(input, kernel_size, stride=None, padding=0, ceil_mode=False,
               count_include_pad=True):  # fmt: skip
    """The average of every window along the last dim."""
    name = "avg_pool1d"
    check_1d(name, input)
    stride = None if stride is None or stride in ((), []) else flat(name, "stride", stride, 1)
    out = FUNCTIONS["avg_pool2d"](
        input.unsqueeze(-2), flat(name, "kernel_size", kernel_size, 1), stride,
        flat(name, "padding", padding, 0), ceil_mode, count_include_pad,
    )  # fmt: skip
    return out.squeeze(-2)


def _lp_pool(dims: int, average: Any) -> Any:
    """lp_pool1d, 2d or 3d."""

    def function(input, norm_type, kernel_size, stride=None, ceil_mode=False):
        count = 1
        for k in kernel_size if isinstance(kernel_size, (tuple, list)) else (kernel_size,) * dims:
            count *= k
        mean = average(input.pow(norm_type), kernel_size, stride, 0, ceil_mode)
        return (mean.sign() * mean.abs().relu()).mul(count).pow(1.0 / norm_type)

    function.__name__ = function.__qualname__ = f"lp_pool{dims}d"
    function.__doc__ = "The p-th root of the sum of p-th powers in every window."
    return function


lp_pool1d, lp_pool2d, lp_pool3d = (
    _lp_pool(dims, average) for dims, average in
    ((1, avg_pool1d), (2, FUNCTIONS["avg_pool2d"]), (3, FUNCTIONS["avg_pool3d"]))
)  # fmt: skip

# ------------------------------------------------------------------ adaptive pools


def wanted_size(name: str, input: Any, output_size: Any, dims: int) -> tuple[int, ...]:
    """The size that is asked for; None keeps a dim."""
    many = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * dims
    if len(many) == 1:
        many = tuple(many) * dims
    if len(many) != dims:
        raise RuntimeError(f"{name}: output_size must be {dims}")
    have = tuple(input.shape[-dims:]) if input.ndim >= dims else (0,) * dims
    return tuple(n if m is None else int(m) for n, m in zip(have, many))


def check_adaptive(name: str, input: Any, size: tuple[int, ...], dims: int) -> None:
    """Sizes and ranks."""
    if min(size) < 0:
        given = ", ".join(map(str, size))
        raise RuntimeError(f"{name}: elements of output_size must be greater than or equal to 0 "
                           f"but received {{{given}}}")  # fmt: skip
    if input.ndim <= dims:
        raise ValueError(f"Input dimension should be at least {dims + 1}")
    if input.ndim > dims + 2:
        raise RuntimeError(f"{name}(): Expected {dims + 1}D or {dims + 2}D tensor, but got "
                           f"{list(input.shape)}")  # fmt: skip
    for d in range(input.ndim - dims - 1 + (input.ndim == dims + 1), input.ndim):
        if input.shape[d] == 0 and not (input.ndim == dims + 2 and d == 0):
            raise RuntimeError(
                f"{name}(): Expected input to have non-zero size for non-batch dimensions, but "
                f"input has sizes {list(input.shape)} with dimension {d} being empty")  # fmt: skip


def _adaptive_avg_pool(dims: int) -> Any:
    """adaptive_avg_pool2d or 3d."""
    name = f"adaptive_avg_pool{dims}d"

    def function(input, output_size):
        size = wanted_size(name, input, output_size, dims)
        check_adaptive(name, input, size, dims)
        if all(n == 1 for n in size) and (dims == 3 or input.ndim >= 3):
            return input.mean(tuple(range(-dims, 0)), keepdim=True)
        if input.dtype.kind != "f":
            raise NotImplementedError(f"\"{name}\" not implemented for '{input.dtype.legacy}'")
        return resample(name, input, area_tables, size)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = "The averages of windows that cut the input into so many."
    return function


adaptive_avg_pool2d, adaptive_avg_pool3d = _adaptive_avg_pool(2), _adaptive_avg_pool(3)


def adaptive_avg_pool1d(input, output_size):
    """The averages of windows that cut the last dim into so many."""
    check_1d("adaptive_avg_pool1d", input)
    return adaptive_2d(adaptive_avg_pool2d, input, output_size)


def adaptive_2d(pool: Any, input: Any, output_size: Any) -> Any:
    """A pool of two dims for one; one height of 1 never goes by the mean of both."""
    size = first(output_size)
    if not isinstance(size, int):
        raise RuntimeError(f"adaptive pool of one dim: output_size must be 1, not {size}")
    return pool(input.unsqueeze(-2), (1, size)).squeeze(-2)


def _adaptive_max_pool(dims: int) -> Any:
    """adaptive_max_pool2d or 3d."""
    name = f"adaptive_max_pool{dims}d"

    def function(input, output_size, return_indices=False):
        size = wanted_size(name, input, output_size, dims)
        if min(size) < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {min(size)}: "
                               f"{[*input.shape[:-dims], *size]}")  # fmt: skip
        check_adaptive(name, input, size, dims)
        if input.dtype.kind != "f":
            raise NotImplementedError(f"\"{name}\" not implemented for '{input.dtype.legacy}'")
        windows = constant(adaptive_windows, tuple(input.shape[-dims:]), size)[0]
        values, indices = WINDOW_MAX[name](input, windows, size)
        return (values, indices) if return_indices else values

    function.__name__ = function.__qualname__ = name
    function.__doc__ = "The largest elements of windows that cut the input into so many."
    return function


def adaptive_windows(size: tuple[int, ...], wanted: tuple[int, ...]) -> Any:
    """[results, elements]: the positions that each result looks at; the last one repeats."""
    import numpy as np

    axes = []
    for n, m in zip(size, wanted):
        i = np.arange(m)
        start, end = i * n // max(m, 1), -(-(i + 1) * n // max(m, 1))
        longest = int((end - start).max()) if m else 1
        axes.append(np.minimum(start[:, None] + np.arange(longest), end[:, None] - 1))
    return (joined_positions(axes, size),)


def joined_positions(axes: Any, size: tuple[int, ...]) -> Any:
    """Positions along each dim, [results, elements] each → positions among all elements."""
    import numpy as np

    total = np.zeros((1, 1), np.int64)
    for axis, n in zip(axes, size):
        (m, taps), (rows, columns) = axis.shape, total.shape
        total = (total[:, None, :, None] * n + axis[None, :, None, :]).reshape(
            rows * m, columns * taps
        )
    return total


adaptive_max_pool2d, adaptive_max_pool3d = _adaptive_max_pool(2), _adaptive_max_pool(3)


def adaptive_max_pool1d(input, output_size, return_indices=False):
    """The largest elements of windows that cut the last dim into so many."""
    check_1d("adaptive_max_pool1d", input)
    size = first(output_size)
    if not isinstance(size, int):
        raise RuntimeError("adaptive_max_pool1d() argument 'output_size' should contain one int "
                           f"(got {len(size)})")  # fmt: skip
    found = adaptive_max_pool2d(input.unsqueeze(-2), (1, size), return_indices)
    return tuple(x.squeeze(-2) for x in found) if return_indices else found.squeeze(-2)


def _adaptive_indexed(pool: Any) -> Any:
    def function(input, output_size, return_indices=True):
        return pool(input, output_size, True)

    function.__name__ = function.__qualname__ = f"{pool.__name__}_with_indices"
    function.__doc__ = f"{pool.__name__}, and the positions of the elements."
    return function


(
    adaptive_max_pool1d_with_indices,
    adaptive_max_pool2d_with_indices,
    adaptive_max_pool3d_with_indices,
) = map(_adaptive_indexed, (adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d))

# ------------------------------------------------------------------ back from indices


def unpooled_size(given: Any, default: list[int], stride: Any, ndim: int) -> tuple[int, ...]:
    """The size to fill, which must be one that the pool could have come from."""
    if given is None:
        return tuple(default)
    dims = len(default)
    if len(given) == dims + 2:
        given = given[-dims:]
    if len(given) != dims:
        raise ValueError(f"output_size should be a sequence containing {dims} or {dims + 2} "
                         f"elements, but it has a length of '{len(given)}'")  # fmt: skip
    for d, (n, usual, s) in enumerate(zip(given, default, stride)):
        if not usual - s < n < usual + s:
            raise ValueError(f'invalid output_size "{tuple(given)}" (dim {d} must be between '
                             f"{usual - s} and {usual + s})")  # fmt: skip
    return tuple(int(n) for n in given)


def check_unpool(input: Any, indices: Any, dims: int) -> None:
    if indices.dtype.name != "int64":
        raise RuntimeError(
            f"elements in indices should be type int64 but got: {indices.dtype.legacy}"
        )
    if input.ndim not in (dims + 1, dims + 2):
        raise RuntimeError(f"Input to max_unpooling{dims}d should be a {dims + 1}d or {dims + 2}d "
                           f"Tensor, but got a tensor with {input.ndim} dimensions.")  # fmt: skip
    if input.shape != indices.shape:
        raise RuntimeError("Expected shape of indices to be same as that of the input tensor "
                           f"({list(input.shape)}) but got indices tensor with shape: "
                           f"{list(indices.shape)}")  # fmt: skip


def _max_unpool(dims: int) -> Any:
    """max_unpool1d, 2d or 3d."""
    name = f"max_unpool{dims}d"

    def function(input, indices, kernel_size, stride=None, padding=0, output_size=None):
        taps, steps, pad, _ = pool_arguments(name, dims, kernel_size, stride, padding, 1)
        default = [(n - 1) * s + k - 2 * p for n, k, s, p in
                   zip(input.shape[-dims:], taps, steps, pad)]  # fmt: skip
        size = unpooled_size(output_size, default, steps, input.ndim)
        check_unpool(input, indices, dims)
        if dims > 1:
            return MAX_UNPOOL[dims](input, indices, size)
        return MAX_UNPOOL[2](input.unsqueeze(-2), indices.unsqueeze(-2), (1, *size)).squeeze(-2)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = "Zeros, with the values at the positions that a max pool took them from."
    return function


max_unpool1d, max_unpool2d, max_unpool3d = map(_max_unpool, (1, 2, 3))
