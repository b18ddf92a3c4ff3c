"""Memory shared with NumPy: numpy(), from_numpy, as_tensor.

While an array that shares a tensor's memory may be alive the storage is *pinned*: work on it is
done at once, so both sides always see each other's writes (trace/recorder.py looks at the pin).
"""

from __future__ import annotations

import ctypes
import sys
import warnings
import weakref
from typing import Any

import numpy as np

from flambeau.convert import settle_writes, to
from flambeau.device import check_device
from flambeau.ir import dtype as dt
from flambeau.ir.layout import extent, spec_of
from flambeau.literal import check_array, numpy_dtype, tensor
from flambeau.runtime.buffers import Buffer, adopt
from flambeau.tensor import Tensor, fresh, from_array
from flambeau.trace.storage import Storage, new_storage

# ------------------------------------------------------------------ pins


class Exporter:
    """What every array over a tensor's memory descends from: alive as long as one of them is."""

    __slots__ = ("__array_interface__", "buffer", "__weakref__")
    __array_interface__: dict[str, Any]
    buffer: Buffer


class Given:
    """The pin of memory that was given to NumPy."""

    def __init__(self, exporter: Exporter, before: Any) -> None:
        self.exporter, self.before = weakref.ref(exporter), before

    def alive(self) -> bool:
        """Whether an array over this memory exists."""
        if self.exporter() is not None:
            return True
        return self.before is not None and self.before.alive()


class Taken:
    """The pin of memory that NumPy owns: the array that was given, and what it is a view of."""

    def __init__(self, array: Any) -> None:
        self.chain = [array]
        while (owner := owner_of(self.chain[-1])) is not None:
            self.chain.append(owner)
        self.alone = [ALONE + (i > 0) for i in range(len(self.chain))]

    def alive(self) -> bool:
        """Whether somebody else holds one of the arrays."""
        chain = self.chain
        return any(sys.getrefcount(chain[i]) > self.alone[i] for i in range(len(chain)))


def owner_of(array: Any) -> Any:
    """What an array is a view of; of a bytearray it is one through a memoryview."""
    return array.obj if type(array) is memoryview else getattr(array, "base", None)


def count_alone() -> int:
    """What sys.getrefcount says of an object that one list alone holds."""
    chain = [object()]
    return [sys.getrefcount(chain[i]) for i in range(1)][0]


ALONE = count_alone()

# ------------------------------------------------------------------ to NumPy


def numpy(self: Any, *, force: bool = False) -> np.ndarray:
    """The tensor's own memory as an array."""
    if force:
        self = self.detach()
    if self.requires_grad:
        raise RuntimeError(
            "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
        )
    if self._spec.dtype in (dt.bfloat16, dt.complex32):
        raise TypeError(f"Got unsupported ScalarType {self._spec.dtype.legacy}")
    if self._spec.dtype.lazy:
        if not force:
            which, bit = ("conj", "conjugate") if self.is_conj() else ("neg", "negative")
            raise RuntimeError(f"Can't call numpy() on Tensor that has {bit} bit set. Use "
                               f"tensor.resolve_{which}().numpy() instead.")  # fmt: skip
        self = self.clone()
    settle_writes(self)
    spec, storage = self._spec, self._storage
    storage.fix()
    if storage.error is not None:
        raise storage.error
    whole = np.asarray(exporter_of(storage))
    item = spec.dtype.itemsize
    if not spec.numel:
        return np.empty(spec.size, spec.dtype.numpy)
    return np.ndarray(
        spec.size, spec.dtype.numpy, whole, self._offset * item, [s * item for s in spec.stride]
    )


def exporter_of(storage: Storage) -> Exporter:
    """The storage's exporter; one is made where none is alive."""
    pin = storage.pin
    exporter = pin.exporter() if isinstance(pin, Given) else None
    if exporter is None:
        buffer = storage.buffer
        assert buffer is not None  # nothing is pending: writes were settled
        exporter = Exporter()
        exporter.buffer = buffer
        exporter.__array_interface__ = {
            "shape": (buffer.memory.nbytes,),
            "typestr": "|u1",
            "version": 3,
            "data": (buffer.address, False),
        }
        storage.pin = Given(exporter, pin)
    return exporter


