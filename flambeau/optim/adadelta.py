"""Adadelta."""

from flambeau.ops.update_scaled import adadelta_expand, adadelta_update
from flambeau.optim.checks import check_lr, check_not_negative
from flambeau.optim.state import zeros_for
from flambeau.optim.stepping import Rule, Stepping, kept, number

rule = Rule(adadelta_update, adadelta_expand)


class Adadelta(Stepping):
    """Steps scaled by the ratio of how far parameters went to how large gradients were."""

    flags = ("maximize", "differentiable", "capturable")

    def __init__(self, params, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0, foreach=None, *,
                 capturable=False, maximize=False, differentiable=False):  # fmt: skip
        check_lr(lr)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        check_not_negative(eps=eps, weight_decay=weight_decay)
        super().__init__(params, {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "capturable": capturable, "foreach": foreach, "differentiable": differentiable,
        })  # fmt: skip

    def new_state(self, own, param, group):
        own["step"] = 0
        own["square_avg"] = zeros_for(param)
        own["acc_delta"] = zeros_for(param)

    def apply(self, group, params, grads, states, count):
        rho, decay = float(group["rho"]), float(group["weight_decay"])
        self.write(
            rule, params, grads,
            kept(states, "square_avg"),
            kept(states, "acc_delta"),
            -float(number(group["lr"])), decay, rho, 1 - rho, float(group["eps"]),
            decay != 0, bool(group["maximize"]),
        )  # fmt: skip
        return (count + 1,)
