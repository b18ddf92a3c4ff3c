"""Emit: clusters become kernels, words and a tape; what has no kernel is a step in Python.

Called by pipeline.py. The frame of a tape: word 0 is 0, word 1 the error record, then an address
for each input, each live result, the arena, each run-time offset that a kernel uses, and the
run-time numbers.
"""

from __future__ import annotations

import ctypes
import re
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from flambeau import interpreter
from flambeau.codegen import loops
from flambeau.codegen.cpu.target import cpu
from flambeau.compiler.fuse import Cluster, Fused, Member, can_fail
from flambeau.compiler.kernels import kernel_of
from flambeau.compiler.memory import plan_memory, rounded
from flambeau.compiler.schedule import Operand, Scalar, Scheduled, Unschedulable, schedule
from flambeau.compiler.verify import verify_memory
from flambeau.ir.failures import exception_of
from flambeau.ir.kernel import words
from flambeau.ir.layout import Layout, Offset
from flambeau.ir.program import POSITIONS, Call, Number, Out, Program, Ref
from flambeau.ir.record import field, record
from flambeau.runtime.buffers import (
    ALIGNMENT,
    Buffer,
    allocate_class,
    free_list,
    part,
    scratch,
    size_class,
)
from flambeau.runtime.threads import Launch, get_num_threads
from flambeau.settings import settings

Word = tuple[int, int]
Run = Callable[..., tuple[Buffer, ...]]
SMALL_RESULT = 256  # bytes up to which live results share a block that lives as long as any of them
SHARED_ARENA = 1 << 20  # bytes up to which programs share the memory of what they keep inside


@record
class Step:
    """What happens at one place of a program: launches, or one call in Python."""

    launches: list[Launch] = field(default_factory=list)
    call: Call | None = None
    clusters: list[int] = field(default_factory=list)  # which one each launch, or the call, is of


@record
class Compiled:
    """A program in machine code. `run` fills the frame, allocates live results, runs the tape."""

    program: Program
    fixed: dict[int, int]  # run-time offsets that were compiled in: index → value
    run: Run
    report: list[Any]


