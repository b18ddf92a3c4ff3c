"""A worker process: takes indices, gives batches."""

import random
import sys
import traceback
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

from flambeau.utils.data import worker_info
from flambeau.utils.data.fetch import make_fetch
from flambeau.utils.data.transport import Sender, receive, remove_folder

# ------------------------------------------------------------------ what is sent


@dataclass(frozen=True)
class Resume:
    """To a persistent worker: another pass begins. It answers with the same."""


@dataclass(frozen=True)
class Ended:
    """From a worker: its part of an iterable data set is through."""

    worker: int


class KeyErrorMessage(str):
    """A message that KeyError shows as it is."""

    def __repr__(self):
        return str(self)


class Failure:
    """An exception on its way to the main process, with its traceback as text."""

    def __init__(self, where):
        kind, error, trace = sys.exc_info()
        self.kind, self.where = kind, where
        self.text = "".join(traceback.format_exception(kind, error, trace))

    def reraise(self):
        """Raise an exception of the same class (RuntimeError where that takes no message)."""
        text = f"Caught {self.kind.__name__} {self.where}.\nOriginal {self.text}"
        if self.kind is KeyError:
            raise KeyError(KeyErrorMessage(text))
        if getattr(self.kind, "message", None):
            raise self.kind(message=text)
        try:
            error = self.kind(text)
        except Exception:  # its constructor wants something else
            error = RuntimeError(text)
        raise error


# ------------------------------------------------------------------ the process


@dataclass(frozen=True)
class Job:
    """What a worker has to know."""

    worker: int
    workers: int
    base_seed: int
    dataset: Any
    iterable: bool
    batched: bool
    collate_fn: Any
    drop_last: bool
    init_fn: Any
    persistent: bool
    folder: str
    waiting: int  # messages that may be on their way to the loader

    @property
    def where(self):
        return f"in DataLoader worker process {self.worker}"

    def make_fetch(self):
        return make_fetch(
            self.dataset, self.iterable, self.batched, self.collate_fn, self.drop_last
        )


def work(job, indices, results):
    """The body of a worker process, until it is told to stop or its parent is gone."""
    import multiprocessing

    parent = multiprocessing.parent_process().sentinel
    sender = Sender(results, job.folder, f"batch-{job.worker}", job.waiting)
    try:
        fetch, trouble = begin(job)
        while True:
            if indices not in wait([indices, parent]):
                remove_folder(job.folder)  # nobody else will
                return
            message = receive(indices)
            if message is None:
                return
            if isinstance(message, Resume):
                sender.send(message)
                fetch, trouble = prepared(job) if trouble is None else (fetch, trouble)
                continue
            answer(job, sender, fetch, trouble, *message)
            trouble = None
    except KeyboardInterrupt:
        return  # the main process has it, too
    except (BrokenPipeError, EOFError):
        remove_folder(job.folder)


def begin(job):
    """Seeds, facts about the worker, and the user's own preparations."""
    import flambeau as fl

    fl.set_num_threads(1)
    seed = job.base_seed + job.worker
    random.seed(seed)
    fl.manual_seed(seed)
    seed_numpy(job.base_seed, job.worker)
    worker_info.current = worker_info.WorkerInfo(
        id=job.worker, num_workers=job.workers, seed=seed, dataset=job.dataset, rng=None,
        worker_method="multiprocessing",
    )  # fmt: skip
    try:
        if job.init_fn is not None:
            job.init_fn(job.worker)
    except Exception:
        return None, Failure(job.where)
    return prepared(job)


def prepared(job):
    """How batches are made, or why that failed."""
    try:
        return job.make_fetch(), None
    except Exception:
        return None, Failure(job.where)


def seed_numpy(base_seed, worker):
    """NumPy's global generator differs from worker to worker, too."""
    import numpy as np

    words = [worker, base_seed & 0xFFFFFFFF, base_seed >> 32, 0]
    np.random.seed(np.random.SeedSequence(words).generate_state(4))


def answer(job, sender, fetch, trouble, number, indices):
    """Send a batch, or what went wrong."""
    result = trouble
    if trouble is None:
        try:
            result = fetch(indices)
        except Exception as error:
            through = job.iterable and isinstance(error, StopIteration)
            result = Ended(job.worker) if through else Failure(job.where)
    try:
        sender.send((number, result))
    except (BrokenPipeError, KeyboardInterrupt):
        raise
    except Exception:  # it cannot be pickled, or there is no room for it
        sender.send((number, Failure(job.where)))
