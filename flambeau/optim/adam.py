"""Adam and AdamW."""

from flambeau.ops.functions import function_of
from flambeau.ops.update import adam_update
from flambeau.optim.checks import check_lr, check_modes
from flambeau.optim.optimizer import ParameterState, Stepping, number, separately
from flambeau.optim.sgd import zeros_for

record = function_of(adam_update)


class Adam(Stepping):
    """Steps scaled by running estimates of the gradient's mean and square."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, amsgrad=False,
                 *, foreach=None, maximize=False, capturable=False, differentiable=False,
                 fused=None, decoupled_weight_decay=False):  # fmt: skip
        check_lr(lr, foreach, capturable)
        if eps < 0.0:
            raise ValueError(f"Invalid epsilon value: {eps}")
        for i, beta in enumerate(betas):
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
        if weight_decay < 0.0:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize, "foreach": foreach, "capturable": capturable,
            "differentiable": differentiable, "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        })  # fmt: skip
        check_modes(foreach, fused, differentiable)

    def __setstate__(self, state):
        super().__setstate__(state)
        for group in self.param_groups:
            for name in ("amsgrad", "maximize", "capturable", "differentiable",
                         "decoupled_weight_decay"):  # fmt: skip
                group.setdefault(name, False)
            for name in ("foreach", "fused"):
                group.setdefault(name, None)

    def update(self, group, params, grads):
        state = self.state
        states = []
        for param in params:
            own = state[param]
            if "step" not in own:
                own = state[param] = new_state(param, group["amsgrad"], own)
            elif own.__class__ is not ParameterState:
                own = state[param] = ParameterState(own)
            states.append(own)
        counts = [own.count() + 1 for own in states]
        for own, count in zip(states, counts):
            own["step"] = count
        if min(counts) == max(counts) and separately(params):
            self.apply(group, params, grads, states, counts[0])
            return
        for param, grad, own, count in zip(params, grads, states, counts):
            self.apply(group, [param], [grad], [own], count)

    def apply(self, group, params, grads, states, count):
        """Record the update of parameters that have taken the same number of steps."""
        beta1, beta2 = map(number, group["betas"])
        lr, decay = number(group["lr"]), number(group["weight_decay"])
        decoupled = group["decoupled_weight_decay"]
        record(
            params, grads,
            [s["exp_avg"] for s in states],
            [s["exp_avg_sq"] for s in states],
            [s["max_exp_avg_sq"] for s in states] if group["amsgrad"] else [],
            -(lr / (1 - beta1**count)),
            float(1 - lr * decay if decoupled else decay),
            float(1 - beta1), float(beta2), float(1 - beta2),
            (1 - beta2**count) ** 0.5, float(group["eps"]),
            ("decoupled" if decoupled else "gradient") if decay else "",
            bool(group["maximize"]),
        )  # fmt: skip


def new_state(param, amsgrad, known):
    """The state before the first step."""
    own = ParameterState(known)
    own["step"] = 0
    own["exp_avg"] = zeros_for(param)
    own["exp_avg_sq"] = zeros_for(param)
    if amsgrad:
        own["max_exp_avg_sq"] = zeros_for(param)
    return own


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
