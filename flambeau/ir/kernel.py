"""What a generated loop nest is: pure data, which a target turns into machine code.

The fuser makes nests, `flambeau.codegen.loops` writes them as LLVM IR. Nothing here knows sizes,
addresses or machines: a nest is compiled once and serves all shapes of the same kind.

The modes:

- **map**: all loops are parallel; one stage, stores only. An output may be the same memory as an
  input where both are touched at the same index.
- **tiles**: a map whose last two loops are walked in squares, since some of its memory lies along
  the loop before the last.
- **rows**: the last loop is a row. The stages are passes over that row, one after the other;
  what a stage reduces is a `Result` in the stages after it. All other loops are parallel.
- **columns**: the loop before the last is reduced, the last is kept (a sum over the first axis).
  Passes and results as with rows, for a block of columns at a time.
- **split**: rows with one stage of reductions, whose row is cut into chunks of `chunk` elements;
  each chunk is a task and stores a partial result. The stride of the *reduced loop* of a stored
  access counts *chunks*. A second nest combines the partial results.
- **split columns**: the same for columns.
"""

from __future__ import annotations

from collections.abc import Iterator

from flambeau.ir.record import frozen

from .dtype import DType
from .tree import Tree, walk

MODES = ("map", "tiles", "rows", "columns", "split", "split columns")
STEPS = ("sum", "prod", "max", "min", "any", "all", "argmax", "argmin")


@frozen
class Access:
    """How one pointer walks through memory: a stride per loop, counted in elements.

    A stride of 0, 1, 2 or -1 is compiled in; None is a run-time word. With `per_thread` the memory
    is scratch: each worker has its own copy, `per_thread` bytes (a run-time word) apart.

    With `every` = 2, the last loop takes turns between two shares (two loops in one): its turn i is
    turn i // 2 of share i % 2. The stride, 0 or 1, is that within a share; shares are `apart` from
    each other (0, or None: a run-time word, `stride` number `loops`). Such an access is only read.
    """

    dtype: DType
    strides: tuple[int | None, ...]
    per_thread: bool = False
    every: int = 1
    apart: int | None = 0


@frozen
class Reduce:
    """One result for each row or column; NaN wins in max, min and arg*, and the first of equals.

    `dtype` is that of the result (int64 for arg*); a sum is accumulated in it (float16 and bfloat16
    in float32). `index` is what arg* answers, by default the position along the reduced loop.
    """

    step: str
    value: Tree
    dtype: DType
    index: Tree | None = None


@frozen
class Store:
    """Write a value, rounded to the access's type, through access number `access`."""

    access: int
    value: Tree


@frozen
class Stage:
    """One pass over the row. All loads of an element come before its stores.

    A store whose access does not move along the reduced loop is done once, after the pass, and sees
    the pass's own results; its value must not vary along that loop.
    """

    reduces: tuple[Reduce, ...] = ()
    stores: tuple[Store, ...] = ()


@frozen
class Nest:
    """A loop nest. `scalars` are the types of the run-time numbers, `Argument(j)` in trees."""

    loops: int
    accesses: tuple[Access, ...]
    scalars: tuple[DType, ...]
    stages: tuple[Stage, ...]
    mode: str = "map"

    def __post_init__(self) -> None:
        verify(self)

    @property
    def reduced(self) -> int:
        """The number of the reduced loop; in a map, of the last one."""
        return self.loops - (2 if self.mode in ("columns", "split columns") else 1)

    def trees(self) -> Iterator[Tree]:
        """Every tree that the nest computes."""
        for stage in self.stages:
            for reduce in stage.reduces:
                yield reduce.value
                if reduce.index is not None:
                    yield reduce.index
            yield from (store.value for store in stage.stores)


@frozen
class Word:
    """One 64-bit argument of a kernel.

    what      | number       | second | the value
    pointer   | the access   |        | a byte address, offsets included
    size      | the loop     |        | how often it runs
    stride    | the access   | loop   | in elements
    scalar    | the argument |        | float64 bits (float types), or an integer
    per_thread| the access   |        | bytes from one worker's scratch to the next one's
    grain     |              |        | how much one task does: `grain(nest, sizes)`
    chunk     |              |        | the length of a chunk along the reduced loop (split)
    error     |              |        | the address of the error record
    low, high | the access   |        | its range of byte addresses (checked code only)
    """

    what: str
    number: int = 0
    second: int = 0


