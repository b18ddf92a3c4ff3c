"""The CPU: nests and IR text become machine code here, kept in memory and on disk.

    kernel = cpu().load(nest)
    tape = cpu().tape([Launch(kernel.address, words, tasks)])
    error = tape.run(address_of_frame)

llvmlite is imported when the first kernel is needed, not before. Nothing here decides what to
compute.
"""

from __future__ import annotations

import functools
import hashlib
import re
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import index
from pathlib import Path
from typing import Any

from ...ir.kernel import Nest, canonical
from ...ir.record import frozen
from ...runtime import threads
from ...runtime.threads import Groups, Launch, Tape
from ...settings import settings
from .. import loops
from ..builder import Builder
from ..target import Kernel
from . import cache, linking
from .compiling import Compiler

MOST_TEXTS = 512  # that are known by themselves; others by their digest


class Code:
    """A module that is on disk or being compiled; it comes into memory when an address is needed.

    `link`: object code → addresses by name.
    """

    def __init__(self, link: Callable[[bytes], Mapping[str, int]],
                 wait: Callable[[], bytes]) -> None:  # fmt: skip
        self.link, self.wait = link, wait
        self.lock = threading.Lock()
        self.functions: Mapping[str, int] | None = None

    def address(self, name: str) -> int:
        """Where a function begins."""
        if self.functions is None:
            with self.lock:
                if self.functions is None:
                    self.functions = self.link(self.wait())
                    del self.wait
        return self.functions[name]


@frozen
class Address:
    """Where a function begins: a number, once somebody needs it."""

    code: Code
    name: str

    def __index__(self) -> int:
        return self.code.address(self.name)


