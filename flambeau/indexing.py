"""x[...] and x[...] = y: views where an index allows it, else gather and scatter calls.

Integers, slices, None, ... are views; index tensors are collected and recorded as one call. A mask
that is read needs its values, so it is looked at; a mask that is written through is not.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from flambeau.autograd import inplace
from flambeau.convert import copy_, fill_
from flambeau.ir import dtype as dt
from flambeau.ir.layout import Spec, broadcast_sizes
from flambeau.literal import tensor
from flambeau.ops import views
from flambeau.ops.declare import TABLE
from flambeau.parting import part
from flambeau.tensor import FUNCTIONS, Tensor, from_array
from flambeau.trace import recorder, sighting
from flambeau.trace.recorder import record_view
from flambeau.trace.views import one_element
from flambeau.viewing import expand, unsqueeze, view


def get(self: Any, index: Any) -> Any:
    """x[index]"""
    cls = index.__class__
    if cls is int:
        return choose(self, 0, index)
    if cls is slice:
        return cut(self, 0, index)
    if cls is tuple:
        kinds = set(map(type, index))
        if kinds <= BASIC:
            return walk(self, index, kinds)
    if (
        isinstance(index, Tensor)
        and index._spec.dtype is dt.int64
        and index._spec.size
        and self.ndim
    ):
        return FUNCTIONS["_index"](self, [index], (0,))
    seen, indices = apply(self, index)
    if not indices:
        return seen if seen is not self else whole_view(self)
    tensors, dims = ready(seen, indices)
    return FUNCTIONS["_index"](seen, tensors, dims)


def walk(x: Any, index: tuple[Any, ...], kinds: set[type]) -> Any:
    """Integers and slices, one dim after the other."""
    size = x._spec.size
    if len(index) > len(size):
        raise IndexError(f"too many indices for tensor of dimension {len(size)}")
    if slice not in kinds and len(index) == len(size) and not needs_grad(x):
        place = place_of(x._spec, index)
        if place is not None:
            return one_element(x, place)
    dim = 0
    for i in index:
        if i.__class__ is int:
            x = choose(x, dim, i)
        else:
            x = cut(x, dim, i) if i != ALL else x
            dim += 1
    return whole_view(x) if int not in kinds and index.count(ALL) == len(index) else x


def place_of(spec: Spec, index: tuple[Any, ...]) -> int | None:
    """Where an element lies, in a tensor that begins at 0; None where these are no such indices."""
    place = 0
    for i, n, step in zip(index, spec.size, spec.stride):
        if i.__class__ is not int or not -n <= i < n:
            return None
        place += i % n * step
    return place


ALL = slice(None)
BASIC = {int, slice}


def choose(x: Any, dim: int, index: int) -> Any:
    """One index along a dim, which goes."""
    spec = x._spec
    if not spec.size:
        raise IndexError(
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or "
            "`tensor.item<T>()` in C++ to convert a 0-dim tensor to a number"
        )
    n = spec.size[dim]
    if not -n <= index < n:
        raise IndexError(f"index {index} is out of bounds for dimension {dim} with size {n}")
    if len(spec.size) == 1 and not needs_grad(x):
        return one_element(x, index % n * spec.stride[0])
    return record_view(views.select, x, index % n, spec.stride[dim], dim)


def needs_grad(x: Any) -> bool:
    """Whether x is part of the graph of gradients; a write to what it views may have made it so."""
    if x._viewed is not None and inplace.stale(x):
        inplace.refresh_history(x)
    return x._spec.requires_grad


def cut(x: Any, dim: int, index: slice) -> Any:
    """A slice along a dim."""
    spec = x._spec
    if not spec.size:
        raise IndexError("slice() cannot be applied to a 0-dim tensor.")
    if index.step is not None and index.step.__index__() <= 0:
        raise ValueError("step must be greater than zero")
    start, stop, step = index.indices(spec.size[dim])
    length = (stop - start + step - 1) // step if start < stop else 0
    return record_view(views.slice_, x, start, spec.stride[dim], dim, length, step)


def whole_view(x: Any) -> Any:
    """x[...]: another tensor for the same elements."""
    return record_view(views.alias, x, None, 1, x._spec.size, x._spec.stride)


# ------------------------------------------------------------------ every form of index


def apply(x: Any, index: Any) -> tuple[Any, dict[int, Any]]:
    """Take the views that an index asks for; what is left are index tensors by dim."""
    items = parts_of(index)
    used = sum(dims_of(i) for i in items)
    if used > x.ndim:
        raise IndexError(f"too many indices for tensor of dimension {x.ndim}")
    indices: dict[int, Any] = {}
    dim = 0
    for i in items:
        if i is Ellipsis:
            dim += rest_of(x, dim, items)
        elif i is None:
            x, dim = unsqueeze(x, dim), dim + 1
        elif isinstance(i, slice):
            x, dim = (cut(x, dim, i) if i != ALL else x), dim + 1
        elif isinstance(i, (bool, np.bool_)):
            x = unsqueeze(x, dim)
            indices[dim], dim = from_array(np.array([0] * bool(i), np.int64), dt.int64), dim + 1
        elif isinstance(i, int):
            x = choose(x, dim, i)
        else:
            x, dim = by_tensor(x, dim, i, indices)
    return x, indices


def rest_of(x: Any, dim: int, items: list[Any]) -> int:
    """How many dims an ellipsis stands for."""
    at = next(n for n, i in enumerate(items) if i is Ellipsis)
    return x.ndim - dim - sum(dims_of(i) for i in items[at + 1 :])


def parts_of(index: Any) -> list[Any]:
    """An index as a list of int, slice, None, ..., bool and tensors."""
    items = list(index) if isinstance(index, tuple) or is_tuple(index) else [index]
    cleaned = [clean(i) for i in items]
    dots = [n for n, i in enumerate(cleaned) if i is Ellipsis]
    return [i for n, i in enumerate(cleaned) if n not in dots[1:]]  # later ones stand for no dims


def is_tuple(index: Any) -> bool:
    """A short list with anything but numbers in it counts as a tuple, for history's sake."""
    return (
        isinstance(index, list)
        and len(index) < 32
        and any(
            i is None or i is Ellipsis or isinstance(i, (list, tuple, slice, Tensor)) for i in index
        )
    )


