"""Op: the frozen record that a declaration makes.

`ops/declare.py` fills it; every room reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from flambeau.ir.record import field, frozen


@frozen
class Param:
    """One parameter of an op.

    kind: 'tensor' (a tensor, or a number that becomes a run-time input), 'tensors' (a list of
    them), 'number' (a run-time number), 'static' (part of the key).
    """

    name: str
    kind: str
    default: Any = None
    required: bool = True
    keyword: bool = False


@frozen
class Formula:
    """A derivative with respect to one parameter, and what it reads besides `g`."""

    call: Callable[..., Any]
    reads: tuple[str, ...]


@frozen
class Bound:
    """What an index tensor of a call may hold: low <= value < high.

    check: (its values, a NumPy array) raises PyTorch's error where one is wrong; it may take more
    than the bounds say (a class that is ignored).
    item: which tensor, where the parameter is a list.
    """

    param: str
    low: int
    high: int
    check: Callable[[Any], Any]
    item: int | None = None


@frozen
class Op:
    """Everything about an operation (see ops/declare.py for what each field means)."""

    name: str
    kind: str  # elementwise, reduction, structured, composite, view
    params: tuple[Param, ...]
    infer: Callable[..., Any]
    numpy: Callable[..., Any] | None = None
    scalar: Callable[..., Any] | None = None
    compute: Callable[..., Any] | None = None
    reduce: str | None = None
    dims: Callable[..., Any] | None = None
    prepare: Callable[..., Any] | None = None
    kernel: Callable[..., Any] | None = None
    expand: Callable[..., Any] | None = None
    grad: Mapping[str, Formula] = field(default_factory=dict)
    clean: Callable[..., Any] | None = None
    samples: Callable[..., Any] | None = None
    node: str = ""
    overload: Callable[..., int] | None = None  # (*facts) → the number in the node's name
    public: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    inplace: bool = False
    may_fail: bool = False
    bounds: Callable[..., Sequence[Bound]] | None = None  # of index tensors (trace/ranges.py)
    holomorphic: bool = True  # its formulas are of complex derivatives (autograd/formulas.py)
    own_types: bool = False  # elementwise, but operands are not cast to one type
    picks: bool = False  # the first argument is read by position: any of its elements, not its own
    writes: tuple[str, ...] = ()
    out_type: str | Callable[..., str] = ""  # which types `out=` may have, by a word of ops/outs.py
    ulp: int = 4
    doc: str = ""

    __eq__, __hash__ = object.__eq__, object.__hash__

    def __repr__(self) -> str:
        return self.name

    def node_for(self, facts: Sequence[Any]) -> str:
        """What PyTorch calls the node of a call."""
        if self.overload is None:
            return self.node
        return f"{self.node.rstrip('0123456789')}{self.overload(*facts)}"

    def position(self, name: str) -> int:
        """The index of a parameter."""
        return positions(self)[name]


@cache
def positions(op: Op) -> dict[str, int]:
    """The index of each parameter, by its name."""
    return {param.name: i for i, param in enumerate(op.params)}
