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

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from flambeau.ir.record import field, record

from .instructions import Int
from .memory import Memory
from .values import Value, element_of, lanes_of, shaped, vector_of

__all__ = ["Builder", "Frame", "Loop", "Value", "element_of", "lanes_of", "shaped", "vector_of"]


@record
class Frame:
    """The arguments of a kernel: tasks begin ≤ t < end are to be done by worker `thread`."""

    args: Value
    begin: Value
    end: Value
    thread: Value


@record
class Loop:
    """A loop that is being written: its counter and the values that it carries around.

    Set `next` to the carried values of the next turn; after the loop `results` has the last ones.
    """

    index: Value
    carried: list[Value]
    next: list[Value] = field(default_factory=list)
    results: list[Value] = field(default_factory=list)


class Builder(Memory):
    """One module of LLVM IR, written from top to bottom."""

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

    # -- the kernel's words

    def room(self, count: Int, kind: str = "i8") -> Value:
        """Memory on the stack, as long as the function runs; aligned for vectors."""
        return self.op(f"alloca [{count} x {kind}], align 64", "ptr")

    def invoke(self, function: str | Value, *args: Value) -> None:
        """Call a function of this module, by name or address, that answers nothing."""
        listed = ", ".join(arg.typed for arg in args)
        where = function if isinstance(function, Value) else f"@{function}"
        self.line(f"call void {where}({listed})")

    def word(self, index: Int) -> Value:
        """The argument word number `index`, as i64."""
        assert self.args is not None
        p = self.op(f"getelementptr i64, ptr {self.args}, i64 {index}", "ptr")
        return self.op(f"load i64, ptr {p}, align 8", "i64")

    def word_pointer(self, index: Int) -> Value:
        """The argument word number `index`, as an address."""
        return self.op(f"inttoptr i64 {self.word(index)} to ptr", "ptr")

    def word_float(self, index: Int, kind: str = "double") -> Value:
        """The argument word number `index`: float64 bits, rounded to `kind`."""
        wide = self.op(f"bitcast i64 {self.word(index)} to double", "double")
        return wide if kind == "double" else self.op(f"fptrunc double {wide} to {kind}", kind)

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
        begin: Value | Int,
        end: Value | Int,
        step: Value | Int = 1,
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

    def fail(self, record: Value, condition: Value, code: Int, *facts: Value | Int) -> None:
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
