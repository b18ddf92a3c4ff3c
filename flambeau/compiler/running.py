"""Run: a compiled program as one Python function, written out as source.

    def run(inputs, numbers, offsets, done):
        i0, i1, = inputs
        r0 = allocate(2560, 2560, free2560)                      memory for a live result
        arena = scratch(14080)                                   memory for all the rest
        pack(memory, 16, i0.address, i1.address, …, numbers[0])  the words of the frame
        error = part0(address)                                   the tape
        if error: raise failed(0, error - 1, [r0], done)
        return (r0,)

This is all the Python that a run costs. What has no kernel is a call of `interpret` between tapes.
"""

from __future__ import annotations

import ctypes
import re
import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from flambeau import interpreter
from flambeau.compiler.clusters import Cluster, can_fail
from flambeau.ir.dims import Later, source_of
from flambeau.ir.failures import exception_of
from flambeau.ir.program import Call
from flambeau.runtime.buffers import (
    ALIGNMENT,
    Buffer,
    allocate,
    allocate_class,
    free_list,
    part,
    scratch,
    size_class,
)

if TYPE_CHECKING:
    from flambeau.compiler.emit import Emitter

Run = Callable[..., tuple[Buffer, ...]]
SMALL_RESULT = 256  # bytes up to which live results share a block that lives as long as any of them
SHARED_ARENA = 1 << 20  # bytes up to which programs share the memory of what they keep inside


def runner(emitter: Emitter, parts: list[Any], arena_bytes: int) -> Run:
    """The function that runs a compiled program, written out as source: it runs once a step.

    It takes the inputs' buffers, the run-time numbers and offsets, and a dictionary for what is
    complete when it fails; it answers the memory of the live results.
    """
    memory, address, failed = frame_of(emitter)
    scope = {"memory": memory, "address": address, "failed": failed}
    scope |= {f"part{n}": p.run if not isinstance(p, Call) else p for n, p in enumerate(parts)}
    source = "\n".join(run_source(emitter, parts, arena_bytes))
    scope |= names_in(emitter, source) | {"interpret": interpreter_step(emitter)}
    exec(compile(source, "<flambeau tape>", "exec"), scope)
    return scope["run"]


def frame_of(emitter: Emitter) -> tuple[Any, int, Callable[..., BaseException]]:
    """A frame, its address, and what makes the exception when a tape that runs on it fails."""
    memory = (ctypes.c_int64 * (len(emitter.slots) + 2))()
    error = (ctypes.c_int64 * 8)()
    memory[1] = ctypes.addressof(error)
    return memory, ctypes.addressof(memory), failure(emitter, error)


def names_in(emitter: Emitter, source: str) -> dict[str, Any]:
    """What the source of `run` names, but for a frame and the tapes."""
    slots = emitter.slots
    kinds = "".join(key[2] if key[0] in ("number", "derived") else "q" for key in slots)
    functions = {f"make{n}": key[1] for n, key in enumerate(slots) if key[0] == "derived"}
    scope: dict[str, Any] = {
        "pack": struct.Struct("<" + kinds).pack_into, "allocate": allocate_class, "some": allocate,
        "Buffer": Buffer, "scratch": scratch,
    }  # fmt: skip
    scope |= {f"free{size}": free_list(int(size)) for size in re.findall(r"free(\d+)", source)}
    return scope | functions


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
            start = source_of(places[home])
            lines.append(f"{name} = Buffer(); {name}.nbytes = {source_of(size)}; "
                         f"{name}.owner = small; "
                         f"{name}.block = block; {name}.start = {start}; "
                         f"{name}.address = base + {start}")  # fmt: skip
        else:
            lines.append(take(name, size))
    if arena_bytes:
        small = arena_bytes <= SHARED_ARENA
        bytes_ = source_of(arena_bytes)
        lines.append(f"arena = scratch({bytes_})" if small else take("arena", arena_bytes))
    else:
        lines.append("arena = None")
    return ["    " + line for line in lines]


def take(name: str, nbytes: int) -> str:
    """The line that takes a buffer from the pool."""
    if isinstance(nbytes, Later):
        return f"{name} = some({source_of(nbytes)})"
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
        return f"{origin} + {source_of(start)} + offsets[{index}] * {item}"
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
