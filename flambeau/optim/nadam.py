"""NAdam."""

from flambeau.ops.update_scaled import nadam_expand, nadam_update
from flambeau.optim.adam import decay_of, how_decayed
from flambeau.optim.checks import check_betas, check_lr, check_not_negative
from flambeau.optim.state import rounded, zeros_for
from flambeau.optim.stepping import Rule, Stepping, kept, number

rule = Rule(nadam_update, nadam_expand)


class NAdam(Stepping):
    """Adam with Nesterov's momentum."""

    counted = ("step", "mu_product")
    flags = ("maximize", "capturable", "differentiable", "decoupled_weight_decay")

    def __init__(self, params, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0,
                 momentum_decay=4e-3, decoupled_weight_decay=False, *, foreach=None, maximize=False,
                 capturable=False, differentiable=False):  # fmt: skip
        check_lr(lr)
        check_not_negative(eps=eps)
        check_betas(betas)
        check_not_negative(weight_decay=weight_decay, momentum_decay=momentum_decay)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "momentum_decay": momentum_decay, "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize, "foreach": foreach, "capturable": capturable,
            "differentiable": differentiable,
        })  # fmt: skip

    def new_state(self, own, param, group):
        own["step"] = 0
        own["mu_product"] = 1.0
        own["exp_avg"] = zeros_for(param)
        own["exp_avg_sq"] = zeros_for(param)

    def apply(self, group, params, grads, states, count, product):
        count += 1
        beta1, beta2 = map(float, group["betas"])
        lr, slower = number(group["lr"]), group["momentum_decay"]
        mu, mu_next = (beta1 * (1 - 0.5 * 0.96 ** (t * slower)) for t in (count, count + 1))
        product = rounded(rounded(product) * rounded(mu))
        self.write(
            rule, params, grads,
            kept(states, "exp_avg"),
            kept(states, "exp_avg_sq"),
            -lr * (1 - mu) / (1 - product), -lr * mu_next / (1 - product * mu_next),
            decay_of(group, lr),
            1 - beta1, beta2, 1 - beta2, 1 - beta2**count, float(group["eps"]),
            how_decayed(group), bool(group["maximize"]),
        )  # fmt: skip
        return count, product