class Emitter:
    """Makes the steps of a program, and the layout of its frame."""

    def __init__(self, fused: Fused, fixed: dict[int, int]) -> None:
        self.fused, self.fixed = fused, fixed
        self.program = fused.program
        self.sizes = storage_bytes(fused)
        self.slots: dict[Any, int] = {}
        self.launch_list: list[tuple[int, Any]] = []
        self.inputs = [i.value for i in self.program.inputs]
        self.live = sorted({fused.homes[v] for v in self.program.live})
        for home in (*self.inputs, *self.live):
            self.slot(("home", home))
        self.slot("arena")
        self.temps: dict[tuple[int, int], int] = {}
        self.steps: list[Step] = []

    def slot(self, key: Any) -> int:
        """The frame word of something; slots 0 and 1 are taken."""
        return self.slots.setdefault(key, len(self.slots) + 2)

    # ---------------------------------------------------------------- planning

    def emit(self) -> Compiled:
        self.begin()
        return self.compiled(self.arena)

    def begin(self) -> None:
        """All but what needs addresses: kernels may still be compiling afterwards."""
        cpu().prepare()
        stored = reaches_memory(self.fused)
        plans = [self.plan(cluster, stored) for cluster in self.fused.clusters]
        self.starts, self.arena = self.place(plans)
        for number, plan in enumerate(plans):
            self.step(number, plan)

    def plan(self, cluster: Cluster, stored: set[int]) -> Any:
        """A cluster's nests, a matmul's plan, or its calls to be interpreted."""
        if cluster.kind in ("map", "reduce"):
            try:
                plan = schedule(cluster, self.fused, stored)
            except Unschedulable:
                return [m.call for m in cluster.members]
            cpu().load_all(entry.nest for entry in plan)  # they compile while more is planned
            return plan
        if cluster.kind == "matmul":
            return product_plan(cluster, self.fused, stored)
        (member,) = cluster.members
        if nothing_to_do(member.call):
            return []
        kernel = kernel_of(member.call.op) if member.call.native() else None
        if kernel is not None:
            made = kernel(member.call, self)
            if made is not None:
                return made
        return [member.call]

    def place(self, plans: list[Any]) -> tuple[dict[Any, int], int]:
        """Arena places of storages that are neither inputs nor live, and of scratch."""
        own = set(self.inputs) | set(self.live)
        first: dict[Any, int] = {}
        last: dict[Any, int] = {}
        sizes: dict[Any, int] = {}
        for number, (cluster, plan) in enumerate(zip(self.fused.clusters, plans)):
            for home in touched_homes(cluster, self.fused):
                if home not in own:
                    first.setdefault(home, number)
                    last[home] = number
                    sizes[home] = self.sizes[home]
            for key, nbytes in scratch_of(plan):
                first[number, key] = last[number, key] = number
                sizes[number, key] = nbytes
        births = sorted(((h, sizes[h], first[h], last[h]) for h in first), key=lambda b: b[2])
        starts, arena = plan_memory(births)
        if settings.check:
            verify_memory(births, starts, arena)
        return starts, arena

    # ---------------------------------------------------------------- words

    def address(self, home: Any, offset: int | Offset, item: int) -> Word:
        """The word that holds an element's address."""
        if isinstance(offset, Offset) and offset.index in self.fixed:
            offset = self.fixed[offset.index]
        if isinstance(offset, Offset):
            base, start = self.base(home)
            slot = self.slot(("moving", base, start, offset.index, item))
            return slot, 0
        slot, start = self.base(home)
        return slot, start + offset * item

    def base(self, home: Any) -> Word:
        slot = self.slots.get(("home", home))
        if slot is not None:
            return slot, 0
        return self.slots["arena"], self.starts[home]

    def number(self, scalar: Scalar) -> Word:
        """The word of a run-time number, or of a constant."""
        floating = scalar.dtype.kind == "f"
        if isinstance(scalar.source, Number):
            return self.slot(("number", scalar.source.index, "d" if floating else "q")), 0
        return 0, bits_of(scalar.source, floating)

    def derived(self, function: Callable[..., Any], numbers: Sequence[Any],
                kind: str = "d") -> Word:  # fmt: skip
        """The word of a function of run-time numbers; it is called whenever the frame is filled."""
        return self.slot(("derived", function, kind, tuple(n.index for n in numbers))), 0

    # ---------------------------------------------------------------- steps

    def step(self, number: int, plan: Any) -> None:
        if isinstance(plan, list):
            for entry in plan:
                if isinstance(entry, Scheduled):
                    self.launch(self.nest_launch(entry, number), number)
                else:
                    self.steps.append(Step(call=entry, clusters=[number]))
            return
        for launch in plan.launches(self, number):
            self.launch(launch, number)

    def launch(self, launch: Launch, number: int) -> None:
        if launch.tasks == 0:
            return
        if not self.steps or self.steps[-1].call is not None:
            self.steps.append(Step())
        self.steps[-1].launches.append(launch)
        self.steps[-1].clusters.append(number)

    def nest_launch(self, scheduled: Scheduled, number: int) -> Launch:
        nest, sizes, operands = scheduled.nest, scheduled.sizes, scheduled.operands
        checked = loops.checking()
        found: list[Word] = []
        for word in words(nest, checked):
            if word.what == "size":
                found.append((0, sizes[word.number]))
            elif word.what == "stride":
                found.append((0, operands[word.number].strides[word.second]))
            elif word.what == "scalar":
                found.append(self.number(scheduled.scalars[word.number]))
            elif word.what == "grain":
                found.append((0, loops.grain(nest, sizes)))
            elif word.what == "chunk":
                found.append((0, loops.chunk(nest, sizes)))
            elif word.what == "error":
                found.append((1, 0))
            elif word.what == "per_thread":
                found.append((0, rounded(operands[word.number].bytes)))
            else:
                found.append(self.pointer(operands[word.number], number, word.number, word.what))
        kernel = cpu().load(nest)
        return Launch(kernel.address, tuple(found), loops.tasks(nest, sizes))

    def pointer(self, operand: Operand, number: int, access: int, what: str) -> Word:
        """Where an operand begins; for checked code, the bounds of its memory."""
        if operand.home is None or operand.home < 0:
            key = ("scratch", access) if operand.home is None else operand.home
            slot, start = self.slots["arena"], self.starts[number, key]
            size = scratch_bytes(operand, access)
        elif what == "pointer":
            return self.address(operand.home, operand.offset, operand.dtype.itemsize)
        else:
            slot, start = self.base(operand.home)
            size = self.sizes.get(operand.home, 0)
            if ("home", operand.home) in self.slots and operand.home in self.inputs:
                slot, start, size = self.slot(("end", operand.home)), 0, 0
                if what == "low":
                    slot = self.slots["home", operand.home]
        return slot, start + (size if what == "high" else 0)

    # ---------------------------------------------------------------- the result

    def compiled(self, arena: int) -> Compiled:
        target = cpu()
        parts: list[Any] = []
        for step in self.steps:
            parts.append(step.call if step.call is not None else target.tape(step.launches))
        run = runner(self, parts, arena)
        return Compiled(self.program, self.fixed, run, self.steps)


