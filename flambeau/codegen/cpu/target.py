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
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ...ir.kernel import Nest, canonical
from ...runtime import threads
from ...runtime.threads import Launch, Tape
from .. import loops
from ..builder import Builder
from ..target import Kernel
from . import cache


class CPU:
    """The processor that this program runs on."""

    name = "cpu"

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._by_nest: dict[tuple[Nest, bool], Kernel] = {}
        self._by_key: dict[str, dict[str, int]] = {}

    # -- what the machine is

    @functools.cached_property
    def llvm(self) -> Any:
        """llvmlite's binding, ready for this machine."""
        import llvmlite.binding as llvm

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
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
        return bool(wide and known and may_use_tiles())

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
        return f"{self._triple} {cpu} {self._flags} llvmlite {llvmlite.__version__}"

    def _machine(self) -> Any:
        return self.llvm.Target.from_default_triple().create_target_machine(
            cpu=self.llvm.get_host_cpu_name(), features=self._flags, opt=2,
            reloc="pic", codemodel="small",
        )  # fmt: skip

    @functools.cached_property
    def _compiler(self) -> Any:
        return self._machine()

    @functools.cached_property
    def _engine(self) -> Any:
        """Holds the machine code of the whole process; it is never given back."""
        return self.llvm.create_mcjit_compiler(self.llvm.parse_assembly(""), self._machine())

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
                source = f"nest {_sources()} {checked} {canonical(nest)}"
                key = self._key(source)
                name = f"nest_{key[:20]}"
                text = functools.partial(loops.nest_text, nest, name, self.builder, checked)
                address = self._load(key, (name,), text)[name]
                found = self._by_nest[nest, checked] = Kernel(name, address, nest)
        return found

    def load_all(self, nests: Iterable[Nest]) -> list[Kernel]:
        """The machine code of several nests."""
        return [self.load(nest) for nest in nests]

    def load_text(self, text: str, name: str) -> Kernel:
        """The machine code of a kernel written as LLVM IR, the function `name` of the module."""
        return Kernel(name, self.load_module(text, (name,))[name])

    def load_module(self, text: str, names: Sequence[str]) -> dict[str, int]:
        """Compile a module, and answer the addresses of the functions asked for."""
        with self._lock:
            key = self._key(f"text {text}")
            unique = {name: f"{name}_{key[:20]}" for name in names}
            pattern = re.compile("@(" + "|".join(map(re.escape, names)) + r")\b(?!\.)")
            renamed = functools.partial(pattern.sub, lambda m: f"@{unique[m[1]]}", text)
            found = self._load(key, tuple(unique.values()), renamed)
            return {name: found[unique[name]] for name in names}

    def _key(self, source: str) -> str:
        return hashlib.sha256(f"{self._identity}\n{source}".encode()).hexdigest()

    def _load(self, key: str, names: tuple[str, ...], text: Any) -> dict[str, int]:
        """From memory, from disk, or compiled from what `text()` gives."""
        found = self._by_key.get(key)
        if found is None:
            code = cache.read(key)
            if code is None:
                code = self.compile(text())
                cache.write(key, code)
            self._engine.add_object_file(self.llvm.ObjectFileRef.from_data(code))
            found = {name: self._engine.get_function_address(name) for name in names}
            self._by_key[key] = found
        return found

    def compile(self, text: str) -> bytes:
        """Object code of a module."""
        return bytes(self._compiler.emit_object(self.llvm.parse_assembly(text)))

    def assembly(self, text: str) -> str:
        """The module as this machine's assembly language, for reading."""
        return str(self._compiler.emit_assembly(self.llvm.parse_assembly(text)))

    # -- running

    def tape(self, launches: Sequence[Launch]) -> Tape:
        """Launches, ready to run one after the other in one native call."""
        self.start()
        return Tape(launches)

    def start(self) -> None:
        """Compile the tape's native loop, unless that is done."""
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
