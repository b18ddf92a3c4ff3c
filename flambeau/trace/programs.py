"""The programs of a path: one for each live set, and which tier each has earned.

Called by flush.py alone. Programs hang on the state of the trie that they end in; they hold shapes,
never data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flambeau.interpreter import Interpreted
from flambeau.ir.program import Call, Input, Number, Program
from flambeau.ir.record import field, record
from flambeau.runtime.buffers import Buffer
from flambeau.settings import settings
from flambeau.trace import trie
from flambeau.trace.trie import State

WIDE = 1 << 20  # bytes of results that nobody wants, up to which another live set's program serves
FLAPPING = 4  # live sets of one path from which on they are widened to their union

# Estimates in µs, for the rule that decides about compiling. They only have to be right by a
# factor: a program is compiled when its runs call by call would have cost more than compiling does.
COMPILE_CALL = 200.0
RUN_CALL = 10.0
RUN_ELEMENT = 0.001
# Programs that may differ in sizes alone and are compiled at this price. Once there are more, sizes
# change from run to run (batches of any length): they pay less well, and are so much dearer.
FEW, DEARER = 4, 10


@record
class Entry:
    """A program and what became of it."""

    program: Program
    live: tuple[int, ...]
    cost: float  # of one run call by call
    kinds: tuple[Any, ...]  # equal for programs that differ in sizes alone
    sightings: int = 0
    threads: int = 0  # that the code below has memory for
    interpreted: Interpreted | None = None
    by_numpy: bool = False  # whether `interpreted` runs by NumPy meanings alone
    compiled: Any = None
    offsets: list[int] | None = None  # the run-time offsets of the last run
    constant: dict[int, int] = field(default_factory=dict)  # those that never changed so far


@record
class Counters:
    """What happened so far; tests and `flambeau explain` read it."""

    flushes: int = 0
    programs: int = 0
    interpreted: int = 0
    compiled: int = 0
    replayed: int = 0


counters = Counters()
_met: dict[tuple[Any, ...], int] = {}  # kinds → how many such programs were met
# Called before each run, with an entry, its memory, numbers and offsets: `flambeau explain`.
watchers: list[Callable[..., None]] = []
pool: Any = None  # the threads, once there is native code
timed: Any = None  # what programs run by instead, while a profile is active (autograd/profiling.py)


def run(entry: Entry, memory: list[Buffer], numbers: list[Any], offsets: list[int],
        done: dict[int, Buffer]) -> Sequence[Buffer]:  # fmt: skip
    """Run a program in the tier that its history earns; the memory of `entry.live`, in order.

    Where it fails, `done` has what is complete: first value → memory.
    """
    entry.sightings += 1
    if pool is not None and pool.wanted > entry.threads:  # each thread has memory of its own
        entry.compiled = entry.interpreted = None
    if (entry.constant or entry.offsets is None) and offsets != entry.offsets:
        note_offsets(entry, offsets)
    if entry.compiled is None and worth_compiling(entry):
        from flambeau.compiler import pipeline  # a tenth of the import time, and not always needed

        make = pipeline.compile_program
        if timed is not None:
            make = timed.aside("flambeau::compile", make)
        entry.compiled = make(entry.program, entry.constant, entry.sightings)
        entry.threads = threads_of_pool()
        counters.compiled += 1
    if watchers:
        for watcher in watchers:
            watcher(entry, memory, numbers, offsets)
    compiling = settings.compile and not (settings.eager or settings.numpy)  # `may_compile`
    if entry.compiled is not None and compiling:
        counters.replayed += 1
        code = entry.compiled.run if timed is None else timed.compiled(entry)
        return code(memory, numbers, offsets, done)
    counters.interpreted += 1
    if entry.interpreted is None or entry.by_numpy is not settings.numpy:
        entry.interpreted, entry.by_numpy = interpreted(entry.program), settings.numpy
        entry.threads = threads_of_pool()
    calls = entry.interpreted if timed is None else timed.interpreted(entry)
    calls.run(memory, numbers, offsets, done)
    return [done[slot] for slot in entry.live]


def threads_of_pool() -> int:
    """How many threads there are; from now on, `run` sees when there are more."""
    global pool
    from flambeau.runtime import threads  # a part of the import time, and not always needed

    pool = threads.pool
    return pool.wanted


def say_run(entry: Entry, memory: list[Buffer], numbers: list[Any], offsets: list[int]) -> None:
    """A line for each run: FLAMBEAU_LOG=run."""
    from flambeau.ir.log import log

    calls = entry.program.calls
    source = next((call.source for call in calls if call.source is not None), None)
    tier = "call by call" if entry.compiled is None else "compiled"
    place = f" from {source}" if source is not None else ""
    log("run", lambda: f"{len(calls)} call{'s' * (len(calls) != 1)}{place} · sighting "
                       f"{entry.sightings} · {tier}")  # fmt: skip


if "run" in settings.log:
    watchers.append(say_run)


def interpreted(program: Program) -> Interpreted:
    """The program, ready to run call by call."""
    from flambeau.compiler.expand import expand
    from flambeau.compiler.single import CallCode

    if settings.numpy:
        return Interpreted(expand(program), by_numpy)
    return Interpreted(program, CallCode(program))


def by_numpy(call: Call) -> None:
    """No native code: every call by its NumPy meaning (FLAMBEAU_NUMPY=1)."""


def note_offsets(entry: Entry, offsets: list[int]) -> None:
    """Offsets that never change are compiled in; when one does, the program is compiled once more.

    Where that happens again, none is taken for constant any longer.
    """
    if entry.offsets is None:
        entry.constant = dict(enumerate(offsets))
    entry.offsets = offsets
    still = {i: n for i, n in entry.constant.items() if offsets[i] == n}
    if len(still) < len(entry.constant):
        again = entry.compiled is not None and len(entry.constant) < len(offsets)
        entry.compiled, entry.constant = None, {} if again else still


def may_compile() -> bool:
    """Whether the settings leave the second tier on; they may change while a program is known."""
    return settings.compile and not settings.eager and not settings.numpy


def worth_compiling(entry: Entry) -> bool:
    """At the second sighting at the earliest, and once its runs have cost what compiling costs.

    Counts, never clocks or caches: the tier of each run, and so its bits, are reproducible.
    """
    if not may_compile() or entry.sightings < 2:
        return False
    if not entry.program.calls:  # nothing but views
        return False
    price = settings.patience * COMPILE_CALL * len(entry.program.calls)
    if _met[entry.kinds] > FEW:
        price *= DEARER
    return entry.sightings * entry.cost >= price


def entry_for(state: State, live: tuple[int, ...]) -> Entry:
    """The program of a path and a live set; a compiled one with a slightly wider set serves."""
    if state.programs is None:
        state.programs = {}
    state.used = counters.flushes
    entry = state.programs.get(live)
    if entry is None:
        entry = wider(state, live) or new_entry(state, live)
        state.programs[live] = entry
        if State.count > trie.STATES:
            trie.forget_unused(counters.flushes)
    return entry


def wider(state: State, live: tuple[int, ...]) -> Entry | None:
    """A program that computes all that is wanted, and little besides.

    Where live sets flap (a variable that now and then survives), their union is used instead.
    """
    entries = state.programs.values()  # type: ignore[union-attr]
    wanted = set(live)
    for entry in entries:
        if entry.compiled is not None and wanted < set(entry.live) and spare(entry, wanted) <= WIDE:
            return entry
    if len(entries) >= FLAPPING:
        union = tuple(sorted(wanted.union(*(e.live for e in entries))))
        if union != live:
            entry = new_entry(state, union)
            if spare(entry, wanted) <= WIDE:
                return entry
    return None


def spare(entry: Entry, wanted: set[int]) -> int:
    """Bytes that an entry would compute for nobody."""
    extra = set(entry.live) - wanted
    outs = (out for call in entry.program.calls for out in call.outs if out.value in extra)
    return sum(out.layout.numel * out.dtype.itemsize for out in outs)


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
    elements = sum(out.layout.numel for call in calls for out in call.outs)
    counters.programs += 1
    if settings.show:
        from flambeau.ir.show import say, show  # only readers of programs need the notation

        say("trace", lambda: show(program))
    cost = len(calls) * RUN_CALL + elements * RUN_ELEMENT
    kinds = frozenset([call.op for call in calls]), len(calls), live
    _met[kinds] = _met.get(kinds, 0) + 1
    return Entry(program, live, cost, kinds)