def words(nest: Nest, checked: bool = False) -> tuple[Word, ...]:
    """The arguments of the nest's kernel, in their order."""
    listed = [Word("pointer", a) for a in range(len(nest.accesses))]
    listed += [Word("size", loop) for loop in range(nest.loops)]
    for a, access in enumerate(nest.accesses):
        strides = (*access.strides, access.apart)
        listed += [Word("stride", a, s) for s, n in enumerate(strides) if n is None]
    listed += [Word("scalar", j) for j in range(len(nest.scalars))]
    listed += [Word("per_thread", a) for a, x in enumerate(nest.accesses) if x.per_thread]
    listed += [Word("grain")]
    if nest.mode.startswith("split"):
        listed += [Word("chunk")]
    if checked or can_fail(nest):
        listed += [Word("error")]
    if checked:
        for a in range(len(nest.accesses)):
            listed += [Word("low", a), Word("high", a)]
    return tuple(listed)


def canonical(nest: Nest) -> str:
    """The nest as text, the same for equal nests: what a cache is keyed by."""
    numbers: dict[Tree, int] = {}
    lines = [f"{nest.mode} {nest.loops} {','.join(d.name for d in nest.scalars)}"]
    for a in nest.accesses:
        lines.append(f"{a.dtype.name} {a.strides} {a.per_thread} {a.every} {a.apart}")
    for node in walk(*nest.trees()):
        args = [numbers[arg] for arg in node.args]
        numbers[node] = len(numbers)
        data = node.data.hex() if isinstance(node.data, float) else repr(node.data)
        lines.append(f"{node.kind} {node.dtype.name} {args} {data}")
    for stage in nest.stages:
        for r in stage.reduces:
            index = None if r.index is None else numbers[r.index]
            lines.append(f"reduce {r.step} {numbers[r.value]} {r.dtype.name} {index}")
        lines += [f"store {store.access} {numbers[store.value]}" for store in stage.stores]
        lines.append("end")
    return "\n".join(lines)


def can_fail(nest: Nest) -> bool:
    """Whether the kernel may report an error: an index, or integers divided by what may be zero."""
    return any(tree.kind == "check" or divides(tree) for tree in walk(*nest.trees()))


def divides(tree: Tree) -> bool:
    """Whether this node divides integers by something that may be zero."""
    if tree.kind not in ("quotient", "modulus") or tree.dtype.kind == "f":
        return False
    return tree.args[1].kind != "number" or not tree.args[1].data


def leaves(tree: Tree, kind: str) -> set[int]:
    """The numbers of all leaves of a kind: `leaves(tree, 'load')` are the accesses read."""
    return {node.data for node in walk(tree) if node.kind == kind}


def verify(nest: Nest) -> None:
    """Refuse a nest that cannot be compiled, saying what is wrong with it."""
    wrong = _shape_fault(nest) or _stage_fault(nest)
    if wrong:
        raise ValueError(f"not a loop nest: {wrong}")


def _shape_fault(nest: Nest) -> str | None:
    if nest.mode not in MODES:
        return f"mode {nest.mode!r}, expected one of {', '.join(MODES)}"
    if nest.loops < (2 if "columns" in nest.mode or nest.mode == "tiles" else 1):
        return f"{nest.loops} loops are too few for {nest.mode}; hint: add a loop of size 1"
    for a, access in enumerate(nest.accesses):
        if len(access.strides) != nest.loops or set(access.strides) - {0, 1, 2, -1, None}:
            return f"access {a} has strides {access.strides}: one of 0, 1, 2, -1, None a loop"
        if access.every not in (1, 2) or access.every == 2 and access.strides[-1] not in (0, 1):
            return f"access {a} takes turns between {access.every} shares, by {access.strides[-1]}"
    return None


def _stage_fault(nest: Nest) -> str | None:
    results = 0
    if nest.mode in ("map", "tiles") and (len(nest.stages) != 1 or nest.stages[0].reduces):
        return "a map has one stage, and reduces nothing"
    if nest.mode.startswith("split") and len(nest.stages) != 1:
        return "a split reduction has one stage"
    for stage in nest.stages:
        for reduce in stage.reduces:
            if reduce.step not in STEPS:
                return f"step {reduce.step!r}, expected one of {', '.join(STEPS)}"
            if max(leaves(reduce.value, "result"), default=-1) >= results:
                return "a reduction uses a result that is not there yet"
        results += len(stage.reduces)
        for store in stage.stores:
            if max(leaves(store.value, "result"), default=-1) >= results:
                return "a store uses a result that is not there yet"
    return None
