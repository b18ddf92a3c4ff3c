"""Complex tensors: made of two real ones, their parts, and conjugates, which are views.

`x.conj()` shares x's memory and reads it conjugated: its dtype inside is a lazy one (ir/dtype.py).
The parts of such a view are read negated. `resolve_conj` and `resolve_neg` make copies of these.
"""

from __future__ import annotations

from typing import Any

from flambeau.ir import dtype as dt
from flambeau.ops import complex as rows
from flambeau.ops.functions import inplace_of
from flambeau.ops.table import TABLE
from flambeau.tensor import FUNCTIONS
from flambeau.trace.recorder import record_view, record_write

row = FUNCTIONS
abs_in_place = inplace_of(TABLE["abs"])


def complex(real: Any, imag: Any, *, out: Any = None) -> Any:
    """The complex tensor of a real and an imaginary part, which broadcast."""
    if out is not None and hasattr(real, "_spec"):
        wanted = real.dtype.to_complex()
        if out.dtype is not wanted:
            raise RuntimeError(f"Expected object of scalar type {wanted.legacy} but got scalar "
                               f"type {out.dtype.legacy} for argument 'out'")  # fmt: skip
    return row["complex"](real, imag, out=out)


def polar(abs: Any, angle: Any, *, out: Any = None) -> Any:
    """The complex tensor of absolute values and angles, which broadcast."""
    return row["polar"](abs, angle, out=out)


# ------------------------------------------------------------------ parts


def view_as_real(input: Any) -> Any:
    """A view with one more dim, of size 2: real and imaginary part."""
    spec = input._spec
    if spec.dtype.kind != "c":
        raise RuntimeError("view_as_real is only supported for complex tensors")
    if spec.dtype.lazy:
        raise RuntimeError(
            "view_as_real doesn't work on unresolved conjugated tensors.  To resolve the conjugate "
            "tensor so you can view it as real, use self.resolve_conj(); however, be warned that "
            "the resulting tensor will NOT alias the original."
        )
    return record_view(rows.view_as_real, input, 1 if input._offset else None, input._offset)


def view_as_complex(input: Any) -> Any:
    """A view of pairs of real numbers, which lie along the last dim, as complex numbers."""
    spec = input._spec
    if spec.dtype not in (dt.float16, dt.float32, dt.float64):
        if spec.dtype.lazy:
            raise RuntimeError("view_as_complex doesn't work on tensors with the negative bit set; "
                               "use resolve_neg() first")  # fmt: skip
        raise RuntimeError("view_as_complex is only supported for half, float and double tensors, "
                           f"but got a tensor of scalar type: {spec.dtype.legacy}")  # fmt: skip
    if not spec.size:
        raise RuntimeError("Input tensor must have one or more dimensions")
    if spec.size[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    if spec.stride[-1] != 1:
        raise RuntimeError("Tensor must have a last dimension with stride 1")
    if any(s % 2 for s in spec.stride[:-1]):
        raise RuntimeError("Tensor must have a stride divisible by 2 for all but last dimension")
    if input._offset % 2:
        raise RuntimeError("Tensor must have a storage_offset divisible by 2")
    back = input._offset // 2 - input._offset
    return record_view(rows.view_as_complex, input, 1 if back else None, back)


def pair_of(input: Any) -> Any:
    """The memory of a complex tensor as pairs, whatever is lazy about it."""
    return view_as_real(turned(input) if input._spec.dtype.lazy else input)


def real(input: Any) -> Any:
    """The real parts, as a view; a real tensor itself."""
    return pair_of(input).select(-1, 0) if input._spec.dtype.kind == "c" else input


def imag(input: Any) -> Any:
    """The imaginary parts, as a view."""
    if input._spec.dtype.kind != "c":
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    pair = pair_of(input)
    return (turned(pair) if input._spec.dtype.lazy else pair).select(-1, 1)


def set_real(self: Any, value: Any) -> None:
    real(self).copy_(value)


def set_imag(self: Any, value: Any) -> None:
    imag(self).copy_(value)


# ------------------------------------------------------------------ conjugates


def turned(self: Any) -> Any:
    """A view that reads the memory conjugated (complex numbers) or negated (real ones)."""
    op = rows.conj if self._spec.dtype.kind == "c" else rows.neg_view
    return record_view(op, self, None, 1)


def neg_view(input: Any) -> Any:
    """A view that reads the memory negated."""
    if input._spec.dtype.opposite is None or input._spec.dtype.kind == "c":
        raise NotImplementedError(f"_neg_view of {input.dtype} is not supported; use neg()")
    return turned(input)


def conj(input: Any) -> Any:
    """The complex conjugate, as a view; a real tensor itself."""
    return turned(input) if input._spec.dtype.kind == "c" else input


def conj_physical(input: Any, *, out: Any = None) -> Any:
    """The complex conjugate, in memory of its own; a real tensor itself."""
    if out is None and input._spec.dtype.kind != "c":
        return input
    return row["conj_physical"](input, out=out)


def conj_physical_(input: Any) -> Any:
    """conj_physical, over the input."""
    if input._spec.dtype.kind != "c":
        return input
    return record_write(rows.conj_physical, input, input)


def resolve_conj(input: Any) -> Any:
    """A copy where the tensor is a conjugating view, else the tensor itself."""
    return input.clone() if input._spec.dtype.lazy == "conj" else input


def resolve_neg(input: Any) -> Any:
    """A copy where the tensor is a negating view, else the tensor itself."""
    return input.clone() if input._spec.dtype.lazy == "neg" else input


def is_conj(input: Any) -> bool:
    """Whether the tensor reads its memory conjugated."""
    return input._spec.dtype.lazy == "conj"


def is_neg(input: Any) -> bool:
    """Whether the tensor reads its memory negated."""
    return input._spec.dtype.lazy == "neg"


def is_complex(input: Any) -> bool:
    """Whether the elements are complex numbers."""
    return input._spec.dtype.kind == "c"


def abs_(input: Any) -> Any:
    """Absolute values, over the input; those of complex numbers are of another type."""
    if input._spec.dtype.kind == "c":
        raise RuntimeError("In-place abs is not supported for complex tensors.")
    return abs_in_place(input)


def isreal(input: Any) -> Any:
    """Where the imaginary part is 0: everywhere in real tensors."""
    if input._spec.dtype.kind != "c":
        return input.new_ones(input._spec.size, dtype=dt.bool_)
    return imag(input).eq(0)


NAMED = {
    "real": property(real, set_real),
    "imag": property(imag, set_imag),
    "turned": turned,
    "abs_": abs_,
    "absolute_": abs_,
    **{
        f.__name__: f
        for f in (view_as_real, view_as_complex, conj, conj_physical, conj_physical_, resolve_conj,
                  resolve_neg, is_conj, is_neg, isreal)
    },
}  # fmt: skip
METHODS: list[str] = []
PUBLIC = """complex polar view_as_real view_as_complex real imag conj conj_physical conj_physical_
    resolve_conj resolve_neg is_conj is_neg is_complex isreal""".split()
