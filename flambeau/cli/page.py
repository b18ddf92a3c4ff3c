"""`flambeau explain --html`: the story of a run as one page, in one file that needs nothing else.

At the left the user's lines, each with what it took; at the right what became of them. A click on a
line marks its calls and its kernels, a click on a kernel opens it. Without scripts the page shows
everything, one thing below the other.
"""

from __future__ import annotations

import html
import linecache
import os
from collections.abc import Iterable
from operator import index

from flambeau import report
from flambeau.cli.page_style import SCRIPT, STYLE
from flambeau.cli.picture import memory_picture, sized
from flambeau.cli.story import Story, brief_place, tell
from flambeau.cli.watch import Watch
from flambeau.compiler.clusters import Fused
from flambeau.compiler.observe import show_code, show_memory, show_schedule, show_tape
from flambeau.ir.program import Call, Program, Source
from flambeau.ir.show import show, show_call, show_fused
from flambeau.torch_version import __version__

MOST_PROGRAMS = 3  # that are shown in full
AROUND = 3  # lines shown before and after one with calls
MOST_CODE = 200_000  # characters of a kernel's code in the page

# What each view shows, for somebody who sees it for the first time.
VIEWS = {
    "recorded": "The calls that the program made, in order. Nothing ran while they were recorded: "
    "%3 names a value, “over %2” the next value of the same memory, $0 a Python number told at run "
    "time, @0 where a view begins. “live” are the results that somebody can still ask for.",
    "expand": "Calls that stand for several others become those: a softmax its exponentials and "
    "sums, an optimizer's step its additions.",
    "lower": "Calls that move or pick elements become elementwise ones over other layouts, so that "
    "they can join their neighbours.",
    "simplify": "What nobody needs is gone, what was there twice is there once, and constants are "
    "known.",
    "fuse": "Calls that walk over the same elements are one cluster, and will be one loop.",
    "schedule": "Each cluster as loops: what it reads (x0, x1, …), and what it does to an element.",
    "memory": "Results that do not outlive the run share one block of memory, the arena. A box is "
    "a result: across runs the time, a column for each cluster; down, its place in the arena. Pale "
    "ones have a place and never need it: their cluster keeps them in registers.",
    "tape": "All the Python that one run needs: it finds memory, fills in addresses, and starts "
    "the kernels, which one native loop runs one after the other.",
}  # fmt: skip


def page(watch: Watch) -> str:
    """The whole page."""
    records = [r for r in watch.dearest() if r.measured is not None][:MOST_PROGRAMS]
    if watch.step is not None or not records:
        chosen = watch.choose()
        records = [chosen] if chosen is not None else []
    stories = [tell(record) for record in records]
    body = [program(watch, n, story) for n, story in enumerate(stories)]
    if not stories:
        body = [f"<p>{text(report.nothing(watch))}</p>"]
    return "\n".join([
        "<!DOCTYPE html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        "<title>flambeau explain</title>", f"<style>{STYLE}</style>", "</head>", "<body>",
        f"<header><h1>flambeau explain</h1>{chooser(stories)}</header>", *body,
        f"<footer>{text(report.counted())} · Flambeau {text(__version__)}</footer>",
        f"<script>{SCRIPT}</script>", "</body>", "</html>", "",
    ])  # fmt: skip


def chooser(stories: list[Story]) -> str:
    """A button for each program, where there are several."""
    if len(stories) < 2:
        return ""
    buttons = [
        f'<button type="button" data-program="{n}"{current(n == 0)}>program '
        f"{story.record.number} · {text(report.micro(story.record.spent))}</button>"
        for n, story in enumerate(stories)
    ]
    return f'<nav class="programs">{"".join(buttons)}</nav>'


def program(watch: Watch, number: int, story: Story) -> str:
    """One program: its lines, its kernels, its passes."""
    facts = " · ".join(report.facts(story.record, len(watch.records)))
    problem = f"<p>{text(story.record.problem)}</p>" if story.record.problem else ""
    parts = [kernels_view(story), *passes_views(story), overview(watch, story)]
    names = ["kernels", *VIEWS, "all programs"]
    tabs = "".join(f'<button type="button" data-view="{name}"{current(n == 0)}>{name}</button>'
                   for n, name in enumerate(names))  # fmt: skip
    views = "".join(
        f'<section class="view" data-view="{name}"><h2>{name}</h2>{part}</section>'
        for name, part in zip(names, parts)
    )
    return (f'<main class="program" data-program="{number}"><p class="facts">{text(facts)}</p>'
            f'{problem}<div class="columns"><div class="lines"><h2>your lines</h2>{lines(story)}'
            f'</div><div class="views"><nav class="tabs">{tabs}</nav>{views}</div></div>'
            "</main>")  # fmt: skip


