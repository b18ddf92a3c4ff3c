"""In-place calls and history: what may be written to, and whose history changes.

The recorder calls `before_write` before and `rebase` after each write that gradients pass through.
"""

from __future__ import annotations

from typing import Any

from flambeau.ir.layout import spec_of
from flambeau.trace import recorder
from flambeau.trace.node import Node
from flambeau.trace.trie import Stretch


def before_write(stretch: Stretch, target: Any, args: tuple[Any, ...]) -> None:
    """Refuse writes that PyTorch refuses."""
    if stretch.mode.grad and target.spec.requires_grad and target.edge is None:
        if target.base is None or target.base is target:
            raise RuntimeError(
                "a leaf Variable that requires grad is being used in an in-place operation."
            )
    if stretch.mode.grad and target.base is not None:
        base = target.base
        if base.spec.requires_grad and base.edge is None and target.edge is not None:
            raise RuntimeError("a view of a leaf Variable that requires grad is being used in an "
                               "in-place operation.")  # fmt: skip


class CopySlices:
    """The node of a base whose view was written in place: g → base, with the view's part replaced."""

    def __init__(self, base: Any, view: Any, node: Node) -> None:
        self.spec = base.spec
        self.view_spec, self.offset = view.spec, view.offset - base.offset
        self.inner = node
        history = base.edge if base.edge is not None else (
            base if base.spec.requires_grad else None)  # fmt: skip
        self.next = (history, *node.next)
        self.order = next(recorder.order)
        self.saved: Any = ()
        self.hooks: Any = None
        self.metadata: Any = {}
        self.state = CopySlicesState(base.spec)

    def apply_backward(self, arrived: dict[int, Any], walk: Any) -> Any:
        """The base keeps what was not overwritten; the written part goes through the call's node."""
        from flambeau.autograd.walk import gradients

        g = arrived[0]
        rest = g.clone(memory_format="contiguous_format")
        size, stride = self.view_spec.size, self.view_spec.stride
        if rest.spec.stride != self.spec.stride:
            raise NotImplementedError("in-place on a view of a base with other strides than row-major "
                                      "ones; write to the base itself, or clone() it first")  # fmt: skip
        part = rest.as_strided(size, stride, self.offset)
        inner = part.clone()
        part.zero_()
        if self.next[0] is not None:
            yield rest
        yield from gradients(self.inner, {0: inner}, walk)
        if not walk.retain:
            self.inner.saved = None if self.inner.saved else self.inner.saved


class CopySlicesState:
    """Enough of a state for names and zeros."""

    def __init__(self, spec: Any) -> None:
        self.specs = (spec,)
        self.view = self
        self.node = "CopySlices"


def rebase(stretch: Stretch, target: Any, node: Node) -> None:
    """Give the written tensor (and its base, where it is a view) a new history."""
    stretch.walk = False
    base = target.base
    if base is None:
        target.edge = node
        target.spec = target.spec.with_grad(True)
        bump_history(target)
        return
    slices: Any = CopySlices(base, target, node)
    base.edge = slices
    base.spec = base.spec.with_grad(True)
    base.stretch = None
    bump_history(base)
    target._meta().history = base._meta().history
    target.edge, target.spec = view_of(base, target), target.spec.with_grad(True)
    target.stretch = None


def bump_history(base: Any) -> None:
    """Views of this tensor that were made before must look their history up again."""
    base._meta().history += 1


def refresh_history(view: Any) -> None:
    """A view whose base got a new history since: take it over."""
    base = view.base
    if base.meta is None or not base.spec.requires_grad:
        return
    seen = view.meta.history if view.meta is not None else 0
    if base.meta.history != seen:
        view._meta().history = base.meta.history
        view.edge, view.spec = view_of(base, view), view.spec.with_grad(True)


class ViewNode:
    """A view's history after a write: it reads a part of its base."""

    def __init__(self, base: Any, view: Any) -> None:
        self.next = (base.edge,)
        self.spec, self.view_spec, self.offset = base.spec, view.spec, view.offset - base.offset
        self.order = next(recorder.order)
        self.saved: Any = ()
        self.hooks: Any = None
        self.metadata: Any = {}
        self.state = CopySlicesState(view.spec)
        self.state.node = "AsStridedBackward0"

    def apply_backward(self, arrived: dict[int, Any], walk: Any) -> Any:
        """Zeros with the gradient where the view is."""
        zeros = arrived[0].new_zeros(self.spec.size)
        zeros.as_strided(self.view_spec.size, self.view_spec.stride, self.offset).copy_(arrived[0])
        yield zeros


def view_of(base: Any, view: Any) -> Any:
    return ViewNode(base, view)


def stale(tensor: Any) -> bool:
    """Whether a view must look its history up again."""
    base = tensor.base
    if base is None or base.meta is None:
        return False
    return base.meta.history != (tensor.meta.history if tensor.meta is not None else 0)


recorder.before_write, recorder.rebase = before_write, rebase
recorder.refresh_history = refresh_history
__all__ = ["spec_of", "stale"]
