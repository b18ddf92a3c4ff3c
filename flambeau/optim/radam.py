"""RAdam."""

from flambeau.ops.update_scaled import radam_expand, radam_update
from flambeau.optim.adam import decay_of, how_decayed
from flambeau.optim.checks import check_betas, check_lr, check_not_negative
from flambeau.optim.state import zeros_for
from flambeau.optim.stepping import Rule, Stepping, kept, number

rule = Rule(radam_update, radam_expand)


class RAdam(Stepping):
    """Adam that scales its steps only once it has seen enough gradients to know the scale."""

    flags = ("maximize", "differentiable", "decoupled_weight_decay", "capturable")

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0,
                 decoupled_weight_decay=False, *, foreach=None, maximize=False, capturable=False,
                 differentiable=False):  # fmt: skip
        check_lr(lr)
        check_not_negative(eps=eps)
        check_betas(betas)
        check_not_negative(weight_decay=weight_decay)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "maximize": maximize, "foreach": foreach, "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay, "differentiable": differentiable,
        })  # fmt: skip

    def new_state(self, own, param, group):
        own["step"] = 0
        own["exp_avg"] = zeros_for(param)
        own["exp_avg_sq"] = zeros_for(param)

    def apply(self, group, params, grads, states, count):
        count += 1
        beta1, beta2 = map(float, group["betas"])
        lr = number(group["lr"])
        factor = rectification(beta2, count)
        self.write(
            rule, params, grads,
            kept(states, "exp_avg"),
            kept(states, "exp_avg_sq"),
            float(lr), factor or 0.0, decay_of(group, lr),
            1 - beta1, beta2, 1 - beta2, 1 - beta1**count, (1 - beta2**count) ** 0.5,
            float(group["eps"]), factor is not None, how_decayed(group), bool(group["maximize"]),
        )  # fmt: skip
        return (count,)


def rectification(beta2, count):
    """What makes the variance of the scale constant; None where it is not known well enough."""
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * count * beta2**count / (1 - beta2**count)
    if length <= 5:
        return None
    ratio = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
    return ratio**0.5
