"""The first sighting of a call: clean its arguments, infer its results, make the edge of the trie.

What is paid once, so that a repeated call costs one look-up. On an error nothing was recorded.
"""

from __future__ import annotations

import os
import sys
from functools import cache, partial
from typing import Any

from flambeau.ir import dtype as dt
from flambeau.ir.layout import Layout, Offset, Spec, spec_of
from flambeau.ir.op import Op, Param, positions
from flambeau.ir.program import Call, Number, Out, Ref, Source
from flambeau.trace import above
from flambeau.trace.entering import (
    NUMBERS,
    follow_nothing,
    given_default,
    guest_of,
    number_type,
)
from flambeau.trace.ranges import follow_looking, look, places_of
from flambeau.trace.results import (
    follow_effect,
    follow_inference,
    follow_many,
    follow_one,
    node_maker,
    written_arguments,
)
from flambeau.trace.tensor import Recorded
from flambeau.trace.trie import State, Stretch, here

PACKAGE = os.path.dirname(os.path.dirname(__file__))


def first_time(stretch: Stretch, op: Op, key: tuple[Any, ...], args: tuple[Any, ...],
               target: Any = None) -> State:  # fmt: skip
    """Clean the arguments, infer the results, make the edge. On an error nothing was recorded."""
    first_number = stretch.state.numbers
    try:
        check_kinds(op, args)
    except TypeError:
        del stretch.numbers[first_number:]
        raise
    if stretch.mode.autocast is not None and target is None:
        cast_first = above.casting(stretch, op, key, args)
        if cast_first is not None:
            return cast_first
    try:
        facts, refs = describe(stretch, op, args, key[-len(args) :] if args else ())
        cleaned = op.clean(*facts) if op.clean else facts
        results = op.infer(stretch.mode, *cleaned)
        places = places_of(op, cleaned) if op.bounds is not None else None
        if places is not None:
            look(places, args, sys.maxsize)
    except BaseException:
        del stretch.numbers[first_number:]
        raise
    refs = tuple(r if keep_ref(r) else c for r, c in zip(refs, cleaned))
    state = State(stretch.state)
    state.args, state.places = cleaned, places
    state.numbers = len(stretch.numbers)
    state.first_number = first_number if state.numbers > first_number else -1
    state.depth = stretch.state.depth + 1
    try:
        if target is None:
            outs = fresh_outs(stretch, op, state, args, results)
        else:
            outs = written_out(stretch, op, state, args, results, target)
    except BaseException:
        del stretch.numbers[first_number:]
        raise
    compute = op.compute(stretch.mode, *cleaned) if op.compute else None
    if stretch.numbers and any([n.__class__ is complex for n in stretch.numbers[first_number:]]):
        refuse_complex_number(stretch, first_number, (compute, *[result[1] for result in results]))
    state.event = Call(op, refs, outs, compute, source_line())
    stretch.state.edges[key] = state
    return state


def refuse_complex_number(stretch: Stretch, first: int, dtypes: tuple[Any, ...]) -> None:
    """A complex number needs a complex type, in the call or in its result."""
    if not any(dtype is not None and dtype.kind == "c" for dtype in dtypes):
        name = dtypes[-1].legacy.lower() if dtypes[-1] is not None else "double"
        del stretch.numbers[first:]
        raise RuntimeError(f"value cannot be converted to type {name} without overflow")


def check_kinds(op: Op, args: tuple[Any, ...]) -> None:
    """Tensors where tensors belong; at least one where the op takes any."""
    found = wanted = False
    for n, param in tensor_params(op):
        arg = args[n]
        wanted = wanted or param.required
        if param.kind == "tensors":
            check_list(op, param, n, arg)
            found = True
        elif isinstance(arg, Recorded):
            found = True
        elif isinstance(arg, (tuple, list)) or arg is None and param.required:
            raise not_a_tensor(op, param, n, arg, "Tensor")
    if wanted and not found and not any([isinstance(arg, Recorded) for arg in args]):
        raise not_a_tensor(op, op.params[0], 0, args[0] if args else None, "Tensor")


@cache
def tensor_params(op: Op) -> list[tuple[int, Param]]:
    """The parameters that are tensors, or lists of them, and where they stand."""
    return [(n, p) for n, p in enumerate(op.params) if p.kind in ("tensor", "tensors")]


def check_list(op: Op, param: Param, n: int, arg: Any) -> None:
    if not isinstance(arg, (tuple, list)):
        raise not_a_tensor(op, param, n, arg, "tuple of Tensors")
    for i, a in enumerate(arg):
        if not isinstance(a, Recorded):
            raise TypeError(f"expected Tensor as element {i} in argument {n}, but got "
                            f"{type(a).__name__}")  # fmt: skip


