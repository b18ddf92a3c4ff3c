"""The trie of stretches: states, edges, and the stretch that is being recorded.

A *state* is 'the calls since the last boundary, up to here'. An edge leads to the next state, which
remembers what the call gives: so a call that was seen before costs one look-up. States hold
shapes, never data. The recorder walks the trie; a flush hangs programs on its states.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any
from weakref import ref

from flambeau.ir.layout import Spec
from flambeau.ir.program import Call, Input
from flambeau.trace.modes import START, Mode, switch


class State:
    """A node of the trie.

    slot: the number of the first tensor or value that this event made; next: the first free one.
    numbers, offsets: how many run-time numbers and offsets the path has.
    event: Call, Input, or None (a view).
    """

    __slots__ = ("edges", "parent", "event", "slot", "next", "numbers", "offsets", "follow", "spec",
                 "specs", "size", "offset", "inputs", "args", "needs", "keeps", "first_number",
                 "programs", "macros", "depth", "stamp", "view",
                 "nested", "kept_numbers", "used", "node", "shares", "places")  # fmt: skip

    edges: dict[tuple[Any, ...], State]
    parent: State | None
    event: Call | Input | None
    slot: int
    next: int
    numbers: int
    offsets: int
    follow: Callable[..., Any]
    spec: Spec  # of the first result
    specs: tuple[Spec, ...]
    size: int  # bytes of the first result
    offset: int | None  # which run-time offset a view has
    inputs: tuple[int, ...]  # positions of the tensor arguments
    args: tuple[Any, ...]  # cleaned, with Specs for tensors
    needs: tuple[int, ...] | None  # positions of tensor arguments; None: no gradient needed
    keeps: tuple[Any, ...]  # what the formulas read
    first_number: int  # the call's own run-time numbers start here
    programs: dict[tuple[int, ...], Any] | None
    macros: dict[Any, Any] | None
    depth: int
    stamp: int  # the limit that keeps cuts of this sequence in step; 0: not looked for yet
    used: int  # the flush that ended here last
    count = 0  # of all states
    node: Callable[..., Any]  # makes the autograd node of a call with one result
    nested: bool  # whether some argument is a list of tensors
    kept_numbers: tuple[int, ...]  # positions in `keeps` that are no tensors
    view: Any  # the op of a view, which is no event
    shares: bool  # whether a write reads other parts of the storage that it writes to
    places: Any  # of index tensors, and what they may hold (ranges.py); None: no call has any

    def __init__(self, parent: State | None) -> None:
        self.edges = {}
        self.parent = parent
        self.event = self.view = None
        self.programs = self.macros = self.places = None
        self.offset = self.needs = None
        self.stamp = 0
        self.nested = self.shares = False
        self.used = 0
        State.count += 1
        if parent is None:
            self.slot = self.next = self.numbers = self.offsets = self.depth = 0
        else:
            self.slot = self.next = parent.next
            self.numbers, self.offsets = parent.numbers, parent.offsets
            self.depth = parent.depth

    def path(self) -> list[State]:
        """The states from the root (left out) to this one."""
        states, state = [], self
        while state.parent is not None:
            states.append(state)
            state = state.parent
        states.reverse()
        return states


ROOT = State(None)
NOTHING: list[Any] = []  # of stretches that are over


class Stretch:
    """The calls since the last boundary, of one thread.

    inputs: storages that entered, in order (strong: their memory is read at the flush).
    results: the storages born here, in that order; those that nobody else holds are dead.
    thread: the number of the thread that records it (see turns.py).
    busy: that thread is in the middle of a call, so nobody else may end the stretch now.
    guests: where every call runs at once, what stands for tensors from outside; else None.
    """

    __slots__ = ("state", "mode", "inputs", "results", "numbers", "offsets", "offset_index",
                 "leaves", "nodes", "views", "walk", "backward_done", "updated",
                 "watched", "limit", "bytes", "most", "thread", "busy", "guests",
                 "__weakref__")  # fmt: skip

    def __init__(self, mode: Mode, limit: int, thread: int = 0) -> None:
        self.mode = mode
        self.limit = limit
        self.thread = thread
        self.busy = False
        self.guests: dict[int, Any] | None = None
        self.state = ROOT
        self.bytes, self.most = 0, HELD  # of inputs; when to look which of them nobody else holds
        self.inputs: list[Any] = []
        self.results: list[Any] = []
        self.numbers: list[Any] = []
        self.offsets: list[int] = []
        self.offset_index: dict[tuple[int, int], int] = {}
        self.leaves: dict[int, Any] = {}
        self.nodes: list[Any] = []
        self.views: list[Any] = []  # weak: a write under them may give them a new history
        self.walk = True  # whether a backward may be followed as one edge
        self.backward_done = False
        self.watched = False  # whether some node was freed, or got hooks
        self.updated = False  # whether a parameter was written outside the graph

    def offset_of(self, slot: int) -> int | None:
        """Which run-time offset says where the tensor in a slot begins."""
        state = self.state
        while state.slot > slot:
            state = state.parent  # type: ignore[assignment]
        return state.offset

    def end(self) -> None:
        """Nothing will be recorded here any more; tensors that were part of it may hold it long."""
        self.state = ROOT
        self.inputs = self.results = self.nodes = self.views = NOTHING
        self.leaves = {}
        if self.guests:
            self.guests = {}


class Limit:
    """How many calls may be pending; flush.py sets it to a multiple of the program's period."""

    def __init__(self) -> None:
        self.calls = CALL_LIMIT


