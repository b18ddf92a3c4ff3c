"""torch.tensor, as_tensor, the legacy constructors: tensors from numbers, lists and arrays."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from flambeau.creation import check_supported, dtype_of, empty, finish, get_default_dtype
from flambeau.device import check_device
from flambeau.ir import dtype as dt
from flambeau.ir.layout import result_strides, spec_of
from flambeau.runtime.buffers import allocate
from flambeau.size import Size
from flambeau.tensor import Tensor, fresh, from_array
from flambeau.trace.storage import new_storage

INTS, FLOATS, ONE_STEP = {int}, {float}, (1,)
NUMBERS = {bool: dt.bool_, int: dt.int64}


def tensor(
    data: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Any:
    """A tensor with a copy of the data."""
    if data.__class__ is list and dtype is None and device is None and not requires_grad:
        quick = flat_list(data)
        if quick is not None:
            return quick
    check_device(device)
    if isinstance(data, Tensor):
        warnings.warn(
            "To copy construct from a tensor, it is recommended to use "
            "sourceTensor.detach().clone() "
            "or sourceTensor.detach().clone().requires_grad_(True), rather than "
            "torch.tensor(sourceTensor).",
            stacklevel=2,
        )
        copy = data.detach().to(dtype or data.dtype, copy=True)
        return finish(copy, requires_grad)
    return finish(literal(data, dtype), requires_grad)


def literal(data: Any, dtype: Any) -> Any:
    """The data as a tensor; its type is found where none is given."""
    array, found = as_array(data)
    stride = order_of(data) if isinstance(data, np.ndarray) else None
    dtype = check_supported(dtype or found)
    if array.dtype.kind == "c" and dtype.kind in "iuf" and not hasattr(data, "dtype"):
        raise TypeError("must be real number, not complex" if dtype.kind == "f" else
                        "'complex' object cannot be interpreted as an integer")  # fmt: skip
    return from_array(converted(array, dtype), dtype, stride)


def flat_list(data: list[Any]) -> Any:
    """A list of nothing but ints, or nothing but floats, without looking at each twice."""
    kinds = set(map(type, data))
    if kinds == INTS:
        dtype = dt.int64
    elif kinds == FLOATS and get_default_dtype() is dt.float32:
        dtype = dt.float32
    else:
        return None
    count = len(data)
    buffer = allocate(count * dtype.itemsize)
    try:
        np.ndarray(count, dtype.numpy, buffer.block)[:] = data
    except OverflowError:
        return None  # the long way says what is wrong
    return fresh(new_storage(buffer.nbytes, buffer), spec_of((count,), ONE_STEP, dtype))


def order_of(array: np.ndarray) -> Any:
    """The strides of a copy of an array: its own order of dims."""
    check_array(array)
    item = array.dtype.itemsize
    return result_strides(array.shape, [tuple(s // item for s in array.strides)])


def as_array(data: Any) -> tuple[np.ndarray, dt.DType]:
    """The data as an array, and the dtype that PyTorch infers."""
    if isinstance(data, (np.ndarray, np.generic)):
        return np.asarray(data), numpy_dtype(data.dtype)
    if isinstance(data, (bool, int, float, complex)):
        return number_array(data), dtype_of(data)
    if isinstance(data, str):
        raise TypeError("new(): invalid data type 'str'")
    if not is_sequence(data):
        if hasattr(data, "__array__") or hasattr(data, "__array_interface__"):
            return as_array(np.asarray(data))
        raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")
    leaves, dtype = plain_lists(data), None
    dtype = leaf_dtype(leaves)
    check_rectangular(leaves)
    return number_array(leaves), dtype or get_default_dtype()


def is_sequence(data: Any) -> bool:
    return isinstance(data, (list, tuple, range)) or (
        hasattr(data, "__len__")
        and hasattr(data, "__getitem__")
        and not isinstance(data, dict)
        and not isinstance(data, (np.ndarray, Tensor, str))
    )


def plain_lists(data: Any) -> Any:
    """Nested sequences as lists, with tensors of one element as NumPy scalars."""
    if isinstance(data, list) and all(type(x) in (float, int, bool) for x in data):
        return data
    return [
        leaf_of(x) if isinstance(x, Tensor) else plain_lists(x) if is_sequence(x) else x
        for x in data
    ]


def leaf_of(x: Any) -> Any:
    """A tensor among numbers."""
    if x._spec.numel != 1:
        raise ValueError("only one element tensors can be converted to Python scalars")
    return Typed(x.item(), x.dtype)


class Typed:
    """A number that came from a tensor, with its dtype."""

    def __init__(self, value: Any, dtype: dt.DType) -> None:
        self.value, self.dtype = value, dtype


def leaf_dtype(data: Any) -> dt.DType | None:
    """The common type of everything in nested lists; None where there is nothing."""
    kinds: dict[Any, Any] = {}
    collect(data, kinds)
    result = None
    for found in kinds.values():
        result = found if result is None else dt.promote(result, found)
    return result


def collect(data: list[Any], kinds: dict[Any, Any]) -> None:
    """Note every type of leaf once."""
    for x in {type(x): x for x in data}.values():
        cls = type(x)
        if cls is list:
            continue
        if cls in (np.ndarray, Typed) or isinstance(x, np.generic):
            for leaf in (y for y in data if type(y) is cls):
                kinds[cls, leaf.dtype] = leaf.dtype if cls is Typed else numpy_dtype(leaf.dtype)
        elif cls in (bool, int):
            kinds[cls] = NUMBERS[cls]
        elif isinstance(x, (int, float, complex)):
            kinds[cls] = dtype_of(x)
        elif isinstance(x, str):
            raise ValueError("too many dimensions 'str'")
        else:
            raise RuntimeError(f"Could not infer dtype of {cls.__name__}")
    for x in data:
        if type(x) is list:
            collect(x, kinds)


def check_rectangular(data: Any, dim: int = 0) -> None:
    """Every list at one depth must have the same length."""
    inner = [x for x in data if isinstance(x, list) or isinstance(x, np.ndarray) and x.ndim]
    if not inner:
        return
    if len(inner) != len(data):
        if isinstance(data[0], (list, np.ndarray)):
            raise TypeError("not a sequence")
        if type(data[0]) is float:
            raise TypeError(f"must be real number, not {type(inner[0]).__name__}")
        raise TypeError(f"'{type(inner[0]).__name__}' object cannot be interpreted as an integer")
    for x in inner:
        if len(x) != len(inner[0]):
            raise ValueError(
                f"expected sequence of length {len(inner[0])} at dim {dim + 1} (got {len(x)})"
            )
    for x in inner:
        if isinstance(x, list):
            check_rectangular(x, dim + 1)


def number_array(data: Any) -> np.ndarray:
    """NumPy's array of nested lists."""
    try:
        return np.array(untyped(data))
    except OverflowError:
        raise ValueError("Overflow when unpacking long long") from None


