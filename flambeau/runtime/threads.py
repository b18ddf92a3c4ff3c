"""The thread pool, and the native loop that runs tapes.

A tape is an array of launches; `tape.run(frame)` runs them one after the other inside one native
call, and splits those with several tasks over the pool. Workers are daemon threads of Python that
enter native code once and stay there: they spin for a while, then sleep on a futex. Where the
system has no futex everything runs inline.

The native code is in `threads_native.py`. This room does not compile: the target compiles that
text and calls `install` with the addresses.

A frame is an array of int64 words. Word 0 is always 0, word 1 the address of an error record, or 0.
A launch's argument is `(slot, addend)`: frame[slot] + addend.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from operator import index
from typing import Any, SupportsIndex

from flambeau.ir.record import frozen

from ..settings import settings
from .threads_native import NAMES, POOL_WORDS, native_text

__all__ = [
    "NAMES", "Launch", "Tape", "get_num_threads", "install", "installed", "native_text",
    "set_num_threads", "wake",
]  # fmt: skip

Words = tuple[tuple[int, int], ...]
Groups = Sequence[tuple[int, int]]  # the first launch of each group, and how many
SPIN_SECONDS = 2e-3  # as long as other runtimes' threads wait: to wake one can take as long
FEW_TASKS = 6  # that sleeping threads are not woken for; threads_native.py knows it too


@frozen
class Launch:
    """One step of a tape: a kernel's address, its argument words, and its number of tasks.

    `address` is a number, or what becomes one when the tape is packed: by then it is compiled.
    `tasks` is a number, or a word `(slot, addend)` where it depends on the frame.
    """

    address: SupportsIndex
    words: Words
    tasks: int | tuple[int, int] = 1

    def task_word(self) -> tuple[int, int]:
        """The number of tasks as a word; slot 0 holds 0, so (0, c) is a constant."""
        return (0, self.tasks) if isinstance(self.tasks, int) else self.tasks


class Tape:
    """Launches, packed for the native loop. `run(frame_address)` answers 0, or 1 + the number of
    the launch that reported an error; launches after that one did not run.

    Launches of a group need nothing of each other, and never fail: their tasks are done at once.
    """

    __slots__ = ("launches", "run")

    launches: tuple[Launch, ...]
    run: Callable[[int], int]

    def __init__(self, launches: Sequence[Launch], groups: Groups = ()) -> None:
        self.launches = tuple(launches)
        parallel = bool(groups) or any(launch.tasks != 1 for launch in launches)
        if parallel:
            pool.start()
        # A short tape keeps the interpreter's lock: to release it and get it back costs more.
        long = parallel or len(launches) > 64
        packed = pack(launches, groups)
        # A plain number is passed on faster than an array; `run` keeps the array alive beside it.
        run = functools.partial(native("run" if long else "run_short"), ctypes.addressof(packed))
        run.memory = packed  # type: ignore[attr-defined]
        self.run = run


def pack(launches: Sequence[Launch], groups: Groups = ()) -> ctypes.Array[ctypes.c_int64]:
    """The launches as the native loop reads them.

    A count, the most words, the pool, whether to wake it at once (a task takes about 10 µs, to wake
    a thread several times that), and each launch. A group is 0, how many launches, how many words
    until it is over, how many tasks, the launch and the number of each task, and the launches.
    """
    most = max((len(launch.words) for launch in launches), default=0)
    shared = sum(t for slot, t in map(Launch.task_word, launches) if slot == 0 and t > 1)
    shared += sum(count for _, count in groups)
    packed = [len(launches), most, ctypes.addressof(pool.memory), int(shared >= FEW_TASKS)]
    sizes = dict(groups)
    for number, launch in enumerate(launches):
        if number in sizes:
            packed += group_head(launches[number : number + sizes[number]])
        packed += [index(launch.address), len(launch.words), *launch.task_word()]
        for slot, addend in launch.words:
            packed += [slot, addend]
    return (ctypes.c_int64 * len(packed))(*packed)


def group_head(launches: Sequence[Launch]) -> list[int]:
    """What stands before the launches of a group."""
    tasks = [range(launch.task_word()[1]) for launch in launches]
    count = sum(map(len, tasks))
    end, places = 4 + 2 * count, []
    for launch, its in zip(launches, tasks):
        places += [word for task in its for word in (end, task)]
        end += 4 + 2 * len(launch.words)
    return [0, len(launches), end, count, *places]


class Pool:
    """The workers and the memory in which they find their work."""

    def __init__(self) -> None:
        self.memory = (ctypes.c_int64 * POOL_WORDS)()
        self.wanted = _default_threads()
        self.workers: list[threading.Thread] = []
        self.lock = threading.Lock()

    def start(self) -> None:
        """Bring the workers up, unless they are or there is nothing for them to do."""
        if self.workers or self.wanted < 2 or not can_sleep() or not _native:
            return
        with self.lock:
            if self.workers:
                return
            native("prepare")(self.memory, self.wanted, _spins())
            for number in range(1, self.wanted):
                args = (self.memory, number)
                worker = threading.Thread(target=native("worker"), args=args, daemon=True)
                worker.name = f"flambeau-{number}"
                worker.start()
                self.workers.append(worker)

    def stop(self) -> None:
        """Send the workers home and wait until they left native code."""
        with self.lock:
            if self.workers:
                native("shutdown")(self.memory)
                with contextlib.suppress(KeyboardInterrupt):  # they come home all the same
                    for worker in self.workers:
                        worker.join(5)
            self.workers = []

    def forget(self) -> None:
        """In the child of a fork: the workers stayed in the parent; others come when needed."""
        # Cleared where it lies, because tapes that exist point at it.
        ctypes.memset(self.memory, 0, ctypes.sizeof(self.memory))
        self.workers, self.lock = [], threading.Lock()


def _default_threads() -> int:
    """FLAMBEAU_THREADS, else OMP_NUM_THREADS, else the processors that we may use."""
    if settings.threads:
        return settings.threads
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def can_sleep() -> bool:
    """Whether the native code knows how threads sleep on this system."""
    return sys.platform == "linux"


def _spins() -> int:
    """How many turns of the waiting loop fill the time that a worker waits before it sleeps.

    The least of several measurements: one that is interrupted would send workers to sleep at once,
    for as long as the process lives.
    """
    turns, least = 200, 1.0
    for _ in range(5):
        start = time.perf_counter()
        native("spin")(turns)
        least = min(least, time.perf_counter() - start)
    return max(100, int(turns * SPIN_SECONDS / max(least, 1e-7)))


_native: dict[str, Any] = {}


def install(addresses: dict[str, int]) -> None:
    """Take the addresses of the functions in `native_text`, compiled."""
    word, where = ctypes.c_int64, ctypes.c_void_p
    shapes = {
        "run": ctypes.CFUNCTYPE(word, where, where),
        "worker": ctypes.CFUNCTYPE(None, where, word),
        "prepare": ctypes.PYFUNCTYPE(None, where, word, word),
        "shutdown": ctypes.PYFUNCTYPE(None, where),
        "wake": ctypes.PYFUNCTYPE(None, where),
        "spin": ctypes.CFUNCTYPE(None, word),
    }
    _native.update({name: shapes[name](addresses[name]) for name in NAMES})
    _native["run_short"] = ctypes.PYFUNCTYPE(word, where, where)(addresses["run"])


def native(name: str) -> Any:
    """A function of the native code."""
    if not _native:
        raise RuntimeError("the tape runner is not compiled yet; hint: Target.tape does that")
    return _native[name]


def installed() -> bool:
    """Whether `install` was called."""
    return bool(_native)


pool = Pool()
atexit.register(pool.stop)
# Called before a fork, after everything that is pending ran: this file's hook came first.
before_fork: list[Callable[[], None]] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=lambda: [call() for call in before_fork],
                        after_in_child=pool.forget)  # fmt: skip


def get_num_threads() -> int:
    """How many threads share the work of a kernel, the calling one included."""
    return pool.wanted


def set_num_threads(count: int) -> None:
    """Change how many threads share the work of a kernel; results do not depend on it."""
    if count < 1:
        raise RuntimeError(f"Expected positive number of threads, got {count}")
    if count != pool.wanted:
        running = bool(pool.workers)
        pool.stop()
        pool.wanted = count
        if running:
            pool.start()


def wake() -> None:
    """Wake workers that sleep, as work is about to come; bring them up after a fork."""
    if pool.workers:
        native("wake")(pool.memory)
    elif _native:
        pool.start()
