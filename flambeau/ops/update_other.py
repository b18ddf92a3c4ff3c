"""Updates that scale steps in ways of their own: ASGD, Rprop, Adafactor, Muon.

As in update.py: what changes from step to step is a run-time number, flags are static.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau.ir.dtype import bfloat16, float64
from flambeau.ops.update import directed, update


def asgd_expand(params: Sequence[Any], grads: Sequence[Any], averages: Sequence[Any], shrink: Any,
                step: Any, share: Any, decay: Any, averaging: bool, decayed: bool,
                maximize: bool) -> None:  # fmt: skip
    """B. Polyak, A. Juditsky: Acceleration of Stochastic Approximation by Averaging, 1992.

    shrink: 1 - lambd eta; share: mu, the weight of this step in the average; not averaging: the
    average is the parameter.
    """
    for i, param in enumerate(params):
        g = directed(grads[i], param, maximize, decay if decayed else None)
        param.mul_(shrink).add_(g, alpha=step)
        if averaging:
            averages[i].add_((param - averages[i]) * share)
        else:
            averages[i].copy_(param)


asgd_update = update(
    "asgd_update(params, grads, averages, shrink, step, share, decay, averaging, decayed, "
    "maximize)",
    numbers="shrink step share decay",
    writes="params averages",
    expand=asgd_expand,
)


def rprop_expand(params: Sequence[Any], grads: Sequence[Any], prevs: Sequence[Any],
                 step_sizes: Sequence[Any], slower: float, faster: float, least: float, most: float,
                 maximize: bool) -> None:  # fmt: skip
    """M. Riedmiller, H. Braun: A Direct Adaptive Method for Faster Backpropagation, 1993.

    Where the gradient has changed its sign, steps shrink and this one is left out.
    """
    for i, param in enumerate(params):
        g = grads[i].neg() if maximize else grads[i]
        agreement = (g * prevs[i]).sign()
        factor = agreement.masked_fill(agreement == 0, 1.0)  # NaN stays NaN
        factor = factor.masked_fill(agreement > 0, faster).masked_fill(agreement < 0, slower)
        step_sizes[i].mul_(factor).clamp_(least, most)
        g = g.masked_fill(agreement < 0, 0.0)
        param.addcmul_(g.sign(), step_sizes[i], value=-1.0)
        prevs[i].copy_(g)


rprop_update = update(
    "rprop_update(params, grads, prevs, step_sizes, slower, faster, least, most, maximize)",
    numbers="",
    writes="params prevs step_sizes",
    expand=rprop_expand,
)


def root_mean_square(x: Any) -> Any:
    """In double precision, as a tensor without dims."""
    return x.norm(2).to(float64) / float(x.numel()) ** 0.5


def adafactor_expand(params: Sequence[Any], grads: Sequence[Any], row_vars: Sequence[Any],
                     col_vars: Sequence[Any], variances: Sequence[Any], rate: Any, rho: Any,
                     shrink: Any, eps1: float, eps2: float, d: float, decayed: bool,
                     maximize: bool) -> None:  # fmt: skip
    """N. Shazeer, M. Stern: Adafactor, 2018. rate: t^beta2_decay; rho: the most that a step is.

    The estimate of the squares is kept as row_vars and col_vars, or as variances for vectors.
    """
    for i, param in enumerate(params):
        g = grads[i].neg() if maximize else grads[i]
        scale = root_mean_square(param).clamp(min=eps2) * rho
        if decayed:
            param.mul_(shrink)
        if row_vars:
            row, col = row_vars[i], col_vars[i]
            row.lerp_(g.norm(2, -1, True).square() / g.shape[-1], rate)
            col.lerp_(g.norm(2, -2, True).square() / g.shape[-2], rate)
            estimate = row.matmul(col) / row.mean(-2, keepdim=True).clamp(min=eps1)
        else:
            estimate = variances[i].lerp_(g * g, rate)
        change = estimate.clamp(min=eps1 * eps1).rsqrt() * g
        clip = (root_mean_square(change) / d).clamp(min=1.0)
        param.sub_(change * (scale / clip))


adafactor_update = update(
    "adafactor_update(params, grads, row_vars, col_vars, variances, rate, rho, shrink, eps1, eps2, "
    "d, decayed, maximize)",
    numbers="rate rho shrink",
    writes="params row_vars col_vars variances",
    expand=adafactor_expand,
)


def orthogonalized(g: Any, coefficients: tuple[float, float, float], rounds: int,
                   eps: float) -> Any:  # fmt: skip
    """Newton-Schulz iterations in bfloat16, which bring the singular values near to 1."""
    a, b, c = coefficients
    x = g.to(bfloat16)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.t()
    x = x / x.norm().clamp(min=eps)
    for _ in range(rounds):
        gram = x.mm(x.t())
        x = x.addmm(gram.addmm(gram, gram, beta=b, alpha=c), x, beta=a)
    return x.t() if tall else x


def muon_expand(params: Sequence[Any], grads: Sequence[Any], momenta: Sequence[Any], step: Any,
                shrink: Any, momentum: Any, rate: Any, coefficients: tuple[float, float, float],
                rounds: int, eps: float, nesterov: bool) -> None:  # fmt: skip
    """K. Jordan et al.: Muon, 2024. rate: 1 - momentum; step: minus the adjusted learning rate."""
    for i, param in enumerate(params):
        velocity = momenta[i].lerp_(grads[i], rate)
        g = grads[i].lerp(velocity, momentum) if nesterov else velocity
        change = orthogonalized(g, coefficients, rounds, eps)
        param.mul_(shrink).add_(change, alpha=step)


muon_update = update(
    "muon_update(params, grads, momenta, step, shrink, momentum, rate, coefficients, rounds, eps, "
    "nesterov)",
    numbers="step shrink momentum rate",
    writes="params momenta",
    expand=muon_expand,
)
