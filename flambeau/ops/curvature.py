"""Steps that know the curvature from gradients of before: L-BFGS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flambeau.ir.layout import Spec
from flambeau.ops.declare import structured
from flambeau.ops.samples import no_samples
from flambeau.trace.modes import Mode


def quasi_newton_numpy(grad: Any, changes: Sequence[Any], moves: Sequence[Any],
                       ratios: Sequence[Any], scale: Any) -> tuple[Any, Any]:  # fmt: skip
    """Two loops: from the latest change to the oldest, and back."""
    d, shares = -grad, np.empty(len(changes), grad.dtype)
    for i in range(len(changes) - 1, -1, -1):
        shares[i] = moves[i].dot(d) * ratios[i]
        d = d - changes[i] * shares[i]
    d = d * scale
    for i in range(len(changes)):
        d = d + moves[i] * (shares[i] - changes[i].dot(d) * ratios[i])
    return d, shares


def quasi_newton_shape(mode: Mode, grad: Spec, changes: Sequence[Spec], *rest: Any) -> Any:
    """The direction, and what each change has contributed."""
    return (grad.size, grad.dtype), ((len(changes),), grad.dtype)


quasi_newton = structured(
    "quasi_newton(grad, changes, moves, ratios, other)",
    public="",
    shape=quasi_newton_shape,
    numpy=quasi_newton_numpy,
    samples=no_samples,
    doc="The inverse curvature times minus the gradient (J. Nocedal: Updating Quasi-Newton "
        "Matrices with Limited Storage, 1980). ratios: 1 / (change · move); other: the first "
        "estimate of the inverse curvature.",
)  # fmt: skip
