"""Split: a reduction of much to little becomes partial results, and a reduction of those.

    r0 = sum(x0)  over 1,000,000     →     x1[c] = sum(x0 in chunk c)   over 62 chunks
    x1 = r0                                x2 = sum(x1)                 over 62

Cuts depend on sizes only: the same bits on any number of threads.
"""

from __future__ import annotations

from math import prod

from flambeau.codegen import loops
from flambeau.compiler.scheduled import Operand, Scheduled, finished
from flambeau.ir.dims import later
from flambeau.ir.kernel import Nest, Reduce, Stage, Store
from flambeau.ir.layout import contiguous_strides
from flambeau.ir.record import replace
from flambeau.ir.tree import Load, Result, Tree, walk
from flambeau.ir.tree import tree as make_tree


def worth_splitting(whole: Scheduled) -> bool:
    """Few results from many elements: cut what is reduced, and there is enough to do at once."""
    nest, sizes = whole.nest, whole.sizes
    if nest.mode not in ("rows", "columns") or len(nest.stages) != 1:
        return False
    if any(r.step.startswith("arg") for r in nest.stages[0].reduces):
        return False
    if nest.mode == "rows":
        return prod(sizes[:-1]) <= 4 and sizes[-1] >= 32768
    narrow = prod(sizes[:-2]) * sizes[-1] <= 1024
    return narrow and sizes[-2] >= 512 and prod(sizes) >= 65536


def split(whole: Scheduled) -> list[Scheduled]:
    """Partial results by chunk, what is stored for each element, then the combination of the parts.

    Split reductions store nothing for each element: a map of its own does.
    """
    (stage,) = whole.nest.stages
    reduced = whole.nest.reduced
    mode = "split" if whole.nest.mode == "rows" else "split columns"
    along = [s for s in stage.stores if whole.operands[s.access].strides[reduced] != 0]
    once = [s for s in stage.stores if s not in along]
    draft = Nest(whole.nest.loops, whole.nest.accesses, whole.nest.scalars,
                 (Stage(stage.reduces),), mode)  # fmt: skip
    parts = later(loops.chunks, draft, whole.sizes)
    sizes = tuple(parts if n == reduced else s for n, s in enumerate(whole.sizes))
    strides = contiguous_strides(sizes)
    operands, stores = list(whole.operands), []
    partials = []
    for number, reduce in enumerate(stage.reduces):
        partials.append(Operand(-1 - number, 0, reduce.dtype, strides, 0))
        stores.append(Store(len(operands), Result(number, reduce.dtype)))
        operands.append(partials[-1])
    first = finished(operands, list(whole.scalars), (Stage(stage.reduces, tuple(stores)),), mode,
                     whole.sizes)  # fmt: skip
    again = tuple(
        Reduce(r.step, Load(n, r.dtype), r.dtype) for n, r in enumerate(stage.reduces)
    )
    rest = list(whole.operands)
    numbers = {n: len(partials) + n for n in range(len(rest))}
    moved = tuple(Store(numbers[s.access], renumbered(s.value, numbers)) for s in once)
    second = finished([*partials, *rest], list(whole.scalars), (Stage(again, moved),),
                      whole.nest.mode, sizes)  # fmt: skip
    if not along:
        return [trimmed(first), trimmed(second)]
    each = finished(list(whole.operands), list(whole.scalars), (Stage((), tuple(along)),), "map",
                    whole.sizes)  # fmt: skip
    return [trimmed(first), trimmed(each), trimmed(second)]


def renumbered(tree: Tree, numbers: dict[int, int]) -> Tree:
    """The tree with its loads' access numbers replaced."""
    if tree.kind == "load":
        return Load(numbers[tree.data], tree.dtype)
    if not tree.args:
        return tree
    args = (renumbered(a, numbers) for a in tree.args)
    data = numbers[tree.data] if tree.kind == "pick" else tree.data
    return make_tree(tree.kind, tree.dtype, *args, data=data)


def trimmed(scheduled: Scheduled) -> Scheduled:
    """Without the accesses that nothing uses."""
    nest = scheduled.nest
    used = {s.access for stage in nest.stages for s in stage.stores}
    used |= {n.data for n in walk(*nest.trees()) if n.kind in ("load", "pick")}
    order = sorted(used)
    numbers = {old: new for new, old in enumerate(order)}
    stages = tuple(
        Stage(
            tuple(replace(r, value=renumbered(r.value, numbers)) for r in s.reduces),
            tuple(Store(numbers[t.access], renumbered(t.value, numbers)) for t in s.stores),
        )
        for s in nest.stages
    )
    operands = [scheduled.operands[n] for n in order]
    return finished(operands, list(scheduled.scalars), stages, nest.mode, scheduled.sizes)
