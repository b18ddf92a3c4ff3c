"""`flambeau settings` and `flambeau cache`: what is set, and what lies on the disk."""

from __future__ import annotations

import sys
from pathlib import Path

from flambeau import settings as declared
from flambeau.ir.record import defaults_of

KERNELS = "kernels"  # the folder in the cache that codegen keeps object code in


def settings(arguments: list[str]) -> int:
    """List every setting with its value, type and sentence; `*` marks what differs."""
    if arguments:
        return _refuse("flambeau settings", arguments)
    usual, defaults = declared.Settings(), defaults_of(declared.Settings)
    for name, kind in declared.Settings.__annotations__.items():
        value = getattr(declared.settings, name)
        mark = " " if value == getattr(usual, name) else "*"
        print(f"{mark} {declared.variable(name)} = {_text(value)}   ({kind})")
        print(f"      {defaults[name].sentence}")
    return 0


def _text(value: object) -> str:
    """A value as one would write it into the environment."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, frozenset):
        return ",".join(sorted(value)) or "''"
    return str(value)


def cache(arguments: list[str]) -> int:
    """Say where the kernel cache is and what it holds, or empty it."""
    folder = Path(declared.settings.cache)
    if arguments == ["clear"]:
        return _clear(folder)
    if arguments:
        return _refuse("flambeau cache [clear]", arguments)
    kernels = _kernels(folder)
    size = sum(path.stat().st_size for path in kernels) / 2**20
    print(f"{folder}: {len(kernels)} kernels, {size:.1f} MB")
    return 0


def _clear(folder: Path) -> int:
    """Delete the kernels, and nothing else that somebody may keep in the same folder."""
    kernels = _kernels(folder)
    for path in kernels:
        path.unlink(missing_ok=True)
    print(f"{folder}: {len(kernels)} kernels deleted")
    return 0


def _kernels(folder: Path) -> list[Path]:
    place = folder / KERNELS
    return [path for path in place.iterdir() if path.is_file()] if place.is_dir() else []


def _refuse(usage: str, arguments: list[str]) -> int:
    print(f"usage: {usage}\nnot understood: {' '.join(arguments)}", file=sys.stderr)
    return 2
