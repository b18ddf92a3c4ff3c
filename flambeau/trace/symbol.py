"""Run-time numbers while somebody writes formulas with them.

A derivative or an expansion may hand a run-time number on to another call, and the trace knows then
that it is the same number. Arithmetic on it in Python is noticed, since its result would be frozen.
"""

from __future__ import annotations

from typing import Any


class FrozenNumber(Exception):
    """Python arithmetic on a run-time number where only calls may use it."""


def _noticing(name: str, base: type) -> Any:
    plain = getattr(base, name)

    def operate(self: Any, *others: Any) -> Any:
        self.used()
        return plain(self, *others)

    return operate


class _Symbolic:
    """index: which run-time number; used: what to do about arithmetic on it."""

    index: int
    used: Any

    def __new__(cls, value: Any, index: int, used: Any) -> Any:
        number: Any = cls.__mro__[2]  # float or int
        self = number.__new__(cls, value)
        self.index, self.used = index, used
        return self


class FloatSymbol(_Symbolic, float):
    """A run-time float."""


class IntSymbol(_Symbolic, int):
    """A run-time int (a bool becomes one too)."""


class ComplexSymbol(_Symbolic, complex):
    """A run-time complex number."""


_ARITHMETIC = ("__add__ __radd__ __sub__ __rsub__ __mul__ __rmul__ __truediv__ __rtruediv__ "
               "__floordiv__ __rfloordiv__ __mod__ __rmod__ __pow__ __rpow__ __neg__ __abs__ "
               "__bool__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __int__ __float__")  # fmt: skip
for _name in _ARITHMETIC.split():
    setattr(FloatSymbol, _name, _noticing(_name, float))
    setattr(IntSymbol, _name, _noticing(_name, int))
    if hasattr(complex, _name):
        setattr(ComplexSymbol, _name, _noticing(_name, complex))
ComplexSymbol.__hash__ = complex.__hash__  # type: ignore[method-assign]
FloatSymbol.__hash__ = float.__hash__  # type: ignore[method-assign]
IntSymbol.__hash__ = int.__hash__  # type: ignore[method-assign]


def symbol(value: Any, index: int, used: Any) -> Any:
    """The symbol of a run-time number."""
    if isinstance(value, complex):
        return ComplexSymbol(value, index, used)
    cls = FloatSymbol if isinstance(value, float) else IntSymbol
    return cls(value, index, used)


def refuse() -> None:
    """Expansions see no values: a number in them can only be handed on."""
    raise FrozenNumber("an expansion may hand run-time numbers to calls, not compute with them")
