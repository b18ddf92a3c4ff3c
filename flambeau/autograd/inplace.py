"""In-place calls and history: what may be written to, and whose history changes.

The recorder calls `before_write` before and `rebase` after each write that gradients pass through.
A view knows its base. Writing to a view gives the base a node that replaces a part of it, and every
other view of that base looks its history up again when it is next used.
"""

from __future__ import annotations

from typing import Any

from flambeau.autograd.formulas import AGAIN, Facts, gradients, node_name
from flambeau.autograd.modes import set_mode
from flambeau.ir.dtype import DType
from flambeau.ir.layout import Spec, is_contiguous
from flambeau.ir.op import Op
from flambeau.ops.declare import TABLE
from flambeau.trace import above, recorder, sighting
from flambeau.trace.node import Edge, Node, order
from flambeau.trace.trie import Stretch

LEAF = "a leaf Variable that requires grad is being used in an in-place operation."
SEVERAL = (
    "This view is the output of a function that returns multiple views. Such functions do not "
    "allow "
    "the output views to be modified inplace. You should replace the inplace operation by an "
    "out-of-place one."
)
AMBIGUOUS = (
    "A view was created in no_grad mode and is being modified inplace with grad mode enabled. "
    "Given "
    "that this use case is ambiguous and error-prone, it is forbidden. You can clarify your "
    "code by "
    "moving both the view and the inplace either both inside the no_grad block (if you don't want "
    "the inplace to be tracked) or both outside (if you want the inplace to be tracked)."
)
INFERENCE = (
    "Inplace update to inference tensor outside InferenceMode is not allowed.You can make a clone "
    "to get a normal tensor before doing inplace update.See "
    "https://github.com/pytorch/rfcs/pull/17 for more details."
)
MANY_VIEWS = {"SplitBackward0": "Split", "SplitWithSizesBackward0": "SplitWithSizes",
              "UnbindBackward0": "Unbind"}  # fmt: skip


# ------------------------------------------------------------------ before


