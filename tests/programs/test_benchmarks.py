"""The benchmark's own arithmetic: rows, comparison of values, ratios, limits, words for times."""

import itertools
import math

import pytest

from benchmarks import memory, report
from benchmarks.limits import Limits
from benchmarks.models.costs import linear_flops
from benchmarks.results import Result, compare, difference, geometric_mean
from benchmarks.rows import all_rows, find_row


def test_titles_are_unique_and_found():
    titles = [row.title for row in all_rows()]
    assert len(set(titles)) == len(titles)
    assert all(find_row(title).title == title for title in titles)
    assert {row.group for row in all_rows()} <= report.GROUPS.keys()


def test_values_agree_to_four_figures():
    assert difference([1.0, 2.0, math.nan], [1.00005, 2.0, math.nan]) == ""
    assert "value 1" in difference([1.0, 2.0], [1.0, 2.001])
    assert "value 0" in difference([1.0], [math.nan])
    assert "2 values against 1" in difference([1.0, 2.0], [1.0])


def test_ratio_is_the_median_of_the_turns():
    theirs, ours = [[4.0, 6.0, 5.0], [6.0], [20.0]], [[1.0], [2.0], [2.0]]
    result = compare("group", "name", theirs, ours, per=2)
    assert (result.low, result.ratio, result.high) == (3.0, 5.0, 10.0)
    assert (result.theirs, result.ours) == (3.0, 1.0)


def test_geometric_mean_treats_twice_and_half_alike():
    assert geometric_mean([2.0, 0.5]) == pytest.approx(1.0)


def test_layers_are_priced_forward_and_backward():
    assert linear_flops(256, 784, 10) == 2 * 2 * 256 * 784 * 10
    assert linear_flops(2, 3, 4, 5) == 2 * 2 * (2 * 3 * 4) + 3 * 2 * (2 * 4 * 5)


def test_the_tighter_limit_counts():
    limits = Limits(flops=1e9, bandwidth={2**16: 1e10, 2**28: 1e9})
    product = find_row("matmul/AB 1024×1024×1024")
    assert limits.seconds(product) == pytest.approx(2 * 1024**3 / 1e9)
    large = find_row("kernels/softmax, 10000×1000")
    assert limits.seconds(large) == pytest.approx(large.bytes / 1e9)
    assert limits.seconds(find_row("recording/x * b + 1.0")) is None


@pytest.mark.parametrize("seconds, words", [
    (2.5, "2.5 s"), (0.0123, "12.3 ms"), (4.5e-6, "4.5 µs"), (12e-9, "12 ns"), (None, "–")])
def test_times_in_words(seconds, words):
    assert report.duration(seconds) == words


def test_a_failed_row_is_reported_as_such():
    failed = Result("training", "MLP", error="Traceback\nNotImplementedError: conv2d")
    assert "NotImplementedError: conv2d" in report.terminal_line(failed)
    assert list(report.summary([failed])) == ["training: 1 of 1 failed or differ: MLP"]


@pytest.mark.parametrize("loop", memory.LOOPS)
def test_memory_is_flat(loop, ours):
    running = memory.LOOPS[loop](ours)
    for _ in itertools.islice(running, 5000):  # by then everything is compiled
        pass
    before = memory.resident()
    for _ in itertools.islice(running, 5000):
        pass
    assert memory.resident() - before < memory.FLAT