def untyped(data: Any) -> Any:
    if isinstance(data, list):
        if any(type(x) in (list, Typed) for x in data):
            return [untyped(x) for x in data]
        return data
    return data.value if isinstance(data, Typed) else data


def numpy_dtype(dtype: np.dtype) -> dt.DType:
    """Our type for NumPy's."""
    found = dt.FROM_NUMPY.get(dtype.newbyteorder("=") if dtype.kind in "biufc" else dtype)
    if found is None:
        raise TypeError(
            f"can't convert np.ndarray of type {dtype.type.__module__}.{dtype.type.__name__}. "
            f"The only "
            "supported types are: float64, float32, float16, complex64, complex128, int64, int32, "
            "int16, int8, uint64, uint32, uint16, uint8, and bool."
        )
    return found


def check_array(array: np.ndarray) -> None:
    """Refuse arrays that no tensor can lie on."""
    if array.dtype.kind in "OUSV" or array.dtype.kind in "mM":
        numpy_dtype(array.dtype)
    if not array.dtype.isnative:
        raise ValueError(
            "given numpy array has byte order different from the native byte order. "
            "Conversion between byte orders is currently not supported."
        )
    if any(s < 0 for s in array.strides):
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative "
            "strides are not currently supported. (You can probably work around this by making a "
            "copy "
            "of your array  with array.copy().) "
        )
    if any(s % array.dtype.itemsize for s in array.strides):
        raise ValueError(
            "given numpy array strides not a multiple of the element byte size. Copy the "
            "numpy array to reallocate the memory."
        )


