"""What `grad_fn` shows of the graph: name(), next_functions, metadata, hooks, saved tensors.

Nodes themselves are bare records for the recorder's sake; these objects stand for them and live
only while somebody holds them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from flambeau.autograd.formulas import inputs_of, node_name, op_of, recomputed, restore
from flambeau.autograd.handles import RemovableHandle
from flambeau.autograd.hooks import hooks_of
from flambeau.ir.op import positions
from flambeau.trace.node import Edge
from flambeau.trace.tensor import Recorded

# Nodes whose name() is given with a namespace.
OWN = ("AccumulateGrad", "CopySlices", "CopyBackwards", "NotImplemented")


class Node:
    """A node of the graph. Its class is named after the operation that made it."""

    __slots__ = ("_node", "__weakref__")

    def __init__(self, node: Any) -> None:
        self._node = node

    def name(self) -> str:
        """The name of the operation's derivative."""
        name = type(self).__name__
        return "torch::autograd::" + name if name in OWN else name

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """For each tensor argument the node that its gradient goes to, and which output of it."""
        return tuple(map(pair, inputs_of(self._node)))

    @property
    def metadata(self) -> dict[Any, Any]:
        """A dictionary for the user's own purposes."""
        data: dict[Any, Any] = self._node.metadata
        return data

    @property
    def requires_grad(self) -> bool:
        return True

    def _sequence_nr(self) -> int:
        number: int = self._node.order
        return number

    def register_hook(self, fn: Any) -> RemovableHandle:
        """Call fn(grad_inputs, grad_outputs) after the node has run."""
        return keep(hooks_of(self._node).post, fn)

    def register_prehook(self, fn: Any) -> RemovableHandle:
        """Call fn(grad_outputs) before the node runs."""
        return keep(hooks_of(self._node).pre, fn)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_saved_"):
            return saved(self._node, name[7:])
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} object at {hex(id(self))}>"


class AccumulateGrad(Node):
    """Where a gradient goes into a leaf's `.grad`."""

    __slots__ = ()

    @property
    def variable(self) -> Any:
        """The leaf."""
        return self._node

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        return ()

    @property
    def metadata(self) -> dict[Any, Any]:
        return {}

    def _sequence_nr(self) -> int:
        return (1 << 64) - 1


_facades: WeakValueDictionary[int, Node] = WeakValueDictionary()
_kinds: dict[str, type] = {}


def facade(node: Any) -> Any:
    """The object that stands for a node, or for the accumulation into a leaf."""
    if node is None or getattr(node, "is_facade", False):
        return node
    known = _facades.get(id(node))
    if known is None or known._node is not node:
        kind = AccumulateGrad if isinstance(node, Recorded) else kind_named(node_name(node))
        known = _facades[id(node)] = kind(node)
    return known


def kind_named(name: str) -> type:
    """The class of the nodes of one operation."""
    if name not in _kinds:
        _kinds[name] = type(name, (Node,), {"__slots__": (), "__module__": "builtins"})
    return _kinds[name]


def pair(target: Any) -> tuple[Any, int]:
    """(facade, output) of where a gradient goes."""
    if isinstance(target, Edge):
        return facade(target.node), target.number
    return facade(target), 0


def grad_fn_of(tensor: Any) -> Any:
    """The node that made a tensor."""
    edge = tensor._edge
    return facade(edge.node if isinstance(edge, Edge) else edge)


def saved(node: Any, name: str) -> Any:
    """What a node kept: `self` and PyTorch's other names for the first argument, result, …"""
    if hasattr(node, "apply_backward"):
        raise AttributeError(f"{node_name(node)} has no saved tensor '{name}'")
    if node.saved.__class__ is not tuple:
        recomputed(node)
    names = {**positions(op_of(node)), "self": 0, "result": -1}
    place = names.get(name)
    if place is not None and place in node.state.keeps:
        return restore(node, place, node.saved[node.state.keeps.index(place)])
    raise AttributeError(f"{node_name(node)} has no saved tensor '{name}'")


def keep(hooks: Any, fn: Any) -> RemovableHandle:
    """Put a hook into a dictionary."""
    handle = RemovableHandle(hooks)
    hooks[handle.id] = fn
    return handle


class GradientEdge(NamedTuple):
    """A node, and one of its outputs."""

    node: Any
    output_nr: int


def get_gradient_edge(tensor: Any) -> Any:
    """The (node, output) that a tensor's gradient arrives at."""
    if not tensor.requires_grad:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not "
                           "require gradients")  # fmt: skip
    return GradientEdge(*pair(tensor if tensor._edge is None else tensor._edge))


# ------------------------------------------------------------------ what is saved


class saved_tensors_hooks:  # noqa: N801 PyTorch's name
    """Functions that pack what is saved for backward, and unpack it: refused.

    A node saves references to memory, most of which is never written, so there is nothing to pack.
    """

    def __init__(self, pack_hook: Callable[..., Any], unpack_hook: Callable[..., Any]) -> None:
        self.pack_hook, self.unpack_hook = pack_hook, unpack_hook

    def __enter__(self) -> None:
        if _disabled:
            raise RuntimeError(_disabled[-1])
        raise NotImplementedError("hooks of saved tensors are not supported; to keep less for "
                                  "backward use torch.utils.checkpoint")  # fmt: skip

    def __exit__(self, *_: object) -> None: ...


_disabled: list[str] = []  # the messages of disable_saved_tensors_hooks, the innermost last


@contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """Refuse saved_tensors_hooks with this message, until the end of the block."""
    _disabled.append(error_message)
    try:
        yield
    finally:
        _disabled.pop()


@contextmanager
def save_on_cpu(pin_memory: bool = False, device_type: str = "cuda") -> Iterator[None]:
    """Keep what is saved in the CPU's memory: it is there already."""
    yield


def increment_version(tensor: Any) -> None:
    """Count a write that autograd could not see, to one tensor or several."""
    for x in (tensor,) if isinstance(tensor, Recorded) else tensor:
        if x._storage.inference:
            raise RuntimeError("increment_version: inference tensors have no versions")
        x._counter().version += 1
