"""`out=`: which types it may have, and how results get into it.

PyTorch has several rules for the type, which rows name as `out_type`:

    promotes    the result must cast to it: float32 into float64, not into int64
    unary       the result's own type: Found dtype Double but expected Float
    exact       the same, in the words of products, sorting and others
    asked       the type in which a sum is done, where no `dtype` was given
    boolean     bool alone
    joins       as `promotes`, in the words of cat
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau.ir.dtype import DType, category
from flambeau.ir.op import Op
from flambeau.trace import recorder, sighting, writes
from flambeau.trace.tensor import Recorded
from flambeau.trace.trie import here

C_NAMES = {"Long": "long int", "Half": "c10::Half", "BFloat16": "c10::BFloat16",
           "ComplexHalf": "c10::complex<c10::Half>", "ComplexFloat": "c10::complex<float>",
           "ComplexDouble": "c10::complex<double>", "Byte": "unsigned char",
           "Char": "signed char"}  # fmt: skip
# Calls that pick elements by index: what they write to must be none of what they read.
APART = frozenset("gather take index_select cat stack index_add index_copy scatter".split())


def c_name(dtype: DType) -> str:
    """What C++ calls a type, in PyTorch's messages."""
    return C_NAMES.get(dtype.legacy, dtype.legacy.lower())


def promotes(name: str, result: DType, out: DType) -> None:
    """Every write checks this; see sighting.check_fits."""


def unary(name: str, result: DType, out: DType) -> None:
    if out is not result:
        raise RuntimeError(f"Found dtype {out.legacy} but expected {result.legacy}")


def exact(name: str, result: DType, out: DType) -> None:
    if out is not result:
        raise RuntimeError(
            f"Expected out tensor to have dtype {c_name(result)}, but got {c_name(out)} instead"
        )


def asked(name: str, result: DType, out: DType) -> None:
    """`asked_for` made them one, unless a `dtype` was given."""
    exact(name, result, out)


def boolean(name: str, result: DType, out: DType) -> None:
    if out is not result:
        raise RuntimeError(f"{name} does not support non-boolean outputs.")


def joins(name: str, result: DType, out: DType) -> None:
    if category(result) > category(out):
        raise TypeError("torch.cat(): input types can't be cast to the desired output type "
                        f"{out.legacy}")  # fmt: skip


RULES: dict[str, Callable[[str, DType, DType], None]] = {
    rule.__name__: rule for rule in (promotes, unary, exact, asked, boolean, joins)
}


def rule_of(op: Op, args: tuple[Any, ...]) -> str:
    """What the row says, else what is usual for its kind."""
    if callable(op.out_type):
        return op.out_type(*args)
    return op.out_type or ("promotes" if op.kind == "elementwise" else "exact")


def by_operand(input: Any, other: Any) -> str:
    """Of two tensors as other elementwise calls, of one as functions of one."""
    return "promotes" if hasattr(other, "_spec") else "unary"


def asked_for(op: Op, args: tuple[Any, ...], out: DType) -> tuple[Any, ...]:
    """The arguments with `out`'s type as `dtype`, where none was given."""
    place = op.position("dtype")
    return args if args[place] is not None else (*args[:place], out, *args[place + 1 :])


def refuse_gradient(name: str, *tensors: Any) -> None:
    """Nothing differentiable goes into `out`."""
    if here.stretch.mode.grad and any(map(sighting.wants_grad, tensors)):
        raise RuntimeError(f"{name}(): functions with out=... arguments don't support automatic "
                           "differentiation, but one of the arguments requires grad.")  # fmt: skip


def write_out(op: Op, out: Any, args: tuple[Any, ...]) -> Any:
    """`out=`: write into a tensor that is given, resized where it does not fit."""
    if isinstance(out, (tuple, list)):
        return write_several(op, out, args)
    if not isinstance(out, Recorded):
        raise TypeError(f"{op.name}(): argument 'out' must be Tensor, not {type(out).__name__}")
    refuse_gradient(op.name, out, *args)
    rule, dtype = rule_of(op, args), out._spec.dtype.plain
    if rule == "asked":
        args = asked_for(op, args, dtype)
    (size, made, *_), *_ = sighting.results_of(op, args)
    RULES[rule](op.name, made, dtype)
    if op.name in APART:
        sighting.check_repeats(out._spec)
    if tuple(size) != out._spec.size:
        out._resize_for_out(tuple(size))  # type: ignore[attr-defined]  # a method of Tensor
    if op.name in APART:
        refuse_overlap(out, args)
    return recorder.record_write(op, out, *args)


def write_several(op: Op, outs: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Each of several results into a tensor of its own."""
    specs = sighting.results_of(op, args)
    if len(outs) != len(specs):
        raise TypeError(f"{op.name}(): argument 'out' must be tuple of {len(specs)} Tensors, not "
                        f"{len(outs)}")  # fmt: skip
    refuse_gradient(op.name, *outs, *args)
    for (_, made, *_), out in zip(specs, outs):
        RULES[rule_of(op, args)](op.name, made, out._spec.dtype.plain)
    for out, result in zip(outs, recorder.record(op, *args)):
        refuse_overlap(out, args)
        if result._spec.size != out._spec.size:
            out._resize_for_out(result._spec.size)
        out.copy_(result)
    return tuple(outs)


def refuse_overlap(out: Any, args: tuple[Any, ...]) -> None:
    """What is written to must be none of what is read."""
    for arg in args:
        if isinstance(arg, (tuple, list)):
            refuse_overlap(out, tuple(arg))
        elif isinstance(arg, Recorded) and overlap(out, arg):
            raise RuntimeError(
                "unsupported operation: some elements of the input tensor and the written-to "
                "tensor refer to a single memory location. Please clone() the tensor before "
                "performing the operation.")  # fmt: skip


def overlap(a: Any, b: Any) -> bool:
    """Whether two tensors may share memory: by where they begin and end, as dense ones do."""
    if a._storage is not b._storage or not (a._spec.numel and b._spec.numel):
        return False
    if not (writes.dense(a._spec) and writes.dense(b._spec)):
        return False
    (low, high), (low2, high2) = span(a), span(b)
    return low < high2 and low2 < high


def span(x: Any) -> tuple[int, int]:
    """The bytes that a tensor touches, from its storage's start."""
    item = x._spec.dtype.itemsize
    return x._offset * item, (x._offset + x._spec.extent) * item
