"""Which structured calls and effects have kernels of their own.

A kernel is `function(call, emitter)`; it answers None to decline, or an object with `scratch`
(bytes that it needs) and `launches(emitter, number)`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau.ir.op import Op

Kernel = Callable[[Any, Any], Any]


def kernel_of(op: Op) -> Kernel | None:
    """The kernel of an op, if it has one."""
    if op.kernel is not None or op.kind not in ("effect", "structured"):
        return op.kernel
    from flambeau.compiler import attending, drawing, scanning

    rooms = drawing, scanning, attending
    return next((room.KERNELS[op.name] for room in rooms if op.name in room.KERNELS), None)
