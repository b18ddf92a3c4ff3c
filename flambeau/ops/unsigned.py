"""uint16, uint32 and uint64: PyTorch holds and converts them, but has few kernels for them.

ops/declare.py asks for each row. A call whose operands' common type is one of them is refused in
PyTorch's words, when it is seen first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau.ir import dtype as dt
from flambeau.trace.modes import Mode

WIDE = (dt.uint16, dt.uint32, dt.uint64)
KERNELS = {  # row → the kernel that PyTorch lacks
    "add": "add_stub", "sub": "add_stub", "rsub": "add_stub", "floor_divide": "div_floor_cpu",
    "div_floor": "div_floor_cpu", "div_trunc": "div_trunc_cpu", "remainder": "remainder_cpu",
    "fmod": "fmod_cpu", "pow_number": "pow", "pow_tensor": "pow", "neg": "neg_cpu", "lt": "lt_cpu",
    "le": "le_cpu", "gt": "gt_cpu", "ge": "ge_cpu", "bitwise_not": "bitwise_not_cpu",
    "bitwise_left_shift": "lshift_cpu", "bitwise_right_shift": "rshift_cpu", "abs": "abs_cpu",
    "sign": "sign_cpu", "maximum": "maximum_cpu", "minimum": "minimum_cpu", "gcd": "gcd_cpu",
    "lcm": "lcm_cpu", "logical_not": "logical_not_cpu", "logical_and": "logical_and_cpu",
    "logical_or": "logical_or_cpu", "logical_xor": "logical_xor_cpu", "max_all": "max_all",
    "min_all": "min_all", "amax": "max_values_cpu", "amin": "min_values_cpu", "max_dim": "max_cpu",
    "min_dim": "min_cpu", "argmax": "argmax_cpu", "argmin": "argmin_cpu",
    "clamp_number": "clamp_scalar_cpu", "clamp_tensor": "clamp_cpu",
}  # fmt: skip


def refusing(name: str, infer: Callable[..., Any], compute: Any) -> Callable[..., Any]:
    """A row's inference, with NotImplementedError where it would compute in one of the types."""
    kernel = KERNELS.get(name)
    if kernel is None:
        return infer

    def inferred(mode: Mode, *facts: Any) -> Any:
        results = infer(mode, *facts)
        dtype = facts[0].dtype if compute is None else compute(mode, *facts)
        if dtype in WIDE:
            raise NotImplementedError(f"\"{kernel}\" not implemented for '{dtype.legacy}'")
        return results

    return inferred
