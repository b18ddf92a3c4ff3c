"""Long sums for a small C: k is cut into parts, which are multiplied side by side and then added.

That gives tasks where C alone has too few, and rounding errors grow with the length of a part only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache

from flambeau.ir.record import frozen, replace

from ....ir.dtype import DType
from ....ir.kernel import Access, Store
from ...builder import Builder, Value, vector_of
from ...values import computed
from .epilogue import Epilogue, Finish, Place
from .micro import column_masks, moved
from .pack import divided, share
from .spec import Launch, Machine, Matmul, Plan, Shape, Where, product

LONG = 2048  # steps along k from which a small C is done in parts
SMALL = 1 << 14  # elements of C
SHORTEST, MOST = 1024, 32  # steps of a part, and parts
ROWS_OF_A_TASK = 32
WORDS = ("partial", "parts", "part_bytes", "m", "n", "groups")

Planner = Callable[[Matmul, Shape, Machine], Plan]


@frozen
class Combine:
    """The kernel that adds partial products: their type, lanes of a vector, and the epilogue."""

    dtype: DType
    lanes: int
    epilogue: Epilogue

    @property
    def words(self) -> tuple[str, ...]:
        loops = tuple(f"size{i}" for i in range(self.epilogue.batch))
        return WORDS + loops + self.epilogue.words


def is_long(shape: Shape) -> bool:
    """Whether k is so long, and C so small, that k is cut."""
    return shape.k > LONG and math.prod(shape.batch) * shape.m * shape.n <= SMALL


def in_parts(
    matmul: Matmul, shape: Shape, machine: Machine, plan: Planner, combine: Launch,
    cut: tuple[int, int, int],
) -> Plan:  # fmt: skip
    """Products of the parts of k, kept in scratch memory, and the launch that adds them.

    cut: the length of a part, how many there are, and what is left.
    """
    length, parts, rest = cut
    size = c_bytes(matmul, shape)
    used = (parts + (rest > 0)) * size
    whole = part_plan(matmul, shape, machine, plan, length, parts)
    launches = placed(whole, {"access0": ("scratch", 0), "scratch": ("scratch", used)})
    scratch = whole.scratch
    if rest:
        done = parts * length
        last = part_plan(matmul, shape, machine, plan, rest, 1)
        scratch = max(scratch, last.scratch)
        launches += placed(last, {
            "a": ("a", done * shape.a[-1] * matmul.a.itemsize),
            "b": ("b", done * shape.b[-2] * matmul.b.itemsize),
            "access0": ("scratch", parts * size), "scratch": ("scratch", used),
        })  # fmt: skip
    return Plan((*launches, combine), used + scratch)


def parts_of(shape: Shape) -> tuple[int, int, int]:
    """The length of a part, how many there are, and what is left."""
    length = max(SHORTEST, -(-shape.k // (MOST * 256)) * 256)
    return length, shape.k // length, shape.k % length


def c_bytes(matmul: Matmul, shape: Shape) -> int:
    """The bytes of one partial C; a multiple of what vectors are aligned to."""
    size = math.prod(shape.batch) * shape.m * shape.n * matmul.element.itemsize
    return -(-size // 64) * 64


def part_plan(
    matmul: Matmul, shape: Shape, machine: Machine, plan: Planner, length: int, parts: int
) -> Plan:
    """The plan of `parts` products; the number of the part is one more loop of the batch."""
    element = matmul.element
    access = Access(element, (None,) * (len(shape.batch) + 2) + (1,))
    each = Matmul(matmul.a, matmul.b, len(shape.batch) + 1, (access,), (),
                  (Store(0, product(element)),))  # fmt: skip
    inner: list[int] = [shape.n, 1]
    for size in reversed((*shape.batch, shape.m)):
        inner.insert(0, inner[0] * size)
    out = (c_bytes(matmul, shape) // element.itemsize, *inner[1:])
    a = (length * shape.a[-1], *shape.a)
    b = (length * shape.b[-2], *shape.b)
    return plan(each, replace(shape, batch=(parts, *shape.batch), k=length, a=a, b=b,
                              accesses=(out,)), machine)  # fmt: skip


def placed(plan: Plan, where: Mapping[str, Where]) -> tuple[Launch, ...]:
    """The launches with other values behind their names."""

    def move(word: Where) -> Where:
        name, more = where.get(word[0], (word[0], 0))
        return name, word[1] + more

    return tuple(replace(x, words=tuple(map(move, x.words))) for x in plan.launches)


# -- the kernel that adds


@lru_cache(maxsize=256)
def combine_text(combine: Combine, vector_bytes: int) -> str:
    """A module with the kernel `combine`: a task is a group of rows of one batch."""
    b = Builder(vector_bytes)
    with b.kernel("combine") as frame:
        own = combine.words[: -len(combine.epilogue.words)]
        w = {name: b.word(i) for i, name in enumerate(own)}
        with b.loop(frame.begin, frame.end) as task:
            matrix, group = divided(b, task.index, w["groups"])
            rest = matrix
            batch: list[Value] = []
            for i in reversed(range(combine.epilogue.batch)):
                rest, index = divided(b, rest, w[f"size{i}"])
                batch.insert(0, index)
            first, last = share(b, group, w["m"], w["groups"])
            with b.loop(first, last) as row, b.loop(0, w["n"], combine.lanes) as column:
                line = b.add(b.mul(matrix, w["m"]), row.index)
                element = b.add(b.mul(line, w["n"]), column.index)
                one_vector(b, combine, w, element, row.index, column.index, tuple(batch))
    return b.text()


def one_vector(
    b: Builder, combine: Combine, w: dict[str, Value], element: Value, row: Value, column: Value,
    batch: tuple[Value, ...],
) -> None:  # fmt: skip
    """The sum of all parts of a vector of C, and the epilogue."""
    columns = b.smin(b.sub(w["n"], column), combine.lanes)
    masks: list[Value | None] = list(column_masks(b, 1, combine.lanes, columns))
    vector = vector_of(computed(combine.dtype), combine.lanes)
    start = b.element(b.word_pointer(0), computed(combine.dtype), element)
    with b.loop(0, w["parts"], carry=[start, b.number(vector, 0)]) as part:
        here, total = part.carried
        value = b.load_element(combine.dtype, here, combine.lanes, masks[0])
        part.next = [moved(b, here, w["part_bytes"]), b.add(total, value)]
    words = len(combine.words) - len(combine.epilogue.words)
    place = Place(batch, row, column, columns)
    end = Finish(b, combine.epilogue, words, combine.lanes, place, masks)
    end.write_row(end.start, row, [part.results[1]])
