"""Several Python threads, forks and interrupts: values are those of one thread after the other."""

from __future__ import annotations

import gc
import os
import queue
import subprocess
import sys
import textwrap
import threading
import time
import weakref

import numpy as np
import pytest

import flambeau as torch
from flambeau.settings import settings
from flambeau.trace import flush as flush_module
from flambeau.trace import turns
from flambeau.trace.flush import flush_current
from flambeau.trace.trie import here, threads


@pytest.fixture(params=[{"patience": 0}, {"compile": False}], ids=str, autouse=True)
def tier(request):
    with settings.override(**request.param):
        yield


@pytest.fixture(autouse=True)
def quick_switches():
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)
    (torch.ones(1) + 1).tolist()  # nobody else records now: this thread is lazy again
    assert here.stretch.guests is None


def together(*functions, seconds=60):
    """Run functions in threads of their own; what they return, in order; errors are raised."""
    found, errors = [None] * len(functions), []

    def run(n, function):
        try:
            found[n] = function()
        except BaseException as error:
            errors.append(error)

    threads = [
        threading.Thread(target=run, args=(n, f), daemon=True) for n, f in enumerate(functions)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)
    assert not any(t.is_alive() for t in threads), "the threads wait for each other"
    if errors:
        raise errors[0]
    return found


def chain(start, count):
    """A little program, and what it should give."""
    x, expected = torch.full((5,), start), np.full(5, start, np.float32)
    for n in range(count):
        x = x * 0.5 + n if n % 2 else x + torch.arange(5.0)
        expected = expected * np.float32(0.5) + n if n % 2 else expected + np.arange(5, dtype="f")
    return x, expected


def test_threads_on_data_of_their_own():
    def work(start):
        for turn in range(20):
            x, expected = chain(start + turn, 15 + turn % 3)
            np.testing.assert_allclose(x.tolist(), expected, rtol=1e-5)

    together(*[lambda s=s: work(float(s)) for s in range(4)])


def test_a_model_that_several_threads_read():
    net = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    inputs = [torch.full((2, 6), n / 7) for n in range(6)]
    expected = [net(x).tolist() for x in inputs]

    def serve(first):
        for turn in range(30):
            n = (first + turn) % 6
            with torch.no_grad():
                found = net(inputs[n]).tolist()
            np.testing.assert_allclose(found, expected[n], rtol=1e-5, atol=1e-6)

    together(*[lambda s=s: serve(s) for s in range(3)])


def test_a_producer_and_a_consumer():
    handed, total = queue.Queue(maxsize=3), 60

    def produce():
        for n in range(total):
            handed.put(torch.arange(4.0) * n + 1)

    def consume():
        seen = torch.zeros(4)
        for _ in range(total):
            seen = seen + handed.get()
        return seen.tolist()

    _, seen = together(produce, consume)
    assert seen == [total + n * total * (total - 1) / 2 for n in range(4)]


def test_a_look_at_what_another_thread_left_pending():
    """This thread is lazy; another one wants its values while it goes on recording."""
    box, done = [torch.zeros(3)], threading.Event()

    def look():
        last, looks = -1.0, 0
        while not done.is_set():
            value = box[0].tolist()
            assert value[0] == value[1] == value[2] and value[0] >= last, (value, last)
            last, looks = value[0], looks + 1
        return looks

    def record():
        try:
            for n in range(1500):
                box[0] = box[0] + 1
                if n % 100 == 0:
                    time.sleep(0.001)
        finally:
            done.set()

    together(record, look)
    assert box[0].tolist() == [1500.0] * 3


def test_writes_that_are_pending_in_another_thread():
    """What was written before a thread began is what it sees."""
    for turn in range(15):
        w = torch.zeros(4)
        w.tolist()
        w.add_(turn)
        (seen,) = together(lambda w=w: (w * 2).tolist())
        assert seen == [2.0 * turn] * 4
        w.add_(1)
        assert w.tolist() == [turn + 1.0] * 4
        together(lambda w=w: w.mul_(3))
        assert w.tolist() == [3.0 * turn + 3] * 4


