"""Files: paths and streams, where memory goes, mapping, and what a failed save leaves behind."""

from __future__ import annotations

import io
import os
import pathlib
import pickle
import stat
import zipfile
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from tests.beside import oracle


def saved(obj: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(obj, file, **options)
    return file.getvalue()


def test_paths(tmp_path: pathlib.Path) -> None:
    for path in (tmp_path / "a.pt", str(tmp_path / "b.pt"), os.fspath(tmp_path / "no_ending")):
        torch.save([torch.ones(2)], path)
        assert torch.load(path)[0].tolist() == [1, 1]
    with open(tmp_path / "c.pt", "wb") as file:
        torch.save(3, file)
    with open(tmp_path / "c.pt", "rb") as file:
        assert torch.load(file) == 3
    assert zipfile.ZipFile(tmp_path / "a.pt").namelist()[0] == "a/data.pkl"


def test_the_archive_is_pytorchs() -> None:
    """The same records, aligned in the same way, and Python's own zipfile finds them whole."""
    theirs = io.BytesIO()
    oracle.save([oracle.arange(3.0), oracle.ones(100)], theirs)
    ours = io.BytesIO(saved([torch.arange(3.0), torch.ones(100)]))
    a, b = zipfile.ZipFile(ours), zipfile.ZipFile(theirs)
    assert a.namelist() == b.namelist() and a.testzip() is None
    for name in a.namelist():
        if not name.endswith("serialization_id"):
            assert a.read(name) == b.read(name), name
        header = a.getinfo(name).header_offset
        lengths = ours.getbuffer()[header + 26 : header + 30]
        start = header + 30 + int.from_bytes(lengths[:2], "little")
        assert (start + int.from_bytes(lengths[2:], "little")) % 64 == 0


def test_equal_objects_make_equal_files() -> None:
    assert saved([torch.ones(3)]) == saved([torch.ones(3)])


def test_pending_work_is_done_first() -> None:
    x = torch.ones(3) + 1
    y = x[1:]
    y.mul_(2)
    assert torch.load(io.BytesIO(saved(x))).tolist() == [2, 4, 4]


def test_an_archive_after_something_else() -> None:
    file = io.BytesIO()
    file.write(b"heading")
    torch.save(torch.ones(2), file)
    file.seek(7)
    assert torch.load(file).tolist() == [1, 1]


def test_streams_follow_each_other() -> None:
    file = io.BytesIO()
    for i in range(3):
        torch.save(torch.full((2,), i), file, _use_new_zipfile_serialization=False)
    file.seek(0)
    assert [torch.load(file).tolist() for _ in range(3)] == [[0, 0], [1, 1], [2, 2]]


def test_packed_archives_are_read(tmp_path: pathlib.Path) -> None:
    """What other tools make of the file: records deflated, in another order."""
    source = zipfile.ZipFile(io.BytesIO(saved({"x": torch.arange(10000)})))
    with zipfile.ZipFile(tmp_path / "x.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        for name in reversed(source.namelist()):
            packed.writestr(name, source.read(name))
    assert torch.load(tmp_path / "x.pt")["x"].sum().item() == 49995000
    assert torch.load(tmp_path / "x.pt", mmap=True)["x"].sum().item() == 49995000


def test_the_other_order_of_bytes() -> None:
    data = saved([torch.tensor([1, 2]), torch.tensor([1.5 + 2j])])
    data = data.replace(b"little", b"big   ")
    with pytest.raises((RuntimeError, ValueError)):
        torch.load(io.BytesIO(data))  # not the words of the format, and not the checksum
    source, file = zipfile.ZipFile(io.BytesIO(saved([torch.tensor([1, 2])]))), io.BytesIO()
    with zipfile.ZipFile(file, "w") as other:
        for name in source.namelist():
            text = b"big" if name.endswith("byteorder") else source.read(name)
            if name.endswith("data/0"):
                text = np.array([1, 2], ">i8").tobytes()
            other.writestr(name, text)
    file.seek(0)
    assert torch.load(file)[0].tolist() == [1, 2]
    file.seek(0)
    assert oracle.load(file)[0].tolist() == [1, 2]


# ------------------------------------------------------------------ mapping


def test_mapped_files(tmp_path: pathlib.Path) -> None:
    torch.save({"x": torch.arange(5.0), "y": torch.ones(3, dtype=torch.int16)}, tmp_path / "x.pt")
    before = (tmp_path / "x.pt").read_bytes()
    out = torch.load(tmp_path / "x.pt", mmap=True)
    out["x"].add_(1)
    assert out["x"].tolist() == [1, 2, 3, 4, 5] and out["y"].tolist() == [1, 1, 1]
    assert (tmp_path / "x.pt").read_bytes() == before  # writes stay here
    assert isinstance(out["x"].storage_offset(), int)


def test_mapped_files_can_be_written_to(tmp_path: pathlib.Path) -> None:
    import mmap

    torch.save(torch.zeros(3), tmp_path / "x.pt")
    with torch.serialization.set_default_mmap_options(mmap.MAP_SHARED):
        x = torch.load(tmp_path / "x.pt", mmap=True)
    assert torch.serialization.get_default_mmap_options() == mmap.MAP_PRIVATE
    x.fill_(7)
    x.tolist()
    assert torch.load(tmp_path / "x.pt", mmap=True).tolist() == [7, 7, 7]
    with pytest.raises(RuntimeError, match="checksum"):
        torch.load(tmp_path / "x.pt")


def test_mapping_needs_an_archive_with_a_path(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="must be a file path"):
        torch.load(io.BytesIO(saved(1)), mmap=True)
    torch.save(torch.ones(1), tmp_path / "x.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(RuntimeError, match="mmap can only be used"):
        torch.load(tmp_path / "x.pt", mmap=True)


# ------------------------------------------------------------------ places


@pytest.mark.parametrize("place", ["cpu", torch.device("cpu"), {"cpu": "cpu"}, {"cuda:0": "cpu"}])
def test_map_location(place: Any) -> None:
    assert torch.load(io.BytesIO(saved(torch.ones(2))), map_location=place).tolist() == [1, 1]


def test_map_location_may_be_a_function() -> None:
    seen = []

    def where(storage: Any, location: str) -> Any:
        seen.append((storage.nbytes(), location))
        return storage.clone().fill_(0) if storage.nbytes() == 8 else None

    x, y = torch.load(io.BytesIO(saved([torch.ones(2), torch.ones(3)])), map_location=where)
    assert seen == [(8, "cpu"), (12, "cpu")]
    assert x.tolist() == [0, 0] and y.tolist() == [1, 1, 1]


def test_a_file_of_a_gpu() -> None:
    source, file = zipfile.ZipFile(io.BytesIO(saved(torch.ones(2)))), io.BytesIO()
    with zipfile.ZipFile(file, "w") as other:
        for name in source.namelist():
            text = source.read(name).replace(b"\x03\0\0\0cpu", b"\x04\0\0\0cuda")
            other.writestr(name, text)
    file.seek(0)
    with pytest.raises(RuntimeError, match="Attempting to deserialize object on a CUDA device"):
        torch.load(file)
    file.seek(0)
    assert torch.load(file, map_location="cpu").tolist() == [1, 1]
    file.seek(0)
    assert torch.load(file, map_location={"cuda": "cpu"}).tolist() == [1, 1]


def test_places_that_there_are_not() -> None:
    for place, error in (("cuda", RuntimeError), ("meta", NotImplementedError)):
        with pytest.raises(error):
            torch.load(io.BytesIO(saved(torch.ones(2))), map_location=place)
    with pytest.raises(TypeError, match="not callable"):
        torch.load(io.BytesIO(saved(torch.ones(2))), map_location=7)


# ------------------------------------------------------------------ what cannot be


def test_arguments_like_pytorch(tmp_path: pathlib.Path) -> None:
    for f in (lambda t: t.load(tmp_path / "none"), lambda t: t.load(5), lambda t: t.save(1, 5),
              lambda t: t.save(1, tmp_path / "no" / "x"), lambda t: t.load(io.BytesIO(b"")),
              lambda t: t.load(io.BytesIO(b"PK\3\4")), lambda t: t.save(lambda: 1, io.BytesIO()),
              lambda t: t.load(io.BytesIO(pickle.dumps([1], 2))),
              lambda t: t.save([t.ones(2), (x := t.ones(2)), x.view(t.int32)], io.BytesIO()),
              lambda t: t.load(io.BytesIO(b"PK\3\4"), weights_only=True, pickle_module=pickle),
              ):  # fmt: skip
        with pytest.raises(Exception) as theirs:
            f(oracle)
        with pytest.raises(theirs.type) as ours:
            f(torch)
        first = str(theirs.value).split()[:3]
        assert str(ours.value).split()[:3] == first or theirs.type is EOFError


class Breaks:
    """Cannot be pickled."""

    def __reduce__(self) -> Any:
        raise ZeroDivisionError


def test_a_failed_save_leaves_the_old_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x.pt"
    torch.save(torch.ones(2), path)
    with pytest.raises(ZeroDivisionError):
        torch.save([torch.zeros(2), Breaks()], path)
    assert torch.load(path).tolist() == [1, 1] and os.listdir(tmp_path) == ["x.pt"]


def test_a_full_disk_leaves_the_old_file(tmp_path: pathlib.Path) -> None:
    """The system's own refusal, by a limit on the length of files."""
    resource = pytest.importorskip("resource")
    import signal

    path = tmp_path / "x.pt"
    torch.save(torch.ones(2), path)
    large = torch.zeros(100_000)
    large.tolist()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(OSError):
            torch.save(large, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert torch.load(path).tolist() == [1, 1] and os.listdir(tmp_path) == ["x.pt"]


def test_permissions_and_links_stay(tmp_path: pathlib.Path) -> None:
    path, link = tmp_path / "x.pt", tmp_path / "link.pt"
    torch.save(1, path)
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
    path.chmod(0o640)
    link.symlink_to(path)
    torch.save(2, link)
    assert link.is_symlink() and torch.load(path) == 2
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_what_is_no_file_is_written_to() -> None:
    torch.save(torch.ones(2), os.devnull)
    assert pathlib.Path(os.devnull).is_char_device()


def test_without_checksums(tmp_path: pathlib.Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        data = saved(torch.arange(3.0))
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.load(io.BytesIO(data)).tolist() == [0, 1, 2]
    assert oracle.load(io.BytesIO(data)).tolist() == [0, 1, 2]
