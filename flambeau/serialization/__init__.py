"""torch.save and torch.load, in PyTorch's file formats, and what weights_only=True lets pass."""

from __future__ import annotations

import os
import sys
from enum import Enum
from typing import Any

from flambeau.device import layout, strided

DEFAULT_PROTOCOL = 2  # of the pickles in a file


class LoadEndianness(Enum):
    """Which byte of a number comes first in files that do not say so."""

    NATIVE = 1
    LITTLE = 2
    BIG = 3


_checksums = True
_order: LoadEndianness | None = None
_mapping = 2  # mmap.MAP_PRIVATE


def save(
    obj: Any,
    f: Any,
    pickle_module: Any = None,
    pickle_protocol: int = DEFAULT_PROTOCOL,
    _use_new_zipfile_serialization: bool = True,
    _disable_byteorder_record: bool = False,
) -> None:
    """Write an object to a file: tensors, whatever holds them, anything that pickle can.

    f: a path, or an object with `write`. A path is replaced in one step, when all is written.
    Tensors that share memory share it again when they are loaded. PyTorch reads the file.
    """
    from flambeau.serialization.saving import replacing, write_archive, write_stream

    if pickle_module is None:
        import pickle as pickle_module

    def write(file: Any, folder: str) -> None:
        if _use_new_zipfile_serialization:
            write_archive(obj, file, folder, pickle_module, pickle_protocol, _checksums)
        else:
            write_stream(obj, file, pickle_module, pickle_protocol)

    if isinstance(f, (str, os.PathLike)):
        path = os.fspath(f)
        with replacing(path) as file:
            write(file, os.path.splitext(os.path.basename(path))[0])
    elif hasattr(f, "write"):
        write(f, "archive")
    else:
        raise AttributeError(
            "expected 'f' to be string, path, or a file-like object with a 'write' attribute"
        )


def load(
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """The object that a file of torch.save holds, whether PyTorch or Flambeau wrote it.

    weights_only: True (the default) runs no code of the file's, and refuses, with
    pickle.UnpicklingError, what is neither made of tensors, numbers, strings and containers nor
    allowed by add_safe_globals. False runs what the file says, like pickle.load.
    map_location: a device, a dictionary of devices, or a function (storage, place) → storage.
    mmap: whether memory is read from the file when it is looked at; needs a path.
    """
    import pickle

    from flambeau.serialization.loading import Options, explained, read
    from flambeau.serialization.places import restorer

    if weights_only is None:
        weights_only = pickle_module is None
    if weights_only and pickle_module is not None:
        raise RuntimeError("Can not safely load weights when explicit pickle_module is specified")
    arguments = {"encoding": "utf-8", **pickle_load_args}
    options = Options(restorer(map_location), not weights_only, pickle_module or pickle,
                      default_order(), mapped(f) if mmap else None, arguments)  # fmt: skip
    try:
        if isinstance(f, (str, os.PathLike)):
            with open(f, "rb") as file:
                return read(file, options)
        return read(seekable(f), options)
    except pickle.UnpicklingError as error:
        if not weights_only:
            raise
        raise explained(error) from error


def seekable(f: Any) -> Any:
    """A file that can be read back and forth, or PyTorch's error."""
    try:
        f.seek(f.tell())
    except (AttributeError, OSError) as error:
        raise type(error)(
            f"{error}. You can only torch.load from a file that is seekable. Please pre-load the "
            "data into a buffer like io.BytesIO and try to load from it instead."
        ) from None
    return f


def mapped(f: Any) -> Any:
    """A file's bytes as an array that is read when it is looked at."""
    if not isinstance(f, (str, os.PathLike)):
        raise ValueError("f must be a file path in order to use the mmap argument")
    import numpy as np

    if not os.path.getsize(f):
        raise EOFError("Ran out of input")
    return np.memmap(f, np.uint8, "c" if _mapping == 2 else "r+")


def default_order() -> str:
    """The order of bytes in files that do not say so."""
    chosen = _order or LoadEndianness.NATIVE
    return sys.byteorder if chosen is LoadEndianness.NATIVE else chosen.name.lower()


def _get_layout(name: str) -> layout:
    """What stands for a layout in files."""
    if name != repr(strided):
        raise NotImplementedError(f"tensors of layout {name} are not supported")
    return strided


# ------------------------------------------------------------------ switches


def get_crc32_options() -> bool:
    """Whether save writes checksums."""
    return _checksums


def set_crc32_options(compute_crc32: bool) -> None:
    """Whether save writes checksums; without them load cannot tell whether a file is whole."""
    global _checksums
    _checksums = bool(compute_crc32)


def get_default_load_endianness() -> LoadEndianness | None:
    """The order of bytes in files that do not say so; None is that of this machine."""
    return _order


def set_default_load_endianness(endianness: Any) -> None:
    """Which order of bytes files have that do not say so."""
    global _order
    if endianness is not None and not isinstance(endianness, LoadEndianness):
        raise TypeError("Invalid argument type in function set_default_load_endianness")
    _order = endianness


def get_default_mmap_options() -> int:
    """What load(mmap=True) asks of the system: mmap.MAP_PRIVATE or mmap.MAP_SHARED."""
    return _mapping


class set_default_mmap_options:  # noqa: N801 PyTorch's name
    """mmap.MAP_PRIVATE (writes stay here) or mmap.MAP_SHARED (they go to the file)."""

    def __init__(self, flags: int) -> None:
        global _mapping
        if flags not in (1, 2):
            raise ValueError("Invalid argument in function set_default_mmap_options, expected "
                             f"mmap.MAP_PRIVATE or mmap.MAP_SHARED, but got {flags}")  # fmt: skip
        self.before, _mapping = _mapping, flags

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        global _mapping
        _mapping = self.before


def get_unsafe_globals_in_checkpoint(f: Any) -> list[str]:
    """The names in a file that weights_only=True would refuse; nothing of the file is run."""
    from flambeau.serialization.survey import names_in

    with open(f, "rb") if isinstance(f, (str, os.PathLike)) else _borrowed(f) as file:
        return names_in(file)


class _borrowed:
    """A file that stays open."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def __enter__(self) -> Any:
        return self.file

    def __exit__(self, *_: object) -> None: ...


def __getattr__(name: str) -> Any:
    import importlib

    for part in ("allowed", "places"):
        module = importlib.import_module(f"flambeau.serialization.{part}")
        if name in module.__all__:
            return getattr(module, name)
    raise AttributeError(f"module 'torch.serialization' has no attribute '{name}'")


__all__ = [
    "DEFAULT_PROTOCOL", "LoadEndianness", "get_crc32_options", "get_default_load_endianness",
    "get_default_mmap_options", "get_unsafe_globals_in_checkpoint", "load", "save",
    "set_crc32_options", "set_default_load_endianness", "set_default_mmap_options",
]  # fmt: skip
