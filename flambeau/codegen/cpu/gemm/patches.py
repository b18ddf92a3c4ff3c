"""Packing what the taps see: a row for each channel and tap, in it neighbouring places."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import ClassVar

from flambeau.ir.record import frozen

from ...builder import Builder, Value
from ...memory import size_of
from .epilogue import Epilogue
from .micro import moved
from .windows import W, Windows, places_at, tap_offset


@frozen
class Patches:
    """How they are packed: what is read, the type that is computed with, and how many vectors."""

    windows: Windows
    element: str
    vectors: int

    @property
    def bytes(self) -> int:
        """Of one row."""
        return self.vectors * self.windows.lanes * size_of(self.element)


PARAMS = {"args": "ptr", "source": "ptr", "target": "ptr", "column": "i64", "channels": "i64",
          "row": "i64"}  # fmt: skip


def patches_function(b: Builder, patches: Patches, names: tuple[str, ...]) -> None:
    """`void patches(args, source, target, column, channels, row)`: fill rows, `row` bytes apart.

    They are those of some channels from `source` on, and have the places from number `column` on.
    names: what the kernel's words are.
    """
    p = {name: Value(kind, f"%{name}") for name, kind in PARAMS.items()}
    windows, element = patches.windows, patches.element
    with b.function("patches", "void", [*p.values()]):
        b.args = p["args"]
        w = words_of(b, names)
        vectors = [
            places_at(b, windows, w, p["source"], b.add(p["column"], v * windows.lanes))
            for v in range(patches.vectors)
        ]
        around = b.mul(w["window"], p["row"])
        with every_tap(b, windows, w) as (tap, number):
            masks = [vector.masks(tap) for vector in vectors]
            start = tap_offset(b, windows, w, tap)
            there = moved(b, p["target"], b.mul(number, p["row"]))
            with b.loop(0, p["channels"], carry=[start, there]) as loop:
                offset, there = loop.carried
                for v, vector in enumerate(vectors):
                    value = vector.load(offset, masks[v])
                    b.store(value, b.element(there, element, v * windows.lanes))
                loop.next = [b.add(offset, w["x_channel"]), moved(b, there, around)]
        b.line("ret void")


def call_patches(b: Builder, source: Value, target: Value, column: Value, channels: Value,
                 row: Value) -> None:  # fmt: skip
    assert b.args is not None
    b.invoke("patches", b.args, source, target, column, channels, row)


class Worded:
    """A kernel over windows: its words are `NAMES`, then those of the windows and the epilogue."""

    __slots__ = ()
    NAMES: ClassVar[tuple[str, ...]]
    windows: Windows
    epilogue: Epilogue

    @property
    def own(self) -> tuple[str, ...]:
        """The words that the epilogue's come after."""
        return self.NAMES + self.windows.words

    @property
    def words(self) -> tuple[str, ...]:
        return self.own + self.epilogue.words


def words_of(b: Builder, names: tuple[str, ...]) -> W:
    """A kernel's words by name."""
    return {name: b.word(i) for i, name in enumerate(names)}


@contextmanager
def every_tap(b: Builder, windows: Windows, w: W) -> Iterator[tuple[list[Value], Value]]:
    """A loop for each dim of the kernel: the tap, and its number."""
    with ExitStack() as stack:
        tap: list[Value] = []
        number = b.i64(0)
        for d in range(windows.dims):
            tap.append(stack.enter_context(b.loop(0, w[f"taps{d}"])).index)
            number = b.add(b.mul(number, w[f"taps{d}"]), tap[-1])
        yield tap, number
