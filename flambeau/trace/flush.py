"""Decides when recorded calls run, and in which tier.

Called by the recorder after each call that reaches the limit, by Tensor whenever a value is looked at, by
Optimizer.step and DataLoader. Never computes anything itself: it hands a Program to the interpreter or
to the compiler, and gives the results to the storages that wait for them.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from flambeau.compiler import pipeline
from flambeau.compiler.expand import expand
from flambeau.compiler.single import CallCode
from flambeau.interpreter import Interpreted
from flambeau.ir.program import Call, Input, Number, Program, Ref
from flambeau.runtime.buffers import Buffer, allocate
from flambeau.settings import settings
from flambeau.trace import trie
from flambeau.trace.storage import Storage
from flambeau.trace.trie import State, Stretch, here, trie_lock

WIDE = 1 << 20  # bytes of results that nobody wants, up to which another live set's program serves
STATES_KEPT = 200_000


@dataclass(slots=True)
class Entry:
    """A program and what became of it."""

    program: Program
    homes: dict[int, int]
    live: tuple[int, ...]
    sightings: int = 0
    interpreted: Interpreted | None = None
    compiled: Any = None
    offsets: tuple[int, ...] | None = None  # those of the first sighting
    moving: set[int] = field(default_factory=set)  # the run-time offsets that have changed since


@dataclass(slots=True)
class Counters:
    """What happened so far; tests and `flambeau explain` read it."""

    flushes: int = 0
    programs: int = 0
    interpreted: int = 0
    compiled: int = 0
    replayed: int = 0


counters = Counters()
_running = threading.RLock()  # programs run one at a time; they use all threads themselves


def flush(stretch: Stretch) -> None:
    """Run everything in the stretch whose results are still alive; then it is over."""
    if stretch is here.stretch:
        here.stretch = Stretch(trie.ROOT, stretch.mode, base_limit())
    with _running:
        finish(stretch)


def base_limit() -> int:
    return 1 if settings.eager else trie.CALL_LIMIT


def flush_current() -> None:
    """A boundary: the end of an optimizer's step, a batch handed out."""
    stretch = here.stretch
    if stretch.state.depth:
        flush(stretch)


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
    if stretch is not None and stretch.state is not trie.ROOT and storage.index != -1:
        if storage.buffer is None or storage.index != storage.born:
            flush(stretch)
    if storage.error is not None:
        raise storage.error


def finish(stretch: Stretch) -> None:
    """Compute what is alive and hand it out."""
    state, results = stretch.state, stretch.results
    stretch.nodes, stretch.leaves = [], {}
    inputs, stretch.inputs, stretch.results = stretch.inputs, [], {}
    stretch.state = trie.ROOT
    if not state.depth:
        return
    waiting = [(slot, storage) for slot, r in results.items() if (storage := r()) is not None]
    counters.flushes += 1
    entry = entry_for(state, tuple([slot for slot, _ in waiting]))
    buffers: dict[int, Buffer] = {}
    error: BaseException | None = None
    try:
        run(entry, inputs, stretch, buffers)
    except BaseException as failure:
        error = failure
    for slot, storage in waiting:
        storage.buffer = buffers.get(slot)
        storage.stretch = None
        if storage.buffer is None:
            storage.error = error
    for storage in inputs:
        storage.stretch = None
    if error is not None:
        raise error


def run(entry: Entry, inputs: list[Storage], stretch: Stretch, buffers: dict[int, Buffer]) -> None:
    """Run a program in the tier that its history earns; `buffers`: first value → memory."""
    entry.sightings += 1
    memory = [storage.buffer for storage in inputs]
    if stretch.offsets:
        watch_offsets(entry, stretch.offsets)
    if entry.compiled is None and worth_compiling(entry):
        fixed = set(range(entry.program.offsets)) - entry.moving
        entry.compiled = pipeline.compile_program(entry.program, stretch.offsets, fixed)
        counters.compiled += 1
    if entry.compiled is not None:
        counters.replayed += 1
        entry.compiled.run(memory, stretch.numbers, stretch.offsets, buffers)
    else:
        counters.interpreted += 1
        if entry.interpreted is None:
            program = entry.program if (not settings.numpy) else expand(entry.program)
            code_for = CallCode(program.storage_of()) if (not settings.numpy) else no_code
            entry.interpreted = Interpreted(program, code_for)
        entry.interpreted.run(memory, stretch.numbers, stretch.offsets, buffers)


