"""The zip archives that torch.save writes: records that are stored, not packed, and aligned.

The format is PKWARE's APPNOTE 6.3, with its 64-bit form where something is large. A reader
believes nothing that it has not compared with the length of the file, so that no size in a broken
file makes it allocate more than the file could hold.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

LOCAL = struct.Struct("<4s5H3I2H")  # signature … sizes, lengths of name and extra
CENTRAL = struct.Struct("<4s6H3I5H2I")
END = struct.Struct("<4s4H2IH")
END64 = struct.Struct("<4sQ2H2I4Q")
LOCATOR = struct.Struct("<4sIQI")
FULL16, FULL32 = 0xFFFF, 0xFFFFFFFF  # "see the 64-bit field"
UTF8 = 1 << 11  # the flag that says that names are UTF-8
ALIGNMENT = 64
CHUNK = 1 << 20
DEFLATE_RATIO = 1032  # no deflated data becomes longer than that many times itself


class Record:
    """An entry of the archive: where its header is, how long it is, how it is packed."""

    __slots__ = ("name", "header", "size", "packed", "method", "crc")

    def __init__(self, name: str, header: int, size: int, packed: int, method: int,
                 crc: int) -> None:  # fmt: skip
        self.name, self.header, self.size = name, header, size
        self.packed, self.method, self.crc = packed, method, crc


def broken(doing: str, why: str) -> RuntimeError:
    """The error for an archive that is not whole."""
    return RuntimeError(
        f"PytorchStreamReader failed {doing}: {why}. The file is likely to be corrupted: it was "
        "not saved to the end, not transferred as a whole, or changed afterwards"
    )


# ------------------------------------------------------------------ reading


class Reader:
    """The records of an archive that begins where a file stands."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.start = file.tell()
        self.length = file.seek(0, 2) - self.start
        self.records = {record.name: record for record in self.directory()}
        if not self.records:
            raise broken("reading zip archive", "archive does not contain any files")
        self.folder = next(iter(self.records)).partition("/")[0]
        if sum(r.packed for r in self.records.values()) > self.length:
            raise broken("reading zip archive", "its records are longer than the file")

    def at(self, offset: int, size: int) -> bytes:
        """So many bytes from there on."""
        if offset < 0 or size < 0 or offset + size > self.length:
            raise broken("reading zip archive", "invalid header or archive is corrupted")
        self.file.seek(self.start + offset)
        data = self.file.read(size)
        if len(data) != size:
            raise broken("reading zip archive", "file read failed")
        return data

    def directory(self) -> Iterator[Record]:
        """What the central directory says."""
        count, size, offset = self.end()
        data, at = self.at(offset, size), 0
        for _ in range(count):
            if at + CENTRAL.size > size or data[at : at + 4] != b"PK\1\2":
                raise broken("reading zip archive", "invalid header or archive is corrupted")
            fields = CENTRAL.unpack_from(data, at)
            flags, method, crc, packed, full = fields[3], fields[4], *fields[7:10]
            lengths, header = fields[10:13], fields[16]
            begin = at + CENTRAL.size
            at = begin + sum(lengths)
            if at > size or flags & 1:
                raise broken("reading zip archive", "invalid header or archive is corrupted")
            name = data[begin : begin + lengths[0]].decode("utf-8", "replace")
            extra = data[begin + lengths[0] : begin + lengths[0] + lengths[1]]
            full, packed, header = wide(extra, full, packed, header)
            if method not in (0, 8) or full > packed * (DEFLATE_RATIO if method else 1):
                raise broken(f"reading zip archive: {name}", "unsupported method or wrong size")
            yield Record(name, header, full, packed, method, crc)

    def end(self) -> tuple[int, int, int]:
        """How many records there are, and where the directory is: its size, its offset."""
        if self.length < END.size:
            raise broken("reading zip archive", "not a ZIP archive")
        reach = min(self.length, END.size + FULL16)
        tail = self.at(self.length - reach, reach)
        found = tail.rfind(b"PK\5\6", 0, reach - END.size + 4)
        if found < 0:
            raise broken("reading zip archive", "failed finding central directory")
        _, _, _, _, count, size, offset, _ = END.unpack_from(tail, found)
        if FULL16 == count or FULL32 in (size, offset):
            where = self.length - reach + found - LOCATOR.size
            mark, _, end64, _ = LOCATOR.unpack(self.at(where, LOCATOR.size))
            if mark == b"PK\6\7":
                fields = END64.unpack(self.at(end64, END64.size))
                if fields[0] != b"PK\6\6":
                    raise broken("reading zip archive", "failed finding central directory")
                count, size, offset = fields[7:10]
        if count > self.length // CENTRAL.size:
            raise broken("reading zip archive", "invalid header or archive is corrupted")
        return count, size, offset

    def has(self, name: str) -> bool:
        """Whether there is such a record."""
        return f"{self.folder}/{name}" in self.records

    def find(self, name: str) -> Record:
        """A record by its name in the archive's folder."""
        record = self.records.get(f"{self.folder}/{name}")
        if record is None:
            raise broken(f"locating file {name}", "file not found")
        return record

    def begin(self, record: Record) -> int:
        """Where a record's data begins, from the start of the archive."""
        header = LOCAL.unpack(self.at(record.header, LOCAL.size))
        begin = record.header + LOCAL.size + header[9] + header[10]
        if header[0] != b"PK\3\4" or begin + record.packed > self.length:
            raise broken(f"reading file {record.name}", "invalid header or archive is corrupted")
        return begin

    def read(self, name: str) -> bytes:
        """The data of a record."""
        record = self.find(name)
        data = bytearray(record.size)
        self.read_into(record, memoryview(data))
        return bytes(data)

    def read_into(self, record: Record, memory: memoryview) -> None:
        """The data of a record, into memory of its size; its checksum is compared."""
        self.file.seek(self.start + self.begin(record))
        crc = 0
        for place, piece in self.pieces(record, memory):
            crc = zlib.crc32(piece, crc)
            if not record.method:
                continue
            if place + len(piece) > record.size:
                raise broken(f"reading file {record.name}", "decompression failed")
            memory[place : place + len(piece)] = piece
        if record.crc and crc != record.crc:  # 0 stands for none: set_crc32_options(False)
            raise broken(f"reading file {record.name}", "its checksum does not match")

    def pieces(self, record: Record, memory: memoryview) -> Iterator[tuple[int, Any]]:
        """What was read, piece by piece, and its place; stored data is in memory already."""
        unpack = zlib.decompressobj(-15) if record.method else None
        done, left = 0, record.packed
        while left:
            size = min(CHUNK, left)
            left -= size
            if unpack is None:
                piece: Any = memory[done : done + size]
                self.fill(record, piece)
            else:
                try:
                    piece = unpack.decompress(self.exactly(record, size))
                except zlib.error as error:
                    raise broken(f"reading file {record.name}", str(error)) from None
            yield done, piece
            done += len(piece)
        if done != record.size:
            raise broken(f"reading file {record.name}", "decompression failed")

    def fill(self, record: Record, memory: memoryview) -> None:
        """Fill memory from the file."""
        into = getattr(self.file, "readinto", None)
        if into is None:
            memory[:] = self.exactly(record, len(memory))
        elif into(memory) != len(memory):
            raise broken(f"reading file {record.name}", "file read failed")

    def exactly(self, record: Record, size: int) -> bytes:
        """The next so many bytes of the file."""
        data = self.file.read(size)
        if len(data) != size:
            raise broken(f"reading file {record.name}", "file read failed")
        return data


