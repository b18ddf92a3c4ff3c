"""Object code → code in memory that can be called.

    functions = linker(llvm, machine).load(code)      functions["gemm"] is an address

On Linux on x86-64 kernels lie one behind the other in large blocks of memory, each with its
constants, so that a process has a few memory maps for all of them, and not two for each: the system
allows 65,530. Kernels refer to their own constants and functions and to a few functions of the C
library, always relative to where they are; nothing else is resolved here, and what is not known is
refused, as are variables: what lies in a block cannot be written to. Elsewhere LLVM's MCJIT links.
Code is never given back, not even at the end: a thread may be in it still.

The format is that of the ELF-64 Object File Format and the System V ABI, AMD64 Supplement.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

Addresses = dict[str, int]

BLOCK = 4 << 20
OBJECT_FILE, X86_64 = 1, 62
CONTENT, SYMBOLS, RELOCATIONS, ZEROS = 1, 2, 4, 8  # kinds of sections
WRITABLE, ALLOCATED = 1, 2  # flags of sections
RELATIVE, CALL = 2, 4  # R_X86_64_PC32, R_X86_64_PLT32
FAR_JUMP = b"\xff\x25\0\0\0\0"  # jmp *(the eight bytes that follow)
LIBRARIES = None, "libm.so.6", "libgcc_s.so.1"  # None: the process itself, so the C library


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
        self.start = self.end = 0
        self.lock = threading.Lock()

    def put(self, image: bytes) -> int:
        """Where the code lies from now on: on pages of its own."""
        size = up(len(image), mmap.PAGESIZE)
        with self.lock:
            if self.start + size > self.end:
                self.start, self.end = block(max(size, BLOCK))
            address = self.start
            self.start += size
        ctypes.memmove(address, image, len(image))
        seal(address, size)
        return address


def block(size: int) -> tuple[int, int]:
    """Where fresh memory begins and ends."""
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(memory))  # it is not unmapped, ever
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    return start, start + size


def seal(address: int, size: int) -> None:
    """What lies there is code from now on."""
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    protect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    if protect(address, size, mmap.PROT_READ | mmap.PROT_EXEC):
        number = ctypes.get_errno()
        raise OSError(number, "this system refuses memory that code may run in")


_blocks = Blocks()  # of the whole process: code may be called for as long as it lives


class Linker:
    """Puts objects for Linux on x86-64 into memory."""

    def __init__(self) -> None:
        self.known: Addresses = {}

    def load(self, code: bytes) -> Addresses:
        """The functions of an object, by name."""
        try:
            image, functions = Object(code).linked(self.address)
        except (IndexError, KeyError, ValueError, struct.error) as error:
            raise RuntimeError(f"object code is damaged: {error!r}") from error
        base = _blocks.put(image)
        return {name: base + start for name, start in functions.items()}

    def address(self, name: str) -> int:
        """A function of the C library, or one of the compiler's own library."""
        found = self.known.get(name) or find(name)
        self.known[name] = found
        return found


def find(name: str) -> int:
    """The address of a library's function."""
    for path in LIBRARIES:
        try:
            library = ctypes.CDLL(path)
            return ctypes.cast(library[name], ctypes.c_void_p).value or 0
        except (OSError, AttributeError):  # no such library here, or it has no such function
            continue
    raise RuntimeError(f"a kernel calls {name}, which the C library does not have")


class Object:
    """A relocatable ELF file."""

    def __init__(self, code: bytes) -> None:
        self.code = code
        what = struct.unpack_from("<HH", code, 0x10)
        if code[:6] != b"\x7fELF\x02\x01" or what != (OBJECT_FILE, X86_64):
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
        found = self.code[section.offset : section.offset + section.size]
        if len(found) != section.size:
            raise ValueError("it ends too early")
        return found

    def linked(self, address: Callable[[str], int]) -> tuple[bytes, Addresses]:
        """What runs wherever it is put, and where in it the functions begin.

        `address`: where a function is that it calls and does not have. The way there leads over a
        jump beside the code: a call reaches 2 GB only.
        """
        places, size = self.places()
        jumps = {name: up(size, 16) + 16 * n for n, name in enumerate(self.outside())}
        image = bytearray(up(size, 16) + 16 * len(jumps))
        for number, start in places.items():
            section = self.sections[number]
            image[start : start + section.size] = self.content(section)
        for name, start in jumps.items():
            image[start : start + 14] = FAR_JUMP + struct.pack("<Q", address(name))
        self.relocate(image, places, jumps)
        return bytes(image), self.functions(places)

    def places(self) -> tuple[dict[int, int], int]:
        """Where each section goes that is needed when it runs, and how long all are.

        How to unwind the stack is not needed: nothing is thrown through a kernel.
        """
        places, end = {}, 0
        for number, section in enumerate(self.sections):
            if not section.flags & ALLOCATED or not section.size:
                continue
            if section.flags & WRITABLE or section.kind == ZEROS:
                raise RuntimeError("object code has variables; kernels have constants only")
            if section.alignment > mmap.PAGESIZE:
                raise RuntimeError(f"object code is to lie at multiples of {section.alignment}")
            if section.kind == CONTENT:
                places[number] = up(end, max(section.alignment, 1))
                end = places[number] + section.size
        return places, end

    def name(self, symbol: tuple[int, ...]) -> str:
        return self.names[symbol[0] : self.names.index(b"\0", symbol[0])].decode()

    def outside(self) -> list[str]:
        """The functions that it calls and does not have."""
        return [self.name(s) for s in self.symbols[1:] if s[3] == 0]

    def functions(self, places: dict[int, int]) -> Addresses:
        """Its functions that others may call, and where they begin."""
        return {self.name(s): places[s[3]] + s[4] for s in self.symbols
                if s[1] >> 4 and s[3] in places}  # fmt: skip

    def relocate(self, image: bytearray, places: dict[int, int], jumps: dict[str, int]) -> None:
        """Fill in the places that refer to others: always how far it is from here to there."""
        for section in self.sections:
            if section.kind != RELOCATIONS or section.info not in places:
                continue
            start, size = places[section.info], self.sections[section.info].size
            for offset, info, addend in struct.iter_unpack("<QQq", self.content(section)):
                symbol, kind = self.symbols[info >> 32], info & 0xFFFFFFFF
                outside = symbol[3] == 0
                if kind != CALL and (outside or kind != RELATIVE):
                    name = f" to {self.name(symbol)}" if outside else ""
                    raise RuntimeError(f"object code has a relocation of kind {kind}{name}")
                if offset + 4 > size:
                    raise ValueError("a relocation lies outside of its section")
                there = jumps[self.name(symbol)] if outside else places[symbol[3]] + symbol[4]
                struct.pack_into("<i", image, start + offset, there + addend - start - offset)


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
    triple = llvm.get_default_triple()  # what objects are made for
    if triple.startswith("x86_64-") and "-linux" in triple:
        return Linker()
    return Engine(llvm, create_machine())


def up(size: int, step: int) -> int:
    """The next multiple."""
    return -(-size // step) * step
