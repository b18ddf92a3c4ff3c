"""Several Python threads: one of them is lazy, the others run every call when it is made.

What storages and tensors know about the stretch that they are in is one thread's knowledge, and
looking it up must stay cheap. So calls are pending in one thread at a time, the lazy one. Another
takes its place when it has nothing pending, is over, or did nothing for long. The others leave no
mark on tensors that they share: in their stretches *guests* stand for them (recorder.py).

A thread that needs what is pending in the lazy one ends its stretch (`claim`). It may do so between
two calls of that thread only: `Stretch.busy` tells, and a busy thread is asked to flush by itself.
The lazy thread never waits for others, except for a program that runs: no deadlocks.

Relies on the interpreter's lock: straight-line code without calls is not interrupted by others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from flambeau.settings import settings
from flambeau.trace import trie
from flambeau.trace.trie import State, Stretch, here, threads

PAUSE = 5e-5  # seconds between two looks at a busy thread
PATIENCE = 50  # calls of another thread, after which a lazy one that does nothing has to run
running = threading.RLock()  # programs run one at a time; they use all threads themselves
failures: dict[int, BaseException] = {}  # thread → what went wrong when another ran its calls
Finish = Callable[[Stretch], None]


class Idle:
    """Where the lazy thread was when others last looked, and how often they found it there."""

    state: State | None = None
    looks = 0


def following(stretch: Stretch) -> Stretch:
    """A new stretch of the same thread, for a lazy one."""
    return Stretch(stretch.mode, 1 if settings.eager else trie.limit.calls, stretch.thread)


def take_turn(finish: Finish) -> None:
    """Decide whether the calls that this thread is about to record may be pending."""
    stretch = here.stretch
    if threads.lazy == stretch.thread:
        return
    with running:
        if threads.lazy == stretch.thread:  # another was about to take its turn, and could not
            return
        if vacant(stretch.thread, finish):
            threads.lazy = stretch.thread
        else:
            trie.run_at_once(stretch)


def vacant(heir: int, finish: Finish) -> bool:
    """Whether no thread is lazy any more: it is over, or its turn went to another just now."""
    if threads.lazy not in threads.known:
        return True
    theirs, life = threads.known[threads.lazy]
    stretch = theirs["stretch"]
    if life() is None:
        settle(stretch, finish)
        del threads.known[threads.lazy]
        return True
    if stretch.state is not trie.ROOT:
        if stretch.state is not Idle.state:
            Idle.state, Idle.looks = stretch.state, 0
        Idle.looks += 1
        if Idle.looks < PATIENCE:
            return False
    new = following(stretch)
    trie.run_at_once(new)
    # It may have ended a stretch and be about to put another one where `new` will lie. It looks
    # then whether it is its turn; so that is over before `new` is there.
    before, threads.lazy = threads.lazy, heir
    if not replace(stretch, new, theirs):
        threads.lazy = before
        return False
    settle(stretch, finish)
    return True


def replace(stretch: Stretch, new: Stretch, theirs: dict[str, Any]) -> bool:
    """Let another thread go on with a new stretch, unless it is using the old one just now."""
    if stretch.busy or theirs["stretch"] is not stretch:
        return False
    new.mode = stretch.mode  # and at once, so that no change of modes is lost
    theirs["stretch"] = new
    return True


def claim(stretch: Stretch, finish: Finish) -> None:
    """Finish a stretch of another thread, when that is in none of its calls."""
    while True:
        with running:  # what its thread records from now on runs after this
            if over(stretch):
                settle(stretch, finish)
                return
            stretch.limit = 0  # it flushes after this call
        time.sleep(PAUSE)


def over(stretch: Stretch) -> bool:
    """Whether nothing will be recorded in a stretch any more; if its thread allows, see to that."""
    theirs, life = threads.known.get(stretch.thread, ({}, None))
    if life is None or life() is None or theirs["stretch"] is not stretch:
        return True
    new = following(stretch)
    if stretch.guests is not None:
        trie.run_at_once(new)
    return replace(stretch, new, theirs)


def claim_pending(finish: Finish) -> None:
    """Run what is pending in other threads."""
    theirs, _ = threads.known.get(threads.lazy, (here.__dict__, None))
    if theirs["stretch"].thread != here.stretch.thread:
        claim(theirs["stretch"], finish)


def settle(stretch: Stretch, finish: Finish) -> None:
    """Run another thread's calls. What fails is raised there, and where such a result is used."""
    try:
        finish(stretch)
    except Exception as error:
        if stretch.thread in threads.known:
            failures[stretch.thread] = error


def raise_failure() -> None:
    """Raise what went wrong when another thread ran calls of this one."""
    error = failures.pop(here.stretch.thread, None)
    if error is not None:
        raise error


def alone() -> None:
    """In the child of a fork no other thread is there, and nobody holds a lock."""
    global running
    running = threading.RLock()
    stretch = here.stretch
    number = stretch.thread
    threads.known = {number: threads.known[number]}
    threads.lazy, threads.several = number, False
    failures.clear()
    here.stretch = following(stretch)
