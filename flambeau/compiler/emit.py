"""Emit: clusters become kernels, words and a tape; what has no kernel is a step in Python.

    cluster 1  matmul       launch  gemm  frame[2] · frame[3] · 20 · 10 · …  16 tasks    a tape
    cluster 2  rows     →   launch  rows  frame[5]+64 · frame[4] · 256 · …    4 tasks
    cluster 3  alone        call    eigh(…)                                              Python

Called by pipeline.py. The frame of a tape: word 0 is 0, word 1 the error record, then an address
for each input, each live result, the arena, each run-time offset that a kernel uses, and the
run-time numbers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

from flambeau.codegen import loops
from flambeau.codegen.cpu.target import cpu
from flambeau.compiler.abreast import groups
from flambeau.compiler.clusters import Cluster, Fused, can_fail
from flambeau.compiler.kernels import kernel_of
from flambeau.compiler.memory import plan_memory, rounded
from flambeau.compiler.reaching import reaches_memory, storage_bytes, touched_homes
from flambeau.compiler.running import Run, runner
from flambeau.compiler.schedule import Unschedulable, schedule
from flambeau.compiler.scheduled import Operand, Scalar, Scheduled
from flambeau.compiler.verify import verify_memory
from flambeau.ir.dims import Later, later
from flambeau.ir.kernel import words
from flambeau.ir.layout import Offset
from flambeau.ir.program import Call, Number, Program
from flambeau.ir.record import field, record
from flambeau.runtime.threads import Launch, get_num_threads
from flambeau.settings import settings

Word = tuple[int, int]


@record
class Step:
    """What happens at one place of a program: launches, or one call in Python."""

    launches: Any = field(default_factory=list)  # of Launch
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
        self.scratch: dict[Any, int] = {}  # bytes that clusters need for themselves
        self.slots: dict[Any, int] = {}
        self.launch_list: list[tuple[int, Any]] = []
        self.inputs = [i.value for i in self.program.inputs]
        self.live = sorted({fused.homes[v] for v in self.program.live})
        for home in (*self.inputs, *self.live):
            self.slot(("home", home))
        self.slot("arena")
        self.temps: dict[tuple[int, int], int] = {}
        self.steps: list[Step] = []
        self.stored: set[int] = set()  # values that reach memory

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
        self.stored = reaches_memory(self.fused)
        plans = [self.plan(cluster, self.stored) for cluster in self.fused.clusters]
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
                sizes[number, key] = self.scratch[number, key] = nbytes
        births = sorted(((h, sizes[h], first[h], last[h]) for h in first), key=lambda b: b[2])
        starts, arena = later(plan_memory, births)
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
        return 0, later(bits_of, scalar.source, floating)

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
        launches = plan.launches(self, number)
        if isinstance(launches, Later):  # for some sizes; none of them can fail
            self.steps.append(Step(launches, clusters=[number]))
            return
        for launch in launches:
            self.launch(launch, number)

    def launch(self, launch: Launch, number: int) -> None:
        if launch.tasks == 0:
            return
        if not self.steps or not isinstance(self.steps[-1].launches, list) or self.steps[-1].call:
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
                operand = operands[word.number]
                found.append((0, (*operand.strides, operand.apart)[word.second]))
            elif word.what == "scalar":
                found.append(self.number(scheduled.scalars[word.number]))
            elif word.what == "grain":
                found.append((0, later(loops.grain, nest, sizes)))
            elif word.what == "chunk":
                found.append((0, later(loops.chunk, nest, sizes)))
            elif word.what == "error":
                found.append((1, 0))
            elif word.what == "per_thread":
                found.append((0, rounded(operands[word.number].bytes)))
            else:
                found.append(self.pointer(operands[word.number], number, word.number, word.what))
        kernel = cpu().load(nest)
        return Launch(kernel.address, tuple(found), later(loops.tasks, nest, sizes))

    def pointer(self, operand: Operand, number: int, access: int, what: str) -> Word:
        """Where an operand begins; for checked code, the bounds of its memory."""
        if operand.home is None or operand.home < 0:
            key = ("scratch", access) if operand.home is None else operand.home
            slot, start = self.slots["arena"], self.starts[number, key]
            size = self.scratch[number, key]
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
            if step.call is not None:
                parts.append(step.call)
            elif len(step.launches) == 1:
                parts.append(target.tape(step.launches))
            else:
                parts.append(target.tape(step.launches, groups(self, step)))
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


def scratch_of(plan: Any) -> list[tuple[Any, int]]:
    """Memory that a plan needs for itself: per-thread rows, partial results, packed panels."""
    if not isinstance(plan, list):
        return [("packed", plan.scratch)] if plan.scratch else []
    found: list[tuple[Any, int]] = []
    for entry in plan:
        if isinstance(entry, Scheduled):
            for access, operand in enumerate(entry.operands):
                if operand.home is None:
                    found.append((("scratch", access), scratch_bytes(operand)))
                elif operand.home < 0 and (operand.home, 0) not in [(f[0], 0) for f in found]:
                    parts = 1 + sum((n - 1) * s for n, s in zip(part_sizes(entry), operand.strides))
                    found.append((operand.home, parts * operand.dtype.itemsize))
    return found


def part_sizes(entry: Scheduled) -> tuple[int, ...]:
    if not entry.nest.mode.startswith("split"):
        return entry.sizes
    parts = later(loops.chunks, entry.nest, entry.sizes)
    return tuple(parts if n == entry.nest.reduced else s for n, s in enumerate(entry.sizes))


def scratch_bytes(operand: Operand) -> int:
    return rounded(operand.bytes) * max(get_num_threads(), 1)
