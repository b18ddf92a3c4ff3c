"""torch.load: the archives of today, and the streams of pickles that came before them."""

from __future__ import annotations

import io
import sys
from pickle import UnpicklingError
from typing import Any, BinaryIO

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.runtime.buffers import adopt, allocate
from flambeau.serialization.allowed import called
from flambeau.serialization.archive import Reader, broken
from flambeau.serialization.pickling import loads, memory_of
from flambeau.serialization.places import Restore
from flambeau.storage import Face, TypedStorage, UntypedStorage, typed, untyped
from flambeau.trace.storage import Storage, new_storage

MAGIC = 0x1950A86A20F9469CFC6C  # of a stream; it is followed by its version
STREAM_VERSION = 1001
ARCHIVE_VERSIONS = range(1, 11)


class Options:
    """How to read a file: restore brings storages to their place; order of bytes if it is silent.

    code: whether the file may run code of its own; pickler: the module to read it with then.
    """

    def __init__(self, restore: Restore, code: bool, pickler: Any, order: str, mapped: Any,
                 arguments: dict[str, Any]) -> None:  # fmt: skip
        self.restore, self.code, self.pickler = restore, code, pickler
        self.order, self.mapped, self.arguments = order, mapped, arguments

    def read_pickle(self, data: bytes, at: int, storage_of: Any) -> tuple[Any, int]:
        """The object of the pickle at a place, and where the pickle ends."""
        if self.code:
            stream = io.BytesIO(data)
            stream.seek(at)
            return loads(stream, storage_of, self.pickler, **self.arguments), stream.tell()
        from flambeau.serialization.weights import Machine

        machine = Machine(data, at, storage_of, self.arguments.get("encoding", "utf-8"))
        return machine.run(), machine.at


class Named:
    """What a file says about a storage: its class, key, place and size, checked for sense."""

    def __init__(self, name: Any) -> None:
        if type(name) is not tuple or len(name) not in (5, 6) or not is_word(name[0], "storage"):
            raise UnpicklingError(f"expected the name of a storage, but got {called(name)}")
        kind, self.key, self.place, self.numel = name[1:5]
        self.key = str(self.key) if type(self.key) is int else self.key
        if not isinstance(kind, type) or not issubclass(kind, Face):
            raise UnpicklingError(f"expected a class of storages, but got {called(kind)}")
        if type(self.key) is not str or type(self.place) is not str or type(self.numel) is not int:
            raise UnpicklingError("expected the key, place and size of a storage")
        if issubclass(kind, TypedStorage) and kind.dtype is None:
            raise UnpicklingError("a file names a storage without saying of which type it is")
        self.dtype: dt.DType = kind.dtype
        self.nbytes = self.numel * self.dtype.itemsize
        self.typed = issubclass(kind, TypedStorage)
        if self.numel < 0 or len(name) == 6 and name[5] is not None:
            raise UnpicklingError("storages that are part of another are no longer supported")

    def face(self, storage: UntypedStorage) -> Face:
        """The storage as the class that was named."""
        return typed(storage._storage, self.dtype) if self.typed else storage


