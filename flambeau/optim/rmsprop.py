"""RMSprop."""

from flambeau.ops.update_scaled import rmsprop_expand, rmsprop_update
from flambeau.optim.checks import check_lr, check_not_negative
from flambeau.optim.state import zeros_for
from flambeau.optim.stepping import Rule, Stepping, kept, number

rule = Rule(rmsprop_update, rmsprop_expand)


class RMSprop(Stepping):
    """Steps scaled by the root of a running mean of squared gradients."""

    flags = ("centered", "maximize", "differentiable", "capturable")

    def __init__(self, params, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0,
                 centered=False, capturable=False, foreach=None, maximize=False,
                 differentiable=False):  # fmt: skip
        check_lr(lr)
        check_not_negative(eps=eps, momentum=momentum, weight_decay=weight_decay, alpha=alpha)
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable,
        })  # fmt: skip

    def __setstate__(self, state):
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("momentum", 0)

    def new_state(self, own, param, group):
        own["step"] = 0
        own["square_avg"] = zeros_for(param)
        if group["momentum"] > 0:
            own["momentum_buffer"] = zeros_for(param)
        if group["centered"]:
            own["grad_avg"] = zeros_for(param)

    def apply(self, group, params, grads, states, count):
        alpha, decay, momentum = (
            float(group[name]) for name in ("alpha", "weight_decay", "momentum")
        )
        self.write(
            rule, params, grads,
            kept(states, "square_avg"),
            kept(states, "grad_avg") if group["centered"] else [],
            kept(states, "momentum_buffer") if momentum > 0 else [],
            -float(number(group["lr"])), decay, alpha, 1 - alpha, momentum, float(group["eps"]),
            decay != 0, bool(group["maximize"]),
        )  # fmt: skip
        return (count + 1,)