def not_a_tensor(op: Op, param: Param, n: int, arg: Any, expected: str) -> TypeError:
    return TypeError(f"{op.name.strip('_')}(): argument '{param.name}' (position {n + 1}) must be "
                     f"{expected}, not {type(arg).__name__}")  # fmt: skip


def keep_ref(r: Any) -> bool:
    """Whether an argument goes to the program as described, rather than as cleaned."""
    if isinstance(r, tuple):
        return any(isinstance(a, Ref) for a in r)
    return isinstance(r, (Ref, Number))


def describe(stretch: Stretch, op: Op, args: tuple[Any, ...],
             slots: tuple[Any, ...]) -> tuple[tuple[Any, ...], ...]:  # fmt: skip
    """Two views of the arguments: Specs for the rules, Refs for the program."""
    facts: list[Any] = []
    refs: list[Any] = []
    number = stretch.state.numbers
    for param, arg, slot in zip(op.params, args, slots):
        if isinstance(arg, Recorded):
            spec = arg._spec
            facts.append(spec.resolved if spec.dtype.lazy else spec)
            refs.append(ref_of(stretch, arg, slot))
        elif param.kind == "tensors":
            facts.append(tuple(a._spec.resolved for a in arg))
            refs.append(tuple(ref_of(stretch, a, s) for a, s in zip(arg, slot)))
        elif param.kind != "static" and arg is not None and not given_default(param, arg):
            n = Number(number, number_type(stretch.numbers[number]))
            number += 1
            facts.append(n)
            refs.append(n)
        else:
            facts.append(arg)
            refs.append(arg)
    return tuple(facts), tuple(refs)


def ref_of(stretch: Stretch, x: Any, slot: int) -> Ref:
    """A tensor argument as the program will see it."""
    if stretch.guests is not None:
        x = guest_of(stretch, x)
    if x._stretch is not stretch:  # a snapshot of pinned memory, which entered for this call alone
        return Ref(slot, x._spec.layout, x._spec.dtype)
    return Ref(x._storage.index, layout_in(stretch, x), x._spec.dtype)


def layout_in(stretch: Stretch, x: Any) -> Layout:
    """Where a tensor lies, as the program will see it."""
    spec: Spec = x._spec
    index = stretch.offset_of(x._slot) if stretch.state.offsets else None
    if index is not None:
        return Layout(spec.size, spec.stride, Offset(index))
    if x._offset:
        raise AssertionError(f"an offset that is not an input: {x._offset}")
    return spec.layout


def fresh_outs(stretch: Stretch, op: Op, state: State, args: tuple[Any, ...],
               results: tuple[Any, ...]) -> tuple[Out, ...]:  # fmt: skip
    """Outs for new storages, and how to follow the edge."""
    needs = gradient_plan(stretch, op, state, args)
    specs: list[Spec] = []
    outs: list[Out] = []
    for number, (size, dtype, *stride) in enumerate(results):
        differentiable = needs is not None and dtype.kind in "fc"
        spec = spec_of(tuple(size), stride[0] if stride else None, dtype, differentiable)
        specs.append(spec)
        outs.append(Out(state.slot + number, spec.layout, dtype))
    state.specs = tuple(specs)
    if not any(s.requires_grad for s in specs):
        state.needs = None
    if specs:
        state.spec = specs[0]
        state.size = state.spec.numel * state.spec.dtype.itemsize
    for target in written_arguments(op, args):
        outs.append(overwritten(stretch, state.slot + len(outs), target))
    state.next = state.slot + len(outs)
    if state.needs is not None and len(specs) == 1:
        state.node = node_maker(state)
    state.follow = follow_effect if op.writes else follow_one if len(specs) == 1 else follow_many
    if stretch.mode.inference:
        state.follow = partial(follow_inference, state.follow)
    if state.places is not None:
        state.follow = partial(follow_looking, state.follow)
    return tuple(outs)


def overwritten(stretch: Stretch, value: int, target: Any) -> Out:
    """The Out that is the next value of a tensor's storage."""
    target = guest_of(stretch, target)
    layout = layout_in(stretch, target)
    return Out(value, layout, target._spec.dtype, target._storage.index)


def gradient_plan(stretch: Stretch, op: Op, state: State, args: tuple[Any, ...]) -> Any:
    """Which arguments need a gradient, and what their formulas read; None where none does."""
    state.needs, state.keeps = None, ()
    if not stretch.mode.grad or stretch.mode.inference or not op.grad:
        return None
    wants = [i for i, p in enumerate(op.params) if p.name in op.grad and wants_grad(args[i])]
    if not wants:
        return None
    keeps: list[int] = []
    known = positions(op)
    for i in wants:
        for name in op.grad[op.params[i].name].reads:
            place = known.get(name, -1 - int(name[3:] or 0) if name.startswith("out") else None)
            if place is not None and place not in keeps:
                keeps.append(place)
    refuse_inference([args[i] for i in keeps if i >= 0])
    state.needs, state.keeps = tuple(wants), tuple(keeps)
    state.nested = any(isinstance(args[i], (tuple, list)) for i in (*wants, *keeps) if i >= 0)
    state.kept_numbers = tuple(i for i in keeps if i >= 0 and not isinstance(args[i], Recorded))
    return state.needs


