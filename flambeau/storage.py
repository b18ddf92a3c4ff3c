"""Storages as objects: UntypedStorage, the bytes behind tensors, and TypedStorage, its elements.

Both are faces of the engine's Storage (trace/storage.py): what they read and write goes through a
tensor of bytes or of elements on the same memory, so that pending work is seen and done.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from flambeau.convert import grow, settle_writes
from flambeau.creation import get_default_dtype
from flambeau.device import CPU, check_device
from flambeau.ir import dtype as dt
from flambeau.ir.layout import spec_of
from flambeau.runtime.buffers import adopt, allocate
from flambeau.tensor import Tensor
from flambeau.trace import flush
from flambeau.trace.storage import Storage, new_storage
from flambeau.trace.tensor import assemble


def memory_of(nbytes: int) -> Storage:
    """New memory whose content nobody knows."""
    if nbytes < 0:
        raise RuntimeError(f"Storage size calculation overflowed with sizes=[{nbytes}]")
    return new_storage(nbytes, allocate(nbytes))


def elements(storage: Storage, dtype: dt.DType) -> Any:
    """All of a storage as a tensor of one dim."""
    return assemble(Tensor, storage, spec_of((storage.nbytes // dtype.itemsize,), (1,), dtype))


class Face:
    """What the two kinds of storage have in common."""

    _storage: Storage
    dtype: dt.DType
    device = CPU
    is_cuda = is_hpu = is_sparse = False

    def _elements(self) -> Any:
        return elements(self._storage, self.dtype)

    def data_ptr(self) -> int:
        """Its address."""
        flush.settle(self._storage)
        return self._storage.buffer.address if self._storage.nbytes else 0  # type: ignore[union-attr]

    @property
    def _cdata(self) -> int:
        return id(self._storage)

    def nbytes(self) -> int:
        """Its size in bytes."""
        return self._storage.nbytes

    def element_size(self) -> int:
        """How many bytes one element takes."""
        return self.dtype.itemsize

    def size(self) -> int:
        """How many elements it has."""
        return self._storage.nbytes // self.dtype.itemsize

    __len__ = size

    def tolist(self) -> list[Any]:
        """Its elements."""
        return self._elements().tolist()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())

    def _index(self, index: Any) -> int:
        size = self.size()
        if not -size <= index < size:
            raise IndexError(f"index {index} out of range for storage of size {size}")
        return index

    def __getitem__(self, index: Any) -> Any:
        return self._elements()[self._index(index)].item()

    def __setitem__(self, index: Any, value: Any) -> None:
        where = index if isinstance(index, slice) else self._index(index)
        self._elements()[where] = value

    def fill_(self, value: Any) -> Any:
        """The same element everywhere."""
        self._elements().fill_(value)
        return self

    def copy_(self, source: Any, non_blocking: bool | None = None) -> Any:
        """The elements of another storage of the same size, converted."""
        if source.size() != self.size():
            raise RuntimeError(f"size does not match, self was {self.nbytes()} bytes but src was "
                               f"{source.nbytes()} bytes")  # fmt: skip
        self._elements().copy_(source._elements())
        return self

    def _copied(self) -> Storage:
        copy = memory_of(self._storage.nbytes)
        elements(copy, dt.uint8).copy_(elements(self._storage, dt.uint8))
        return copy

    def is_shared(self) -> bool:
        """Whether other processes may share this memory."""
        return isinstance(self._storage.pin, Shared)

    def share_memory_(self) -> Any:
        """Move to memory that other processes may share."""
        share(self._storage)
        return self

    def is_pinned(self, device: Any = "cuda") -> bool:
        return False

    def cpu(self) -> Any:
        return self

    def cuda(self, device: Any = None, non_blocking: bool = False) -> Any:
        check_device("cuda")

    def _text(self, name: str, what: str) -> str:
        lines = "\n".join(f" {x}" for x in self.tolist()) or " "
        return f"{lines}\n[torch.storage.{name}({what}device=cpu) of size {self.size()}]"


class UntypedStorage(Face):
    """Memory as bytes: UntypedStorage(size), UntypedStorage(sequence of bytes)."""

    dtype = dt.uint8
    filename = None

    def __init__(self, data: Any = 0, *, device: Any = None) -> None:
        check_device(device)
        self._storage = content(data, dt.uint8, "torch.UntypedStorage()")

    def __getitem__(self, index: Any) -> Any:
        if not isinstance(index, slice):
            return super().__getitem__(index)
        start, stop, step = index.indices(self.size())
        if step != 1:
            raise RuntimeError(f"Trying to slice with a step of {step}, but only a step of "
                               "1 is supported")  # fmt: skip
        return untyped(cut(self._storage, start, max(stop - start, 0)))

    def clone(self) -> UntypedStorage:
        """A copy with memory of its own."""
        return untyped(self._copied())

    def new(self) -> UntypedStorage:
        return UntypedStorage()

    def resizable(self) -> bool:
        return not self._storage.pinned()

    def resize_(self, size: int) -> UntypedStorage:
        """Make it longer or shorter; what fits stays."""
        resize(self._storage, int(size))
        return self

    def type(self, dtype: Any = None, non_blocking: bool = False) -> Any:
        """The name of its type, or its bytes as elements of another."""
        return "torch.storage.UntypedStorage" if dtype is None else self._cast(dtype)

    def _cast(self, dtype: dt.DType) -> TypedStorage:
        return typed(self._elements().to(dtype)._storage, dtype)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UntypedStorage) and self._storage is other._storage

    def __hash__(self) -> int:
        return id(self._storage)

    def __repr__(self) -> str:
        return self._text("UntypedStorage", "")

    def __copy__(self) -> UntypedStorage:
        return self.clone()

    def __deepcopy__(self, memo: Any) -> UntypedStorage:
        from copy import deepcopy

        return untyped(deepcopy(self._storage, memo))

    def __reduce__(self) -> Any:
        return untyped, (self._storage,)


class _Kinds(type):
    """The class of torch.FloatStorage and its kin: isinstance() asks for the dtype."""

    dtype: dt.DType | None

    def __instancecheck__(cls, x: Any) -> bool:
        if cls.dtype is None:
            return type.__instancecheck__(cls, x)
        return type.__instancecheck__(TypedStorage, x) and x.dtype is cls.dtype


class TypedStorage(Face, metaclass=_Kinds):
    """Memory as elements of one dtype: TypedStorage(size), TypedStorage(sequence)."""

    dtype: Any = None

    def __new__(cls, *args: Any, wrap_storage: Any = None, dtype: Any = None,
                device: Any = None) -> Any:  # fmt: skip
        check_device(device)
        dtype = cls.dtype or dtype or get_default_dtype()
        if wrap_storage is not None:
            return typed(wrap_storage._storage, dtype)
        if len(args) > 1 or args and isinstance(args[0], Face):
            raise TypeError(
                f"<class 'torch.{cls.__name__}'>.__new__ received an invalid combination of "
                "arguments. Expected one of:\n * no arguments\n * (int size)\n * (Sequence data)"
                "\n * (*, UntypedStorage wrap_storage)"
            )
        return typed(content(args[0] if args else 0, dtype, f"torch.{cls.__name__}()"), dtype)

    @classmethod
    def from_buffer(cls, buffer: Any, byte_order: str = "native", **_: Any) -> Any:
        """A copy of the memory of bytes, which lie there in one order or the other."""
        orders: Any = {"native": "=", "little": "<", "big": ">"}
        if byte_order not in orders:
            raise ValueError(f"invalid byte_order '{byte_order}' (expected 'big' or 'little')")
        lying: Any = cls.dtype.numpy  # type: ignore[union-attr]
        data = np.frombuffer(buffer, lying.newbyteorder(orders[byte_order])).astype(lying)
        return cls(wrap_storage=UntypedStorage(data.view(np.uint8)))

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            raise RuntimeError("slices are only supported in UntypedStorage.__getitem__")
        if not isinstance(index, int):
            raise RuntimeError("can't index a <class 'torch.storage.TypedStorage'> with "
                               f"{type(index)}")  # fmt: skip
        return super().__getitem__(index)

    def untyped(self) -> UntypedStorage:
        """The same memory as bytes."""
        return untyped(self._storage)

    _untyped_storage = property(untyped)

    def clone(self) -> TypedStorage:
        """A copy with memory of its own."""
        return typed(self._copied(), self.dtype)

    def resize_(self, size: int) -> None:
        """Make it longer or shorter; what fits stays."""
        resize(self._storage, int(size) * self.dtype.itemsize)

    def resizable(self) -> bool:
        return not self._storage.pinned()

    def pickle_storage_type(self) -> str:
        """The name of the class that stands for it in files."""
        if self.dtype not in WITH_CLASS:
            raise KeyError(f"dtype {self.dtype} is not recognized")
        return f"{self.dtype.legacy}Storage"

    def type(self, dtype: Any = None, non_blocking: bool = False) -> Any:
        """The name of its type, or its elements converted to another."""
        return f"torch.{self.pickle_storage_type()}" if dtype is None else self._cast(dtype)

    def _cast(self, dtype: dt.DType) -> TypedStorage:
        return self if dtype is self.dtype else typed(self._elements().to(dtype)._storage, dtype)

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, TypedStorage) and self._storage is other._storage
        return same and self.dtype is other.dtype  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return id(self._storage)

    def __repr__(self) -> str:
        return self._text("TypedStorage", f"dtype={self.dtype}, ")

    def __copy__(self) -> TypedStorage:
        return self.clone()

    def __deepcopy__(self, memo: Any) -> TypedStorage:
        from copy import deepcopy

        return typed(deepcopy(self._storage, memo), self.dtype)

    def __reduce__(self) -> Any:
        return typed, (self._storage, self.dtype)


def caster(dtype: dt.DType) -> Any:
    """storage.float() and its like."""

    def cast(self: Any) -> TypedStorage:
        return self._cast(dtype)

    cast.__doc__ = f"Its elements as {dtype}."
    return cast


for _name in """float double half bfloat16 long int short char byte bool complex_float
        complex_double""".split():
    _legacy = {"char": "Char", "byte": "Byte", "bfloat16": "BFloat16",
               "complex_float": "ComplexFloat", "complex_double": "ComplexDouble"}  # fmt: skip
    _found = next(d for d in dt.ALL if d.legacy == _legacy.get(_name, _name.capitalize()))
    setattr(UntypedStorage, _name, caster(_found))
    setattr(TypedStorage, _name, caster(_found))


def untyped(storage: Storage) -> UntypedStorage:
    """A storage of the engine as bytes: the same object as long as somebody holds it."""
    out = _faces.get(id(storage))
    if out is None:
        out = _faces[id(storage)] = object.__new__(UntypedStorage)
        out._storage = storage
    return out


_faces: WeakValueDictionary[int, UntypedStorage] = WeakValueDictionary()


def typed(storage: Storage, dtype: dt.DType) -> TypedStorage:
    """A storage of the engine as elements."""
    out = object.__new__(TypedStorage)
    out._storage, out.dtype = storage, dtype
    return out


_warned: list[bool] = []


def warn_of_removal() -> None:
    """PyTorch's warning of typed storages, once in a process."""
    if not _warned:
        _warned.append(True)
        warnings.warn(
            "TypedStorage is deprecated. It will be removed in the future and UntypedStorage will "
            "be the only storage class. This should only matter to you if you are using storages "
            "directly.  To access UntypedStorage directly, use tensor.untyped_storage() instead of "
            "tensor.storage()",
            stacklevel=3,
        )


