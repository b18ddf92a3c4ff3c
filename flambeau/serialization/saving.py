"""torch.save: an archive of a pickle and the memory that it names, or the stream of earlier days.

A file is written beside its place and then put there in one step (rename), so that whoever reads
finds the old content or the new, and a full disk or an interrupt leaves the old as it was.
"""

from __future__ import annotations

import os
import pickle
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from flambeau.serialization.archive import ALIGNMENT, Writer
from flambeau.serialization.loading import MAGIC, STREAM_VERSION
from flambeau.serialization.pickling import Kept, dumps


def write_archive(obj: Any, file: Any, folder: str, pickle_module: Any, protocol: int,
                  checksums: bool) -> None:  # fmt: skip
    """The records of an archive, in PyTorch's order."""
    kept = Kept()
    data = dumps(obj, kept, pickle_module, protocol)
    writer = Writer(file, folder, checksums)
    writer.add("data.pkl", data)
    writer.add(".format_version", b"1")
    writer.add(".storage_alignment", str(ALIGNMENT).encode())
    writer.add("byteorder", sys.byteorder.encode())
    for key in kept.storages:
        writer.add(f"data/{key}", kept.memory(key))
    writer.add("version", b"3\n")
    writer.add(".data/serialization_id", fingerprint(data))
    writer.close()


def fingerprint(data: bytes) -> bytes:
    """Forty digits that tell files apart."""
    return f"{zlib.crc32(data):020}{len(data):020}".encode()


def write_stream(obj: Any, file: Any, pickle_module: Any, protocol: int) -> None:
    """Pickles of facts, of the object and of keys, and then the storages' bytes."""
    kept = Kept()
    facts = {
        "protocol_version": STREAM_VERSION,
        "little_endian": sys.byteorder == "little",
        "type_sizes": {"short": 2, "int": 4, "long": 4},
    }
    for fact in (MAGIC, STREAM_VERSION, facts):
        file.write(pickle.dumps(fact, protocol))
    file.write(dumps(obj, kept, pickle_module, protocol, legacy=True))
    file.write(pickle.dumps(list(kept.storages), protocol))
    for key in kept.storages:
        memory = kept.memory(key)
        dtype = kept.dtypes.get(key)
        count = len(memory) // (dtype.itemsize if dtype is not None else 1)
        file.write(count.to_bytes(8, "little"))
        file.write(memoryview(memory))


@contextmanager
def replacing(path: str) -> Iterator[BinaryIO]:
    """A file to write to, which takes its place at the end of the block, if nothing went wrong."""
    path = os.path.realpath(path)
    folder, name = os.path.split(path)
    if not os.path.isdir(folder):
        raise RuntimeError(f"Parent directory {folder} does not exist.")
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe, a device: nothing to replace
        with open(path, "wb") as file:
            yield file
        return
    import tempfile

    number, beside = tempfile.mkstemp(".tmp", f".{name}.", folder)
    try:
        with open(number, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(beside, mode_of(path))
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise


def mode_of(path: str) -> int:
    """The permissions of a file, or those that a new one gets."""
    try:
        return os.stat(path).st_mode & 0o7777
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


__all__ = ["replacing", "write_archive", "write_stream"]
