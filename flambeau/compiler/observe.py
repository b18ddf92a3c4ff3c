"""What a program became, for people to read: its launches, their kernels, what they should cost.

An `Observer` is an Emitter that takes notes. Used by pipeline.py where FLAMBEAU_SHOW asks for
schedules or code, and by `flambeau explain`; programs that nobody looks at keep none of this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from flambeau.codegen import loops
from flambeau.codegen.cpu.target import cpu
from flambeau.compiler.abreast import groups
from flambeau.compiler.clusters import Fused
from flambeau.compiler.emit import Compiled, Emitter, scratch_of
from flambeau.compiler.estimate import call_bytes, kernel_cost, nest_cost
from flambeau.compiler.reaching import reaches_memory
from flambeau.compiler.running import Run, run_source
from flambeau.compiler.scheduled import Operand, Scheduled
from flambeau.ir.kernel import Nest, Word, words
from flambeau.ir.layout import Offset
from flambeau.ir.program import POSITIONS, Call, Number
from flambeau.ir.record import record
from flambeau.ir.show import WIDTH, folded, layouts_of, show_call, show_nest, show_size
from flambeau.runtime.threads import Launch


@record
class Note:
    """One launch, or one call in Python (then `launch` is None).

    name: of the kernel; text: writes its LLVM IR; operations, bytes: estimates, 0 where unknown.
    """

    cluster: int
    call: Call
    name: str
    launch: Launch | None = None
    text: Callable[[], str] | None = None
    scheduled: Scheduled | None = None
    operations: float = 0.0
    bytes: float = 0.0


class Observer(Emitter):
    """Emits as usual and writes down what each launch is. stages: what each pass made."""

    def __init__(self, fused: Fused, fixed: dict[int, int],
                 stages: Sequence[tuple[str, Any]] = ()) -> None:  # fmt: skip
        super().__init__(fused, fixed)
        self.stages = stages
        self.notes: list[Note] = []
        self.texts: dict[Any, tuple[str, str]] = {}  # address → name and text of a kernel
        self.done: dict[int, int] = {}  # cluster → steps of its product that have launches
        self.scratch: dict[tuple[int, Any], int] = {}  # (cluster, what for) → bytes
        self.arena = 0
        self.run: Run = nothing_emitted
        self.pending: Scheduled | None = None

    def place(self, plans: list[Any]) -> tuple[dict[Any, int], int]:
        self.scratch = {(n, key): size for n, plan in enumerate(plans)
                        for key, size in scratch_of(plan)}  # fmt: skip
        return super().place(plans)

    def step(self, number: int, plan: Any) -> None:
        before = len(self.steps)
        with listening(self.texts):
            super().step(number, plan)
        for step in self.steps[before:]:
            if step.call is not None:
                moved = call_bytes([step.call])
                self.notes.append(Note(number, step.call, "in Python", bytes=moved))

    def nest_launch(self, scheduled: Scheduled, number: int) -> Launch:
        self.pending = scheduled
        return super().nest_launch(scheduled, number)

    def launch(self, launch: Launch, number: int) -> None:
        super().launch(launch, number)
        scheduled, self.pending = self.pending, None
        if launch.tasks == 0:
            return
        cluster = self.fused.clusters[number]
        call = cluster.members[0].call
        note = Note(number, call, "", launch, scheduled=scheduled)
        if scheduled is not None:
            note.name, note.text = nest_code(scheduled.nest)
            note.operations, note.bytes = nest_cost(scheduled)
        else:
            name, text = self.texts[launch.address]
            note.name, note.text = name, lambda: text
            done = self.done.get(number, 0)
            (note.operations, note.bytes), steps = kernel_cost(name, launch, cluster, done)
            self.done[number] = done + steps
        self.notes.append(note)

    def compiled(self, arena: int) -> Compiled:
        self.arena = arena
        made = super().compiled(arena)
        self.run = made.run
        return made


def nothing_emitted(*_: Any) -> Any:
    """What an observer runs before it has emitted anything."""
    raise AssertionError("the program was not emitted")


@contextmanager
def listening(texts: dict[Any, tuple[str, str]]) -> Iterator[None]:
    """Note the text of every kernel that is loaded as text meanwhile."""
    target = cpu()
    load = target.load_text

    def note(text: str, name: str) -> Any:
        kernel = load(text, name)
        texts[kernel.address] = name, text
        return kernel

    target.load_text = note  # type: ignore[method-assign]
    try:
        yield
    finally:
        del target.load_text


def nest_code(nest: Nest) -> tuple[str, Callable[[], str]]:
    """A nest's name, and what writes its IR."""
    name = nest.mode.replace(" ", "_")

    def text() -> str:
        return loops.nest_text(nest, name, cpu().builder, loops.checking())

    return nest.mode, text


# ------------------------------------------------------------------ as text


def chosen(observer: Observer, only: int | None) -> list[tuple[int, Note]]:
    """The launches with their numbers; or the one of this number."""
    return [(n, note) for n, note in enumerate(observer.notes, 1) if only in (None, n)]


def show_schedule(observer: Observer, only: int | None = None) -> str:
    """Every launch, in order: its kernel, its loops, and the memory that it touches."""
    lines: list[str] = []
    program = observer.fused.program
    layouts = layouts_of(program.calls, program.inputs)
    for number, note in chosen(observer, only):
        lines += [f"{number:3}  {launch_line(note)}"]
        if note.scheduled is not None:
            told = {n: place(observer, note.cluster, n, operand)
                    for n, operand in enumerate(note.scheduled.operands)}  # fmt: skip
            text = show_nest(note.scheduled.nest, told).split("\n")
            lines += [f"     {line}" for line in (*text[1:], *scalars(note.scheduled))]
        else:
            members = observer.fused.clusters[note.cluster].members
            lines += [f"       {show_call(member.call, layouts)}" for member in members]
    return "\n".join(part for line in lines for part in folded(line, WIDTH, "       "))


