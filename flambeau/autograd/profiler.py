"""Profiles: how long ranges, programs and calls of a program take.

Calls are recorded and run together, many in one kernel. What is measured are the kernels, each by
itself, and the ranges of `record_function`; a call's time is its share of the kernels that do it
(profiling.py), and what a program needs beside them is the program's own. While a profile is active
a range ends by running what it has recorded, so that counts as the range's; without ranges,
programs are what they always are. `flambeau explain` shows the same kernels with all that is known.
"""

from __future__ import annotations

import enum
import functools
import time
from collections.abc import Callable
from typing import Any

from flambeau.autograd.profiler_util import EventList, FunctionEvent, FunctionEventAvg, Kernel
from flambeau.autograd.profiling import Ran, Tracer
from flambeau.trace import flush, programs


class ProfilerActivity(enum.Enum):
    """Where work is done; here on the CPU."""

    CPU = 0
    CUDA = 1
    XPU = 2
    MTIA = 3
    HPU = 4
    PrivateUse1 = 5


class ProfilerAction(enum.Enum):
    """What a profile does during a step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


RECORDING = ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE


def supported_activities() -> set[ProfilerActivity]:
    return {ProfilerActivity.CPU}


def kineto_available() -> bool:
    """False: there is no Kineto; traces are written all the same."""
    return False


def schedule(*, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0,
             skip_first_wait: int = 0) -> Callable[[int], ProfilerAction]:  # fmt: skip
    """What to do in which step: leave out, wait, warm up, record, and again, `repeat` times.

    skip_first_wait: nonzero leaves out the first wait.
    """
    if min(wait, warmup, repeat, skip_first) < 0 or active <= 0:
        raise AssertionError("Invalid profiler schedule arguments")
    cycle = wait + warmup + active

    def action(step: int) -> ProfilerAction:
        if step < 0:
            raise AssertionError(f"Step must be non-negative. Got {step}.")
        if step < skip_first:
            return ProfilerAction.NONE
        step -= skip_first
        if skip_first_wait:
            step += wait
        if repeat > 0 and step // cycle >= repeat:
            return ProfilerAction.NONE
        place = step % cycle
        if place < wait:
            return ProfilerAction.NONE
        if place < wait + warmup:
            return ProfilerAction.WARMUP
        last = place == cycle - 1
        return ProfilerAction.RECORD_AND_SAVE if last else ProfilerAction.RECORD

    return action


def now() -> float:
    """µs on the clock by which kernels are timed."""
    return time.perf_counter_ns() / 1e3


class Range:
    """One time that a marked range ran, what ran inside, in µs of `now`."""

    def __init__(self, name: str, start: float) -> None:
        self.name, self.start, self.end = name, start, start
        self.inside: list[Range | Ran] = []


_active: list[profile] = []  # profiles that record


def _heard(ran: Ran) -> None:
    """A program ran."""
    for one in _active:
        one._place().append(ran)


_tracer = Tracer(_heard)


class record_function:  # noqa: N801 PyTorch's name
    """Mark a range, as a `with` block or a decorator; it runs nothing without an active profile."""

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name, self.args = name, args
        self.began: list[tuple[profile, Range]] = []

    def __call__(self, function: Any) -> Any:
        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name, self.args):
                return function(*args, **kwargs)

        return inside

    def __enter__(self) -> record_function:
        self.began = [(profile, profile._begin(self.name)) for profile in _active]
        return self

    def __exit__(self, *_: object) -> None:
        if self.began:
            flush.flush_current()
        for profile, entered in self.began:
            profile._finish(entered)


class profile:  # noqa: N801 PyTorch's name
    """Measure what runs inside a `with` block, or between start() and stop(), where `enabled`.

    With a schedule, step() marks the end of a step, and on_trace_ready(profile) is called when a
    cycle has been recorded. record_shapes and with_stack add the sizes of arguments and the user's
    line; profile_memory the bytes of results that outlive their run; with_flops the operations.
    """

    def __init__(self, enabled: bool = True, *, activities: Any = None,
                 schedule: Callable[[int], ProfilerAction] | None = None,
                 on_trace_ready: Callable[..., Any] | None = None, record_shapes: bool = False,
                 profile_memory: bool = False, with_stack: bool = False, with_flops: bool = False,
                 with_modules: bool = False, acc_events: bool = False,
                 **_: Any) -> None:  # fmt: skip
        if activities is not None and not list(activities):
            raise AssertionError("No valid profiler activities found")
        self.enabled, self.schedule, self.on_trace_ready = enabled, schedule, on_trace_ready
        self.record_shapes, self.profile_memory = record_shapes, profile_memory
        self.with_stack, self.with_flops, self.with_modules = with_stack, with_flops, with_modules
        self.acc_events, self.step_num = acc_events, 0
        self.metadata: dict[str, str] = {}
        self.current_action = ProfilerAction.NONE
        self._root: Range | None = None
        self._kept = 0  # how much of what was found stays after a warm-up
        self._saved = False  # whether a cycle is complete: the next one begins anew
        self._open: list[Range] = []
        self._step: Range | None = None

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin with step 0."""
        self._switch(self._action(self.step_num))

    def stop(self) -> None:
        """End; where something was recorded, it is ready."""
        recording = self.current_action in RECORDING
        self._switch(ProfilerAction.NONE)
        if recording and self.on_trace_ready is not None:
            self.on_trace_ready(self)

    def step(self) -> None:
        """The end of a step."""
        self._end_step()
        if self.current_action is ProfilerAction.RECORD_AND_SAVE:
            self._saved = True
            if self.on_trace_ready is not None:
                self.on_trace_ready(self)
        self.step_num += 1
        self._switch(self._action(self.step_num))

    def _action(self, step: int) -> ProfilerAction:
        if not self.enabled:
            return ProfilerAction.NONE
        return ProfilerAction.RECORD if self.schedule is None else self.schedule(step)

    def _switch(self, action: ProfilerAction) -> None:
        """From one action to the next. What warms up is timed as well, and then forgotten."""
        self._end_step()
        warm, self.current_action = self.current_action is ProfilerAction.WARMUP, action
        if self in _active:
            _active.remove(self)
        if warm:
            self._forget_warm_up()
        if action is not ProfilerAction.NONE:
            flush.flush_current()  # what was recorded before belongs to nobody here
            self._make_room()
            _active.append(self)
            self._step = self._begin(f"ProfilerStep#{self.step_num}") if self.schedule else None
        programs.timed = _tracer if _active else None

    def _forget_warm_up(self) -> None:
        assert self._root is not None
        del self._root.inside[self._kept :]
        self._open.clear()

    def _make_room(self) -> None:
        """A place for what is found next: a new one after a complete cycle."""
        if self._root is None or self._saved and not self.acc_events:
            self._root = Range("", now())
            self._open.clear()
        self._kept, self._saved = len(self._root.inside), False

    def _end_step(self) -> None:
        if self in _active:
            flush.flush_current()
        if self._step is not None:
            self._finish(self._step)
            self._step = None

    def _place(self) -> list[Range | Ran]:
        """Where what happens now belongs."""
        assert self._root is not None
        return (self._open[-1] if self._open else self._root).inside

    def _begin(self, name: str) -> Range:
        entered = Range(name, now())
        self._place().append(entered)
        self._open.append(entered)
        return entered

    def _finish(self, entered: Range) -> None:
        if entered in self._open:  # else it began in a cycle that is over
            entered.end = now()
            del self._open[self._open.index(entered) :]

    # -- what was found

    def _found(self) -> Range:
        if self._root is None:
            raise AssertionError("Profiler must be initialized before accessing events")
        return self._root

    def events(self) -> EventList:
        """Ranges, runs of programs, and calls in them, in the order of their beginnings."""
        found = Events(self, self._found())
        return EventList(found.events, profile_memory=self.profile_memory,
                         with_flops=self.with_flops)  # fmt: skip

    function_events = property(events)

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0,
                     group_by_overload_name: bool = False) -> EventList:  # fmt: skip
        """The events by name; see `EventList.table`."""
        return self.events().key_averages(group_by_input_shape, group_by_stack_n)

    def total_average(self) -> FunctionEventAvg:
        return self.events().total_average()

    def table(self, *args: Any, **kwargs: Any) -> str:
        return self.events().table(*args, **kwargs)

    @property
    def self_cpu_time_total(self) -> float:
        """The time of all events, in microseconds."""
        return self.events().self_cpu_time_total

    def export_chrome_trace(self, path: str) -> None:
        """Write a file for chrome://tracing or Perfetto; compressed, if its name ends in .gz."""
        from flambeau.autograd.profiler_trace import write_trace

        write_trace(path, self._found(), self)

    def export_stacks(self, path: str, metric: str = "self_cpu_time_total") -> None:
        """Write the user's lines with what they took; needs with_stack=True."""
        self.events().export_stacks(path, metric)

    def export_memory_timeline(self, path: str, device: str | None = None) -> None:
        raise NotImplementedError("export_memory_timeline() is not supported: memory is planned "
                                  "once for a whole program; see `flambeau explain`")  # fmt: skip

    def add_metadata(self, key: str, value: str) -> None:
        """Something to be written into the trace."""
        import json

        self.metadata[key] = json.dumps(value)

    def add_metadata_json(self, key: str, value: str) -> None:
        """Something to be written into the trace, as JSON."""
        self.metadata[key] = value


