"""Adamax."""

from flambeau.ops.update_scaled import adamax_expand, adamax_update
from flambeau.optim.checks import check_betas, check_lr, check_not_negative
from flambeau.optim.state import zeros_for
from flambeau.optim.stepping import Rule, Stepping, kept, number

rule = Rule(adamax_update, adamax_expand)


class Adamax(Stepping):
    """Adam scaled by the largest gradient of late instead of a mean of squares."""

    flags = ("maximize", "differentiable", "capturable")

    def __init__(self, params, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, foreach=None,
                 *, maximize=False, differentiable=False, capturable=False):  # fmt: skip
        check_lr(lr)
        check_not_negative(eps=eps)
        check_betas(betas)
        check_not_negative(weight_decay=weight_decay)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        })  # fmt: skip

    def new_state(self, own, param, group):
        own["step"] = 0
        own["exp_avg"] = zeros_for(param)
        own["exp_inf"] = zeros_for(param)

    def apply(self, group, params, grads, states, count):
        count += 1
        beta1, beta2 = map(float, group["betas"])
        decay = float(group["weight_decay"])
        self.write(
            rule, params, grads,
            kept(states, "exp_avg"),
            kept(states, "exp_inf"),
            -(number(group["lr"]) / (1 - beta1**count)), decay, 1 - beta1, beta2,
            float(group["eps"]), decay != 0, bool(group["maximize"]),
        )  # fmt: skip
        return (count,)