def product_plan(cluster: Cluster, fused: Fused, stored: set[int]) -> Any:
    """The plan of a product of matrices, or of one with what the taps of a kernel see."""
    if cluster.members[0].call.op.name in ("mm", "bmm"):
        from flambeau.compiler.products import matmul_plan

        return matmul_plan(cluster, fused, stored)
    from flambeau.compiler.convolutions import PLANS

    return PLANS[cluster.members[0].call.op.name](cluster, fused, stored)


def nothing_to_do(call: Call) -> bool:
    """Whether all results are empty, and nothing else happens."""
    empty = not any(o.layout.numel for o in call.outs)
    return call.op.kind == "structured" and empty and not can_fail(call)


def bits_of(value: Any, floating: bool) -> int:
    """A constant as the 64 bits of a frame word."""
    if floating:
        return int.from_bytes(struct.pack("<d", float(value)), "little", signed=True)
    return int(value)


def touched_homes(cluster: Cluster, fused: Fused) -> set[int]:
    """Every storage whose memory a cluster may touch."""
    homes = set()
    for member in cluster.members:
        for ref, _ in member.reads:
            if ref.value != POSITIONS:
                homes.add(fused.homes[ref.value])
        homes.update(fused.homes[o.value] for o, _ in member.outs)
    return homes


def scratch_of(plan: Any) -> list[tuple[Any, int]]:
    """Memory that a plan needs for itself: per-thread rows, partial results, packed panels."""
    if not isinstance(plan, list):
        return [("packed", plan.scratch)] if plan.scratch else []
    found: list[tuple[Any, int]] = []
    for entry in plan:
        if isinstance(entry, Scheduled):
            for access, operand in enumerate(entry.operands):
                if operand.home is None:
                    found.append((("scratch", access), scratch_bytes(operand, access)))
                elif operand.home < 0 and (operand.home, 0) not in [(f[0], 0) for f in found]:
                    parts = 1 + sum((n - 1) * s for n, s in zip(part_sizes(entry), operand.strides))
                    found.append((operand.home, parts * operand.dtype.itemsize))
    return found


def part_sizes(entry: Scheduled) -> tuple[int, ...]:
    if not entry.nest.mode.startswith("split"):
        return entry.sizes
    parts = loops.chunks(entry.nest, entry.sizes)
    return tuple(parts if n == entry.nest.reduced else s for n, s in enumerate(entry.sizes))


def scratch_bytes(operand: Operand, access: int) -> int:
    return rounded(operand.bytes) * max(get_num_threads(), 1)


def reaches_memory(fused: Fused) -> set[int]:
    """Values that another cluster reads, that are wanted at the end, or that overwrite memory."""
    wanted = {fused.homes[v] for v in fused.program.live}
    stored: set[int] = set()
    maker = {v: c.number for c in fused.clusters for v in c.made}
    for cluster in fused.clusters:
        for member in cluster.members:
            for ref, _ in member.reads:
                if maker.get(ref.value) != cluster.number:
                    stored.add(ref.value)
            for out, _ in member.outs:
                if out.over is not None and maker.get(out.over) != cluster.number:
                    stored.add(out.over)  # elements that are not written over keep its values
                if out.over is not None or member.level == "core" and cluster.kind != "matmul":
                    stored.add(out.value)
                if fused.homes[out.value] in wanted:
                    stored.add(out.value)
    return stored - superseded(fused)


