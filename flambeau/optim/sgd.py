"""Stochastic gradient descent."""

from flambeau.ops.functions import function_of
from flambeau.ops.update import sgd_update
from flambeau.optim.checks import check_lr, check_modes
from flambeau.optim.optimizer import Stepping, number, separately
from flambeau.tensor import Tensor

record = function_of(sgd_update)


class SGD(Stepping):
    """Gradient descent with momentum, Nesterov's or not, and weight decay."""

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

    def __setstate__(self, state):
        super().__setstate__(state)
        for group in self.param_groups:
            for name in ("nesterov", "maximize", "differentiable"):
                group.setdefault(name, False)
            for name in ("foreach", "fused"):
                group.setdefault(name, None)

    def update(self, group, params, grads):
        momentum = group["momentum"]
        settings = (-float(number(group["lr"])), float(number(group["weight_decay"])),
                    float(momentum))  # fmt: skip
        flags = group["weight_decay"] != 0, bool(group["nesterov"]), bool(group["maximize"])
        if not momentum:
            apply(params, grads, [], *settings, 1.0, *flags)
            return
        states = [self.state[p] for p in params]
        share = 1.0 - group["dampening"]
        old = [s.get("momentum_buffer") is not None for s in states]
        if all(old):
            apply(params, grads, buffers(states), *settings, share, *flags)
            return
        for param, state, known in zip(params, states, old):
            if not known:
                state["momentum_buffer"] = zeros_for(param)
        for known, part in ((False, 1.0), (True, share)):
            chosen = [i for i, o in enumerate(old) if o is known]
            if chosen:
                apply([params[i] for i in chosen], [grads[i] for i in chosen],
                      buffers([states[i] for i in chosen]), *settings, part, *flags)  # fmt: skip


def buffers(states):
    return [state["momentum_buffer"] for state in states]


def apply(params, grads, momenta, *rest):
    """One call, or one for each parameter where some share their memory."""
    if separately(params):
        record(params, grads, momenta, *rest)
        return
    for i, (param, grad) in enumerate(zip(params, grads)):
        record([param], [grad], momenta[i : i + 1], *rest)


def zeros_for(param):
    """State that begins as zero, laid out as the parameter is."""
    import flambeau as fl

    zeros = fl.zeros_like(param, requires_grad=False, memory_format=fl.preserve_format)
    assert isinstance(zeros, Tensor)
    return zeros
