"""RemovableHandle: what registering a hook returns."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from itertools import count
from typing import Any

_ids = count()


class RemovableHandle:
    """Takes its hook out again, by `remove()` or at the end of a `with` block."""

    def __init__(self, hooks: Any, *, extra_dict: Any = None) -> None:
        self.id = next(_ids)
        self.hooks_dict_ref = weakref.ref(hooks)
        extras = [] if extra_dict is None else extra_dict
        extras = extras if isinstance(extras, (list, tuple)) else [extras]
        self.extra_dict_ref = tuple(weakref.ref(d) for d in extras)

    def remove(self) -> None:
        """Take the hook out; a second time does nothing."""
        for reference in (self.hooks_dict_ref, *self.extra_dict_ref):
            hooks = reference()
            if hooks is not None:
                hooks.pop(self.id, None)

    def __getstate__(self) -> Any:
        extras = tuple(reference() for reference in self.extra_dict_ref)
        return self.hooks_dict_ref(), self.id, extras

    def __setstate__(self, state: Any) -> None:
        hooks, self.id, extras = state
        self.hooks_dict_ref = weakref.ref(OrderedDict() if hooks is None else hooks)
        self.extra_dict_ref = tuple(weakref.ref(OrderedDict() if d is None else d) for d in extras)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()
