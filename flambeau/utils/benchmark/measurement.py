"""Measurement: the times of a statement, and how they are printed."""

import statistics
from dataclasses import dataclass, field

UNITS = (("s", "s", 1.0), ("ms", "ms", 1e-3), ("us", "us", 1e-6), ("ns", "ns", 1e-9))


def select_unit(seconds):
    """(unit's name, its length in seconds) for a time."""
    for name, _, size in UNITS:
        if seconds >= size:
            return name, size
    return UNITS[-1][0], UNITS[-1][2]


@dataclass(frozen=True)
class TaskSpec:
    """What was measured."""

    stmt: str
    setup: str
    global_setup: str = ""
    label: str | None = None
    sub_label: str | None = None
    description: str | None = None
    env: str | None = None
    num_threads: int = 1

    @property
    def title(self):
        """The label, or the statement where it has none."""
        if self.label is not None:
            return self.label + (f": {self.sub_label}" if self.sub_label else "")
        return self.stmt if "\n" not in self.stmt else f"stmt:\n  {self.stmt}"

    def setup_str(self):
        """The setup as text, empty where there is none."""
        return "" if self.setup in ("pass", "") else f"setup: {self.setup}"


@dataclass
class Measurement:
    """Times of several runs, each of `number_per_run` repetitions; in seconds."""

    number_per_run: int
    raw_times: list
    task_spec: TaskSpec
    metadata: dict | None = field(default=None)

    @property
    def times(self):
        """Of one repetition, for each run."""
        return [t / self.number_per_run for t in self.raw_times]

    @property
    def median(self):
        return statistics.median(self.times)

    @property
    def mean(self):
        return statistics.fmean(self.times)

    @property
    def iqr(self):
        """The range that holds the middle half of the times."""
        times = sorted(self.times)
        if len(times) < 2:
            return 0.0
        low, _, high = statistics.quantiles(times, n=4, method="inclusive")
        return high - low

    @property
    def has_warnings(self):
        return self.iqr / self.median > 0.1 if self.median else False

    @property
    def title(self):
        return self.task_spec.title

    @property
    def env(self):
        return self.task_spec.env or "Unspecified env"

    @property
    def as_row_name(self):
        spec = self.task_spec
        return spec.sub_label or spec.stmt

    @property
    def description(self):
        return self.task_spec.description

    @staticmethod
    def merge(measurements):
        """Measurements of the same task in one, for each task."""
        groups = {}
        for m in measurements:
            groups.setdefault((m.task_spec, m.number_per_run), []).append(m)
        return [Measurement(number, [t for m in group for t in m.raw_times], spec)
                for (spec, number), group in groups.items()]  # fmt: skip

    def __repr__(self):
        unit, size = select_unit(self.median)
        lines = [repr_head(self), self.title]
        lines += [text for text in (self.description, self.task_spec.setup_str()) if text]
        name = "Median: " if len(self.raw_times) > 1 else ""
        lines.append(f"  {name}{self.median / size:.2f} {unit}")
        if self.iqr:
            iqr_unit, iqr_size = select_unit(self.iqr)
            lines.append(f"  IQR:    {self.iqr / iqr_size:.2f} {iqr_unit}")
        count, threads = len(self.raw_times), self.task_spec.num_threads
        per = " per measurement" if count > 1 else ""
        lines.append(f"  {count} measurement{'s' * (count > 1)}, {self.number_per_run} runs{per}, "
                     f"{threads} thread{'s' * (threads > 1)}")  # fmt: skip
        return "\n".join(lines)


def repr_head(measurement):
    """The line by which two objects can be told apart."""
    return f"<{type(measurement).__module__}.Measurement object at {hex(id(measurement))}>"
