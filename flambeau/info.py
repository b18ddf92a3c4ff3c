"""Facts about types and tensors, and switches: finfo, is_tensor, result_type, threads."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ir.dtype import DType
from flambeau.ir.program import Number
from flambeau.ops.rules import promoted
from flambeau.tensor import Tensor
from flambeau.trace.entering import number_type
from flambeau.trace.trie import here, switch_for_all

_BFLOAT16 = dict(
    bits=16,
    eps=2.0**-7,
    max=3.3895313892515355e38,
    min=-3.3895313892515355e38,
    tiny=2.0**-126,
    smallest_normal=2.0**-126,
    resolution=0.01,
)


class finfo:  # noqa: N801 PyTorch's name
    """The limits of a float type."""

    def __init__(self, type: DType | None = None) -> None:
        dtype = type or here.stretch.mode.default_dtype
        if dtype.kind not in "fc":
            raise TypeError(
                f"torch.finfo() requires a floating point input type. Use torch.iinfo to "
                f"handle '{dtype}'"
            )
        dtype = dtype.to_real()
        self.dtype = dtype.name
        if dtype is dt.bfloat16:
            self.__dict__.update(_BFLOAT16)
            return
        facts = np.finfo(dtype.numpy)
        self.bits = facts.bits
        for name in ("eps", "max", "min", "tiny", "smallest_normal", "resolution"):
            setattr(self, name, float(getattr(facts, name)))

    def __repr__(self) -> str:
        names = ("resolution", "min", "max", "eps", "smallest_normal", "tiny")
        return f"finfo({', '.join(f'{n}={getattr(self, n):g}' for n in names)}, dtype={self.dtype})"


class iinfo:  # noqa: N801 PyTorch's name
    """The limits of an integer type."""

    def __init__(self, type: DType) -> None:
        if type.kind not in "iu":
            raise TypeError(
                f"torch.iinfo() requires an integer input type. Use torch.finfo to handle '{type}'"
            )
        facts = np.iinfo(type.numpy)
        self.dtype, self.bits = type.name, facts.bits
        self.max, self.min = int(facts.max), int(facts.min)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"


def is_tensor(obj: Any) -> bool:
    return isinstance(obj, Tensor)


def is_storage(obj: Any) -> bool:
    from flambeau.storage import Face

    return isinstance(obj, Face)


def is_floating_point(input: Any) -> bool:
    return input._spec.dtype.kind == "f"


def is_signed(input: Any) -> bool:
    """Whether the dtype has negative numbers."""
    return input.is_signed()


def is_inference(input: Any) -> bool:
    """Whether the tensor was made in inference mode."""
    return input.is_inference()


def is_same_size(input: Any, other: Any) -> bool:
    """Whether two tensors have the same size."""
    return input._spec.size == other._spec.size


def is_nonzero(input: Any) -> bool:
    return bool(input)


def numel(input: Any) -> int:
    return input._spec.numel


def typename(obj: Any) -> str:
    """The name of a type as PyTorch writes it."""
    if isinstance(obj, Tensor):
        return obj.type()  # type: ignore[attr-defined]
    cls = obj if isinstance(obj, type) else type(obj)
    return (
        cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    )


def promote_types(type1: DType, type2: DType) -> DType:
    """The type that holds both."""
    return dt.promote(type1, type2)


def can_cast(from_: DType, to: DType) -> bool:
    """Whether a result of one type may be written to a tensor of the other."""
    if from_.kind == "i" and to.kind == "u":
        return False
    return dt.category(from_) <= dt.category(to)


def result_type(tensor1: Any, tensor2: Any) -> DType:
    """The type of arithmetic on both, which may be numbers."""
    facts = [
        x._spec if isinstance(x, Tensor) else Number(0, number_type(x)) for x in (tensor1, tensor2)
    ]
    return promoted(here.stretch.mode, *facts)


def get_num_threads() -> int:
    """How many threads share the work of a kernel."""
    from flambeau.runtime import threads

    return threads.get_num_threads()


def set_num_threads(count: int) -> None:
    """Change how many threads share the work of a kernel."""
    from flambeau.runtime import threads

    threads.set_num_threads(count)


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Accepted: results are the same in every run anyway."""
    switch_for_all(deterministic=bool(mode))
