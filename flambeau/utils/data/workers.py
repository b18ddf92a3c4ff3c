"""One pass over a loader whose batches come from worker processes."""

import itertools
import multiprocessing
import os
import selectors
import signal
import time
import warnings
import weakref
from copy import copy

from flambeau.trace import flush
from flambeau.utils.data.sampler import draw_seed
from flambeau.utils.data.transport import Sender, make_folder, receive, remove_folder
from flambeau.utils.data.worker import Ended, Failure, Job, Resume, work

PATIENCE = 5.0  # seconds that a worker has to finish its batch when it is told to stop


class Worker:
    """A process, the pipe to it and the pipe from it; tasks: batches that it owes."""

    def __init__(self, context, job):
        theirs, indices = context.Pipe(duplex=False)
        self.results, answers = context.Pipe(duplex=False)
        self.sender = Sender(indices, job.folder, f"indices-{job.worker}", job.waiting)
        self.number, self.active, self.tasks = job.worker, True, 0
        self.process = context.Process(target=work, args=(job, theirs, answers), daemon=True)
        self.process.start()
        theirs.close()
        answers.close()

    def tell(self, message):
        """Send something to a worker that may be gone; who waits for its batches will notice."""
        try:
            self.sender.send(message)
        except BrokenPipeError:
            self.active = False

    def close(self):
        self.results.close()
        self.sender.pipe.close()


class _MultiProcessingDataLoaderIter:
    """Hands out tasks in turn, and batches in the order of the tasks."""

    def __init__(self, loader):
        self.loader = copy(loader)  # which does not know this iterator: nothing is kept in a ring
        self._base_seed = draw_seed(loader.generator)
        if loader.prefetch_factor <= 0:
            raise AssertionError(
                "prefetch_factor must be greater than 0 for MultiProcessingDataLoaderIter"
            )
        flush.flush_current()  # processes that are forked have nothing pending
        context = loader.multiprocessing_context or multiprocessing
        self.workers, folder = [], make_folder()
        self.stop = weakref.finalize(self, stop, os.getpid(), self.workers, folder)
        self.selector = selectors.DefaultSelector()
        for number in range(loader.num_workers):
            worker = Worker(context, self.job(number, folder))
            self.workers.append(worker)
            self.selector.register(worker.results, selectors.EVENT_READ, worker)
            self.selector.register(worker.process.sentinel, selectors.EVENT_READ, None)
        self.begin()

    def job(self, number, folder):
        loader = self.loader
        return Job(number, loader.num_workers, self._base_seed, loader.dataset, loader.iterable,
                   loader._auto_collation, loader.collate_fn, loader.drop_last,
                   loader.worker_init_fn, loader.persistent_workers, folder,
                   loader.prefetch_factor)  # fmt: skip

    def begin(self):
        """Hand out the first tasks of a pass."""
        self.indices = iter(self.loader._index_sampler)
        self.sent = self.next = 0  # tasks handed out; the one whose batch comes next
        self.owner = {}  # task → worker
        self.arrived = {}  # task → batch that came before its turn
        self._num_yielded = 0
        self.turn = itertools.cycle(self.workers)
        for worker in self.workers:
            worker.active, worker.tasks = True, 0
        for _ in range(self.loader.prefetch_factor * len(self.workers)):
            self.hand_out()

    def again(self, loader):
        """Another pass with the same workers, whose generators go on."""
        self.loader = copy(loader)
        flush.flush_current()
        for worker in self.workers:
            worker.tell(Resume())
        waiting = set(range(len(self.workers)))
        while waiting:  # batches of a pass that was left early come before
            worker, message = self.receive()
            if isinstance(message, Resume):
                waiting.discard(worker.number)
        self.begin()

    def __iter__(self):
        return self

    def __len__(self):
        return len(self.loader)

    # ---------------------------------------------------------------- tasks

    def hand_out(self):
        """Give the next indices to a worker, if there are any and one wants them."""
        worker = self.choose()
        if worker is None:
            return
        try:
            indices = next(self.indices)
        except StopIteration:
            return
        worker.tell((self.sent, indices))
        self.owner[self.sent] = worker
        worker.tasks += 1
        self.sent += 1

    def choose(self):
        """The next worker in turn; where the order does not matter, one that owes the least."""
        if not self.loader.in_order:
            active = [worker for worker in self.workers if worker.active]
            return min(active, key=lambda worker: worker.tasks, default=None)
        turns = itertools.islice(self.turn, len(self.workers))
        return next((worker for worker in turns if worker.active), None)

    def __next__(self):
        flush.flush_current()
        while self.stop.alive:
            if self.next not in self.arrived and not self.expects():
                break
            if self.next in self.arrived:
                return self.give(self.next)
            worker, (number, result) = self.receive()
            worker.tasks -= 1
            if isinstance(result, Ended):
                worker.active = False
                del self.owner[number]
                self.hand_out()
                continue
            self.arrived[number] = result
            if not self.loader.in_order:
                return self.give(number)
        if not self.loader.persistent_workers:
            self.stop()
        raise StopIteration

    def expects(self):
        """Whether a batch will come; tasks of workers that are through are skipped."""
        while self.next < self.sent:
            worker = self.owner.get(self.next)
            if worker is not None and (worker.active or worker.tasks or self.next in self.arrived):
                return True
            self.next += 1
        return False

    def give(self, number):
        """A batch that has arrived, or the exception that came instead."""
        result = self.arrived.pop(number)
        del self.owner[number]
        if number == self.next:
            self.next += 1
        self.hand_out()
        if isinstance(result, Failure):
            result.reraise()
        self._num_yielded += 1
        self.loader.check_length(self._num_yielded)
        return result

    # ---------------------------------------------------------------- waiting

    def receive(self):
        """The next message, and whose it is."""
        timeout = self.loader.timeout
        ready = self.selector.select(timeout if timeout > 0 else None)
        if not ready:
            self.give_up()
            raise RuntimeError(f"DataLoader timed out after {timeout} seconds")
        for key, _ in ready:
            if key.data is not None:
                try:
                    return key.data, receive(key.fileobj)
                except (EOFError, ConnectionResetError):
                    break
        self.died()

    def died(self):
        """Say which workers are gone."""
        for worker in self.workers:
            worker.process.join(0.1)
        gone = [w.process for w in self.workers if not w.process.is_alive()]
        pids = ", ".join(str(process.pid) for process in gone)
        causes = [cause(process) for process in gone]
        self.give_up()
        raise RuntimeError(f"DataLoader worker (pid(s) {pids}) exited unexpectedly") from (
            RuntimeError(" ".join(causes))
        )

    def give_up(self):
        """Stop without waiting for batches that are being made."""
        for worker in self.workers:
            worker.process.terminate()
        self.stop()


