"""The call-by-call tier: a program, one call after the other.

Each call runs by the native kernel that `code_for` has for it, else by its NumPy meaning, which is
the specification of every op. Memory of results that no later call reads is given back as it goes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.layout import Offset
from flambeau.ir.program import Call, Number, Out, Program, Ref
from flambeau.runtime.buffers import Buffer, allocate

Buffers = dict[int, Buffer]
CodeFor = Callable[[Call], Any]


class Frame:
    """What a program runs on: memory by storage, run-time numbers and offsets."""

    __slots__ = ("homes", "buffers", "numbers", "offsets")

    def __init__(self, homes: dict[int, int], buffers: Buffers, numbers: Sequence[Any],
                 offsets: Sequence[int]) -> None:  # fmt: skip
        self.homes, self.buffers = homes, buffers
        self.numbers, self.offsets = numbers, offsets

    def array(self, ref: Ref | Out) -> np.ndarray:
        """The elements of a reference, as they lie in memory."""
        layout = ref.layout
        offset = layout.offset
        if isinstance(offset, Offset):
            offset = self.offsets[offset.index]
        buffer = self.buffers[self.homes[ref.value]]
        return buffer.array(layout.size, layout.stride, offset, ref.dtype.numpy)


class Interpreted:
    """A program ready to run call by call. `code_for` answers a call's native code, or None."""

    def __init__(self, program: Program, code_for: CodeFor) -> None:
        self.program = program
        self.homes = program.storage_of()
        self.dying = dying_after(program, self.homes)
        self.code_for = code_for

    def run(self, inputs: list[Any], numbers: list[Any], offsets: list[int],
            buffers: Buffers) -> None:  # fmt: skip
        """Run every call in order. `buffers` gets each storage's memory: first value → buffer."""
        for entry, buffer in zip(self.program.inputs, inputs):
            buffers[entry.value] = buffer
        frame = Frame(self.homes, buffers, numbers, offsets)
        for call, dead in zip(self.program.calls, self.dying):
            try:
                code = self.code_for(call)
                if code is None:
                    run_call(call, frame)
                else:
                    code(frame)
            except Exception as error:
                take_back(call, frame)
                say_where(error, call)
                raise
            for home in dead:
                buffers.pop(home, None)


def take_back(call: Call, frame: Frame) -> None:
    """A call that failed has no results."""
    for out in call.outs:
        if out.over is None:
            frame.buffers.pop(frame.homes[out.value], None)


def say_where(error: BaseException, call: Call) -> None:
    """Note the user's line that recorded a call."""
    if call.source is not None:
        from flambeau.ir.show import brief

        error.add_note(f"in {brief(call)}, which was called at {call.source}")


def dying_after(program: Program, homes: dict[int, int]) -> list[tuple[int, ...]]:
    """The storages that nobody reads any more after each call."""
    keep = {homes[v] for v in program.live} | {i.value for i in program.inputs}
    last: dict[int, int] = {}
    for n, call in enumerate(program.calls):
        for ref in call.tensors():
            last[homes[ref.value]] = n
    dying: list[list[int]] = [[] for _ in program.calls]
    for home, n in last.items():
        if home not in keep:
            dying[n].append(home)
    return [tuple(d) for d in dying]


def run_call(call: Call, frame: Frame) -> None:
    """One call by its NumPy meaning."""
    for out in call.outs:
        if out.over is None:
            size = out.layout.numel * out.dtype.itemsize
            frame.buffers[frame.homes[out.value]] = allocate(size)
    with np.errstate(all="ignore"):
        run_in_place(call, frame)


def run_in_place(call: Call, frame: Frame) -> None:
    """One call whose results have memory already."""
    op = call.op
    args = [argument(arg, call, frame) for arg in call.args]
    if op.kind == "effect":  # works on memory itself: random draws
        args += [frame.array(out) for out in call.outs if out.over is None]
    results = op.numpy(*args)  # type: ignore[misc]
    if op.kind == "effect":
        return
    for out, result in zip(call.outs, results if isinstance(results, tuple) else (results,)):
        frame.array(out)[...] = store(result, out)


def store(result: Any, out: Out) -> np.ndarray:
    """A computed result as it lies in memory."""
    array = np.asarray(result)
    if out.dtype is dt.bool_:
        return array != 0
    array = dt.as_kind(array, out.dtype)
    if out.dtype.kind in "iu" and array.dtype.kind == "f":
        return to_integer(array, out.dtype)
    return dt.narrow(array, out.dtype)


def to_integer(array: np.ndarray, dtype: dt.DType) -> np.ndarray:
    """Float → integer as C does on this machine: through int64, then wrapped."""
    return array.astype(np.int64).astype(dtype.numpy)


def argument(arg: Any, call: Call, frame: Frame) -> Any:
    """An argument as the NumPy meaning takes it: widened, and cast where the op names a type."""
    if isinstance(arg, Ref):
        array = frame.array(arg)
        if call.op.kind == "effect":
            return array
        array = dt.widen(array, arg.dtype)
        return cast(array, arg.dtype, call.compute) if call.op.kind == "elementwise" else array
    if isinstance(arg, Number):
        value = frame.numbers[arg.index]
        if call.compute is None or call.op.kind != "elementwise":
            return value
        return number(value, call.compute)
    if isinstance(arg, tuple) and any(isinstance(a, Ref) for a in arg):
        return [argument(a, call, frame) for a in arg]
    return arg


def cast(array: np.ndarray, dtype: dt.DType, compute: dt.DType | None) -> np.ndarray:
    """To the type that an elementwise op computes in (bfloat16 is float32 by now)."""
    if compute is None:
        return array
    target = dt.compute_dtype(compute)
    if target is dt.bool_:
        return array if array.dtype == np.bool_ else array != 0
    array = dt.as_kind(array, target)
    if target.kind in "iu" and array.dtype.kind == "f":
        return to_integer(array, target)
    array = array.astype(target.numpy, copy=False)
    if compute is not target and dtype is not compute:  # round as the narrow type would
        return dt.widen(dt.narrow(array, compute), compute)
    return array


def number(value: Any, compute: dt.DType) -> Any:
    """A Python number in the compute type, wrapping as C does."""
    target = dt.compute_dtype(compute).numpy
    if target.kind in "iu" and isinstance(value, int):
        bits = 8 * target.itemsize
        value &= (1 << bits) - 1
        if target.kind == "i" and value >> (bits - 1):
            value -= 1 << bits
    return target.type(value)
