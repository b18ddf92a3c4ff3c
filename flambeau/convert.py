"""Other types and places: to(), float(), type(), copies, and writes of whole tensors."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

from flambeau.creation import check_supported, fitting, number_of
from flambeau.device import check_device, contiguous_format, device, preserve_format
from flambeau.ir import dtype as dt
from flambeau.ir.dtype import DType
from flambeau.ir.layout import Spec, broadcast_sizes, contiguous_strides, spec_of
from flambeau.ops.declare import TABLE
from flambeau.ops.functions import into
from flambeau.runtime.buffers import allocate
from flambeau.tensor import FUNCTIONS, Tensor
from flambeau.trace import flush, writes
from flambeau.trace.trie import here
from flambeau.viewing import expand, ints


def to(
    self: Any,
    *args: Any,
    dtype: Any = None,
    device: Any = None,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: Any = preserve_format,
) -> Any:
    """Another dtype or device: x.to(dtype), x.to(device, dtype), x.to(other)."""
    flags = []
    for arg in args:
        if isinstance(arg, DType):
            dtype = arg
        elif isinstance(arg, Tensor):
            dtype = arg._spec.dtype.plain
        elif isinstance(arg, bool):
            flags.append(arg)
        elif arg is not None:
            device = arg
    copy = copy or len(flags) > 1 and flags[1]
    check_device(device)
    if dtype is None or dtype is self._spec.dtype.plain:
        copy = copy or memory_format not in (preserve_format, contiguous_format)
        return self.clone(memory_format=memory_format) if copy else self
    return as_dtype(self, dtype)


def as_dtype(self: Any, dtype: DType) -> Any:
    """The elements converted; of complex numbers only the real part may be left."""
    if self._spec.dtype.kind == "c":
        warn_of_lost_part(dtype)
    return FUNCTIONS["cast"](self, check_supported(dtype))


@cache
def warn_of_lost_part(dtype: DType) -> None:
    """Complex numbers become real: said once."""
    if dtype.kind not in "cb":
        discards()


@cache
def discards() -> None:
    warnings.warn("Casting complex values to real discards the imaginary part", stacklevel=5)


def caster(name: str, dtype: DType) -> Any:
    """x.float() and its like."""

    def cast(self: Any, memory_format: Any = preserve_format) -> Any:
        return to(self, dtype, memory_format=memory_format)

    cast.__name__ = cast.__qualname__ = name
    cast.__doc__ = f"The same as `to({dtype})`."
    return cast


CASTS = {
    "float": dt.float32,
    "double": dt.float64,
    "half": dt.float16,
    "bfloat16": dt.bfloat16,
    "long": dt.int64,
    "int": dt.int32,
    "short": dt.int16,
    "char": dt.int8,
    "byte": dt.uint8,
    "bool": dt.bool_,
    "cfloat": dt.complex64,
    "cdouble": dt.complex128,
    "chalf": dt.complex32,
}


def type_(self: Any, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The name of the tensor's type, or the tensor as another type."""
    if dtype is None:
        return f"torch.{self._spec.dtype.legacy}Tensor"
    if isinstance(dtype, str):
        name = dtype.removeprefix("torch.").removesuffix("Tensor")
        found = next((d for d in dt.ALL if d.legacy == name or dtype == f"torch.{d.name}"), None)
        if found is None:
            raise ValueError(f"invalid type: '{dtype}'")
        dtype = found
    elif not isinstance(dtype, DType):
        dtype = dtype.dtype
    return to(self, dtype)


def type_as(self: Any, other: Any) -> Any:
    return to(self, other._spec.dtype.plain)


def cpu(self: Any, memory_format: Any = preserve_format) -> Any:
    """Itself: it is on the CPU already."""
    return self


def cuda(
    self: Any, device: Any = None, non_blocking: bool = False, memory_format: Any = None
) -> Any:
    """Refused: there is no GPU."""
    check_device("cuda")


def contiguous(self: Any, memory_format: Any = contiguous_format) -> Any:
    """Itself where its elements lie in row-major order, else a copy that does."""
    if self._spec.contiguous and memory_format in (contiguous_format, preserve_format):
        return self
    if memory_format is not contiguous_format:
        raise NotImplementedError(f"contiguous(memory_format={memory_format}) is not supported yet")
    return self.clone(memory_format=contiguous_format)


# ------------------------------------------------------------------ writes of whole tensors

copy_into, full_into = into(TABLE["copy"]), into(TABLE["full"])