def content(data: Any, dtype: dt.DType, who: str) -> Storage:
    """Memory of a size, or with the elements of a sequence."""
    if isinstance(data, int):
        return memory_of(data * dtype.itemsize)
    if isinstance(data, (Tensor, Face)) or not hasattr(data, "__len__"):
        raise RuntimeError(f"{who}: Expected a sequence type, but got {type(data).__name__}")
    from flambeau.literal import tensor

    return tensor(data, dtype=dtype)._storage


def cut(storage: Storage, start: int, nbytes: int) -> Storage:
    """Some of a storage's bytes as a storage: both see what is written from now on."""
    from flambeau.sharing import Given, exporter_of

    settle_writes(elements(storage, dt.uint8))
    exporter = exporter_of(storage)
    buffer = adopt(storage.buffer.memory[start : start + nbytes], exporter)  # type: ignore[union-attr]
    part = new_storage(nbytes, buffer)
    part.pin = Given(exporter, None)
    return part


def resize(storage: Storage, nbytes: int) -> None:
    """Make a storage longer or shorter; what fits stays."""
    if nbytes > storage.nbytes:
        grow(elements(storage, dt.uint8), nbytes)
        return
    settle_writes(elements(storage, dt.uint8))
    storage.nbytes = nbytes


# ------------------------------------------------------------------ shared with other processes


