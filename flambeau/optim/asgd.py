"""Averaged stochastic gradient descent."""

from flambeau.ops.update_other import asgd_expand, asgd_update
from flambeau.optim.checks import check_lr, check_not_negative
from flambeau.optim.state import rounded, zeros_for
from flambeau.optim.stepping import Rule, Stepping, kept, number

rule = Rule(asgd_update, asgd_expand)


class ASGD(Stepping):
    """Gradient descent that also keeps the average of the parameters, in state[p]["ax"]."""

    counted = ("step", "eta", "mu")
    flags = ("maximize", "differentiable", "capturable")

    def __init__(self, params, lr=1e-2, lambd=1e-4, alpha=0.75, t0=1e6, weight_decay=0,
                 foreach=None, maximize=False, differentiable=False,
                 capturable=False):  # fmt: skip
        check_lr(lr)
        check_not_negative(weight_decay=weight_decay)
        super().__init__(params, {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay,
            "foreach": foreach, "maximize": maximize, "differentiable": differentiable,
            "capturable": capturable,
        })  # fmt: skip

    def new_state(self, own, param, group):
        own["step"] = 0
        own["eta"] = rounded(number(group["lr"]))
        own["mu"] = 1.0
        own["ax"] = zeros_for(param)

    def apply(self, group, params, grads, states, count, eta, mu):
        count += 1
        lr, lambd, decay = number(group["lr"]), group["lambd"], float(group["weight_decay"])
        self.write(rule, params, grads, kept(states, "ax"), 1 - lambd * eta, -eta, mu, decay,
                   mu != 1, decay != 0, bool(group["maximize"]))  # fmt: skip
        eta = lr / (1 + lambd * lr * count) ** group["alpha"]
        return count, rounded(eta), rounded(1 / max(1, count - group["t0"]))
