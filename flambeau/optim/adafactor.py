"""Adafactor."""

from flambeau.ops.update_other import adafactor_expand, adafactor_update
from flambeau.optim.checks import check_one_element
from flambeau.optim.state import zeros_for
from flambeau.optim.stepping import Rule, Stepping, kept, number

rule = Rule(adafactor_update, adafactor_expand)


class Adafactor(Stepping):
    """Adam in little memory: of a matrix of squares it keeps the means of rows and of columns."""

    flags = ("maximize",)

    def __init__(self, params, lr=1e-2, beta2_decay=-0.8, eps=(None, 1e-3), d=1.0, weight_decay=0.0,
                 *, foreach=None, maximize=False):  # fmt: skip
        check_one_element(lr)
        if not 0.0 <= lr:
            raise ValueError(f"Learning rate should be >= 0 but is: {lr}")
        if not 0.0 >= beta2_decay:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        for place, value in enumerate(eps, 1):
            if value is not None and not 0.0 <= value:
                raise ValueError(f"epsilon{place} should be >= 0 but is: {value}")
        if not 1.0 <= d:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        if not 0.0 <= weight_decay:
            raise ValueError(f"weight_decay should be >= 0 but is: {weight_decay}")
        super().__init__(params, {
            "lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay,
            "foreach": foreach, "maximize": maximize,
        })  # fmt: skip

    def update(self, group, params, grads):
        """Matrices and vectors are kept in different forms; eps depends on the dtype."""
        if any(p.is_complex() for p in params):
            raise RuntimeError("Adafactor does not support complex parameters")
        parts = {}
        for param, grad in zip(params, grads):
            self.state_of(param, group)  # in order, as state_dict shows
            some = parts.setdefault((grad.ndim > 1, param.dtype), ([], []))
            some[0].append(param)
            some[1].append(grad)
        for chosen, their_grads in parts.values():
            super().update(group, chosen, their_grads)

    def new_state(self, own, param, group):
        size = list(param.shape)
        own["step"] = 0
        if param.ndim > 1:
            own["row_var"] = param.new_zeros([*size[:-1], 1])
            own["col_var"] = param.new_zeros([*size[:-2], 1, size[-1]])
        else:
            own["variance"] = zeros_for(param)

    def apply(self, group, params, grads, states, count):
        import flambeau as fl

        count += 1
        lr, decay = number(group["lr"]), group["weight_decay"]
        eps1, eps2 = group["eps"]
        matrices = params[0].ndim > 1
        self.write(
            rule, params, grads,
            kept(states, "row_var") if matrices else [],
            kept(states, "col_var") if matrices else [],
            [] if matrices else kept(states, "variance"),
            count ** float(group["beta2_decay"]), min(lr, 1 / count**0.5), float(1 - lr * decay),
            fl.finfo(params[0].dtype).eps if eps1 is None else float(eps1), float(eps2),
            float(group["d"]), decay != 0, bool(group["maximize"]),
        )  # fmt: skip
        return (count,)
