"""DataLoader: batches of a data set, in the order that a sampler says.

Rows of plain tensors are gathered by one recorded call a batch, which becomes part of the step
that uses it; the order and the values are those of sample after sample.
"""

import itertools

import numpy as np

from flambeau.trace import flush
from flambeau.utils.data.collate import default_collate, default_convert
from flambeau.utils.data.dataset import IterableDataset, Subset, TensorDataset
from flambeau.utils.data.sampler import BatchSampler, RandomSampler, SequentialSampler, draw_seed

FIXED = ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")


class DataLoader:
    """Iterate over a data set in batches."""

    _initialized = False

    def __init__(self, dataset, batch_size=1, shuffle=None, sampler=None, batch_sampler=None,
                 num_workers=0, collate_fn=None, pin_memory=False, drop_last=False, timeout=0,
                 worker_init_fn=None, multiprocessing_context=None, generator=None, *,
                 prefetch_factor=None, persistent_workers=False, pin_memory_device="",
                 in_order=True):  # fmt: skip
        check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        self.dataset = dataset
        self.num_workers, self.prefetch_factor = num_workers, prefetch_factor
        self.pin_memory, self.pin_memory_device = pin_memory, pin_memory_device
        self.timeout, self.worker_init_fn = timeout, worker_init_fn
        self.multiprocessing_context, self.in_order = multiprocessing_context, in_order
        self.persistent_workers = persistent_workers
        self.iterable = isinstance(dataset, IterableDataset)
        if self.iterable:
            check_iterable(shuffle, sampler, batch_sampler)
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError("batch_sampler option is mutually exclusive with batch_size, "
                                 "shuffle, sampler, and drop_last")  # fmt: skip
            batch_size, drop_last = None, False
        elif batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually "
                             "exclusive with drop_last")  # fmt: skip
        if sampler is None:
            sampler = default_sampler(dataset, self.iterable, shuffle, generator)
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size, self.drop_last = batch_size, drop_last
        self.sampler, self.batch_sampler, self.generator = sampler, batch_sampler, generator
        if collate_fn is None:
            collate_fn = default_convert if batch_sampler is None else default_collate
        self.collate_fn = collate_fn
        self._initialized = True

    def __setattr__(self, name, value):
        if self._initialized and name in FIXED:
            raise ValueError(f"{name} attribute should not be set after {type(self).__name__} is "
                             "initialized")  # fmt: skip
        super().__setattr__(name, value)

    def __iter__(self):
        return _SingleProcessDataLoaderIter(self)

    def __len__(self):
        if not self.iterable:
            return len(self.sampler if self.batch_sampler is None else self.batch_sampler)
        length = len(self.dataset)
        if self.batch_size is None:
            return length
        whole, rest = divmod(length, self.batch_size)
        return whole + bool(rest and not self.drop_last)


class _SingleProcessDataLoaderIter:
    """One pass over a loader."""

    def __init__(self, loader):
        self.loader = loader
        self._base_seed = draw_seed(loader.generator)  # workers would be seeded with it
        self._batches = batches(loader)

    def __iter__(self):
        return self

    def __next__(self):
        flush.flush_current()
        return next(self._batches)

    def __len__(self):
        return len(self.loader)


def batches(loader):
    """Yield the batches of one pass."""
    if loader.iterable:
        return iterated(loader)
    if loader.batch_sampler is None:
        return (loader.collate_fn(loader.dataset[index]) for index in loader.sampler)
    rows = rows_of(loader)
    if rows is not None:
        return rows.batches()
    return (loader.collate_fn(fetch(loader.dataset, indices)) for indices in loader.batch_sampler)


def fetch(dataset, indices):
    """The samples of a batch."""
    together = getattr(dataset, "__getitems__", None)
    return together(indices) if callable(together) else [dataset[index] for index in indices]


def iterated(loader):
    """Batches of an iterable data set."""
    samples = iter(loader.dataset)
    if loader.batch_size is None:
        yield from map(loader.collate_fn, samples)
        return
    while batch := list(itertools.islice(samples, loader.batch_size)):
        if len(batch) == loader.batch_size or not loader.drop_last:
            yield loader.collate_fn(batch)


# ------------------------------------------------------------------ rows of plain tensors


class Rows:
    """Tensors whose rows are the samples, gathered a batch at a time.

    places: which rows the data set has, where it is a Subset.
    """

    def __init__(self, loader, tensors, places):
        self.loader, self.tensors, self.places = loader, tensors, places

    def batches(self):
        """Yield lists of batches, as default_collate makes them of tuples."""
        batches = self.loader.batch_sampler
        if type(batches) is BatchSampler and whole_pass(batches.sampler):
            yield from self.along(
                self.order(batches.sampler), batches.batch_size, batches.drop_last
            )
            if type(batches.sampler) is RandomSampler:
                self.after(batches.sampler)
        else:
            for indices in batches:
                yield self.gather(self.checked(indices))

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

        n = len(self.loader.dataset)
        for index in indices:
            if not -n <= index < n:
                raise IndexError(f"index {index} is out of bounds for dimension 0 with size {n}")
        rows = np.array([index % n for index in indices], dtype=np.int64)
        return fl.tensor(rows if self.places is None else self.places[rows])

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


def rows_of(loader):
    """The rows behind a loader's data set, or None where samples must be taken one by one."""
    dataset, places = loader.dataset, None
    if type(dataset) is Subset and loader.collate_fn is default_collate:
        places = np.array(dataset.indices, dtype=np.int64).reshape(-1)
        dataset = dataset.dataset
    if type(dataset) is not TensorDataset or loader.collate_fn is not default_collate:
        return None
    if any(t.requires_grad or t.ndim == 0 for t in dataset.tensors):
        return None
    if places is not None and places.size and (places < 0).any():
        return None
    return Rows(loader, dataset.tensors, places)


# ------------------------------------------------------------------ arguments


def default_sampler(dataset, iterable, shuffle, generator):
    """The sampler where none is given."""
    if iterable:
        return itertools.repeat(None)
    if shuffle:
        return RandomSampler(dataset, generator=generator)
    return SequentialSampler(dataset)


def check_iterable(shuffle, sampler, batch_sampler):
    """An iterable data set decides on its order itself."""
    expected = "DataLoader with IterableDataset: expected unspecified"
    if shuffle not in (None, False):
        raise ValueError(f"{expected} shuffle option, but got shuffle={shuffle}")
    if sampler is not None:
        raise ValueError(f"{expected} sampler option, but got sampler={sampler}")
    if batch_sampler is not None:
        raise ValueError(f"{expected} batch_sampler option, but got batch_sampler={batch_sampler}")


def check_workers(num_workers, timeout, prefetch_factor, persistent_workers):
    """Arguments about worker processes."""
    if num_workers < 0:
        raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable "
                         "multiprocessing.")  # fmt: skip
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers > 0:
        raise NotImplementedError("DataLoader with worker processes is not supported yet; use "
                                  "num_workers=0")  # fmt: skip
    if prefetch_factor is not None:
        raise ValueError("prefetch_factor option could only be specified in multiprocessing."
                         "let num_workers > 0 to enable multiprocessing, otherwise set "
                         "prefetch_factor to None.")  # fmt: skip
    if persistent_workers:
        raise ValueError("persistent_workers option needs num_workers > 0")


def get_worker_info():
    """Facts about the worker process that asks: None, as there are no worker processes."""
    return None