class CPU:
    """The processor that this program runs on."""

    name = "cpu"

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._by_nest: dict[tuple[Nest, bool], Kernel] = {}
        self._by_text: dict[tuple[str, str], Kernel] = {}
        self._by_key: dict[str, Code] = {}
        self._prepared = False

    # -- what the machine is

    @functools.cached_property
    def llvm(self) -> Any:
        """llvmlite's binding, ready for this machine."""
        import llvmlite.binding as llvm

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        # Loops are written with the counters that they need; LLVM's search for better ones takes a
        # fifth of the time to compile, and kernels are no faster for it.
        llvm.set_option("flambeau", "-disable-lsr")
        return llvm

    @functools.cached_property
    def features(self) -> dict[str, bool]:
        """What the processor can do, by LLVM's names."""
        return dict(self.llvm.get_host_cpu_features())

    @functools.cached_property
    def vector_bytes(self) -> int:
        """The width of a vector register."""
        if self.features.get("avx512f") and self.features.get("avx512vl"):
            return 64
        return 32 if self.features.get("avx2") else 16

    @functools.cached_property
    def registers(self) -> int:
        """How many vector registers there are."""
        return 32 if self.vector_bytes == 64 or "x86" not in self._triple else 16

    @functools.cached_property
    def tiles(self) -> bool:
        """Whether there are tile registers that multiply bfloat16, and the system lets us."""
        wide = self.vector_bytes == 64 and sys.platform == "linux"
        known = self.features.get("amx-tile") and self.features.get("amx-bf16")
        return bool(settings.tiles and wide and known and may_use_tiles())

    @functools.cached_property
    def _triple(self) -> str:
        return str(self.llvm.get_default_triple())

    @functools.cached_property
    def _flags(self) -> str:
        listed = ",".join(f"{'+' if on else '-'}{name}" for name, on in self.features.items())
        return listed + (",-prefer-256-bit" if self.vector_bytes == 64 else "")

    @functools.cached_property
    def _identity(self) -> str:
        """What object code depends on beside its source."""
        import llvmlite

        cpu = self.llvm.get_host_cpu_name()
        return f"{self._triple} {cpu} {self._flags} llvmlite {llvmlite.__version__} no lsr"

    def _machine(self) -> Any:
        return self.llvm.Target.from_default_triple().create_target_machine(
            cpu=self.llvm.get_host_cpu_name(), features=self._flags, opt=2,
            reloc="pic", codemodel="small",
        )  # fmt: skip

    @functools.cached_property
    def compiler(self) -> Compiler:
        """What turns text into object code."""
        return Compiler(self.llvm, self._machine)

    @functools.cached_property
    def _linker(self) -> Any:
        """Holds the machine code of the whole process; it is never given back."""
        return linking.linker(self.llvm, self._machine)

    # -- code

    def builder(self) -> Builder:
        """A builder that knows this machine's vectors."""
        return Builder(self.vector_bytes, scalef=self.vector_bytes == 64)

    def load(self, nest: Nest) -> Kernel:
        """The machine code of a nest."""
        checked = loops.checking()
        found = self._by_nest.get((nest, checked))
        if found is None:
            with self._lock:
                key = self._key(f"nest {_sources()} {checked} {canonical(nest)}")
                name = f"nest_{key[:20]}"
                text = functools.partial(loops.nest_text, nest, name, self.builder, checked)
                found = Kernel(name, Address(self._code(key, text), name), nest)
                self._by_nest[nest, checked] = found
        return found

    def load_all(self, nests: Iterable[Nest]) -> list[Kernel]:
        """The machine code of several nests."""
        return [self.load(nest) for nest in nests]

    def load_text(self, text: str, name: str) -> Kernel:
        """The machine code of a kernel written as LLVM IR, the function `name` of the module."""
        found = self._by_text.get((text, name))
        if found is None:
            found = Kernel(name, self._functions(text, (name,))[name])
            if len(self._by_text) >= MOST_TEXTS:
                self._by_text.clear()
            self._by_text[text, name] = found
        return found

    def load_module(self, text: str, names: Sequence[str]) -> dict[str, int]:
        """Compile a module, and answer the addresses of the functions asked for."""
        return {name: index(place) for name, place in self._functions(text, names).items()}

    def _functions(self, text: str, names: Sequence[str]) -> dict[str, Address]:
        """The functions of a module, under names that no other module has."""
        with self._lock:
            key = self._key(f"text {text}")
            unique = {name: f"{name}_{key[:20]}" for name in names}
            pattern = re.compile("@(" + "|".join(map(re.escape, names)) + r")\b(?!\.)")
            renamed = functools.partial(pattern.sub, lambda m: f"@{unique[m[1]]}", text)
            code = self._code(key, renamed)
            return {name: Address(code, unique[name]) for name in names}

    def _key(self, source: str) -> str:
        return hashlib.sha256(f"{self._identity}\n{source}".encode()).hexdigest()

    def _code(self, key: str, text: Callable[[], str]) -> Code:
        """From memory, from disk, or on its way: compiled from what `text()` gives."""
        found = self._by_key.get(key)
        if found is None:
            code = cache.read(key)
            if code is None:
                keep = functools.partial(cache.write, key)
                found = Code(self._link, self.compiler.begin(text(), keep).result)
            else:
                found = Code(self._link, lambda: code)
            self._by_key[key] = found
        return found

    def _link(self, code: bytes) -> Mapping[str, int]:
        return self._linker.load(code)

    def assembly(self, text: str) -> str:
        """The module as this machine's assembly language, for reading."""
        return str(self._machine().emit_assembly(self.llvm.parse_assembly(text)))

    # -- running

    def tape(self, launches: Sequence[Launch], groups: Groups = ()) -> Tape:
        """Launches, ready to run one after the other, or a group at once, in one native call."""
        self.start()
        return Tape(launches, groups)

    def prepare(self) -> None:
        """Begin to compile the tape's native loop, unless that is done."""
        if not self._prepared:
            self._prepared = True
            self._functions(threads.native_text(sys.platform), threads.NAMES)

    def start(self) -> None:
        """Have the tape's native loop."""
        if not threads.installed():
            text = threads.native_text(sys.platform)
            threads.install(self.load_module(text, threads.NAMES))


def may_use_tiles() -> bool:
    """Ask Linux for this process's tile registers, as arch/x86/xstate.rst of its documentation
    has it: a thread that uses them without is ended.
    """
    import ctypes

    arch_prctl, request, tile_data = 158, 0x1023, 18
    return ctypes.CDLL(None).syscall(arch_prctl, request, tile_data) == 0


@functools.cache
def _sources() -> str:
    """A digest of the code that writes nests as IR: when it changes, kernels are compiled anew."""
    room = Path(__file__).parent.parent
    files = sorted([*room.glob("*.py"), *(room.parent / "ir").glob("*.py")])
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


@functools.cache
def cpu() -> CPU:
    """The one CPU target of this process."""
    return CPU()
