"""Storage: memory with a version, whose content may still be pending.

Tensors hold storages; the recorder numbers their values; a flush gives them buffers. Computes
nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flambeau.runtime.buffers import Buffer

if TYPE_CHECKING:
    from flambeau.trace.trie import Stretch


class Storage:
    """What views share. Its current value is `buffer`, or pending in `stretch` as value `index`.

    born: the first value it had in `stretch` (equal offsets are looked for within one storage).
    pin: somebody outside may see this memory (a NumPy array): work on it is never delayed.
    error: what a failed flush left instead of a value.
    inference: it was made in inference mode, and no gradient may depend on it.
    extremes: (version, least, largest) of integers that were an index (ranges.py); often unset.
    """

    # No __init__: to make one is much of what a recorded call costs (results.follow_one).
    __slots__ = ("buffer", "nbytes", "stretch", "born", "index", "version", "rare", "extremes",
                 "__weakref__")  # fmt: skip

    buffer: Buffer | None
    nbytes: int
    stretch: Stretch | None
    born: int
    index: int
    version: int
    extremes: tuple[int, int, int]
    rare: dict[str, Any] | None  # pin, error, inference: few storages have them

    @property
    def pending(self) -> bool:
        return self.buffer is None

    @property
    def pin(self) -> Any:
        return self.rare.get("pin") if self.rare is not None else None

    @pin.setter
    def pin(self, pin: Any) -> None:
        self.rare = {**(self.rare or {}), "pin": pin}

    @property
    def error(self) -> BaseException | None:
        return self.rare.get("error") if self.rare is not None else None

    @error.setter
    def error(self, error: BaseException | None) -> None:
        self.rare = {**(self.rare or {}), "error": error}

    @property
    def inference(self) -> bool:
        return self.rare is not None and "inference" in self.rare

    def mark_inference(self) -> None:
        """Made in inference mode."""
        self.rare = {**(self.rare or {}), "inference": True}

    @property
    def fixed(self) -> bool:
        """Whether NumPy was ever shown this memory, or gave it: its size may not change."""
        return self.rare is not None and "fixed" in self.rare

    def fix(self) -> None:
        """NumPy sees this memory."""
        self.rare = {**(self.rare or {}), "fixed": True}

    def pinned(self) -> bool:
        """Whether an alias outside Flambeau can still be alive."""
        if self.rare is None or self.rare.get("pin") is None:
            return False
        if self.rare["pin"].alive():
            return True
        self.pin = None
        return False


def new_storage(nbytes: int, buffer: Buffer | None = None, cls: type[Storage] = Storage) -> Storage:
    """A storage that no stretch knows."""
    storage = cls()
    storage.nbytes, storage.buffer = nbytes, buffer
    storage.stretch = storage.rare = None
    storage.version = 0
    return storage
