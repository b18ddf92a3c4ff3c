"""Function: derivatives written by users.

The context that a user's forward and backward share is also the node of the graph, as in PyTorch:
what it
keeps is kept as (storage, layout, version), so that no cycle through the results comes about.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from flambeau.autograd.formulas import AGAIN, Facts, fit, recomputed, unpack
from flambeau.autograd.graph import keep as keep_hook
from flambeau.autograd.graph import pair
from flambeau.autograd.hooks import hooks_of
from flambeau.autograd.modes import set_mode
from flambeau.trace import above, results, sighting
from flambeau.trace.node import Edge, keep, order
from flambeau.trace.tensor import Recorded
from flambeau.trace.trie import here


class FunctionCtx:
    """What forward leaves for backward; also the node."""

    is_facade = True

    def __init__(self) -> None:
        self.next: tuple[Any, ...] = ()
        self.needs_input_grad: tuple[bool, ...] = ()
        self.saved: Any = ()
        self.hooks: Any = None
        self.metadata: dict[Any, Any] = {}
        self.materialize_grads = True
        self.to_save: tuple[Any, ...] = ()
        self.non_differentiable: tuple[Any, ...] = ()
        self.dirty_tensors: tuple[Any, ...] = ()
        self.order = -1

    # ---------------------------------------------------------------- what forward may say

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors for backward."""
        for tensor in tensors:
            if tensor is not None and not isinstance(tensor, Recorded):
                raise TypeError("save_for_backward can only save variables, but argument 0 is of "
                                f"type {type(tensor).__name__}")  # fmt: skip
        self.to_save = tensors

    def save_for_forward(self, *tensors: Any) -> None:
        """Keep tensors for forward-mode derivatives, which are not supported."""

    def mark_dirty(self, *args: Any) -> None:
        """Say which inputs forward has changed in place."""
        self.dirty_tensors = args

    def mark_non_differentiable(self, *args: Any) -> None:
        """Say which results have no gradient."""
        self.non_differentiable = args

    def set_materialize_grads(self, value: bool) -> None:
        """Whether gradients that did not arrive come as zeros (else as None)."""
        self.materialize_grads = value

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What save_for_backward kept."""
        if self.saved.__class__ is not tuple:
            recomputed(self)
        return tuple(unpack(kept, self.history_of(origin)) for kept, origin in self.saved)

    saved_variables = saved_tensors

    def history_of(self, origin: Any) -> Any:
        """The history of a saved tensor: its own, or this node where it is a result."""
        if isinstance(origin, int):
            return Edge(self, origin) if origin else self
        return origin

    # ---------------------------------------------------------------- the node

    def name(self) -> str:
        """The name of the node."""
        return type(self).__name__

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """For each tensor argument the node that its gradient goes to, and which output of it."""
        tensors = zip(self.next, self.input_specs)
        return tuple(pair(target) for target, spec in tensors if spec is not None)

    def register_hook(self, fn: Any) -> Any:
        """Call fn(grad_inputs, grad_outputs) after backward."""
        return keep_hook(hooks_of(self).post, fn)

    def register_prehook(self, fn: Any) -> Any:
        """Call fn(grad_outputs) before backward."""
        return keep_hook(hooks_of(self).pre, fn)

    def apply_backward(self, arrived: dict[int, Any], walk: Any) -> Any:
        """What the user's backward gives for each argument that needs a gradient."""
        if self.saved is None:
            raise RuntimeError(AGAIN)
        outputs = map(self.materialized(arrived), range(len(self.specs)))
        grads = self.function.backward(self, *outputs)
        grads = grads if isinstance(grads, tuple) else (grads,)
        check_count(self, grads)
        for number, target in enumerate(self.next):
            if target is not None:
                yield checked(self, number, grads[number], self.input_specs[number])

    def materialized(self, arrived: dict[int, Any]) -> Callable[[int], Any]:
        """A function: number of a result → its gradient."""

        def gradient(number: int) -> Any:
            if number in arrived or not self.materialize_grads or self.specs[number] is None:
                return arrived.get(number)
            some, spec = next(iter(arrived.values())), self.specs[number]
            return some.new_zeros(spec.size, dtype=spec.dtype)

        return gradient

    function: Any = None  # the user's class
    specs: tuple[Any, ...] = ()
    input_specs: tuple[Any, ...] = ()
    state: Any = None


def check_count(node: FunctionCtx, grads: tuple[Any, ...]) -> None:
    """backward returns one value an argument; more are allowed where they are None."""
    count = len(node.next)
    if len(grads) < count or any(g is not None for g in grads[count:]):
        raise RuntimeError(f"function {node.name()} returned an incorrect number of gradients "
                           f"(expected {count}, got {len(grads)})")  # fmt: skip


def checked(node: FunctionCtx, number: int, grad: Any, spec: Any) -> Any:
    """A gradient that backward returned, in the size and type of its argument."""
    if grad is None:
        return None
    if not isinstance(grad, Recorded):
        raise TypeError(f"function {node.name()} returned a gradient different than None at "
                        "position "
                        f"{number + 1}, but the corresponding forward input was not a "
                        "Variable")  # fmt: skip
    try:
        return fit(grad, spec)
    except RuntimeError:
        raise RuntimeError(f"Function {node.name()} returned an invalid gradient at index "
                           f"{number} - "
                           f"got {list(grad._spec.size)} but expected shape compatible with "
                           f"{list(spec.size)}") from None  # fmt: skip


