"""The scalar algebra `k`: the words in which op rows say what happens to one element.

A row writes `scalar=lambda k, x: x / (1 + k.exp(-x))`; run once on leaves, that makes a tree
(`flambeau.ir.tree`), which code generation, `show` and `cost` walk. Nothing here touches a machine.
"""

from __future__ import annotations

from ..ir import dtype as types
from ..ir.dtype import DType
from ..ir.show_nest import show_tree as show
from ..ir.tree import (
    Argument,
    Check,
    Index,
    Leaf,
    Load,
    Number,
    Result,
    Scalar,
    Tree,
    binary,
    compare,
    lift,
    tree,
    walk,
)  # fmt: skip

__all__ = [
    "Algebra", "Argument", "Check", "Index", "Leaf", "Load", "Number", "Result", "Tree",
    "cost", "k", "show",
]  # fmt: skip

Operand = Tree | Scalar

TRANSCENDENTAL = frozenset(
    "exp exp2 log log2 log10 log1p expm1 sin cos tan tanh erf pow fmod quotient modulus "
    "sinh cosh asin acos atan atan2 asinh acosh atanh lgamma erfc".split()
)


def _float(kind: str, x: Tree) -> Tree:
    if x.dtype.kind != "f":
        raise TypeError(f"{kind} is not defined for {x.dtype.name}; hint: use k.cast")
    return tree(kind, x.dtype, x)


