"""Rows of plain tensors: batches by one recorded call instead of sample after sample.

The gathering becomes part of the step that uses the batch; order and values are those of sample
after sample.
"""

import numpy as np

from flambeau.utils.data.collate import default_collate
from flambeau.utils.data.dataset import Subset, TensorDataset
from flambeau.utils.data.sampler import BatchSampler, RandomSampler, SequentialSampler


class Rows:
    """Tensors whose rows are the samples, gathered a batch at a time.

    length: how many samples there are; places: which rows they are, where it is a Subset.
    """

    def __init__(self, tensors, length, places):
        self.tensors, self.length, self.places = tensors, length, places

    def batches(self, batches):
        """Yield lists of batches, as default_collate makes them of tuples."""
        if type(batches) is BatchSampler and whole_pass(batches.sampler):
            yield from self.along(
                self.order(batches.sampler), batches.batch_size, batches.drop_last
            )
            if type(batches.sampler) is RandomSampler:
                self.after(batches.sampler)
        else:
            yield from map(self.fetch, batches)

    def order(self, sampler):
        """All rows in the order of one pass, as a tensor."""
        import flambeau as fl

        n = len(sampler.data_source)
        if type(sampler) is SequentialSampler:
            order = fl.arange(n)
        else:
            self.generator = sampler.own_generator()
            order = fl.randperm(n, generator=self.generator)
        if self.places is not None:
            order = fl.tensor(self.places[np.array(order.tolist(), dtype=np.int64)])
        return order

    def after(self, sampler):
        """A RandomSampler draws once more when it is through."""
        import flambeau as fl

        fl.randperm(len(sampler.data_source), generator=self.generator)

    def along(self, order, size, drop_last):
        """Batches of consecutive places of an order."""
        count = len(order)
        last = count - count % size if drop_last else count
        for start in range(0, last, size):
            yield self.gather(order[start : min(start + size, count)])

    def checked(self, indices):
        """Indices that a sampler gave, as a tensor of rows."""
        import flambeau as fl

        n = self.length
        for index in indices:
            if not -n <= index < n:
                raise IndexError(f"index {index} is out of bounds for dimension 0 with size {n}")
        rows = np.array([index % n for index in indices], dtype=np.int64)
        return fl.tensor(rows if self.places is None else self.places[rows])

    def fetch(self, indices):
        """The batch of some samples."""
        return self.gather(self.checked(indices))

    def gather(self, index):
        """One batch: a copy of the rows."""
        return [tensor.index_select(0, index) for tensor in self.tensors]


def whole_pass(sampler):
    """Whether a sampler takes each sample once, in an order that is known beforehand."""
    if type(sampler) is SequentialSampler:
        return True
    if type(sampler) is not RandomSampler or sampler.replacement:
        return False
    return sampler._num_samples in (None, len(sampler.data_source))


def rows_of(dataset, collate_fn):
    """The rows behind a data set, or None where samples must be taken one by one."""
    places, length = None, None
    if collate_fn is not default_collate:
        return None
    if type(dataset) is Subset and type(dataset.dataset) is TensorDataset:
        places = np.array(dataset.indices, dtype=np.int64).reshape(-1)
        dataset, length = dataset.dataset, len(dataset)
    if type(dataset) is not TensorDataset:
        return None
    if any(t.requires_grad or t.ndim == 0 for t in dataset.tensors):
        return None
    if places is not None and places.size and (places < 0).any():
        return None
    return Rows(dataset.tensors, len(dataset) if length is None else length, places)