def superseded(fused: Fused) -> set[int]:
    """Values that their own cluster overwrites, element by element, before anybody reads them."""
    gone = set()
    for cluster in fused.clusters:
        for member in cluster.members:
            for out, _ in member.outs:
                if out.over in cluster.made and cluster.kind != "alone":
                    gone.add(out.over)
    return gone


def storage_bytes(fused: Fused) -> dict[int, int]:
    """How long each storage born here is, from the results that made it."""
    sizes: dict[int, int] = {}
    for call in fused.program.calls:
        for out in call.outs:
            if out.over is None:
                sizes[out.value] = out.layout.numel * out.dtype.itemsize
    return sizes


# ------------------------------------------------------------------ running


def runner(emitter: Emitter, parts: list[Any], arena_bytes: int) -> Run:
    """The function that runs a compiled program, written out as source: it runs once a step.

    It takes the inputs' buffers, the run-time numbers and offsets, and a dictionary for what is
    complete when it fails; it answers the memory of the live results.
    """
    slots = emitter.slots
    memory = (ctypes.c_int64 * (len(slots) + 2))()
    error = (ctypes.c_int64 * 8)()
    memory[1] = ctypes.addressof(error)
    kinds = "".join(key[2] if key[0] in ("number", "derived") else "q" for key in slots)
    functions = {f"make{n}": key[1] for n, key in enumerate(slots) if key[0] == "derived"}
    scope: dict[str, Any] = {
        "pack": struct.Struct("<" + kinds).pack_into, "memory": memory, "allocate": allocate_class,
        "new": Buffer.__new__, "Buffer": Buffer, "scratch": scratch,
        "address": ctypes.addressof(memory), "failed": failure(emitter, error),
        "interpret": interpreter_step(emitter),
    }  # fmt: skip
    scope |= functions
    scope |= {f"part{n}": p.run if not isinstance(p, Call) else p for n, p in enumerate(parts)}
    source = "\n".join(run_source(emitter, parts, arena_bytes))
    scope |= {f"free{size}": free_list(int(size)) for size in re.findall(r"free(\d+)", source)}
    exec(compile(source, "<flambeau tape>", "exec"), scope)
    return scope["run"]


def run_source(emitter: Emitter, parts: list[Any], arena_bytes: int) -> list[str]:
    """The lines of `run`."""
    names = {home: f"i{n}" for n, home in enumerate(emitter.inputs)}
    names |= {home: f"r{n}" for n, home in enumerate(emitter.live)}
    lines = ["def run(inputs, numbers, offsets, done):"]
    if emitter.inputs:
        lines.append(f"    {', '.join(names[h] for h in emitter.inputs)}, = inputs")
    lines += allocations(emitter, names, arena_bytes)
    words = [word_source(key, names, emitter, arena_bytes) for key in emitter.slots]
    if words:
        lines.append(f"    pack(memory, 16, {', '.join(words)})")
    python = any(isinstance(p, Call) for p in parts)
    if python:
        lines.append("    known = {" + ", ".join(f"{h}: {n}" for h, n in names.items()) + "}")
    live = ", ".join(names[home] for home in emitter.live)
    for n, one in enumerate(parts):
        if isinstance(one, Call):
            lines.append(f"    interpret({n}, known, arena, numbers, offsets, done)")
        else:
            lines.append(f"    error = part{n}(address)")
            lines.append(f"    if error: raise failed({n}, error - 1, [{live}], done)")
    results = ", ".join(names[emitter.fused.homes[v]] for v in emitter.program.live)
    return [*lines, f"    return ({results}{',' if results else ''})"]


