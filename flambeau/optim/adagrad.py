"""Adagrad."""

from flambeau.ops.update_scaled import adagrad_expand, adagrad_update
from flambeau.optim.checks import check_lr, check_modes, check_not_negative
from flambeau.optim.state import ParameterState
from flambeau.optim.stepping import Rule, Stepping, kept, number

rule = Rule(adagrad_update, adagrad_expand)


class Adagrad(Stepping):
    """Steps scaled by the root of the sum of all squared gradients."""

    choices = ("foreach", "fused")

    def __init__(self, params, lr=1e-2, lr_decay=0, weight_decay=0, initial_accumulator_value=0,
                 eps=1e-10, foreach=None, *, maximize=False, differentiable=False,
                 fused=None):  # fmt: skip
        check_lr(lr)
        check_not_negative(lr_decay=lr_decay, weight_decay=weight_decay,
                           initial_accumulator_value=initial_accumulator_value,
                           eps=eps)  # fmt: skip
        super().__init__(params, {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "fused": fused,
        })  # fmt: skip
        check_modes(foreach, fused, differentiable)
        for group in self.param_groups:
            for param in group["params"]:
                own = self.state[param] = ParameterState()
                self.new_state(own, param, group)

    def share_memory(self):
        """Share the sums with other processes."""
        for own in self.state.values():
            own["sum"].share_memory_()

    def new_state(self, own, param, group):
        import flambeau as fl

        start = group["initial_accumulator_value"]
        start = complex(start, start) if param.is_complex() else float(start)
        own["step"] = 0
        own["sum"] = fl.full_like(param, start, requires_grad=False,
                                  memory_format=fl.preserve_format)  # fmt: skip

    def update_sparse(self, group, params, grads):
        """The sums, and the steps, where the gradients have elements."""
        if group["fused"]:
            raise RuntimeError("`fused` does not support sparse grad or complex param")
        if group["weight_decay"] != 0:
            raise RuntimeError("weight_decay option is not compatible with sparse gradients")
        for param, grad in zip(params, grads):
            own = self.state_of(param, group)
            count = own.number("step")
            self.stepped.append((param, (count,)))
            own["step"] = count + 1
            rate = number(group["lr"]) / (1 + count * group["lr_decay"])
            grad = (-grad if group["maximize"] else grad).coalesce()
            places, values = tuple(grad._indices().unbind(0)), grad._values()
            own["sum"].index_put_(places, values * values, accumulate=True)
            scale = own["sum"][places].sqrt() + group["eps"]
            param.index_put_(places, values / scale * -rate, accumulate=True)

    def apply(self, group, params, grads, states, count):
        rate = number(group["lr"]) / (1 + count * group["lr_decay"])
        decay = float(group["weight_decay"])
        self.write(rule, params, grads, kept(states, "sum"), -rate, decay, float(group["eps"]),
                   decay != 0, bool(group["maximize"]))  # fmt: skip
        return (count + 1,)
