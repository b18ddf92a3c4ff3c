"""Compare: measurements side by side, a row a sub_label, a column a description."""

from flambeau.utils.benchmark.measurement import Measurement, select_unit

WORDS = {"s": "seconds (s)", "ms": "milliseconds (ms)", "us": "microseconds (us)",
         "ns": "nanoseconds (ns)"}  # fmt: skip


class Compare:
    """A table of measurements for each label."""

    def __init__(self, results):
        self.results = list(results)
        self.trim = False

    def extend_results(self, results):
        """Add measurements."""
        for result in results:
            if not isinstance(result, Measurement):
                raise ValueError(
                    f"Expected an instance of `Measurement`, got {type(result)} instead."
                )
        self.results += results

    def trim_significant_figures(self):
        """Print fewer digits where the times vary."""
        self.trim = True

    def colorize(self, rowwise=False):
        """Colours are not printed."""

    def highlight_warnings(self):
        """Colours are not printed."""

    def print(self):
        print(str(self))

    def __str__(self):
        labels = dict.fromkeys(m.task_spec.label for m in self.results)
        return "\n".join(self.table(label) for label in labels)

    def table(self, label):
        """The table of one label."""
        chosen = Measurement.merge([m for m in self.results if m.task_spec.label == label])
        unit, size = select_unit(min(m.median for m in chosen))
        columns = list(dict.fromkeys(m.description or "" for m in chosen))
        head = ["", *columns]
        body = []
        for threads in sorted({m.task_spec.num_threads for m in chosen}):
            body.append([f"{threads} thread{'s' * (threads > 1)}:", *[""] * len(columns)])
            same = [m for m in chosen if m.task_spec.num_threads == threads]
            for row in dict.fromkeys(m.as_row_name for m in same):
                cells = {m.description or "": self.cell(m, size)
                         for m in same if m.as_row_name == row}  # fmt: skip
                body.append(["  " + row, *[cells.get(c, "") for c in columns]])
        widths = [max(len(line[n]) for line in [head, *body]) for n in range(len(head))]
        lines = [" | ".join([line[0].ljust(widths[0]), *[c.rjust(w) for c, w in
                                                         zip(line[1:], widths[1:])]])
                 for line in [head, *body]]  # fmt: skip
        title = f" {label} " if label else ""
        top = "[" + title.center(max(len(line) for line in lines) - 2, "-") + "]"
        return "\n".join([top, *lines, "", f"Times are in {WORDS[unit]}.", ""])

    def cell(self, m, size):
        """One time; with fewer digits where they would mean nothing."""
        value = m.median / size
        if self.trim and m.iqr > 0.1 * m.median:
            return f"{value:.0f}"
        return f"{value:.1f}"
