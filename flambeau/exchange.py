"""Memory that is somebody else's, or given to others: DLPack, buffers of Python, files.

DLPack goes through NumPy, which speaks it; what NumPy's types lack (bfloat16) travels as 16-bit
integers, and the one byte of the description that says so is changed on the way.
"""

from __future__ import annotations

import ctypes
from enum import IntEnum
from typing import Any

import numpy as np

from flambeau.creation import check_supported, get_default_dtype
from flambeau.ir import dtype as dt
from flambeau.ir.layout import extent, spec_of
from flambeau.literal import numpy_dtype
from flambeau.runtime.buffers import adopt
from flambeau.sharing import Taken, bytes_at, numpy
from flambeau.storage import Shared
from flambeau.tensor import Tensor, fresh, from_array
from flambeau.trace.storage import new_storage


class DLDeviceType(IntEnum):
    """Kinds of devices as DLPack counts them."""

    kDLCPU = 1
    kDLCUDA = 2
    kDLCUDAHost = 3
    kDLOpenCL = 4
    kDLVulkan = 7
    kDLMetal = 8
    kDLVPI = 9
    kDLROCM = 10
    kDLROCMHost = 11
    kDLExtDev = 12
    kDLCUDAManaged = 13
    kDLOneAPI = 14


UNSIGNED, BFLOAT = 1, 4  # codes of types
CODE_AT, BITS_AT = 20, 21  # bytes of a DLTensor: after data, device and the number of dims
NAME = b"dltensor"

# ------------------------------------------------------------------ DLPack, outwards


def to_dlpack(self: Any, *, stream: Any = None, max_version: Any = None, dl_device: Any = None,
              copy: bool | None = None) -> Any:  # fmt: skip
    """A DLPack capsule on the tensor's own memory, which may be consumed once.

    Raises BufferError for what the other side could not read as it is.
    """
    if stream is not None:
        raise AssertionError("stream should be None on cpu.")
    if dl_device is not None and tuple(dl_device) != (1, 0):
        raise BufferError("a tensor on the CPU cannot be exported to another device")
    if self.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    if self._spec.dtype.lazy:
        which = "conjugate" if self.is_conj() else "negative"
        raise BufferError(f"Can't export tensors with the {which} bit set")
    if self._spec.dtype is dt.complex32:
        raise BufferError("complex32 has no name in DLPack that others know")
    given = self.clone() if copy else self
    if given._spec.dtype is not dt.bfloat16:
        return numpy(given).__dlpack__()
    capsule = numpy(given.view(dt.uint16)).__dlpack__()
    set_code(capsule, BFLOAT)
    return capsule


# ------------------------------------------------------------------ DLPack, inwards