# ------------------------------------------------------------------ the user's lines


def lines(story: Story) -> str:
    """The user's files, as far as calls came from them."""
    calls = story.lines()
    files: dict[str, dict[int, list[int]]] = {}
    for source, numbers in calls.items():
        if source is not None:
            files.setdefault(source.file, {})[source.line] = numbers
    whole = sum(story.time_of.values())
    parts = [file_lines(story, name, places, whole) for name, places in files.items()]
    if None in calls:
        parts.append("<p>Some calls have no line: they were made by Flambeau itself.</p>")
    return "".join(parts)


def file_lines(story: Story, name: str, places: dict[int, list[int]], whole: float) -> str:
    """The lines of one file that recorded something, and what stands around them."""
    content = linecache.getlines(name) or linecache.getlines(os.path.abspath(name))
    shown = {n for line in places for n in range(line - AROUND, line + AROUND + 1)}
    shown = {n for n in shown if 1 <= n <= max(len(content), max(places))}
    rows, before = [], 0
    for n in sorted(shown):
        if before and n > before + 1:
            rows.append('<li class="gap">⋮</li>')
        before = n
        code = content[n - 1].rstrip("\n") if n <= len(content) else ""
        rows.append(line(story, n, code, places.get(n), whole))
    return f"<h3>{text(os.path.basename(name))}</h3><ol class=\"code\">{''.join(rows)}</ol>"


def line(story: Story, number: int, code: str, calls: list[int] | None, whole: float) -> str:
    """One line; one that recorded calls can be clicked."""
    inside = f'<span class="n">{number}</span><code>{text(code) or " "}</code>'
    if calls is None:
        return f"<li>{inside}</li>"
    kernels = sorted({k for call in calls for k in story.kernels_of.get(call, [])})
    time = sum(story.time_of.get(call, 0.0) for call in calls)
    share = 100 * time / whole if whole else 0.0
    cost = f'<span class="t">{report.micro(time)}</span>' if story.record.measured else ""
    return (f'<li class="made" tabindex="0" role="button" data-calls="{joined(calls)}" '
            f'data-kernels="{joined(kernels)}" style="--share:{share:.1f}%">{inside}{cost}</li>'
            )  # fmt: skip


# ------------------------------------------------------------------ kernels


def kernels_view(story: Story) -> str:
    """The kernels, the dearest first, each with all that belongs to it."""
    order = sorted(range(len(story.notes)), key=lambda n: -(story.costs[n].time or 0.0))
    most = max((cost.time or 0.0 for cost in story.costs), default=0.0)
    foot = [f"<p>{text(line)}</p>" for line in report.sums(story)]
    words = ("Each kernel is one loop nest in machine code; the number is its place in the "
             "program, the bar its time. “of peak” compares that with the least time that its "
             "arithmetic (ari) or its memory traffic (mem) could take here.")  # fmt: skip
    head = "".join(f"<span>{name}</span>" for name in
                   ("", "kernel", "over", "does", "ops", "bytes", "time", "rate", "of peak"))
    return (f'<p class="words">{words}</p><div class="row head">{head}</div>'
            + "".join(kernel(story, n, most) for n in order) + "".join(foot))  # fmt: skip


def kernel(story: Story, number: int, most: float) -> str:
    """One kernel: a row, and below it its calls, loops and code."""
    cost, calls = story.costs[number], story.calls_of(number)
    cells = report.kernel_row(story, number)
    shown = [cells[0], cells[1], report.domain(story, number), report.calls_in(story, number),
             *cells[4:7], cells[8], cells[9]]  # fmt: skip
    row = "".join(f"<span>{text(cell)}</span>" for cell in shown)
    bar = 100 * (cost.time or 0.0) / most if most else 0.0
    return (f'<details class="kernel" data-kernel="{number}" data-calls="{joined(calls)}" '
            f'style="--bar:{bar:.1f}%"><summary class="row">{row}</summary>'
            f'{inside_kernel(story, number)}</details>')  # fmt: skip


