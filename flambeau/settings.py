"""All settings of Flambeau: each is an environment variable with a type, a default and a sentence.

Read once, when Flambeau is imported; `settings.eager` is FLAMBEAU_EAGER. Tests change the
attributes, with `settings.override(...)`. A new setting is one more line in `Settings`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from flambeau.ir.record import field, record


def default_cache() -> str:
    """Where this system's users keep what can be made again."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.expanduser("~\\AppData\\Local")
    elif sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(base, "flambeau")


def _setting(default: Any, sentence: str) -> Any:
    make = default if callable(default) else lambda: default
    return field(default_factory=make, sentence=sentence)


@record
class Settings:
    """The values in force. The environment variable of `name` is FLAMBEAU_NAME."""

    eager: bool = _setting(False, "Run every call when it is made, for debugging.")
    compile: bool = _setting(True, "Compile what repeats; 0 runs everything call by call.")
    numpy: bool = _setting(False, "Run every call by its NumPy meaning alone; for tests, and slow.")
    patience: float = _setting(
        1.0, "How long to run call by call before compiling; 0 compiles at the second sighting."
    )
    check: bool = _setting(False, "Check every load, store and pass of generated code; slow.")
    show: frozenset[str] = _setting(
        frozenset(), "What to print while it happens: words such as trace,fuse,llvm."
    )
    log: frozenset[str] = _setting(
        frozenset(), "What to say in a line each: words of compile,cache,run."
    )
    cache: str = _setting(default_cache, "The folder that keeps compiled kernels between runs.")
    tiles: bool = _setting(
        True, "Multiply by the processor's tile registers; 0 does without, as other processors do."
    )
    threads: int = _setting(0, "Threads of the pool; 0 takes OMP_NUM_THREADS, else every core.")

    @contextmanager
    def override(self, **values: Any) -> Iterator[Settings]:
        """Other values for the length of a `with` block."""
        before = {name: getattr(self, name) for name in values}
        try:
            for name, value in values.items():
                setattr(self, name, value)
            yield self
        finally:
            for name, value in before.items():
                setattr(self, name, value)


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"FLAMBEAU_{name.upper()}"


def _flag(text: str) -> bool:
    return {"1": True, "true": True, "yes": True, "on": True,
            "0": False, "false": False, "no": False, "off": False}[text.lower()]  # fmt: skip


def _count(text: str) -> int:
    if int(text) < 0:
        raise ValueError
    return int(text)


# One reader a type, under the type's name as the fields declare it; beside it, what it accepts.
_READERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "bool": (_flag, "1 or 0"),
    "int": (_count, "a number from 0 up"),
    "float": (float, "a number"),
    "str": (os.path.expanduser, "a folder"),
    "frozenset[str]": (lambda text: frozenset(text.replace(",", " ").split()), "words"),
}


def read(environment: Mapping[str, str]) -> Settings:
    """The settings that an environment asks for. An empty variable counts as not set."""
    chosen = {}
    for name, kind in Settings.__annotations__.items():
        text = environment.get(variable(name), "").strip()
        if text:
            chosen[name] = _read_one(variable(name), kind, text)
    return Settings(**chosen)


def _read_one(name: str, kind: str, text: str) -> Any:
    reader, expected = _READERS[kind]
    try:
        return reader(text)
    except (KeyError, ValueError):
        message = f"{name} should be {expected}, but is '{text}'\n  hint: `flambeau settings`"
        raise ValueError(f"{message} lists all settings") from None


settings = read(os.environ)
