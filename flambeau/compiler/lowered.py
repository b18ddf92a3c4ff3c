"""Ops that only the compiler makes: what structured calls are lowered to (see lower.py).

They are elementwise, so they fuse with their neighbours. Operands keep their own types. The first
operand of one that `picks` is a function from a position to the element there; positions come from
indices, which are checked before anything is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flambeau.ir import dtype as dt
from flambeau.ir.layout import Ints
from flambeau.ir.op import Op
from flambeau.ir.tree import Tree


def internal(
    name: str, scalar: Callable[..., Any] | None, kind: str = "elementwise", **more: Any
) -> Op:
    """An op without a signature: nobody calls it."""

    def infer(*facts: Any) -> Any:
        raise AssertionError(f"{name} is made by the compiler, never recorded")

    return Op(name, kind, (), infer, scalar=scalar, own_types=kind == "elementwise", **more)


def pick_scalar(k: Any, x: Any, indices: Sequence[Tree], sizes: Sequence[Tree],
                steps: Sequence[Tree], wrap: bool, failure: str, dims: Ints) -> Tree:  # fmt: skip
    """The element at the sum of index · step; with `wrap` negative indices count from the end."""
    position: Any = None
    for index, n, step, dim in zip(indices, sizes, steps, dims):
        index = k.cast(index, dt.int64)
        if wrap:
            index = k.where(index < 0, index + n, index)
        place = k.check(index, n, failure, dim) * step
        position = place if position is None else position + place
    return x(position)


def class_scalar(k: Any, x: Any, index: Tree, n: Tree, step: Tree, ignore: Tree) -> Tree:
    """The element of a class, 0 where the class is ignored."""
    counts, place = counted(k, index, n, ignore)
    return k.where(counts, x(place * step), 0)


def counted(k: Any, index: Tree, n: Tree, ignore: Tree) -> tuple[Tree, Tree]:
    """Whether a class counts, and the class, checked."""
    index = k.cast(index, dt.int64)
    counts = k.ne(index, ignore)
    return counts, k.check(k.where(counts, index, 0), n, "target")


def place_scalar(k: Any, g: Tree, index: Tree, column: Tree, n: Tree, ignore: Tree) -> Tree:
    """g in the column of its class, 0 elsewhere."""
    counts, place = counted(k, index, n, ignore)
    return k.where(counts & k.eq(place, column), g, 0)


def known_class_scalar(k: Any, g: Tree, index: Tree, column: Tree, n: Tree, ignore: Tree) -> Tree:
    """The same of classes that another call checks."""
    index = k.cast(index, dt.int64)
    return k.where(k.ne(index, ignore) & k.eq(index, column), g, 0)


pick = internal("pick", pick_scalar, picks=True, may_fail=True)
pick_class = internal("pick_class", class_scalar, picks=True, may_fail=True)
place_class = internal("place_class", place_scalar, may_fail=True)
place_known_class = internal("place_known_class", known_class_scalar)
one_hot = internal(
    "one_hot",
    lambda k, index, column, n: k.eq(k.check(k.cast(index, dt.int64), n, "one_hot"), column),
    may_fail=True,
)
lower_triangle = internal(
    "lower_triangle", lambda k, x, across, diagonal: k.where(across <= diagonal, x, 0)
)
upper_triangle = internal(
    "upper_triangle", lambda k, x, across, diagonal: k.where(across >= diagonal, x, 0)
)
fill = Op("fill", "elementwise", (), pick.infer, scalar=lambda k, value: value)
storage = internal("storage", None, "storage")  # its argument: the value with which it is complete