def converted(array: np.ndarray, dtype: dt.DType) -> np.ndarray:
    """An array as elements of `dtype` lie in memory."""
    if array.dtype.kind in "OU":
        raise ValueError("Overflow when unpacking long long")
    if dtype is dt.bool_:
        return array != 0
    if dtype.kind not in "iu":
        return dt.narrow(array, dtype)
    array = dt.as_kind(array, dtype)
    if array.dtype.kind == "f":
        array = array.astype(np.int64)
    if array.size and array.dtype.kind in "iu":
        limits = np.iinfo(dtype.numpy)
        lowest = -int(limits.max) if dtype.kind == "u" else int(limits.min)
        if int(array.max()) > limits.max or int(array.min()) < lowest:
            if array.dtype == np.uint64 and dtype is dt.int64:
                raise ValueError("Overflow when unpacking long long")
            raise RuntimeError(
                f"value cannot be converted to type {C_NAMES[dtype]} without overflow"
            )
    return array.astype(dtype.numpy)


C_NAMES = {
    dt.uint8: "uint8_t",
    dt.int8: "int8",
    dt.int16: "int16_t",
    dt.int32: "int32",
    dt.int64: "int64_t",
    dt.uint16: "uint16_t",
    dt.uint32: "uint32_t",
    dt.uint64: "uint64_t",
}


def scalar_tensor(
    s: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """A 0-dim tensor of the default dtype."""
    return tensor(s, dtype=dtype or get_default_dtype(), device=device, requires_grad=requires_grad)


def new_tensor(
    self: Any, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """A copy of the data, of this tensor's dtype unless another is named."""
    return tensor(data, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)


# ------------------------------------------------------------------ the legacy constructors


def legacy(args: tuple[Any, ...], dtype: dt.DType, device: Any = None) -> Any:
    """torch.Tensor(2, 3) is memory of that size; torch.Tensor([2, 3]) holds 2 and 3."""
    check_device(device)
    if not args:
        return empty(0, dtype=dtype)
    data = args[0]
    if isinstance(data, Size) or (isinstance(data, int) and not isinstance(data, bool)):
        return empty(*(data if isinstance(data, Size) else args), dtype=dtype)
    if len(args) > 1:
        raise TypeError(
            f"new() received an invalid combination of arguments - got "
            f"({', '.join(type(a).__name__ for a in args)})"
        )
    if isinstance(data, Tensor):
        if data._spec.dtype is not dtype:
            raise TypeError(f"expected {dtype.legacy} (got {data._spec.dtype.legacy})")
        return data.detach()
    if not is_sequence(data) and not isinstance(data, np.ndarray):
        raise TypeError(f"new(): data must be a sequence (got {type(data).__name__})")
    return literal(data, dtype)


class TensorType(type):
    """torch.FloatTensor and its kin: isinstance() asks for the dtype."""

    dtype: dt.DType

    def __instancecheck__(cls, x: Any) -> bool:
        return isinstance(x, Tensor) and x._spec.dtype is cls.dtype

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return legacy(args, cls.dtype, **kwargs)

    def __repr__(cls) -> str:
        return f"<class 'torch.{cls.__name__}'>"


LEGACY = {
    f"{d.legacy}Tensor": TensorType(f"{d.legacy}Tensor", (), {"dtype": d, "__module__": "torch"})
    for d in dt.ALL
    if d in dt.NATIVE
}
PUBLIC = ["tensor", "scalar_tensor"]
METHODS = ["new_tensor"]