def test_training_in_one_thread_while_another_evaluates():
    torch.manual_seed(0)
    x = torch.randn(32, 4)
    y = x.sum(1, keepdim=True)
    net = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    done = threading.Event()

    def train():
        try:
            for _ in range(150):
                loss = torch.nn.functional.mse_loss(net(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            return loss.item()
        finally:
            done.set()

    def evaluate():
        seen = []
        while not done.is_set():
            with torch.no_grad():
                seen.append(torch.nn.functional.mse_loss(net(x), y).item())
        return seen

    loss, seen = together(train, evaluate)
    assert loss < 1e-3
    assert np.isfinite(seen).all()


def test_modes_are_the_threads_own():
    ready, go = threading.Event(), threading.Event()

    def other():
        ready.set()
        go.wait(20)
        w = torch.ones(2, requires_grad=True)
        return (w * 2).requires_grad

    w = torch.ones(2, requires_grad=True)
    with torch.no_grad():
        thread_result = []
        thread = threading.Thread(target=lambda: thread_result.append(other()), daemon=True)
        thread.start()
        ready.wait(20)
        go.set()
        thread.join(20)
        assert thread_result == [True]
        assert not (w * 2).requires_grad


def test_a_worker_becomes_lazy_when_the_first_thread_is_idle():
    torch.ones(2).add(1).tolist()
    flush_current()

    def work():
        (torch.ones(3) + 1).tolist()
        (torch.ones(3) + 1).tolist()
        x = torch.ones(3) + 1
        return here.stretch.state.depth, x.tolist()

    (found,) = together(work)
    assert found == (2, [2.0, 2.0, 2.0])
    x = torch.ones(3) + 4  # the worker is over: this thread takes its place again
    assert x.tolist() == [5.0] * 3
    y = torch.ones(3) + 4
    assert here.stretch.state.depth == 2 and y.tolist() == [5.0] * 3


# ------------------------------------------------------------------ who is lazy, and handing over


def model():
    torch.manual_seed(3)
    return torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))


def train(net, steps=40):
    """Losses of some steps on data that is always the same."""
    x = torch.linspace(-1, 1, 60).reshape(10, 6)
    y = x[:, :1] * 0.5 + x[:, 3:4].square()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(steps):
        loss = torch.nn.functional.mse_loss(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss)
    return [loss.item() for loss in losses]


def test_inference_on_weights_that_two_threads_share():
    """Neither waits for the other: what they only read bears no mark of either."""
    net = model()
    batches = [torch.full((3, 6), n / 5) for n in range(8)]
    expected = [net(x).tolist() for x in batches]

    def serve():
        with torch.inference_mode():
            return [[net(x).tolist() for x in batches] for _ in range(15)]

    for found in together(serve, serve):
        for once in found:
            np.testing.assert_allclose(once, expected, rtol=1e-5, atol=1e-6)


def test_training_in_a_thread_while_this_one_waits():
    expected = train(model())
    net = model()  # its parameters are still to be drawn
    (found,) = together(lambda: train(net))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    again = train(net, 3)
    assert again[0] < expected[0] / 2


def test_training_in_a_thread_becomes_lazy_though_this_one_left_calls_pending():
    left = torch.ones(3) * 2

    def work():
        for n in range(200):
            x = torch.ones(3) * n
            if here.stretch.guests is None:
                break
        return here.stretch.guests is None, x.tolist()

    ((lazy, _),) = together(work)
    assert lazy
    assert left.tolist() == [2.0] * 3


def test_two_threads_train_models_of_their_own():
    expected = train(model())
    nets = [model(), model(), model()]
    for found in together(*[lambda net=net: train(net) for net in nets]):
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_two_threads_train_the_same_weights():
    """Without locks (Hogwild): which update comes first is open, but nothing breaks."""
    net, twin = model(), model()
    before = train(model(), 1)[0]
    for mine, theirs in zip(net.parameters(), twin.parameters()):
        theirs.data = mine.data
    for losses in together(lambda: train(net, 60), lambda: train(twin, 60)):
        assert np.isfinite(losses).all()
    assert train(net, 1)[0] < before / 2


def test_a_read_that_is_pending_sees_no_later_write_of_another_thread():
    for n in range(10):
        w = torch.full((4,), float(n))
        w.tolist()
        before = w * 2  # pending, and reads w
        together(lambda w=w: w.zero_())
        after = w + 1
        assert before.tolist() == [2.0 * n] * 4
        assert after.tolist() == [1.0] * 4