def clean(i: Any) -> Any:
    """One entry of an index."""
    if i is None or i is Ellipsis or isinstance(i, (bool, int, slice, Tensor, np.bool_)):
        return i
    if isinstance(i, (list, tuple, range)):
        return empty_index() if not len(i) else tensor(i)
    if isinstance(i, np.ndarray):
        return tensor(i)
    if isinstance(i, str):
        raise TypeError("new(): invalid data type 'str'")
    if hasattr(i, "__index__"):
        return i.__index__()
    raise IndexError(
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables "
        f"are valid indices (got {type(i).__name__})"
    )


def empty_index() -> Any:
    return from_array(np.zeros(0, np.int64), dt.int64)


def dims_of(i: Any) -> int:
    """How many dims one entry uses up."""
    if isinstance(i, Tensor):
        return i.ndim if i._spec.dtype in MASKS else 1
    return int(isinstance(i, slice) or isinstance(i, int) and not isinstance(i, bool))


MASKS = (dt.bool_, dt.uint8)
INDICES = (dt.int64, dt.int32, *MASKS)


def by_tensor(x: Any, dim: int, i: Any, indices: dict[int, Any]) -> tuple[Any, int]:
    """An index tensor: an integer if it has no dims, a mask as one index a dim."""
    dtype = i._spec.dtype
    if dtype not in INDICES:
        raise IndexError("tensors used as indices must be long, int, byte or bool tensors")
    if not i.ndim and dtype in MASKS:
        x = unsqueeze(x, dim)
        indices[dim] = from_array(np.array([0] * bool(i), np.int64), dt.int64)
        return x, dim + 1
    if not i.ndim:
        return choose(x, dim, int(i)), dim
    if dtype in MASKS:
        check_mask(x, dim, i)
        indices[dim] = i
        return x, dim + i.ndim
    indices[dim] = i
    return x, dim + 1


