"""Profiles: how long the marked ranges of a program take.

Calls are recorded and run together, many in one kernel, so there is no time of a single one: what
is measured are the ranges of `record_function` and the steps. While a profile is active, a range
ends by running what it has recorded. `flambeau explain script.py` shows kernels and what they cost.
"""

from __future__ import annotations

import enum
import functools
import time
from collections.abc import Callable
from typing import Any

from flambeau.trace import flush


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


def supported_activities() -> set[ProfilerActivity]:
    return {ProfilerActivity.CPU}


def kineto_available() -> bool:
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


class Range:
    """One time that a marked range ran; times in microseconds."""

    def __init__(self, name: str, start: float) -> None:
        self.name = self.key = name
        self.start, self.end = start, start
        self.inner = 0.0  # spent in ranges inside

    @property
    def cpu_time_total(self) -> float:
        return self.end - self.start

    @property
    def self_cpu_time_total(self) -> float:
        return self.cpu_time_total - self.inner


class Average:
    """All runs of a range together; times in microseconds."""

    device_time_total = self_device_time_total = cuda_time = device_time = 0.0
    cpu_memory_usage = self_cpu_memory_usage = 0

    def __init__(self, key: str, ranges: list[Range]) -> None:
        self.key, self.count = key, len(ranges)
        self.cpu_time_total = sum(r.cpu_time_total for r in ranges)
        self.self_cpu_time_total = sum(r.self_cpu_time_total for r in ranges)
        self.cpu_time = self.cpu_time_total / len(ranges)

    def __repr__(self) -> str:
        return (f"<FunctionEventAvg key={self.key} self_cpu_time={self.self_cpu_time_total:.3f}us "
                f"cpu_time={self.cpu_time:.3f}us>")  # fmt: skip


COLUMNS = "Name", "Self CPU %", "Self CPU", "CPU total %", "CPU total", "CPU time avg", "# of Calls"

SORTED_BY = (
    "count", "cpu_time", "cpu_time_total", "self_cpu_time_total", "device_time",
    "device_time_total", "self_device_time_total", "cpu_memory_usage", "self_cpu_memory_usage",
)  # fmt: skip


class Averages(list[Average]):
    """The ranges of a profile, each with all its runs."""

    self_cpu_time_total = property(lambda self: sum(a.self_cpu_time_total for a in self))

    def table(self, sort_by: str | None = None, row_limit: int = 100, **_: Any) -> str:
        """The ranges as text, the largest by `sort_by` first; of other devices all are zero."""
        rows = list(self)
        if sort_by is not None:
            key = sort_by.replace("cuda", "device")
            if key not in SORTED_BY:
                raise AttributeError(f"key_averages() cannot be sorted by '{sort_by}', only by "
                                     + ", ".join(SORTED_BY))  # fmt: skip
            rows.sort(key=lambda a: getattr(a, key), reverse=True)
        total = self.self_cpu_time_total
        cells = [COLUMNS, *[row_of(a, total) for a in rows[:row_limit]]]
        widths = [max(len(row[n]) for row in cells) for n in range(len(COLUMNS))]
        lines = ["  ".join(cell.rjust(w) for cell, w in zip(row, widths)) for row in cells]
        rule = "  ".join("-" * w for w in widths)
        lines = [rule, lines[0], rule, *lines[1:], rule]
        return "\n".join([*lines, f"Self CPU time total: {in_units(total)}", ""])

    def __str__(self) -> str:
        return self.table()


def row_of(a: Average, total: float) -> tuple[str, ...]:
    """The cells of one range."""
    shares = [f"{100 * t / total if total else 0:.2f}%"
              for t in (a.self_cpu_time_total, a.cpu_time_total)]  # fmt: skip
    return (a.key, shares[0], in_units(a.self_cpu_time_total), shares[1],
            in_units(a.cpu_time_total), in_units(a.cpu_time), str(a.count))  # fmt: skip


def in_units(microseconds: float) -> str:
    """A time in the unit that suits it."""
    for unit, size in ("s", 1e6), ("ms", 1e3):
        if microseconds >= size:
            return f"{microseconds / size:.3f}{unit}"
    return f"{microseconds:.3f}us"


def now() -> float:
    return time.perf_counter() * 1e6


_active: list[Any] = []  # profiles that record


class record_function:
    """Mark a range, as a `with` block or a decorator; it runs nothing without an active profile."""

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name = name
        self.began: list[tuple[Any, Range]] = []

    def __call__(self, function: Any) -> Any:
        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name):
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


