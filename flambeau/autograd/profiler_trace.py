"""A profile as a file for chrome://tracing, Perfetto and TensorBoard.

On a thread's line lie ranges, in them runs of programs, in these kernels; the part of a kernel that
a call stands for lies below it, as wide as its share.
"""

from __future__ import annotations

import json
import os
from typing import Any

from flambeau.autograd.profiling import Ran

Event = dict[str, Any]


def write_trace(path: str, root: Any, owner: Any) -> None:
    """Write what a profile found."""
    events: list[Event] = [{"ph": "M", "name": "process_name", "pid": os.getpid(), "tid": 0,
                            "ts": root.start, "args": {"name": "python"}}]  # fmt: skip
    for one in root.inside:
        add(one, events, owner)
    found = {"schemaVersion": 1, "displayTimeUnit": "ms", "record_shapes": owner.record_shapes,
             "with_stack": owner.with_stack, "with_flops": owner.with_flops,
             "profile_memory": owner.profile_memory, "traceEvents": events,
             **{key: json.loads(value) for key, value in owner.metadata.items()}}  # fmt: skip
    text = json.dumps(found)
    if os.fspath(path).endswith(".gz"):
        import gzip

        with gzip.open(path, "wt", encoding="utf-8") as packed:
            packed.write(text)
        return
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def add(one: Any, events: list[Event], owner: Any) -> None:
    """A range or a run, with all inside."""
    if isinstance(one, Ran):
        add_run(one, events, owner)
        return
    events.append(slice_of("user_annotation", one.name, one.start, one.end, thread_of(one)))
    for inside in one.inside:
        add(inside, events, owner)


def thread_of(one: Any) -> int:
    """The thread whose programs ran in a range; 0 where none did."""
    for inside in one.inside:
        found = inside.thread if isinstance(inside, Ran) else thread_of(inside)
        if found:
            return int(found)
    return 0


def add_run(ran: Ran, events: list[Event], owner: Any) -> None:
    """A run, its kernels, and the calls' shares of them."""
    events.append(slice_of("cpu_op", ran.piece.name, ran.begin / 1e3, ran.end / 1e3, ran.thread))
    for number, begin, end in ran.spans:
        part = ran.piece.parts[number]
        start, length = begin / 1e3, (end - begin) / 1e3
        does = [ran.piece.calls[call].name for call, _ in part.shares]
        facts = {"calls": does, "operations": part.flops, "bytes": part.bytes}
        events.append(slice_of("kernel", part.name, start, start + length, ran.thread, facts))
        for call, share in part.shares:
            events.append(slice_of("cpu_op", ran.piece.calls[call].name, start,
                                   start + share * length, ran.thread,
                                   call_facts(ran.piece.calls[call], owner)))  # fmt: skip
            start += share * length


def call_facts(facts: Any, owner: Any) -> Event:
    """What the options of a profile let its calls tell."""
    found: Event = {}
    if owner.record_shapes:
        found["Input Dims"] = facts.shapes
    if owner.with_stack and facts.source:
        found["Call stack"] = facts.source
    return found


def slice_of(kind: str, name: str, start: float, end: float, thread: int,
             facts: Event | None = None) -> Event:  # fmt: skip
    return {"ph": "X", "cat": kind, "name": name, "ts": start, "dur": max(end - start, 0.0),
            "pid": os.getpid(), "tid": thread, "args": facts or {}}  # fmt: skip


__all__ = ["write_trace"]
