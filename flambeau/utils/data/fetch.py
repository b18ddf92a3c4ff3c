"""From the indices of a batch to the batch, in a worker process or in the main one."""

from flambeau.utils.data.rows import rows_of


def make_fetch(dataset, iterable, batched, collate_fn, drop_last):
    """A function: what the sampler gave → a batch; StopIteration where there is none left."""
    if iterable:
        return Stream(iter(dataset), batched, collate_fn, drop_last).fetch
    if not batched:
        return lambda index: collate_fn(dataset[index])
    rows = rows_of(dataset, collate_fn)
    if rows is not None:
        return rows.fetch
    return lambda indices: collate_fn(samples(dataset, indices))


def samples(dataset, indices):
    """The samples of a batch."""
    together = getattr(dataset, "__getitems__", None)
    return together(indices) if callable(together) else [dataset[index] for index in indices]


class Stream:
    """What is left of an iterable data set; the indices only say how many samples are wanted."""

    def __init__(self, iterator, batched, collate_fn, drop_last):
        self.iterator, self.batched = iterator, batched
        self.collate_fn, self.drop_last = collate_fn, drop_last
        self.ended = False

    def fetch(self, indices):
        if self.ended:
            raise StopIteration
        if not self.batched:
            return self.collate_fn(next(self.iterator))
        batch = []
        for _ in indices:
            try:
                batch.append(next(self.iterator))
            except StopIteration:
                self.ended = True
                break
        if not batch or self.drop_last and len(batch) < len(indices):
            raise StopIteration
        return self.collate_fn(batch)
