"""Object code kept on disk, so that a kernel is compiled once on a machine.

One file a module, named by its key, with a checksum in front. A file that is missing, damaged or
unreadable is as good as none; a folder that cannot be written to costs time, never an error.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading

from ...ir.log import note_kernel
from ...settings import settings

MAGIC = b"FLAMBEAU-OBJECT-2\n"
MOST_BYTES = 256 << 20


def folder() -> str:
    """Where kernels are kept."""
    return os.path.join(settings.cache, "kernels")


def read(key: str) -> bytes | None:
    """The object code kept under the key, if it is there and whole."""
    try:
        with open(os.path.join(folder(), key), "rb", 0) as file:
            content = file.read()
    except OSError:
        return None
    head = len(MAGIC) + 32
    payload = content[head:]
    if content[:head] != MAGIC + digest(key, payload):
        return None
    note_kernel("read", key, len(payload))
    return payload


def write(key: str, payload: bytes) -> None:
    """Keep object code under the key; readers see the whole file or none."""
    note_kernel("made", key, len(payload))
    place = folder()
    temporary = os.path.join(place, f".new-{os.getpid()}-{threading.get_ident()}-{key}")
    try:
        _trim_once(place)
        with open(temporary, "wb", 0) as file:
            file.write(MAGIC + digest(key, payload) + payload)
        os.replace(temporary, os.path.join(place, key))
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def digest(key: str, payload: bytes) -> bytes:
    """A checksum that a file under another's name does not have."""
    return hashlib.sha256(key.encode() + payload).digest()


_trimmed: set[str] = set()


def _trim_once(place: str) -> None:
    """Make the folder, or make it smaller, the first time that something is written to it."""
    if place not in _trimmed:
        os.makedirs(place, exist_ok=True)
        _trimmed.add(place)
        trim(place, MOST_BYTES)


def trim(place: str, most: int) -> None:
    """Where the folder holds more than `most` bytes, drop the files written longest ago."""
    entries = [(e.stat().st_mtime, e.stat().st_size, e.path) for e in os.scandir(place)]
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= most:
            return
        with contextlib.suppress(OSError):
            os.unlink(path)
        total -= size
