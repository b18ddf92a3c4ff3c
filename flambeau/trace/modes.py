"""The modes that change what a recorded call means; part of every key."""

from __future__ import annotations

from flambeau.ir.dtype import DType, float32
from flambeau.ir.record import frozen, replace


@frozen
class Mode:
    """Interned through `switch`, so that keys compare it by identity."""

    grad: bool = True
    inference: bool = False
    default_dtype: DType = float32
    deterministic: bool = False
    autocast: DType | None = None  # what products are computed in; None: what their arguments have

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


_interned: dict[tuple[object, ...], Mode] = {}


def switch(mode: Mode, **changes: object) -> Mode:
    """The mode with some of its fields changed."""
    new = replace(mode, **changes)
    facts = (new.grad, new.inference, new.default_dtype, new.deterministic, new.autocast)
    return _interned.setdefault(facts, new)


START = switch(Mode())
