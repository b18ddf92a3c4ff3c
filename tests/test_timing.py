"""torch.utils.benchmark: what it counts, and what it says."""

import pytest

from flambeau.utils import benchmark


def ticking(step=1.0):
    """A clock that goes on by a step each time that it is read."""
    time = iter(range(1 << 30))
    return lambda: next(time) * step


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
