"""Ctrl-C: an interrupt inside the engine waits until the engine is in order again.

The handler replaces Python's own only (a program's own handler stays), and only puts the exception
off while a frame of the recorder, of a flush or of a backward walk is on the stack.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
from types import FrameType

ROOMS = tuple(
    os.path.join(os.path.dirname(os.path.dirname(__file__)), room)
    for room in ("trace", "compiler", "runtime", "codegen", "interpreter.py",
                 os.path.join("autograd", "shortcut.py"))
)  # fmt: skip
pending = False


def inside(frame: FrameType | None) -> bool:
    """Whether the engine was at work when the signal came."""
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(ROOMS) or name.startswith("<flambeau"):
            return True
        frame = frame.f_back
    return False


def handle(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt now, or at the end of the flush or of the call being recorded."""
    global pending
    if not inside(frame):
        pending = False
        raise KeyboardInterrupt
    if pending:
        return
    pending = True
    from flambeau.trace.trie import here

    here.stretch.limit = min(here.stretch.limit, here.stretch.state.depth)


def raise_pending() -> None:
    """Raise an interrupt that was put off."""
    global pending
    if pending:
        pending = False
        raise KeyboardInterrupt


def install() -> None:
    """Take the place of Python's own handler, where that is in place, until the program ends."""
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, handle)
        atexit.register(uninstall)


def uninstall() -> None:
    """Give Python's own handler its place back, unless the program has put another one there."""
    if signal.getsignal(signal.SIGINT) is handle:
        signal.signal(signal.SIGINT, signal.default_int_handler)