def launch_line(note: Note) -> str:
    """A launch in one line."""
    if note.launch is None:
        return f"{note.name} {note.call.op.name}"
    sizes = f" over {show_size(note.scheduled.sizes)}" if note.scheduled is not None else ""
    tasks = note.launch.tasks
    many = "tasks as the numbers say" if not isinstance(tasks, int) else (
        f"{tasks} task{'s' * (tasks != 1)}")  # fmt: skip
    return f"{note.name}{sizes} · {many} · {len(note.launch.words)} words"


def scalars(scheduled: Scheduled) -> list[str]:
    """What the run-time numbers of a nest are."""
    found = []
    for number, scalar in enumerate(scheduled.scalars):
        source = scalar.source
        text = f"${source.index}" if isinstance(source, Number) else source
        found.append(f"s{number} = {text}")
    return [f"  {', '.join(found)}"] if found else []


def place(observer: Observer, cluster: int, access: int, operand: Operand) -> str:
    """Whose memory an operand is, and how the loops walk through it."""
    if operand.home is None:
        return f"{operand.bytes} bytes for each thread"
    steps = "" if all(s in (0, 1) for s in operand.strides) else f" by {operand.strides}"
    steps += f" in turns {operand.apart} apart" if operand.every == 2 else ""
    offset = "" if operand.offset == 0 else f" from {start_text(operand.offset, observer.fixed)}"
    if operand.home < 0:
        return f"partial result {-1 - operand.home}{steps}"
    return f"%{operand.home}{offset}{steps}{where(observer, operand.home)}"


def start_text(offset: int | Offset, fixed: dict[int, int]) -> str:
    if isinstance(offset, Offset):
        return f"{offset} = {fixed[offset.index]}" if offset.index in fixed else str(offset)
    return str(offset)


def where(observer: Observer, home: int) -> str:
    """An input, a result, or a place in the arena."""
    if home in observer.inputs:
        return ", an input"
    return ", a result" if home in observer.live else f", arena + {observer.starts[home]}"


def show_memory(observer: Observer) -> str:
    """The arena: who lies where."""
    rows = []
    reached = reaches_memory(observer.fused) - {POSITIONS}
    stored = {observer.fused.homes[value] for value in reached}
    for home, start in sorted(observer.starts.items(), key=lambda item: (item[1], str(item[0]))):
        if home in stored:
            rows.append(f"  {start:>9}  %{home}, {observer.sizes[home]} bytes")
        elif not isinstance(home, int):
            rows.append(f"  {start:>9}  scratch of cluster {home[0] + 1}, {observer.scratch[home]} "
                        "bytes")  # fmt: skip
    live = sum(observer.sizes[home] for home in observer.live)
    first = f"arena {observer.arena} bytes; results {live} bytes in {len(observer.live)} buffers"
    return "\n".join([first, *rows])


def show_tape(observer: Observer, only: int | None = None) -> str:
    """What one run does: the function that fills the frame, and the words of each launch."""
    parts = [step.call or step for step in observer.steps]
    lines = run_source(observer, parts, observer.arena) if only is None else []
    for number, note in chosen(observer, only):
        if note.launch is not None:
            lines.append(f"{number:3}  {note.name}: {' · '.join(words_of(note))}")
    lines += at_once(observer) if only is None else []
    return "\n".join(part for line in lines for part in folded(line, WIDTH, "", (", ", " · ")))


def at_once(observer: Observer) -> list[str]:
    """Which launches are one job."""
    lines, number = [], 1
    for step in observer.steps:
        found = groups(observer, step) if step.call is None else []
        lines += [f"at once: {number + n} to {number + n + count - 1}" for n, count in found]
        number += 1 if step.call is not None else len(step.launches)
    return lines


def words_of(note: Note) -> list[str]:
    """The words of a launch, by name where its kernel is a nest."""
    assert note.launch is not None
    texts = [word_text(*word) for word in note.launch.words]
    if note.scheduled is None:
        return texts
    names = [name_of(word) for word in words(note.scheduled.nest, loops.checking())]
    return [f"{name} {text}" for name, text in zip(names, texts)]


def word_text(slot: int, addend: int) -> str:
    """A constant, or a word of the frame and what is added to it."""
    if slot == 0:
        return str(addend)
    return f"frame[{slot}]" + (f"+{addend}" if addend else "")


def name_of(word: Word) -> str:
    """x0, size 0, stride 0/1, s0, …: as in the nest."""
    short = {"pointer": f"x{word.number}", "scalar": f"s{word.number}", "grain": "grain",
             "stride": f"stride {word.number}/{word.second}", "chunk": "chunk",
             "error": "error"}  # fmt: skip
    return short.get(word.what, f"{word.what} {word.number}")


def show_code(observer: Observer, assembly: bool = False, only: int | None = None) -> str:
    """The LLVM IR of each distinct kernel, or this machine's assembly for it."""
    seen: set[Any] = set()
    parts = []
    for number, note in chosen(observer, only):
        if note.launch is None or note.text is None or note.launch.address in seen:
            continue
        seen.add(note.launch.address)
        text = note.text()
        mark = "#" if assembly else ";"
        code = cpu().assembly(text) if assembly else text
        parts.append(f"{mark} kernel {number}: {launch_line(note)}\n{code.strip()}\n")
    return "\n".join(parts)


__all__ = ["Note", "Observer", "show_code", "show_memory", "show_schedule", "show_tape"]
