"""Programs that run under a profile: every kernel is timed, and every call gets its share.

While a profile is active, `programs.timed` is the `Tracer` below, and programs are run by what it
hands out: the same kernels on the same memory, each launched alone with a look at the clock around
it. So the results are the same bits. Calls that run together in one kernel share its time by the
operations that they do (compiler/estimate.py); nothing finer can be measured.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

from flambeau.interpreter import Interpreted, run_call
from flambeau.ir.program import Call, Program
from flambeau.ir.record import field, record
from flambeau.trace.programs import Entry

MOST_KNOWN = 256  # programs whose timed versions are kept


@record
class Facts:
    """What is known of a recorded call before it runs."""

    name: str
    shapes: list[list[int]]
    source: str
    memory: int = 0  # bytes of its results that outlive the run
    flops: float = 0.0


@record
class Part:
    """A kernel, or a call by itself: which recorded calls it does, and their shares of it."""

    name: str
    shares: list[tuple[int, float]]
    flops: float = 0.0
    bytes: float = 0.0


@record
class Piece:
    """A program as a profile sees it; or other work, without calls."""

    name: str
    calls: list[Facts]
    parts: list[Part]


@record
class Ran:
    """One run of a program; times in ns, spans are (part, begin, end)."""

    piece: Piece
    begin: int
    end: int = 0
    thread: int = 0
    spans: list[tuple[int, int, int]] = field(default_factory=list)


class Tracer:
    """Hands out timed versions of programs, and tells `heard` of each run when it is over."""

    def __init__(self, heard: Callable[[Ran], None]) -> None:
        self.heard = heard
        self.current: Ran | None = None
        self.known: dict[int, tuple[Any, Any]] = {}  # id → what it is of, and its timed version

    def compiled(self, entry: Entry) -> Callable[..., Any]:
        """In place of `entry.compiled.run`."""
        compiled = entry.compiled
        if id(compiled) not in self.known:
            found = self.aside("flambeau::profiler_setup", self.observe)(entry)
            self.remember(compiled, found)
        piece, run = self.known[id(compiled)][1]
        return self.whole(piece, run)

    def observe(self, entry: Entry) -> tuple[Piece, Callable[..., Any]]:
        """A compiled program, taken apart."""
        from flambeau.compiler.timing import observed, timed

        observer = observed(entry.program, entry.compiled.fixed)
        return compiled_piece(entry.program, observer), timed(observer, self.span)

    def remember(self, key: Any, found: Any) -> None:
        if len(self.known) >= MOST_KNOWN:
            self.known.clear()
        self.known[id(key)] = key, found

    def aside(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Something that is no run, as an event of its own: no range shall seem to take so long."""
        return self.whole(Piece(name, [], []), work)

    def interpreted(self, entry: Entry) -> Interpreted:
        """In place of `entry.interpreted`."""
        inner = entry.interpreted
        assert inner is not None
        if id(inner) not in self.known:
            made = Interpreted(inner.program, self.each(inner))
            piece = interpreted_piece(inner.program)
            made.run = self.whole(piece, made.run)  # type: ignore[method-assign]
            self.remember(inner, made)
        found: Interpreted = self.known[id(inner)][1]
        return found

    def span(self, part: int, begin: int, end: int) -> None:
        if self.current is not None:
            self.current.spans.append((part, begin, end))

    def whole(self, piece: Piece, run: Callable[..., Any]) -> Callable[..., Any]:
        """A run as one event, which the spans inside belong to."""

        def timed_run(*args: Any) -> Any:
            outer = self.current
            self.current = ran = Ran(piece, perf_counter_ns(), thread=threading.get_ident())
            try:
                return run(*args)
            finally:
                ran.end = perf_counter_ns()
                self.current = outer
                self.heard(ran)

        return timed_run

    def each(self, inner: Interpreted) -> Callable[[Call], Any]:
        """What an interpreted program runs its calls by, with the clock around it."""
        numbers = {id(call): number for number, call in enumerate(inner.program.calls)}

        def code_for(call: Call) -> Any:
            code = inner.code_for(call)
            number = numbers[id(call)]

            def run(frame: Any) -> None:
                begin = perf_counter_ns()
                run_call(call, frame) if code is None else code(frame)
                self.span(number, begin, perf_counter_ns())

            return run

        return code_for


# ------------------------------------------------------------------ what programs consist of


def compiled_piece(program: Program, observer: Any) -> Piece:
    """The kernels of a compiled program, and the recorded calls that each does."""
    from flambeau.compiler.estimate import shares
    from flambeau.compiler.origins import origins

    known = origins(program, [thing for _, thing in observer.stages])
    calls = facts_of(program)
    parts = []
    for note in observer.notes:
        cluster = observer.fused.clusters[note.cluster]
        found: dict[int, float] = {}
        for member, share in zip(cluster.members, shares(cluster, observer.fused)):
            number = next((known[o.value] for o in member.call.outs if o.value in known), None)
            if number is not None:
                found[number] = found.get(number, 0.0) + share
        for number, share in found.items():
            calls[number].flops += share * note.operations
        parts.append(Part(note.name, list(found.items()), note.operations, note.bytes))
    return Piece("flambeau::run_compiled", calls, parts)


def interpreted_piece(program: Program) -> Piece:
    """A program that runs call by call: each call is its own part."""
    calls = facts_of(program)
    parts = [Part(facts.name, [(number, 1.0)]) for number, facts in enumerate(calls)]
    return Piece("flambeau::run_call_by_call", calls, parts)


def facts_of(program: Program) -> list[Facts]:
    homes = program.storage_of()
    live = {homes[value] for value in program.live}
    return [
        Facts(
            f"aten::{call.op.name}",
            [list(ref.size) for ref in call.refs()],
            f"{call.source.file}({call.source.line})" if call.source is not None else "",
            sum(o.layout.numel * o.dtype.itemsize for o in call.outs
                if o.over is None and o.value in live),
        )
        for call in program.calls
    ]  # fmt: skip


__all__ = ["Facts", "Part", "Piece", "Ran", "Tracer"]