class Algebra:
    """Functions on trees. Python numbers take the type of the tree beside them."""

    def number(self, value: Scalar, dtype: DType) -> Tree:
        """A constant of a given type."""
        return Number(value, dtype)

    def cast(self, x: Tree, dtype: DType) -> Tree:
        """Convert as PyTorch's `to` does; to float16 and bfloat16 this rounds."""
        if x.kind == "number" and dtype not in (types.float16, types.bfloat16) and _exact(x, dtype):
            return Number(x.data, dtype)
        return x if x.dtype is dtype else tree("cast", dtype, x)

    # -- functions of a float: the names say what they are

    def exp(self, x: Tree) -> Tree:
        return _float("exp", x)

    def log(self, x: Tree) -> Tree:
        return _float("log", x)

    def log2(self, x: Tree) -> Tree:
        return _float("log2", x)

    def log10(self, x: Tree) -> Tree:
        return _float("log10", x)

    def log1p(self, x: Tree) -> Tree:
        return _float("log1p", x)

    def exp2(self, x: Tree) -> Tree:
        return _float("exp2", x)

    def expm1(self, x: Tree) -> Tree:
        return _float("expm1", x)

    def sqrt(self, x: Tree) -> Tree:
        return _float("sqrt", x)

    def rsqrt(self, x: Tree) -> Tree:
        """1 / sqrt(x), by a true division."""
        return 1 / _float("sqrt", x)

    def sin(self, x: Tree) -> Tree:
        return _float("sin", x)

    def cos(self, x: Tree) -> Tree:
        return _float("cos", x)

    def tan(self, x: Tree) -> Tree:
        return _float("tan", x)

    def tanh(self, x: Tree) -> Tree:
        return _float("tanh", x)

    def erf(self, x: Tree) -> Tree:
        return _float("erf", x)

    def sigmoid(self, x: Tree) -> Tree:
        """1 / (1 + exp(-x))."""
        return 1 / (1 + self.exp(-x))

    def floor(self, x: Tree) -> Tree:
        return self._whole("floor", x)

    def ceil(self, x: Tree) -> Tree:
        return self._whole("ceil", x)

    def trunc(self, x: Tree) -> Tree:
        return self._whole("trunc", x)

    def round(self, x: Tree) -> Tree:
        """To the nearest whole number, halves to the even one."""
        return self._whole("round", x)

    def _whole(self, kind: str, x: Tree) -> Tree:
        return _float(kind, x) if x.dtype.kind == "f" else x

    # -- functions of any number

    def abs(self, x: Tree) -> Tree:
        return x if x.dtype.kind in "ub" else tree("abs", x.dtype, x)

    def neg(self, x: Tree) -> Tree:
        return -x

    def sign(self, x: Tree) -> Tree:
        """-1, 0 or 1 in x's own type; 0 for NaN, as PyTorch has it."""
        if x.dtype.kind == "b":
            return x
        return self.cast(0 < x, x.dtype) - self.cast(x < 0, x.dtype)

    def square(self, x: Tree) -> Tree:
        return x * x

    def reciprocal(self, x: Tree) -> Tree:
        return 1 / x

    def isnan(self, x: Tree) -> Tree:
        return compare("ne", x, x) if x.dtype.kind == "f" else Number(False, types.bool_)

    def isinf(self, x: Tree) -> Tree:
        return self.eq(self.abs(x), float("inf"))

    def isfinite(self, x: Tree) -> Tree:
        """False for NaN too."""
        return self.abs(x) < float("inf")

    def minimum(self, a: Operand, b: Operand) -> Tree:
        """The smaller one, b if they are equal; NaN if either is."""
        return binary("min", a, b)

    def maximum(self, a: Operand, b: Operand) -> Tree:
        """The larger one, b if they are equal; NaN if either is."""
        return binary("max", a, b)

    def fma(self, a: Operand, b: Operand, c: Operand) -> Tree:
        """a * b + c, rounded once."""
        a, b, c = lift(a, b, c)
        return tree("fma", a.dtype, a, b, c)

    def copysign(self, a: Operand, b: Operand) -> Tree:
        """The magnitude of a with the sign of b."""
        return binary("copysign", a, b)

    def where(self, condition: Tree, a: Operand, b: Operand) -> Tree:
        """a where the condition holds, else b."""
        a, b = lift(a, b)
        return tree("where", a.dtype, self.truth(condition), a, b)

    # -- powers and division

    def pow(self, a: Operand, b: Operand) -> Tree:
        """a to the power b; integer powers wrap, and a negative exponent gives 0, 1 or -1."""
        return binary("pow", a, b)

    def fmod(self, a: Operand, b: Operand) -> Tree:
        """The remainder of a division that rounds towards zero; it has a's sign."""
        a, b = lift(a, b)
        return tree("modulus" if a.dtype.kind != "f" else "fmod", a.dtype, a, b)

    def trunc_div(self, a: Operand, b: Operand) -> Tree:
        """The quotient, rounded towards zero."""
        a, b = lift(a, b)
        return self.trunc(a / b) if a.dtype.kind == "f" else tree("quotient", a.dtype, a, b)

    def floor_div(self, a: Operand, b: Operand) -> Tree:
        """The quotient, rounded down; floats as Python and PyTorch correct them."""
        a, b = lift(a, b)
        if a.dtype.kind == "f":
            return self._floor_div_float(a, b)
        quotient = self.trunc_div(a, b)
        if a.dtype.kind != "i":
            return quotient
        rest = self.fmod(a, b)
        odd = self.ne(rest, 0) & ((rest < 0) ^ (b < 0))
        return quotient - self.cast(odd, a.dtype)

    def _floor_div_float(self, a: Tree, b: Tree) -> Tree:
        rest = self.fmod(a, b)
        quotient = (a - rest) / b
        odd = self.ne(rest, 0) & ((b < 0) ^ (rest < 0))
        quotient = self.where(odd, quotient - 1, quotient)
        down = self.floor(quotient)
        down = self.where(quotient - down > 0.5, down + 1, down)
        whole = self.where(self.eq(quotient, 0), self.copysign(0.0, a / b), down)
        return self.where(self.eq(b, 0), a / b, whole)

    def remainder(self, a: Operand, b: Operand) -> Tree:
        """The remainder of a division that rounds down; it has b's sign."""
        a, b = lift(a, b)
        rest = self.fmod(a, b)
        if a.dtype.kind == "u":
            return rest
        odd = self.ne(rest, 0) & ((b < 0) ^ (rest < 0))
        return self.where(odd, rest + b, rest)

    # -- indices

    def check(self, index: Tree, bound: Tree, failure: str, dim: int = 0) -> Tree:
        """The index if 0 ≤ index < bound; else 0, and the program stops with that failure."""
        return Check(index, bound, failure, dim)

    # -- comparisons and logic

    def eq(self, a: Operand, b: Operand) -> Tree:
        return compare("eq", a, b)

    def ne(self, a: Operand, b: Operand) -> Tree:
        return compare("ne", a, b)

    def lt(self, a: Operand, b: Operand) -> Tree:
        return compare("lt", a, b)

    def le(self, a: Operand, b: Operand) -> Tree:
        return compare("le", a, b)

    def gt(self, a: Operand, b: Operand) -> Tree:
        return compare("gt", a, b)

    def ge(self, a: Operand, b: Operand) -> Tree:
        return compare("ge", a, b)

    def truth(self, x: Tree) -> Tree:
        """Whether x is not zero (NaN is not zero)."""
        return x if x.dtype is types.bool_ else self.ne(x, 0)

    def logical_and(self, a: Tree, b: Tree) -> Tree:
        return self.truth(a) & self.truth(b)

    def logical_or(self, a: Tree, b: Tree) -> Tree:
        return self.truth(a) | self.truth(b)

    def logical_xor(self, a: Tree, b: Tree) -> Tree:
        return self.truth(a) ^ self.truth(b)

    def logical_not(self, x: Tree) -> Tree:
        return ~self.truth(x)


k = Algebra()


def _exact(x: Tree, dtype: DType) -> bool:
    """Whether a constant keeps its value in the other type, so that the cast can be done here."""
    try:
        return dtype.kind != "b" and dtype.numpy.type(x.data) == x.data
    except (OverflowError, ValueError):
        return False


def cost(*roots: Tree) -> tuple[int, int]:
    """How many operations there are, and how many of these are transcendental."""
    kinds = [node.kind for node in walk(*roots) if node.args]
    return len(kinds), sum(kind in TRANSCENDENTAL for kind in kinds)
