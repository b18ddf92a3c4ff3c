"""Attention: a call becomes launches of the kernels in codegen/cpu/attention.py.

    %4, %5 = _attention([%1, %2, %3], None, 0.125, True)
    →   attention   a task for each block of queries of each head

What has no kernel (elements of a row that are not neighbours) runs by its NumPy meaning; the
function that records attention sees to it that this is rare.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

from flambeau.codegen.cpu import attention, attention_back
from flambeau.codegen.cpu.attention import FORWARD, WIDEST, Attention, lanes_of_block
from flambeau.codegen.cpu.attention_back import BACKWARD, PARTS
from flambeau.codegen.cpu.target import cpu
from flambeau.compiler.scheduled import Scalar
from flambeau.ir import dtype as dt
from flambeau.ir.layout import Ints, contiguous_strides
from flambeau.ir.program import Call, Out, Ref
from flambeau.ir.record import record
from flambeau.runtime.threads import Launch

Word = tuple[int, int]
MOST_TASKS = 8  # heads from which on the derivative needs no other cut

TEXTS = {"forward": attention.forward_text, "backward": attention_back.backward_text,
         "parts": attention_back.parts_text}  # fmt: skip


@lru_cache(maxsize=256)
def kernel_text(kind: str, spec: Attention) -> str:
    return TEXTS[kind](spec, cpu().builder())


@record
class Attended:
    """The launches of one direction of attention."""

    call: Call
    operands: dict[str, Ref | Out | None]

    @property
    def query(self) -> Any:
        return self.operands["query"]

    @property
    def heads(self) -> Ints:
        return tuple(self.query.size[:-2])

    @property
    def sizes(self) -> dict[str, int]:
        (queries, width), value = self.query.size[-2:], self.operands["value"]
        assert value is not None
        return dict(queries=queries, width=width, keys=value.size[-2], depth=value.size[-1])

    @property
    def stretches(self) -> int:
        """In how many stretches of keys the derivative is cut: by sizes alone."""
        heads, keys = max(prod(self.heads), 1), self.sizes["keys"]
        if "grad" not in self.operands or heads >= MOST_TASKS:
            return 1
        return max(1, min(MOST_TASKS // heads, keys // attention_back.KEYS))

    @property
    def part(self) -> int:
        """The bytes of one stretch's dQ, where there are several."""
        return prod(self.query.size) * self.query.dtype.itemsize if self.stretches > 1 else 0

    @property
    def scratch(self) -> int:
        return self.part * self.stretches

    def spec(self) -> Attention:
        width = lanes_of_block(cpu().vector_bytes, self.query.dtype)
        mask: Any = self.operands["mask"]
        kind = "" if mask is None else "all" if mask.layout.stride[-2] else "keys"
        ragged = tuple(bool(self.sizes[what] % width) for what in ("width", "depth"))
        return Attention(self.query.dtype, len(self.heads), self.call.args[-1], kind,
                         ragged)  # type: ignore[arg-type]  # fmt: skip

    def launches(self, emitter: Any, number: int) -> list[Launch]:
        block = lanes_of_block(cpu().vector_bytes, self.query.dtype)
        blocks, heads = -(-self.sizes["queries"] // block), prod(self.heads)
        if "grad" not in self.operands:
            words = self.words(emitter, FORWARD, self.sizes, blocks)
            return [self.launch("forward", words, heads * blocks)]
        count, step = self.stretches, attention_back.KEYS
        stretch = -(-self.sizes["keys"] // (count * step)) * step
        parts = self.words_of_parts(emitter, number) if count > 1 else {}
        words = self.words(emitter, BACKWARD, self.sizes, count, parts)
        found = [self.launch("backward", (*words, (0, stretch), (0, self.part)), heads * count)]
        if count > 1:
            parts["parts"] = parts.pop("dquery")
            words = self.words(emitter, PARTS, dict(self.sizes, keys=count), blocks, parts)
            found.append(self.launch("parts", (*words, (0, self.part)), heads * blocks))
        return found

    def launch(self, kind: str, words: tuple[Word, ...], tasks: int) -> Launch:
        kernel = cpu().load_text(kernel_text(kind, self.spec()), "attention")
        return Launch(kernel.address, words, tasks)

    def words_of_parts(self, emitter: Any, number: int) -> dict[str, tuple[Word, Ints]]:
        """Where the stretches' dQ lie, and their strides."""
        home = emitter.slots["arena"], emitter.starts.get((number, "packed"), 0)
        return {"dquery": (home, contiguous_strides(self.query.size))}

    def words(self, emitter: Any, names: tuple[str, ...], sizes: dict[str, int], blocks: int,
              others: dict[str, tuple[Word, Ints]] | None = None) -> tuple[Word, ...]:  # fmt: skip
        """The words that `Attention.words` names."""
        found = [self.place(emitter, name, others or {}) for name in names]
        item = self.query.dtype.itemsize
        strides = [tuple(s * item for s in stride) for _, stride in found]
        numbers = [s for stride in strides for s in stride[: len(self.heads)]]
        numbers += [stride[len(self.heads)] for stride in strides]
        numbers += self.heads
        mask: Any = self.operands["mask"]
        numbers.append(0 if mask is None else mask.layout.stride[-1] * item)
        numbers += [sizes[what] for what in ("queries", "keys", "width", "depth")]
        scale = emitter.number(Scalar(self.call.args[-2], dt.float64))
        return (*(word for word, _ in found), *((0, n) for n in (*numbers, blocks)), scale)

    def place(self, emitter: Any, name: str, others: dict[str, tuple[Word, Ints]]
              ) -> tuple[Word, Ints]:  # fmt: skip
        """An operand's address and strides; what is not there is never read."""
        if name in others:
            return others[name]
        operand = self.operands[name]
        if operand is None:
            return (0, 0), (0,) * (len(self.heads) + 2)
        home = emitter.fused.homes[operand.value]
        layout = operand.layout
        return emitter.address(home, layout.offset, operand.dtype.itemsize), layout.stride


def attended(call: Call, emitter: Any) -> Attended | None:
    """The launches; None where rows do not lie in one piece, or are too long."""
    forward = call.op.name == "_attention"
    tensors, mask, *_ = call.args
    names: tuple[str, ...]
    if forward:
        names = ("query", "key", "value", "out", "sums")
    else:
        names = ("grad", "query", "key", "value", "out", "sums", "dquery", "dkey", "dvalue")
    operands = dict(zip(names, (*tensors, *call.outs))) | {"mask": mask}
    for name, operand in operands.items():
        rows = name not in ("sums", "mask")
        if rows and operand.layout.stride[-1] != 1 and operand.size[-1] > 1:
            return None
        if rows and operand.size[-1] > WIDEST:
            return None
    sums = operands["sums"].layout
    if sums.stride != contiguous_strides(sums.size):
        return None
    return Attended(call, operands)


KERNELS = dict.fromkeys(("_attention", "_attention_back"), attended)
