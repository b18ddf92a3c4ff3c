"""Autocast: which calls run in a lower precision while it is on, which in float32.

A call that needs casts gets a state of its own in the trie, without an event: following it casts
the arguments and records the call with autocast off. Which calls is PyTorch's choice for the CPU.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

from flambeau.ir import dtype as dt
from flambeau.ir.op import Op
from flambeau.trace import above, recorder
from flambeau.trace.modes import Mode, switch
from flambeau.trace.tensor import Recorded
from flambeau.trace.trie import State, Stretch, here

RULES = dict.fromkeys("mm bmm addmm baddbmm convolution _prelu_kernel".split(), "lower")
RULES |= dict.fromkeys("cat stack index_copy".split(), "widest")
RULES |= dict.fromkeys("""mse_loss nll_loss nll_loss2d smooth_l1_loss huber_loss soft_margin_loss
    multi_margin_loss multilabel_margin_loss binary_cross_entropy binary_cross_entropy_with_logits
    _ctc_loss prod prod_all _cdist avg_pool3d _adaptive_avg_pool3d _adaptive_max_pool3d
    _fractional_max_pool2d _fractional_max_pool3d _max_unpool2d _max_unpool3d _reflection_pad1d
    _reflection_pad2d _reflection_pad3d _replication_pad1d _replication_pad2d _replication_pad3d
    grid_sampler_2d grid_sampler_3d polar _trace _fft_c2c _fft_c2r _fft_r2c cholesky_inverse
    cholesky_solve linalg_cholesky_ex linalg_householder_product linalg_svd
    linalg_svdvals""".split(), "float32")  # fmt: skip


class Local(threading.local):
    """cache: id of a parameter → (the parameter, its version, what it was cast with, the cast)."""

    def __init__(self) -> None:
        self.cache: dict[int, tuple[Any, ...]] = {}
        self.enabled = True  # whether casts of parameters are remembered
        self.depth = 0  # of nested blocks; at its end the outermost forgets them


local = Local()


def rule_of(op: Op, mode: Mode, args: tuple[Any, ...]) -> str | None:
    """How to cast the arguments of a call, None where they are right already."""
    how = RULES.get(op.name)
    if how is None:
        return None
    target = target_of(how, mode, args)
    return how if any(x._spec.dtype is not target for x in eligible(args)) else None


def eligible(args: Any) -> Any:
    """The tensors that autocast casts: floats, but not double ones."""
    for arg in args:
        if isinstance(arg, (tuple, list)):
            yield from eligible(arg)
        elif isinstance(arg, Recorded) and is_eligible(arg):
            yield arg


def is_eligible(x: Recorded) -> bool:
    return x._spec.dtype.kind == "f" and x._spec.dtype is not dt.float64


def target_of(how: str, mode: Mode, args: Any) -> Any:
    """The type to cast to; "widest": float32 where some argument has it."""
    if how == "lower":
        return mode.autocast
    types = {x._spec.dtype for x in eligible(args)}
    return dt.float32 if how == "float32" or types != {mode.autocast} else mode.autocast


def casting(stretch: Stretch, op: Op, key: tuple[Any, ...], args: tuple[Any, ...]) -> State | None:
    """The edge of a call whose arguments are cast first; None where they need not be."""
    how = rule_of(op, stretch.mode, args)
    if how is None:
        return None
    state = State(stretch.state)
    state.numbers, state.offsets = len(stretch.numbers), len(stretch.offsets)
    state.follow = functools.partial(follow_casting, op, how)
    stretch.state.edges[key] = state
    return state


above.casting = casting


def follow_casting(op: Op, how: str, stretch: Stretch, state: State, args: tuple[Any, ...]) -> Any:
    """Cast, and record the call with autocast off."""
    return run(functools.partial(recorder.record, op), how, args)


def run(function: Callable[..., Any], how: str, args: Any, kwargs: Any = None) -> Any:
    """A function with its tensors cast, and with autocast off inside."""
    mode = here.stretch.mode
    target = target_of(how, mode, [*args, *(kwargs or {}).values()])
    cast = functools.partial(in_type, target, mode)
    args, kwargs = [*map(cast, args)], {name: cast(x) for name, x in (kwargs or {}).items()}
    here.stretch.mode = switch(mode, autocast=None)
    try:
        return function(*args, **kwargs)
    finally:
        here.stretch.mode = switch(here.stretch.mode, autocast=mode.autocast)


def in_type(target: Any, mode: Mode, x: Any) -> Any:
    """An argument in the type that is wanted; lists one by one."""
    if isinstance(x, (tuple, list)):
        return type(x)(in_type(target, mode, part) for part in x)
    if not isinstance(x, Recorded) or not is_eligible(x) or x._spec.dtype is target:
        return x
    tensor: Any = x
    parameter = x._edge is None and x._viewed is None and x._spec.requires_grad
    if not (parameter and local.enabled and target is mode.autocast):
        return tensor.to(target)
    facts = x._counter().version, mode.grad, target
    known = local.cache.get(id(x))
    if known is None or known[0] is not x or known[1] != facts:
        known = local.cache[id(x)] = x, facts, tensor.to(target)
    return known[2]


def whole(how: str) -> Callable[[Any], Any]:
    """For functions that PyTorch casts as a whole, but that are several calls here."""

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            if here.stretch.mode.autocast is None:
                return function(*args, **kwargs)
            return run(function, how, args, kwargs)

        return inside

    return decorate