class Threads:
    """The threads that recorded something: number → (what `here` is there, a sign of life).

    lazy: the number of the one whose calls may be pending; several: whether there were ever more
    than one; mode: the one that a thread begins in.
    """

    def __init__(self) -> None:
        self.known: dict[int, tuple[dict[str, Any], ref[Life]]] = {}
        self.numbers = itertools.count(1)
        self.lazy = 1
        self.several = False
        self.mode = START

    def arrive(self, here: dict[str, Any]) -> None:
        """A thread records for the first time; those that are over are forgotten."""
        number = here["stretch"].thread
        for other, (_, life) in list(self.known.items()):
            if life() is None and other != self.lazy:  # the lazy one may have left calls pending
                self.known.pop(other, None)
        lives.life = Life()
        self.known[number] = here, ref(lives.life)
        if number != self.lazy:
            self.several = True
            run_at_once(here["stretch"])


class Life:
    """Lives as long as the thread that made it; `here` can't tell, as others hold what is in it."""


def run_at_once(stretch: Stretch) -> None:
    """No call of this stretch is to be pending."""
    stretch.limit, stretch.guests = 1, {}


class Here(threading.local):
    """What is current in this thread. `stretch` is the only thing read on the hot path."""

    def __init__(self) -> None:
        self.stretch = Stretch(threads.mode, limit.calls, next(threads.numbers))
        threads.arrive(self.__dict__)


CALL_LIMIT = 1000  # pending calls; trace/flush.py cuts there, at a period of the sequence
HELD = 1 << 28  # bytes of inputs that nobody else holds, above which a stretch ends
STATES = 100_000  # states from which on those that were not used for long are dropped
limit = Limit()
threads = Threads()
lives = threading.local()
here = Here()


def switch_for_all(**changes: object) -> None:
    """Change the mode of this thread, and of those that begin later."""
    threads.mode = switch(threads.mode, **changes)
    here.stretch.mode = switch(here.stretch.mode, **changes)


def forget_unused(now: int) -> None:
    """Forget the paths that nobody has taken for long; `now` counts flushes."""
    State.count, ROOT.used = prune(ROOT, now - max(64, (now - ROOT.used) // 2)), now


def prune(root: State, oldest: int) -> int:
    """Drop every state from which no recently used one can be reached; answer how many are left."""
    order, stack = [], [root]
    while stack:
        state = stack.pop()
        order.append(state)
        stack.extend(state.edges.values())
    alive: set[State] = set()
    for state in reversed(order):
        state.edges = {key: s for key, s in list(state.edges.items()) if s in alive}
        if state.macros:
            state.macros = None
        if state.edges or state.used >= oldest:
            alive.add(state)
    return len(alive)