def test_a_view_from_another_thread():
    base = torch.zeros(6)
    (view,) = together(lambda: base[2:4])
    view.add_(1)
    assert base.tolist() == [0, 0, 1, 1, 0, 0]
    together(lambda: view.mul_(base[2:4] + 1))
    assert (base + 0).tolist() == [0, 0, 2, 2, 0, 0]


def test_memory_of_numpy_in_two_threads():
    array = np.zeros(3, np.float32)
    x = torch.from_numpy(array)

    def work():
        x.add_(1)
        seen = array.copy()
        array[:] = 7
        return seen.tolist(), (x * 2).tolist()

    assert together(work) == [([1.0] * 3, [14.0] * 3)]
    assert x.tolist() == [7.0] * 3


def test_a_queue_hands_tensors_over_both_ways():
    there, back = queue.Queue(), queue.Queue()

    def other():
        while (x := there.get()) is not None:
            x.mul_(2)
            back.put((x, x + 1))

    def this():
        x, total = torch.ones(3), torch.zeros(3)
        for n in range(40):
            x = x * 0.5  # pending when it is handed over
            there.put(x)
            x, more = back.get()
            total = total + more
            x.add_(n)
        there.put(None)
        return x.tolist(), total.tolist()

    (x, total), _ = together(this, other)
    expected, sums = 1.0, 0.0
    for n in range(40):
        sums += expected + 1
        expected += n
    assert x == [expected] * 3 and total == [sums] * 3


def test_a_pool_of_threads_maps_a_model():
    from concurrent.futures import ThreadPoolExecutor

    net = model()
    batches = [torch.full((2, 6), n / 9) for n in range(30)]
    with torch.no_grad():
        expected = [net(x) for x in batches]  # pending, as the inputs are

        def serve(x):
            with torch.no_grad():
                return net(x)

        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(serve, batches))
    for one, other in zip(found, expected):
        np.testing.assert_allclose(one.tolist(), other.tolist(), rtol=1e-5, atol=1e-6)


def test_many_threads_that_live_shortly_leave_nothing_behind():
    stretches = []

    def work(n):
        stretches.append(weakref.ref(here.stretch))
        return (torch.ones(2) * n).tolist()

    for n in range(60):
        assert together(lambda n=n: work(n)) == [[n, n]]
    together(lambda: work(0))
    torch.ones(2).tolist()
    flush_current()
    assert len(threads.known) <= 3
    gc.collect()
    assert sum(s() is not None for s in stretches) <= 3


def test_a_thread_that_is_over_left_calls_pending():
    """It was the lazy one: others find its results, and the writes that it had not done yet."""
    w = torch.zeros(3)
    w.tolist()
    flush_current()
    box = []

    def work():
        for _ in range(3):
            box[:] = [torch.ones(3) * 5]
            box[0].tolist()  # takes the turn when the first thread has nothing pending
        w.add_(2)
        box[:] = [w * 2, here.stretch.state.depth]

    together(work)
    result, pending = box
    assert pending > 0
    assert (w + 1).tolist() == [3.0] * 3
    assert result.tolist() == [4.0] * 3
    w.add_(1)
    assert w.tolist() == [3.0] * 3


def test_threads_that_are_no_threads_of_threading():
    import _thread

    done, found = threading.Event(), []

    def work():
        try:
            found.append((w * 2 + torch.ones(3)).tolist())
        finally:
            done.set()

    w = torch.ones(3) + 1
    _thread.start_new_thread(work, ())
    assert done.wait(20) and found == [[5.0] * 3]


def test_what_fails_in_a_claimed_stretch_is_told_to_its_thread():
    torch.ones(1).tolist()
    flush_current()
    torch.ones(1) + 1
    fine = torch.ones(3) + 1
    bad = torch.arange(3.0).index_select(0, torch.tensor([4]) + 1)
    assert together(lambda: fine.tolist()) == [[2.0] * 3]
    with pytest.raises(IndexError):
        flush_current()
        (torch.ones(3) + 1).tolist()
    with pytest.raises(IndexError):
        bad.tolist()
    assert (torch.ones(3) + 1).tolist() == [2.0] * 3


