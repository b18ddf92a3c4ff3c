"""`out=` of functions that are made of several calls, and results that have names.

Where PyTorch computes right into `out`, its type must be the result's (`exactly`); elsewhere the
result is cast where that is safe.
"""

from __future__ import annotations

from typing import Any

from flambeau import return_types
from flambeau.ir import dtype as dt
from flambeau.ops.outs import exact, refuse_gradient


def fill(name: str, result: Any, out: Any = None, exactly: bool = True) -> Any:
    """The result, or `out` with the result in it.

    Raises RuntimeError for a type that does not fit and where a gradient would be lost.
    """
    if out is None:
        return result
    if not hasattr(out, "_spec"):
        raise TypeError(f"{name}(): argument 'out' must be Tensor, not {type(out).__name__}")
    refuse_gradient(name, out, result)
    check_type(name, result.dtype, out.dtype, exactly)
    if out._spec.size == result._spec.size:
        return out.copy_(result)
    out._resize_for_out(result._spec.size)
    if not exactly or result._spec.contiguous or not result._spec.numel:
        return out.copy_(result)
    return out.set_(result)  # it has no strides of its own to keep


def check_type(name: str, given: dt.DType, wanted: dt.DType, exactly: bool) -> None:
    if exactly:
        exact(name, given, wanted)
    if dt.category(given) > dt.category(wanted):
        raise RuntimeError(f"{name}: Expected result to be safely castable from {given.legacy} "
                           f"dtype, but got result with dtype {wanted.legacy}")  # fmt: skip


def named(name: str, results: Any, out: Any = None) -> Any:
    """Several results under the names of `return_types`, or in the tensors of `out`."""
    if out is None:
        return getattr(return_types, name)(tuple(results))
    if not isinstance(out, (tuple, list)) or len(out) != len(results):
        raise TypeError(f"{name}(): argument 'out' must be tuple of {len(results)} Tensors")
    filled = tuple(fill(name, result, target) for result, target in zip(results, out))
    return getattr(return_types, f"{name}_out", tuple)(filled)


def results(name: str, *fields: str) -> None:
    """Declare the class of a function's results, and that of its results in `out=`."""
    return_types.named(name, *fields)
    return_types.named(f"{name}_out", *fields)
