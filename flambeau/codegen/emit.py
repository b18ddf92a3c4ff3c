"""Scalar trees → LLVM IR, on scalars or on vectors of any width.

    emitter = Emitter(b, lanes=16, leaf=load_it)
    value = emitter.emit(tree)

`leaf` is asked for the value of each leaf but constants, in the type `computed(leaf.dtype)` with
that many lanes. Equal subtrees are computed once. To reuse what was computed outside a loop, start
the emitter inside with a copy of the outer one's `known`.
"""

from __future__ import annotations

from collections.abc import Callable

from ..ir import dtype as types
from ..ir.dtype import DType
from ..ir.tree import Tree, walk
from . import mathlib
from .builder import Builder
from .values import Value, computed, vector_of

Leaf = Callable[[Tree], Value]
_FLOAT_COMPARE = {"eq": "oeq", "ne": "une", "lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge"}
_ROUNDINGS = {"floor": "floor", "ceil": "ceil", "trunc": "trunc", "round": "roundeven"}


class Emitter:
    """Writes trees at one place in the code."""

    def __init__(
        self,
        b: Builder,
        lanes: int,
        leaf: Leaf,
        known: dict[Tree, Value] | None = None,
        divisor_is_zero: Callable[[Value], None] | None = None,
        pick: Callable[[Tree, Value], Value] | None = None,
        outside: Callable[[Tree, Value, Value, Value], None] | None = None,
    ) -> None:
        self.b, self.lanes, self.leaf = b, lanes, leaf
        self.pick, self.outside = pick, outside
        self.known = known if known is not None else {}
        self.divisor_is_zero = divisor_is_zero

    def emit(self, root: Tree) -> Value:
        """The value of a tree."""
        if root not in self.known:
            for node in walk(root):
                if node not in self.known:
                    self.known[node] = self._node(node)
        return self.known[root]

    def type_of(self, dtype: DType) -> str:
        return vector_of(computed(dtype), self.lanes)

    def _node(self, node: Tree) -> Value:
        if node.kind == "number":
            return self.b.number(self.type_of(node.dtype), node.data)
        if not node.args:
            return self.leaf(node)
        args = [self.known[arg] for arg in node.args]
        if node.kind in mathlib.FUNCTIONS:
            return mathlib.FUNCTIONS[node.kind](self.b, *args)
        if node.kind in _FLOAT_COMPARE:
            return self._compare(node.kind, node.args[0].dtype, *args)
        method: Callable[..., Value] = getattr(self, f"_{node.kind}")
        return method(node, *args)

    # -- arithmetic

    def _add(self, node: Tree, x: Value, y: Value) -> Value:
        return self.b.int("or", x, y) if node.dtype.kind == "b" else self.b.add(x, y)

    def _sub(self, node: Tree, x: Value, y: Value) -> Value:
        return self.b.int("xor", x, y) if node.dtype.kind == "b" else self.b.sub(x, y)

    def _mul(self, node: Tree, x: Value, y: Value) -> Value:
        return self.b.int("and", x, y) if node.dtype.kind == "b" else self.b.mul(x, y)

    def _div(self, node: Tree, x: Value, y: Value) -> Value:
        return self.b.fdiv(x, y)

    def _fma(self, node: Tree, x: Value, y: Value, z: Value) -> Value:
        return self.b.fma(x, y, z)

    def _neg(self, node: Tree, x: Value) -> Value:
        return self.b.fneg(x) if node.dtype.kind == "f" else self.b.sub(self.b.like(x, 0), x)

    def _abs(self, node: Tree, x: Value) -> Value:
        if node.dtype.kind == "f":
            return self.b.intrinsic("fabs", x)
        return self.b.select(self.b.icmp("slt", x, 0), self._neg(node, x), x)

    def _min(self, node: Tree, x: Value, y: Value) -> Value:
        return extreme(self.b, "min", node.dtype, x, y)

    def _max(self, node: Tree, x: Value, y: Value) -> Value:
        return extreme(self.b, "max", node.dtype, x, y)

    def _sqrt(self, node: Tree, x: Value) -> Value:
        return self.b.intrinsic("sqrt", x)

    def _copysign(self, node: Tree, x: Value, y: Value) -> Value:
        return self.b.intrinsic("copysign", x, y)

    def _floor(self, node: Tree, x: Value) -> Value:
        return self.b.intrinsic(_ROUNDINGS[node.kind], x)

    _ceil = _trunc = _round = _floor

    def _fmod(self, node: Tree, x: Value, y: Value) -> Value:
        return self.b.op(f"frem {x.typed}, {y}", x.type)

    def _pow(self, node: Tree, x: Value, y: Value) -> Value:
        if node.dtype.kind != "f":
            return self._integer_power(node, x, y)
        exponent = node.args[1]
        if exponent.kind == "number" and abs(exponent.data) in (0.5, 1, 2, 3):
            return self._small_power(x, exponent.data)
        return mathlib.pow_(self.b, x, y)

    def _small_power(self, x: Value, exponent: float) -> Value:
        power = self.b.intrinsic("sqrt", x) if abs(exponent) == 0.5 else x
        for _ in range(int(abs(exponent)) - 1):
            power = self.b.mul(power, x)
        return power if exponent > 0 else self.b.fdiv(self.b.like(x, 1), power)

    def _integer_power(self, node: Tree, x: Value, y: Value) -> Value:
        """By squaring; with a negative exponent only 1 and -1 leave something."""
        b, one, zero = self.b, self.b.like(x, 1), self.b.like(x, 0)
        with b.loop(0, node.dtype.itemsize * 8, carry=[one, x, y]) as turn:
            product, square, rest = turn.carried
            odd = b.icmp("ne", b.int("and", rest, 1), 0)
            more = b.select(odd, b.mul(product, square), product)
            turn.next = [more, b.mul(square, square), b.int("lshr", rest, 1)]
        if node.dtype.kind != "i":
            return turn.results[0]
        negative_even = b.icmp("eq", b.int("and", y, 1), 0)
        minus_one = b.select(negative_even, one, b.like(x, -1))
        fraction = b.select(b.icmp("eq", x, -1), minus_one, zero)
        fraction = b.select(b.icmp("eq", x, 1), one, fraction)
        return b.select(b.icmp("slt", y, 0), fraction, turn.results[0])

    def _quotient(self, node: Tree, x: Value, y: Value) -> Value:
        return self._divide(node, x, y)[0]

    def _modulus(self, node: Tree, x: Value, y: Value) -> Value:
        return self._divide(node, x, y)[1]

    def _divide(self, node: Tree, x: Value, y: Value) -> tuple[Value, Value]:
        """Quotient and remainder. A zero divisor is reported and gives 0; -1 negates.

        Both would stop the process if the processor's division saw them.
        """
        b, divisor = self.b, node.args[1]
        zero = b.icmp("eq", y, 0)
        if self.divisor_is_zero and (divisor.kind != "number" or not divisor.data):
            self.divisor_is_zero(zero)
        trap, signed = zero, node.dtype.kind == "i"
        if signed:
            minus = b.icmp("eq", y, -1)
            trap = b.int("or", zero, minus)
        safe = b.select(trap, b.like(y, 1), y)
        quotient = b.int("sdiv" if signed else "udiv", x, safe)
        rest = b.sub(x, b.mul(quotient, safe))
        if signed:
            quotient = b.select(minus, b.sub(b.like(x, 0), x), quotient)
        return b.select(zero, b.like(x, 0), quotient), rest

    # -- indices

    def _pick(self, node: Tree, position: Value) -> Value:
        assert self.pick is not None, "elements are picked by loop nests only"
        return self.pick(node, position)

    def _check(self, node: Tree, index: Value, bound: Value) -> Value:
        """The index; where it is out of range, 0, and that is reported."""
        assert self.outside is not None, "indices are checked by loop nests only"
        wrong = self.b.icmp("uge", index, bound)  # unsigned, so negative ones count as large
        self.outside(node, wrong, index, bound)
        return self.b.select(wrong, self.b.like(index, 0), index)

    # -- bits and truth

    def _and(self, node: Tree, x: Value, y: Value) -> Value:
        return self.b.int(node.kind, x, y)

    _or = _xor = _and

    def _not(self, node: Tree, x: Value) -> Value:
        return self.b.int("xor", x, True if node.dtype.kind == "b" else -1)

    def _shl(self, node: Tree, x: Value, y: Value) -> Value:
        """Left by y; nothing is left where y is no shift of that width."""
        bits = node.dtype.itemsize * 8
        far = self.b.icmp("uge", y, bits)
        shifted = self.b.int("shl", x, self.b.int("and", y, bits - 1))
        return self.b.select(far, self.b.like(x, 0), shifted)

    def _shr(self, node: Tree, x: Value, y: Value) -> Value:
        """Right by y, the sign filling up."""
        bits = node.dtype.itemsize * 8
        far = self.b.icmp("uge", y, bits)
        if node.dtype.kind == "i":
            return self.b.int("ashr", x, self.b.select(far, self.b.like(y, bits - 1), y))
        shifted = self.b.int("lshr", x, self.b.int("and", y, bits - 1))
        return self.b.select(far, self.b.like(x, 0), shifted)

    def _compare(self, kind: str, dtype: DType, x: Value, y: Value) -> Value:
        if dtype.kind == "f":
            return self.b.fcmp(_FLOAT_COMPARE[kind], x, y)
        sign = "" if kind in ("eq", "ne") else "s" if dtype.kind == "i" else "u"
        return self.b.icmp(sign + kind, x, y)

    def _where(self, node: Tree, condition: Value, x: Value, y: Value) -> Value:
        return self.b.select(condition, x, y)

    def _cast(self, node: Tree, x: Value) -> Value:
        return cast(self.b, x, node.args[0].dtype, node.dtype)


