"""Timer: how long a statement takes.

The results of a statement are values that nobody looks at, and such are never computed. So each
repetition ends by running what it has recorded while its results are still alive, as if they were
looked at.
"""

import ast
import enum
import time

from flambeau.info import get_num_threads, set_num_threads
from flambeau.trace import flush
from flambeau.utils.benchmark.measurement import Measurement, TaskSpec

timer = time.perf_counter

TEMPLATE = """
def inner(_count, _timer, _run):
    {setup}
    _run()
    _start = _timer()
    for _ in range(_count):
        {stmt}
        _run()
    return _timer() - _start
"""


class Language(enum.Enum):
    """What statements are written in."""

    PYTHON = 0
    CPP = 1


class Timer:
    """Times a statement in the scope of `globals`, after `setup`.

    label, sub_label, description, env: for the tables of Compare. num_threads: how many threads run
    kernels meanwhile. Raises NotImplementedError for statements in C++.
    """

    def __init__(self, stmt="pass", setup="pass", global_setup="", timer=timer, globals=None,
                 label=None, sub_label=None, description=None, env=None, num_threads=1,
                 language=Language.PYTHON):  # fmt: skip
        if language not in (Language.PYTHON, "python", "py"):
            raise NotImplementedError("Timer: statements in C++ are not supported")
        if global_setup:
            raise ValueError(f"global_setup is C++ only, got `{global_setup}`. Most likely this "
                             "code can simply be moved to `setup`.")  # fmt: skip
        import textwrap

        stmt, setup = textwrap.dedent(stmt).strip(), textwrap.dedent(setup).strip()
        self.task_spec = TaskSpec(stmt, setup, global_setup, label, sub_label, description, env,
                                  num_threads)  # fmt: skip
        self.timer, self.globals = timer, scope_of(globals)
        exec(compile(source(stmt or "pass", setup or "pass"), "<Timer>", "exec"), self.globals)
        self.inner = self.globals.pop("inner")

    def timeit(self, number=1000000):
        """One run of `number` repetitions, after a short one to warm up."""
        self.once(max(number // 100, 2))
        return self.measured(number, [self.once(number)])

    def once(self, number):
        """The time of some repetitions."""
        before = get_num_threads()
        set_num_threads(self.task_spec.num_threads)
        try:
            return self.inner(number, self.timer, flush.flush_current)
        finally:
            set_num_threads(before)

    def measured(self, number, times):
        return Measurement(number, times, self.task_spec)

    def repeat(self, repeat=-1, number=-1):
        raise NotImplementedError("See `Timer.blocked_autorange.`")

    def autorange(self, callback=None):
        raise NotImplementedError("See `Timer.blocked_autorange.`")

    def blocked_autorange(self, callback=None, min_run_time=0.2):
        """Runs of so many repetitions that the clock costs little, for `min_run_time` seconds."""
        number = self.block_size(min_run_time)
        times = []
        while sum(times) < min_run_time or len(times) < 2:
            times.append(self.once(number))
            if callback is not None:
                callback(number, times[-1])
        return self.measured(number, times)

    def block_size(self, min_run_time):
        """As many repetitions as take a thousand times as long as reading the clock does."""
        clock = min(self.timing_cost() for _ in range(5))
        number = 1
        while True:
            spent = self.once(number)
            if spent >= max(1000 * clock, min_run_time / 20) or number >= 1 << 30:
                return number
            if spent > min_run_time:
                return number
            number *= 10

    def timing_cost(self):
        start = self.timer()
        return self.timer() - start

    def adaptive_autorange(self, threshold=0.1, *, min_run_time=0.01, max_run_time=10.0,
                           callback=None):  # fmt: skip
        """blocked_autorange until the times agree: iqr / median under the threshold."""
        number, times = self.block_size(min_run_time), []
        while sum(times) < max_run_time:
            times.append(self.once(number))
            if callback is not None:
                callback(number, times[-1])
            result = self.measured(number, times)
            if len(times) > 3 and sum(times) >= min_run_time:
                if result.iqr < threshold * result.median:
                    break
        return self.measured(number, times)

    def collect_callgrind(self, number=100, **_):
        raise NotImplementedError("collect_callgrind() is not supported: use timeit()")


def scope_of(given):
    """The names that a statement sees: those given, and torch."""
    import flambeau

    return {"torch": flambeau, **(given or {})}


def source(stmt, setup):
    """The loop around a statement; the value of an expression stays alive until it has run."""
    try:
        ast.parse(stmt, mode="eval")
        stmt = f"_value = ({stmt}\n)"
    except SyntaxError:
        pass  # it is a statement, whose names stay alive anyway
    return TEMPLATE.format(setup=indented(setup, 4), stmt=indented(stmt, 8))


def indented(text, by):
    return text.replace("\n", "\n" + " " * by)
