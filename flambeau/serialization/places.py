"""Where the memory of a loaded storage goes: map_location and the places that files name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau.device import device
from flambeau.storage import UntypedStorage

Restore = Callable[[UntypedStorage, str], UntypedStorage]


def location_tag(storage: Any) -> str:
    """What a file says about where a storage lies."""
    return "cpu"


def default_restore_location(storage: UntypedStorage, location: str) -> UntypedStorage:
    """A storage at the place that a file names; all but the CPU are refused."""
    if location == "cpu":
        return storage
    kind = location.partition(":")[0]
    if kind == "cuda":
        raise RuntimeError(
            "Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is "
            "False. If you are running on a CPU-only machine, please use torch.load with "
            "map_location=torch.device('cpu') to map your storages to the CPU."
        )
    if kind in ("meta", "mps", "xpu", "hpu", "xla"):
        raise NotImplementedError(f"loading to '{location}' is not supported; use torch.load with "
                                  "map_location='cpu'")  # fmt: skip
    raise RuntimeError("don't know how to restore data location of torch.storage.UntypedStorage "
                       f"(tagged with {location})")  # fmt: skip


def restorer(map_location: Any) -> Restore:
    """What brings a storage to its place: None, a device, its name, a dictionary, a function."""
    if map_location is None:
        return default_restore_location
    if isinstance(map_location, dict):
        return lambda storage, location: default_restore_location(
            storage, str(map_location.get(location, location))
        )
    if isinstance(map_location, (str, device)):
        place = str(device(map_location))
        return lambda storage, location: default_restore_location(storage, place)
    if not callable(map_location):
        raise TypeError(f"'{type(map_location).__name__}' object is not callable")

    def by_function(storage: UntypedStorage, location: str) -> UntypedStorage:
        result = map_location(storage, location)
        if result is None:
            return default_restore_location(storage, location)
        if not isinstance(result, UntypedStorage):
            raise TypeError(f"map_location must give a storage, but gave {type(result).__name__}")
        return result

    return by_function


__all__ = ["default_restore_location", "location_tag", "restorer"]
