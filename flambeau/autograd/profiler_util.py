"""What a profile found, as programs ask for it: events, their averages, and the table.

Times are in microseconds from the profile's start; of devices other than the CPU all are zero.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

MICROSECONDS = {"us": 1.0, "ms": 1e3, "s": 1e6}


class Interval:
    """When something began and ended."""

    def __init__(self, start: float, end: float) -> None:
        self.start, self.end = start, end

    def elapsed_us(self) -> float:
        return self.end - self.start

    def __repr__(self) -> str:
        return f"Interval(start={self.start}, end={self.end})"


class Kernel:
    """A kernel that had a part in a call, and how long it took for that part."""

    def __init__(self, name: str, device: int, duration: float) -> None:
        self.name, self.device, self.duration = name, device, duration

    def __repr__(self) -> str:
        return f"Kernel(name={self.name!r}, device={self.device}, duration={self.duration})"


class Times:
    """What events and averages have in common: their times as text, and nothing elsewhere."""

    cpu_time_total = self_cpu_time_total = 0.0
    count = 1
    device_time = device_time_total = self_device_time_total = 0.0
    cuda_time = cuda_time_total = self_cuda_time_total = 0.0
    device_memory_usage = self_device_memory_usage = self_cuda_memory_usage = 0

    @property
    def cpu_time(self) -> float:
        """The average of a run."""
        return self.cpu_time_total / self.count if self.count else 0.0

    @property
    def cpu_time_str(self) -> str:
        return in_units(self.cpu_time)

    @property
    def cpu_time_total_str(self) -> str:
        return in_units(self.cpu_time_total)

    @property
    def self_cpu_time_total_str(self) -> str:
        return in_units(self.self_cpu_time_total)


class FunctionEvent(Times):
    """One range, one run of a program, or one call in it.

    A call's time is its share of the kernels that did it; `kernels` lists these shares.
    """

    is_async = is_remote = is_legacy = False
    node_id, sequence_nr, scope = -1, -1, 0

    def __init__(self, id: int, name: str, start: float, end: float, thread: int = 0, *,
                 input_shapes: list[list[int]] | None = None, stack: list[str] | None = None,
                 flops: float = 0.0, memory: int = 0,
                 annotation: bool = False) -> None:  # fmt: skip
        self.id, self.name, self.thread = id, name, thread
        self.time_range = Interval(start, end)
        self.input_shapes, self.stack = input_shapes or [], stack or []
        self.flops, self.self_cpu_memory_usage = flops, memory
        self.is_user_annotation = annotation
        self.kernels: list[Kernel] = []
        self.cpu_children: list[FunctionEvent] = []
        self.cpu_parent: FunctionEvent | None = None

    @property
    def key(self) -> str:
        return self.name

    def append_cpu_child(self, child: FunctionEvent) -> None:
        """A child takes place inside, and its time is not this event's own."""
        self.cpu_children.append(child)
        child.cpu_parent = self

    @property
    def cpu_time_total(self) -> float:  # type: ignore[override]
        return self.time_range.elapsed_us()

    @property
    def self_cpu_time_total(self) -> float:  # type: ignore[override]
        return self.cpu_time_total - sum(child.cpu_time_total for child in self.cpu_children)

    @property
    def cpu_memory_usage(self) -> int:
        """Bytes of results that outlived the run: its own, and those of its children."""
        inside = sum(child.cpu_memory_usage for child in self.cpu_children)
        return self.self_cpu_memory_usage + inside

    def __repr__(self) -> str:
        return (f"<FunctionEvent id={self.id} name={self.name} cpu_time={self.cpu_time_str} "
                f"start_us={self.time_range.start:.3f} end_us={self.time_range.end:.3f} "
                f"cpu_children={[child.id for child in self.cpu_children]} thread={self.thread} "
                f"input_shapes={self.input_shapes} "
                f"cpu_memory_usage={self.cpu_memory_usage}>")  # fmt: skip


