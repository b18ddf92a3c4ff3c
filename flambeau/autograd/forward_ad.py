"""Forward mode, tensor by tensor: dual_level, make_dual, unpack_dual.

A dual tensor is a stand-in (autograd/levels.py) that remembers its tangent. What is computed from
it has an ordinary history, from which `unpack_dual` takes the tangent by two reverse passes. So
dual tensors require gradients while the level lasts, and what is computed from them under `no_grad`
counts as constant.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from flambeau.autograd.levels import Level, Linear
from flambeau.trace.tensor import Recorded
from flambeau.trace.trie import here


class UnpackedDualTensor(NamedTuple):
    """A tensor and its tangent, which is None where there is none."""

    primal: Any
    tangent: Any


class _Duals(Level):
    """The dual tensors of one level."""

    def __init__(self) -> None:
        super().__init__()
        self.active = 1  # until it is left
        self.inputs: list[Any] = []
        self.tangents: list[Any] = []


_level: _Duals | None = None


def enter_dual_level() -> int:
    """Begin a level; returns its number, 0. Raises RuntimeError inside another."""
    global _level
    if _level is not None:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    _level = _Duals()
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """End the level: its tensors have no tangents any more."""
    global _level
    if _level is None:
        raise RuntimeError("Dual level must be a positive number.")
    check_level(level, "Trying to exit a forward AD level that was not the last one that was "
                       "created. This is not supported.")  # fmt: skip
    _level.active = 0
    _level = None


class dual_level:
    """`with dual_level():` a level that begins and ends with the block."""

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *_: object) -> None:
        exit_dual_level()


def check_level(level: int | None, says: str) -> None:
    """There is one level, of number 0."""
    if level not in (None, 0):
        raise RuntimeError(says)


def check_float(x: Any, what: str) -> None:
    """Derivatives are those of real or complex numbers."""
    if x._spec.dtype.kind not in "fc":
        raise ValueError(f"Expected {what} to be floating point or complex, but got: {x.dtype}")


def make_dual(tensor: Any, tangent: Any, *, level: int | None = None) -> Any:
    """A view of a tensor that has a tangent.

    The tangent has the tensor's size. Raises RuntimeError outside of levels and for a tensor that
    has a tangent already, ValueError for numbers that have no derivatives.
    """
    if _level is None:
        raise RuntimeError("Trying to create a dual Tensor for forward AD but no level exists, "
                           "make sure to enter_dual_level() first.")  # fmt: skip
    for x in (tensor, tangent):
        if not isinstance(x, Recorded):
            raise AttributeError(
                f"'{type(x).__name__}' object has no attribute 'is_floating_point'"
            )
    check_float(tensor, "primal")
    check_float(tangent, "tangent")
    check_level(level, "Invalid level given to _make_dual")
    if tensor._spec.size != tangent._spec.size:
        raise RuntimeError(
            "Trying to set a forward gradient that has a different size than that of the original "
            f"Tensor, this is not supported. Tensor is of size {list(tensor._spec.size)} while the "
            f"given forward gradient is of size {list(tangent._spec.size)}.")  # fmt: skip
    if any(x is tensor for x in _level.inputs):
        raise RuntimeError("Making a dual Tensor based on a Tensor that already has a forward "
                           "gradient at the same level 0 is not supported.")  # fmt: skip
    with _level:
        dual = _level.stand_in(tensor)
    _level.inputs.append(dual)
    _level.tangents.append(tangent)
    return dual


def unpack_dual(tensor: Any, *, level: int | None = None) -> UnpackedDualTensor:
    """(the tensor, its tangent): the derivative along the tangents of all dual tensors."""
    if not isinstance(tensor, Recorded):
        raise TypeError("_unpack_dual(): argument 'dual' (position 1) must be Tensor, not "
                        f"{type(tensor).__name__}")  # fmt: skip
    if _level is None:
        return UnpackedDualTensor(tensor, None)
    check_level(level, "Invalid level given to _unpack_dual")
    tangent = None
    if _level.inputs:
        linear = Linear(_level, _level.inputs, [tensor])
        (tangent,) = linear(_level.tangents)
        if tangent is None and any(p is not None for p in linear.pulled):
            tangent = tensor.new_zeros(tensor._spec.size)  # type: ignore[attr-defined]
    _level.outer, _level.active = here.stretch.mode.grad, 0  # as seen from outside
    unpacked = UnpackedDualTensor(_level.release(tensor), _level.release(tangent))
    _level.active = 1
    return unpacked