def before_write(stretch: Stretch, op: Op, target: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse writes that PyTorch refuses; the arguments, as derivatives are to see them."""
    if target._storage.inference and not stretch.mode.inference:
        if target._counter() is target._storage:  # but x.data may be written to
            raise RuntimeError(INFERENCE)
    if not stretch.mode.grad:
        return args
    check_write(target)
    if args and args[0] is target and needs_old(op, args):
        return (old_value(target), *args[1:])
    return args


def needs_old(op: Op, args: tuple[Any, ...]) -> bool:
    """Whether a derivative reads what the target was before."""
    name = op.params[0].name
    return any(
        sighting.wants_grad(arg) and param.name in op.grad and name in op.grad[param.name].reads
        for param, arg in zip(op.params, args)
    )


def old_value(target: Any) -> Any:
    """A copy of a tensor that is about to be written, with its history."""
    set_mode(grad=False)
    try:
        copy = recorder.record(TABLE["clone"], target, None)
    finally:
        set_mode(grad=True)
    copy._edge, copy._spec = target._edge, copy._spec.with_grad(target._spec.requires_grad)
    return copy


def check_write(target: Any) -> None:
    """Refuse writes that gradients could not follow."""
    base = target._viewed
    if base is None:
        if target._spec.requires_grad and target._edge is None:
            raise RuntimeError(LEAF)
        return
    if stale(target):
        refresh_history(target)
        target._stretch = None
    if target._edge is None:
        if target._spec.requires_grad:
            raise RuntimeError(LEAF)
        if base._spec.requires_grad:
            raise RuntimeError(AMBIGUOUS)
    elif base._spec.requires_grad and base._edge is None:
        raise RuntimeError("a view of " + LEAF)
    else:
        check_single(target._edge)


def check_single(edge: Any) -> None:
    """Views of functions that give several views at once can't be written to."""
    node, number = (edge.node, edge.number) if isinstance(edge, Edge) else (edge, 0)
    name = MANY_VIEWS.get(node_name(node))
    if name is not None:
        raise RuntimeError(
            f"Output {number} of {name} is a view and is being modified inplace. " + SEVERAL
        )


# ------------------------------------------------------------------ after


def rebase(stretch: Stretch, target: Any, node: Any) -> None:
    """Give the written tensor (and its base, where it is a view) a new history."""
    stretch.walk = False
    base = target._viewed
    if base is None:
        if target._edge is not None and not any(n is target._edge for n in node.next):
            node = Replaced(target, node)
        move_retained(target, node)
        target._edge, target._spec = node, target._spec.with_grad(True)
        new_history(stretch, target)
        return
    base._edge = CopySlices(base, target, node)
    base._spec = base._spec.with_grad(True)
    base._stretch = None
    new_history(stretch, base)
    refresh_history(target)
    target._stretch = None


def move_retained(tensor: Any, node: Any) -> None:
    """retain_grad() is about the tensor as it is after the write."""
    if tensor._meta is None or not tensor._meta.retains_grad:
        return
    from flambeau.autograd.hooks import hooks_of, output_of

    old, number = output_of(tensor)
    reference = hooks_of(old).retained.pop(number, None)
    if reference is not None:
        hooks_of(node).retained[0] = reference


def new_history(stretch: Stretch, base: Any) -> None:
    """Views of this tensor that were made before must look their history up again."""
    base._made_meta().history += 1
    for reference in stretch.views:
        view = reference()
        if view is not None and view._viewed is base:
            view._stretch = None  # it enters anew, with the history of then


def refresh_history(view: Any) -> None:
    """A view whose base got a new history since: take it over."""
    base = view._viewed
    if not stale(view) or not base._spec.requires_grad or base._edge is None:
        return
    view._made_meta().history = base._meta.history
    edge: Any = ViewNode(base, view)
    move_retained(view, edge)
    view._edge, view._spec = edge, view._spec.with_grad(True)


def stale(tensor: Any) -> bool:
    """Whether a view must look its history up again."""
    base = tensor._viewed
    if base is None or base._meta is None:
        return False
    return base._meta.history != (tensor._meta.history if tensor._meta is not None else 0)


# ------------------------------------------------------------------ nodes


class Written:
    """What nodes of written views have in common: where the view lies in the base."""

    def __init__(self, name: str, result: Spec, base: Any, view: Any) -> None:
        self.spec, self.view_spec = base._spec, view._spec
        item = base._spec.dtype.itemsize
        self.offset = view._offset - base._offset * item // view._spec.dtype.itemsize
        self.order = next(order)
        self.saved: Any = ()
        self.hooks: Any = None
        self.metadata: dict[Any, Any] = {}
        self.state = Facts(name, (result,))

    def part_of(self, flat: Any) -> Any:
        """The view's part of memory laid out as the base's."""
        spec = self.view_spec
        return seen_as(flat, spec.dtype).as_strided(spec.size, spec.stride, self.offset)

    def whole(self, flat: Any) -> Any:
        """The base's elements in such memory."""
        return flat.as_strided(self.spec.size, self.spec.stride, 0)

    def memory(self, g: Any, filled: bool) -> Any:
        """Zeros laid out as the base's memory, or the elements of g in it."""
        spec = self.spec
        if is_contiguous(spec.size, spec.stride):
            if filled:
                return g.resolve_conj().clone(memory_format=contiguous())
            return g.new_zeros(spec.size, dtype=spec.dtype)
        flat = g.new_zeros((spec.extent,), dtype=spec.dtype)
        if filled:
            self.whole(flat).copy_(g)
        return flat


def contiguous() -> Any:
    """The memory format of row-major results."""
    from flambeau.device import contiguous_format

    return contiguous_format


def seen_as(flat: Any, dtype: DType) -> Any:
    """Memory laid out as a base's, as a view of another type sees it."""
    if flat._spec.dtype.kind == "c" and dtype.kind == "f":
        flat = flat.view_as_real()
    elif flat._spec.dtype.kind == "f" and dtype.kind == "c":
        flat = flat.reshape((-1, 2)).view_as_complex()
    return flat.turned() if dtype.lazy else flat


class CopySlices(Written):
    """The node of a base whose view was written in place.

    The base's gradient goes on to its old history without the part that was overwritten; that
    part goes through the node of the call that wrote it.
    """

    def __init__(self, base: Any, view: Any, node: Node) -> None:
        super().__init__("CopySlices", base._spec, base, view)
        self.inner: Any = node.node if isinstance(node, Edge) else node
        self.number = node.number if isinstance(node, Edge) else 0
        history = base._edge if base._edge is not None else (
            base if base._spec.requires_grad else None)  # fmt: skip
        self.next = (history, *self.inner.next)

    def apply_backward(self, arrived: dict[int, Any], walk: Any) -> Any:
        """For the base, then for each argument of the inner call; only once, unless retained."""
        if self.inner is None:
            raise RuntimeError(AGAIN)
        rest = self.memory(arrived[0], filled=True)
        part = self.part_of(rest)
        inner = part.clone()
        part.zero_()
        if self.next[0] is not None:
            yield self.whole(rest) if rest._spec.size != self.spec.size else rest
        yield from gradients(self.inner, {self.number: inner}, walk)
        if not walk.retain:
            self.inner = None


class Ended:
    """The node of a write that no gradient passes through: what was there before gets zeros."""

    def __init__(self, target: Any, call: Any) -> None:
        self.next = (target._edge,)
        self.order = next(order)
        self.saved: Any = ()
        self.hooks: Any = None
        self.metadata: dict[Any, Any] = {}
        self.state = Facts(ended_name(call), (target._spec,))

    def apply_backward(self, arrived: dict[int, Any], walk: Any) -> Any:
        """Zeros."""
        yield arrived[0].new_zeros(arrived[0]._spec.size)


class Replaced(Ended):
    """The node of copy_(): zeros for what was there before, and the gradient for the source."""

    def __init__(self, target: Any, inner: Any) -> None:
        super().__init__(target, inner.state.event)
        self.inner = inner.node if isinstance(inner, Edge) else inner
        self.next = (target._edge, *self.inner.next)

    def apply_backward(self, arrived: dict[int, Any], walk: Any) -> Any:
        """Zeros, then what the inner call sends back."""
        yield from super().apply_backward(arrived, walk)
        yield from gradients(self.inner, arrived, walk)


def ended_name(call: Any) -> str:
    """What PyTorch calls the node of zero_(), fill_() and others."""
    if call.op.name != "full":
        return str(call.op.node_for(call.args))
    value = call.args[call.op.position("value")]
    return "ZeroBackward0" if value == 0 else "FillBackward2"


def forget(stretch: Stretch, target: Any, call: Any) -> None:
    """End the history of what was written to."""
    node: Any = Ended(target, call)
    rebase(stretch, target, node)


class ViewNode(Written):
    """The history of a view after a write under it: it reads a part of its base."""

    def __init__(self, base: Any, view: Any) -> None:
        super().__init__("AsStridedBackward0", view._spec, base, view)
        self.next = (base._edge,)

    def apply_backward(self, arrived: dict[int, Any], walk: Any) -> Any:
        """Zeros with the gradient where the view is; elements seen twice get both gradients."""
        g = arrived[0]
        zeros = self.memory(g, filled=False)
        spec = self.view_spec
        repeated = [d for d, (n, s) in enumerate(zip(spec.size, spec.stride)) if s == 0 and n > 1]
        if repeated:
            g = g.sum(repeated, keepdim=True)
        size = tuple(1 if d in repeated else n for d, n in enumerate(spec.size))
        seen_as(zeros, spec.dtype).as_strided(size, spec.stride, self.offset).copy_(g)
        yield self.whole(zeros) if zeros._spec.size != self.spec.size else zeros


above.before_write, above.rebase = before_write, rebase
above.refresh_history, above.forget = refresh_history, forget