class FunctionEventAvg(Times):
    """All events of one key together."""

    def __init__(self, key: str = "Total") -> None:
        self.key, self.count = key, 0
        self.cpu_time_total = self.self_cpu_time_total = self.flops = 0.0
        self.cpu_memory_usage = self.self_cpu_memory_usage = 0
        self.input_shapes: list[list[int]] = []
        self.stack: list[str] = []
        self.is_user_annotation = False

    def add(self, event: FunctionEvent | FunctionEventAvg) -> FunctionEventAvg:
        """Count an event in."""
        if not self.count:
            self.input_shapes, self.stack = event.input_shapes, event.stack
            self.is_user_annotation = event.is_user_annotation
        self.count += event.count
        self.cpu_time_total += event.cpu_time_total
        self.self_cpu_time_total += event.self_cpu_time_total
        self.cpu_memory_usage += event.cpu_memory_usage
        self.self_cpu_memory_usage += event.self_cpu_memory_usage
        self.flops += event.flops
        return self

    def __repr__(self) -> str:
        return (f"<FunctionEventAvg key={self.key} self_cpu_time={self.self_cpu_time_total_str} "
                f"cpu_time={self.cpu_time_str} input_shapes={self.input_shapes} "
                f"cpu_memory_usage={self.cpu_memory_usage}>")  # fmt: skip


class EventList(list[Any]):
    """Events or averages, in the order of their beginnings."""

    def __init__(self, events: Iterable[Any] = (), *, profile_memory: bool = False,
                 with_flops: bool = False) -> None:  # fmt: skip
        super().__init__(events)
        self.profile_memory, self.with_flops = profile_memory, with_flops

    @property
    def self_cpu_time_total(self) -> float:
        return float(sum(event.self_cpu_time_total for event in self))

    def key_averages(self, group_by_input_shapes: bool = False, group_by_stack_n: int = 0,
                     group_by_overload_name: bool = False) -> EventList:  # fmt: skip
        """Events of the same name as one; of the same shapes and the same source, where asked."""
        found: dict[tuple[Any, ...], FunctionEventAvg] = {}
        for event in self:
            stack = tuple(event.stack[:group_by_stack_n])
            shapes = str(event.input_shapes) if group_by_input_shapes else ""
            key = (event.key, shapes, stack, event.is_user_annotation)
            average = found.setdefault(key, FunctionEventAvg(event.key)).add(event)
            average.stack = list(stack)
            if not group_by_input_shapes:
                average.input_shapes = []
        return EventList(found.values(), profile_memory=self.profile_memory,
                         with_flops=self.with_flops)  # fmt: skip

    def total_average(self) -> FunctionEventAvg:
        """All events as one."""
        total = FunctionEventAvg()
        for event in self:
            total.add(event)
        total.input_shapes, total.stack = [], []
        return total

    def table(self, sort_by: str | None = None, row_limit: int = 100,
              max_src_column_width: int = 75, max_name_column_width: int = 55,
              max_shapes_column_width: int = 80, header: str | None = None,
              top_level_events_only: bool = False,
              time_unit: str | None = None) -> str:  # fmt: skip
        """The events as text, the largest by `sort_by` first."""
        if not self:
            return ""
        rows = list(self)
        if sort_by is not None:
            key = sort_by.replace("cuda", "device")
            rows.sort(key=lambda event: getattr(event, key), reverse=True)
        if top_level_events_only:
            rows = [row for row in rows if getattr(row, "cpu_parent", None) is None]
        widths = max_name_column_width, max_shapes_column_width, max_src_column_width
        columns = Columns(self, widths, time_unit)
        lines = columns.lines(rows[:row_limit])
        if header is not None:
            lines = ["=" * len(lines[0]), header, "=" * len(lines[0]), *lines]
        total = in_units(self.self_cpu_time_total, time_unit)
        return "\n".join([*lines, f"Self CPU time total: {total}", ""])

    def __str__(self) -> str:
        return self.table()

    supported_export_stacks_metrics = (
        "self_cpu_time_total", "self_cuda_time_total", "self_xpu_time_total",
        "self_privateuse1_time_total",
    )  # fmt: skip

    def export_stacks(self, path: str, metric: str) -> None:
        """Write each source line with what it took, as tools for flame graphs read it."""
        if metric not in self.supported_export_stacks_metrics:
            raise ValueError(f"metric should be one of: {self.supported_export_stacks_metrics}")
        with open(path, "w", encoding="utf-8") as file:
            for event in self:
                value = int(getattr(event, metric, 0.0))
                if event.stack and value > 0:
                    names = [*reversed(event.stack), event.name]
                    file.write(";".join(n.replace(";", ",") for n in names) + f" {value}\n")


