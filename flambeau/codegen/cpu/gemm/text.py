"""A small writer of LLVM IR text: fresh names, loops, addresses, vectors.

All memory is addressed in bytes, so that one rule serves every element type.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Text:
    """The body of one function, written from top to bottom."""

    def __init__(self) -> None:
        self.lines: list[str] = ["entry:"]
        self.block = "entry"
        self.count = 0

    def fresh(self, stem: str = "v") -> str:
        self.count += 1
        return f"{stem}{self.count}"

    def do(self, line: str) -> None:
        self.lines.append(f"  {line}")

    def op(self, text: str) -> str:
        """Emit an instruction that has a value, and answer the value's name."""
        name = "%" + self.fresh()
        self.do(f"{name} = {text}")
        return name

    def begin(self, block: str) -> None:
        self.lines.append(f"{block}:")
        self.block = block

    def add(self, x: str, y: str | int) -> str:
        return self.op(f"add i64 {x}, {y}")

    def sub(self, x: str, y: str | int) -> str:
        return self.op(f"sub i64 {x}, {y}")

    def mul(self, x: str, y: str | int) -> str:
        return self.op(f"mul i64 {x}, {y}")

    def div(self, x: str, y: str | int) -> tuple[str, str]:
        """The quotient and the rest of two counts."""
        return self.op(f"udiv i64 {x}, {y}"), self.op(f"urem i64 {x}, {y}")

    def least(self, x: str, y: str | int) -> str:
        smaller = self.op(f"icmp slt i64 {x}, {y}")
        return self.op(f"select i1 {smaller}, i64 {x}, i64 {y}")

    def most(self, x: str, y: str | int) -> str:
        larger = self.op(f"icmp sgt i64 {x}, {y}")
        return self.op(f"select i1 {larger}, i64 {x}, i64 {y}")

    def at(self, pointer: str, offset: str | int) -> str:
        """The address `offset` bytes on."""
        return self.op(f"getelementptr i8, ptr {pointer}, i64 {offset}")

    def load(self, kind: str, pointer: str, align: int) -> str:
        return self.op(f"load {kind}, ptr {pointer}, align {align}")

    def store(self, kind: str, value: str, pointer: str, align: int) -> None:
        self.do(f"store {kind} {value}, ptr {pointer}, align {align}")

    def splat(self, value: str, kind: str, width: int) -> str:
        one = self.op(f"insertelement <{width} x {kind}> poison, {kind} {value}, i32 0")
        lanes = f"<{width} x i32> zeroinitializer"
        return self.op(f"shufflevector <{width} x {kind}> {one}, <{width} x {kind}> poison, {lanes}")

    def mask(self, count: str, width: int) -> str:
        """The lanes before `count`, an i64 that may be negative or larger than the vector."""
        bounded = self.op(f"trunc i64 {self.most(self.least(count, width), 0)} to i32")
        limit = self.splat(bounded, "i32", width)
        lanes = ", ".join(f"i32 {lane}" for lane in range(width))
        return self.op(f"icmp ult <{width} x i32> <{lanes}>, {limit}")

    @contextmanager
    def loop(self, start: str | int, end: str, step: str | int = 1) -> Iterator[str]:
        """`for i in range(start, end, step)`; the body may have blocks of its own."""
        name = self.fresh("loop")
        before = self.block
        self.do(f"br label %{name}")
        self.begin(name)
        at = len(self.lines)
        self.do("")
        more = self.op(f"icmp slt i64 %{name}.i, {end}")
        self.do(f"br i1 {more}, label %{name}.body, label %{name}.end")
        self.begin(f"{name}.body")
        yield f"%{name}.i"
        following = self.add(f"%{name}.i", step)
        self.do(f"br label %{name}")
        self.lines[at] = f"  %{name}.i = phi i64 [{start}, %{before}], [{following}, %{self.block}]"
        self.begin(f"{name}.end")

    @contextmanager
    def when(self, condition: str) -> Iterator[None]:
        name = self.fresh("when")
        self.do(f"br i1 {condition}, label %{name}, label %{name}.end")
        self.begin(name)
        yield
        self.do(f"br label %{name}.end")
        self.begin(f"{name}.end")

    def function(self, head: str) -> str:
        """The whole text, with `head` such as 'void @f(i64 %n)'."""
        return "\n".join([f"define {head} {{", *self.lines, "  ret void", "}", ""])
