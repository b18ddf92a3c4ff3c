"""The pool and the tape: splitting, errors, forks, several callers."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from flambeau.codegen.cpu.target import cpu
from flambeau.runtime import threads
from flambeau.runtime.threads import Launch


def count_kernel():
    """Adds 1 to cell t for each task t, and the worker's number + 1 to a second array."""
    b = cpu().builder()
    with b.kernel("count") as f:
        cells, who = b.word_pointer(0), b.word_pointer(1)
        with b.loop(f.begin, f.end) as t:
            cell = b.element(cells, "i64", t.index)
            b.store(b.add(b.load("i64", cell), 1), cell)
            b.store(b.add(f.thread, 1), b.element(who, "i64", t.index))
    return cpu().load_text(b.text(), "count").address


def fail_kernel():
    b = cpu().builder()
    with b.kernel("refuse") as f:
        b.fail(b.word_pointer(0), b.icmp("eq", f.begin, 0), 9, 41, 42)
    return cpu().load_text(b.text(), "refuse").address


@pytest.fixture
def restore():
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("tasks", [0, 1, 2, 3, 17, 1000])
def test_each_task_is_done_once(tasks, workers, restore):
    threads.set_num_threads(workers)
    cells, who = np.zeros(1000, np.int64), np.zeros(1000, np.int64)
    words = ((0, cells.ctypes.data), (0, who.ctypes.data))
    tape = cpu().tape([Launch(count_kernel(), words, tasks)] * 50)
    frame = np.zeros(2, np.int64)
    assert tape.run(frame.ctypes.data) == 0
    assert (cells[:tasks] == 50).all() and (cells[tasks:] == 0).all()
    assert who.max() <= workers


def test_words_and_tasks_come_from_the_frame():
    cells, who = np.zeros(9, np.int64), np.zeros(9, np.int64)
    frame = np.array([0, 0, cells.ctypes.data, 4], np.int64)
    launch = Launch(count_kernel(), ((2, 8), (0, who.ctypes.data)), (3, 1))
    cpu().tape([launch]).run(frame.ctypes.data)
    assert cells.tolist() == [0, 1, 1, 1, 1, 1, 0, 0, 0]


def test_an_error_stops_the_tape():
    cells, who, record = np.zeros(4, np.int64), np.zeros(4, np.int64), np.zeros(8, np.int64)
    words = ((0, cells.ctypes.data), (0, who.ctypes.data))
    good = Launch(count_kernel(), words, 4)
    bad = Launch(fail_kernel(), ((1, 0),), 4)
    frame = np.array([0, record.ctypes.data], np.int64)
    assert cpu().tape([good, bad, good]).run(frame.ctypes.data) == 2
    assert cells.tolist() == [1] * 4
    assert record.tolist()[:3] == [9, 41, 42]


def test_workers_sleep_and_wake(restore):
    threads.set_num_threads(3)
    cells, who, frame = np.zeros(64, np.int64), np.zeros(64, np.int64), np.zeros(2, np.int64)
    words = ((0, cells.ctypes.data), (0, who.ctypes.data))
    tape = cpu().tape([Launch(count_kernel(), words, 64)])
    for turn in range(1, 6):
        time.sleep(0.01)
        if turn % 2:
            threads.wake()
        tape.run(frame.ctypes.data)
        assert (cells == turn).all()


def test_several_callers_at_once(restore):
    threads.set_num_threads(2)
    kernel, cells = count_kernel(), [np.zeros(100, np.int64) for _ in range(4)]
    who = np.zeros(100, np.int64)

    def work(mine):
        words = ((0, mine.ctypes.data), (0, who.ctypes.data))
        tape, frame = cpu().tape([Launch(kernel, words, 100)] * 20), np.zeros(2, np.int64)
        for _ in range(50):
            assert tape.run(frame.ctypes.data) == 0

    callers = [threading.Thread(target=work, args=(mine,)) for mine in cells]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert all((mine == 1000).all() for mine in cells)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_child_computes(restore):
    threads.set_num_threads(2)
    cells, who, frame = np.zeros(64, np.int64), np.zeros(64, np.int64), np.zeros(2, np.int64)
    words = ((0, cells.ctypes.data), (0, who.ctypes.data))
    tape = cpu().tape([Launch(count_kernel(), words, 64)])
    tape.run(frame.ctypes.data)
    child = os.fork()
    if not child:
        tape.run(frame.ctypes.data)
        threads.wake()
        tape.run(frame.ctypes.data)
        os._exit(0 if (cells == 3).all() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    tape.run(frame.ctypes.data)
    assert (cells == 2).all()


def test_number_of_threads(restore):
    threads.set_num_threads(3)
    assert threads.get_num_threads() == 3
    with pytest.raises(RuntimeError, match="Expected positive number of threads"):
        threads.set_num_threads(0)


def test_the_process_ends_cleanly_and_honours_the_environment():
    code = (
        "import numpy as np\n"
        "from flambeau.runtime import threads\n"
        "from codegen.test_threads import *\n"
        "print(threads.get_num_threads())\n"
        "c, w, f = (np.zeros(64, np.int64) for _ in range(3))\n"
        "t = cpu().tape([Launch(count_kernel(), ((0, c.ctypes.data), (0, w.ctypes.data)), 64)])\n"
        "t.run(f.ctypes.data)\n"
    )
    path = [str(Path(__file__).parents[1]), *sys.path]
    env = {**os.environ, "OMP_NUM_THREADS": "3", "PYTHONPATH": os.pathsep.join(path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "")


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_launches_of_a_group_run_once_each(workers, restore):
    threads.set_num_threads(workers)
    counts = np.zeros((40, 8), np.int64)
    who = np.zeros(8, np.int64)
    tasks = [1 + n % 3 for n in range(40)]
    launches = [
        Launch(count_kernel(), ((2, n * 64), (0, who.ctypes.data)), tasks[n]) for n in range(40)
    ]
    frame = np.array([0, 0, counts.ctypes.data], np.int64)
    tape = cpu().tape(launches, [(2, 30), (33, 7)])
    for _ in range(20):
        assert tape.run(frame.ctypes.data) == 0
    for row, count in zip(counts, tasks):
        assert row.tolist() == [20] * count + [0] * (8 - count)


def test_launches_are_numbered_through_groups():
    cells, who, record = np.zeros(4, np.int64), np.zeros(4, np.int64), np.zeros(8, np.int64)
    good = Launch(count_kernel(), ((0, cells.ctypes.data), (0, who.ctypes.data)), 1)
    bad = Launch(fail_kernel(), ((1, 0),), 4)
    frame = np.array([0, record.ctypes.data], np.int64)
    assert cpu().tape([good, good, good, bad, good], [(0, 3)]).run(frame.ctypes.data) == 4
    assert cells[0] == 3
