"""What rooms above the trace put in place: the front's class, rules for writes, autocast.

The recorder may not import them, so they come here when they are imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flambeau.trace.tensor import Recorded, tensors

if TYPE_CHECKING:
    from flambeau.ir.op import Op
    from flambeau.trace.node import Node
    from flambeau.trace.trie import State, Stretch

result_class: type = Recorded  # what results are


def results_are(cls: type) -> None:
    """Say which class to make: the front's Tensor."""
    global result_class
    result_class = cls
    tensors.add(cls)


def _missing(*args: Any) -> Any:
    raise AssertionError("the room above puts its own function here when it is imported")


# autograd/inplace.py
before_write: Callable[[Stretch, Op, Any, tuple[Any, ...]], tuple[Any, ...]] = _missing
rebase: Callable[[Stretch, Any, Node], None] = _missing
refresh_history: Callable[[Any], None] = _missing
forget: Callable[[Stretch, Any, Any], None] = _missing
# trace/autocast.py, once somebody uses it
casting: Callable[..., State | None] = _missing