def allocations(emitter: Emitter, names: dict[int, str], arena_bytes: int) -> list[str]:
    """The lines that get memory: small results share a block, as each alone costs more."""
    places, end = {}, 0
    for home in emitter.live:
        if emitter.sizes[home] <= SMALL_RESULT:
            places[home], end = end, end + -(-emitter.sizes[home] // ALIGNMENT) * ALIGNMENT
    shared = places if len(places) > 1 else {}
    lines = [take("small", end), "block, base = small.block, small.address"] if shared else []
    for home in emitter.live:
        name, size = names[home], emitter.sizes[home]
        if home in shared:  # `buffers.part`, written out
            start = places[home]
            lines.append(f"{name} = new(Buffer); {name}.nbytes = {size}; {name}.owner = small; "
                         f"{name}.block = block; {name}.start = {start}; "
                         f"{name}.address = base + {start}")  # fmt: skip
        else:
            lines.append(take(name, size))
    if arena_bytes:
        small = arena_bytes <= SHARED_ARENA
        lines.append(f"arena = scratch({arena_bytes})" if small else take("arena", arena_bytes))
    else:
        lines.append("arena = None")
    return ["    " + line for line in lines]


def take(name: str, nbytes: int) -> str:
    """The line that takes a buffer from the pool."""
    capacity = size_class(nbytes)
    return f"{name} = allocate({nbytes}, {capacity}, free{capacity})"


def word_source(key: Any, names: dict[int, str], emitter: Emitter, arena_bytes: int) -> str:
    """The source of one frame word."""
    if key == "arena":
        return "arena.address" if arena_bytes else "0"
    what = key[0]
    if what == "home":
        return f"{names[key[1]]}.address"
    if what == "end":
        return f"{names[key[1]]}.address + {names[key[1]]}.nbytes"
    if what == "moving":
        _, base, start, index, item = key
        keys = list(emitter.slots)
        origin = word_source(keys[base - 2], names, emitter, arena_bytes)
        return f"{origin} + {start} + offsets[{index}] * {item}"
    if what == "derived":
        given = ", ".join(f"numbers[{index}]" for index in key[3])
        return f"make{emitter.slots[key] - 2}({given})"
    return f"numbers[{key[1]}]"


def arena_places(emitter: Emitter) -> dict[int, tuple[int, int]]:
    """Storages in the arena: home → (start, bytes)."""
    return {
        home: (start, emitter.sizes[home])
        for home, start in emitter.starts.items()
        if isinstance(home, int)
    }


def interpreter_step(emitter: Emitter) -> Callable[..., None]:
    """The function that runs a call without a kernel, in the memory that was planned for it."""
    homes, places = emitter.fused.homes, arena_places(emitter)

    def interpret(number: int, buffers: dict[int, Buffer], arena: Buffer, numbers: Sequence[Any],
                  offsets: Sequence[int], results: dict[int, Buffer]) -> None:  # fmt: skip
        call = emitter.steps[number].call
        assert call is not None
        for ref in call.tensors():
            home = homes[ref.value]
            if home not in buffers:
                start, nbytes = places[home]
                buffers[home] = part(arena, start, nbytes)
        try:
            with np.errstate(all="ignore"):
                interpreter.run_in_place(call, interpreter.Frame(homes, buffers, numbers, offsets))
        except Exception as error:
            done = complete_before(emitter, emitter.steps[number].clusters[0])
            results.update({home: buffers[home] for home in done})
            interpreter.say_where(error, call)
            raise

    return interpret


def failure(emitter: Emitter, record: Any) -> Callable[..., BaseException]:
    """Makes the exception that a kernel's error record stands for, and saves what is complete."""

    def failed(number: int, launch: int, live: list[Buffer],
               results: dict[int, Buffer]) -> BaseException:  # fmt: skip
        error = exception_of(list(record))
        ctypes.memset(record, 0, ctypes.sizeof(record))
        cluster = emitter.steps[number].clusters[launch]
        done = complete_before(emitter, cluster)
        results.update({home: b for home, b in zip(emitter.live, live) if home in done})
        interpreter.say_where(error, culprit(emitter.fused.clusters[cluster]))
        return error

    return failed


def complete_before(emitter: Emitter, number: int) -> set[int]:
    """The live results that are whole before a cluster runs; what it may not touch any more."""
    made = {v: n for n, c in enumerate(emitter.fused.clusters) for v in c.made}
    last = {c.outs[0].value: c.args[0] for c in emitter.program.calls if c.op.kind == "storage"}
    return {home for home in emitter.live if made.get(last.get(home, home), -1) < number}


def culprit(cluster: Cluster) -> Call:
    """The call that an error is about: the first that can fail."""
    calls = [member.call for member in cluster.members]
    return next((c for c in calls if can_fail(c)), calls[0])


__all__ = ["Compiled", "Emitter", "Layout", "Member", "Out", "Ref"]