class Events:
    """Makes the events of a profile from what it found."""

    def __init__(self, owner: profile, root: Range) -> None:
        self.owner, self.zero = owner, root.start
        self.events: list[FunctionEvent] = []
        for inside in root.inside:
            self.add(inside, None)

    def add(self, one: Range | Ran, parent: FunctionEvent | None) -> None:
        if isinstance(one, Ran):
            self.add_run(one, parent)
            return
        step = one.name.startswith("ProfilerStep#")
        name = "ProfilerStep*" if step else one.name
        event = self.event(name, one.start, one.end, parent, annotation=True)
        for inside in one.inside:
            self.add(inside, event)

    def event(self, name: str, start: float, end: float, parent: FunctionEvent | None,
              **more: Any) -> FunctionEvent:  # fmt: skip
        made = FunctionEvent(len(self.events), name, start - self.zero, end - self.zero, **more)
        self.events.append(made)
        if parent is not None:
            parent.append_cpu_child(made)
        return made

    def add_run(self, ran: Ran, parent: FunctionEvent | None) -> None:
        """A run, and inside it a call for each recorded one, with its share of the kernels."""
        event = self.event(ran.piece.name, ran.begin / 1e3, ran.end / 1e3, parent,
                           thread=ran.thread)  # fmt: skip
        begun: dict[int, float] = {}
        kernels: dict[int, list[Kernel]] = {}
        for number, begin, end in ran.spans:
            part = ran.piece.parts[number]
            for call, share in part.shares:
                begun.setdefault(call, begin / 1e3)
                kernel = Kernel(part.name, 0, share * (end - begin) / 1e3)
                kernels.setdefault(call, []).append(kernel)
        for call, facts in enumerate(ran.piece.calls):
            took = sum(kernel.duration for kernel in kernels.get(call, ()))
            start = begun.get(call, ran.begin / 1e3)
            made = self.event(
                facts.name, start, start + took, event, thread=ran.thread,
                input_shapes=facts.shapes if self.owner.record_shapes else None,
                stack=[facts.source] if self.owner.with_stack and facts.source else None,
                flops=facts.flops if self.owner.with_flops else 0.0,
                memory=facts.memory if self.owner.profile_memory else 0,
            )  # fmt: skip
            made.kernels = kernels.get(call, [])


def tensorboard_trace_handler(dir_name: str, worker_name: str | None = None,
                              use_gzip: bool = False) -> Callable[[profile], None]:  # fmt: skip
    """For on_trace_ready: writes each trace to a file of its own in a folder."""

    def handle(finished: profile) -> None:
        import os
        import socket

        os.makedirs(dir_name, exist_ok=True)
        worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        name = f"{worker}.{time.time_ns()}.pt.trace.json{'.gz' if use_gzip else ''}"
        finished.export_chrome_trace(os.path.join(dir_name, name))

    return handle


__all__ = [
    "EventList", "FunctionEvent", "FunctionEventAvg", "ProfilerAction", "ProfilerActivity",
    "kineto_available", "profile", "record_function", "schedule", "supported_activities",
    "tensorboard_trace_handler",
]  # fmt: skip
