"""Shared rules: types of results, dims, sizes. They see Specs, Numbers and static arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.dtype import DType
from flambeau.ir.layout import Ints, Spec
from flambeau.ir.program import Number
from flambeau.trace.modes import Mode
from flambeau.trace.trie import here

# ------------------------------------------------------------------ types


def promoted(mode: Mode, *facts: Any) -> DType:
    """The common type: tensors with dims decide, then 0-dim tensors, then Python numbers.

    A later rank counts only where its category (bool, integer, float, complex) is higher.
    """
    result: DType | None = None
    specs = [f for f in facts if isinstance(f, Spec)]
    for rank in ([s for s in specs if s.size], [s for s in specs if not s.size]):
        level: DType | None = None
        for fact in rank:
            level = fact.dtype if level is None else dt.promote(level, fact.dtype)
        if level is not None:
            result = level if result is None else higher(result, level)
    for fact in facts:
        if isinstance(fact, Number):
            kind = number_dtype(mode, fact)
            result = kind if result is None else higher(result, kind)
    assert result is not None
    return result


def higher(first: DType, later: DType) -> DType:
    """The first type, unless the later one is of a higher category.

    A complex number beside a float becomes complex in the float's precision.
    """
    if dt.category(later) <= dt.category(first):
        return first
    return first.to_complex() if (first.kind, later.kind) == ("f", "c") else later


def number_dtype(mode: Mode, number: Number) -> DType:
    """What a Python number counts as."""
    if number.type is complex:
        return mode.default_dtype.to_complex()
    return {bool: dt.bool_, int: dt.int64, float: mode.default_dtype}[number.type]


def operands(facts: Sequence[Any]) -> list[Any]:
    return [f for f in facts if isinstance(f, (Spec, Number))]


def same(mode: Mode, *facts: Any) -> tuple[DType, DType]:
    """Compute in the promoted type and keep it."""
    dtype = promoted(mode, *operands(facts))
    return dtype, dtype


def to_float(mode: Mode, *facts: Any) -> tuple[DType, DType]:
    """Integers become the default float."""
    dtype = promoted(mode, *operands(facts))
    dtype = mode.default_dtype if dt.category(dtype) < 2 else dtype
    return dtype, dtype


def to_bool(mode: Mode, *facts: Any) -> tuple[DType, DType]:
    """Compute in the promoted type; the result is a truth value."""
    return promoted(mode, *operands(facts)), dt.bool_


# ------------------------------------------------------------------ dims


def one_dim(dim: int, ndim: int) -> int:
    """A dim counted from the front, or IndexError."""
    if isinstance(dim, bool) or not isinstance(dim, int):
        if not hasattr(dim, "__index__"):
            raise TypeError(f"dim must be an int, not {type(dim).__name__}")
        dim = dim.__index__()
    n = max(ndim, 1)
    if not -n <= dim < n:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], "
                         f"but got {dim})")  # fmt: skip
    return dim % n


def many_dims(dim: Any, ndim: int) -> Ints:
    """None, an int or several → sorted dims from the front; () and None mean all."""
    if ndim > 64:
        raise RuntimeError("only tensors with up to 64 dims are supported")
    if dim is None or (isinstance(dim, (tuple, list)) and not dim):
        return tuple(range(ndim))
    given = [one_dim(d, ndim) for d in (dim if isinstance(dim, (tuple, list)) else (dim,))]
    if len(set(given)) != len(given):
        twice = next(d for d in given if given.count(d) > 1)
        raise RuntimeError(f"dim {twice} appears multiple times in the list of dims")
    return tuple(sorted(given)) if ndim else ()


def without_dims(size: Ints, dims: Ints, keepdim: bool) -> Ints:
    """The size after a reduction."""
    if keepdim:
        return tuple(1 if d in dims else n for d, n in enumerate(size))
    return tuple(n for d, n in enumerate(size) if d not in dims)


def restore_dims(g: Any, dims: Ints, size: Ints, keepdim: bool) -> Any:
    """A gradient of a reduction, with the reduced dims back as 1."""
    if keepdim or not size:
        return g
    return g.reshape(tuple(1 if d in dims else n for d, n in enumerate(size)))


def infer_size(shape: Sequence[int], numel: int) -> Ints:
    """Fill in one -1, or RuntimeError in PyTorch's words."""
    known, unknown = 1, None
    for d, n in enumerate(shape):
        if n == -1:
            if unknown is not None:
                raise RuntimeError("only one dimension can be inferred")
            unknown = d
        elif n < 0:
            raise RuntimeError(f"invalid shape dimension {n} at index {d} of shape {list(shape)}")
        else:
            known *= n
    shape = list(shape)
    if unknown is not None:
        if known == 0:
            raise RuntimeError(f"cannot reshape tensor of {numel} elements into shape {shape} "
                               f"because the unspecified dimension size -1 can be any value and is "
                               "ambiguous")  # fmt: skip
        if numel % known == 0:
            shape[unknown] = numel // known
            return tuple(shape)
    elif known == numel:
        return tuple(shape)
    raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {numel}")


