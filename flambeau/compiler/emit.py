"""Emit: scheduled clusters become kernels, words and a tape; what has no kernel is a step in Python.

Called by pipeline.py. The frame of a tape: word 0 is 0, word 1 the error record, then an address for each
input, each live result, the arena, each run-time offset that a kernel uses, and the run-time numbers.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from flambeau import interpreter
from flambeau.codegen import loops
from flambeau.codegen.cpu.target import cpu
from flambeau.compiler.fuse import Cluster, Fused, Member
from flambeau.compiler.memory import plan_memory, rounded
from flambeau.compiler.schedule import Operand, Scalar, Scheduled, Unschedulable, schedule
from flambeau.ir.kernel import words
from flambeau.ir.layout import Layout, Offset
from flambeau.ir.program import Call, Number, Out, Program, Ref
from flambeau.runtime.buffers import Buffer, allocate
from flambeau.runtime.threads import Launch, get_num_threads

Word = tuple[int, int]
MOST_THREADS = 256


@dataclass(slots=True)
class Step:
    """What happens at one place of a program: launches, or one call in Python."""

    launches: list[Launch] = field(default_factory=list)
    call: Call | None = None


@dataclass(slots=True)
class Compiled:
    """A program in machine code. `run` fills the frame, allocates live results, runs the tape."""

    program: Program
    fixed: dict[int, int]  # run-time offsets that were compiled in: index → value
    run: Callable[..., None]
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
        stored = reaches_memory(self.fused)
        plans = [self.plan(cluster, stored) for cluster in self.fused.clusters]
        starts, arena = self.place(plans)
        self.starts = starts
        for number, plan in enumerate(plans):
            self.step(number, plan)
        return self.compiled(arena)

    def plan(self, cluster: Cluster, stored: set[int]) -> Any:
        """A cluster's nests, a matmul's plan, or its calls to be interpreted."""
        if cluster.kind in ("map", "reduce"):
            try:
                return schedule(cluster, self.fused, stored)
            except Unschedulable:
                return [m.call for m in cluster.members]
        if cluster.kind == "matmul":
            from flambeau.compiler.products import matmul_plan

            return matmul_plan(cluster, self.fused, stored)
        (member,) = cluster.members
        kernel = member.call.op.kernel
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
        return plan_memory(births)

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

    # ---------------------------------------------------------------- steps

    def step(self, number: int, plan: Any) -> None:
        if isinstance(plan, list):
            for entry in plan:
                if isinstance(entry, Scheduled):
                    self.launch(self.nest_launch(entry, number))
                else:
                    self.steps.append(Step(call=entry))
            return
        for launch in plan.launches(self, number):
            self.launch(launch)

    def launch(self, launch: Launch) -> None:
        if launch.tasks == 0:
            return
        if not self.steps or self.steps[-1].call is not None:
            self.steps.append(Step())
        self.steps[-1].launches.append(launch)

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
            size = self.sizes[operand.home]
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
            if ref.value not in fused.constants or ref.value in fused.homes:
                homes.add(fused.homes[ref.value])
        homes.update(fused.homes[o.value] for o, _ in member.outs)
    return homes


def scratch_of(plan: Any) -> list[tuple[Any, int]]:
    """Memory that a plan needs for itself: per-thread rows, partial results, packed panels."""
    if not isinstance(plan, list):
        return [("packed", plan.scratch)] if plan.scratch else []
    found = []
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
    """Values that some other cluster reads, that are wanted at the end, or that overwrite memory."""
    wanted = {fused.homes[v] for v in fused.program.live}
    final: dict[int, int] = {}
    stored: set[int] = set()
    maker = {v: c.number for c in fused.clusters for v in c.made}
    for cluster in fused.clusters:
        for member in cluster.members:
            for ref, _ in member.reads:
                if maker.get(ref.value) != cluster.number:
                    stored.add(ref.value)
            for out, _ in member.outs:
                final[fused.homes[out.value]] = out.value
                if member.level == "core" or out.over is not None:
                    stored.add(out.value)
                if fused.homes[out.value] in wanted:
                    stored.add(out.value)
    return stored - superseded(fused)


def superseded(fused: Fused) -> set[int]:
    """Values that the same cluster overwrites at the same elements before anybody else reads them."""
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


def runner(emitter: Emitter, parts: list[Any], arena_bytes: int) -> Callable[..., None]:
    """The function that runs a compiled program; everything it needs is looked up here, once."""
    program, slots = emitter.program, emitter.slots
    count = len(slots) + 2
    memory = (ctypes.c_int64 * count)()
    address = ctypes.addressof(memory)
    error = (ctypes.c_int64 * 8)()
    live = [(home, emitter.sizes[home], slots["home", home]) for home in emitter.live]
    inputs = [(slots["home", i.value], i.value) for i in program.inputs]
    ends = [(slot, key[1]) for key, slot in slots.items() if key[0] == "end"]
    moving = [(slot, *key[1:]) for key, slot in slots.items() if key[0] == "moving"]
    numbers = [(slot, key[1], key[2]) for key, slot in slots.items() if key[0] == "number"]
    memory[1] = ctypes.addressof(error)
    homes = emitter.fused.homes
    places = arena_places(emitter)

    def run(buffers_in: Sequence[Buffer], values: Sequence[Any], offsets: Sequence[int],
            buffers: dict[int, Buffer]) -> None:  # fmt: skip
        for (slot, home), buffer in zip(inputs, buffers_in):
            memory[slot] = buffer.address
            buffers[home] = buffer
        for home, nbytes, slot in live:
            buffer = buffers[home] = allocate(nbytes)
            memory[slot] = buffer.address
        arena = allocate(arena_bytes)
        memory[slots["arena"]] = arena.address
        for slot, home in ends:
            memory[slot] = buffers[home].address + buffers[home].nbytes
        for slot, base, start, index, item in moving:
            memory[slot] = memory[base] + start + offsets[index] * item
        for slot, index, kind in numbers:
            memory[slot] = bits_of(values[index], kind == "d")
        for part in parts:
            if isinstance(part, Call):
                interpret(part, homes, buffers, arena, places, values, offsets)
            elif part.run(address):
                raise_error(emitter, error)

    return run


def arena_places(emitter: Emitter) -> dict[int, tuple[int, int]]:
    """Storages in the arena: home → (start, bytes)."""
    return {
        home: (start, emitter.sizes[home])
        for home, start in emitter.starts.items()
        if isinstance(home, int)
    }


def interpret(call: Call, homes: dict[int, int], buffers: dict[int, Buffer], arena: Buffer,
              places: dict[int, tuple[int, int]], values: Sequence[Any],
              offsets: Sequence[int]) -> None:  # fmt: skip
    """A step without a kernel: by its NumPy meaning, in the memory that was planned for it."""
    for ref in (*call.refs(), *call.outs):
        home = homes[ref.value]
        if home not in buffers:
            start, nbytes = places[home]
            buffers[home] = part_of(arena, start, nbytes)
    frame = interpreter.Frame(homes, buffers, list(values), list(offsets))
    interpreter.run_in_place(call, frame)


def part_of(arena: Buffer, start: int, nbytes: int) -> Buffer:
    part = Buffer()
    part.capacity = 0
    part.address, part.nbytes, part.owner = arena.address + start, nbytes, arena
    part.memory = arena.memory[start : start + nbytes]
    return part


def raise_error(emitter: Emitter, error: Any) -> None:
    raise IndexError(f"a kernel reported error {list(error)}")


__all__ = ["Compiled", "Emitter", "Layout", "Member", "Out", "Ref"]