def inside_kernel(story: Story, number: int) -> str:
    """What a kernel does, from its calls to its instructions."""
    members = story.members(number)
    note, observer = story.notes[number], story.observer
    parts = ["<h4>calls</h4>", pre(show_call(call) + place_words(call.source) for call in members),
             "<h4>loops</h4>", pre([show_schedule(observer, number + 1)])]  # fmt: skip
    if note.launch is not None:
        parts += ["<h4>words on the tape</h4>", pre([show_tape(observer, number + 1)])]
        parts += code_views(story, number)
    return f'<div class="inside">{"".join(parts)}</div>'


def code_views(story: Story, number: int) -> list[str]:
    """A kernel as LLVM IR and as assembly; where launches share one, at the first of them."""
    addresses = [index(note.launch.address) if note.launch else 0 for note in story.notes]
    first = addresses.index(addresses[number])
    if first != number:
        return [f"<p>The code is that of kernel {first + 1}.</p>"]
    found = []
    for name, assembly in (("LLVM IR", False), ("assembly", True)):
        code = show_code(story.observer, assembly=assembly, only=number + 1)
        if len(code) > MOST_CODE:
            code = code[:MOST_CODE] + "\n… (cut here)"
        found.append(f"<details><summary>{name}, {sized(len(code))}</summary>{pre([code])}"
                     "</details>")  # fmt: skip
    return found


# ------------------------------------------------------------------ passes


def passes_views(story: Story) -> list[str]:
    """What each of VIEWS shows, in their order."""
    observer = story.observer
    shown = {"recorded": marked(story, story.program)}
    before = show(story.program)
    for name, thing in story.observer.stages:
        after = show(thing)
        shown[name] = '<p class="same">as before</p>' if after == before else (
            marked_clusters(story, thing) if name == "fuse" else marked(story, thing))  # fmt: skip
        before = after
    shown["schedule"] = pre([show_schedule(observer)])
    shown["memory"] = memory_picture(observer) + pre([show_memory(observer)])
    shown["tape"] = pre([show_tape(observer)])
    return [f'<p class="words">{text(words)}</p>{shown[name]}' for name, words in VIEWS.items()]


def marked(story: Story, thing: Program) -> str:
    """A program in which each call knows the recorded call that it is a part of."""
    calls = {show_call_lines(call): call for call in thing.calls}
    return listing(story, show(thing), calls)


def marked_clusters(story: Story, fused: Fused) -> str:
    """The same for clusters."""
    calls = {show_call_lines(m.call): m.call for c in fused.clusters for m in c.members}
    return listing(story, show_fused(fused), calls)


def show_call_lines(call: Call) -> str:
    """How the line of a call begins: with its first result."""
    return f"%{call.outs[0].value} " if call.outs else f"{call.op.name}("


def listing(story: Story, shown: str, calls: dict[str, Call]) -> str:
    """Text, a line each; those of calls carry the number of the recorded call."""
    rows, number = [], None
    for row in shown.split("\n"):
        begin = row.lstrip()
        call = calls.get(begin[: begin.find(" ") + 1]) if begin.startswith("%") else None
        if call is not None:
            number = story.origin(call)
        elif not row.startswith("        "):  # neither a call nor the rest of one
            number = None
        mark = f' data-call="{number}"' if number is not None else ""
        rows.append(f"<span{mark}>{text(row)}</span>")
    return "<pre>" + "\n".join(rows) + "</pre>"


# ------------------------------------------------------------------ small things


def overview(watch: Watch, story: Story) -> str:
    words = "Every stretch of calls that ran together is a program; the dearest come first."
    return f'<p class="words">{words}</p>{pre([report.overview(watch, story.record)])}'


def pre(rows: Iterable[str]) -> str:
    return f"<pre>{text(chr(10).join(rows))}</pre>"


def place_words(source: Source | None) -> str:
    return f"    {brief_place(source)}" if source is not None else ""


def joined(numbers: Iterable[int]) -> str:
    return " ".join(map(str, numbers))


def current(yes: bool) -> str:
    return ' aria-pressed="true"' if yes else ' aria-pressed="false"'


def text(raw: str) -> str:
    """Any text, safe inside the page; what stands for no character is shown as such."""
    return html.escape(raw.encode("utf-8", "backslashreplace").decode(), quote=True)


__all__ = ["page"]