class Columns:
    """The columns of a table: those that are always there, and those that have something in them.

    A width of None cuts nothing.
    """

    def __init__(self, events: EventList, widths: tuple[Any, Any, Any], unit: str | None) -> None:
        self.events, self.unit = events, unit
        self.names, self.shapes, self.sources = widths
        self.total = events.self_cpu_time_total
        self.has_shapes = any(event.input_shapes for event in events)
        self.has_stack = any(event.stack for event in events)
        self.has_flops = events.with_flops and any(event.flops for event in events)
        self.scale, self.flops = flop_unit([event.flops for event in events])

    def lines(self, rows: list[Any]) -> list[str]:
        """Rules, names of columns, and a line for each row."""
        cells = [self.head(), *map(self.row, rows)]
        widths = [max(map(len, column)) for column in zip(*cells)]
        lines = ["  ".join(cell.rjust(w) for cell, w in zip(row, widths)) for row in cells]
        rule = "  ".join("-" * width for width in widths)
        return [rule, lines[0], rule, *lines[1:], rule]

    def head(self) -> list[str]:
        found = ["Name", "Self CPU %", "Self CPU", "CPU total %", "CPU total", "CPU time avg"]
        found += ["CPU Mem", "Self CPU Mem"] if self.events.profile_memory else []
        found += ["# of Calls"]
        found += ["Input Shapes"] if self.has_shapes else []
        found += ["Source Location"] if self.has_stack else []
        return found + ([f"Total {self.flops}"] if self.has_flops else [])

    def row(self, event: Any) -> list[str]:
        found = [shortened(event.key, self.names),
                 self.share(event.self_cpu_time_total), self.time(event.self_cpu_time_total),
                 self.share(event.cpu_time_total), self.time(event.cpu_time_total),
                 self.time(event.cpu_time)]  # fmt: skip
        if self.events.profile_memory:
            found += [in_bytes(event.cpu_memory_usage), in_bytes(event.self_cpu_memory_usage)]
        found.append(str(event.count))
        if self.has_shapes:
            found.append(shortened(str(event.input_shapes), self.shapes))
        if self.has_stack:
            found.append(shortened(event.stack[0] if event.stack else "", self.sources))
        if self.has_flops:
            found.append(f"{event.flops / self.scale:.3f}" if event.flops else "--")
        return found

    def time(self, microseconds: float) -> str:
        return in_units(microseconds, self.unit)

    def share(self, microseconds: float) -> str:
        return f"{100 * microseconds / self.total if self.total else 0:.2f}%"


def shortened(text: str, width: int | None) -> str:
    return text if width is None or len(text) <= width else text[: width - 3] + "..."


def in_units(microseconds: float, unit: str | None = None) -> str:
    """A time in the unit that suits it, or in the one asked for."""
    if unit is None:
        unit = "s" if microseconds >= 1e6 else "ms" if microseconds >= 1e3 else "us"
    return f"{microseconds / MICROSECONDS[unit]:.3f}{unit}"


def in_bytes(count: int) -> str:
    for bound, unit in ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB")):
        if abs(count) >= bound:
            return f"{count / bound:.2f} {unit}"
    return f"{count} B"


def flop_unit(flops: list[float]) -> tuple[float, str]:
    """The unit for a column of operations, by the largest."""
    most = max(flops, default=0.0)
    for bound, unit in ((1e12, "TFLOPs"), (1e9, "GFLOPs"), (1e6, "MFLOPs")):
        if most >= bound:
            return bound, unit
    return 1e3, "KFLOPs"


__all__ = ["EventList", "FunctionEvent", "FunctionEventAvg", "Interval", "Kernel"]
