"""A nest with everything that one launch of it needs; see schedule.py.

    x0[i] = exp(x1[i]) * s0          Scheduled   sizes (256,)
    over 256 elements           →                operands %7 + 0 (1,), %3 + 64 (1,)
                                                 scalars $2

The nest is the same for all sizes and strides, and so is its kernel; they are the launch's own.
"""

from __future__ import annotations

from flambeau.ir.dtype import DType
from flambeau.ir.kernel import Access, Nest, Stage
from flambeau.ir.layout import Ints, Offset
from flambeau.ir.program import Number
from flambeau.ir.record import frozen


@frozen
class Operand:
    """One pointer of a nest: memory of a storage, or scratch for each thread (home None).

    A negative home is memory of the cluster's own: the partial results of a split reduction.
    """

    home: int | None
    offset: int | Offset
    dtype: DType
    strides: Ints  # over the nest's loops
    bytes: int = 0  # of scratch, per thread
    every: int = 1  # between how many shares the last loop takes turns; see ir/kernel.py
    apart: int = 0


@frozen
class Scalar:
    """A run-time number of a nest: a Number of the stretch, or a constant that depends on sizes."""

    source: Number | float | int
    dtype: DType


@frozen
class Scheduled:
    """A nest with everything that one launch of it needs."""

    nest: Nest
    sizes: Ints
    operands: tuple[Operand, ...]
    scalars: tuple[Scalar, ...]


def finished(operands: list[Operand], scalars: list[Scalar], stages: tuple[Stage, ...], mode: str,
             sizes: Ints) -> Scheduled:  # fmt: skip
    accesses = tuple(as_access(operand, (0, 1, 2, -1)) for operand in operands)
    nest = Nest(len(sizes), accesses, tuple(s.dtype for s in scalars), stages,
                mode)  # fmt: skip
    return Scheduled(nest, sizes, tuple(operands), tuple(scalars))


def as_access(operand: Operand, known: tuple[int, ...] = (0, 1)) -> Access:
    """An operand without sizes: of its strides only those in `known` are compiled in."""
    strides = tuple(next((n for n in known if n == s), None) for s in operand.strides)
    apart = operand.apart and None
    return Access(operand.dtype, strides, operand.home is None, operand.every, apart)
