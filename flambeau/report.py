"""`flambeau explain`'s report: a program after each pass, its kernels, and what they cost."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from flambeau.compiler.observe import (
    Note,
    Observer,
    show_code,
    show_memory,
    show_schedule,
    show_tape,
)
from flambeau.compiler.pipeline import passes
from flambeau.ir.show import show
from flambeau.trace.programs import counters

WIDTH = 120


def report(watch: Any, code: str = "") -> str:
    """Everything about the chosen program, then a line for each of the others.

    code: 'llvm' or 'assembly', to see the kernels as well.
    """
    record = watch.choose()
    if record is None:
        return heading("flambeau explain") + "\n" + nothing(watch)
    observer = record.measured.observer if record.measured else emitted(record)
    parts = [heading("flambeau explain"), title(record, len(watch.records)), *stages(record)]
    parts += [section("schedule", show_schedule(observer))]
    parts += [section("memory", show_memory(observer))]
    parts += [section("tape", show_tape(observer))]
    parts += [section("kernels", kernels(record, observer))]
    if code:
        parts += [section(code, show_code(observer, assembly=code == "assembly"))]
    parts += [section("all programs", overview(watch, record))]
    return "\n".join(parts)


def nothing(watch: Any) -> str:
    """Why there is nothing to see."""
    if not watch.steps:
        return "The program never computed anything with Flambeau."
    return f"There were {watch.steps} steps; --step takes a number up to that."


def emitted(record: Any) -> Observer:
    """The observer of a program that was not measured."""
    from flambeau.cli.watch import observed

    entry = record.entry
    observer = observed(entry)
    observer.emit()
    return observer


def heading(text: str) -> str:
    return f"{'═' * 3} {text} {'═' * (WIDTH - len(text) - 5)}"


def section(name: str, text: str) -> str:
    return f"\n{'─' * 2} {name} {'─' * (WIDTH - len(name) - 4)}\n{text.rstrip()}"


# ------------------------------------------------------------------ the program


def title(record: Any, count: int) -> str:
    """One line of facts: program 7 of 9 · 19 calls · seen 98 times · …"""
    entry = record.entry
    facts = [f"program {record.number} of {count}", f"{len(entry.program.calls)} calls",
             f"seen {times(record.runs)}"]  # fmt: skip
    if record.compiled_at:
        facts.append(f"compiled at sighting {record.compiled_at}")
    else:
        facts.append("ran call by call: what follows is what compiling it would give")
    if record.measured:
        facts.append(f"one run {micro(record.measured.whole)}")
    if record.gaps:
        facts.append(f"comes every {micro(median(record.gaps) * 1e6)}")
    lines = folded(facts)
    if record.problem:
        lines.append(f"could not be measured: {record.problem}")
    elif not record.measured:
        lines.append("not measured; hint: --step N measures the N-th step, whichever it is")
    return "\n".join(lines)


def folded(facts: Iterable[str]) -> list[str]:
    """Facts with dots between them, in lines of WIDTH."""
    lines = [""]
    for fact in facts:
        longer = f"{lines[-1]} · {fact}" if lines[-1] else fact
        if len(longer) > WIDTH:
            lines.append(fact)
        else:
            lines[-1] = longer
    return lines


def stages(record: Any) -> list[str]:
    """The program as it was recorded, and after each pass."""
    text = show(record.entry.program)
    found = [section("recorded", text)]
    for name, thing in passes(record.entry.program):
        after = show(thing)
        found.append(section(name, "as before" if after == text else after))
        text = after
    return found


# ------------------------------------------------------------------ kernels


def kernels(record: Any, observer: Observer) -> str:
    """A line for each launch: what it is, what it should cost, and what it took."""
    measured = record.measured
    taken = measured.times if measured else [None] * len(observer.notes)
    total = sum(t for t in taken if t is not None)
    rows = [["", "kernel", "of", "tasks", "words", "ops", "bytes", "time", "share", "rate"]]
    for number, (note, time) in enumerate(zip(observer.notes, taken), 1):
        costs = [amount(note.operations), amount(note.bytes), *spent(note, time, total)]
        rows.append([str(number), note.name, calls_of(note, observer), *size(note), *costs])
    lines = table(rows, left=(1, 2))
    if measured:
        lines.append("")
        whole = f"the whole run, with its results' memory, {micro(measured.whole)}"
        lines.append(f"launches {micro(total)} one by one; {whole}")
    return "\n".join(lines)


def calls_of(note: Note, observer: Observer) -> str:
    """The ops of a launch, and the line of the first."""
    names = [m.call.op.name for m in observer.fused.clusters[note.cluster].members]
    more = f" +{len(names) - 2}" if len(names) > 2 else ""
    place = ""
    if note.call.source is not None:
        place = f" {os.path.basename(note.call.source.file)}:{note.call.source.line}"
    return ", ".join(names[:2]) + more + place


def size(note: Note) -> list[str]:
    """Tasks and words of a launch."""
    if note.launch is None:
        return ["", ""]
    tasks = note.launch.tasks
    return [str(tasks) if isinstance(tasks, int) else "varies", str(len(note.launch.words))]


def spent(note: Note, time: float | None, total: float) -> list[str]:
    """Time, share of the whole, and rate of one launch."""
    if time is None:
        return ["", "", ""]
    share = f"{100 * time / total:.0f} %" if total else ""
    if not time:
        return [micro(time), share, ""]
    dense = note.operations > 4 * note.bytes
    rate = f"{note.operations / time / 1e3:.3g} GFLOP/s" if dense else (
        f"{note.bytes / time / 1e3:.3g} GB/s" if note.bytes else "")  # fmt: skip
    return [micro(time), share, rate]


# ------------------------------------------------------------------ all programs


def overview(watch: Any, chosen: Any) -> str:
    """A line for each program, the dearest first, and the counters."""
    records = sorted(watch.records.values(), key=lambda record: -record.spent)
    rows = [["", "program", "calls", "seen", "tier", "one run", "first call at"]]
    for record in records[:12]:
        tier = f"compiled at {record.compiled_at}" if record.compiled_at else "call by call"
        one = micro(record.measured.whole) if record.measured else ""
        rows.append(["→" if record is chosen else "", str(record.number),
                     str(len(record.entry.program.calls)), str(record.runs), tier, one,
                     place_of(record)])  # fmt: skip
    lines = table(rows, left=(4, 6))
    if len(records) > 12:
        lines.append(f"… and {len(records) - 12} more")
    c = counters
    lines += ["", f"{c.flushes} flushes · {c.programs} programs, {c.compiled} compiled · "
              f"{c.replayed} runs compiled, {c.interpreted} call by call"]  # fmt: skip
    return "\n".join(lines)


def place_of(record: Any) -> str:
    """The user's line of a program's first call."""
    source = next((c.source for c in record.entry.program.calls if c.source is not None), None)
    return f"{os.path.basename(source.file)}:{source.line}" if source else ""


# ------------------------------------------------------------------ text


def table(rows: Sequence[Sequence[str]], left: Sequence[int]) -> list[str]:
    """Rows in columns; numbers to the right, the columns `left` to the left."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [
        "  ".join(f"{cell:{width}}" if n in left else f"{cell:>{width}}"
                  for n, (cell, width) in enumerate(zip(row, widths))).rstrip()
        for row in rows
    ]  # fmt: skip


def times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"


def micro(value: float) -> str:
    """A time in µs, as one reads it."""
    if value >= 1e6:
        return f"{value / 1e6:.2f} s"
    return f"{value / 1e3:.2f} ms" if value >= 1e3 else f"{value:.1f} µs"


def amount(value: float) -> str:
    """12.8 k, 3.1 M; nothing for 0."""
    for bound, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= bound:
            return f"{value / bound:.1f}{unit}"
    return f"{value:.0f}" if value else ""
