"""DataLoader: batches of a data set, in the order that a sampler says."""

import itertools
import warnings
from typing import Generic, TypeVar

from flambeau.trace import flush
from flambeau.utils.data.collate import default_collate, default_convert
from flambeau.utils.data.dataset import IterableDataset
from flambeau.utils.data.fetch import make_fetch
from flambeau.utils.data.rows import rows_of
from flambeau.utils.data.sampler import BatchSampler, RandomSampler, SequentialSampler, draw_seed
from flambeau.utils.data.worker_info import get_worker_info

__all__ = ["DataLoader", "default_collate", "default_convert", "get_worker_info"]
T_co = TypeVar("T_co", covariant=True)
FIXED = ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")


class _DatasetKind:
    """Whether samples are asked for by index or come one after the other."""

    Map, Iterable = 0, 1


class DataLoader(Generic[T_co]):
    """Iterate over a data set in batches, which worker processes may prepare."""

    _initialized = False

    def __init__(self, dataset, batch_size=1, shuffle=None, sampler=None, batch_sampler=None,
                 num_workers=0, collate_fn=None, pin_memory=False, drop_last=False, timeout=0,
                 worker_init_fn=None, multiprocessing_context=None, generator=None, *,
                 prefetch_factor=None, persistent_workers=False, pin_memory_device="",
                 in_order=True):  # fmt: skip
        check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        self.dataset, self.num_workers = dataset, num_workers
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.pin_memory, self.pin_memory_device = pin_memory, pin_memory_device
        self.timeout, self.worker_init_fn = timeout, worker_init_fn
        self.multiprocessing_context, self.in_order = multiprocessing_context, in_order
        self.iterable = isinstance(dataset, IterableDataset)
        self._dataset_kind = _DatasetKind.Iterable if self.iterable else _DatasetKind.Map
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
            collate_fn = default_collate if self._auto_collation else default_convert
        self.collate_fn, self.persistent_workers = collate_fn, persistent_workers
        self._initialized = True
        self._IterableDataset_len_called = None
        self._iterator = None
        self.check_worker_number_rationality()
        if pin_memory:
            warn_of_pinning(pin_memory_device)

    def __setattr__(self, name, value):
        if self._initialized and name in FIXED:
            raise ValueError(f"{name} attribute should not be set after {type(self).__name__} is "
                             "initialized")  # fmt: skip
        super().__setattr__(name, value)

    def __getstate__(self):
        return {**self.__dict__, "_iterator": None}

    @property
    def multiprocessing_context(self):
        """How worker processes are started."""
        return self._context

    @multiprocessing_context.setter
    def multiprocessing_context(self, given):
        if given is not None:
            from flambeau.utils.data.workers import context_of

            given = context_of(given, self.num_workers)
        self._context = given

    @property
    def _auto_collation(self):
        return self.batch_sampler is not None

    @property
    def _index_sampler(self):
        """What says which samples come next: one index or those of a batch."""
        return self.batch_sampler if self._auto_collation else self.sampler

    def check_worker_number_rationality(self):
        """Warn where there are more workers than processors."""
        if self.num_workers:
            from flambeau.utils.data.workers import warn_of_many

            warn_of_many(self.num_workers)

    def _get_iterator(self):
        if not self.num_workers:
            return _SingleProcessDataLoaderIter(self)
        from flambeau.utils.data.workers import _MultiProcessingDataLoaderIter

        self.check_worker_number_rationality()
        return _MultiProcessingDataLoaderIter(self)

    def __iter__(self):
        if not (self.persistent_workers and self.num_workers):
            return self._get_iterator()
        if self._iterator is None or not self._iterator.stop.alive:
            self._iterator = self._get_iterator()
        else:
            self._iterator.again(self)
        return self._iterator

    def __len__(self):
        if not self.iterable:
            return len(self._index_sampler)
        length = self._IterableDataset_len_called = len(self.dataset)
        if self.batch_size is None:
            return length
        whole, rest = divmod(length, self.batch_size)
        return whole + bool(rest and not self.drop_last)

    def check_length(self, yielded):
        """Warn where an iterable data set has given more than it said it would."""
        told = self._IterableDataset_len_called
        if not self.iterable or told is None or yielded <= told:
            return
        text = (f"Length of IterableDataset {self.dataset} was reported to be {told}"
                f"(when accessing len(dataloader)), but {yielded} samples have been fetched. "
                )  # fmt: skip
        if self.num_workers:
            text += ("For multiprocessing data-loading, this could be caused by not properly "
                     "configuring the IterableDataset replica at each worker. Please see "
                     "https://pytorch.org/docs/stable/data.html#torch.utils.data.IterableDataset "
                     "for examples.")  # fmt: skip
        warnings.warn(text, stacklevel=3)


class _SingleProcessDataLoaderIter:
    """One pass over a loader in this process."""

    def __init__(self, loader):
        self.loader = loader
        self._base_seed = draw_seed(loader.generator)  # workers would be seeded with it
        if loader.timeout != 0:
            raise AssertionError("_SingleProcessDataLoaderIter requires timeout == 0")
        self._batches = batches(loader)
        self._num_yielded = 0

    def __iter__(self):
        return self

    def __next__(self):
        flush.end_step()
        batch = next(self._batches)
        self._num_yielded += 1
        self.loader.check_length(self._num_yielded)
        return batch

    def __len__(self):
        return len(self.loader)


def batches(loader):
    """The batches of one pass."""
    batched = loader._auto_collation
    rows = rows_of(loader.dataset, loader.collate_fn) if batched else None
    if rows is not None:
        return rows.batches(loader.batch_sampler)
    fetch = make_fetch(loader.dataset, loader.iterable, batched, loader.collate_fn,
                       loader.drop_last)  # fmt: skip
    return map(fetch, loader._index_sampler)


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
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError("prefetch_factor option could only be specified in multiprocessing."
                         "let num_workers > 0 to enable multiprocessing, otherwise set "
                         "prefetch_factor to None.")  # fmt: skip
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if persistent_workers and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")


def warn_of_pinning(device):
    """There is no accelerator that memory could be pinned for."""
    if device:
        warnings.warn("pin_memory_device is deprecated, the current accelerator will be used as "
                      f"the device,ignore pin_memory_device='{device}'.", stacklevel=3)  # fmt: skip
    warnings.warn("'pin_memory' argument is set as true but no accelerator is found, then device "
                  "pinned memory won't be used.", stacklevel=3)  # fmt: skip


def __getattr__(name):
    """The names that live beside the loader in PyTorch."""
    if name == "_MultiProcessingDataLoaderIter":
        from flambeau.utils.data.workers import _MultiProcessingDataLoaderIter

        return _MultiProcessingDataLoaderIter
    raise AttributeError(f"module 'torch.utils.data.dataloader' has no attribute '{name}'")
