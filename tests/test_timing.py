"""torch.profiler and torch.utils.benchmark: what they count, and what they say."""

import json

import pytest

import flambeau as torch
from flambeau import profiler
from flambeau.utils import benchmark


def ticking(step=1.0):
    """A clock that goes on by a step each time that it is read."""
    time = iter(range(1 << 30))
    return lambda: next(time) * step


def test_ranges_nest(monkeypatch):
    monkeypatch.setattr(torch.autograd.profiler, "now", ticking(10.0))
    with profiler.profile(activities=[profiler.ProfilerActivity.CPU]) as prof:
        for _ in range(2):
            with profiler.record_function("outer"):
                with profiler.record_function("inner"):
                    torch.ones(3) + 1
    averages = {a.key: a for a in prof.key_averages()}
    assert averages["outer"].count == averages["inner"].count == 2
    assert (averages["outer"].cpu_time_total, averages["outer"].self_cpu_time_total) == (60, 40)
    assert averages["inner"].cpu_time == 10
    lines = prof.key_averages().table(sort_by="cpu_time_total", row_limit=1).splitlines()
    assert lines[3].split() == "outer 66.67% 40.000us 100.00% 60.000us 30.000us 2".split()
    assert lines[-1] == "Self CPU time total: 60.000us"
    with pytest.raises(AttributeError, match="cannot be sorted"):
        prof.key_averages().table(sort_by="beauty")


def test_a_range_runs_what_it_recorded():
    x = torch.ones(4)
    with profiler.profile():
        with profiler.record_function("range"):
            y = x + 1
        assert y._storage.buffer is not None
    with profiler.record_function("nobody measures"):
        z = x + 2
    assert z._storage.buffer is None


def test_decorator_and_trace(tmp_path):
    @profiler.record_function("work")
    def work():
        return torch.ones(2).sum()

    with torch.autograd.profiler.profile() as prof:
        work()
    prof.export_chrome_trace(str(tmp_path / "trace.json"))
    (event,) = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert event["name"] == "work" and event["ph"] == "X"


@pytest.mark.filterwarnings("ignore:Profiler won't be using warmup")
def test_schedules_are_pytorchs():
    theirs = pytest.importorskip("torch.profiler")
    options = [
        dict(wait=1, warmup=1, active=2),
        dict(wait=1, warmup=1, active=2, repeat=2, skip_first=3),
        dict(wait=0, warmup=0, active=1, repeat=1),
        dict(wait=2, warmup=1, active=1, skip_first=1, skip_first_wait=1),
    ]
    for option in options:
        mine, other = profiler.schedule(**option), theirs.schedule(**option)
        assert [mine(n).name for n in range(15)] == [other(n).name for n in range(15)]
    with pytest.raises(AssertionError):
        profiler.schedule(wait=0, warmup=0, active=0)


def test_steps_of_a_schedule():
    seen = []
    schedule = profiler.schedule(wait=1, warmup=1, active=2, repeat=1)

    def ready(prof):
        seen.append([a.key for a in prof.key_averages()])

    with profiler.profile(schedule=schedule, on_trace_ready=ready) as prof:
        for _ in range(6):
            with profiler.record_function("range"):
                torch.ones(1) + 1
            prof.step()
    assert seen == [["range", "ProfilerStep#2", "ProfilerStep#3"]]


def test_what_is_not_measured():
    for option in "profile_memory", "with_flops":
        with pytest.raises(NotImplementedError):
            profiler.profile(**{option: True})


def test_timer_computes_what_it_times():
    ran = []
    timer = benchmark.Timer("ran.append(1); x * 2", "x = torch.ones(3)", globals={"ran": ran})
    measured = timer.timeit(50)
    assert len(ran) == 52 and measured.number_per_run == 50 and measured.mean > 0
    kept = benchmark.Timer("x * 2", "x = torch.ones(3)", timer=ticking())
    assert kept.timeit(4).raw_times == [1.0]


def test_timer_of_expressions_and_statements():
    for stmt in (
        "x + 1  # an expression",
        "y = x + 1\nz = y * 2",
        "for _ in range(2):\n    x.add_(1)",
    ):
        assert benchmark.Timer(stmt, "x = torch.ones(2)").timeit(3).median > 0
    with pytest.raises(ZeroDivisionError):
        benchmark.Timer("1 / 0").timeit(1)
    with pytest.raises(NotImplementedError):
        benchmark.Timer("x", language="c++")


def test_measurements_are_pytorchs():
    theirs = pytest.importorskip("torch.utils.benchmark")
    spec = dict(stmt="f(x)", setup="x = 1", label="l", sub_label="s", description="d")
    times = [0.002, 0.0021, 0.0025, 0.004]
    mine = benchmark.Measurement(2, times, benchmark.TaskSpec(**spec))
    other = theirs.Measurement(2, times, theirs.TaskSpec(**spec))
    assert (mine.mean, mine.median, mine.times) == (other.mean, other.median, other.times)
    assert mine.iqr == pytest.approx(other.iqr)
    assert mine.title == other.title and mine.as_row_name == other.as_row_name
    assert "1.15 ms" in repr(mine) and "4 measurements, 2 runs per measurement" in repr(mine)


def test_a_table():
    spec = [("a", "one"), ("b", "one"), ("a", "two")]
    results = [
        benchmark.Measurement(1, [1e-5 * n], benchmark.TaskSpec("x", "pass", "", "label", *names))
        for n, names in enumerate(spec, 1)
    ]
    lines = str(benchmark.Compare(results)).splitlines()
    rows = [[cell.strip() for cell in line.split("|")] for line in lines[1:5]]
    assert rows == [["", "one", "two"], ["1 thread:", "", ""], ["a", "10.0", "30.0"],
                    ["b", "20.0", ""]]  # fmt: skip
    assert lines[-1] == "Times are in microseconds (us)."


def test_automatic_ranges():
    timer = benchmark.Timer("x + 1", "x = 1")
    assert sum(timer.blocked_autorange(min_run_time=0.01).raw_times) >= 0.01
    assert len(timer.adaptive_autorange(min_run_time=0.001, max_run_time=0.1).raw_times) >= 4
