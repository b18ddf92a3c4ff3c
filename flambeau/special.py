"""torch.special: functions of one or two reals, by the names they have there.

Rows whose names begin with `special_` are here alone; the others stand in torch as well.
"""

from __future__ import annotations

import math
from typing import Any

from flambeau.methods import PUBLIC as _PUBLIC
from flambeau.tensor import FUNCTIONS as _FUNCTIONS

digamma, erf, erfc, erfinv, exp2, expm1, i0, log1p, log_softmax, logit, logsumexp = (
    _PUBLIC[name] for name in """digamma erf erfc erfinv exp2 expm1 i0 log1p log_softmax logit
    logsumexp""".split()
)  # fmt: skip
polygamma, round, sinc, softmax, xlogy = (
    _PUBLIC[name] for name in "polygamma round sinc softmax xlogy".split()
)
expit, gammaln, psi = _FUNCTIONS["sigmoid"], _FUNCTIONS["lgamma"], digamma
gammainc, gammaincc, multigammaln = (_PUBLIC[n] for n in ("igamma", "igammac", "mvlgamma"))

globals().update({name.removeprefix("special_"): function for name, function in _FUNCTIONS.items()
                  if name.startswith("special_")})  # fmt: skip


def ndtr(input: Any, *, out: Any = None) -> Any:
    """The normal distribution's integral up to input: (1 + erf(input / √2)) / 2."""
    from flambeau.filling import fill

    root = input * math.sqrt(0.5)
    near = (1 + erf(root)) * 0.5
    tail = erfc(root.abs()) * 0.5
    small = root.abs() < 1
    result = near.where(small, (1 - tail).where(root > 0, tail))
    return fill("special_ndtr", result, out, exactly=False)


def __getattr__(name: str) -> Any:
    """What is not here, by name."""
    raise AttributeError(f"module 'torch.special' has no attribute '{name}'")
