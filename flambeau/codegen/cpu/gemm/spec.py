"""What a matrix multiplication is: what the compiler asks for, and what it gets back."""

from __future__ import annotations

import os
from typing import Protocol

from flambeau.ir.record import frozen

from ....ir import dtype as types
from ....ir.dtype import DType
from ....ir.kernel import Access, Store
from ....ir.tree import Leaf, Tree


@frozen
class Machine:
    """What kernels are shaped for: the bytes of a vector register, and how many there are.

    `tiles`: whether there are tile registers that multiply bfloat16 (Intel AMX). `processors` are
    those of the machine, not the threads that are used: cuts must not depend on these.
    """

    vector_bytes: int
    registers: int
    tiles: bool = False
    processors: int = 1


def machine_of(target: HasVectors) -> Machine:
    """What the kernels of a target are shaped for."""
    return Machine(target.vector_bytes, target.registers, target.tiles, os.cpu_count() or 1)


class HasVectors(Protocol):
    """What must be known about a machine."""

    @property
    def vector_bytes(self) -> int: ...

    @property
    def registers(self) -> int: ...

    @property
    def tiles(self) -> bool: ...


@frozen
class Matmul:
    """`C[batch…, m, n] = epilogue(A[batch…, m, k] · B[batch…, k, n])`.

    Accesses have strides for the `batch` loops, m and n. A store's value is a tree of loads,
    arguments, counters, numbers and `product(dtype)`: the element of A · B. An access that is
    stored may also be loaded; each element is loaded before it is stored. `varied`: m is another
    one from run to run, so few kernels should serve all.
    """

    a: DType
    b: DType
    batch: int
    accesses: tuple[Access, ...]
    scalars: tuple[DType, ...]
    stores: tuple[Store, ...]
    varied: bool = False

    def __post_init__(self) -> None:
        for dtype in (self.a, self.b):
            if dtype not in (types.float16, types.bfloat16, types.float32, types.float64):
                raise NotImplementedError(
                    f"matmul of {dtype.name}; hint: write it as a product and a sum"
                )
        if (self.a is types.float64) != (self.b is types.float64):
            raise TypeError(f"matmul of {self.a.name} and {self.b.name}; hint: cast one of them")

    @property
    def element(self) -> DType:
        """The type that products are summed in."""
        return self.a if self.a is types.float64 else types.float32


def product(dtype: DType) -> Tree:
    """The element of A · B, for the trees of an epilogue; `dtype` is float32 or float64."""
    return Leaf("product", dtype)


@frozen
class Shape:
    """The sizes of one multiplication, and the strides of its operands and accesses in elements.

    `a` strides go over (batch…, m, k), `b` over (batch…, k, n), each access over (batch…, m, n).
    """

    batch: tuple[int, ...]
    m: int
    n: int
    k: int
    a: tuple[int, ...]
    b: tuple[int, ...]
    accesses: tuple[tuple[int, ...], ...]


Where = tuple[str, int]  # a named value ('' is 0) and what is added to it: one word of a launch


@frozen
class Launch:
    """One kernel to run: its text, the function in it, its words and how many tasks it has.

    The names in words are 'a', 'b', 'access0', 'scalar0', … and 'scratch'.
    """

    text: str
    name: str
    words: tuple[Where, ...]
    tasks: int


@frozen
class Plan:
    """Launches to run one after the other, and the bytes of scratch memory (64-byte aligned)."""

    launches: tuple[Launch, ...]
    scratch: int
