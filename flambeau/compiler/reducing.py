"""Reductions over dims that no single loop walks over: one group of neighbours after the other.

%2 = sum(%1, (0, 2, 3))    →    %3 = sum(%1, (2, 3)), kept wide;  %2 = sum(%3, 0)
%2 = sum(%1, ())           →    %2 = copy(%1)
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

from flambeau.compiler.clusters import mergeable, reduced_dims
from flambeau.compiler.expand import COPY
from flambeau.compiler.lower import Lowering, made, rule
from flambeau.compiler.lowered import internal
from flambeau.ir import dtype as dt
from flambeau.ir.layout import Ints, Layout
from flambeau.ir.op import Op
from flambeau.ir.program import Call, Out, Ref, Size


@rule("any reduction")
def reduction(low: Lowering, call: Call) -> bool:
    (ref,), (out,) = tuple(call.refs()), call.outs
    if call.op.reduce in ("argmax", "argmin") or not low.apart(call):
        return False
    dims = reduced_dims(call)
    groups = in_groups(ref, dims)
    if not dims:
        return call.op.prepare is None and call.op.reduce not in ("any", "all") and low.emit(
            call, COPY(), ref, compute=call.compute or out.dtype)  # fmt: skip
    if len(groups) < 2 or not prod(ref.size):
        return False
    wide = partial_type(call, ref)
    count, left = prod(ref.size[d] for d in dims), dims
    step = partial(call.op.reduce, call.op.prepare)
    for group in groups[:0:-1]:
        now = tuple(place(ref, left, dims, d) for d in group)
        size = tuple(n for d, n in enumerate(ref.size) if d not in now)
        ref = made(low, call, step, size, wide, ref, now, compute=call.compute)
        left = tuple(d for d in left if d not in group)
        step = partial(call.op.reduce, None)
    finish(low, call, ref, tuple(place(ref, left, dims, d) for d in left), count, dims)
    return True


def place(ref: Ref, left: Ints, dims: Ints, dim: int) -> int:
    """Where a dim of the whole is, now that those in `dims` but not in `left` are gone."""
    return dim - sum(1 for d in dims if d < dim and d not in left)


def finish(low: Lowering, call: Call, ref: Ref, now: Ints, count: int, dims: Ints) -> None:
    """The last group, and what the row does to the result (a mean divides)."""
    (out,) = call.outs
    kept = tuple(n for d, n in enumerate(ref.size) if d not in now)
    stride = out.layout.stride
    if len(stride) != len(kept):  # keepdim
        stride = tuple(s for d, s in enumerate(stride) if d not in dims)
    target = Out(out.value, Layout(kept, stride, out.layout.offset), out.dtype, out.over)
    step = partial(call.op.reduce, None)
    if call.op.scalar is None:
        low.emit(call, step, ref, now, out=target, compute=call.compute)
        return
    total = made(low, call, step, kept, ref.dtype, ref, now, compute=call.compute)
    low.emit(call, finished(call.op), total, Size(count), out=target)


def in_groups(ref: Ref, dims: Ints) -> list[Ints]:
    """Neighbouring dims that memory walks as one."""
    groups: list[Ints] = []
    for d in dims:
        if groups and groups[-1][-1] == d - 1 and mergeable(
            ref.layout.stride, ref.size, (*groups[-1], d)):  # fmt: skip
            groups[-1] = (*groups[-1], d)
        else:
            groups.append((d,))
    return groups


def partial_type(call: Call, ref: Ref) -> dt.DType:
    """The type of partial results: nothing is rounded before the end."""
    if call.op.reduce in ("any", "all"):
        return dt.bool_
    return dt.compute_dtype(call.compute or call.outs[0].dtype)


@lru_cache(maxsize=64)
def partial(reduce: str, prepare: Any) -> Op:
    """A part of a reduction over `dims`."""
    return Op(f"partial_{reduce}", "reduction", (), internal_infer, reduce=reduce, prepare=prepare,
              dims=lambda spec, dims: (dims, ()))  # fmt: skip


def internal_infer(*facts: Any) -> Any:
    raise AssertionError("partial reductions are made by the compiler, never recorded")


@lru_cache(maxsize=64)
def finished(op: Op) -> Op:
    """What an op does with the total, as an op of its own."""
    scalar = op.scalar
    assert scalar is not None
    name = f"{op.name}_of_total"
    return internal(name, lambda k, total, n: scalar(k, total, k.cast(n, total.dtype)))
