"""Operators: which function stands behind `x + y`, `1 - x`, `x @ y`, `x += y`, `x < y`.

Those of two operands answer NotImplemented where the other operand is nothing they know, so that
its class is asked, or Python says what the operator cannot do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.op import Op, Param
from flambeau.ops.declare import TABLE
from flambeau.ops.functions import TEMPLATE, WORDS, build, key_of, tensor_key
from flambeau.trace import entering
from flambeau.trace.tensor import Recorded, tensors

# Operators that are rows: written out like the functions, so that they cost no second call.
ROWS = {
    "__add__": "add",
    "__radd__": "add",
    "__sub__": "sub",
    "__mul__": "mul",
    "__rmul__": "mul",
    "__eq__": "eq",
    "__ne__": "ne",
    "__lt__": "lt",
    "__le__": "le",
    "__gt__": "gt",
    "__ge__": "ge",
    "__truediv__": "true_divide",
}
# Operators that are functions with overloads or checks of their own.
CALLS = {
    "__rsub__": "rsub",
    "__floordiv__": "floor_divide",
    "__mod__": "remainder",
    "__pow__": "pow",
    "__matmul__": "matmul",
    "__and__": "bitwise_and",
    "__or__": "bitwise_or",
    "__rand__": "bitwise_and",
    "__ror__": "bitwise_or",
    "__xor__": "bitwise_xor",
    "__rxor__": "bitwise_xor",
    "__lshift__": "bitwise_left_shift",
    "__rshift__": "bitwise_right_shift",
}
REFLECTED = {
    "__rpow__": "pow",
    "__rmatmul__": "matmul",
    "__rfloordiv__": "floor_divide",
    "__rmod__": "remainder",
    "__rlshift__": "bitwise_left_shift",
    "__rrshift__": "bitwise_right_shift",
}
IN_PLACE = {
    "__iadd__": "add_",
    "__isub__": "sub_",
    "__imul__": "mul_",
    "__itruediv__": "div_",
    "__ifloordiv__": "floor_divide_",
    "__imod__": "remainder_",
    "__ipow__": "pow_",
    "__iand__": "bitwise_and_",
    "__ior__": "bitwise_or_",
    "__ixor__": "bitwise_xor_",
    "__ilshift__": "bitwise_left_shift_",
    "__irshift__": "bitwise_right_shift_",
}
UNARY = {"__neg__": "neg", "__abs__": "abs", "__invert__": "bitwise_not"}


NUMBERS = frozenset({int, float})  # that need no look whether they are something else


def row_operator(dunder: str, name: str) -> Callable[..., Any]:
    """An operator that records a row, whose other parameters are left at their defaults."""

    def source(op: Op) -> str:
        first, second, *rest = op.params
        args = [first.name, second.name, *(f"default_{p.name}" for p in rest)]
        body = TEMPLATE.format(
            name=dunder,
            parameters=f"{first.name}, {second.name}",
            args=", ".join(args),
            out="",
            keys=", ".join([own_key(first), key_of(second), *args[2:]]),
        )
        head, _, lines = body.strip("\n").partition("\n")
        guarded = "\n".join("    " + line for line in lines.splitlines())
        decline = f"compared({first.name}, {second.name})"
        if dunder != "__eq__":
            decline = f"declined({first.name})"
        answer = f"    except TypeError:\n        return {decline}\n"
        return f"{head}\n    try:\n{guarded}\n{answer}"

    return build(TABLE[name], dunder, source)


def own_key(param: Param) -> str:
    """The key of the operand whose method an operator is: it must be a tensor."""
    return tensor_key(param.name, f"enter_own(_stretch, {param.name})")


def enter_own(stretch: Any, x: Any) -> Any:
    """Enter a tensor that a stretch does not know."""
    check_own(x)
    return entering.enter(stretch, x)


def check_own(x: Any) -> None:
    """An operator that is called as a function of the class wants a tensor first."""
    if not isinstance(x, Recorded):
        raise TypeError("descriptor for 'torch.Tensor' objects doesn't apply to a "
                        f"'{type(x).__name__}' object")  # fmt: skip


def declined(x: Any) -> Any:
    """What an operator says that cannot do with the other operand."""
    check_own(x)
    return NotImplemented


def compared(x: Any, other: Any) -> Any:
    """`x == other` for an array, which leaves comparisons to us (and no other operator)."""
    check_own(x)
    if not isinstance(other, np.ndarray) or other.dtype.kind not in "biufc":
        return NotImplemented
    return x == type(x).new_tensor(x, other, dtype=dt.FROM_NUMPY[other.dtype])


WORDS.update(enter_own=enter_own, declined=declined, compared=compared)


def guarded(dunder: str, function: Callable[..., Any], swap: bool = False) -> Callable[..., Any]:
    """An operator from a function."""

    def operate(self: Any, other: Any) -> Any:
        cls = other.__class__
        if self.__class__ not in tensors or cls not in tensors and cls not in NUMBERS:
            check_own(self)
            if isinstance(other, np.ndarray):
                return NotImplemented
        try:
            return function(other, self) if swap else function(self, other)
        except TypeError:
            return NotImplemented

    operate.__name__ = operate.__qualname__ = dunder
    return operate


def true_divide_reflected(self: Any, other: Any) -> Any:
    """number / tensor"""
    if not isinstance(other, (int, float, complex, np.generic)):
        return NotImplemented
    return self.reciprocal() * other


def attach(cls: Any, functions: dict[str, Any]) -> None:
    """Give the class its operators."""
    for dunder, name in ROWS.items():
        setattr(cls, dunder, row_operator(dunder, name))
    for table, swap in ((CALLS, False), (REFLECTED, True)):
        for dunder, name in table.items():
            setattr(cls, dunder, guarded(dunder, functions[name], swap))
    for dunder, name in {**IN_PLACE, **UNARY}.items():
        setattr(cls, dunder, getattr(cls, name))
    cls.__rtruediv__ = true_divide_reflected
    cls.__div__ = cls.__truediv__
    cls.__rdiv__ = lambda self, other: self.reciprocal() * other
    cls.__pos__ = lambda self: self
