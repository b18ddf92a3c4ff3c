"""Pickles of objects that hold tensors: what has memory is named in them, and kept beside them."""

from __future__ import annotations

import io
import pickle
from typing import Any

from flambeau.optim.state import ParameterState
from flambeau.serialization.names import file_name, found, is_torch
from flambeau.storage import CLASSES, Face, TypedStorage, UntypedStorage
from flambeau.trace import flush
from flambeau.trace.storage import Storage


class Kept:
    """The storages that a pickle names: each once, by the order in which they were met."""

    def __init__(self) -> None:
        self.keys: dict[int, str] = {}
        self.storages: dict[str, Storage] = {}
        self.dtypes: dict[str, Any] = {}

    def name(self, face: Face) -> tuple[Any, ...]:
        """What stands for a storage in the pickle."""
        storage = face._storage
        key = self.keys.setdefault(id(storage), str(len(self.keys)))
        self.storages[key] = storage
        if storage.nbytes and isinstance(face, TypedStorage):
            if self.dtypes.setdefault(key, face.dtype) is not face.dtype:
                raise RuntimeError("Cannot save multiple tensors or storages that view the same "
                                   "data as different types")  # fmt: skip
        cls: Any = UntypedStorage
        if isinstance(face, TypedStorage):
            cls = CLASSES[face.pickle_storage_type()]
        return "storage", cls, key, "cpu", face.size()

    def memory(self, key: str) -> Any:
        """The bytes of a storage, after everything pending that concerns them ran."""
        return memory_of(self.storages[key])


def memory_of(storage: Storage) -> Any:
    """A storage's bytes as an array, after everything pending that concerns them ran."""
    stretch = storage.stretch
    if stretch is not None and stretch.state.depth:
        flush.flush(stretch)
    flush.settle_all(storage)
    if storage.error is not None:
        raise storage.error
    assert storage.buffer is not None
    return storage.buffer.memory[: storage.nbytes]


def dumps(obj: Any, kept: Kept, pickle_module: Any, protocol: int, legacy: bool = False) -> bytes:
    """An object as a pickle that names its storages."""
    base: Any = pickle_module.Pickler
    if base is pickle.Pickler:  # its twin in Python: that in C lets nobody say how to name classes
        base = pickle._Pickler  # type: ignore[attr-defined]

    class Pickler(base):
        dispatch = dict(getattr(base, "dispatch", {}))

        def persistent_id(self, x: Any) -> Any:
            if not isinstance(x, Face):
                return None
            return (*kept.name(x), None) if legacy else kept.name(x)

        def save_global(self, x: Any, name: str | None = None) -> None:
            called = name or getattr(x, "__qualname__", None) or x.__name__
            module, called = file_name(getattr(x, "__module__", None) or "", called)
            if "<locals>" in called:
                raise AttributeError(f"Can't pickle local object {called!r}")
            if not is_torch(module):
                super().save_global(x, name)
                return
            if self.proto >= 4:
                self.save(module)
                self.save(called)
                self.write(pickle.STACK_GLOBAL)
            else:
                self.write(pickle.GLOBAL + f"{module}\n{called}\n".encode())
            self.memoize(x)

        if dispatch:
            dispatch[type(dumps)] = save_global  # of functions; classes come to it anyway
            dispatch[ParameterState] = base.save_dict

    stream = io.BytesIO()
    Pickler(stream, protocol=protocol).dump(obj)
    return stream.getvalue()


def loads(stream: Any, storage_of: Any, pickle_module: Any, **arguments: Any) -> Any:
    """The object of a pickle whose storages are named; runs whatever code the pickle asks for."""

    class Unpickler(pickle_module.Unpickler):
        def persistent_load(self, name: Any) -> Any:
            return storage_of(name)

        def find_class(self, module: str, name: str) -> Any:
            if is_torch(module) or module.startswith("flambeau"):
                return found(module, name)
            return super().find_class(module, name)

    return Unpickler(stream, **arguments).load()


__all__ = ["Kept", "dumps", "loads", "memory_of"]
