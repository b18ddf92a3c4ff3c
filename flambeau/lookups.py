"""Functions that look elements up: isin, unravel_index, nonzero_static, masked indices."""

from __future__ import annotations

from typing import Any

from flambeau.creation import dtype_of
from flambeau.filling import fill
from flambeau.ir import dtype as dt
from flambeau.literal import tensor
from flambeau.selecting import index_put, nonzero
from flambeau.tensor import FUNCTIONS, Tensor


def isin(elements: Any = None, test_elements: Any = None, *, assume_unique: bool = False,
         invert: bool = False, out: Any = None, element: Any = None,
         test_element: Any = None) -> Any:  # fmt: skip
    """Whether each element is among the test elements (not: `invert`); either may be a number.

    Raises RuntimeError for bool and complex tensors, as PyTorch does.
    """
    elements = element if elements is None else elements
    tests = test_element if test_elements is None else test_elements
    for x in (elements, tests):
        if not isinstance(x, (Tensor, int, float)):
            raise TypeError("isin() received an invalid combination of arguments - got "
                            f"{type(x).__name__}")  # fmt: skip
        dtype = dtype_of(x)
        if dtype.kind in "bc":
            raise RuntimeError(f"Unsupported input type encountered for isin(): {dtype.legacy}")
    if not isinstance(elements, Tensor):
        if not isinstance(tests, Tensor):
            raise TypeError("isin() received an invalid combination of arguments - got (number, "
                            "number)")  # fmt: skip
        elements = tensor(elements)
    common = dt.promote(elements.dtype, dtype_of(tests))
    tests = tests if isinstance(tests, Tensor) else tensor(tests)
    found = FUNCTIONS["_isin"](elements.detach().to(common), tests.detach().to(common), invert)
    return fill("isin", found, out)


def unravel_index(indices: Any, shape: Any) -> tuple[Any, ...]:
    """Indices into the flattened tensor as one index tensor a dim."""
    if indices.is_complex() or indices.is_floating_point() or indices.dtype is dt.bool_:
        raise TypeError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    if not isinstance(shape, (int, tuple, list)):
        raise TypeError(f"expected 'shape' to be int or sequence of ints, but got {type(shape)}")
    size = (shape,) if isinstance(shape, int) else tuple(shape)
    for n in size:
        if not isinstance(n, int):
            raise TypeError("expected 'shape' sequence to only contain ints, but got "
                            f"{type(n)}")  # fmt: skip
    if min(size, default=0) < 0:
        raise ValueError(f"'shape' cannot have negative values, but got {size}")
    steps = [1]
    for n in size[:0:-1]:
        steps.insert(0, steps[0] * n)
    options = dict(device=indices.device, dtype=dt.int64)
    places = indices.unsqueeze(-1).div(tensor(steps[: len(size)], **options), rounding_mode="floor")
    return (places % tensor(size, **options)).to(indices.dtype).unbind(-1)


def nonzero_static(input: Any, *, size: int, fill_value: int = -1, out: Any = None) -> Any:
    """The first `size` rows of nonzero, filled up where there are fewer."""
    if size < 0:
        raise RuntimeError("nonzero_static: 'size' must be an non-negative integer")
    if out is not None and out.dtype is not dt.int64:
        raise RuntimeError("nonzero_static: Expected out tensor to have scalar type Long but got "
                           f"scalar type{out.dtype.legacy}")  # fmt: skip
    found = nonzero(input)[:size]
    made = FUNCTIONS["full"]((size, input.ndim), fill_value, dtype=dt.int64)
    made[: len(found)] = found
    return fill("nonzero_static", made, out)


# ------------------------------------------------------------------ indices of which some count


def inside(input: Any, indices: Any) -> list[Any]:
    """Indices that do not count may be anything: they are brought to places that exist."""
    return [i if i is None else i.clamp(-n, n - 1) for i, n in zip(indices, input.shape)]


def _unsafe_masked_index(self: Any, mask: Any, indices: Any, fill: Any) -> Any:
    """self[indices] where the mask is true, else a number."""
    if not self.numel():
        return FUNCTIONS["full"](tuple(mask.shape), fill, dtype=self.dtype)
    where = tuple(slice(None) if i is None else i for i in inside(self, indices))
    return self[where].masked_fill(~mask, fill)


def _unsafe_masked_index_put_accumulate(self: Any, mask: Any, indices: Any, values: Any) -> Any:
    """A copy in which values are added at indices where the mask is true."""
    if not self.numel():
        return self.clone()
    return index_put(self, inside(self, indices), values.masked_fill(~mask, 0), True)


METHODS = ["nonzero_static"]
PUBLIC = """isin unravel_index nonzero_static _unsafe_masked_index
    _unsafe_masked_index_put_accumulate""".split()
