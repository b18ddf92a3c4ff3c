"""The disk cache is a help, never trusted: what is ill in it is as good as not there, whatever
became of it, and a disk that refuses costs time alone.
"""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import textwrap

import pytest

from flambeau.codegen.cpu import cache
from flambeau.codegen.cpu.compiling import settle_all
from flambeau.codegen.cpu.target import CPU
from flambeau.settings import settings

from .test_target import check

PAYLOAD = bytes(range(256)) * 3


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "cache", str(tmp_path))
    return tmp_path / "kernels"


def written(place):
    cache.write("key", PAYLOAD)
    return place / "key"


# ------------------------------------------------------------------ what is ill


def test_each_flipped_bit_is_seen(place):
    file = written(place)
    whole = file.read_bytes()
    for position in range(len(whole)):
        ill = bytearray(whole)
        ill[position] ^= 1 << position % 8
        file.write_bytes(ill)
        assert cache.read("key") is None, position
    file.write_bytes(whole)
    assert cache.read("key") == PAYLOAD


def test_each_file_that_is_cut_or_too_long_is_seen(place):
    file = written(place)
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        assert cache.read("key") is None, length
    file.write_bytes(whole + b"\0")
    assert cache.read("key") is None


def test_what_is_no_file(place):
    (place / "key").mkdir(parents=True)
    assert cache.read("key") is None
    cache.write("key", PAYLOAD)  # cannot take its place
    assert cache.read("key") is None
    assert [p.name for p in place.iterdir()] == ["key"]


def test_code_for_another_processor_is_not_taken(place):
    """A folder that several machines share: code is found by the processor that it is for."""
    first = CPU()
    check(first)
    settle_all()
    here = {file.name for file in place.iterdir()}
    other = CPU()
    lost = next(name for name, there in first.features.items() if there)
    other.features = {**first.features, lost: False}
    check(other)
    settle_all()
    assert {file.name for file in place.iterdir()} - here


# ------------------------------------------------------------------ disks that refuse


def refuse(number):
    def refusing(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    return refusing


@pytest.mark.parametrize("what", ["makedirs", "replace", "scandir"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_a_disk_that_refuses_is_no_error(what, number, place, monkeypatch):
    monkeypatch.setattr(os, what, refuse(number))
    check(CPU())
    settle_all()
    assert not place.exists() or not [f for f in os.listdir(place) if f.startswith(".new")]


FULL = """
    import resource, sys
    resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))  # files grow to this and no more
    import flambeau as torch
    for _ in range(4):
        x = torch.arange(1000.) / 7
        print((x.exp().sum() + (x[:900].view(30, 30) @ x[:30]).sum()).item().hex())
"""


def run(source, **environment):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True,
        timeout=120, env={**os.environ, **environment})  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("limit", [0, 700, 4000])
def test_a_full_disk(limit, tmp_path):
    """Files are cut in the middle: none is kept, none is read, results are the same."""
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    free = 1 << 40 if most == resource.RLIM_INFINITY else most
    wanted = run(FULL.format(limit=free), FLAMBEAU_CACHE=str(tmp_path / "roomy"))
    full = str(tmp_path / "full")
    assert run(FULL.format(limit=limit), FLAMBEAU_CACHE=full, PYTHONDONTWRITEBYTECODE="1") == wanted
    assert all(0 < file.stat().st_size <= limit for file in (tmp_path / "full").rglob("*.*"))
    assert run(FULL.format(limit=free), FLAMBEAU_CACHE=full) == wanted


# ------------------------------------------------------------------ several processes


TOGETHER = """
    import flambeau as torch
    torch.manual_seed(1)
    net = torch.nn.Sequential(torch.nn.Linear(9, 17), torch.nn.GELU(), torch.nn.Linear(17, 3))
    optimizer = torch.optim.Adam(net.parameters())
    for _ in range(5):
        loss = net(torch.randn(40, 9)).log_softmax(1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(loss.item().hex(), net[0].weight.sum().item().hex())
"""


def test_processes_that_begin_together(tmp_path):
    """They write and read the same files at the same time; all come to the same bits."""
    environment = {**os.environ, "FLAMBEAU_CACHE": str(tmp_path), "FLAMBEAU_PATIENCE": "0"}
    command = [sys.executable, "-c", textwrap.dedent(TOGETHER)]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(4)
    ]
    printed = [process.communicate(timeout=120)[0] for process in started]
    assert [process.returncode for process in started] == [0] * 4
    assert len(set(printed)) == 1 and printed[0]
    names = os.listdir(tmp_path / "kernels")
    assert names and not [name for name in names if name.startswith(".new")]
    assert run(TOGETHER, FLAMBEAU_CACHE=str(tmp_path), FLAMBEAU_PATIENCE="0") == printed[0].split()


def test_a_writer_that_was_killed_leaves_nothing_that_is_read(place):
    """Its file has another name until it is whole."""
    file = written(place)
    whole = file.read_bytes()
    file.unlink()
    (place / ".new-1-1-key").write_bytes(whole[:100])
    assert cache.read("key") is None
    cache.write("key", PAYLOAD)
    assert cache.read("key") == PAYLOAD


def test_a_folder_that_vanishes(place):
    first = CPU()
    check(first)
    settle_all()
    for file in place.iterdir():
        file.unlink()
    place.rmdir()
    check(CPU())
