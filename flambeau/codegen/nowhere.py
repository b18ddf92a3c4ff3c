"""A target without a machine: it accepts all and runs nothing. For tests of the compiler."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..ir.kernel import Nest
from ..runtime.threads import Launch, Tape
from .target import Kernel


class EmptyTape:
    """Remembers its launches; `run` leaves memory as it is."""

    def __init__(self, launches: Sequence[Launch]) -> None:
        self.launches = tuple(launches)

    def run(self, frame: int) -> int:
        return 0


class Nowhere:
    """What is loaded here has a name, and lies at address 0."""

    name = "nowhere"

    def __init__(self) -> None:
        self.loaded: list[Kernel] = []

    def load(self, nest: Nest) -> Kernel:
        return self._keep(Kernel(f"nest_{len(self.loaded)}", 0, nest))

    def load_all(self, nests: Iterable[Nest]) -> list[Kernel]:
        return [self.load(nest) for nest in nests]

    def load_text(self, text: str, name: str) -> Kernel:
        return self._keep(Kernel(name, 0))

    def tape(self, launches: Sequence[Launch]) -> Tape | EmptyTape:
        return EmptyTape(launches)

    def _keep(self, kernel: Kernel) -> Kernel:
        self.loaded.append(kernel)
        return kernel
