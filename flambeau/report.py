"""`flambeau explain`'s report as text: a program after each pass, its kernels, what they cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from flambeau.cli.story import Story, brief_place, code_line, tell
from flambeau.cli.watch import Record, Watch
from flambeau.compiler.estimate import steps_of
from flambeau.compiler.observe import (
    Note,
    show_code,
    show_memory,
    show_schedule,
    show_tape,
)
from flambeau.ir.show import show, show_call, with_source
from flambeau.trace.programs import counters

WIDTH = 120
MOST_PROGRAMS = 12  # that the overview lists


def report(watch: Watch, code: str = "", kernel: int | None = None) -> str:
    """Everything about the chosen program, then a line for each of the others.

    code: 'llvm' or 'assembly', to see the kernels as well. kernel: only the one of this number.
    """
    record = watch.choose()
    if record is None:
        return heading("flambeau explain") + "\n" + nothing(watch)
    story = tell(record)
    parts = [heading("flambeau explain"), title(record, len(watch.records))]
    if kernel is not None:
        return "\n".join([*parts, *one_kernel(story, kernel, code)])
    parts += [section(name, text) for name, text in sections(story)]
    if code:
        parts += [section(code, show_code(story.observer, assembly=code == "assembly"))]
    parts += [section("all programs", overview(watch, record))]
    return "\n".join(parts)


def nothing(watch: Watch) -> str:
    """Why there is nothing to see."""
    if not watch.steps:
        return "The program never computed anything with Flambeau."
    return f"There were {watch.steps} steps; --step takes a number up to that."


def heading(text: str) -> str:
    return f"{'═' * 3} {text} {'═' * (WIDTH - len(text) - 5)}"


def section(name: str, text: str) -> str:
    return f"\n{'─' * 2} {name} {'─' * (WIDTH - len(name) - 4)}\n{text.rstrip()}"


def sections(story: Story) -> list[tuple[str, str]]:
    """The program as it was recorded, line by line, after each pass, and as kernels."""
    text = show(story.program)
    found = [("recorded", text), ("lines", "\n".join(lines(story)))]
    for name, thing in story.observer.stages:
        after = show(thing)
        found.append((name, "as before" if after == text else after))
        text = after
    observer = story.observer
    return [*found, ("schedule", show_schedule(observer)), ("memory", show_memory(observer)),
            ("tape", show_tape(observer)), ("kernels", kernels(story))]  # fmt: skip


# ------------------------------------------------------------------ the program


def title(record: Record, count: int) -> str:
    """One line of facts: program 7 of 9 · 19 calls · seen 98 times · …"""
    lines = folded(facts(record, count))
    if record.problem:
        lines.append(f"could not be measured: {record.problem}")
    elif not record.measured:
        lines.append("not measured; hint: --step N measures the N-th step, whichever it is")
    return "\n".join(lines)


def facts(record: Record, count: int) -> list[str]:
    """What is to be said first."""
    found = [f"program {record.number} of {count}", f"{len(record.entry.program.calls)} calls",
             f"seen {times(record.runs)}"]  # fmt: skip
    if record.compiled_at:
        found.append(f"compiled at sighting {record.compiled_at}")
    else:
        found.append("ran call by call: what follows is what compiling it would give")
    if record.measured:
        found.append(f"one run {micro(record.measured.whole)}")
    if record.gaps:
        found.append(f"comes every {micro(median(record.gaps) * 1e6)}")
    return found


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


def lines(story: Story) -> list[str]:
    """The user's lines, the calls that each recorded, and the kernels that do them."""
    found = []
    for source, calls in story.lines().items():
        head = f"{brief_place(source)}  {code_line(source)}"
        time = sum(story.time_of.get(number, 0.0) for number in calls)
        cost = micro(time) if story.record.measured else ""
        found.append(f"{cut(head, WIDTH - len(cost) - 2):{WIDTH - 10}}{cost:>10}")
        for words, names in together(story, calls):
            found += wrapped(f"    {words}: ", names)
    return [line.rstrip() for line in found]


def together(story: Story, calls: Sequence[int]) -> list[tuple[str, list[str]]]:
    """Calls that became the same kernels, or met the same fate."""
    groups: dict[str, list[str]] = {}
    for number in calls:
        kernels = story.kernels_of.get(number)
        words = story.fate(number) if kernels is None else (
            f"kernel{'s' * (len(kernels) > 1)} {listed([k + 1 for k in kernels])}")  # fmt: skip
        groups.setdefault(words, []).append(story.program.calls[number].op.name)
    return list(groups.items())


def listed(numbers: Sequence[int]) -> str:
    """1, 2, 5-9: runs of three and more are drawn together."""
    runs: list[list[int]] = []
    for n in numbers:
        if runs and n == runs[-1][-1] + 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 2 else ", ".join(map(str, run))
                     for run in runs)  # fmt: skip


def wrapped(label: str, words: Sequence[str]) -> list[str]:
    """Words after a label, with commas between them, in lines of WIDTH."""
    found = [label]
    for n, word in enumerate(words):
        more = word + ", " * (n + 1 < len(words))
        if len(found[-1]) + len(more.rstrip()) > WIDTH:
            found.append(" " * 8)
        found[-1] += more
    return found


def cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


# ------------------------------------------------------------------ kernels


HEAD = ["", "kernel", "over", "of", "ops", "bytes", "time", "share", "rate", "of peak"]


def kernels(story: Story) -> str:
    """A line for each launch: what it is, what it should cost, and what it took."""
    rows = [HEAD, *(kernel_row(story, number) for number in range(len(story.notes)))]
    return "\n".join([*fitting(rows), "", *sums(story)]).rstrip()


