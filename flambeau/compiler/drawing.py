"""Random draws: a call becomes launches of the kernels in codegen/cpu/random.

    %2, %3 = _dropout_mask(%1 state, (4, 8), float32, #0)
    →   bernoulli  state, %3, 32, 1 - #0, scale

Parameters that follow from run-time numbers (a dropout's scale, an integer's span) are made as the
frame is filled. Which of two kernels draws integers depends on them too: the other gets no task.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import Any

from flambeau.codegen.cpu import random
from flambeau.codegen.cpu.target import cpu
from flambeau.compiler.scheduled import Scalar
from flambeau.ir import dtype as dt
from flambeau.ir.dtype import DType
from flambeau.ir.layout import is_contiguous
from flambeau.ir.program import Call, Number, Ref
from flambeau.ir.record import record
from flambeau.runtime import draws
from flambeau.runtime.threads import Launch

Word = tuple[int, int]
FLOATS = {  # rows whose numbers are the kernel's parameters, in the same order
    "_uniform": "uniform", "_normal": "normal", "_log_normal": "log_normal",
    "_exponential": "exponential", "_cauchy": "cauchy", "_geometric": "geometric",
}  # fmt: skip


@record
class Drawn:
    """The launches of one draw."""

    call: Call
    scratch: int = 0

    def launches(self, emitter: Any, number: int) -> list[Launch]:
        call = self.call
        name, dtype, rest = call.op.name, call.args[2], call.args[3:]
        if name == "_bernoulli_tensor":
            chances = call.args[1]
            home = emitter.fused.homes[chances.value]
            words = [emitter.address(home, chances.layout.offset, chances.dtype.itemsize), (1, 0)]
            return [self.launch(emitter, "bernoulli_tensor", dtype, words, more=(rest[0],))]
        if name in FLOATS:
            numbers = [n for n in rest if n is not True and n is not False]
            words = [emitter.number(Scalar(n, dt.float64)) for n in numbers]
            kind = "normal_one_by_one" if name == "_normal" and not rest[2] else FLOATS[name]
            return [self.launch(emitter, kind, dtype, words)]
        if name == "_bernoulli":
            chance = emitter.number(Scalar(rest[0], dt.float64))
            return [self.launch(emitter, "bernoulli", dtype, [chance, (0, random.bits(1.0))])]
        if name == "_dropout_mask":
            words = [emitter.derived(f, rest) for f in (kept, scale_for(dtype))]
            return [self.launch(emitter, "bernoulli", dtype, words)]
        if name == "_randperm":
            return [self.launch(emitter, "randperm", dtype, [])]
        return self.integers(emitter, span_for(name, dtype), dtype, rest)

    def integers(self, emitter: Any, span: Callable[..., draws.Span], dtype: DType,
                 numbers: Any) -> list[Launch]:  # fmt: skip
        """Both kernels; the one that the span does not ask for has no task."""
        words = [emitter.derived(part(span, at), numbers, "q") for at in ("low", "size")]
        return [
            self.launch(emitter, kind, dtype, words, emitter.derived(part(span, at), numbers, "q"))
            for kind, at in (("integers32", "narrow"), ("integers64", "wide"))
        ]

    def launch(self, emitter: Any, kind: str, dtype: DType, words: list[Word], tasks: Any = 1,
               more: tuple[DType, ...] = ()) -> Launch:  # fmt: skip
        name = random.kernel_name(kind, dtype, *more)
        kernel = cpu().load_text(random.kernel_text(kind, dtype, *more), name)
        state = self.call.args[0]
        assert isinstance(state, Ref)
        (out,) = (o for o in self.call.outs if o.over is None)
        homes = emitter.fused.homes
        found = [emitter.address(homes[state.value], state.layout.offset, 1),
                 emitter.address(homes[out.value], 0, dtype.itemsize),
                 (0, prod(out.size))]  # fmt: skip
        return Launch(kernel.address, (*found, *words), tasks)


def kept(p: float) -> float:
    """The chance that dropout keeps an element."""
    return 1.0 - p


@lru_cache
def scale_for(dtype: DType) -> Callable[[float], float]:
    """Dropout's scale, remembered: p hardly ever changes."""
    return lru_cache(lambda p: draws.dropout_scale(dtype, p))


@lru_cache
def span_for(name: str, dtype: DType) -> Callable[..., draws.Span]:
    """Which integers a row draws, as a function of its numbers."""
    if name == "_random":
        return lru_cache(lambda: draws.span_of_type(dtype))
    if name == "_random_from":
        return lru_cache(lambda low: draws.span_from(low, dtype))
    return lru_cache(lambda low, high: draws.span_between(low, high, dtype))


@lru_cache
def part(span: Callable[..., draws.Span], at: str) -> Callable[..., int]:
    """One word of a span, as a signed integer."""
    if at == "narrow":
        return lambda *numbers: int(not span(*numbers).wide)
    return lambda *numbers: signed(int(getattr(span(*numbers), at)))


def signed(value: int) -> int:
    """The 64 bits of a word."""
    value &= 2**64 - 1
    return value - 2**64 if value >> 63 else value


def drawn(call: Call, emitter: Any) -> Drawn | None:
    """The launches of a draw; None for one that only NumPy can do."""
    if call.op.name == "_bernoulli_tensor":
        layout = call.args[1].layout
        return Drawn(call) if is_contiguous(layout.size, layout.stride) else None
    return Drawn(call) if all(isinstance(n, Number | bool) for n in call.args[3:]) else None


OTHERS = ("_bernoulli", "_bernoulli_tensor", "_dropout_mask", "_randperm", "_random",
          "_random_from", "_randint")  # fmt: skip
KERNELS = dict.fromkeys([*FLOATS, *OTHERS], drawn)
