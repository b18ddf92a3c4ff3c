"""Differences of neighbours, and integrals by the trapezoidal rule."""

from __future__ import annotations

from typing import Any

from flambeau.filling import fill
from flambeau.ir import dtype as dt
from flambeau.ops.rules import many_dims, one_dim
from flambeau.tensor import Tensor

# ------------------------------------------------------------------ differences


def diff(input: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None, *,
         out: Any = None) -> Any:  # fmt: skip
    """The n-th differences of neighbours along dim; of truth values, whether they differ."""
    if not input.ndim:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    dim = one_dim(dim, input.ndim)
    for other in (prepend, append):
        if other is not None:
            check_joins(input, other, dim)
    if n == 0:
        return input.clone() if out is None else fill("diff", input, out)
    parts = [x for x in (prepend, input, append) if x is not None]
    if len(parts) > 1:
        from flambeau import cat

        input = cat(parts, dim)
    size = input._spec.size[dim]
    for k in range(min(n, size)):
        left, right = (input.narrow(dim, start, size - 1 - k) for start in (0, 1))
        input = right.logical_xor(left) if input.dtype is dt.bool_ else right - left
    return fill("diff", input, out, exactly=input.dtype is dt.bool_)


def check_joins(input: Any, other: Any, dim: int) -> None:
    """What stands before or behind has the same size but along dim."""
    if other.ndim != input.ndim:
        raise RuntimeError("diff expects prepend or append to be the same dimension as input")
    for d, (n, m) in enumerate(zip(input._spec.size, other._spec.size)):
        if n != m and d != dim:
            raise RuntimeError("diff expects the shape of tensor to prepend or append to match "
                               "that of input except along the differencing dimension; input.size"
                               f"({d}) = {n}, but got tensor.size({d}) = {m}")  # fmt: skip


def gradient(input: Any, *, spacing: Any = None, dim: Any = None, edge_order: int = 1) -> Any:
    """Estimates of derivatives along dims: central differences of second order inside, one-sided
    ones of `edge_order` at the ends (after B. Fornberg, Mathematics of Computation 51, 1988)."""
    many = isinstance(spacing, (tuple, list))
    if isinstance(spacing, Tensor):
        if spacing.ndim:
            raise TypeError("gradient(): argument 'spacing' must be a number or a tuple of numbers "
                            "or of tensors, not Tensor")  # fmt: skip
        spacing = spacing.item()
    check_gradient(input, spacing, dim, edge_order)
    dims = [one_dim(d, input.ndim) for d in (dim if isinstance(dim, (tuple, list)) else
            range(input.ndim) if dim is None else (dim,))]  # fmt: skip
    steps = spacing if many else [1.0 if spacing is None else spacing] * len(dims)
    return tuple(along(input, step, d, edge_order) for step, d in zip(steps, dims))


def check_gradient(input: Any, spacing: Any, dim: Any, edge_order: int) -> None:
    """Raises RuntimeError for what PyTorch refuses."""
    if input.dtype is dt.uint8:
        raise RuntimeError("torch.gradient does not support uint8 input.")
    many_dims(dim, input.ndim)
    count = input.ndim if dim is None else len(dim) if isinstance(dim, (tuple, list)) else 1
    if isinstance(spacing, (tuple, list)):
        if len(spacing) != count:
            given = ("'self.dim() = {}', since dim argument was not given" if dim is None
                     else "'dim.size() = {}'").format(count)  # fmt: skip
            raise RuntimeError("torch.gradient expected spacing to be unspecified, a scalar, or a "
                               f"list of length equal to {given}, but got a list of length "
                               f"{len(spacing)}")  # fmt: skip
        for step in spacing:
            if isinstance(step, Tensor) and step.ndim != 1:
                raise RuntimeError("torch.gradient expected each element of spacing to have one "
                                   f"dimension, but got an element with {step.ndim} "
                                   "dimensions!")  # fmt: skip
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    dims = range(input.ndim) if dim is None else dim if isinstance(dim, (tuple, list)) else (dim,)
    if any(input._spec.size[d] < edge_order + 1 for d in dims if input.ndim):
        raise RuntimeError("torch.gradient expected each dimension size to be at least "
                           "edge_order+1")  # fmt: skip


