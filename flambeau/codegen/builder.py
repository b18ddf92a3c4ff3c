"""Writes LLVM IR as text: fresh names, loops, vectors, masked memory.

Everything that generates code uses this: the loop nests, the math library and the hand-written
kernels. The IR is meant for LLVM's code generator alone, no optimisation pass runs on it; so
loops carry their values explicitly and vectors are spelt out.

    b = Builder(vector_bytes=64)
    with b.kernel("double_it") as f:
        x, n = b.word_pointer(0), b.word(1)
        with b.loop(f.begin, f.end) as i:
            p = b.element(x, "float", i)
            b.store(b.mul(b.load("float", p), b.number("float", 2)), p)
    text = b.text()
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from .memory import MemoryMixin
from .values import Value, element_of, lanes_of, shaped, vector_of

__all__ = ["Builder", "Frame", "Loop", "Value", "element_of", "lanes_of", "shaped", "vector_of"]


@dataclass(slots=True)
class Frame:
    """The arguments of a kernel: tasks begin ≤ t < end are to be done by worker `thread`."""

    args: Value
    begin: Value
    end: Value
    thread: Value


@dataclass(slots=True)
class Loop:
    """A loop that is being written: its counter and the values that it carries around.

    Set `next` to the carried values of the next turn; after the loop `results` has the last ones.
    """

    index: Value
    carried: list[Value]
    next: list[Value] = field(default_factory=list)
    results: list[Value] = field(default_factory=list)


class Builder(MemoryMixin):
    """One module of LLVM IR, written from top to bottom."""

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

    @contextmanager
    def kernel(self, name: str) -> Iterator[Frame]:
        """The body of a kernel, `void name(ptr args, i64 begin, i64 end, i64 thread)`."""
        names = {"args": "ptr", "begin": "i64", "end": "i64", "thread": "i64"}
        values = [Value(kind, f"%{name}") for name, kind in names.items()]
        with self.function(name, "void", values, public=True):
            self.args = values[0]
            yield Frame(*values)
            self.line("ret void")

    @contextmanager
    def function(
        self, name: str, returns: str, params: Sequence[Value], public: bool = False
    ) -> Iterator[None]:
        """A function whose body ends in an explicit `ret`; only this module calls it."""
        self.lines, self.block = ["entry:"], "entry"
        yield
        listed = ", ".join(p.typed for p in params)
        body = "\n".join(self.lines)
        where = "" if public else "internal "
        head = f"define {where}{returns} @{name}({listed}) nounwind"
        self.functions.append(f"{head} {{\n{body}\n}}")

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

    def number(self, kind: str, value: float | int | bool) -> Value:
        """A constant; a vector type gives a vector of equal lanes."""
        element = element_of(kind)
        literal = _literal(element, value)
        if lanes_of(kind) == 1 and not kind.startswith("<"):
            return Value(kind, literal)
        return Value(kind, f"splat ({element} {literal})")

    def like(self, x: Value, value: float | int | bool) -> Value:
        """A constant of x's type."""
        return self.number(x.type, value)

    def i64(self, value: int | Value) -> Value:
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

    def int(self, kind: str, a: Value, b: Value | int) -> Value:
        """An integer operation by LLVM's name: 'and', 'or', 'xor', 'shl', 'lshr', 'udiv', …"""
        b = b if isinstance(b, Value) else self.like(a, b)
        return self.op(f"{kind} {a.type} {a}, {b}", a.type)

    def icmp(self, kind: str, a: Value, b: Value | int) -> Value:
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

    def smin(self, a: Value, b: Value | int) -> Value:
        return self.intrinsic("smin", a, b if isinstance(b, Value) else self.like(a, b))

    def smax(self, a: Value, b: Value | int) -> Value:
        return self.intrinsic("smax", a, b if isinstance(b, Value) else self.like(a, b))

    # -- the kernel's words

    def word(self, index: int) -> Value:
        """The argument word number `index`, as i64."""
        assert self.args is not None
        p = self.op(f"getelementptr i64, ptr {self.args}, i64 {index}", "ptr")
        return self.op(f"load i64, ptr {p}, align 8", "i64")

    def word_pointer(self, index: int) -> Value:
        """The argument word number `index`, as an address."""
        return self.op(f"inttoptr i64 {self.word(index)} to ptr", "ptr")

    def word_float(self, index: int, kind: str = "double") -> Value:
        """The argument word number `index`: float64 bits, rounded to `kind`."""
        wide = self.op(f"bitcast i64 {self.word(index)} to double", "double")
        return wide if kind == "double" else self.op(f"fptrunc double {wide} to {kind}", kind)

    # -- vectors

    def splat(self, x: Value, lanes: int) -> Value:
        """A vector of equal lanes; with lanes == 1, x itself."""
        if lanes == 1:
            return x
        kind = vector_of(x.type, lanes)
        one = self.op(f"insertelement {kind} poison, {x.typed}, i64 0", kind)
        zeros = f"<{lanes} x i32> zeroinitializer"
        return self.op(f"shufflevector {kind} {one}, {kind} poison, {zeros}", kind)

    def iota(self, lanes: int, element: str = "i64") -> Value:
        """0, 1, 2, …: the number of each lane."""
        if lanes == 1:
            return Value(element, "0")
        listed = ", ".join(f"{element} {i}" for i in range(lanes))
        return Value(vector_of(element, lanes), f"<{listed}>")

    def extract(self, x: Value, lane: int | Value) -> Value:
        return self.op(f"extractelement {x.typed}, {self.i64(lane).typed}", element_of(x.type))

    def insert(self, x: Value, item: Value, lane: int | Value) -> Value:
        return self.op(f"insertelement {x.typed}, {item.typed}, {self.i64(lane).typed}", x.type)

    def shuffle(self, a: Value, b: Value, lanes: Sequence[int]) -> Value:
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

    def active(self, remaining: Value, lanes: int) -> Value:
        """The mask of the lanes below `remaining` (an i64)."""
        narrow = self.op(f"trunc i64 {self.smin(remaining, lanes)} to i32", "i32")
        return self.icmp("slt", self.iota(lanes, "i32"), self.splat(narrow, lanes))

    # -- control flow

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")
        self.block = name

    def jump(self, target: str) -> None:
        self.line(f"br label %{target}")

    def branch(self, condition: Value, yes: str, no: str) -> None:
        self.line(f"br i1 {condition}, label %{yes}, label %{no}")

    def phi(self, kind: str, *sources: tuple[Value, str]) -> Value:
        """The value that came with the block from which control came."""
        listed = ", ".join(f"[ {value}, %{block} ]" for value, block in sources)
        return self.op(f"phi {kind} {listed}", kind)

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """Code that runs only where the condition (an i1) holds."""
        inside, after = self.fresh("then"), self.fresh("after")
        self.branch(condition, inside, after)
        self.label(inside)
        yield
        self.jump(after)
        self.label(after)

    @contextmanager
    def loop(
        self,
        begin: Value | int,
        end: Value | int,
        step: Value | int = 1,
        carry: Sequence[Value] = (),
    ) -> Iterator[Loop]:
        """Count from begin while below end; step must be positive, and zero turns are fine."""
        begin, end, step = self.i64(begin), self.i64(end), self.i64(step)
        body, done, before = self.fresh("loop"), self.fresh("done"), self.block
        self.branch(self.icmp("slt", begin, end), body, done)
        self.label(body)
        start, starts = len(self.lines), [begin, *carry]
        phis = [Value(value.type, f"%{self.fresh('c')}") for value in starts]
        loop = Loop(phis[0], phis[1:])
        yield loop
        assert len(loop.next) == len(carry), "loop.next must have a value for each carried one"
        turn = self.op(f"add nsw i64 {loop.index}, {step}", "i64")
        nexts = [turn, *loop.next]
        self.lines[start:start] = [
            f"  {phi} = phi {phi.type} [ {first}, %{before} ], [ {next_}, %{self.block} ]"
            for phi, first, next_ in zip(phis, starts, nexts, strict=True)
        ]
        latch = self.block
        self.branch(self.icmp("slt", turn, end), body, done)
        self.label(done)
        loop.results = [
            self.phi(first.type, (first, before), (last, latch))
            for first, last in zip(carry, loop.next, strict=True)
        ]

    # -- errors

    def fail(self, record: Value, condition: Value, code: int, *facts: Value | int) -> None:
        """Where the condition holds, note an error; the first one stays. The tape then stops.

        `record` is the address of the error record: code, then up to six facts (i64), such as the
        index and the size that it missed.
        """
        with self.when(condition):
            name = self.fresh("swap")
            self.line(f"%{name} = cmpxchg ptr {record}, i64 0, i64 {code} seq_cst seq_cst")
            with self.when(self.op(f"extractvalue {{ i64, i1 }} %{name}, 1", "i1")):
                for place, fact in enumerate(facts, 1):
                    self.store(self.i64(fact), self.element(record, "i64", place), align=8)


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
