"""What flows between the rooms of the engine: calls, values and programs.

A *value* is the content of a storage between two writes; values are numbered in the order in which
the stretch met them (the numbers have gaps: views take one too). Nothing here holds a tensor.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flambeau.ir.dtype import NATIVE, DType
from flambeau.ir.layout import Layout, Offset
from flambeau.ir.op import Op
from flambeau.ir.record import field, frozen


@frozen
class Ref:
    """A tensor as a call sees it: a layout on a value."""

    value: int
    layout: Layout
    dtype: DType

    @property
    def size(self) -> tuple[int, ...]:
        return self.layout.size


@frozen
class Number:
    """A Python number that is a run-time input: the index-th of the stretch."""

    index: int
    type: type


@frozen
class Size:
    """An integer that kernels take as an argument, so that they serve all sizes."""

    value: int


# The value of a Ref that need not lie in memory: its elements are their own offsets. With strides
# (-1, 1), say, element [i, j] is j - i.
POSITIONS = -1


@frozen
class Out:
    """A result. With `over`, it is that storage's next value: only the layout's elements change."""

    value: int
    layout: Layout
    dtype: DType
    over: int | None = None

    @property
    def size(self) -> tuple[int, ...]:
        return self.layout.size


@frozen
class Input:
    """A storage that was there before the stretch began."""

    value: int
    dtype: DType


@frozen
class Source:
    """The user's line that recorded a call."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@frozen
class Call:
    """One op applied. `args` follow the op's parameters: Ref, Number, tuple of Refs, or static.

    compute: the type in which an elementwise op or a reduction works on its elements.
    """

    op: Op
    args: tuple[Any, ...]
    outs: tuple[Out, ...]
    compute: DType | None = None
    source: Source | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        return shown(self)

    def refs(self) -> Iterator[Ref]:
        """Every tensor that the call reads."""
        for arg in self.args:
            if isinstance(arg, Ref):
                yield arg
            elif isinstance(arg, tuple):
                yield from (a for a in arg if isinstance(a, Ref))

    def native(self) -> bool:
        """Whether machine code can be made for it; else it runs by its NumPy meaning."""
        if self.op.kind == "elementwise" and self.op.scalar is None:
            return False
        if self.compute is not None and self.compute not in NATIVE:
            return False
        if any(isinstance(a, Number) and a.type is complex for a in self.args):
            return False
        return all(t.dtype in NATIVE for t in self.tensors())

    def tensors(self) -> tuple[Ref | Out, ...]:
        """Every tensor that the call reads or makes."""
        return (*self.refs(), *self.outs)


@frozen
class Program:
    """A stretch with its live results.

    `inputs` are values in the order in which they entered; `live` the values wanted at the end,
    each the last value of a storage born in the stretch. Writes to inputs are always wanted.
    """

    inputs: tuple[Input, ...]
    calls: tuple[Call, ...]
    live: tuple[int, ...]
    numbers: tuple[type, ...]
    offsets: int

    def __repr__(self) -> str:
        return shown(self)

    def storage_of(self) -> dict[int, int]:
        """Value → the first value of its storage."""
        home = {i.value: i.value for i in self.inputs}
        for call in self.calls:
            for out in call.outs:
                home[out.value] = out.value if out.over is None else home[out.over]
        return home


def shown(thing: object) -> str:
    """In the notation of show.py, which is above this file."""
    from flambeau.ir.show import show

    return show(thing)


__all__ = ["POSITIONS", "Call", "Input", "Layout", "Number", "Offset", "Out", "Program", "Ref",
           "Size", "Source"]  # fmt: skip
