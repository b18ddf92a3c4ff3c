"""Derivatives of functions: stand-ins for their arguments, and what leaves when it is done.

A function transform (torch.func, forward mode) is one *level*: the function runs on stand-ins, and
derivatives are taken to these. What it gives to the outside has no history that only leads to
stand-ins; a history that leads elsewhere (an outer level, a parameter) stays, so levels nest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flambeau.autograd.calls import grad
from flambeau.autograd.modes import set_mode
from flambeau.autograd.walk import edges, place_of
from flambeau.trace.tensor import Recorded
from flambeau.trace.trie import here


class Level:
    """One differentiation; gradients are recorded inside `with level:`, whatever is outside."""

    def __init__(self) -> None:
        self.outer = here.stretch.mode.grad
        self.active = 0  # how often it has been entered and not yet left

    def __enter__(self) -> Level:
        self.outer = here.stretch.mode.grad
        self.active += 1
        set_mode(grad=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.active -= 1
        set_mode(grad=self.outer)

    def stand_in(self, x: Any) -> Any:
        """A tensor of the same values at which derivatives to `x` arrive, and only those."""
        return x.view_as(x) if x.requires_grad else self.leaf(x.detach())

    def zeros(self, x: Any) -> Any:
        """A leaf of zeros in the size of `x`."""
        return self.leaf(x.new_zeros(x._spec.size))

    def leaf(self, x: Any) -> Any:
        """Make a tensor a leaf that nobody outside this level knows."""
        x.level_of_stand_in = self
        return x.requires_grad_()

    def outlasts(self, tensors: Iterable[Any]) -> bool:
        """Whether somebody outside can ask for derivatives of these."""
        return self.outer and leads_elsewhere(tensors)

    def release(self, x: Any) -> Any:
        """A result for the outside."""
        if isinstance(x, Recorded) and x._spec.requires_grad and not self.outlasts([x]):
            return x.detach()  # type: ignore[attr-defined]
        return x


def leads_elsewhere(tensors: Iterable[Any]) -> bool:
    """Whether a history reaches a leaf that is no stand-in of a level that is over."""
    stack = [place_of(t)[0] for t in tensors if t.requires_grad]
    seen: set[int] = set()
    while stack:
        target = stack.pop()
        if id(target) in seen:
            continue
        seen.add(id(target))
        if not isinstance(target, Recorded):
            stack += [following for following, _ in edges(target)]
        else:
            level = target.__dict__.get("level_of_stand_in")
            if level is None or level.active:
                return True
    return False


class Linear:
    """The derivative of results with respect to stand-ins, as a map from tangents to tangents.

    The vector-Jacobian product v ↦ vᵀJ is linear in v, so its own derivative, paired with a
    tangent t, is J t: forward mode by two reverse passes (J. Townsend, "A new trick for calculating
    Jacobian vector products", 2017). Only the second pass is computed: what the first one gives
    is never looked at.
    """

    def __init__(self, level: Level, inputs: Sequence[Any], results: Sequence[Any]) -> None:
        self.level, self.results = level, results
        self.live = [x for x in results if x.requires_grad]
        with level:
            self.zeros = [level.zeros(x) for x in self.live]
            self.pulled: Sequence[Any] = (None,) * len(inputs)
            if self.live:
                self.pulled = grad(self.live, inputs, self.zeros, create_graph=True,
                                   allow_unused=True)  # fmt: skip

    def __call__(self, tangents: Sequence[Any], create: bool | None = None) -> list[Any]:
        """The results' tangents, None where a result does not depend on the inputs.

        create: with a history; None: where that leads to the outside.
        """
        pairs = [(p, t) for p, t in zip(self.pulled, tangents)
                 if p is not None and t is not None and p.requires_grad]  # fmt: skip
        found: Sequence[Any] = (None,) * len(self.live)
        if pairs:
            pulled, given = zip(*pairs)
            if create is None:
                create = self.level.outlasts((*pulled, *given))
            with self.level:
                found = grad(pulled, self.zeros, given, retain_graph=True, create_graph=create,
                             allow_unused=True)  # fmt: skip
        known = {id(x): t for x, t in zip(self.live, found)}
        return [known.get(id(x)) for x in self.results]
