"""Object code → code in memory that can be called.

    functions = linker(llvm, machine).load(code)      functions["gemm"] is an address

On Linux on x86-64 kernels lie one behind the other in large blocks of memory, each with its
constants, so that a process has a few memory maps for all of them, and not two for each: the system
allows 65,530. Kernels refer to their own constants and functions and to a few functions of the C
library, always relative to where they are; nothing else is resolved here, and what is not known is
refused. Elsewhere LLVM's MCJIT links. Code is never given back.

The format is that of the ELF-64 Object File Format and the System V ABI, AMD64 Supplement.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import struct
import sys
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

Addresses = dict[str, int]

BLOCK = 4 << 20
ALLOCATED, NO_BITS, RELOCATIONS, SYMBOLS = 2, 8, 4, 2
ABSOLUTE, RELATIVE, CALL = 1, 2, 4  # R_X86_64_64, R_X86_64_PC32, R_X86_64_PLT32
FAR_JUMP = b"\xff\x25\0\0\0\0"  # jmp *(the eight bytes that follow)


class Section(NamedTuple):
    """A section header of an object."""

    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry: int


class Blocks:
    """Memory that code is put into: writable at first, then executable for good."""

    def __init__(self) -> None:
        self.blocks: list[mmap.mmap] = []
        self.start = self.end = 0
        self.lock = threading.Lock()

    def take(self, size: int) -> int:
        """The address of as many bytes, on pages of their own."""
        size = up(size, mmap.PAGESIZE)
        with self.lock:
            if self.start + size > self.end:
                length = max(size, BLOCK)
                self.blocks.append(mmap.mmap(-1, length, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
                self.start = ctypes.addressof(ctypes.c_char.from_buffer(self.blocks[-1]))
                self.end = self.start + length
            self.start += size
            return self.start - size

    def seal(self, address: int, size: int) -> None:
        """What was put there is code from now on."""
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        protect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
        if protect(address, up(size, mmap.PAGESIZE), mmap.PROT_READ | mmap.PROT_EXEC):
            number = ctypes.get_errno()
            raise OSError(number, "this system refuses memory that code may run in")


_blocks = Blocks()  # of the whole process: code may be called for as long as it lives


class Linker:
    """Puts objects for Linux on x86-64 into memory."""

    def __init__(self) -> None:
        self.libraries = ctypes.CDLL(None), ctypes.CDLL("libm.so.6")

    def load(self, code: bytes) -> Addresses:
        """The functions of an object, by name."""
        one = Object(code)
        places, size = one.places()
        jumps = {name: up(size, 16) + 16 * n for n, name in enumerate(one.outside())}
        size = up(size, 16) + 16 * len(jumps)
        base = _blocks.take(size)
        image = bytearray(size)
        for number, start in places.items():
            section = one.sections[number]
            if section.kind != NO_BITS:
                image[start : start + section.size] = one.content(section)
        for name, start in jumps.items():
            image[start : start + 14] = FAR_JUMP + struct.pack("<Q", self.address(name))
        one.relocate(image, base, places, jumps)
        ctypes.memmove(base, bytes(image), size)
        _blocks.seal(base, size)
        return {name: base + start for name, start in one.functions(places)}

    def address(self, name: str) -> int:
        """A function of the C library."""
        for library in self.libraries:
            if hasattr(library, name):
                return ctypes.cast(library[name], ctypes.c_void_p).value or 0
        raise RuntimeError(f"a kernel calls {name}, which the C library does not have")


class Object:
    """A relocatable ELF file."""

    def __init__(self, code: bytes) -> None:
        self.code = code
        if code[:6] != b"\x7fELF\x02\x01":
            raise RuntimeError("object code is not in the ELF format of this machine")
        (start,) = struct.unpack_from("<Q", code, 0x28)
        size, count = struct.unpack_from("<HH", code, 0x3A)
        read = struct.Struct("<IIQQQQIIQQ").unpack_from
        self.sections = [Section(*read(code, start + n * size)) for n in range(count)]
        (table,) = (s for s in self.sections if s.kind == SYMBOLS)
        self.names = self.content(self.sections[table.link])
        symbol = struct.Struct("<IBBHQQ")
        self.symbols = list(symbol.iter_unpack(self.content(table)))

    def content(self, section: Section) -> bytes:
        return self.code[section.offset : section.offset + section.size]

    def places(self) -> tuple[dict[int, int], int]:
        """Where each section goes that is needed when it runs, and how long all are."""
        places, end = {}, 0
        for number, section in enumerate(self.sections):
            if section.flags & ALLOCATED and section.size:
                places[number] = up(end, max(section.alignment, 1))
                end = places[number] + section.size
        return places, end

    def name(self, symbol: tuple[int, ...]) -> str:
        return self.names[symbol[0] : self.names.index(b"\0", symbol[0])].decode()

    def outside(self) -> list[str]:
        """The functions that it calls and does not have."""
        return [self.name(s) for s in self.symbols[1:] if s[3] == 0]

    def functions(self, places: dict[int, int]) -> list[tuple[str, int]]:
        """Its functions that others may call, and where they begin."""
        return [(self.name(s), places[s[3]] + s[4]) for s in self.symbols
                if s[1] >> 4 and s[3] in places]  # fmt: skip

    def relocate(self, image: bytearray, base: int, places: dict[int, int],
                 jumps: dict[str, int]) -> None:  # fmt: skip
        """Fill in the places that refer to others."""
        for section in self.sections:
            if section.kind != RELOCATIONS or section.info not in places:
                continue
            for offset, info, addend in struct.iter_unpack("<QQq", self.content(section)):
                symbol = self.symbols[info >> 32]
                inside = places[symbol[3]] + symbol[4] if symbol[3] else jumps[self.name(symbol)]
                at = places[section.info] + offset
                kind = info & 0xFFFFFFFF
                if kind in (RELATIVE, CALL):
                    struct.pack_into("<i", image, at, inside + addend - at)
                elif kind == ABSOLUTE:
                    struct.pack_into("<Q", image, at, base + inside + addend)
                else:
                    raise RuntimeError(f"object code has a relocation of kind {kind}")


class Engine:
    """LLVM's own linker, for all other systems."""

    def __init__(self, llvm: Any, machine: Any) -> None:
        self.llvm = llvm
        self.engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)

    def load(self, code: bytes) -> Functions:
        """The functions of an object, by name."""
        self.engine.add_object_file(self.llvm.ObjectFileRef.from_data(code))
        return Functions(self.engine.get_function_address)


class Functions(dict[str, int]):
    """Functions whose addresses are asked for one by one."""

    def __init__(self, find: Callable[[str], int]) -> None:
        self.find = find

    def __missing__(self, name: str) -> int:
        return self.find(name)


def linker(llvm: Any, create_machine: Callable[[], Any]) -> Linker | Engine:
    """The one for this system."""
    if sys.platform == "linux" and platform.machine() == "x86_64":
        return Linker()
    return Engine(llvm, create_machine())


def up(size: int, step: int) -> int:
    """The next multiple."""
    return -(-size // step) * step