def refuse_inference(kept: Any) -> None:
    """What was made in inference mode can't be kept for backward."""
    for arg in kept:
        if isinstance(arg, (tuple, list)):
            refuse_inference(arg)
        elif isinstance(arg, Recorded) and arg._storage.inference:
            raise RuntimeError(
                "Inference tensors cannot be saved for backward. Please do not use Tensors created "
                "in inference mode in computation tracked by autograd. To work around this, you "
                "can make a clone to get a normal tensor and use it in autograd, or use "
                "`torch.no_grad()` instead of `torch.inference_mode()`.")  # fmt: skip


def wants_grad(arg: Any) -> bool:
    if isinstance(arg, Recorded):
        return arg._spec.requires_grad
    return isinstance(arg, (tuple, list)) and any(map(wants_grad, arg))


def source_line() -> Source | None:
    """The nearest frame outside Flambeau."""
    frame: Any = sys._getframe(1)
    while frame is not None and is_ours(frame.f_code.co_filename):
        frame = frame.f_back
    return source_of(frame.f_code.co_filename, frame.f_lineno) if frame else None


@cache
def is_ours(file: str) -> bool:
    return file.startswith((PACKAGE, "<flambeau"))


source_of = cache(Source)


def written_out(stretch: Stretch, op: Op, state: State, args: tuple[Any, ...],
                results: tuple[Any, ...], target: Any) -> tuple[Out, ...]:  # fmt: skip
    """The one Out of a write, after checking that the result fits."""
    (size, dtype, *_), *more = results
    if more:
        raise AssertionError(f"{op.name} has several results and cannot be written in place")
    spec = target._spec
    check_fits(op, tuple(size), dtype, spec)
    needs = gradient_plan(stretch, op, state, args)
    if needs is not None and spec.dtype.kind not in "fc":
        state.needs = None
    requires_grad = spec.requires_grad or state.needs is not None
    state.spec = spec.with_grad(requires_grad) if stretch.mode.grad else spec
    state.specs = (state.spec,)
    state.next = state.slot + 1
    state.follow = follow_nothing
    state.shares = state.places is not None or shares_memory(op, target, args)
    return (overwritten(stretch, state.slot, target),)


def shares_memory(op: Op, target: Any, args: tuple[Any, ...]) -> bool:
    """Whether an elementwise call reads other parts of the storage that it writes to.

    Pinned storages are no part of the key, so they are looked at in every call.
    """
    others = [a for a in args if isinstance(a, Recorded) and a is not target]
    pinned = target._storage.pin is not None
    return op.kind == "elementwise" and any(pinned or a._storage is target._storage for a in others)


def check_fits(op: Op, size: tuple[int, ...], dtype: dt.DType, target: Spec) -> None:
    """The result must have the target's size and a type that casts to the target's."""
    if size != target.size:
        raise RuntimeError(f"output with shape {list(target.size)} doesn't match the broadcast "
                           f"shape {list(size)}")  # fmt: skip
    if dt.category(dtype) > dt.category(target.dtype) and not (op.name == "copy"):
        raise RuntimeError(f"result type {dtype.legacy} can't be cast to the desired output type "
                           f"{target.dtype.legacy}")  # fmt: skip
    if op.name != "full":
        check_repeats(target)


def check_repeats(target: Spec) -> None:
    """Refuse to write to a view in which an element stands for several (expand)."""
    if 0 in target.stride and any(s == 0 and n > 1 for s, n in zip(target.stride, target.size)):
        if target.numel:
            raise RuntimeError(
                "unsupported operation: more than one element of the written-to tensor refers to "
                "a single memory location. Please clone() the tensor before performing the "
                "operation.")  # fmt: skip


def results_of(op: Op, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Size and type of what a call would give (for `out=`)."""
    facts = tuple(
        a._spec.resolved if isinstance(a, Recorded)
        else tuple(b._spec.resolved if isinstance(b, Recorded) else b for b in a)
        if isinstance(a, (tuple, list)) else a
        for a in args
    )  # fmt: skip
    facts = tuple(
        Number(0, number_type(f))
        if p.kind != "static" and isinstance(f, NUMBERS) and not given_default(p, f)
        else f
        for p, f in zip(op.params, facts)
    )
    cleaned = op.clean(*facts) if op.clean else facts
    return tuple(op.infer(here.stretch.mode, *cleaned))
