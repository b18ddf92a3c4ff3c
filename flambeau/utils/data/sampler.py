"""Samplers: the order in which samples are taken, with PyTorch's numbers from the same seed."""

import itertools
from typing import Generic, TypeVar

T_co = TypeVar("T_co", covariant=True)


def check_count(num_samples):
    """How many samples there are to be."""
    if isinstance(num_samples, bool) or not isinstance(num_samples, int) or num_samples <= 0:
        raise ValueError("num_samples should be a positive integer value, but got "
                         f"num_samples={num_samples}")  # fmt: skip


def check_replacement(replacement, kind):
    if not isinstance(replacement, bool):
        raise kind(f"replacement should be a boolean value, but got replacement={replacement}")


def draw_seed(generator=None):
    """A seed drawn from a generator: the whole range of int64."""
    from flambeau import empty, int64

    return int(empty((), dtype=int64).random_(generator=generator).item())


class Sampler(Generic[T_co]):
    """Yields indices of samples."""

    def __iter__(self):
        raise NotImplementedError


class SequentialSampler(Sampler):
    """One after the other."""

    def __init__(self, data_source):
        self.data_source = data_source

    def __iter__(self):
        return iter(range(len(self.data_source)))

    def __len__(self):
        return len(self.data_source)


class RandomSampler(Sampler):
    """In random order, or drawn with replacement."""

    def __init__(self, data_source, replacement=False, num_samples=None, generator=None):
        self.data_source, self.replacement = data_source, replacement
        self._num_samples, self.generator = num_samples, generator
        check_replacement(replacement, TypeError)
        check_count(self.num_samples)

    @property
    def num_samples(self):
        """How many samples a pass has."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def own_generator(self):
        """The generator given, or a new one with a seed drawn from the default one."""
        if self.generator is not None:
            return self.generator
        from flambeau import Generator

        generator = Generator()
        generator.manual_seed(draw_seed())
        return generator

    def __iter__(self):
        from flambeau import randint, randperm

        n, generator = len(self.data_source), self.own_generator()
        if self.replacement:
            for _ in range(self.num_samples // 32):
                yield from randint(0, n, (32,), generator=generator).tolist()
            rest = self.num_samples % 32
            yield from randint(0, n, (rest,), generator=generator).tolist()
        else:
            for _ in range(self.num_samples // n):
                yield from randperm(n, generator=generator).tolist()
            yield from randperm(n, generator=generator).tolist()[: self.num_samples % n]

    def __len__(self):
        return self.num_samples


class SubsetRandomSampler(Sampler):
    """Given indices in random order."""

    def __init__(self, indices, generator=None):
        self.indices, self.generator = indices, generator

    def __iter__(self):
        from flambeau import randperm

        for i in randperm(len(self.indices), generator=self.generator).tolist():
            yield self.indices[i]

    def __len__(self):
        return len(self.indices)


class WeightedRandomSampler(Sampler):
    """Indices drawn in proportion to weights."""

    def __init__(self, weights, num_samples, replacement=True, generator=None):
        from flambeau import as_tensor, float64

        check_count(num_samples)
        check_replacement(replacement, ValueError)
        weights = as_tensor(weights, dtype=float64)
        if weights.ndim != 1:
            raise ValueError("weights should be a 1d sequence but given weights have shape "
                             f"{tuple(weights.shape)}")  # fmt: skip
        self.weights, self.num_samples = weights, num_samples
        self.replacement, self.generator = replacement, generator

    def __iter__(self):
        from flambeau import multinomial

        drawn = multinomial(
            self.weights, self.num_samples, self.replacement, generator=self.generator
        )
        yield from drawn.tolist()

    def __len__(self):
        return self.num_samples


class BatchSampler(Sampler):
    """Lists of indices from another sampler."""

    def __init__(self, sampler, batch_size, drop_last):
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size <= 0:
            raise ValueError("batch_size should be a positive integer value, but got "
                             f"batch_size={batch_size}")  # fmt: skip
        if not isinstance(drop_last, bool):
            raise ValueError("drop_last should be a boolean value, but got "
                             f"drop_last={drop_last}")  # fmt: skip
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self):
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self):
        whole, rest = divmod(len(self.sampler), self.batch_size)
        return whole + bool(rest and not self.drop_last)
