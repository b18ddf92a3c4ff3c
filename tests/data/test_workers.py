"""Worker processes: PyTorch's batches and seeds; failures are told; nothing stays behind."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import flambeau
from flambeau.utils.data import DataLoader, Dataset, get_worker_info

torch = pytest.importorskip("torch")


def makers(torch):
    """Data sets of one framework."""
    D = torch.utils.data

    class Seeds(D.Dataset):
        def __len__(self):
            return 6

        def __getitem__(self, i):
            info = D.get_worker_info()
            return (int(np.random.randint(0, 2**31)), random.random(), torch.rand(1).item(),
                    info.id, info.num_workers, info.seed, torch.get_num_threads())  # fmt: skip

    class Part(D.IterableDataset):
        def __iter__(self):
            info = D.get_worker_info()
            return iter(range(info.id, 11, info.num_workers))

    class Mixed(D.Dataset):
        def __len__(self):
            return 9

        def __getitem__(self, i):
            large = torch.arange(20000.0) + i
            return {"x": large, "y": i, "s": str(i), "v": large.reshape(2, -1).t()[:3], "a": large}

    return {"Seeds": Seeds(), "Part": Part(), "Mixed": Mixed(), "D": D, "torch": torch,
            "rows": D.TensorDataset(torch.arange(10.0), torch.arange(20).view(10, 2))}  # fmt: skip


def as_it_is(batch):
    return batch


EXPRESSIONS = """
D.DataLoader(Seeds, num_workers=2, collate_fn=as_it_is)
D.DataLoader(Seeds, num_workers=2, collate_fn=as_it_is, persistent_workers=True)
D.DataLoader(Part, num_workers=3, batch_size=2)
D.DataLoader(Part, num_workers=3, batch_size=2, drop_last=True, persistent_workers=True)
D.DataLoader(Part, num_workers=2, batch_size=None)
D.DataLoader(Mixed, num_workers=2, batch_size=2, shuffle=True)
D.DataLoader(rows, num_workers=2, batch_size=3, shuffle=True, prefetch_factor=1)
D.DataLoader(rows, num_workers=1, batch_size=None, sampler=[3, 1, 7])
D.DataLoader(rows, num_workers=2, batch_sampler=[[0, 1], [9], [3, 3]])
D.DataLoader(D.Subset(rows, [5, 3, 1]), num_workers=2, batch_size=2)
D.DataLoader(rows, num_workers=2, batch_size=2, prefetch_factor=0)
D.DataLoader([], num_workers=2)
"""


def two_passes(torch, expression):
    torch.manual_seed(3)
    loader = eval(expression, makers(torch) | {"as_it_is": as_it_is})
    try:
        return str([list(loader), list(loader), torch.rand(1)])
    except AssertionError as error:
        return str(error)


@pytest.mark.filterwarnings("ignore:This DataLoader will create", "ignore::DeprecationWarning",
                            "ignore::pytest.PytestUnraisableExceptionWarning")  # fmt: skip
@pytest.mark.parametrize("expression", EXPRESSIONS.strip().splitlines())
def test_gives_pytorchs_batches(expression):
    assert two_passes(flambeau, expression) == two_passes(torch, expression)


def act(how):
    """What a data set may do to its worker."""
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "exit":
        os._exit(3)
    if how == "sleep":
        time.sleep(100)
    if how == "cannot be sent":
        return lambda: 1
    raise how


class Trouble(Dataset):
    """The sixth sample does something."""

    def __init__(self, how):
        self.how = how

    def __len__(self):
        return 8

    def __getitem__(self, i):
        return act(self.how) if i == 5 else i


class TwoParts(Exception):
    def __init__(self, a, b):
        super().__init__(a, b)


@pytest.mark.parametrize("how, kind, says", [
    ("kill", RuntimeError, r"DataLoader worker \(pid\(s\) \d+\) exited unexpectedly"),
    ("exit", RuntimeError, r"DataLoader worker \(pid\(s\) \d+\) exited unexpectedly"),
    ("cannot be sent", AttributeError, "Caught AttributeError in DataLoader worker process 0"),
    (KeyError("no"), KeyError, "(?s)Caught KeyError in .*in __getitem__.*KeyError: 'no'"),
    (IndexError("no"), IndexError, "Caught IndexError in DataLoader worker process 0"),
    (TwoParts(1, 2), RuntimeError, "Caught TwoParts in DataLoader worker process 0"),
], ids=str)  # fmt: skip
def test_trouble_is_told(how, kind, says):
    loader = DataLoader(Trouble(how), batch_size=1, num_workers=1,
                        collate_fn=as_it_is if how == "cannot be sent" else None)  # fmt: skip
    batches = iter(loader)
    assert [batch[0] for _, batch in zip(range(5), batches)] == list(range(5))
    with pytest.raises(kind, match=says):
        next(batches)


def test_after_an_exception_the_other_batches_come():
    batches, found = iter(DataLoader(Trouble(ValueError()), num_workers=2)), []
    while True:
        try:
            found.append(next(batches).item())
        except ValueError:
            found.append("error")
        except StopIteration:
            break
    assert found == [0, 1, 2, 3, 4, "error", 6, 7]


def test_a_time_limit():
    start = time.monotonic()
    with pytest.raises(RuntimeError, match="DataLoader timed out after 0.3 seconds"):
        list(DataLoader(Trouble("sleep"), num_workers=2, timeout=0.3))
    assert time.monotonic() - start < 4


def refuse(worker):
    if worker == 1:
        raise ValueError("not this one")


def test_preparations_may_fail():
    with pytest.raises(ValueError, match="(?s)Caught ValueError.*process 1.*not this one"):
        list(DataLoader(range(8), num_workers=2, worker_init_fn=refuse))


def test_a_pass_that_is_left_early():
    loader = DataLoader(range(20), batch_size=2, num_workers=2, persistent_workers=True)
    assert next(iter(loader)).tolist() == [0, 1]
    assert sum(map(len, loader)) == 20
    pids = [w.process.pid for w in loader._iterator.workers]
    assert sum(map(len, loader)) == 20
    assert [w.process.pid for w in loader._iterator.workers] == pids
    processes = [w.process for w in loader._iterator.workers]
    del loader
    assert not any(p.is_alive() for p in processes)


def test_any_order():
    loader = DataLoader(range(20), batch_size=2, num_workers=2, in_order=False)
    assert sorted(i for batch in loader for i in batch.tolist()) == list(range(20))


def test_memory_is_shared_not_kept():
    """Large batches come in memory of their own: they stay as they are, and can be written to."""
    loader = DataLoader(Large(), batch_size=2, num_workers=2)
    batches = list(loader)
    batches[0].add_(100.0)
    assert [b[:, 0].tolist() for b in batches] == [[100.0, 101.0], [2.0, 3.0], [4.0, 5.0]]


class Large(Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, i):
        assert get_worker_info() is not None
        return flambeau.full((50000,), float(i))


SCRIPT = """
import sys, time
import flambeau as torch

