"""Where operands lie, and the words of a launch by name."""

from __future__ import annotations

from flambeau.ir.record import frozen, replace

from ....ir.dtype import DType
from ....ir.kernel import Access
from .epilogue import Epilogue
from .spec import Matmul, Shape, Where

Words = dict[str, Where | int]


@frozen
class Operand:
    """Where the kernel finds A or B: a named address, and strides in bytes."""

    where: Where
    dtype: DType
    line: int  # from one row of A (column of B) to the next
    step: int  # along k
    batch: tuple[int, ...]
    size: int  # bytes of one matrix
    panel: int = 0  # from one packed panel to the next; 0 where the operand is read in place

    @property
    def order(self) -> str:
        """What is contiguous: 'lines', 'steps', or neither ('any')."""
        if self.line == self.dtype.itemsize:
            return "lines"
        return "steps" if self.step == self.dtype.itemsize else "any"


def operands(matmul: Matmul, shape: Shape) -> tuple[Operand, Operand]:
    """Both operands as they are given, but single lines: a row of A has its steps only."""
    size_a, size_b = matmul.a.itemsize, matmul.b.itemsize
    *batch_a, line_a, step_a = (stride * size_a for stride in shape.a)
    *batch_b, step_b, line_b = (stride * size_b for stride in shape.b)
    line_a, line_b = 0 if shape.m == 1 else line_a, size_b if shape.n == 1 else line_b
    return (
        Operand(("a", 0), matmul.a, line_a, step_a, tuple(batch_a),
                shape.m * shape.k * size_a),
        Operand(("b", 0), matmul.b, line_b, step_b, tuple(batch_b),
                shape.n * shape.k * size_b),
    )  # fmt: skip


def accesses(matmul: Matmul, shape: Shape) -> tuple[Access, ...]:
    """The accesses, with the stride along n compiled in where it is 0 or 1."""
    refined = []
    for access, strides in zip(matmul.accesses, shape.accesses, strict=True):
        last = access.strides[-1]
        if last is None and strides[-1] in (0, 1):
            last = strides[-1]
        refined.append(replace(access, strides=(*access.strides[:-1], last)))
    return tuple(refined)


def loop_names(batch: int) -> tuple[str, ...]:
    """The names of `loop_words`, in the order in which kernels take them."""
    return tuple(f"{what}{i}" for i in range(batch) for what in ("size", "a_batch", "b_batch"))


def loop_words(shape: Shape, a: Operand, b: Operand) -> Words:
    """The sizes of the batch, and how it moves the operands."""
    values: Words = {}
    for i, size in enumerate(shape.batch):
        values |= {f"size{i}": size, f"a_batch{i}": a.batch[i], f"b_batch{i}": b.batch[i]}
    return values


def epilogue_words(shape: Shape, epilogue: Epilogue) -> Words:
    """Pointers, run-time strides and scalars."""
    values: Words = {f"scalar{j}": (f"scalar{j}", 0) for j in range(len(epilogue.scalars))}
    for i, (access, strides) in enumerate(zip(epilogue.accesses, shape.accesses, strict=True)):
        values[f"pointer{i}"] = (f"access{i}", 0)
        for loop, stride in enumerate(access.strides):
            if stride is None:
                values[f"stride{i}.{loop}"] = strides[loop]
    return values


def ordered(names: tuple[str, ...], values: Words) -> tuple[Where, ...]:
    found = (values[name] for name in names)
    return tuple(value if isinstance(value, tuple) else ("", value) for value in found)
