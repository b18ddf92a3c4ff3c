"""torch.package: archives of code and data, which are not supported."""

from __future__ import annotations

from typing import Any


class _Refused:
    def __init__(self, *_: Any, **__: Any) -> None:
        raise NotImplementedError("torch.package is not supported; save state_dict()s with "
                                  "torch.save, and code as Python packages")  # fmt: skip


class PackageExporter(_Refused):
    """Refused."""


class PackageImporter(_Refused):
    """Refused."""


__all__ = ["PackageExporter", "PackageImporter"]
