"""Variable: the name that tensors with gradients had before they were all called Tensor."""

from __future__ import annotations

import warnings
from typing import Any

from flambeau.trace import above
from flambeau.trace.tensor import Recorded


class _AnyTensor(type):
    """Every tensor counts as a Variable."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Recorded)


class Variable(metaclass=_AnyTensor):
    """Variable(x) is x, with requires_grad where that is asked for."""

    def __new__(cls, data: Any = None, requires_grad: bool = False, volatile: Any = None) -> Any:
        if data is None:
            data = above.result_class()
        if not isinstance(data, Recorded):
            raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
        if volatile is not None:
            if volatile and requires_grad:
                raise ValueError("Variable can't be volatile and require_grad at the same time!")
            warnings.warn("volatile was removed and now has no effect. Use `with torch.no_grad():` "
                          "instead.", stacklevel=2)  # fmt: skip
        tensor: Any = data
        return tensor.detach().requires_grad_(requires_grad)
