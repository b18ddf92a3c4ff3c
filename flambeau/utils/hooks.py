"""RemovableHandle: what registering a hook returns."""

import weakref
from collections import OrderedDict
from itertools import count

_ids = count()


class RemovableHandle:
    """Takes its hook out again, by `remove()` or at the end of a `with` block."""

    def __init__(self, hooks, *, extra_dict=None):
        self.id = next(_ids)
        self.hooks_dict_ref = weakref.ref(hooks)
        extras = [] if extra_dict is None else extra_dict
        extras = extras if isinstance(extras, (list, tuple)) else [extras]
        self.extra_dict_ref = tuple(weakref.ref(d) for d in extras)

    def remove(self):
        """Take the hook out; a second time does nothing."""
        for reference in (self.hooks_dict_ref, *self.extra_dict_ref):
            hooks = reference()
            if hooks is not None:
                hooks.pop(self.id, None)

    def __getstate__(self):
        extras = tuple(reference() for reference in self.extra_dict_ref)
        return self.hooks_dict_ref(), self.id, extras

    def __setstate__(self, state):
        hooks, self.id, extras = state
        self.hooks_dict_ref = weakref.ref(OrderedDict() if hooks is None else hooks)
        self.extra_dict_ref = tuple(weakref.ref(OrderedDict() if d is None else d) for d in extras)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()