class Function:
    """Base class of functions whose derivative the user writes."""

    _context: type[FunctionCtx] = FunctionCtx

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = {"function": cls, "__module__": "torch.autograd.function"}
        cls._context = type(cls.__name__ + "Backward", (FunctionCtx,), own)

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the results; overridden by every Function."""
        raise NotImplementedError(
            "You must implement the forward function for custom autograd.Function."
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> Any:
        """Keep what backward needs, where forward takes no ctx."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The gradients of the arguments; overridden by every Function that is differentiated."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom "
            "autograd.Function "
            "to use it with backward mode AD."
        )

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Call forward, and note that backward differentiates it."""
        if cls.vjp is not Function.vjp:
            cls.backward = cls.vjp  # type: ignore[method-assign]
        context = cls._context()
        recording = here.stretch.mode.grad
        wants = tuple(isinstance(a, Recorded) and a.requires_grad for a in args)  # type: ignore[attr-defined]
        context.needs_input_grad = wants
        set_mode(grad=False)
        try:
            output = run_forward(cls, context, args)
        finally:
            set_mode(grad=recording)
        return connect(context, args, output, recording and any(wants))

    @staticmethod
    def vjp(ctx: Any, *grad_outputs: Any) -> Any:
        """Another name of backward."""
        raise NotImplementedError


def run_forward(cls: type[Function], context: FunctionCtx, args: tuple[Any, ...]) -> Any:
    """forward in either of its two forms."""
    if cls.setup_context is Function.setup_context:
        return cls.forward(context, *args)
    output = cls.forward(*args)
    cls.setup_context(context, args, output)
    return output


def connect(node: FunctionCtx, args: tuple[Any, ...], output: Any, differentiable: bool) -> Any:
    """Make the context the node of the results."""
    outs = output if isinstance(output, tuple) else (output,)
    for number, out in enumerate(outs):
        if not isinstance(out, Recorded) and not isinstance(output, tuple):
            raise TypeError(f"{type(node).__name__}: expected Variable (got {type(out).__name__}) "
                            f"for return value {number}")  # fmt: skip
    if not differentiable:
        return output
    here.stretch.walk = False  # the trie does not see what was called
    prepare_node(node, args, outs)
    results = tuple(
        joined(node, number, out, args) if isinstance(out, Recorded) else out
        for number, out in enumerate(outs)
    )
    save_tensors(node, results, outs)
    return results if isinstance(output, tuple) else results[0]


def prepare_node(node: FunctionCtx, args: tuple[Any, ...], outs: tuple[Any, ...]) -> None:
    """Where gradients go next."""
    node.next = tuple(results.next_of(a) if isinstance(a, Recorded) else None for a in args)
    node.input_specs = tuple(a._spec if isinstance(a, Recorded) else None for a in args)
    node.specs = tuple(o._spec if isinstance(o, Recorded) else None for o in outs)
    node.state = Facts(type(node).__name__, node.specs)
    node.order = next(order)


def joined(node: FunctionCtx, number: int, out: Any, args: tuple[Any, ...]) -> Any:
    """A result with the node as its history."""
    same = any(out is tensor for tensor in node.non_differentiable)
    if same or out._spec.dtype.kind not in "fc":
        return out
    dirty = any(out is tensor for tensor in node.dirty_tensors)
    edge: Any = Edge(node, number) if number else node
    if dirty:
        if out._edge is None and out._spec.requires_grad:
            raise RuntimeError(
                "a leaf Variable that requires grad has been used in an in-place operation."
            )
        if out._viewed is not None:
            above.rebase(here.stretch, out, edge)
            return out
    elif any(out is a for a in args):
        out = view_without_history(out)
    out._edge, out._spec, out._stretch = edge, out._spec.with_grad(True), None
    return out


def view_without_history(x: Any) -> Any:
    """A view of a tensor, recorded with gradients off."""
    recording = here.stretch.mode.grad
    set_mode(grad=False)
    try:
        return x.view(x._spec.size)
    finally:
        set_mode(grad=recording)


def save_tensors(node: FunctionCtx, results: tuple[Any, ...], outs: tuple[Any, ...]) -> None:
    """Turn what was to be saved into storages and layouts."""
    sighting.refuse_inference(node.to_save)
    kept: list[tuple[Any, Any]] = []
    for tensor in node.to_save:
        if tensor is None:
            kept.append((None, None))
            continue
        number = next((n for n, o in enumerate(outs) if o is tensor), None)
        if number is not None and results[number]._spec.requires_grad:
            kept.append((keep(results[number]), number))
        else:
            kept.append((keep(tensor), tensor._edge))
    node.saved, node.to_save = tuple(kept), ()


def once_differentiable(fn: Any) -> Any:
    """For a backward that cannot be differentiated: a second derivative raises."""

    @functools.wraps(fn)
    def wrapper(ctx: Any, *args: Any) -> Any:
        recording = here.stretch.mode.grad
        set_mode(grad=False)
        try:
            outputs = fn(ctx, *args)
        finally:
            set_mode(grad=recording)
        needed = any(isinstance(a, Recorded) and a._spec.requires_grad for a in args)
        if not recording or not needed:
            return outputs
        results = outputs if isinstance(outputs, tuple) else (outputs,)
        poisoned = tuple(Twice.apply(r.detach().requires_grad_()) if isinstance(r, Recorded) else r  # type: ignore[attr-defined]
                         for r in results)  # fmt: skip
        return poisoned if isinstance(outputs, tuple) else poisoned[0]

    return wrapper


class Twice(Function):
    """The identity, whose derivative says that there is none."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise RuntimeError(
            "trying to differentiate twice a function that was marked with @once_differentiable"
        )


__all__ = ["Function", "FunctionCtx", "once_differentiable"]
