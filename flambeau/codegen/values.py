"""Values and types of LLVM IR, as text: '<16 x float>', 'i64', 'ptr'."""

from __future__ import annotations

from ..ir.dtype import DType


class Value:
    """A name or a constant in LLVM IR, with its type."""

    __slots__ = ("type", "name")

    def __init__(self, kind: str, name: str) -> None:
        self.type, self.name = kind, name

    def __str__(self) -> str:
        return self.name

    @property
    def typed(self) -> str:
        return f"{self.type} {self.name}"


class Mask(Value):
    """The lanes below a number, which is known too."""

    __slots__ = ("remaining",)

    def __init__(self, kind: str, name: str, remaining: Value) -> None:
        super().__init__(kind, name)
        self.remaining = remaining


def lanes_of(kind: str) -> int:
    """The number of lanes; 1 for a scalar."""
    return int(kind[1 : kind.index(" ")]) if kind[0] == "<" else 1


def element_of(kind: str) -> str:
    """The type of a lane."""
    return kind[kind.index("x ") + 2 : -1] if kind[0] == "<" else kind


def vector_of(element: str, lanes: int) -> str:
    """A vector type; with one lane, the scalar type."""
    return element if lanes == 1 else f"<{lanes} x {element}>"


def shaped(kind: str, element: str) -> str:
    """As many lanes as `kind` has, of another type."""
    return vector_of(element, lanes_of(kind))


def computed(dtype: DType) -> str:
    """The LLVM type in which a value of the type is computed."""
    if dtype.kind == "f":
        return "double" if dtype.itemsize == 8 else "float"
    return "i1" if dtype.kind == "b" else f"i{8 * dtype.itemsize}"


def stored(dtype: DType) -> str:
    """The LLVM type as which a value lies in memory; bfloat16 as its bits."""
    if dtype.name == "bfloat16":
        return "i16"
    if dtype.name == "float16":
        return "half"
    return "i8" if dtype.kind == "b" else computed(dtype)
