"""Loads thousands of broken files, in a process that has little memory and watches what is run.

`python mutations.py COUNT SEED` says how many of them gave what; it fails where one ran code,
opened a file, wanted much memory, took long, or gave a value that was not saved.
"""

from __future__ import annotations

import collections
import io
import pickle
import random
import resource
import sys
import time
import zipfile
from collections.abc import Callable
from typing import Any

import flambeau as torch

ORDINARY = (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError, TypeError)
ROOM = 1 << 30  # bytes of address space beyond what the process has when it begins
WATCHED = ("exec", "compile", "import", "open", "os.", "subprocess.", "socket.", "ctypes.dlopen")
happened: list[str] = []
watching = False


def watch(event: str, args: Any) -> None:
    if watching and event.startswith(WATCHED):
        happened.append(f"{event} {args!r:.80}")


# ------------------------------------------------------------------ files to begin with


def objects() -> list[Any]:
    x = torch.arange(6.0).view(2, 3)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(x).sum().backward()
    optimizer.step()
    mixed = {"a": (1, -2, 2.5, None, True, 1j), 3: [b"bytes", "text", {1, 2}, 10**30], "x": x[1:]}
    return [
        [x, x.t(), torch.nn.Parameter(torch.ones(2))],
        {"model": model.state_dict(), "optimizer": optimizer.state_dict()},
        [mixed, collections.Counter("ab"), torch.float32, torch.Size([1]), torch.ones(1).bool()],
    ]


def saved(obj: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(obj, file, **options)
    return file.getvalue()


def load(data: bytes) -> Any:
    return torch.load(io.BytesIO(data))


def bases() -> list[tuple[bytes, Callable[[bytes], bytes], str | None]]:
    """(bytes to break, what makes a file of them, the text of the value if it must be right)"""
    found: list[Any] = []
    for obj in objects():
        whole = saved(obj)
        found += [(whole, bytes, repr(load(whole)))] * 2
        found.append((saved(obj, _use_new_zipfile_serialization=False), bytes, None))
        for protocol in (2, 4):
            source = saved(obj, pickle_protocol=protocol)
            found.append((pickle_in(source), archiver(source), None))
    return found


def pickle_in(source: bytes) -> bytes:
    return zipfile.ZipFile(io.BytesIO(source)).read("archive/data.pkl")


def archiver(source: bytes) -> Callable[[bytes], bytes]:
    """Puts a broken pickle into an archive that is whole."""
    before = zipfile.ZipFile(io.BytesIO(source))
    records = {name: before.read(name) for name in before.namelist()}

    def archive(data: bytes) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as out:
            for name, text in records.items():
                out.writestr(name, data if name.endswith("data.pkl") else text)
        return file.getvalue()

    return archive


# ------------------------------------------------------------------ how they are broken

TELLING = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\xff" * 8, b"R", b"b", b"Q",
           b"h\0", b"0", b"t", b"(", b"\x81", b"e", b"u", b"cos\nsystem\n", b"]", b"}", b"\x93",
           b"cbuiltins\nbytearray\n", b"ctorch\nFloatStorage\n", b"M\xff\xff",
           b"PK\1\2")  # fmt: skip


def broken(data: bytes, chance: random.Random) -> bytes:
    """A copy with one to three faults."""
    out = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 3))):
        if not out:
            break
        at = chance.randrange(len(out))
        end = min(len(out), at + chance.choice((1, 2, 4, 8, 40)))
        kind = chance.randrange(7)
        if kind == 0:
            out[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            out[at] = chance.randrange(256)
        elif kind == 2:
            del out[at:end]
        elif kind == 3:
            out[at:at] = out[at:end] * chance.choice((1, 2, 50))
        elif kind == 4:
            out[at : at + len(chance.choice(TELLING))] = chance.choice(TELLING)
        elif kind == 5:
            out[at:at] = chance.choice(TELLING)
        else:
            del out[at:]
    return bytes(out)


def main(count: int, seed: int) -> None:
    global watching
    chance, given, seen = random.Random(seed), bases(), collections.Counter[str]()
    torch.set_printoptions(threshold=10)
    for data, make, _ in given:  # everything is imported before it is watched
        for _ in range(30):
            attempt(make(broken(data, chance)), None)
    sys.addaudithook(watch)
    now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + ROOM, now + ROOM))
    for _ in range(count):
        data, make, expected = chance.choice(given)
        file = make(broken(data, chance))
        watching, begin = True, time.perf_counter()
        result = attempt(file, expected)
        watching = False
        seen[result] += 1
        if happened or result not in ALLOWED or time.perf_counter() - begin > 10:
            raise SystemExit(f"{result} {happened}, of {file!r}")
    print(dict(seen))


ALLOWED = ("value", *(error.__name__ for error in ORDINARY), "NotImplementedError")


def attempt(file: bytes, expected: str | None) -> str:
    """What loading a file gives: 'value', the name of an error, or what is wrong."""
    try:
        value = load(file)
    except BaseException as error:
        return type(error).__name__
    if expected is not None and repr(value) != expected:
        return "a value that was not saved"
    return "value"


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
