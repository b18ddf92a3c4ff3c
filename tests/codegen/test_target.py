"""The CPU target: the disk cache, hand-written kernels, the shape of the protocol."""

import os

import numpy as np
import pytest

from flambeau.codegen.builder import Builder
from flambeau.codegen.cpu import cache
from flambeau.codegen.cpu.target import CPU, cpu
from flambeau.codegen.nowhere import Nowhere
from flambeau.codegen.scalar import Load, k
from flambeau.codegen.target import Target
from flambeau.ir import dtype as dt
from flambeau.runtime.threads import Launch
from flambeau.settings import settings

from .harness import elementwise, run


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "cache", tmp_path)
    return tmp_path / "kernels"


def twice():
    return elementwise(Load(0, dt.float32) * 2, [dt.float32], dt.float32)


def check(target):
    a, out = np.arange(100, dtype=np.float32), np.zeros(100, np.float32)
    run(twice(), [a, out], [100], [[1]] * 2, target=target)
    np.testing.assert_array_equal(out, a * 2)


def test_kernels_come_from_disk_the_second_time(place, monkeypatch):
    first = CPU()
    check(first)
    first.compiler.settle()
    assert list(place.iterdir())
    fresh = CPU()
    monkeypatch.setattr(fresh, "compiler", None)
    check(fresh)


@pytest.mark.parametrize("damage", [b"", b"FLAMBEAU", b"\0" * 5000, None])
def test_damaged_files_are_compiled_anew(place, damage):
    first = CPU()
    check(first)
    first.compiler.settle()
    for file in place.iterdir():
        whole = file.read_bytes()
        file.write_bytes(whole[:-1] + b"?" if damage is None else damage)
    second = CPU()
    check(second)
    second.compiler.settle()
    for file in place.iterdir():
        assert cache.read(file.name) is not None


def test_a_file_under_the_name_of_another_is_not_read(place):
    cache.write("one", b"code")
    (place / "one").rename(place / "two")
    assert cache.read("two") is None
    cache.write("one", b"code")
    assert cache.read("one") == b"code"


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(settings, "cache", tmp_path / "file")
    check(CPU())


def test_trimming_drops_the_oldest(tmp_path):
    for i in range(5):
        (tmp_path / str(i)).write_bytes(bytes(100))
        os.utime(tmp_path / str(i), (i, i))
    cache.trim(tmp_path, 250)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["3", "4"]


def add_constant(value):
    b = cpu().builder()
    with b.kernel("bump") as f:
        p = b.word_pointer(0)
        with b.loop(f.begin, f.end) as i:
            cell = b.element(p, "i64", i.index)
            b.store(b.add(b.load("i64", cell), value), cell)
    return b.text()


def test_two_texts_may_use_one_name():
    data, frame = np.zeros(3, np.int64), np.zeros(2, np.int64)
    launches = [
        Launch(cpu().load_text(add_constant(value), "bump").address, ((0, data.ctypes.data),), 3)
        for value in (5, 70)
    ]
    assert cpu().tape(launches).run(frame.ctypes.data) == 0
    assert data.tolist() == [75, 75, 75]


@pytest.mark.parametrize("width", [16, 32, 64])
def test_code_for_narrower_vectors(width, monkeypatch, tmp_path):
    target = CPU()
    monkeypatch.setattr(target, "builder", lambda: Builder(width))
    x = Load(0, dt.float32)
    nest = elementwise(k.exp(x) + k.sin(x), [dt.float32], dt.float32)
    monkeypatch.setattr(settings, "cache", tmp_path)
    a, out = np.linspace(-3, 3, 77, dtype=np.float32), np.zeros(77, np.float32)
    run(nest, [a, out], [77], [[1]] * 2, target=target)
    np.testing.assert_allclose(out, np.exp(a) + np.sin(a), rtol=1e-6, atol=1e-6)


def test_nowhere_accepts_and_runs_nothing():
    target: Target = Nowhere()
    kernel = target.load(twice())
    assert target.tape([Launch(kernel.address, ())]).run(0) == 0
