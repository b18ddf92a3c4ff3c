"""What files and pickles of tensors call to make them again; the names are PyTorch's."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from typing import Any

from flambeau.creation import check_supported
from flambeau.ir import dtype as dt
from flambeau.ir.layout import extent, spec_of
from flambeau.storage import Face, TypedStorage, UntypedStorage, typed, untyped
from flambeau.tensor import Tensor, fresh
from flambeau.trace.storage import Storage

# ------------------------------------------------------------------ to be written


def parts(tensor: Any) -> Any:
    """The function and arguments that make a tensor again, without its class and attributes."""
    spec, plain = tensor._spec, tensor._spec.dtype.plain
    warn_of_hooks(tensor)
    view: Any = (tensor._offset, spec.size, spec.stride, tensor.requires_grad, OrderedDict())
    metadata = ({spec.dtype.lazy: True},) if spec.dtype.lazy else ()
    if plain in WITHOUT_CLASS:
        return _rebuild_tensor_v3, (untyped(tensor._storage), *view, plain, *metadata)
    return _rebuild_tensor_v2, (typed(tensor._storage, plain), *view, *metadata)


WITHOUT_CLASS = (dt.uint16, dt.uint32, dt.uint64, dt.complex32)


def warn_of_hooks(tensor: Any) -> None:
    """Hooks are no part of a file."""
    for hook in ((tensor._meta and tensor._meta.hooks) or {}).values():
        if not hasattr(hook, "__torch_unserializable__"):
            warnings.warn(f"backward hook {hook!r} on tensor will not be serialized.  If this is "
                          "expected, you can decorate the function with "
                          "@torch.utils.hooks.unserializable_hook to suppress this warning",
                          stacklevel=2)  # fmt: skip


def reduce_tensor(tensor: Any, protocol: Any = None) -> Any:
    """A tensor for pickle: its storage, its view of it, its class and attributes."""
    function, args = parts(tensor)
    state = get_state(tensor)
    if type(tensor) is Tensor and not state:
        return function, args
    return _rebuild_from_type_v2, (function, type(tensor), args, state)


def get_state(tensor: Any) -> Any:
    """What a tensor has beside its elements; None where that is nothing."""
    own = type(tensor).__dict__.get("__getstate__")
    return own(tensor) if own is not None else tensor.__dict__ or None


def reduce_parameter(parameter: Any, protocol: Any = None) -> Any:
    """A parameter for pickle: the plain tensor that it is, and its attributes."""
    args: Any = (parameter.data, parameter.requires_grad, OrderedDict())
    state = get_state(parameter)
    if not state:
        return _rebuild_parameter, args
    return _rebuild_parameter_with_state, (*args, state)


# ------------------------------------------------------------------ to be called by readers


def _rebuild_tensor(storage: Any, storage_offset: Any, size: Any, stride: Any) -> Any:
    """A view of a storage that knows its dtype."""
    if not isinstance(storage, TypedStorage):
        raise RuntimeError(f"expected a typed storage, but got {type(storage).__name__}")
    return view_of(storage._storage, storage.dtype, storage_offset, size, stride)


def _rebuild_tensor_v2(storage: Any, storage_offset: Any, size: Any, stride: Any,
                       requires_grad: Any, backward_hooks: Any,
                       metadata: Any = None) -> Any:  # fmt: skip
    """A leaf on a storage that knows its dtype; metadata: whether it reads conjugates."""
    out = _rebuild_tensor(storage, storage_offset, size, stride)
    return finished(out, requires_grad, metadata)


def _rebuild_tensor_v3(storage: Any, storage_offset: Any, size: Any, stride: Any,
                       requires_grad: Any, backward_hooks: Any, dtype: Any,
                       metadata: Any = None) -> Any:  # fmt: skip
    """A leaf on bytes; its dtype is told."""
    if not isinstance(storage, Face) or not isinstance(dtype, dt.DType):
        raise RuntimeError(f"expected a storage and a dtype, but got {type(storage).__name__} and "
                           f"{type(dtype).__name__}")  # fmt: skip
    out = view_of(storage._storage, dtype, storage_offset, size, stride)
    return finished(out, requires_grad, metadata)


def _rebuild_parameter(data: Any, requires_grad: Any, backward_hooks: Any) -> Any:
    """A Parameter on the memory of a tensor."""
    from flambeau.nn.parameter import Parameter

    if not isinstance(data, Tensor):
        raise RuntimeError(f"expected a tensor, but got {type(data).__name__}")
    return Parameter(data, requires_grad is True)


def _rebuild_parameter_with_state(data: Any, requires_grad: Any, backward_hooks: Any,
                                  state: Any) -> Any:  # fmt: skip
    """A Parameter with attributes."""
    return set_state(_rebuild_parameter(data, requires_grad, backward_hooks), state)


def _rebuild_from_type_v2(func: Any, new_type: Any, args: Any, state: Any) -> Any:
    """A tensor of a class, with attributes; func and args make the tensor."""
    out = func(*args)
    if not isinstance(new_type, type) or not issubclass(new_type, Tensor):
        raise RuntimeError(f"expected a class of tensors, but got {type(new_type).__name__}")
    if type(out) is not new_type:
        out = out.as_subclass(new_type)
    own = new_type.__dict__.get("__setstate__")
    if own is not None:
        own(out, state)
        return out
    return set_state(out, state)


def set_state(tensor: Any, state: Any) -> Any:
    """Give a tensor its attributes: a dictionary, or that and one of slots."""
    plain, slots = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
    if plain:
        tensor.__dict__.update(plain)
    for name, value in (slots or {}).items():
        setattr(tensor, name, value)
    return tensor


def view_of(storage: Storage, dtype: dt.DType, offset: Any, size: Any, stride: Any) -> Any:
    """A tensor on a storage; what lies outside is refused."""
    size, stride = whole_numbers(size), whole_numbers(stride)
    (offset,) = whole_numbers((offset,))
    if len(size) != len(stride):
        raise RuntimeError(f"mismatch in length of strides and shape: {list(stride)} for "
                           f"{list(size)}")  # fmt: skip
    spec, item = spec_of(size, stride, check_supported(dtype)), dtype.itemsize
    needed = (offset + extent(size, stride)) * item if 0 not in size else 0
    if needed > storage.nbytes or spec.numel >= 2**63 or offset >= 2**63:
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {offset}, "
            f"and itemsize {item} requiring a storage size of {needed} are out of bounds for "
            f"storage of size {storage.nbytes}"
        )
    out = fresh(storage, spec)
    out._offset = offset
    return out


def whole_numbers(values: Any) -> tuple[int, ...]:
    """Sizes as a tuple; what is negative or no number is refused."""
    if not isinstance(values, (tuple, list)) or len(values) > 64:
        raise RuntimeError(f"expected sizes, but got {type(values).__name__}")
    if any(type(n) is not int for n in values):
        raise RuntimeError("expected sizes that are whole numbers")
    if any(n < 0 or n >= 2**63 for n in values):
        raise RuntimeError("expected sizes from 0 to 2**63 - 1")
    return tuple(values)


def finished(out: Any, requires_grad: Any, metadata: Any) -> Any:
    """The lazy dtype that metadata names, and requires_grad."""
    if metadata is not None and type(metadata) is not dict:
        raise RuntimeError(f"expected metadata, but got {type(metadata).__name__}")
    for lazy, wanted in (metadata or {}).items():
        turned = out._spec.dtype.opposite
        if type(lazy) is not str or type(wanted) is not bool:
            raise RuntimeError("expected metadata that says 'conj' or 'neg' and True or False")
        if wanted and (turned is None or turned.lazy != lazy):
            raise RuntimeError(f"a tensor of {out._spec.dtype} cannot be read as '{lazy}'")
        if wanted:
            spec = out._spec
            out._spec = spec_of(spec.size, spec.stride, turned)
    return out.requires_grad_() if requires_grad is True else out


__all__ = ["UntypedStorage"]
