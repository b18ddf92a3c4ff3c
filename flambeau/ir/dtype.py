"""Element types, and what two of them become together.

Every room may import this one. Nothing here knows about tensors.
"""

from __future__ import annotations

import numpy as np


class DType:
    """The type of a tensor's elements. There is one object for each type, so `is` compares them.

    `numpy` is how the elements lie in memory; what NumPy lacks lies there as unsigned integers.
    A *lazy* type is what a view has that reads its memory conjugated (`x.conj()`) or negated
    (`x.conj().imag`): no array is made. Its `plain` is the type that users see, and the only one
    that rules see.
    """

    __slots__ = ("name", "itemsize", "kind", "numpy", "legacy", "plain", "lazy", "opposite")

    name: str
    itemsize: int
    kind: str  # 'b' bool, 'u' unsigned, 'i' signed, 'f' float, 'c' complex
    numpy: np.dtype
    legacy: str  # 'Float' in torch.FloatTensor
    plain: DType  # the type itself where nothing is lazy
    lazy: str  # '', 'conj', 'neg'
    opposite: DType | None  # the same with its laziness turned over, where there is such a type

    def __init__(self, name: str, kind: str, numpy: str, legacy: str) -> None:
        self.name, self.kind, self.legacy = name, kind, legacy
        self.numpy = np.dtype(numpy)
        self.itemsize = self.numpy.itemsize
        self.plain, self.lazy, self.opposite = self, "", None

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


def lazily(plain: DType, lazy: str) -> None:
    """Its `opposite`: the type of a view that reads its elements conjugated or negated."""
    dtype = DType(plain.name, plain.kind, plain.numpy.name, plain.legacy)
    dtype.plain, dtype.lazy, dtype.opposite = plain, lazy, plain
    plain.opposite = dtype


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
for _dtype in (complex32, complex64, complex128, float16, float32, float64):
    lazily(_dtype, "conj" if _dtype.kind == "c" else "neg")
# Types that are known by name, but that no tensor can have.
FLOATS8 = tuple(
    DType(f"float8_{name}", "f", "uint8", f"Float8_{name}")
    for name in ("e4m3fn", "e5m2", "e4m3fnuz", "e5m2fnuz", "e8m0fnu")
)

ALL = (
    bool_, uint8, int8, int16, int32, int64, uint16, uint32, uint64,
    float16, bfloat16, float32, float64, complex32, complex64, complex128, *FLOATS8,
)  # fmt: skip
BY_NAME = {dtype.name: dtype for dtype in ALL}
ALIASES = {
    "half": float16, "float": float32, "double": float64, "short": int16, "int": int32,
    "long": int64, "cfloat": complex64, "cdouble": complex128, "chalf": complex32,
}  # fmt: skip
SUPPORTED = frozenset(ALL[: -len(FLOATS8)])
# What machine code is made for; calls on other types run by their NumPy meaning.
NATIVE = frozenset((bool_, uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64))
FLOATS = (float16, bfloat16, float32, float64)
INTEGERS = (uint8, int8, int16, int32, int64)

FROM_NUMPY = {
    dtype.numpy: dtype
    for dtype in ALL[: -len(FLOATS8)]
    if dtype not in (bfloat16, complex32)
}  # fmt: skip

_ORDER = {"b": 0, "u": 1, "i": 1, "f": 2, "c": 3}


def category(dtype: DType) -> int:
    """0 bool, 1 integer, 2 float, 3 complex: a number of a lower category never widens a higher."""
    return _ORDER[dtype.kind]


def promote(a: DType, b: DType) -> DType:
    """The type that holds both, as PyTorch's promotion lattice has it.

    Raises RuntimeError for an unsigned type above 8 bits beside any other, but a float.
    """
    if a is b:
        return a
    for some in (a, b):
        if some in FLOATS8:
            raise RuntimeError("Promotion for Float8 Types is not supported, attempted to promote "
                               f"{a.legacy} and {b.legacy}")  # fmt: skip
        if some in _APART and category(a) != 2 and category(b) != 2:
            raise RuntimeError("Promotion for uint16, uint32, uint64 types is not supported, "
                               f"attempted to promote {a.legacy} and {b.legacy}")  # fmt: skip
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
    signed = a if a.kind == "i" else b
    return int16 if signed is int8 else signed  # uint8 beside a signed type


_APART = (uint16, uint32, uint64)


def compute_dtype(dtype: DType) -> DType:
    """The type in which arithmetic on `dtype` is done before it is rounded back."""
    return _WIDER.get(dtype, dtype)


_WIDER = {float16: float32, bfloat16: float32, complex32: complex64}


def widen(array: np.ndarray, dtype: DType) -> np.ndarray:
    """An array as it lies in memory → one that NumPy can compute with."""
    if dtype.lazy:
        return _turned(widen(array, dtype.plain), dtype)
    if dtype is bfloat16:
        return np.asarray(array.astype(np.uint32) << 16).view(np.float32)
    if dtype is complex32:
        words = array.astype(np.uint64)
        spread = (words & np.uint64(0xFFFF)) | (words >> np.uint64(16) << np.uint64(32))
        pairs = np.ascontiguousarray(spread).view(np.uint32).astype(np.uint16).view(np.float16)
        return pairs.astype(np.float32).view(np.complex64).reshape(array.shape)
    return array.astype(np.float32) if dtype is float16 else array


def _turned(array: np.ndarray, dtype: DType) -> np.ndarray:
    """What a lazy type makes of its elements, and what it is made from: either way the same."""
    return np.asarray(np.conjugate(array) if dtype.lazy == "conj" else np.negative(array))


def narrow(array: np.ndarray, dtype: DType) -> np.ndarray:
    """An array that NumPy computed → as it lies in memory, rounded to the nearest even."""
    array = np.asarray(array)
    if dtype.lazy:
        return narrow(_turned(as_kind(array, dtype), dtype), dtype.plain)
    array = as_kind(array, dtype)
    if dtype is complex32:
        return _halves(array)
    with np.errstate(over="ignore", invalid="ignore"):
        if dtype is not bfloat16:
            return array.astype(dtype.numpy, copy=False)
        bits = array.astype(np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(bits.view(np.float32)), 0x7FC0, rounded).astype(np.uint16)


def as_kind(array: np.ndarray, dtype: DType) -> np.ndarray:
    """The real parts of complex numbers, where real ones are to be made of them."""
    return array.real if array.dtype.kind == "c" and dtype.kind != "c" else array


def _halves(array: np.ndarray) -> np.ndarray:
    """Complex numbers as pairs of float16 in one word."""
    with np.errstate(over="ignore", invalid="ignore"):
        real, imag = (
            np.asarray(part.astype(np.float16)).view(np.uint16).astype(np.uint32)
            for part in (array.real, array.imag)
        )
    return real | (imag << 16)