def test_the_default_type_is_for_all_threads_that_begin_later():
    torch.set_default_dtype(torch.float64)
    try:
        assert together(lambda: torch.zeros(1).dtype) == [torch.float64]
    finally:
        torch.set_default_dtype(torch.float32)
    assert together(lambda: torch.zeros(1).dtype) == [torch.float32]


# ------------------------------------------------------------------ fork


def run_python(source: str, **environment: str) -> str:
    """What a script prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)],
        capture_output=True, text=True, timeout=120, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_the_child_of_a_fork_trains_on():
    printed = run_python("""
        import os, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        import flambeau as torch
        torch.manual_seed(0)
        x = torch.randn(2000, 64)
        y = x[:, :1] * 3
        net = torch.nn.Linear(64, 1)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        def train(steps):
            for _ in range(steps):
                loss = torch.nn.functional.mse_loss(net(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            return loss.item()
        train(6)
        pending = net.weight * 2
        child = os.fork()
        if child == 0:
            first = pending.sum().item()
            print("child", round(first, 4), round(train(10), 4), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        first = pending.sum().item()
        print("parent", round(first, 4), round(train(10), 4))
    """)
    child, parent = (line.split()[1:] for line in printed.splitlines())
    assert child == parent


# ------------------------------------------------------------------ Ctrl-C


@pytest.mark.skipif(sys.platform == "win32", reason="signals are raised otherwise there")
def test_interrupts_leave_everything_in_order():
    """Ctrl-C at any moment of a loop: the tensors are those of some moment, and work goes on."""
    printed = run_python("""
        import os, signal, threading, time
        import flambeau as torch
        armed, shots = threading.Event(), 40
        def shoot():
            for n in range(shots):
                armed.wait()
                time.sleep(0.0007 * (n % 13))
                armed.clear()
                os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=shoot).start()
        x, w = torch.zeros(50), torch.ones(50, requires_grad=True)
        def work(n):
            global x
            x = x + 1
            x -= 0.5
            (w * w).sum().backward()
            if n % 7 == 0:
                value = x.tolist()
                assert len(set(value)) == 1, value
        for shot in range(shots):
            try:
                armed.set()
                n = 0
                while True:
                    n += 1
                    work(n)
            except KeyboardInterrupt:
                assert len(set(x.tolist())) == 1
        y = x * 2
        assert len(set(y.tolist())) == 1
        a = torch.ones(3)
        a += 1
        assert a.tolist() == [2.0, 2.0, 2.0]
        assert set((w.grad - w.grad[0]).tolist()) == {0.0}
        print("every shot was caught")
    """)
    assert printed == "every shot was caught\n"


def test_the_handler_of_a_program_stays():
    printed = run_python("""
        import signal
        def mine(number, frame): print("mine")
        signal.signal(signal.SIGINT, mine)
        import flambeau as torch
        torch.ones(2).tolist()
        signal.raise_signal(signal.SIGINT)
    """)
    assert printed == "mine\n"


def test_a_turn_is_taken_while_its_thread_ends_a_stretch(monkeypatch):
    """The other thread is between two stretches: afterwards one of the two is lazy, not both."""
    (torch.ones(1) + 1).tolist()
    here_is, taken, done, seen = (threading.Event() for _ in range(4))
    plain_stretch, plain_settle = flush_module.Stretch, turns.settle
    main = threading.get_ident()

    def pausing_stretch(*args):
        if threading.get_ident() == main and not here_is.is_set():
            here_is.set()
            taken.wait(1)
        return plain_stretch(*args)

    def pausing_settle(*args):
        plain_settle(*args)
        taken.set()
        time.sleep(0.1)  # the other one would go on meanwhile

    def other():
        here_is.wait(5)
        for _ in range(3):
            (torch.ones(1) + 1).tolist()
        done.set()
        seen.wait(5)

    pending = torch.ones(2) * 3
    thread = threading.Thread(target=other)
    with monkeypatch.context() as patch:
        patch.setattr(turns, "PATIENCE", 0)
        patch.setattr(flush_module, "Stretch", pausing_stretch)
        patch.setattr(turns, "settle", pausing_settle)
        thread.start()
        assert pending.tolist() == [3.0, 3.0]
        done.wait(5)
    lazy = [theirs["stretch"].guests is None for theirs, _ in threads.known.values()]
    seen.set()
    thread.join(30)
    assert lazy.count(True) == 1