def extreme(b: Builder, step: str, dtype: DType, x: Value, y: Value) -> Value:
    """The smaller ('min') or larger ('max') of two; NaN if either is."""
    if dtype.kind == "b":
        return b.int("or" if step == "max" else "and", x, y)
    if dtype.kind != "f":
        return b.intrinsic(("s" if dtype.kind == "i" else "u") + step, x, y)
    better = b.fcmp("ogt" if step == "max" else "olt", x, y)
    chosen = b.select(better, x, y)  # y where either is NaN: one machine instruction
    return b.select(b.fcmp("uno", x, x), x, chosen)


def cast(b: Builder, x: Value, source: DType, dtype: DType) -> Value:
    """Convert as C does: towards zero to integers, which wrap; what is not zero is true."""
    if source is dtype:
        return x
    if dtype.kind == "b":
        return b.fcmp("une", x, 0.0) if source.kind == "f" else b.icmp("ne", x, 0)
    if dtype.kind != "f":
        return _to_integer(b, x, source, dtype)
    target = computed(dtype)
    if source.kind == "b":
        value = b.convert("uitofp", x, target)
    elif source.kind != "f":
        value = b.convert("sitofp" if source.kind == "i" else "uitofp", x, target)
    else:
        value = _resize_float(b, x, computed(source), target)
    return b.widen(b.narrow(value, dtype), dtype) if dtype.itemsize == 2 else value


def _resize_float(b: Builder, x: Value, source: str, target: str) -> Value:
    if source == target:
        return x
    return b.convert("fpext" if target == "double" else "fptrunc", x, target)


def _to_integer(b: Builder, x: Value, source: DType, dtype: DType) -> Value:
    target = computed(dtype)
    if source.kind == "f":  # narrow ones by way of a wider type, so that they wrap
        by_way = "i64" if dtype in (types.int64, types.uint8) else "i32"
        whole = b.convert("fptosi", x, by_way)
        return whole if by_way == target else b.convert("trunc", whole, target)
    if source.kind != "b" and source.itemsize == dtype.itemsize:
        return x
    if source.kind != "b" and source.itemsize > dtype.itemsize:
        return b.convert("trunc", x, target)
    return b.convert("sext" if source.kind == "i" else "zext", x, target)
