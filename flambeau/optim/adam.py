"""Adam and AdamW."""

from flambeau.ops.update import adam_expand, adam_update
from flambeau.optim.checks import check_betas, check_lr, check_modes, check_not_negative
from flambeau.optim.state import zeros_for
from flambeau.optim.stepping import Rule, Stepping, kept, number
from flambeau.tensor import Tensor

rule = Rule(adam_update, adam_expand)


class Adam(Stepping):
    """Steps scaled by running estimates of the gradient's mean and square."""

    flags = ("amsgrad", "maximize", "capturable", "differentiable", "decoupled_weight_decay")
    choices = ("foreach", "fused")
    refusal, advice = "Adam", ", please consider SparseAdam instead"

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, amsgrad=False,
                 *, foreach=None, maximize=False, capturable=False, differentiable=False,
                 fused=None, decoupled_weight_decay=False):  # fmt: skip
        check_lr(lr, foreach, capturable)
        check_not_negative(eps=eps)
        check_betas(betas)
        check_kinds(betas, foreach, capturable)
        check_not_negative(weight_decay=weight_decay)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize, "foreach": foreach, "capturable": capturable,
            "differentiable": differentiable, "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        })  # fmt: skip
        check_modes(foreach, fused, differentiable)

    def new_state(self, own, param, group):
        own["step"] = 0
        own["exp_avg"] = zeros_for(param)
        own["exp_avg_sq"] = zeros_for(param)
        if group["amsgrad"]:
            own["max_exp_avg_sq"] = zeros_for(param)

    def apply(self, group, params, grads, states, count):
        count += 1
        beta1, beta2 = map(number, group["betas"])
        lr = number(group["lr"])
        self.write(
            rule, params, grads,
            kept(states, "exp_avg"),
            kept(states, "exp_avg_sq"),
            kept(states, "max_exp_avg_sq") if group["amsgrad"] else [],
            -(lr / (1 - beta1**count)),
            decay_of(group, lr),
            float(1 - beta1), float(beta2), float(1 - beta2),
            (1 - beta2**count) ** 0.5, float(group["eps"]),
            how_decayed(group), bool(group["maximize"]),
        )  # fmt: skip
        return (count,)


def check_kinds(betas, foreach, capturable):
    """Betas are floats, or tensors of one element."""
    beta1, beta2 = betas
    for kind in (float, Tensor):
        if isinstance(beta1, kind) and isinstance(beta2, kind):
            break
    else:
        raise ValueError("betas must be either both floats or both Tensors")
    for i, beta in enumerate(betas):
        if isinstance(beta, Tensor) and foreach and not capturable:
            raise ValueError(f"betas[{i}] as a Tensor is not supported for capturable=False and "
                             "foreach=True")  # fmt: skip
        if isinstance(beta, Tensor) and beta.numel() != 1:
            raise ValueError(f"Tensor betas[{i}] must be 1-element")


def decay_of(group, lr):
    """What weight decay multiplies by: the parameter, for the gradient or for itself."""
    decay = number(group["weight_decay"])
    return float(1 - lr * decay if group["decoupled_weight_decay"] else decay)


def how_decayed(group):
    """Whether weight decay goes through the gradient."""
    if not group["weight_decay"]:
        return ""
    return "decoupled" if group["decoupled_weight_decay"] else "gradient"


class AdamW(Adam):
    """Adam whose weight decay does not pass through the gradient."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2,
                 amsgrad=False, *, maximize=False, foreach=None, capturable=False,
                 differentiable=False, fused=None):  # fmt: skip
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach,
                         maximize=maximize, capturable=capturable, differentiable=differentiable,
                         fused=fused, decoupled_weight_decay=True)  # fmt: skip

    def __setstate__(self, state):
        super().__setstate__(state)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True
