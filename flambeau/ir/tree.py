"""Scalar expressions: what is computed for one element.

A tree is run by nobody here: code generation, the cost model and the printer walk it. Trees are
interned, so equal trees are one object, and `is` compares them. `flambeau.codegen.scalar` has the
functions (`k.exp`, `k.where`, …) that op rows use to make trees.
"""

from __future__ import annotations

import struct
import threading
import weakref
from collections.abc import Iterator
from typing import Any

from flambeau.ir.record import frozen

from . import dtype as types
from .dtype import DType

Scalar = float | int | bool


@frozen
class Tree:
    """One node of a scalar expression; make it with `tree` or with an operator, never directly.

    `dtype` is what PyTorch would say. Arithmetic on float16 and bfloat16 is done in float32 and is
    rounded by a cast or a store only.
    """

    kind: str
    dtype: DType
    args: tuple[Tree, ...]
    data: Any = None

    __slots__ = ("__weakref__",)
    __eq__, __hash__ = object.__eq__, object.__hash__

    def __add__(self, other: Tree | Scalar) -> Tree:
        return binary("add", self, other)

    def __radd__(self, other: Scalar) -> Tree:
        return binary("add", other, self)

    def __sub__(self, other: Tree | Scalar) -> Tree:
        return binary("sub", self, other)

    def __rsub__(self, other: Scalar) -> Tree:
        return binary("sub", other, self)

    def __mul__(self, other: Tree | Scalar) -> Tree:
        return binary("mul", self, other)

    def __rmul__(self, other: Scalar) -> Tree:
        return binary("mul", other, self)

    def __truediv__(self, other: Tree | Scalar) -> Tree:
        return binary("div", self, other)

    def __rtruediv__(self, other: Scalar) -> Tree:
        return binary("div", other, self)

    def __neg__(self) -> Tree:
        return tree("neg", self.dtype, self)

    def __lt__(self, other: Tree | Scalar) -> Tree:
        return compare("lt", self, other)

    def __le__(self, other: Tree | Scalar) -> Tree:
        return compare("le", self, other)

    def __gt__(self, other: Tree | Scalar) -> Tree:
        return compare("gt", self, other)

    def __ge__(self, other: Tree | Scalar) -> Tree:
        return compare("ge", self, other)

    def __and__(self, other: Tree | Scalar) -> Tree:
        return binary("and", self, other)

    def __rand__(self, other: Scalar) -> Tree:
        return binary("and", other, self)

    def __or__(self, other: Tree | Scalar) -> Tree:
        return binary("or", self, other)

    def __ror__(self, other: Scalar) -> Tree:
        return binary("or", other, self)

    def __xor__(self, other: Tree | Scalar) -> Tree:
        return binary("xor", self, other)

    def __rxor__(self, other: Scalar) -> Tree:
        return binary("xor", other, self)

    def __invert__(self) -> Tree:
        return tree("not", self.dtype, self)

    def __lshift__(self, other: Tree | Scalar) -> Tree:
        return binary("shl", self, other)

    def __rshift__(self, other: Tree | Scalar) -> Tree:
        return binary("shr", self, other)

    def __repr__(self) -> str:
        data = () if self.data is None else (repr(self.data),)
        parts = (*data, *map(repr, self.args))
        return f"{self.kind}:{self.dtype.name}({', '.join(parts)})"


_known: weakref.WeakValueDictionary[tuple[Any, ...], Tree] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def tree(kind: str, dtype: DType, *args: Tree, data: Any = None) -> Tree:
    """The one tree with this content."""
    mark = struct.pack("d", data) if isinstance(data, float) else (type(data), data)
    key = (kind, dtype, args, mark)
    found = _known.get(key)
    if found is None:
        with _lock:
            found = _known.get(key)
            if found is None:
                found = _known[key] = Tree(kind, dtype, args, data)
    return found


def Load(access: int, dtype: DType) -> Tree:  # noqa: N802 a leaf reads like a class
    """The element that access number `access` of the nest points at."""
    return tree("load", dtype, data=access)


def Number(value: Scalar, dtype: DType) -> Tree:  # noqa: N802
    """A constant; it is compiled in."""
    return tree("number", dtype, data=number_in(value, dtype))


def Argument(index: int, dtype: DType) -> Tree:  # noqa: N802
    """The run-time scalar number `index` of the nest."""
    return tree("argument", dtype, data=index)


def Result(index: int, dtype: DType) -> Tree:  # noqa: N802
    """The result of the reduction number `index`, counted through all stages."""
    return tree("result", dtype, data=index)


def Index(loop: int) -> Tree:  # noqa: N802
    """The counter of a loop, as int64."""
    return tree("index", types.int64, data=loop)


def Pick(access: int, position: Tree, dtype: DType) -> Tree:  # noqa: N802
    """The element so many (int64) after the one that access number `access` points at."""
    return tree("pick", dtype, position, data=access)


def Check(index: Tree, bound: Tree, failure: str, dim: int) -> Tree:  # noqa: N802
    """The index (int64) if 0 ≤ index < bound; else 0, and an error is reported (ir/failures.py)."""
    return tree("check", types.int64, index, bound, data=(failure, dim))


def Leaf(name: str, dtype: DType) -> Tree:  # noqa: N802
    """A value that a hand-written kernel supplies, such as the sum that a matmul has gathered."""
    return tree("leaf", dtype, data=name)


def number_in(value: Scalar, dtype: DType) -> Scalar:
    """A Python number as a constant of the type; integers wrap around."""
    if dtype.kind == "f":
        return float(value)
    if dtype.kind == "b":
        return bool(value)
    bits, whole = dtype.itemsize * 8, int(value)
    whole &= (1 << bits) - 1
    return whole - (1 << bits) if dtype.kind == "i" and whole >> (bits - 1) else whole


def walk(*roots: Tree) -> Iterator[Tree]:
    """Every node below the roots once, operands before what uses them."""
    seen: set[Tree] = set()
    stack = [(root, False) for root in reversed(roots)]
    while stack:
        node, ready = stack.pop()
        if ready:
            yield node
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((arg, False) for arg in reversed(node.args))


def lift(*values: Tree | Scalar) -> tuple[Tree, ...]:
    """Turn Python numbers into constants of the type that the trees beside them have."""
    dtypes = {value.dtype for value in values if isinstance(value, Tree)}
    if len(dtypes) != 1:
        names = ", ".join(sorted(dtype.name for dtype in dtypes)) or "none"
        raise TypeError(f"operands of one type are needed, got {names}; hint: use k.cast")
    dtype = dtypes.pop()
    return tuple(value if isinstance(value, Tree) else Number(value, dtype) for value in values)


_FLOAT_ONLY = {"div"}
_INTEGER_ONLY = {"and", "or", "xor", "shl", "shr"}


def binary(kind: str, a: Tree | Scalar, b: Tree | Scalar) -> Tree:
    """Two operands of one type, a result of the same type."""
    a, b = lift(a, b)
    if kind in (_INTEGER_ONLY if a.dtype.kind == "f" else _FLOAT_ONLY):
        raise TypeError(f"{kind} is not defined for {a.dtype.name}; hint: use k.cast")
    return tree(kind, a.dtype, a, b)


def compare(kind: str, a: Tree | Scalar, b: Tree | Scalar) -> Tree:
    """Two operands of one type, a truth value."""
    return tree(kind, types.bool_, *lift(a, b))
