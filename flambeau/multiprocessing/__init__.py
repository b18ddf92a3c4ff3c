"""multiprocessing, with tensors that processes share instead of copying.

Everything of Python's module is here. A tensor that is sent to another process (an argument of a
Process, an item of a Queue) moves to shared memory first, so both sides see each other's writes.
"""

import multiprocessing as _multiprocessing
from multiprocessing import *  # noqa: F403

from flambeau.multiprocessing.reductions import init_reductions
from flambeau.multiprocessing.spawning import (
    ProcessContext,
    ProcessException,
    ProcessExitedException,
    ProcessRaisedException,
    SpawnContext,
    spawn,
    start_processes,
)

init_reductions()


def get_all_sharing_strategies():
    """The ways to share memory: by descriptors of files that have no name."""
    return {"file_descriptor"}


def get_sharing_strategy():
    return "file_descriptor"


def set_sharing_strategy(new_strategy):
    """There is one strategy; raises NotImplementedError for PyTorch's other one."""
    if new_strategy == "file_system":
        raise NotImplementedError("the strategy 'file_system' is not supported: keep "
                                  "'file_descriptor'")  # fmt: skip
    if new_strategy != "file_descriptor":
        raise AssertionError(f"unknown strategy {new_strategy!r}")


__all__ = [
    *_multiprocessing.__all__, "ProcessContext", "ProcessException", "ProcessExitedException",
    "ProcessRaisedException", "SpawnContext", "get_all_sharing_strategies",
    "get_sharing_strategy", "init_reductions", "set_sharing_strategy", "spawn", "start_processes",
]  # fmt: skip