def to_array(self: Any, dtype: Any = None, copy: Any = None) -> np.ndarray:
    """np.asarray(tensor)"""
    array = numpy(self)
    if dtype is not None and array.dtype != dtype:
        if copy is False:
            raise ValueError(f"a copy is needed for {dtype}")
        return array.astype(dtype)
    return array.copy() if copy else array


def wrap_array(self: Any, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
    """What NumPy's own functions give for a tensor: a tensor, of uint8 for booleans."""
    if array.dtype == np.bool_:
        array = array.astype(np.uint8)
    if array.dtype in dt.FROM_NUMPY:
        return from_numpy(np.array(array))
    return array


# ------------------------------------------------------------------ from NumPy


def from_numpy(ndarray: Any) -> Any:
    """A tensor on an array's own memory."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    check_array(ndarray)
    warn_read_only(ndarray)
    dtype, item = numpy_dtype(ndarray.dtype), ndarray.dtype.itemsize
    spec = spec_of(ndarray.shape, tuple(s // item for s in ndarray.strides), dtype)
    nbytes = extent(spec.size, spec.stride) * item
    address = ndarray.__array_interface__["data"][0]
    if not nbytes:
        out = from_array(ndarray, dtype, spec.stride)
        out._storage.fix()
        return out
    buffer = adopt(bytes_at(address, nbytes), None)
    storage = new_storage(nbytes, buffer)
    storage.pin = buffer.owner = Taken(ndarray)
    storage.fix()
    return fresh(storage, spec)


def bytes_at(address: int, nbytes: int) -> np.ndarray:
    """Memory as bytes, without a reference to its owner: owners are counted."""
    memory: Any = (ctypes.c_ubyte * nbytes).from_address(address)
    return np.frombuffer(memory, np.uint8)


def warn_read_only(array: np.ndarray) -> None:
    """Tensors can be written to, whatever the array says."""
    if not array.flags.writeable:
        warnings.warn(
            "The given NumPy array is not writable, and PyTorch does not support non-writable "
            "tensors. "
            "This means writing to this tensor will result in undefined behavior. You may want "
            "to copy "
            "the array to protect its data or make it writable before converting it to a tensor.",
            stacklevel=4,
        )


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Any:
    """The data as a tensor, without a copy where its memory will do."""
    check_device(device)
    if isinstance(data, Tensor):
        return to(data, dtype) if dtype is not None else data
    if isinstance(data, np.ndarray):
        shared = from_numpy(data)
        return to(shared, dtype) if dtype is not None else shared
    return tensor(data, dtype=dtype)


def asarray(
    obj: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    copy: bool | None = None,
    requires_grad: bool = False,
) -> Any:
    """The object as a tensor; copy: True always, False never, None where needed."""
    out = as_tensor(obj, dtype, device)
    shares = isinstance(obj, Tensor) and out is obj or isinstance(obj, np.ndarray)
    if copy and shares:
        out = out.detach().clone()
    if copy is False and not shares:
        raise ValueError("can't alias an object without a buffer; use copy=None")
    out = out.detach() if isinstance(obj, Tensor) and not requires_grad else out
    return out.requires_grad_() if requires_grad else out


# ------------------------------------------------------------------ DLPack (exchange.py)


def dlpack(self: Any, **options: Any) -> Any:
    """A DLPack capsule on the tensor's own memory."""
    from flambeau.exchange import to_dlpack

    return to_dlpack(self, **options)


def dlpack_device(self: Any) -> Any:
    """Where the tensor is, as DLPack says it: on the CPU."""
    from flambeau.exchange import DLDeviceType

    return DLDeviceType.kDLCPU, 0


NAMED = {
    "numpy": numpy,
    "__array__": to_array,
    "__array_wrap__": wrap_array,
    "__dlpack__": dlpack,
    "__dlpack_device__": dlpack_device,
}
PUBLIC = "from_numpy as_tensor asarray".split()