def swap(memory: Any, dtype: dt.DType) -> None:
    """Turn the bytes of each element round; a complex number is two elements."""
    size = dtype.itemsize // (2 if dtype.kind == "c" else 1)
    if size > 1:
        part = memory[: memory.size // size * size].view(f"u{size}")
        part.byteswap(inplace=True)


# ------------------------------------------------------------------ archives


class ArchiveLoader:
    """An archive's storages, each read when it is first named."""

    def __init__(self, file: BinaryIO, options: Options) -> None:
        self.options, self.reader = options, Reader(file)
        self.storages: dict[str, UntypedStorage] = {}
        if self.reader.has("constants.pkl"):
            raise NotImplementedError("TorchScript archives are not supported; save the module's "
                                      "state_dict() with torch.save instead")  # fmt: skip
        self.check_version()
        self.swapped = self.order() != sys.byteorder

    def check_version(self) -> None:
        if not self.reader.has("version"):
            raise broken("reading version", "there is no record of that name")
        text = self.reader.read("version")[:20]
        if not text.strip().isdigit() or int(text) not in ARCHIVE_VERSIONS:
            raise RuntimeError(
                f"Attempted to read a PyTorch file with version {text.decode('latin1').strip()}, "
                f"but the maximum supported version for reading is {ARCHIVE_VERSIONS[-1]}"
            )

    def order(self) -> str:
        """Which byte of a number comes first."""
        if not self.reader.has("byteorder"):
            return self.options.order
        order = self.reader.read("byteorder")[:20]
        if order not in (b"little", b"big"):
            raise ValueError(f"Unknown endianness type: {order.decode('latin1')}")
        return order.decode()

    def load(self) -> Any:
        data = self.reader.read("data.pkl")
        return self.options.read_pickle(data, 0, self.storage_of)[0]

    def storage_of(self, name: Any) -> Face:
        named = Named(name)
        found = self.storages.get(named.key)
        if found is None:
            storage = untyped(self.read(named))
            found = self.options.restore(storage, named.place)
            self.storages[named.key] = found
        return named.face(found)

    def read(self, named: Named) -> Storage:
        """A storage's memory; what it claims to be is compared with the record first."""
        record = self.reader.find(f"data/{named.key}")
        if record.size != named.nbytes:
            raise RuntimeError(
                f"record size ({record.size} bytes) does not match expected size ({named.nbytes} "
                f"bytes = {named.numel} elements * {named.dtype.itemsize} bytes/element) for dtype "
                f"{named.dtype.legacy}"
            )
        if self.options.mapped is not None and not record.method and not self.swapped:
            begin = self.reader.begin(record)
            memory = self.options.mapped[begin : begin + record.size]
            if record.size and memory.ctypes.data % named.dtype.itemsize == 0:
                return new_storage(record.size, adopt(memory, self.options.mapped))
        buffer = allocate(record.size)
        memory = buffer.memory[: record.size]
        self.reader.read_into(record, memoryview(memory))  # type: ignore[arg-type]
        if self.swapped:
            swap(memory, named.dtype)
        return new_storage(record.size, buffer)


# ------------------------------------------------------------------ streams


class StreamLoader:
    """A stream: pickles of facts, of the object, of keys, and then the storages' bytes."""

    def __init__(self, file: BinaryIO, options: Options) -> None:
        self.file, self.options = file, options
        self.storages: dict[str, tuple[Named, UntypedStorage]] = {}
        self.start, self.at = file.tell(), 0
        self.data = file.read()

    def load(self) -> Any:
        if not self.data:
            raise EOFError("Ran out of input")
        if self.data[257:262] == b"ustar":
            raise NotImplementedError("files of PyTorch before 0.1.10 are not supported; load "
                                      "and save them with a later version first")  # fmt: skip
        if not is_word(self.pickle(), MAGIC):
            raise RuntimeError("Invalid magic number; corrupt file?")
        version = self.pickle()
        if not is_word(version, STREAM_VERSION):
            number = version if type(version) is int and version < 2**64 else called(version)
            raise RuntimeError(f"Invalid protocol version: {number}")
        facts = self.pickle()
        little = not isinstance(facts, dict) or facts.get("little_endian") is not False
        result, keys = self.pickle(), self.pickle()
        if not isinstance(keys, list):
            raise UnpicklingError("expected the keys of the storages")
        for key in keys:
            self.fill(key, swapped=little != (sys.byteorder == "little"))
        self.file.seek(self.start + self.at)
        return result

    def pickle(self) -> Any:
        """The object of the next pickle."""
        found, self.at = self.options.read_pickle(self.data, self.at, self.storage_of)
        return found

    def storage_of(self, name: Any) -> Any:
        if self.options.code and type(name) is tuple and name and is_word(name[0], "module"):
            return name[1]  # a class with its source, which old files kept to compare
        named = Named(name)
        if named.key not in self.storages:
            taken = sum(known.nbytes for known, _ in self.storages.values())
            if taken + named.nbytes > len(self.data) - self.at:
                raise RuntimeError(f"unexpected EOF, expected {named.nbytes} more bytes. The file "
                                   "might be corrupted.")  # fmt: skip
            memory = new_storage(named.nbytes, allocate(named.nbytes))
            place = self.options.restore(untyped(memory), named.place)
            self.storages[named.key] = named, place
        return named.face(self.storages[named.key][1])

    def fill(self, key: Any, swapped: bool) -> None:
        """The bytes of one storage, after their number."""
        known = self.storages.get(str(key)) if type(key) in (str, int) else None
        if known is None:
            raise UnpicklingError("the file holds a storage that nothing names")
        named, storage = known
        count = int.from_bytes(self.data[self.at : self.at + 8], "little")
        self.at += 8
        if count != named.numel or self.at + named.nbytes > len(self.data):
            raise RuntimeError(f"unexpected EOF, expected {named.nbytes} bytes for a storage of "
                               f"{count} elements. The file might be corrupted.")  # fmt: skip
        memory = memory_of(storage._storage)[: named.nbytes]
        memory[:] = np.frombuffer(self.data[self.at : self.at + named.nbytes], np.uint8)
        if swapped:
            swap(memory, named.dtype)
        self.at += named.nbytes


def is_word(found: Any, expected: Any) -> bool:
    """Whether a file says this word or number; it may say anything, tensors too."""
    return type(found) is type(expected) and found == expected


def read(file: BinaryIO, options: Options) -> Any:
    """The object that a file holds."""
    start = file.tell()
    head = file.read(4)
    file.seek(start)
    if head == b"PK\3\4":
        return ArchiveLoader(file, options).load()
    if options.mapped is not None:
        raise RuntimeError("mmap can only be used with files saved with "
                           "`torch.save(_use_new_zipfile_serialization=True), please torch.save "
                           "your checkpoint with this option in order to use mmap.")  # fmt: skip
    return StreamLoader(file, options).load()


def explained(error: UnpicklingError) -> UnpicklingError:
    """What to do about a file that weights_only=True refuses."""
    return UnpicklingError(
        "Weights only load failed. This file can perhaps still be loaded; do so only if you trust "
        "its source.\n"
        "\t(1) With `weights_only=False`, `torch.load` runs whatever code the file brings or "
        "names.\n"
        "\t(2) Or follow what the next line says, and load with `weights_only=True` again.\n"
        f"\tWeightsUnpickler error: {error}"
    )


__all__ = ["Options", "explained", "read"]
