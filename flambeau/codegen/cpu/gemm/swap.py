"""C = A · B is the transpose of Bᵀ · Aᵀ: where that is cheaper, the problem is turned around."""

from __future__ import annotations

from typing import TypeVar

from flambeau.ir.record import replace

from ....ir.kernel import Access, Store
from ....ir.tree import Index, Tree, tree, walk
from .dot import suits_dots
from .spec import Matmul, Shape

DOT_STEPS = 12  # vectors along k from which on a narrow C is better made of dot products
NARROW = 12  # columns up to which a wide Aᵀ fills vectors better


def turned(matmul: Matmul, shape: Shape) -> tuple[Matmul, Shape]:
    """The transposed problem: operands change places, and so do m and n everywhere."""
    batch = len(shape.batch)
    stores = tuple(Store(s.access, turned_tree(s.value, batch)) for s in matmul.stores)
    accesses = tuple(Access(a.dtype, flipped(a.strides), a.per_thread) for a in matmul.accesses)
    matmul = replace(matmul, a=matmul.b, b=matmul.a, accesses=accesses, stores=stores)
    strides = tuple(flipped(s) for s in shape.accesses)
    return matmul, replace(
        shape, m=shape.n, n=shape.m, a=flipped(shape.b), b=flipped(shape.a), accesses=strides
    )


Stride = TypeVar("Stride")


def flipped(strides: tuple[Stride, ...]) -> tuple[Stride, ...]:
    return (*strides[:-2], strides[-1], strides[-2])


def turned_tree(root: Tree, batch: int) -> Tree:
    """The tree with the counters of m and n exchanged."""
    other = {batch: batch + 1, batch + 1: batch}
    made: dict[Tree, Tree] = {}
    for node in walk(root):
        if node.kind == "index":
            made[node] = Index(other.get(node.data, node.data))
        elif node.args:
            args = (made[arg] for arg in node.args)
            made[node] = tree(node.kind, node.dtype, *args, data=node.data)
        else:
            made[node] = node
    return made[root]


def is_better_turned(matmul: Matmul, shape: Shape, lanes: int) -> bool:
    """Whether the transposed problem fills vectors better, or writes C in order."""
    m, n, k = shape.m, shape.n, shape.k
    out = shape.accesses[matmul.stores[0].access]
    if n == 1:
        return m > 1
    if m > 1 and out[-2] == 1 != out[-1]:
        return True
    if n > NARROW or m < 4 * lanes:
        return False
    if shape.a[-1] == 1 == shape.b[-2]:
        return k >= DOT_STEPS * lanes and suits_dots(n, k, lanes)
    return k >= 2 * lanes and shape.a[-2] == 1 != shape.a[-1]