class Slow(torch.utils.data.Dataset):
    def __len__(self):
        return 1000

    def __getitem__(self, i):
        time.sleep(0.01)
        return torch.ones(100000) * i

if __name__ == "__main__":
    loader = torch.utils.data.DataLoader(Slow(), num_workers=2, multiprocessing_context=sys.argv[1],
                                         persistent_workers=True)
    for n, batch in enumerate(loader):
        print(batch[0, 0].item(), flush=True)
        if n == int(sys.argv[2]):
            break
"""


def started(folder, *args):
    """The script in a session of its own, after it has printed a line."""
    script = folder / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(Path(flambeau.__file__).parent.parent),
                   "TMPDIR": str(folder)}  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, str(script), *args], env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert process.stdout.readline() == "0.0\n"
    return process


def running(session):
    """The processes of a session that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            _, rest = path.read_text().rsplit(")", 1)
        except OSError:
            continue  # it has just ended
        state, _, _, its_session = rest.split()[:4]
        if int(its_session) == session and state != "Z":
            found.append(path)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("how", ["end", "SIGINT", "SIGKILL"])
def test_nothing_stays_behind(how, method, tmp_path):
    before = set(Path("/dev/shm").glob("flambeau-*"))
    process = started(tmp_path, method, "3" if how == "end" else "-1")
    if how == "SIGINT":
        os.killpg(process.pid, signal.SIGINT)
    elif how == "SIGKILL":
        process.kill()
    _, errors = process.communicate(timeout=60)
    if how == "end":
        assert (process.returncode, errors) == (0, "")
    if how == "SIGINT":
        assert errors.splitlines()[-1] == "KeyboardInterrupt"
    deadline = time.monotonic() + 10
    while running(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not running(process.pid)
    assert set(Path("/dev/shm").glob("flambeau-*")) <= before


def test_a_fork_computes(tmp_path):
    """The threads of the pool stay with the parent; a child has its own."""
    x = flambeau.randn(300, 300)
    expected = [(x @ x).relu().sum().item() for _ in range(3)][0]
    for threads in (1, 2):
        child = os.fork()
        if child == 0:
            flambeau.set_num_threads(threads)
            os._exit((x @ x).relu().sum().item() != expected)
        assert os.waitpid(child, 0)[1] == 0