def cause(process):
    """How a worker has ended."""
    code = process.exitcode
    if code < 0:
        return (f"DataLoader worker (pid {process.pid}) is killed by signal: "
                f"{signal.strsignal(-code)}.")  # fmt: skip
    return (f"DataLoader worker (pid {process.pid}) exited unexpectedly with exit code {code}. "
            "Details are lost due to multiprocessing. Rerunning with num_workers=0 may give better "
            "error trace.")  # fmt: skip


def stop(pid, workers, folder):
    """Send all workers home; called at the end, when the loader goes, or when Python ends."""
    if os.getpid() != pid:
        return  # a fork: they are not its children
    for worker in workers:
        worker.tell(None)
    deadline = time.monotonic() + PATIENCE
    for worker in workers:
        worker.process.join(max(0.0, deadline - time.monotonic()))
        if worker.process.is_alive():
            worker.process.terminate()
            worker.process.join(PATIENCE)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.close()
    remove_folder(folder)


# ------------------------------------------------------------------ arguments


def context_of(given, num_workers):
    """The way in which processes are started, from its name."""
    if given is None:
        return None
    if num_workers <= 0:
        raise ValueError("multiprocessing_context can only be used with multi-process loading "
                         f"(num_workers > 0), but got num_workers={num_workers}")  # fmt: skip
    if isinstance(given, str):
        valid = multiprocessing.get_all_start_methods()
        if given not in valid:
            raise ValueError("multiprocessing_context option should specify a valid start method "
                             f"in {valid!r}, but got multiprocessing_context="
                             f"{given!r}")  # fmt: skip
        return multiprocessing.get_context(given)
    if not isinstance(given, multiprocessing.context.BaseContext):
        raise TypeError("multiprocessing_context option should be a valid context object or a "
                        "string specifying the start method, but got "
                        f"multiprocessing_context={given}")  # fmt: skip
    return given


def warn_of_many(num_workers):
    """More workers than processors help nobody."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if there is not None and num_workers > there:
        warnings.warn(
            f"This DataLoader will create {num_workers} worker processes in total. Our suggested "
            f"max number of worker in current system is {there}, which is smaller than what this "
            "DataLoader is going to create. Please be aware that excessive worker creation might "
            "get DataLoader running slow or even freeze, lower the worker number to avoid "
            "potential slowness/freeze if necessary.",
            stacklevel=4,
        )