def no_code(call: Call) -> None:
    """Everything by its NumPy meaning (FLAMBEAU_NUMPY=1)."""


def watch_offsets(entry: Entry, offsets: list[int]) -> None:
    """Offsets that never change are compiled in; when one does, the program is compiled once more."""
    if entry.offsets is None:
        entry.offsets = tuple(offsets)
    elif entry.offsets != tuple(offsets):
        moved = {i for i, (a, b) in enumerate(zip(entry.offsets, offsets)) if a != b} - entry.moving
        if moved:
            entry.moving |= moved
            entry.compiled = None


def worth_compiling(entry: Entry) -> bool:
    """At the second sighting at the earliest. Counts, never clocks: runs are reproducible."""
    return settings.compile and not settings.eager and entry.sightings >= 2


def entry_for(state: State, live: tuple[int, ...]) -> Entry:
    """The program of a path and a live set; a compiled one with a slightly wider set serves."""
    if state.programs is None:
        state.programs = {}
    entry = state.programs.get(live)
    if entry is None:
        entry = wider(state, live) or new_entry(state, live)
        state.programs[live] = entry
    return entry


def wider(state: State, live: tuple[int, ...]) -> Entry | None:
    wanted = set(live)
    for entry in state.programs.values():  # type: ignore[union-attr]
        if entry.compiled is not None and wanted < set(entry.live):
            if sum(size_of(entry.program, v) for v in set(entry.live) - wanted) <= WIDE:
                return entry
    return None


def size_of(program: Program, value: int) -> int:
    for call in program.calls:
        for out in call.outs:
            if out.value == value:
                return out.layout.numel * out.dtype.itemsize
    return 0


def new_entry(state: State, live: tuple[int, ...]) -> Entry:
    """Build the program of a path."""
    events = [s.event for s in state.path() if s.event is not None]
    calls = tuple(e for e in events if isinstance(e, Call))
    inputs = tuple(e for e in events if isinstance(e, Input))
    numbers: list[type] = [float] * state.numbers
    for call in calls:
        for arg in call.args:
            if isinstance(arg, Number):
                numbers[arg.index] = arg.type
    program = Program(inputs, calls, live, tuple(numbers), state.offsets)
    counters.programs += 1
    return Entry(program, program.storage_of(), live)


# ------------------------------------------------------------------ the limit


def at_limit(stretch: Stretch) -> None:
    """Too many calls are pending, or one must run at once: flush, and keep cutting in step."""
    if stretch.limit > 1 and not settings.eager:
        state = stretch.state
        if state.stamp == 0:
            state.stamp = in_step(state)
        trie.CALL_LIMIT = state.stamp
    flush(stretch)


def in_step(state: State, most: int = 1000) -> int:
    """The largest multiple of the sequence's period below the limit, so that cuts keep their phase."""
    marks = [signature(s) for s in state.path() if isinstance(s.event, Call)]
    for period in range(1, len(marks) // 2):
        tail = min(len(marks) - period, max(3 * period, len(marks) // 2))
        if marks[-tail:] == marks[-tail - period : -period]:
            return most // period * period
    return most


def signature(state: State) -> int:
    """A call relative to its place: operands by distance, those from outside by name."""
    call = state.event
    assert isinstance(call, Call)
    places = tuple(
        (state.slot - a.value, a.layout.size, a.layout.stride) if isinstance(a, Ref) else str(a)
        for a in call.args
    )
    return hash((call.op, places, call.outs[0].layout.size))


# ------------------------------------------------------------------ pinned memory


def snapshot(x: Any, nbytes: int) -> Storage:
    """A copy of what a view of pinned memory touches, as a storage of its own."""
    buffer = allocate(nbytes)
    start = x.offset * x.spec.dtype.itemsize
    buffer.memory[:nbytes] = x.storage.buffer.memory[start : start + nbytes]
    return Storage(nbytes, buffer)
