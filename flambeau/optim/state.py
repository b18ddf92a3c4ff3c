"""What an optimizer keeps about one parameter."""

from copy import deepcopy

import numpy as np

from flambeau.tensor import Tensor

NUMBERS = frozenset({"step", "mu_product", "eta", "mu"})


class ParameterState(dict):
    """A dictionary whose counts are Python numbers, which become tensors when they are looked at.

    So a step costs no tensors for them, and state and state_dict have PyTorch's types.
    """

    def __getitem__(self, key):
        value = super().__getitem__(key)
        return as_tensor(value) if key in NUMBERS else value

    def number(self, key):
        """A count as a Python number."""
        value = super().__getitem__(key)
        return value.item() if isinstance(value, Tensor) else value

    def numbers(self, keys):
        """Several counts."""
        return tuple([self.number(key) for key in keys])

    def get(self, key, default=None):
        return self[key] if key in self else default

    def items(self):
        return [(key, self[key]) for key in self]

    def values(self):
        return [self[key] for key in self]

    def copy(self):
        return ParameterState(self.items())

    def __repr__(self):
        return repr(dict(self.items()))

    def __reduce__(self):
        return ParameterState, (dict(self.items()),)

    def __deepcopy__(self, memo):
        return ParameterState(deepcopy(dict(super().items()), memo))


def count_dtype():
    """Counts are float32, or float64 where that is the default."""
    import flambeau as fl

    return fl.float64 if fl.get_default_dtype() is fl.float64 else fl.float32


def as_tensor(value):
    """A count as PyTorch's state has it."""
    if isinstance(value, Tensor):
        return value
    import flambeau as fl

    return fl.tensor(float(value), dtype=count_dtype())


def rounded(value):
    """A count as precise as a tensor would hold it."""
    return float(value if count_dtype().itemsize == 8 else np.float32(value))


def zeros_for(param):
    """State that begins as zero, laid out as the parameter is."""
    import flambeau as fl

    return fl.zeros_like(param, requires_grad=False, memory_format=fl.preserve_format)