def wide(extra: bytes, *fields: int) -> tuple[int, ...]:
    """Fields of 32 bits, those that are full taken from the 64-bit ones of the extra data."""
    at, values = 0, list(fields)
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, at)
        at += 4
        if kind == 1 and at + size <= len(extra):
            longer = [int.from_bytes(extra[p : p + 8], "little") for p in range(at, at + size, 8)]
            values = [
                longer.pop(0) if v == FULL32 and longer else v for v in values
            ]  # in the order of the fields, and only those that are full
        at += size
    return tuple(values)


# ------------------------------------------------------------------ writing


class Writer:
    """An archive, written from the first byte to the last, without going back."""

    def __init__(self, file: Any, folder: str, checksums: bool) -> None:
        self.file, self.folder, self.checksums = file, folder, checksums
        self.at = 0
        self.central: list[bytes] = []

    def write(self, data: Any) -> None:
        self.file.write(data)
        self.at += len(data)

    def add(self, name: str, data: Any) -> None:
        """A record whose data begins at a multiple of 64 bytes; data: bytes or an array of them."""
        data = memoryview(data)
        path = f"{self.folder}/{name}".encode()
        crc = zlib.crc32(data) if self.checksums else 0
        header, size = self.at, len(data)
        large = struct.pack("<2H2Q", 1, 16, size, size) if size >= FULL32 else b""
        begin = header + LOCAL.size + len(path) + len(large) + 4
        extra = large + padding(-begin % ALIGNMENT)
        short = FULL32 if large else size
        self.write(LOCAL.pack(b"PK\3\4", 45, UTF8, 0, 0, DAY, crc, short, short, len(path),
                              len(extra)) + path + extra)  # fmt: skip
        self.write(data)
        self.note(path, crc, size, header)

    def note(self, path: bytes, crc: int, size: int, header: int) -> None:
        """A record's line in the directory."""
        large = b"".join(struct.pack("<Q", n) for n in (size, size, header) if n >= FULL32)
        extra = struct.pack("<2H", 1, len(large)) + large if large else b""
        size, header = min(size, FULL32), min(header, FULL32)
        self.central.append(CENTRAL.pack(b"PK\1\2", 45, 45, UTF8, 0, 0, DAY, crc, size, size,
                                         len(path), len(extra), 0, 0, 0, 0, header)
                            + path + extra)  # fmt: skip

    def close(self) -> None:
        """The directory and the end; after this there is nothing to be added."""
        offset, count = self.at, len(self.central)
        self.write(b"".join(self.central))
        size = self.at - offset
        if count >= FULL16 or offset >= FULL32 or size >= FULL32:
            where = self.at
            self.write(END64.pack(b"PK\6\6", END64.size - 12, 45, 45, 0, 0, count, count, size,
                                  offset))  # fmt: skip
            self.write(LOCATOR.pack(b"PK\6\7", 0, where, 1))
        count = min(count, FULL16)
        self.write(END.pack(b"PK\5\6", 0, 0, count, count, min(size, FULL32), min(offset, FULL32),
                            0))  # fmt: skip


DAY = 1 << 5 | 1  # 1 January 1980: files of equal content are equal


def padding(size: int) -> bytes:
    """An extra field that only takes room: its header, and so many bytes."""
    return struct.pack("<2s1H", b"FB", size) + b"Z" * size


__all__ = ["Reader", "Record", "Writer"]
