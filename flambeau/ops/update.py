"""Composite rows that update parameters: one call for all parameters of an optimizer.

Everything that changes from step to step (learning rates, bias corrections) is a run-time number
that the optimizer computed before; flags are static. flambeau/optim records it with gradients off.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flambeau.ir.op import Op
from flambeau.ops.declare import composite
from flambeau.ops.samples import no_samples
from flambeau.trace.modes import Mode


def no_results(mode: Mode, *facts: Any) -> tuple[()]:
    """An update only writes."""
    return ()


def update(signature: str, numbers: str, writes: str, expand: Callable[..., None]) -> Op:
    """A row that changes lists of tensors and gives nothing."""
    return composite(signature, numbers=numbers.split(), writes=tuple(writes.split()),
                     expand=expand, public="", shape=no_results, samples=no_samples)  # fmt: skip


def directed(g: Any, param: Any, maximize: bool, decay: Any) -> Any:
    """The gradient to go down along; `decay` None: no weight decay in it."""
    g = g.neg() if maximize else g
    return g if decay is None else g.add(param, alpha=decay)


def decayed_gradient(g: Any, param: Any, maximize: bool, decay: Any, decayed: str) -> Any:
    """The gradient to go down along, with weight decay in it ("gradient") or already applied to
    the parameter ("decoupled"; `decay` is the factor then)."""
    g = directed(g, param, maximize, decay if decayed == "gradient" else None)
    if decayed == "decoupled":
        param.mul_(decay)
    return g


def sgd_expand(params: Sequence[Any], grads: Sequence[Any], momenta: Sequence[Any], step: Any,
               decay: Any, momentum: Any, share: Any, decayed: bool, nesterov: bool,
               maximize: bool) -> None:  # fmt: skip
    """v ← momentum v + share g; p ← p + step v (step is minus the learning rate)."""
    for i, param in enumerate(params):
        g = directed(grads[i], param, maximize, decay if decayed else None)
        if momenta:
            velocity = momenta[i]
            velocity.mul_(momentum).add_(g, alpha=share)
            g = g.add(velocity, alpha=momentum) if nesterov else velocity
        param.add_(g, alpha=step)


sgd_update = update(
    "sgd_update(params, grads, momenta, step, decay, momentum, share, decayed, nesterov, maximize)",
    numbers="step decay momentum share",
    writes="params momenta",
    expand=sgd_expand,
)


def adam_expand(params: Sequence[Any], grads: Sequence[Any], exp_avgs: Sequence[Any],
                exp_avg_sqs: Sequence[Any], max_exp_avg_sqs: Sequence[Any], step: Any, decay: Any,
                rate1: Any, beta2: Any, rate2: Any, correction: Any, eps: Any, decayed: str,
                maximize: bool) -> None:  # fmt: skip
    """D. Kingma, J. Ba: Adam, 2015; decoupled decay: I. Loshchilov, F. Hutter, 2019.

    step: minus the learning rate / (1 - beta1^t); correction: sqrt(1 - beta2^t);
    rate1, rate2: 1 - beta; decay: the factor of the parameter where decayed is "decoupled".
    """
    for i, param in enumerate(params):
        g = decayed_gradient(grads[i], param, maximize, decay, decayed)
        mean, square = exp_avgs[i], exp_avg_sqs[i]
        mean.lerp_(g, rate1)
        square.mul_(beta2).addcmul_(g, g, value=rate2)
        if max_exp_avg_sqs:
            square = max_exp_avg_sqs[i].copy_(max_exp_avg_sqs[i].maximum(square))
        param.addcdiv_(mean, square.sqrt() / correction + eps, value=step)


adam_update = update(
    "adam_update(params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, step, decay, rate1, beta2, "
    "rate2, correction, eps, decayed, maximize)",
    numbers="step decay rate1 beta2 rate2 correction eps",
    writes="params exp_avgs exp_avg_sqs max_exp_avg_sqs",
    expand=adam_expand,
)
