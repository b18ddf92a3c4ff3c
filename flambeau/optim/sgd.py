"""Stochastic gradient descent."""

from itertools import repeat

from flambeau.ops.update import sgd_expand, sgd_update
from flambeau.optim.checks import check_lr, check_modes
from flambeau.optim.state import zeros_for
from flambeau.optim.stepping import Rule, Stepping, number, separately

rule = Rule(sgd_update, sgd_expand)


class SGD(Stepping):
    """Gradient descent with momentum, Nesterov's or not, and weight decay."""

    counted = ()
    flags = ("nesterov", "maximize", "differentiable")
    choices = ("foreach", "fused")

    def __init__(self, params, lr=1e-3, momentum=0, dampening=0, weight_decay=0, nesterov=False, *,
                 maximize=False, foreach=None, differentiable=False, fused=None):  # fmt: skip
        check_lr(lr)
        if momentum < 0.0:
            raise ValueError(f"Invalid momentum value: {momentum}")
        if weight_decay < 0.0:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize, "foreach": foreach,
            "differentiable": differentiable, "fused": fused,
        })  # fmt: skip
        check_modes(foreach, fused, differentiable)

    def update(self, group, params, grads):
        """The first step of a parameter does not dampen, so it is told from later ones."""
        self.stepped += zip(params, repeat(()))
        momentum, decay = group["momentum"], float(group["weight_decay"])
        settings = -float(group["lr"]), decay, float(momentum)
        flags = decay != 0, bool(group["nesterov"]), bool(group["maximize"])
        if not momentum:
            self.apply(params, grads, [], *settings, 1.0, *flags)
            return
        states = [self.state[p] for p in params]
        share = 1.0 - group["dampening"]
        old = [s.get("momentum_buffer") is not None for s in states]
        if all(old):
            self.apply(params, grads, buffers(states), *settings, share, *flags)
            return
        for param, state, known in zip(params, states, old):
            if not known:
                state["momentum_buffer"] = zeros_for(param)
        for known, part in ((False, 1.0), (True, share)):
            chosen = [i for i, o in enumerate(old) if o is known]
            if chosen:
                self.apply([params[i] for i in chosen], [grads[i] for i in chosen],
                           buffers([states[i] for i in chosen]), *settings, part,
                           *flags)  # fmt: skip

    def update_sparse(self, group, params, grads):
        """One parameter after the other; the buffer of a momentum is sparse, too."""
        if group["fused"]:
            raise RuntimeError("`_fused_sgd` does not support sparse gradients")
        momentum, share = group["momentum"], 1.0 - group["dampening"]
        for param, grad in zip(params, grads):
            self.stepped.append((param, ()))
            grad = -grad if group["maximize"] else grad
            if group["weight_decay"] != 0:
                grad = grad.add(param, alpha=group["weight_decay"])
            if momentum:
                own = self.state[param]
                old = own.get("momentum_buffer")
                new = grad.clone() if old is None else momentum_of(old, grad, momentum, share)
                own["momentum_buffer"] = new
                grad = grad.add(new, alpha=momentum) if group["nesterov"] else new
            grad._add_to_(param, -number(group["lr"]))

    def apply(self, params, grads, momenta, *rest):
        """One call, or one for each parameter where some share their memory."""
        if separately(params):
            self.write(rule, params, grads, momenta, *rest)
            return
        for i, (param, grad) in enumerate(zip(params, grads)):
            self.write(rule, [param], [grad], momenta[i : i + 1], *rest)


def momentum_of(old, grad, momentum, share):
    """The next buffer of a sparse gradient, each place in it once."""
    if not old.is_sparse:
        raise NotImplementedError("SGD: a sparse gradient after dense ones is not supported where "
                                  "there is a momentum\n  hint: grad.to_dense()")  # fmt: skip
    return old.mul(momentum).add(grad, alpha=share).coalesce()


def buffers(states):
    return [state["momentum_buffer"] for state in states]
