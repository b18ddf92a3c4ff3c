"""Resilient backpropagation."""

from flambeau.ops.update_other import rprop_expand, rprop_update
from flambeau.optim.checks import check_lr
from flambeau.optim.state import zeros_for
from flambeau.optim.stepping import Rule, Stepping, kept, number

rule = Rule(rprop_update, rprop_expand)


class Rprop(Stepping):
    """Steps that grow while the gradient keeps its sign and shrink when it changes."""

    flags = ("maximize", "differentiable", "capturable")

    def __init__(self, params, lr=1e-2, etas=(0.5, 1.2), step_sizes=(1e-6, 50), *,
                 capturable=False, foreach=None, maximize=False,
                 differentiable=False):  # fmt: skip
        check_lr(lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        super().__init__(params, {
            "lr": lr, "etas": etas, "step_sizes": step_sizes, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        })  # fmt: skip

    def new_state(self, own, param, group):
        import flambeau as fl

        lr = number(group["lr"])
        lr = complex(lr, lr) if param.is_complex() else float(lr)
        own["step"] = 0
        own["prev"] = zeros_for(param)
        own["step_size"] = fl.full_like(param, lr, requires_grad=False,
                                        memory_format=fl.preserve_format)  # fmt: skip

    def apply(self, group, params, grads, states, count):
        self.write(rule, params, grads, kept(states, "prev"), kept(states, "step_size"),
                   *map(float, group["etas"]), *map(float, group["step_sizes"]),
                   bool(group["maximize"]))  # fmt: skip
        return (count + 1,)
