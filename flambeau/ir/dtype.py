"""Element types, and what two of them become together.

Every room may import this one. Nothing here knows about tensors.
"""

from __future__ import annotations

import numpy as np


class DType:
    """The type of a tensor's elements. There is one object for each type, so `is` compares them.

    `numpy` is how the elements lie in memory; bfloat16, which NumPy lacks, lies there as uint16.
    """

    __slots__ = ("name", "itemsize", "kind", "numpy", "legacy")

    name: str
    itemsize: int
    kind: str  # 'b' bool, 'u' unsigned, 'i' signed, 'f' float, 'c' complex
    numpy: np.dtype
    legacy: str  # 'Float' in torch.FloatTensor

    def __init__(self, name: str, kind: str, numpy: str, legacy: str) -> None:
        self.name, self.kind, self.legacy = name, kind, legacy
        self.numpy = np.dtype(numpy)
        self.itemsize = self.numpy.itemsize

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return "bool_" if self.name == "bool" else self.name

    @property
    def is_floating_point(self) -> bool:
        return self.kind == "f"

    @property
    def is_complex(self) -> bool:
        return self.kind == "c"

    @property
    def is_signed(self) -> bool:
        return self.kind in "ifc"

    def to_complex(self) -> DType:
        """The complex type of the same precision."""
        return {float16: complex32, float32: complex64, float64: complex128}.get(self, complex64)

    def to_real(self) -> DType:
        """The real type of the same precision."""
        return {complex32: float16, complex64: float32, complex128: float64}.get(self, self)


DType.__name__ = DType.__qualname__ = "dtype"

bool_ = DType("bool", "b", "bool", "Bool")
uint8 = DType("uint8", "u", "uint8", "Byte")
int8 = DType("int8", "i", "int8", "Char")
int16 = DType("int16", "i", "int16", "Short")
int32 = DType("int32", "i", "int32", "Int")
int64 = DType("int64", "i", "int64", "Long")
uint16 = DType("uint16", "u", "uint16", "UInt16")
uint32 = DType("uint32", "u", "uint32", "UInt32")
uint64 = DType("uint64", "u", "uint64", "UInt64")
float16 = DType("float16", "f", "float16", "Half")
bfloat16 = DType("bfloat16", "f", "uint16", "BFloat16")
float32 = DType("float32", "f", "float32", "Float")
float64 = DType("float64", "f", "float64", "Double")
complex32 = DType("complex32", "c", "uint32", "ComplexHalf")
complex64 = DType("complex64", "c", "complex64", "ComplexFloat")
complex128 = DType("complex128", "c", "complex128", "ComplexDouble")

ALL = (
    bool_, uint8, int8, int16, int32, int64, uint16, uint32, uint64,
    float16, bfloat16, float32, float64, complex32, complex64, complex128,
)  # fmt: skip
BY_NAME = {dtype.name: dtype for dtype in ALL}
ALIASES = {
    "half": float16, "float": float32, "double": float64, "short": int16, "int": int32,
    "long": int64, "cfloat": complex64, "cdouble": complex128, "chalf": complex32,
}  # fmt: skip
SUPPORTED = (bool_, uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64)
FLOATS = (float16, bfloat16, float32, float64)
INTEGERS = (uint8, int8, int16, int32, int64)

FROM_NUMPY = {
    dtype.numpy: dtype
    for dtype in ALL
    if dtype not in (bfloat16, complex32)
}  # fmt: skip

_ORDER = {"b": 0, "u": 1, "i": 1, "f": 2, "c": 3}


def category(dtype: DType) -> int:
    """0 bool, 1 integer, 2 float, 3 complex: a number of a lower category never widens a higher."""
    return _ORDER[dtype.kind]


def promote(a: DType, b: DType) -> DType:
    """The type that holds both, as PyTorch's promotion lattice has it.

    Raises RuntimeError for an unsigned type above 8 bits beside a signed one.
    """
    if a is b:
        return a
    if category(a) != category(b):
        high, low = (a, b) if category(a) > category(b) else (b, a)
        if high.kind == "c" and low.kind == "f":
            return promote(high.to_real(), low).to_complex()
        return high
    if a.kind == "c":
        return promote(a.to_real(), b.to_real()).to_complex()
    if a.kind == "f":
        if a.itemsize == b.itemsize:  # float16 with bfloat16
            return float32
        return a if a.itemsize > b.itemsize else b
    return _promote_integers(a, b)


def _promote_integers(a: DType, b: DType) -> DType:
    if a.kind == b.kind:
        return a if a.itemsize > b.itemsize else b
    signed, unsigned = (a, b) if a.kind == "i" else (b, a)
    if unsigned is not uint8:
        raise RuntimeError(f"Promotion for uint16, uint32, uint64 types is not supported, "
                           f"attempted to promote {a.legacy} and {b.legacy}")  # fmt: skip
    return int16 if signed is int8 else signed


def compute_dtype(dtype: DType) -> DType:
    """The type in which arithmetic on `dtype` is done before it is rounded back."""
    return float32 if dtype in (float16, bfloat16) else dtype


def widen(array: np.ndarray, dtype: DType) -> np.ndarray:
    """An array as it lies in memory → one that NumPy can compute with."""
    if dtype is bfloat16:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32) if dtype is float16 else array


def narrow(array: np.ndarray, dtype: DType) -> np.ndarray:
    """An array that NumPy computed → as it lies in memory, rounded to the nearest even."""
    if dtype is not bfloat16:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(array).astype(dtype.numpy, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        bits = np.asarray(array).astype(np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(bits.view(np.float32)), 0x7FC0, rounded).astype(np.uint16)