class profile:
    """Measure the ranges inside a `with` block, or between start() and stop(), where `enabled`.

    With a schedule, step() marks the end of a step, and on_trace_ready(profile) is called when a
    cycle has been recorded. Raises NotImplementedError for what needs a record of every call:
    memory, stacks, floating-point operations.
    """

    def __init__(self, enabled: bool = True, *, activities: Any = None,
                 schedule: Callable[[int], ProfilerAction] | None = None,
                 on_trace_ready: Callable[..., Any] | None = None, record_shapes: bool = False,
                 profile_memory: bool = False, with_stack: bool = False, with_flops: bool = False,
                 with_modules: bool = False, acc_events: bool = False,
                 **_: Any) -> None:  # fmt: skip
        for name, wanted in ("profile_memory", profile_memory), ("with_flops", with_flops):
            if wanted:
                raise NotImplementedError(f"profile({name}=True) is not supported: calls run many "
                                          "in one kernel; see `flambeau explain`")  # fmt: skip
        self.enabled, self.schedule, self.on_trace_ready = enabled, schedule, on_trace_ready
        self.acc_events, self.step_num = acc_events, 0
        self.ranges: list[Range] = []
        self._open: list[Range] = []
        self._step: Range | None = None
        self.current_action = ProfilerAction.NONE

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
        recording = self.current_action in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)
        self._switch(ProfilerAction.NONE)
        if recording and self.on_trace_ready is not None:
            self.on_trace_ready(self)

    def step(self) -> None:
        """The end of a step."""
        saved = self.current_action is ProfilerAction.RECORD_AND_SAVE
        self._end_step()
        if saved and self.on_trace_ready is not None:
            self.on_trace_ready(self)
        if saved and not self.acc_events:
            self.ranges = []
        self.step_num += 1
        self._switch(self._action(self.step_num))

    @property
    def self_cpu_time_total(self) -> float:
        """The time of all ranges, in microseconds."""
        total: float = self.key_averages().self_cpu_time_total
        return total

    def _action(self, step: int) -> ProfilerAction:
        if not self.enabled:
            return ProfilerAction.NONE
        return ProfilerAction.RECORD if self.schedule is None else self.schedule(step)

    def _switch(self, action: ProfilerAction) -> None:
        self._end_step()
        self.current_action = action
        if self in _active:
            _active.remove(self)
        if action in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE):
            flush.flush_current()  # what was recorded before belongs to nobody here
            _active.append(self)
            self._step = self._begin(f"ProfilerStep#{self.step_num}") if self.schedule else None

    def _end_step(self) -> None:
        if self in _active:
            flush.flush_current()
        if self._step is not None:
            self._finish(self._step)
            self._step = None

    def _begin(self, name: str) -> Range:
        self._open.append(Range(name, now()))
        return self._open[-1]

    def _finish(self, entered: Range) -> None:
        if entered not in self._open:
            return  # it began in a cycle that is over
        entered.end = now()
        del self._open[self._open.index(entered) :]
        if self._open:
            self._open[-1].inner += entered.cpu_time_total
        self.ranges.append(entered)

    def events(self) -> list[Range]:
        """The ranges, in the order in which they ended."""
        return list(self.ranges)

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0,
                     **_: Any) -> Averages:  # fmt: skip
        """The ranges by name."""
        named: dict[str, list[Range]] = {}
        for entered in self.ranges:
            named.setdefault(entered.name, []).append(entered)
        return Averages(Average(key, ranges) for key, ranges in named.items())

    def export_chrome_trace(self, path: str) -> None:
        """Write the ranges as a file for chrome://tracing or Perfetto."""
        import json
        import os

        events = [{"name": r.name, "cat": "user_annotation", "ph": "X", "ts": r.start,
                   "dur": r.cpu_time_total, "pid": os.getpid(), "tid": 0}
                  for r in self.ranges]  # fmt: skip
        with open(path, "w") as file:
            json.dump({"traceEvents": events, "displayTimeUnit": "ms"}, file)

    def export_stacks(self, path: str, metric: str = "self_cpu_time_total") -> None:
        raise NotImplementedError("export_stacks() is not supported: no stacks are recorded")

    def add_metadata(self, key: str, value: str) -> None:
        """Nothing is kept: files hold the ranges alone."""


def tensorboard_trace_handler(dir_name: str, worker_name: str | None = None,
                              use_gzip: bool = False) -> Callable[[profile], None]:  # fmt: skip
    """For on_trace_ready: writes each trace to a file of its own in a folder."""
    if use_gzip:
        raise NotImplementedError("use_gzip=True is not supported: compress the files afterwards")

    def handle(finished: profile) -> None:
        import os
        import socket

        os.makedirs(dir_name, exist_ok=True)
        worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        path = os.path.join(dir_name, f"{worker}.{time.time_ns()}.pt.trace.json")
        finished.export_chrome_trace(path)

    return handle


__all__ = [
    "ProfilerAction", "ProfilerActivity", "kineto_available", "profile", "record_function",
    "schedule", "supported_activities", "tensorboard_trace_handler",
]  # fmt: skip
