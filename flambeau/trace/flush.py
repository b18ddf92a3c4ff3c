"""Decides when recorded calls run.

Called by the recorder after a call that reaches the limit, by Tensor whenever a value is looked at,
by Optimizer.step and DataLoader. Never computes anything itself: it hands a program to programs.py,
and the results to the storages that wait for them.
"""

from __future__ import annotations

import os
import warnings
from operator import attrgetter
from sys import getrefcount
from typing import Any

from flambeau.runtime.buffers import Buffer, allocate
from flambeau.settings import settings
from flambeau.trace import interrupt, period, programs, trie, turns
from flambeau.trace.programs import counters
from flambeau.trace.storage import Storage, new_storage
from flambeau.trace.trie import Stretch, here, threads

MANY_CALLS, LITTLE_MEMORY = 200, 1 << 18  # of steps that run at their end; bytes of inputs
BORN, BUFFER = attrgetter("born"), attrgetter("buffer")


def flush(stretch: Stretch) -> None:
    """Run everything in the stretch whose results are still alive; then it is over."""
    if stretch is here.stretch:
        limit = 1 if settings.eager else trie.limit.calls
        here.stretch = Stretch(stretch.mode, limit, stretch.thread)
        if threads.several:
            turns.take_turn(finish)
    elif stretch.thread != here.stretch.thread:
        turns.claim(stretch, finish)
    running = turns.running
    running.acquire()  # `with` takes twice as long
    try:
        finish(stretch)
    finally:
        running.release()
    if interrupt.pending:
        interrupt.raise_pending()
    if turns.failures:
        turns.raise_failure()


def flush_current() -> None:
    """Run what is pending in this thread."""
    stretch = here.stretch
    if stretch.state.depth:
        flush(stretch)


def end_step() -> None:
    """A boundary: the end of an optimizer's step, or of one by hand; a batch handed out.

    A flush costs more than a few calls on little memory, so such steps run several together.
    """
    stretch = here.stretch
    if stretch.state.depth >= MANY_CALLS or stretch.bytes > LITTLE_MEMORY:
        flush(stretch)
    else:
        stretch.backward_done = stretch.updated = False


def settle(storage: Storage) -> None:
    """Give a pending storage its value, whichever thread recorded it."""
    stretch = storage.stretch
    if storage.buffer is None and stretch is not None and storage.error is None:
        flush(stretch)
    if storage.error is not None:
        raise storage.error


def settle_all(storage: Storage) -> None:
    """Give a storage its latest value: pending results, and writes that have not run yet."""
    stretch = storage.stretch
    if stretch is not None and (storage.buffer is None or storage.index != storage.born):
        flush(stretch)
    if storage.rare is not None and storage.error is not None:
        raise storage.error


def finish(stretch: Stretch) -> None:
    """Compute what is alive and hand it out.

    On a failure the calls before it have taken effect; what came later keeps the error instead of a
    value.
    """
    state, leaves, inputs = stretch.state, stretch.leaves, stretch.inputs
    waiting = living(stretch.results)
    stretch.end()
    done: dict[int, Buffer] = {}  # what was complete when a failure came
    if state.depth:
        counters.flushes += 1
        try:
            entry = programs.entry_for(state, tuple(map(BORN, waiting)))
            memory: list[Any] = list(map(BUFFER, inputs))
            buffers = programs.run(entry, memory, stretch.numbers, stretch.offsets, done)
        except BaseException as error:
            hand_out_after(error, waiting, done)
            free(stretch, inputs)
            forget_gradients(leaves)
            raise
        if len(buffers) > len(waiting):  # a program with a wider live set served
            wanted = {storage.born for storage in waiting}
            buffers = [b for slot, b in zip(entry.live, buffers) if slot in wanted]
        for storage, buffer in zip(waiting, buffers):
            storage.buffer = buffer
            storage.stretch = None
    if threads.several:
        free(stretch, inputs)
    else:
        for storage in inputs:
            storage.stretch = None


def living(storages: list[Storage]) -> list[Storage]:
    """Those that somebody holds besides this list."""
    found = []
    for storage in storages:  # a loop begins sooner than a list comprehension
        if getrefcount(storage) > ALONE:
            found.append(storage)
    return found


def hand_out_after(error: BaseException, waiting: list[Storage], done: dict[int, Buffer]) -> None:
    """What was complete before a failure is there; the rest keeps the error."""
    for storage in waiting:
        if storage.born not in done:
            storage.error = error  # first: another thread may be waiting for either
        storage.buffer, storage.stretch = done.get(storage.born), None


def free(stretch: Stretch, inputs: list[Storage]) -> None:
    """These are no longer part of a stretch; its thread may be recording the next one already."""
    for storage in inputs:
        if storage.stretch is stretch:
            storage.stretch = None


def forget_gradients(leaves: dict[int, Any]) -> None:
    """Gradients that were never computed: backward, which would have made them, was not reached."""
    for leaf in leaves.values():
        grad = leaf._meta.grad if leaf._meta is not None else None
        if grad is not None and grad._failed():
            leaf._meta.grad = None


# ------------------------------------------------------------------ the limit


def at_limit(stretch: Stretch) -> None:
    """Too many calls are pending, or one must run at once: flush, and keep cutting in step."""
    if stretch.limit > 1 and not settings.eager:
        state = stretch.state
        if state.stamp == 0:
            state.stamp = period.in_step(state)
        trie.limit.calls = state.stamp
    flush(stretch)


def limit_bytes(stretch: Stretch) -> None:
    """End the stretch after this call where too much memory waits for it and for nobody else."""
    dead = sum([s.nbytes for s in stretch.inputs if getrefcount(s) <= ALONE])
    if dead > trie.HELD:
        stretch.limit = min(stretch.limit, max(stretch.state.depth, 1))
    stretch.most = stretch.bytes + max(trie.HELD - dead, trie.HELD // 8)


def references_alone() -> int:
    """What getrefcount says of what only a list holds, inside a loop over that list."""
    return next(iter([getrefcount(s) for s in [object()]]))


ALONE = references_alone()


# ------------------------------------------------------------------ pinned memory


def snapshot(x: Any, nbytes: int) -> Storage:
    """A copy of what a view of pinned memory touches, as a storage of its own."""
    buffer = allocate(nbytes)
    start = x._offset * x._spec.dtype.itemsize
    buffer.memory[:nbytes] = x._storage.buffer.memory[start : start + nbytes]
    return new_storage(nbytes, buffer)


# ------------------------------------------------------------------ fork


def before_fork() -> None:
    """Run what is pending, and let no program run meanwhile: the child could not wait for it."""
    try:
        flush_current()
        turns.claim_pending(finish)
    except Exception as error:  # kept by the results that it concerns, and raised when one is used
        warnings.warn(f"a pending call failed before a fork: {error}", stacklevel=2)
    turns.running.acquire()


def after_fork() -> None:
    """In the parent."""
    turns.running.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=before_fork, after_in_parent=after_fork,
                        after_in_child=turns.alone)  # fmt: skip
