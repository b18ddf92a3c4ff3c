"""Object code kept on disk, so that a kernel is compiled once on a machine.

One file a module, named by its key, with a checksum in front. A file that is missing, damaged or
unreadable is as good as none; a folder that cannot be written to costs time, never an error.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from ...ir.log import note_kernel
from ...settings import settings

MAGIC = b"FLAMBEAU-OBJECT-1\n"
MOST_BYTES = 256 << 20


def folder() -> Path:
    """Where kernels are kept."""
    return Path(settings.cache) / "kernels"


def read(key: str) -> bytes | None:
    """The object code kept under the key, if it is there and whole."""
    try:
        content = (folder() / key).read_bytes()
    except OSError:
        return None
    head = len(MAGIC) + 32
    payload = content[head:]
    if content[:head] != MAGIC + hashlib.sha256(payload).digest():
        return None
    note_kernel("read", key, len(payload))
    return payload


def write(key: str, payload: bytes) -> None:
    """Keep object code under the key; readers see the whole file or none."""
    note_kernel("made", key, len(payload))
    place = folder()
    try:
        place.mkdir(parents=True, exist_ok=True)
        _trim_once(place)
        handle, temporary = tempfile.mkstemp(dir=place, prefix=".new-")
    except OSError:
        return
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(MAGIC + hashlib.sha256(payload).digest() + payload)
        os.replace(temporary, place / key)
    except OSError:
        Path(temporary).unlink(missing_ok=True)


_trimmed: set[Path] = set()


def _trim_once(place: Path) -> None:
    if place not in _trimmed:
        _trimmed.add(place)
        trim(place, MOST_BYTES)


def trim(place: Path, most: int) -> None:
    """Where the folder holds more than `most` bytes, drop the files written longest ago."""
    entries = [(e.stat().st_mtime, e.stat().st_size, e.path) for e in os.scandir(place)]
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= most:
            return
        Path(path).unlink(missing_ok=True)
        total -= size