def along(x: Any, step: Any, dim: int, edge_order: int) -> Any:
    """The estimate along one dim, at even steps or at given places."""
    from flambeau import cat

    n = x._spec.size[dim]

    def at(start: int, count: int = 1) -> Any:
        return x.narrow(dim, start % n, count)

    if isinstance(step, Tensor):
        return at_places(x, step, dim, edge_order)
    inside = (at(2, n - 2) - at(0, n - 2)) / (2 * step)
    if edge_order == 1:
        first, last = (at(1) - at(0)) / step, (at(-1) - at(-2)) / step
    else:
        first = (at(0) * -1.5 + at(1) * 2 - at(2) * 0.5) / step
        last = (at(-1) * 1.5 - at(-2) * 2 + at(-3) * 0.5) / step
    return cat([first, inside, last], dim)


def at_places(x: Any, places: Any, dim: int, edge_order: int) -> Any:
    """The same for steps of any size."""
    from flambeau import cat

    n = x._spec.size[dim]
    shape = (-1,) + (1,) * (x.ndim - dim - 1)
    h = diff(places).reshape(shape)  # the step behind each place

    def at(start: int, count: int = 1) -> Any:
        return x.narrow(dim, start % n, count)

    a, b = h[:-1], h[1:]
    inside = (at(0, n - 2) * (-b / (a * (a + b))) + at(1, n - 2) * ((b - a) / (a * b))
              + at(2, n - 2) * (a / (b * (a + b))))  # fmt: skip
    if edge_order == 1:
        first, last = (at(1) - at(0)) / h[:1], (at(-1) - at(-2)) / h[-1:]
    else:
        a, b = h[:1], h[1:2]
        first = (at(0) * (-(2 * a + b) / (a * (a + b))) + at(1) * ((a + b) / (a * b))
                 - at(2) * (a / (b * (a + b))))  # fmt: skip
        a, b = h[-2:-1], h[-1:]
        last = (at(-3) * (b / (a * (a + b))) - at(-2) * ((a + b) / (a * b))
                + at(-1) * ((a + 2 * b) / (b * (a + b))))  # fmt: skip
    return cat([first, inside, last], dim)


# ------------------------------------------------------------------ integrals


def trapezoid(y: Any, x: Any = None, *, dx: Any = None, dim: int = -1) -> Any:
    """The integral along dim by the trapezoidal rule, at places x or at steps of dx."""
    steps, dim = heights("trapezoid", y, x, dx, dim)
    return steps.sum(dim) if x is not None else steps.sum(dim) * (1 if dx is None else dx)


def cumulative_trapezoid(y: Any, x: Any = None, *, dx: Any = None, dim: int = -1) -> Any:
    """The running integral along dim by the trapezoidal rule."""
    steps, dim = heights("cumulative_trapezoid", y, x, dx, dim)
    return steps.cumsum(dim) if x is not None else steps.cumsum(dim) * (1 if dx is None else dx)


def heights(name: str, y: Any, x: Any, dx: Any, dim: int) -> tuple[Any, int]:
    """The means of neighbours, times their distances where these are given."""
    if x is not None and dx is not None:
        raise TypeError(f"{name}() received an invalid combination of arguments - got (Tensor, "
                        f"Tensor, dx={type(dx).__name__})")  # fmt: skip
    if not y.ndim:
        one_dim(dim, 0)
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    dim = one_dim(dim, y.ndim)
    if y.dtype is dt.bool_ or x is not None and x.dtype is dt.bool_:
        which = "`y`" if x is None else "`x` or `y`"
        raise RuntimeError(f"{name}: received a bool input for {which}, but bool is not supported")
    n = y._spec.size[dim]
    if not n:
        return y, dim
    means = (y.narrow(dim, 0, n - 1) + y.narrow(dim, 1, n - 1)) / 2.0
    if x is None:
        return means, dim
    if x.ndim == 1:
        if x._spec.size[0] != n:
            raise RuntimeError(f"{name}: There must be one `x` value for each sample point")
        x = x.reshape((-1,) + (1,) * (y.ndim - dim - 1))
        return means * diff(x, 1, 0), dim
    if x.ndim < y.ndim:
        x = x.reshape((1,) * (y.ndim - x.ndim) + x._spec.size)
    return means * diff(x, 1, dim), dim  # dims are counted from y's front, as in PyTorch


METHODS = ["diff"]
PUBLIC = """diff gradient trapezoid cumulative_trapezoid trapz""".split()
trapz = trapezoid
