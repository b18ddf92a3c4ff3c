"""Single instructions of LLVM IR as text: arithmetic, conversions, vectors.

The lowest part of `Builder`; everything that generates code goes through it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from .values import Mask, Value, element_of, lanes_of, shaped, vector_of

Int = int  # inside the class the name `int` is a method


class Instructions:
    """Instructions, one after the other, in the function that is being written."""

    def __init__(self, vector_bytes: int = 64, scalef: bool = False) -> None:
        self.vector_bytes = vector_bytes
        self.scalef = scalef  # whether the machine has AVX-512's instruction for x · 2ⁿ
        self.lines: list[str] = []
        self.functions: list[str] = []
        self.declared: dict[str, str] = {}
        self.block = "entry"
        self.args: Value | None = None
        self._fresh = 0

    # -- the module

    def text(self) -> str:
        """The whole module."""
        return "\n".join([*self.declared.values(), *self.functions])

    def fresh(self, stem: str = "v") -> str:
        self._fresh += 1
        return f"{stem}{self._fresh}"

    def declare(self, name: str, returns: str, params: Sequence[str]) -> None:
        self.declared[name] = f"declare {returns} @{name}({', '.join(params)})"

    # -- single instructions

    def line(self, text: str) -> None:
        self.lines.append("  " + text)

    def op(self, text: str, kind: str) -> Value:
        """An instruction that has a result of type `kind`."""
        name = f"%{self.fresh()}"
        self.lines.append(f"  {name} = {text}")
        return Value(kind, name)

    def call(self, name: str, returns: str, *args: Value, flags: str = "") -> Value:
        """Call a function that returns a value; it is declared on the way."""
        self.declare(name, returns, [a.type for a in args])
        listed = ", ".join(a.typed for a in args)
        return self.op(f"call {flags}{returns} @{name}({listed})", returns)

    def intrinsic(self, name: str, *args: Value) -> Value:
        """Call `llvm.name` on operands of one type, with a result of that type."""
        kind = args[0].type
        return self.call(f"llvm.{name}.{mangled(kind)}", kind, *args)

    def number(self, kind: str, value: float | Int | bool) -> Value:
        """A constant; a vector type gives a vector of equal lanes."""
        element = element_of(kind)
        literal = _literal(element, value)
        if lanes_of(kind) == 1 and not kind.startswith("<"):
            return Value(kind, literal)
        return Value(kind, f"splat ({element} {literal})")

    def like(self, x: Value, value: float | Int | bool) -> Value:
        """A constant of x's type."""
        return self.number(x.type, value)

    def i64(self, value: Int | Value) -> Value:
        return value if isinstance(value, Value) else Value("i64", str(value))

    def _binary(self, kind: str, a: Value, b: Value | float, flags: str = "") -> Value:
        b = b if isinstance(b, Value) else self.like(a, b)
        if element_of(a.type) in ("float", "double", "half"):
            kind = "f" + kind
            flags = "contract "
        return self.op(f"{kind} {flags}{a.type} {a}, {b}", a.type)

    def add(self, a: Value, b: Value | float) -> Value:
        return self._binary("add", a, b)

    def sub(self, a: Value, b: Value | float) -> Value:
        return self._binary("sub", a, b)

    def mul(self, a: Value, b: Value | float) -> Value:
        return self._binary("mul", a, b)

    def fdiv(self, a: Value, b: Value | float) -> Value:
        b = b if isinstance(b, Value) else self.like(a, b)
        return self.op(f"fdiv {a.type} {a}, {b}", a.type)

    def fneg(self, a: Value) -> Value:
        return self.op(f"fneg {a.type} {a}", a.type)

    def fma(self, a: Value, b: Value | float, c: Value | float) -> Value:
        """a * b + c in one rounding."""
        b = b if isinstance(b, Value) else self.like(a, b)
        c = c if isinstance(c, Value) else self.like(a, c)
        return self.intrinsic("fma", a, b, c)

    def int(self, kind: str, a: Value, b: Value | Int) -> Value:
        """An integer operation by LLVM's name: 'and', 'or', 'xor', 'shl', 'lshr', 'udiv', …"""
        b = b if isinstance(b, Value) else self.like(a, b)
        return self.op(f"{kind} {a.type} {a}, {b}", a.type)

    def icmp(self, kind: str, a: Value, b: Value | Int) -> Value:
        """Compare integers or pointers by LLVM's name: 'eq', 'slt', 'ult', …"""
        b = b if isinstance(b, Value) else self.like(a, b)
        return self.op(f"icmp {kind} {a.type} {a}, {b}", shaped(a.type, "i1"))

    def fcmp(self, kind: str, a: Value, b: Value | float) -> Value:
        """Compare floats by LLVM's name: 'olt', 'une', 'uno', …"""
        b = b if isinstance(b, Value) else self.like(a, b)
        return self.op(f"fcmp {kind} {a.type} {a}, {b}", shaped(a.type, "i1"))

    def select(self, condition: Value, a: Value, b: Value) -> Value:
        return self.op(f"select {condition.typed}, {a.typed}, {b.typed}", a.type)

    def convert(self, how: str, a: Value, element: str) -> Value:
        """Change the element type by LLVM's name: 'fpext', 'sitofp', 'trunc', 'bitcast', …"""
        kind = shaped(a.type, element)
        return self.op(f"{how} {a.typed} to {kind}", kind)

    def smin(self, a: Value, b: Value | Int) -> Value:
        return self.intrinsic("smin", a, b if isinstance(b, Value) else self.like(a, b))

    def smax(self, a: Value, b: Value | Int) -> Value:
        return self.intrinsic("smax", a, b if isinstance(b, Value) else self.like(a, b))

    # -- vectors

    def splat(self, x: Value, lanes: Int) -> Value:
        """A vector of equal lanes; with lanes == 1, x itself."""
        if lanes == 1:
            return x
        kind = vector_of(x.type, lanes)
        one = self.op(f"insertelement {kind} poison, {x.typed}, i64 0", kind)
        zeros = f"<{lanes} x i32> zeroinitializer"
        return self.op(f"shufflevector {kind} {one}, {kind} poison, {zeros}", kind)

    def iota(self, lanes: Int, element: str = "i64") -> Value:
        """0, 1, 2, …: the number of each lane."""
        if lanes == 1:
            return Value(element, "0")
        listed = ", ".join(f"{element} {i}" for i in range(lanes))
        return Value(vector_of(element, lanes), f"<{listed}>")

    def extract(self, x: Value, lane: Int | Value) -> Value:
        return self.op(f"extractelement {x.typed}, {self.i64(lane).typed}", element_of(x.type))

    def insert(self, x: Value, item: Value, lane: Int | Value) -> Value:
        return self.op(f"insertelement {x.typed}, {item.typed}, {self.i64(lane).typed}", x.type)

    def shuffle(self, a: Value, b: Value, lanes: Sequence[Int]) -> Value:
        """Lanes of a, and after them those of b, in a new order."""
        kind = vector_of(element_of(a.type), len(lanes))
        listed = ", ".join(f"i32 {i}" for i in lanes)
        return self.op(f"shufflevector {a.typed}, {b.typed}, <{len(lanes)} x i32> <{listed}>", kind)

    def any(self, mask: Value) -> Value:
        """Whether a lane of the mask is set."""
        if mask.type == "i1":
            return mask
        lanes = lanes_of(mask.type)
        return self.call(f"llvm.vector.reduce.or.v{lanes}i1", "i1", mask)

    def active(self, remaining: Value, lanes: Int) -> Value:
        """The mask of the lanes below `remaining` (an i64)."""
        narrow = self.op(f"trunc i64 {self.smin(remaining, lanes)} to i32", "i32")
        return self.icmp("slt", self.iota(lanes, "i32"), self.splat(narrow, lanes))

    def first_lanes(self, remaining: Value, lanes: Int) -> Mask:
        """The same mask, which knows how many they are."""
        mask = self.active(remaining, lanes)
        return Mask(mask.type, mask.name, remaining)


def mangled(kind: str) -> str:
    """A type as intrinsics spell it in their names: v16f32."""
    element = {"float": "f32", "double": "f64", "half": "f16", "ptr": "p0"}.get(
        element_of(kind), element_of(kind)
    )
    return f"v{lanes_of(kind)}{element}" if kind.startswith("<") else element


def _literal(element: str, value: float | int | bool) -> str:
    if element == "float":  # LLVM writes a float as the double that has the same value
        with_float = struct.unpack("f", struct.pack("f", _saturate(float(value))))[0]
        return f"0x{struct.unpack('<Q', struct.pack('<d', with_float))[0]:016X}"
    if element == "double":
        return f"0x{struct.unpack('<Q', struct.pack('<d', float(value)))[0]:016X}"
    return str(int(value))


def _saturate(value: float) -> float:
    """What lies beyond float32 is infinite there; struct would refuse it."""
    return value if abs(value) < 3.4028235677973366e38 or value != value else value * float("inf")