def as_type(x: Any, dtype: DType | None) -> Any:
    """The array in the type to add up in (float16 and bfloat16 in float32)."""
    if dtype is None:
        return x.astype(np.int64) if x.dtype.kind in "biu" else x
    return x.astype(dt.compute_dtype(dtype).numpy)


# ------------------------------------------------------------------ refusals


def not_for(kinds: str, kernel: str, rule: Any) -> Any:
    """The rule, but for types whose kind is in `kinds`: those PyTorch's kernel lacks."""

    def checked(mode: Mode, *facts: Any) -> tuple[DType, DType]:
        compute, result = rule(mode, *facts)
        if compute.kind in kinds:
            raise NotImplementedError(f"\"{kernel}\" not implemented for '{compute.legacy}'")
        return compute, result

    return checked


def real_only(says: str, rule: Any, error: type[Exception] = NotImplementedError) -> Any:
    """The rule, but not for complex numbers, which are refused in these words."""

    def checked(mode: Mode, *facts: Any) -> tuple[DType, DType]:
        compute, result = rule(mode, *facts)
        if compute.kind == "c":
            raise error(says)
        return compute, result

    return checked


def lacks(kernel: str) -> str:
    """PyTorch's words where a kernel has no code for a type, which goes into the braces."""
    return f'"{kernel}" not implemented for \'{{}}\''


def refuse_complex(spec: Spec, says: str, error: type[Exception] = RuntimeError) -> None:
    """Raise where a tensor is complex; {} in the words stands for its type."""
    if spec.dtype.kind == "c":
        raise error(says.format(spec.dtype.legacy))


def by_first(rule: Any, n: int = 1) -> Any:
    """The types of the first n arguments decide."""
    return lambda mode, *facts: rule(mode, *facts[:n])


def tensors_only(name: str, rule: Any, names: tuple[str, ...] = ("input", "other")) -> Any:
    """The rule for arguments that must be tensors, though rows take numbers in their places."""

    def checked(mode: Mode, *facts: Any) -> tuple[DType, DType]:
        for position, (argument, fact) in enumerate(zip(names, facts), 1):
            if isinstance(fact, Number):
                raise TypeError(f"{name}(): argument '{argument}' (position {position}) must be "
                                f"Tensor, not {fact.type.__name__}")  # fmt: skip
        return rule(mode, *facts)

    return checked


def keep(mode: Mode, input: Spec, *rest: Any) -> tuple[DType, DType]:
    """The first argument's type, whatever the others are."""
    return input.dtype, input.dtype


def if_tensor(place: int, then: int, otherwise: int) -> Callable[..., int]:
    """Which overload PyTorch takes: one for a tensor in this place, another for a number."""
    return lambda *facts: otherwise if isinstance(facts[place], Number) else then


def zeros(g: Any) -> Any:
    """The gradient of a function that is constant in pieces."""
    return g.new_zeros(g._spec.size)


def wanted_again(*tensors: Any) -> bool:
    """Whether somebody will want the derivative of what a derivative computes from these."""
    return here.stretch.mode.grad and any(t.requires_grad for t in tensors)


def lifted(x: Any, g: Any) -> Any:
    """An operand as a tensor, where a number may stand."""
    return x if hasattr(x, "_spec") else g.new_zeros(()) + x
