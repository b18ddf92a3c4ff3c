"""From a list of samples to a batch."""

import re
from collections.abc import Mapping, MutableMapping, MutableSequence, Sequence
from copy import copy

import numpy as np

from flambeau.tensor import Tensor

NO_NUMBERS = re.compile("[SaUO]")  # NumPy dtypes that no tensor has


def unsupported(kind):
    return TypeError("default_collate: batch must contain tensors, numpy arrays, numbers, dicts or "
                     f"lists; found {kind}")  # fmt: skip


def default_collate(batch):
    """Stack tensors, arrays and numbers; go into dictionaries and sequences."""
    import flambeau as fl

    first = batch[0]
    if isinstance(first, Tensor):
        return fl.stack(batch, 0)
    if isinstance(first, (np.ndarray, np.generic)):
        if NO_NUMBERS.search(first.dtype.str):
            raise unsupported(first.dtype)
        return fl.as_tensor(np.stack(batch)) if first.shape else fl.as_tensor(np.array(batch))
    if isinstance(first, float):
        return fl.tensor(batch, dtype=fl.float64)
    if isinstance(first, int):
        return fl.tensor(batch)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        return collate_mapping(batch)
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(default_collate(column) for column in zip(*batch)))
    if isinstance(first, Sequence):
        return collate_sequence(batch)
    raise unsupported(type(first))


def collate_mapping(batch):
    """A mapping of the first one's type, with a batch for each key."""
    first = batch[0]
    columns = {key: default_collate([sample[key] for sample in batch]) for key in first}
    try:
        if isinstance(first, MutableMapping):
            result = copy(first)
            result.update(columns)
            return result
        return type(first)(columns)
    except TypeError:
        return columns


def collate_sequence(batch):
    """A list with a batch for each place."""
    first = batch[0]
    if any(len(sample) != len(first) for sample in batch):
        raise RuntimeError("each element in list of batch should be of equal size")
    columns = [default_collate(column) for column in zip(*batch)]
    if isinstance(first, tuple):
        return columns
    try:
        if isinstance(first, MutableSequence):
            result = copy(first)
            result[:] = columns
            return result
        return type(first)(columns)
    except TypeError:
        return columns


def default_convert(data):
    """Arrays become tensors; everything else stays what it is."""
    import flambeau as fl

    if isinstance(data, (np.ndarray, np.generic)):
        return data if NO_NUMBERS.search(data.dtype.str) else fl.as_tensor(data)
    if isinstance(data, Mapping):
        return type(data)({key: default_convert(value) for key, value in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*map(default_convert, data))
    if isinstance(data, (list, tuple)):
        return [default_convert(value) for value in data]
    return data
