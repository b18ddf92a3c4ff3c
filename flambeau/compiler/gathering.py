"""Gather: where parts fill a storage one after another, nothing else needs to be in it before.

    %4 = full((8, 6), $0)                      %4 = storage
    %5 over %4[:, :3] = copy(%1)          →    %5 over %4[:, :3] = copy(%1)
    %6 over %5[:, 3:] = add(%5[:, 3:], %2)     %6 over %5[:, 3:] = add($0, %2)

So are the gradients of a tensor's parts added up. Where the parts begin must be known.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, starmap
from math import prod
from typing import Any

from flambeau.compiler import lowered
from flambeau.ir.layout import Ints, Layout, Offset
from flambeau.ir.program import Call, Out, Program, Ref
from flambeau.ir.record import replace

MOST_PARTS = 64

Box = tuple[tuple[int, int], ...]  # of each dim of a storage: where a part begins and ends


def gather(program: Program) -> Program:
    """Leave out each filling that parts write over as a whole, and let them read the number.

    Where a call fails, what was filled before it is there for everybody to see.
    """
    homes = program.storage_of()
    seen = {homes[v] for v in program.live} if any(c.op.may_fail for c in program.calls) else set()
    fillings = {c.outs[0].value: c for c in program.calls
                if is_filling(c) and c.outs[0].value not in seen}  # fmt: skip
    if not fillings:
        return program
    touching: dict[int, list[Call]] = {home: [] for home in fillings}
    for call in program.calls:
        for home in {homes[t.value] for t in call.tensors() if t.value in homes}:
            if home in touching and call is not fillings[home]:
                touching[home].append(call)
    next_value = 1 + max(homes, default=0)
    changed: dict[int, tuple[Call, ...]] = {}
    for home, filling in fillings.items():
        parts = parts_of(filling, touching[home], homes)
        if parts:
            number = replace(filling, outs=(replace(filling.outs[0], value=next_value),))
            storage = Call(lowered.storage, (parts[-1].outs[0].value,), filling.outs, None,
                           filling.source)  # fmt: skip
            changed[id(filling)] = number, storage
            changed |= {id(part): (reading(part, home, next_value, homes),) for part in parts}
            next_value += 1
    calls = [new for call in program.calls for new in changed.get(id(call), (call,))]
    return replace(program, calls=tuple(calls))


def is_filling(call: Call) -> bool:
    """Whether a call makes a storage of one number."""
    return call.op.name == "full" and call.native() and call.outs[0].over is None and (
        call.outs[0].layout.plain and call.outs[0].layout.numel > 0)  # fmt: skip


def parts_of(filling: Call, touching: list[Call], homes: dict[int, int]) -> list[Call]:
    """The calls that fill the storage, first of all that touch it; none where there are not such.

    Each reads of it no more than the part that it writes.
    """
    whole = filling.outs[0].layout
    parts: list[Call] = []
    boxes: list[Box] = []
    left = whole.numel
    for call in touching:
        box = part_written(call, whole, homes[filling.outs[0].value], homes)
        if box is None or len(parts) == MOST_PARTS:
            return []
        parts.append(call)
        boxes.append(box)
        left -= prod(end - begin for begin, end in box)
        if left <= 0:
            break
    apart = left == 0 and all(starmap(disjoint, combinations(boxes, 2)))
    return parts if apart else []


def part_written(call: Call, whole: Layout, home: int, homes: dict[int, int]) -> Box | None:
    """Where an elementwise call writes, if it touches nothing else of the storage."""
    if call.op.kind != "elementwise" or call.op.picks or not call.native() or len(call.outs) != 1:
        return None
    (out,) = call.outs
    if out.over is None or homes[out.value] != home:
        return None
    mine = [ref for ref in call.refs() if homes.get(ref.value) == home]
    if any(ref.layout != out.layout or ref.dtype is not out.dtype for ref in mine):
        return None
    return box_of(out.layout, whole)


def box_of(part: Layout, whole: Layout) -> Box | None:
    """The indices that a part has in a whole that is row-major; None where it is no block of it."""
    if isinstance(part.offset, Offset):
        return None
    lengths = dict.fromkeys(range(len(whole.size)), 1)
    for n, stride in zip(part.size, part.stride):
        if n != 1:
            dims = [d for d in lengths if whole.stride[d] == stride and whole.size[d] != 1]
            if len(dims) != 1 or lengths[dims[0]] != 1:
                return None
            lengths[dims[0]] = n
    begins = list(begins_of(part.offset, whole.size))
    box = tuple((begin, begin + lengths[d]) for d, begin in enumerate(begins))
    return box if all(end <= n for (_, end), n in zip(box, whole.size)) else None


def begins_of(offset: int, size: Ints) -> Iterator[int]:
    """The index of the element at an offset."""
    for d in range(len(size)):
        yield offset // prod(size[d + 1 :]) % size[d]


def disjoint(a: Box, b: Box) -> bool:
    """Whether no index is in both."""
    return any(end <= begin or other <= start for (start, end), (begin, other) in zip(a, b))


def reading(call: Call, home: int, number: int, homes: dict[int, int]) -> Call:
    """The same call with the number instead of what it reads of the storage."""

    def renamed(arg: Any) -> Any:
        if isinstance(arg, Ref) and homes.get(arg.value) == home:
            return replace(arg, value=number)
        return tuple(map(renamed, arg)) if isinstance(arg, tuple) else arg

    return replace(call, args=tuple(map(renamed, call.args)))


def settle(program: Program, constant: dict[int, int]) -> Program:
    """Offsets that are compiled in as the numbers that they are."""
    if not constant:
        return program

    def settled(thing: Any) -> Any:
        if isinstance(thing, tuple):
            return tuple(map(settled, thing))
        if isinstance(thing, (Ref, Out)) and isinstance(thing.layout.offset, Offset):
            offset = constant.get(thing.layout.offset.index, thing.layout.offset)
            return replace(thing, layout=replace(thing.layout, offset=offset))
        return thing

    calls = tuple(
        replace(call, args=settled(call.args), outs=settled(call.outs))
        if any(isinstance(t.layout.offset, Offset) for t in call.tensors()) else call
        for call in program.calls
    )  # fmt: skip
    return replace(program, calls=calls)
