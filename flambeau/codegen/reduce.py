"""The steps of a reduction in IR: where it starts, how two partial results become one.

A partial result is a list of values: one, or the value and its index for argmax and argmin. All
orders of combination are fixed by the shape of the work, so the bits never depend on threads.
"""

from __future__ import annotations

from ..ir import dtype as types
from ..ir.dtype import DType
from ..ir.kernel import Reduce
from ..ir.tree import Tree
from .builder import Builder
from .emit import extreme
from .scalar import k
from .values import Value, computed, lanes_of, vector_of

State = list[Value]


def is_arg(reduce: Reduce) -> bool:
    """Whether the reduction answers a position."""
    return reduce.step.startswith("arg")


def value_tree(reduce: Reduce) -> Tree:
    """What is reduced, in the type in which it is accumulated."""
    if reduce.step in ("any", "all"):
        return k.truth(reduce.value)
    return reduce.value if is_arg(reduce) else k.cast(reduce.value, accumulated(reduce))


def accumulated(reduce: Reduce) -> DType:
    """The type of the partial results."""
    if is_arg(reduce):
        return reduce.value.dtype
    if reduce.step in ("any", "all"):
        return types.bool_
    return types.compute_dtype(reduce.dtype)


def start(b: Builder, reduce: Reduce, lanes: int) -> State:
    """The partial result of nothing."""
    dtype = accumulated(reduce)
    first = b.number(vector_of(computed(dtype), lanes), neutral(reduce.step, dtype))
    if not is_arg(reduce):
        return [first]
    return [first, b.number(vector_of("i64", lanes), 2**63 - 1)]


def neutral(step: str, dtype: DType) -> float | int:
    """What changes nothing."""
    if step in ("sum", "any"):
        return 0
    if step in ("prod", "all"):
        return 1
    low = step in ("max", "argmax")
    if dtype.kind == "f":
        return float("-inf") if low else float("inf")
    if dtype.kind == "b":
        return 0 if low else 1
    bits = 8 * dtype.itemsize
    if dtype.kind == "u":
        return 0 if low else (1 << bits) - 1
    return -(1 << (bits - 1)) if low else (1 << (bits - 1)) - 1


def combine(b: Builder, reduce: Reduce, total: State, item: State) -> State:
    """Two partial results become one."""
    dtype = accumulated(reduce)
    if is_arg(reduce):
        return _combine_arg(b, reduce.step, dtype, total, item)
    x, y = item[0], total[0]
    if reduce.step in ("max", "min"):
        return [extreme(b, reduce.step, dtype, x, y)]
    if reduce.step in ("any", "all"):
        return [b.int("or" if reduce.step == "any" else "and", x, y)]
    if dtype.kind == "b":
        return [b.int("or" if reduce.step == "sum" else "and", x, y)]
    return [b.add(y, x) if reduce.step == "sum" else b.mul(y, x)]


def _combine_arg(b: Builder, step: str, dtype: DType, total: State, item: State) -> State:
    (y, j), (x, i) = total, item
    if dtype.kind == "f":
        better = b.fcmp("ogt" if step == "argmax" else "olt", x, y)
        x_nan, y_nan = b.fcmp("uno", x, x), b.fcmp("uno", y, y)
        better = b.int("or", better, b.int("and", x_nan, b.int("xor", y_nan, True)))
        same = b.int("or", b.fcmp("oeq", x, y), b.int("and", x_nan, y_nan))
    else:
        sign = "s" if dtype.kind == "i" else "u"
        better = b.icmp(sign + ("gt" if step == "argmax" else "lt"), x, y)
        same = b.icmp("eq", x, y)
    take = b.int("or", better, b.int("and", same, b.icmp("slt", i, j)))
    return [b.select(take, x, y), b.select(take, i, j)]


def across(b: Builder, reduce: Reduce, state: State) -> State:
    """The lanes of a partial result become one, by halves."""
    lanes = lanes_of(state[0].type)
    while lanes > 1:
        half = lanes // 2
        low = [b.shuffle(x, x, range(half)) if half > 1 else b.extract(x, 0) for x in state]
        high = [b.shuffle(x, x, range(half, lanes)) if half > 1 else b.extract(x, 1) for x in state]
        state, lanes = combine(b, reduce, low, high), half
    return state


def together(b: Builder, reduce: Reduce, states: list[State]) -> State:
    """Several partial results become one, in pairs."""
    while len(states) > 1:
        pairs = zip(states[::2], states[1::2], strict=False)
        odd = states[len(states) & ~1 :]
        states = [combine(b, reduce, x, y) for x, y in pairs] + odd
    return states[0]


def result(b: Builder, reduce: Reduce, state: State) -> Value:
    """What the reduction answers, in the type of `Result`."""
    if is_arg(reduce):
        return state[1]
    if reduce.step in ("any", "all") and reduce.dtype.kind != "b":
        return b.convert("zext", state[0], computed(reduce.dtype))
    return state[0]
