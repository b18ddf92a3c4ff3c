"""Sample arguments, from which the tests of every op are made.

`samples` of a row is a function of `new`: new(2, 3) is an input tensor of that size in the dtype
under test, new(2, 3, low=0, high=5), new.index(4, high=3) an int64 one, new.mask(2, 3) a bool one.
`nonzero` inputs have no zeros; `kinked` ones stay away from whole numbers, where derivatives jump.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


class Sample:
    """Arguments of one call."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args, self.kwargs = args, kwargs


class Refused(Sample):
    """Arguments that must be refused, with the class of the error and a part of its words."""

    def __init__(
        self, *args: Any, error: type[BaseException], says: str = "", **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.error, self.says = error, says


Samples = Callable[[Any], Iterator[Sample]]


def no_samples(new: Any) -> Iterator[Sample]:
    """None: the row is tested through the functions that record it, or has tests of its own."""
    return iter(())


PAIRS = (((2, 3), (2, 3)), ((2, 3), (3,)), ((4, 1), (1, 5)), ((), (3,)), ((), ()), ((0, 3), (1, 3)),
         ((19, 35), (35,)))  # fmt: skip


def unary(low: float = -3.0, high: float = 3.0, kinked: bool = False, **kwargs: Any) -> Samples:
    """One operand: usual, 0-dim, empty, non-contiguous."""
    bounds = dict(low=low, high=high, kinked=kinked)

    def make(new: Any) -> Iterator[Sample]:
        for size in ((5,), (2, 3), (), (0,), (2, 0, 3), (17, 33)):
            yield Sample(new(*size, **bounds), **kwargs)
        yield Sample(new(4, 3, **bounds).t(), **kwargs)

    return make


def binary(low: float = -3.0, high: float = 3.0, numbers: bool = True, alpha: Any = (),
           nonzero: bool = False, kinked: bool = False, **kwargs: Any) -> Samples:  # fmt: skip
    """Two operands: equal sizes, broadcasting, 0-dim, empty, numbers."""
    more = dict(nonzero=nonzero, kinked=kinked)

    def make(new: Any) -> Iterator[Sample]:
        for a, b in PAIRS:
            yield Sample(new(*a, low=low, high=high, **more), new(*b, low=low, high=high, **more),
                         **kwargs)  # fmt: skip
        yield Sample(new(4, 3, low=low, high=high, **more).t(),
                     new(3, 4, low=low, high=high, **more), **kwargs)  # fmt: skip
        if numbers:
            yield Sample(new(2, 3, low=low, high=high, **more), 2, **kwargs)
            yield Sample(new(2, 3, low=low, high=high, **more), 1.25, **kwargs)
        for factor in alpha:
            yield Sample(new(2, 3), new(3), alpha=factor)
        yield Refused(new(2, 3), new(2, 4), error=RuntimeError, says="must match")

    return make


def ternary(numbers: bool = True, third: float | None = None, value: Any = ()) -> Samples:
    """Three operands that broadcast."""

    def make(new: Any) -> Iterator[Sample]:
        for a, b in PAIRS:
            yield Sample(new(*a), new(*b, nonzero=True), new(*b, nonzero=True))
        if third is not None:
            yield Sample(new(2, 3), new(2, 3), third)
            yield Sample(new(2, 3), new(3), 1 - third)
        for v in value:
            yield Sample(new(2, 3), new(3), new(2, 1, nonzero=True), value=v)

    return make