class Shared:
    """The pin of memory that others may look at at any time: processes by its file, or DLPack."""

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptor = descriptor  # of the file, where it is ours

    def __del__(self, close: Any = os.close) -> None:
        if self.descriptor is not None:
            close(self.descriptor)

    def alive(self) -> bool:
        return True


def share(storage: Storage) -> None:
    """Move a storage to a file without a name, which other processes may map."""
    pin = storage.pin
    if not storage.nbytes or isinstance(pin, Shared) and pin.descriptor is not None:
        return
    if storage.pinned():
        raise RuntimeError("share_memory_(): others see this memory where it is now; "
                           "clone() the tensor first")  # fmt: skip
    import mmap

    settle_writes(elements(storage, dt.uint8))
    assert storage.buffer is not None
    descriptor = unnamed_file(storage.nbytes)
    mapping = mmap.mmap(descriptor, storage.nbytes)
    memory = np.frombuffer(mapping, np.uint8)
    memory[:] = storage.buffer.memory[: storage.nbytes]
    storage.buffer = adopt(memory, mapping)
    storage.pin = Shared(descriptor)


def unnamed_file(nbytes: int) -> int:
    """The descriptor of a file of this length, which is gone when nobody has it open."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("flambeau")
    else:
        import tempfile

        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, nbytes)
    return descriptor


# ------------------------------------------------------------------ the classes of each dtype

WITH_CLASS = (
    dt.float64, dt.float32, dt.float16, dt.bfloat16, dt.int64, dt.int32, dt.int16, dt.int8,
    dt.uint8, dt.bool_, dt.complex64, dt.complex128,
)  # fmt: skip
CLASSES = {
    f"{d.legacy}Storage": _Kinds(
        f"{d.legacy}Storage", (TypedStorage,), {"dtype": d, "__module__": "torch"}
    )
    for d in WITH_CLASS
}
globals().update(CLASSES)


def _load_from_bytes(data: bytes) -> Any:
    """What the bytes of a file hold: PyTorch's own pickles of storages say so."""
    import io

    from flambeau.serialization import load

    return load(io.BytesIO(data), weights_only=False)
