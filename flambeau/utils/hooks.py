"""RemovableHandle: what registering a hook returns."""

from flambeau.autograd.handles import RemovableHandle

__all__ = ["RemovableHandle"]
