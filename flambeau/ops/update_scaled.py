"""Updates whose steps are scaled by running estimates: Adagrad, Adadelta, RMSprop, Adam's kin.

As in update.py: what changes from step to step is a run-time number, flags are static.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau.ops.update import decayed_gradient, directed, update


def adagrad_expand(params: Sequence[Any], grads: Sequence[Any], square_sums: Sequence[Any],
                   step: Any, decay: Any, eps: Any, decayed: bool,
                   maximize: bool) -> None:  # fmt: skip
    """J. Duchi, E. Hazan, Y. Singer: Adaptive Subgradient Methods, 2011."""
    for i, param in enumerate(params):
        g = directed(grads[i], param, maximize, decay if decayed else None)
        square_sums[i].addcmul_(g, g)
        param.addcdiv_(g, square_sums[i].sqrt() + eps, value=step)


adagrad_update = update(
    "adagrad_update(params, grads, square_sums, step, decay, eps, decayed, maximize)",
    numbers="step decay eps",
    writes="params square_sums",
    expand=adagrad_expand,
)


def adadelta_expand(params: Sequence[Any], grads: Sequence[Any], square_avgs: Sequence[Any],
                    acc_deltas: Sequence[Any], step: Any, decay: Any, rho: Any, rate: Any, eps: Any,
                    decayed: bool, maximize: bool) -> None:  # fmt: skip
    """M. Zeiler: ADADELTA, 2012. rate: 1 - rho."""
    for i, param in enumerate(params):
        g = directed(grads[i], param, maximize, decay if decayed else None)
        square, moved = square_avgs[i], acc_deltas[i]
        square.mul_(rho).addcmul_(g, g, value=rate)
        delta = (moved + eps).sqrt() / (square + eps).sqrt() * g
        moved.mul_(rho).addcmul_(delta, delta, value=rate)
        param.add_(delta, alpha=step)


adadelta_update = update(
    "adadelta_update(params, grads, square_avgs, acc_deltas, step, decay, rho, rate, eps, decayed, "
    "maximize)",
    numbers="step decay rho rate eps",
    writes="params square_avgs acc_deltas",
    expand=adadelta_expand,
)


def rmsprop_expand(params: Sequence[Any], grads: Sequence[Any], square_avgs: Sequence[Any],
                   grad_avgs: Sequence[Any], momenta: Sequence[Any], step: Any, decay: Any,
                   alpha: Any, rate: Any, momentum: Any, eps: Any, decayed: bool,
                   maximize: bool) -> None:  # fmt: skip
    """T. Tieleman, G. Hinton: lecture 6.5, 2012; centered: A. Graves, 2013. rate: 1 - alpha."""
    for i, param in enumerate(params):
        g = directed(grads[i], param, maximize, decay if decayed else None)
        square = square_avgs[i].mul_(alpha).addcmul_(g, g, value=rate)
        if grad_avgs:
            mean = grad_avgs[i].lerp_(g, rate)
            square = square.addcmul(mean, mean, value=-1)
        scale = square.sqrt() + eps
        if momenta:
            momenta[i].mul_(momentum).addcdiv_(g, scale)
            param.add_(momenta[i], alpha=step)
        else:
            param.addcdiv_(g, scale, value=step)


rmsprop_update = update(
    "rmsprop_update(params, grads, square_avgs, grad_avgs, momenta, step, decay, alpha, rate, "
    "momentum, eps, decayed, maximize)",
    numbers="step decay alpha rate momentum eps",
    writes="params square_avgs grad_avgs momenta",
    expand=rmsprop_expand,
)


def adamax_expand(params: Sequence[Any], grads: Sequence[Any], exp_avgs: Sequence[Any],
                  exp_infs: Sequence[Any], step: Any, decay: Any, rate1: Any, beta2: Any, eps: Any,
                  decayed: bool, maximize: bool) -> None:  # fmt: skip
    """D. Kingma, J. Ba: Adam, 2015, section 7.1. step: minus the rate / (1 - beta1^t)."""
    for i, param in enumerate(params):
        g = directed(grads[i], param, maximize, decay if decayed else None)
        exp_avgs[i].lerp_(g, rate1)
        largest = (exp_infs[i] * beta2).maximum(g.abs() + eps)
        exp_infs[i].copy_(largest)
        param.addcdiv_(exp_avgs[i], exp_infs[i], value=step)


adamax_update = update(
    "adamax_update(params, grads, exp_avgs, exp_infs, step, decay, rate1, beta2, eps, decayed, "
    "maximize)",
    numbers="step decay rate1 beta2 eps",
    writes="params exp_avgs exp_infs",
    expand=adamax_expand,
)


def nadam_expand(params: Sequence[Any], grads: Sequence[Any], exp_avgs: Sequence[Any],
                 exp_avg_sqs: Sequence[Any], step: Any, ahead: Any, decay: Any, rate1: Any,
                 beta2: Any, rate2: Any, correction: Any, eps: Any, decayed: str,
                 maximize: bool) -> None:  # fmt: skip
    """T. Dozat: Incorporating Nesterov Momentum into Adam, 2016.

    step, ahead: minus the learning rate times the weights of the gradient and of its mean;
    correction: 1 - beta2^t; decay as in Adam.
    """
    for i, param in enumerate(params):
        g = decayed_gradient(grads[i], param, maximize, decay, decayed)
        mean, square = exp_avgs[i], exp_avg_sqs[i]
        mean.lerp_(g, rate1)
        square.mul_(beta2).addcmul_(g, g, value=rate2)
        scale = (square / correction).sqrt() + eps
        param.addcdiv_(g, scale, value=step).addcdiv_(mean, scale, value=ahead)


nadam_update = update(
    "nadam_update(params, grads, exp_avgs, exp_avg_sqs, step, ahead, decay, rate1, beta2, rate2, "
    "correction, eps, decayed, maximize)",
    numbers="step ahead decay rate1 beta2 rate2 correction eps",
    writes="params exp_avgs exp_avg_sqs",
    expand=nadam_expand,
)


def radam_expand(params: Sequence[Any], grads: Sequence[Any], exp_avgs: Sequence[Any],
                 exp_avg_sqs: Sequence[Any], lr: Any, rectification: Any, decay: Any, rate1: Any,
                 beta2: Any, rate2: Any, correction1: Any, correction2: Any, eps: Any,
                 rectified: bool, decayed: str, maximize: bool) -> None:  # fmt: skip
    """L. Liu et al.: On the Variance of the Adaptive Learning Rate, 2020.

    correction1: 1 - beta1^t; correction2: sqrt(1 - beta2^t); not rectified: plain momentum.
    """
    for i, param in enumerate(params):
        g = decayed_gradient(grads[i], param, maximize, decay, decayed)
        mean, square = exp_avgs[i], exp_avg_sqs[i]
        mean.lerp_(g, rate1)
        square.mul_(beta2).addcmul_(g, g, value=rate2)
        change = mean / correction1 * lr
        if rectified:
            change = change * ((square.sqrt() + eps).reciprocal() * correction2) * rectification
        param.add_(change, alpha=-1.0)


radam_update = update(
    "radam_update(params, grads, exp_avgs, exp_avg_sqs, lr, rectification, decay, rate1, beta2, "
    "rate2, correction1, correction2, eps, rectified, decayed, maximize)",
    numbers="lr rectification decay rate1 beta2 rate2 correction1 correction2 eps",
    writes="params exp_avgs exp_avg_sqs",
    expand=radam_expand,
)