def check_mask(x: Any, dim: int, mask: Any) -> None:
    if mask._spec.dtype is dt.uint8:
        warnings.warn(
            "indexing with dtype torch.uint8 is now deprecated, please use a dtype "
            "torch.bool instead.",
            stacklevel=6,
        )
    for d, n in enumerate(mask._spec.size):
        if n != x._spec.size[dim + d]:
            raise IndexError(
                f"The shape of the mask {list(mask._spec.size)} at index {d} does not match "
                f"the shape of the indexed tensor {list(x._spec.size)} at index {dim + d}"
            )


def ready(x: Any, indices: dict[int, Any]) -> tuple[list[Any], tuple[int, ...]]:
    """Index tensors and the dims they index; masks become the places where they are true."""
    tensors, dims = [], []
    for dim, i in indices.items():
        if i._spec.dtype in MASKS:
            for d, places in enumerate(np.nonzero(i._memory())):
                tensors.append(from_array(places, dt.int64))
                dims.append(dim + d)
        else:
            tensors.append(i)
            dims.append(dim)
    try:
        broadcast_sizes([t._spec.size for t in tensors])
    except RuntimeError:
        shapes = ", ".join(str(list(t._spec.size)) for t in tensors)
        raise IndexError(
            f"shape mismatch: indexing tensors could not be broadcast together with shapes {shapes}"
        ) from None
    return tensors, tuple(dims)


# ------------------------------------------------------------------ assignment


def put(self: Any, index: Any, value: Any) -> None:
    """x[index] = value"""
    value = assigned(value, self)
    if index.__class__ is int:
        return assign(choose(self, 0, index), value)
    if index.__class__ is slice and self._spec.size:
        return assign(cut(self, 0, index), value)
    seen, indices = apply(self, index)
    if not indices:
        return assign(seen, value)
    mask = one_mask(indices)
    if mask is not None and (not isinstance(value, Tensor) or value._spec.numel == 1):
        dim, where = mask
        return put_masked(seen, dim, where, value)
    value = value if isinstance(value, Tensor) else tensor(value, dtype=self._spec.dtype)
    tensors, dims = ready(seen, indices)
    recorder.record_write(TABLE["_index_put"], seen, seen, tensors, value, dims, False)
    return None


def assigned(value: Any, target: Any) -> Any:
    """What stands on the right of an assignment: a number or a tensor."""
    if isinstance(value, (Tensor, bool, int, float, complex)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    name = type(value).__name__
    raise TypeError(
        f"can't assign a {name if name != 'ndarray' else 'numpy.ndarray'} to a "
        f"torch.{target._spec.dtype.legacy}Tensor"
    )


def cast_to(value: Any, target: Any) -> Any:
    """A value in the target's type."""
    dtype = target._spec.dtype
    return value if value._spec.dtype is dtype else FUNCTIONS["cast"](value, dtype)


def assign(target: Any, value: Any) -> None:
    """A whole view becomes the value; leading dims of size 1 of the value do not count."""
    if not isinstance(value, Tensor):
        sighting.check_repeats(target._spec)
        fill_(target, value)
        return
    size = value._spec.size
    if not size and target._spec.size and value._storage is target._storage:
        value = value.clone()  # one element everywhere is read before anything is written
    if size == target._spec.size:
        copy_(target, value)
        return
    while size and size[0] == 1:
        size = size[1:]
    value = value if size == value._spec.size else view(value, size)
    copy_(target, expand(value, target._spec.size))


def one_mask(indices: dict[int, Any]) -> Any:
    """The only index, if it is a mask."""
    if len(indices) == 1:
        ((dim, i),) = indices.items()
        return (dim, i) if i._spec.dtype in MASKS else None
    return None


def put_masked(x: Any, dim: int, mask: Any, value: Any) -> None:
    """One value where a mask is true: nothing has to be looked at."""
    trailing = x.ndim - dim - mask.ndim
    if trailing:
        mask = (
            view(mask, (*mask._spec.size, *(1,) * trailing))
            if mask._spec.contiguous
            else (mask.reshape((*mask._spec.size, *(1,) * trailing)))
        )
    if isinstance(value, Tensor):
        value = cast_to(view(value, ()) if value.ndim else value, x)
    recorder.record_write(TABLE["put_where"], x, x, mask, value)


NAMED = {"__getitem__": get, "__setitem__": put, "_slice": part}
