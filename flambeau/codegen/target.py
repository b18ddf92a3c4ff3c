"""What the compiler may ask of a machine. A backend is a folder with a class of this shape."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, SupportsIndex

from flambeau.ir.record import frozen

from ..ir.kernel import Nest
from ..runtime.threads import Launch, Tape


@frozen
class Kernel:
    """Machine code in memory: `void (ptr args, i64 begin, i64 end, i64 thread)`.

    While it is being compiled its address is something that waits when it is asked for a number.
    """

    name: str
    address: SupportsIndex
    nest: Nest | None = None


class Target(Protocol):
    """A machine that kernels run on."""

    name: str

    def load(self, nest: Nest) -> Kernel:
        """The machine code of a nest."""

    def load_all(self, nests: Iterable[Nest]) -> list[Kernel]:
        """The machine code of several nests."""

    def load_text(self, text: str, name: str) -> Kernel:
        """The machine code of a kernel written as LLVM IR."""

    def tape(self, launches: Sequence[Launch]) -> Tape:
        """Launches, ready to run one after the other."""
