"""Views as copies (`expand_copy`), and copies in which a view is written (`select_scatter`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau import complexes, parting, viewing
from flambeau.filling import fill
from flambeau.indexing import cut
from flambeau.ops.rules import one_dim
from flambeau.viewing import whole

# ------------------------------------------------------------------ a view, copied


def solid(x: Any) -> Any:
    """A row-major copy."""
    return x.clone(memory_format="torch.contiguous_format")


def copied(name: str, view: Callable[..., Any]) -> Callable[..., Any]:
    """`view` with memory of its own, or in `out`."""

    def function(input: Any, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        return fill(name, solid(view(input, *args, **kwargs)), out)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"What `{name.removesuffix('_copy')}` shows, as a copy."
    return function


def all_copied(name: str, views: Callable[..., Any]) -> Callable[..., Any]:
    """Several views with memory of their own, or in the tensors of `out`."""

    def function(input: Any, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        parts = tuple(map(solid, views(input, *args, **kwargs)))
        if out is None:
            return parts
        if len(out) != len(parts):
            raise RuntimeError(f"{name}_out() expected an out= argument of size {len(parts)}, got "
                               f"size {len(out)}")  # fmt: skip
        for target, part in zip(out, parts):
            fill(name, part, target)
        return None

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"What `{name.removesuffix('_copy')}` shows, as copies."
    return function


def slice_of(input: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    """input[start:end:step] along a dim."""
    if not input.ndim:
        raise RuntimeError("slice() cannot be applied to a 0-dim tensor.")
    if step <= 0:
        raise RuntimeError("slice step must be positive")
    return cut(input, one_dim(dim, input.ndim), slice(start, end, whole(step)))


def narrow_of(input: Any, dim: int, start: int, length: int) -> Any:
    """narrow, which as a copy has another error for a dim that is not there."""
    if dim >= input.ndim > 0:
        raise RuntimeError(f"Expected dim < {input.ndim} to be true, but got dim = {dim}")
    return parting.narrow(input, dim, start, length)


def view_of(input: Any, size: Any = None, dtype: Any = None) -> Any:
    """The same elements in another shape, or the same bytes as another dtype."""
    return viewing.view(input, dtype=dtype) if size is None else viewing.view(input, size)


VIEWS: dict[str, Callable[..., Any]] = {
    "alias": lambda input: input,
    "as_strided": viewing.as_strided,
    "detach": lambda input: input.detach(),
    "diagonal": parting.diagonal,
    "expand": lambda input, size, *, implicit=False: viewing.expand(input, size),
    "narrow": narrow_of,
    "permute": lambda input, dims: viewing.permute(input, dims),
    "select": parting.select,
    "slice": slice_of,
    "squeeze": viewing.squeeze,
    "t": viewing.t,
    "transpose": viewing.transpose,
    "unfold": parting.unfold,
    "unsqueeze": viewing.unsqueeze,
    "view": view_of,
    "view_as_complex": complexes.view_as_complex,
    "view_as_real": complexes.view_as_real,
}
SEVERAL: dict[str, Callable[..., Any]] = {
    "split": parting.split,
    "split_with_sizes": parting.split_with_sizes,
    "unbind": parting.unbind,
}
for _name, _view in VIEWS.items():
    globals()[f"{_name}_copy"] = copied(f"{_name}_copy", _view)
for _name, _view in SEVERAL.items():
    globals()[f"{_name}_copy"] = all_copied(f"{_name}_copy", _view)

# ------------------------------------------------------------------ a copy with a view written


def with_view(name: str, input: Any, src: Any, view: Callable[[Any], Any], out: Any = None) -> Any:
    """A copy of the input, with its strides, in which a view is the source."""
    copy = input.clone()
    target = view(copy)
    if tuple(target.shape) != tuple(src.shape):
        raise RuntimeError("expected src to have a size equal to the slice of self. src size = "
                           f"{list(src.shape)}, slice size = {list(target.shape)}")  # fmt: skip
    target.copy_(src)
    return fill(name, copy, out)


def select_scatter(input: Any, src: Any, dim: int, index: int, *, out: Any = None) -> Any:
    """A copy of the input in which one index along a dim is the source."""
    return with_view("select_scatter", input, src, lambda x: parting.select(x, dim, index), out)


def slice_scatter(
    input: Any, src: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1, *,
    out: Any = None,
) -> Any:  # fmt: skip
    """A copy of the input in which a slice along a dim is the source."""
    return with_view("slice_scatter", input, src, lambda x: slice_of(x, dim, start, end, step), out)


def diagonal_scatter(
    input: Any, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1, *, out: Any = None
) -> Any:
    """A copy of the input in which a diagonal is the source."""
    return with_view(
        "diagonal_scatter", input, src, lambda x: parting.diagonal(x, offset, dim1, dim2), out
    )


def as_strided_scatter(
    input: Any, src: Any, size: Any, stride: Any, storage_offset: Any = None, *, out: Any = None
) -> Any:
    """A copy of the input in which the elements that as_strided shows are the source."""
    return with_view(
        "as_strided_scatter", input, src,
        lambda x: viewing.as_strided(x, size, stride, storage_offset), out,
    )  # fmt: skip


METHODS = "select_scatter slice_scatter diagonal_scatter as_strided_scatter".split()
PUBLIC = [*METHODS, *(f"{name}_copy" for name in (*VIEWS, *SEVERAL))]
METHODS += ["narrow_copy"]
