"""The most that this machine does, measured with our own kernels: products, and copies.

A kernel's time is held against the least that its operations and its bytes could take: operations
at the rate of a large product, bytes at that of a copy that touches as many. What is near 100 % has
nothing left to gain but by doing less.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

from flambeau.codegen.cpu.target import cpu
from flambeau.compiler.observe import Observer
from flambeau.compiler.timing import observed
from flambeau.ir import dtype as dt
from flambeau.ir.dtype import DType
from flambeau.ir.layout import Layout, contiguous_strides
from flambeau.ir.program import Call, Input, Out, Program, Ref
from flambeau.ir.record import record
from flambeau.runtime.buffers import Buffer, allocate

PRODUCT = 1024  # rows, columns and steps of the product
FOOTPRINTS = [1 << n for n in range(14, 29, 2)]  # 16 KB (first-level cache) to 256 MB (memory)
SECONDS = 0.03  # for each
FEWEST = 5


@record
class Peak:
    """Operations a second in float32, and bytes a second by how many a copy touches."""

    operations: float
    bandwidth: dict[int, float]

    def least(self, operations: float, bytes: float) -> tuple[float, str]:
        """The least µs in which both can be done; and which of them takes that long."""
        touched = max(bytes, 1.0)
        footprint = min(self.bandwidth, key=lambda size: max(size / touched, touched / size))
        arithmetic = operations / self.operations * 1e6
        memory = bytes / self.bandwidth[footprint] * 1e6
        return (arithmetic, "arithmetic") if arithmetic > memory else (memory, "memory")


@functools.cache
def peak() -> Peak:
    """Measured once in a process, in about a quarter of a second."""
    operations = 2.0 * PRODUCT**3 / best(product(PRODUCT))
    return Peak(operations, {size: size / best(copies(size)) * repeated(size)
                             for size in FOOTPRINTS})  # fmt: skip


def product(n: int) -> Callable[[], Any]:
    """Multiplies two float32 matrices."""
    from flambeau.ops.matmul import mm

    matrix = Layout((n, n), contiguous_strides((n, n)))
    call = Call(mm, (Ref(0, matrix, dt.float32), Ref(1, matrix, dt.float32)),
                (Out(2, matrix, dt.float32),))  # fmt: skip
    run = alone(call).run
    memory = [ones(n * n), ones(n * n)]
    return lambda: run(memory, [], [], {})


def copies(footprint: int) -> Callable[[], Any]:
    """Copies one half of so many bytes to the other, several times in one native call."""
    from flambeau.ops.copies import clone

    flat = Layout((footprint // 8,), (1,))
    call = Call(clone, (Ref(0, flat, dt.float32), "torch.contiguous_format"),
                (Out(1, flat, dt.float32),), dt.float32)  # fmt: skip
    observer = alone(call)
    memory = [ones(footprint // 8)]
    result = observer.run(memory, [], [], {})  # fills the frame, which points at both halves
    launches = observer.steps[0].launches * repeated(footprint)
    tape = cpu().tape(launches)
    scope = observer.run.__globals__  # has the frame; as long as it is there, the frame is
    return lambda: (tape.run(scope["address"]), memory, result)


def repeated(footprint: int) -> int:
    """How many copies make one native call cost nothing beside them."""
    return max(1, (1 << 22) // footprint)


def alone(call: Call) -> Observer:
    """A program of one call."""
    dtypes: dict[int, DType] = {ref.value: ref.dtype for ref in call.refs()}
    inputs = tuple(Input(value, dtypes[value]) for value in dtypes)
    return observed(Program(inputs, (call,), (call.outs[0].value,), (), 0), {})


def ones(n: int) -> Buffer:
    """Memory that has been written to: what was only asked for is not there yet."""
    buffer = allocate(4 * n)
    buffer.array((n,), (1,), 0, dt.float32.numpy)[...] = 1.0
    return buffer


def best(run: Callable[[], Any]) -> float:
    """The shortest of several times, in seconds. The first, which asks for memory, is not one."""
    run()
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < FEWEST or time.perf_counter() - begin < SECONDS:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


__all__ = ["Peak", "peak"]
