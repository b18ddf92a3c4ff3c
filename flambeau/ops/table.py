"""All rows together: importing this file declares every op."""

from __future__ import annotations

import importlib
import pkgutil

from flambeau import ops
from flambeau.ops.declare import TABLE

for _module in pkgutil.iter_modules(ops.__path__, "flambeau.ops."):
    if _module.name != __name__:
        importlib.import_module(_module.name)

__all__ = ["TABLE"]
