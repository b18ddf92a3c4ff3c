"""NumPy's names of arguments, which PyTorch takes too."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

from flambeau.ops.functions import NUMPY_NAMES


@lru_cache(None)
def with_numpy_names(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which takes `axis` for its `dim` and `keepdims` for its `keepdim` as well.

    Functions that are called often say `axis` themselves, and stay as they are.
    """
    code = getattr(function, "__code__", None)
    parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] if code else ()
    ours = {
        numpy: name
        for name, numpy in NUMPY_NAMES.items()
        if name in parameters and numpy not in parameters
    }
    if not ours:
        return function

    @wraps(function)
    def renaming(*args: Any, **named: Any) -> Any:
        if named:
            named = {ours.get(name, name): value for name, value in named.items()}
        return function(*args, **named)

    return renaming