def fitting(rows: Sequence[Sequence[str]]) -> list[str]:
    """A table of kernels; what they do is cut so that lines have WIDTH."""
    excess = max(map(len, table(rows, left=(1, 2, 3)))) - WIDTH
    if excess > 0:
        width = max(max(len(row[3]) for row in rows) - excess, 10)
        rows = [[*row[:3], cut(row[3], width), *row[4:]] for row in rows]
    return table(rows, left=(1, 2, 3))


def sums(story: Story) -> list[str]:
    """What is said below the kernels."""
    found = []
    measured = story.record.measured
    if measured:
        whole = f"the whole run, with its results' memory, {micro(measured.whole)}"
        found.append(f"launches {micro(sum(measured.times))} one by one; {whole}")
    return [*found, peak_line(story)] if story.peak else found


def peak_line(story: Story) -> str:
    """What '100 % of peak' means here."""
    assert story.peak is not None
    least, most = min(story.peak.bandwidth), max(story.peak.bandwidth)
    memory = " to ".join(f"{story.peak.bandwidth[size] / 1e9:.3g}" for size in (most, least))
    return (f"peak: {story.peak.operations / 1e9:.3g} GFLOP/s (ari: a product), {memory} GB/s "
            f"(mem: copies of {most >> 20} MB to {least >> 10} KB), measured just now")  # fmt: skip


def kernel_row(story: Story, number: int) -> list[str]:
    """The cells of one launch."""
    note, cost = story.notes[number], story.costs[number]
    costs = [amount(note.operations), amount(note.bytes), *spent(story, number)]
    peak = "" if cost.of_peak is None else f"{cost.of_peak:.0f} % {cost.bound[:3]}"
    return [str(number + 1), cut(note.name, 18), cut(domain(story, number), 18),
            calls_in(story, number), *costs, peak]  # fmt: skip


def domain(story: Story, number: int) -> str:
    """The sizes of the loops: 64×10, and of a product also its steps: 64×10×20."""
    note = story.notes[number]
    cluster = story.observer.fused.clusters[note.cluster]
    sizes = tuple(note.scheduled.sizes if note.scheduled is not None else cluster.domain)
    if cluster.kind == "matmul":
        sizes = (*cluster.domain, steps_of(story.members(number)[0]))
    return "×".join(map(str, sizes)) or "1"


def calls_in(story: Story, number: int) -> str:
    """The ops of a launch, and the line of the first."""
    calls = story.members(number)
    names = [call.op.name for call in calls]
    more = f" +{len(names) - 2}" if len(names) > 2 else ""
    first = next((call.source for call in calls if call.source is not None), None)
    return ", ".join(names[:2]) + more + (f" {brief_place(first)}" if first else "")


def spent(story: Story, number: int) -> list[str]:
    """Time, share of the whole, and rate of one launch."""
    note, cost = story.notes[number], story.costs[number]
    if cost.time is None:
        return ["", "", ""]
    share = f"{cost.share:.0f} %"
    return [micro(cost.time), share, rate(note, cost.time)]


def rate(note: Note, time: float) -> str:
    """Operations or bytes a second, whichever the launch has many of."""
    if not time:
        return ""
    if note.operations > 4 * note.bytes:
        return f"{note.operations / time / 1e3:.3g} GFLOP/s"
    return f"{note.bytes / time / 1e3:.3g} GB/s" if note.bytes else ""


def one_kernel(story: Story, number: int, code: str) -> list[str]:
    """All about the kernel of this number, which counts from 1."""
    if not 1 <= number <= len(story.notes):
        return [f"There are {len(story.notes)} kernels; --kernel takes a number up to that."]
    rows = fitting([HEAD, kernel_row(story, number - 1)])
    calls = [with_source(show_call(call), call) for call in story.members(number - 1)]
    found = [section(f"kernel {number}", "\n".join(rows)), section("calls", "\n".join(calls))]
    observer = story.observer
    found.append(section("schedule", show_schedule(observer, number)))
    found.append(section("words", show_tape(observer, number)))
    if code:
        text = show_code(observer, assembly=code == "assembly", only=number)
        found.append(section(code, text or "this call runs in Python: it has no kernel"))
    return found


# ------------------------------------------------------------------ all programs


def overview(watch: Watch, chosen: Any) -> str:
    """A line for each program, the dearest first, and the counters."""
    records = watch.dearest()
    rows = [["", "program", "calls", "seen", "tier", "one run", "first call at"]]
    for record in records[:MOST_PROGRAMS]:
        rows.append(["→" if record is chosen else "", *program_row(record)])
    found = table(rows, left=(4, 6))
    if len(records) > MOST_PROGRAMS:
        found.append(f"… and {len(records) - MOST_PROGRAMS} more")
    return "\n".join([*found, "", counted()])


def program_row(record: Record) -> list[str]:
    """The cells of one program."""
    tier = f"compiled at {record.compiled_at}" if record.compiled_at else "call by call"
    one = micro(record.measured.whole) if record.measured else ""
    calls = record.entry.program.calls
    first = next((call.source for call in calls if call.source is not None), None)
    return [str(record.number), str(len(calls)), str(record.runs), tier, one,
            brief_place(first) if first else ""]  # fmt: skip


def counted() -> str:
    c = counters
    return (f"{c.flushes} flushes · {c.programs} programs, {c.compiled} compiled · "
            f"{c.replayed} runs compiled, {c.interpreted} call by call")  # fmt: skip


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


__all__ = ["report"]