def copy_(self: Any, src: Any, non_blocking: bool = False) -> Any:
    """The elements of another tensor, broadcast and converted."""
    if not isinstance(src, Tensor):
        if not isinstance(src, (bool, int, float, complex)):
            raise TypeError(
                f"copy_(): argument 'other' (position 1) must be Tensor, not {type(src).__name__}"
            )
        return fill_(self, src)
    if src._spec.dtype.kind == "c" != self._spec.dtype.kind:
        warn_of_lost_part(self._spec.dtype)
    if src._storage is self._storage:
        writes.check_overlap(here.stretch, self, (src,))
        if (src._offset, src._spec.size, src._spec.stride) != (
            self._offset, self._spec.size, self._spec.stride
        ):
            src = src.clone()
    if src._spec.size != self._spec.size:
        broadcast_sizes(
            [self._spec.size, src._spec.size]
        )  # refuses in the words of elementwise calls
        src = expand(src, self._spec.size)
    if src._storage is self._storage and repeats(self._spec) and not self.requires_grad:
        self._counter().version += 1  # the same elements: nothing to write
        return self
    return copy_into(self, src)


def repeats(spec: Spec) -> bool:
    """Whether one element in memory stands for several."""
    return any(s == 0 and n > 1 for s, n in zip(spec.stride, spec.size))


def fill_(self: Any, value: Any) -> Any:
    """One value everywhere; a 0-dim tensor may be that value."""
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(
                f"fill_ only supports 0-dimension value tensor but got tensor with "
                f"{value.ndim} dimensions."
            )
        return copy_(self, value.clone() if value._storage is self._storage else value)
    dtype = self._spec.dtype.plain
    return full_into(self, self._spec.size, fitting(number_of(value), dtype), dtype)


def zero_(self: Any) -> Any:
    """Zeros everywhere."""
    return full_into(self, self._spec.size, 0, self._spec.dtype.plain)


def fill(input: Any, value: Any) -> Any:
    """A copy with one value everywhere."""
    return fill_(input.clone(), value)


# ------------------------------------------------------------------ other memory


def settle_writes(tensor: Any) -> None:
    """Run whatever still wants the memory as it is now; no stretch knows the storage any more."""
    storage = tensor._storage
    stretch = storage.stretch  # another thread may be about to end it
    if stretch is not None:
        flush.flush(stretch)
    flush.settle_all(storage)


def resize_(
    self: Any, *sizes: Any, size: Any = None, memory_format: Any = contiguous_format
) -> Any:
    """Another size, row-major; elements stay where they are in memory, new ones are undefined."""
    size = ints(sizes if size is None else (size,))
    if self._spec.requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    if size == self._spec.size:
        return self
    spec = spec_of(size, contiguous_strides(size), self._spec.dtype)
    grow(self, (self._offset + spec.extent) * spec.dtype.itemsize)
    self._spec, self._stretch = spec, None
    self._counter().version += 1
    return self


def grow(tensor: Any, nbytes: int) -> None:
    """Give the tensor's storage at least so much memory."""
    storage = tensor._storage
    settle_writes(tensor)
    if nbytes <= storage.nbytes:
        return
    if storage.fixed:
        raise RuntimeError(
            "Trying to resize storage that is not resizable\n"
            "  hint: NumPy shares its memory, or did; clone() the tensor first"
        )
    buffer, old = allocate(nbytes), storage.buffer
    buffer.memory[: storage.nbytes] = old.memory[: storage.nbytes]
    storage.buffer, storage.nbytes = buffer, nbytes


def resize_as_(self: Any, other: Any, memory_format: Any = None) -> Any:
    return resize_(self, other._spec.size)


def resize_for_out(self: Any, size: tuple[int, ...]) -> None:
    """`out=` of another size: it is resized, with a warning where it held something."""
    if self._spec.numel:
        warnings.warn(
            "An output with one or more elements was resized since it had shape "
            f"{list(self._spec.size)}, which does not match the required output shape {list(size)}."
            " This behavior is deprecated, and in a future PyTorch release outputs will not be "
            "resized "
            "unless they have zero elements. You can explicitly reuse an out tensor t by "
            "resizing it, "
            "inplace, to zero elements with t.resize_(0).",
            stacklevel=4,
        )
    resize_(self, size)


METHODS = """to type_as cpu cuda contiguous copy_ fill_ zero_ resize_ resize_as_""".split()
NAMED = {name: caster(name, dtype) for name, dtype in CASTS.items()} | {
    "type": type_,
    "_resize_for_out": resize_for_out,
    "get_device": lambda self: -1,
}
PUBLIC = ["fill"]
__all__ = ["device"]
