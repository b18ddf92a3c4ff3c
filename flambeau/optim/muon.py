"""Muon."""

from flambeau.ops.update_other import muon_expand, muon_update
from flambeau.optim.checks import check_one_element
from flambeau.optim.state import zeros_for
from flambeau.optim.stepping import Rule, Stepping, kept

rule = Rule(muon_update, muon_expand)


class Muon(Stepping):
    """Momentum whose steps are made orthogonal matrices; for matrices only."""

    counted = ()
    flags = choices = ()

    def __init__(self, params, lr=1e-3, weight_decay=0.1, momentum=0.95, nesterov=True,
                 ns_coefficients=(3.4445, -4.7750, 2.0315), eps=1e-7, ns_steps=5,
                 adjust_lr_fn=None):  # fmt: skip
        check_one_element(lr)
        for name, value in (("Learning rate", lr), ("momentum", momentum),
                            ("weight decay", weight_decay)):  # fmt: skip
            if not 0.0 <= value:
                raise ValueError(f"{name} should be >= 0 but is: {value}")
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        super().__init__(params, {
            "lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov,
            "ns_coefficients": ns_coefficients, "eps": eps, "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        })  # fmt: skip
        for group in self.param_groups:
            for param in group["params"]:
                if param.ndim != 2:
                    raise ValueError("Muon only supports 2D parameters whereas we found a "
                                     f"parameter with size: {param.size()}")  # fmt: skip

    def update(self, group, params, grads):
        """The learning rate depends on the matrix's size: one call for each rate."""
        if any(p.is_complex() for p in params):
            raise RuntimeError("Muon does not support complex parameters")
        if any(g.ndim != 2 for g in grads):
            raise ValueError("Param gradient must be a 2D matrix")
        parts = {}
        for param, grad in zip(params, grads):
            some = parts.setdefault(rate_factor(group["adjust_lr_fn"], *param.shape), ([], []))
            some[0].append(param)
            some[1].append(grad)
        for self.factor, (chosen, their_grads) in parts.items():
            super().update(group, chosen, their_grads)

    def new_state(self, own, param, group):
        own["momentum_buffer"] = zeros_for(param)

    def apply(self, group, params, grads, states):
        check_iterations(group)
        lr, momentum = float(group["lr"]), float(group["momentum"])
        self.write(
            rule, params, grads,
            kept(states, "momentum_buffer"),
            -lr * self.factor, 1 - lr * group["weight_decay"], momentum, 1 - momentum,
            tuple(map(float, group["ns_coefficients"])), group["ns_steps"], float(group["eps"]),
            bool(group["nesterov"]),
        )  # fmt: skip
        return ()


def rate_factor(how, rows, columns):
    """What makes the steps of matrices of all sizes alike."""
    if how == "match_rms_adamw":
        return 0.2 * max(rows, columns) ** 0.5
    return max(1, rows / columns) ** 0.5


def check_iterations(group):
    if group["ns_steps"] >= 100:
        raise ValueError("Number of steps must be less than 100 for computational efficiency")
    if len(group["ns_coefficients"]) != 3:
        raise ValueError("Coefficients must be a tuple of exactly 3 values")
