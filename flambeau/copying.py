"""Copies and pickles of tensors, and the ways to their storages."""

from __future__ import annotations

import copyreg
from typing import Any

import numpy as np

from flambeau.autograd import inplace
from flambeau.convert import grow
from flambeau.device import layout
from flambeau.ir import dtype as dt
from flambeau.ir.layout import contiguous_strides, spec_of
from flambeau.runtime.buffers import allocate
from flambeau.tensor import Tensor
from flambeau.trace import flush
from flambeau.trace.storage import Storage, new_storage
from flambeau.trace.tensor import Counter, assemble
from flambeau.trace.trie import here


def reduce_storage(storage: Storage) -> Any:
    """A storage as its bytes; several tensors on one storage stay together."""
    stretch = storage.stretch
    if stretch is not None and stretch.state.depth:
        flush.flush(stretch)
    flush.settle_all(storage)
    assert storage.buffer is not None
    return storage_from, (storage.buffer.memory[: storage.nbytes].tobytes(),)


def storage_from(data: bytes) -> Storage:
    """The storage that bytes stand for."""
    buffer = allocate(len(data))
    buffer.memory[: len(data)] = np.frombuffer(data, np.uint8)
    return new_storage(len(data), buffer)


def reduce_layout(it: layout) -> Any:
    """A layout as its name."""
    from flambeau.serialization import _get_layout

    return _get_layout, (repr(it),)


copyreg.pickle(Storage, reduce_storage)
copyreg.pickle(layout, reduce_layout)


def reduce_ex(self: Any, protocol: Any = None) -> Any:
    """A tensor for pickle: its storage, its view of it, its attributes; not its history."""
    from flambeau._utils import reduce_tensor

    return reduce_tensor(self)


def deepcopy(self: Any, memo: Any) -> Any:
    """A copy with memory of its own; tensors that shared memory share it again."""
    from copy import deepcopy as copy

    if id(self) in memo:
        return memo[id(self)]
    if self._edge is not None:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy "
            "protocol at the moment.  If you were attempting to deepcopy a module, this may be "
            "because of a torch.nn.utils.weight_norm usage, see "
            "https://github.com/pytorch/pytorch/pull/103001"
        )
    if self._spec.dtype.lazy:
        out = self.detach().clone().requires_grad_(self.requires_grad)
    else:
        out = assemble(type(self), copy(self._storage, memo), self._spec, self._offset)
    memo[id(self)] = out
    out.__dict__.update(copy(dict(self.__dict__), memo))
    if self._meta is not None and self._meta.grad is not None:
        out._made_meta().grad = copy(self._meta.grad, memo)
    return out


def as_subclass(self: Any, cls: type) -> Any:
    """The same tensor as an object of a class of tensors; its history goes on."""
    if not isinstance(cls, type) or not issubclass(cls, Tensor):
        raise TypeError(
            "Creating a Tensor subclass from a class that does not inherit from Tensor is not "
            "possible. Make sure your class inherits from Tensor."
        )
    out = self.view(self.shape) if self.requires_grad else self.detach()
    out.__class__ = cls
    return out


def make_subclass(cls: type, data: Any, require_grad: bool = False) -> Any:
    """An object of a class of tensors on the memory of `data`, without its history."""
    return as_subclass(data.detach(), cls).requires_grad_(require_grad)


def data_ptr(self: Any) -> int:
    """The address of the first element."""
    flush.settle(self._storage)
    return self._storage.buffer.address + self._offset * self.itemsize if self._spec.numel else 0


def untyped_storage(self: Any) -> Any:
    """The memory that the tensor is a view of, as bytes."""
    from flambeau.storage import untyped

    return untyped(self._storage)


def storage(self: Any) -> Any:
    """The memory that the tensor is a view of, as elements; deprecated, with PyTorch's warning."""
    from flambeau.storage import typed, warn_of_removal

    warn_of_removal()
    return typed(self._storage, self.dtype)


def set_(
    self: Any, source: Any = None, storage_offset: int = 0, size: Any = None, stride: Any = None
) -> Any:
    """Become a view of other memory: a tensor's, or a storage's from some element on.

    Raises RuntimeError for another dtype and for what lies outside of the storage.
    """
    inplace.check_write(self)
    dtype = self._spec.dtype
    storage, offset, spec = place_of(self, source, storage_offset, size, stride)
    if spec.dtype is not dtype:
        raise RuntimeError(f"Could not set tensor of type {C_NAMES[spec.dtype]} to a tensor of "
                           f"type {C_NAMES[dtype]}")  # fmt: skip
    self._storage, self._offset, self._stretch = storage, offset, None
    self._spec = spec.with_grad(self._spec.requires_grad)
    version = self._counter().version
    self._made_meta().counter = Counter()
    self._made_meta().counter.version = version + 1
    here.stretch.walk = False  # a backward that was walked before read other memory
    return self


def place_of(self: Any, source: Any, offset: int, size: Any, stride: Any) -> Any:
    """The storage, offset and spec that set_ asks for."""
    from flambeau.storage import Face, TypedStorage

    dtype = self._spec.dtype
    if source is None:
        return new_storage(0, allocate(0)), 0, spec_of((0,), (1,), dtype)
    if isinstance(source, Tensor) and size is None:
        return source._storage, source._offset, source._spec
    if not isinstance(source, (Tensor, Face)):
        raise TypeError("set_(): argument 'source' must be Tensor or Storage, not "
                        f"{type(source).__name__}")  # fmt: skip
    storage = source._storage
    if isinstance(source, (Tensor, TypedStorage)):
        dtype = source.dtype
    if size is None:
        size = (storage.nbytes // dtype.itemsize,)
    size = tuple(size)
    stride = contiguous_strides(size) if stride is None else tuple(stride)
    spec = spec_of(size, stride, dtype)
    if spec.numel:
        grow(assemble(Tensor, storage, spec, offset), (offset + spec.extent) * dtype.itemsize)
    return storage, offset, spec


C_NAMES = {
    dtype: {"Long": "long int", "Byte": "unsigned char", "Char": "signed char", "Short": "short",
            "BFloat16": "c10::BFloat16", "Half": "c10::Half", "ComplexFloat": "c10::complex<float>",
            "ComplexDouble": "c10::complex<double>"}.get(dtype.legacy, dtype.legacy.lower())
    for dtype in dt.ALL
}  # fmt: skip


def is_shared(self: Any) -> bool:
    """Whether processes forked from now on share the tensor's memory."""
    return untyped_storage(self).is_shared()


def share_memory_(self: Any) -> Any:
    """Move the tensor's memory to where processes forked from now on share it."""
    untyped_storage(self).share_memory_()
    return self


METHODS = "as_subclass set_ data_ptr untyped_storage storage is_shared share_memory_".split()
NAMED = {
    "__reduce_ex__": reduce_ex,
    "__deepcopy__": deepcopy,
    "_make_subclass": staticmethod(make_subclass),
}