class Held:
    """A capsule as an object that NumPy asks for it."""

    def __init__(self, capsule: Any) -> None:
        self.capsule = capsule

    def __dlpack__(self, **_: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Any:
    """A tensor on the memory of anything that speaks DLPack, or of one of its capsules.

    copy: True always copies, False refuses to, None does not. Both sides see each other's writes.
    """
    if isinstance(ext_tensor, Tensor):
        if ext_tensor.requires_grad:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        out = ext_tensor.detach()
    elif isinstance(ext_tensor, np.ndarray):
        if ext_tensor.dtype.kind not in "biufc" or ext_tensor.dtype.itemsize > 16:
            raise BufferError(
                "DLPack only supports signed/unsigned integers, float and complex dtypes."
            )
        out = on_array(ext_tensor, numpy_dtype(ext_tensor.dtype), Taken(ext_tensor))
    else:
        out = of_capsule(capsule_of(ext_tensor))
    return out.clone() if copy else out


def capsule_of(thing: Any) -> Any:
    """The capsule that an object gives, or itself."""
    if hasattr(thing, "__dlpack__"):
        kind, number = thing.__dlpack_device__()
        if kind != 1:
            raise NotImplementedError(f"memory of DLPack's device ({kind}, {number}) cannot be "
                                      "used; copy it to the CPU first")  # fmt: skip
        return thing.__dlpack__()
    return thing


def of_capsule(capsule: Any) -> Any:
    """A tensor on the memory that a capsule describes; the capsule is used up."""
    if type(capsule).__name__ != "PyCapsule" or not api("PyCapsule_IsValid", capsule, NAME):
        raise RuntimeError(
            "from_dlpack received an invalid capsule. Note that DLTensor capsules can be consumed "
            "only once, so you might have already constructed a tensor from it once."
        )
    dtype = None
    if code_and_bits(capsule) == (BFLOAT, 16):
        dtype = dt.bfloat16
        set_code(capsule, UNSIGNED)
    array = np.from_dlpack(Held(capsule))
    return on_array(array, dtype or numpy_dtype(array.dtype), Shared())


def on_array(array: np.ndarray, dtype: dt.DType, pin: Any) -> Any:
    """A tensor on an array's memory; the pin says how long others may look at it."""
    item = array.dtype.itemsize
    if any(s < 0 or s % item for s in array.strides):
        raise BufferError("memory with negative strides, or with gaps that are no whole elements, "
                          "cannot be a tensor; copy it first")  # fmt: skip
    spec = spec_of(array.shape, tuple(s // item for s in array.strides), dtype)
    nbytes = extent(spec.size, spec.stride) * item
    if not nbytes:
        return from_array(array, dtype, spec.stride)
    owner = pin if isinstance(pin, Taken) else array  # a pin that counts references has one
    buffer = adopt(bytes_at(array.ctypes.data, nbytes), owner)
    storage = new_storage(nbytes, buffer)
    storage.pin = pin
    storage.fix()
    return fresh(storage, spec)


def api(name: str, capsule: Any, word: bytes) -> Any:
    """A function of Python's own interface for capsules."""
    function = getattr(ctypes.pythonapi, name)
    function.argtypes = [ctypes.py_object, ctypes.c_char_p]
    function.restype = ctypes.c_int if name == "PyCapsule_IsValid" else ctypes.c_void_p
    return function(capsule, word)


def code_and_bits(capsule: Any) -> tuple[int, int]:
    """The type of the elements that a capsule describes."""
    address = api("PyCapsule_GetPointer", capsule, NAME)
    read = ctypes.c_uint8.from_address
    return read(address + CODE_AT).value, read(address + BITS_AT).value


def set_code(capsule: Any, code: int) -> None:
    """Say that the elements are of another type of the same size."""
    address = api("PyCapsule_GetPointer", capsule, NAME)
    ctypes.c_uint8.from_address(address + CODE_AT).value = code


# ------------------------------------------------------------------ buffers and files


def frombuffer(
    buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False
) -> Any:
    """A tensor on the memory of a bytearray, an array, a mapped file: of anything with a buffer.

    count: how many elements (-1: all); offset: where they begin, in bytes. ValueError where they
    do not lie within the buffer.
    """
    try:
        view = memoryview(buffer)
    except TypeError:
        raise ValueError("object does not implement Python buffer protocol.") from None
    length, item = view.nbytes, check_supported(dtype).itemsize
    if not length or not count:
        raise ValueError(f"both buffer length ({length}) and count ({count}) must not be 0")
    if not 0 <= offset < length:
        raise ValueError(f"offset ({offset} bytes) must be non-negative and no greater than buffer "
                         f"length ({length} bytes) minus 1")  # fmt: skip
    if count > 0 and offset + count * item > length:
        raise ValueError(f"requested buffer length ({count} * {item} bytes) after offset ({offset} "
                         f"bytes) must not be greater than actual buffer length ({length} "
                         "bytes)")  # fmt: skip
    if count < 0 and (length - offset) % item:
        raise ValueError(f"buffer length ({length - offset} bytes) after offset ({offset} bytes) "
                         f"must be a multiple of element size ({item})")  # fmt: skip
    if view.readonly:
        warn_read_only()
    count = count if count > 0 else (length - offset) // item
    array = np.frombuffer(buffer, dtype.numpy, count, offset)
    out = on_array(array, dtype, None if view.readonly else Taken(array))
    return out.requires_grad_() if requires_grad else out


def warn_read_only() -> None:
    import warnings

    warnings.warn(
        "The given buffer is not writable, and PyTorch does not support non-writable tensors. This "
        "means you can write to the underlying (supposedly non-writable) buffer using the tensor. "
        "You may want to copy the buffer to protect its data or make it writable before converting "
        "it to a tensor. This type of warning will be suppressed for the rest of this program.",
        stacklevel=3,
    )


def from_file(
    filename: str,
    shared: bool | None = None,
    size: int = 0,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """A tensor of `size` elements on a mapped file.

    shared: writes go to the file, which is made, or made longer, where that is needed; else they
    stay here. RuntimeError where the file is shorter than that.
    """
    import os

    dtype = check_supported(dtype or get_default_dtype())
    nbytes = size * dtype.itemsize
    if size < 0:
        raise RuntimeError(f"unable to mmap {nbytes} bytes from file <{filename}>: Invalid size")
    if not shared and not os.path.exists(filename):
        raise RuntimeError(f"unable to open file <{filename}> in read-only mode: "
                           "No such file or directory (2)")  # fmt: skip
    if not shared and os.path.getsize(filename) < nbytes:
        raise RuntimeError(f"file <{filename}> size <{os.path.getsize(filename)}> is smaller than "
                           f"the required mapping size <{nbytes}>")  # fmt: skip
    if shared:
        with open(filename, "ab") as file:
            if file.tell() < nbytes:
                file.truncate(nbytes)
    if not nbytes:
        out = from_array(np.empty(0, dtype.numpy), dtype)
    else:
        mapped = np.memmap(filename, dtype.numpy, "r+" if shared else "c", shape=(size,))
        out = on_array(mapped, dtype, Shared() if shared else None)
    return out.requires_grad_() if requires_grad else out


__all__ = ["DLDeviceType", "from_dlpack", "from_file", "frombuffer", "to_dlpack"]
