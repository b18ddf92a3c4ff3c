"""Several Python threads: one of them is lazy, the others run every call when it is made.

What storages and tensors know about the stretch that they are in is one thread's knowledge, and
looking it up must stay cheap. So pending results exist in one thread at a time, the first that
recorded something; another takes its place when it has nothing pending, or is over. A thread that
needs what is pending there takes the stretch away from its thread (`claim`), in between two calls
of that thread. The lazy thread never waits for another one, and others hold nothing while they
wait: no deadlocks.

Relies on the interpreter's lock: between two bytecodes without a call no other thread comes in.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from flambeau.trace import trie
from flambeau.trace.trie import Stretch, here

PACKAGE = str(Path(__file__).resolve().parent.parent)
USERS = tuple(os.path.join(PACKAGE, room) for room in ("nn", "optim", "utils", "cli"))
LIBRARIES = (sysconfig.get_paths()["stdlib"], str(Path(np.__file__).parent), "<")  # <string>, …
PAUSE = 1e-5  # seconds
entering = threading.RLock()  # held while a call is described that was never seen before


def several() -> bool:
    """Whether more than one thread has recorded something."""
    return len(trie.threads) > 1


def become_lazy() -> bool:
    """Whether this thread may leave calls pending from now on: the lazy one has none, or died."""
    owner = trie.lazy.thread
    mine = threading.get_ident()
    if owner != mine:
        theirs = trie.threads.get(owner)
        if theirs is not None and alive(owner):
            if theirs["stretch"].state is not trie.ROOT:
                return False
            theirs["stretch"].limit = 1
        trie.lazy.thread = mine
    return True


def alive(thread: int) -> bool:
    return thread in sys._current_frames()


def claim(stretch: Stretch) -> None:
    """Take a stretch away from the thread that records it, when it is in none of its calls."""
    theirs = trie.threads.get(stretch.thread)
    if theirs is not None and theirs["stretch"] is stretch:
        new = Stretch(trie.ROOT, stretch.mode, stretch.limit, stretch.thread)
        new.mode = stretch.mode  # and at once, so that no change of modes is lost
        theirs["stretch"] = new
    calls = calls_of(stretch.thread)
    while calls:
        time.sleep(PAUSE)
        now = calls_of(stretch.thread)
        calls = [frame for frame in calls if any(frame is other for other in now)]


def calls_of(thread: int) -> list[FrameType]:
    """The frames of the engine that a thread is in, up to its caller: a user's code, a module."""
    frame, found = sys._current_frames().get(thread), []
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(USERS):
            break
        if name.startswith((PACKAGE, "<flambeau")):
            found.append(frame)
        elif not name.startswith(LIBRARIES):
            break
        frame = frame.f_back
    return found


def foreign(stretch: Stretch, other: Stretch | None, pending: bool) -> bool:
    """Whether a storage in another thread's stretch has to be settled before it can be used here.

    What a thread that isn't lazy has entered it uses in one call only: nobody waits for that.
    """
    if other is None or other is stretch:
        return False
    return pending or other.thread == here.ident or other.thread == trie.lazy.thread


# ------------------------------------------------------------------ fork


def after_fork(locks: Any) -> None:
    """In the child: no other thread is there, and nobody holds a lock."""
    mine: dict[str, Any] = here.__dict__
    trie.threads.clear()
    trie.threads[threading.get_ident()] = mine
    trie.lazy.thread = threading.get_ident()
    locks()
