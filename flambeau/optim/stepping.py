"""Stepping: optimizers whose update is one recorded call for all parameters of a group."""

import sys
from operator import attrgetter

from flambeau.autograd.modes import enable_grad, set_mode
from flambeau.ops.functions import function_of
from flambeau.optim.optimizer import Optimizer
from flambeau.optim.state import ParameterState
from flambeau.tensor import Tensor
from flambeau.trace.trie import here

STORAGE, KIND = attrgetter("_storage"), attrgetter("_spec.dtype.kind")


class Rule:
    """An update: its row, recorded, or its formula in tensor functions, which has derivatives."""

    def __init__(self, op, formula):
        self.record, self.formula = function_of(op), formula


class Stepping(Optimizer):
    """One recorded call a step.

    A subclass says what it keeps: `counted`, the names of numbers; and defines new_state(param,
    group), which fills an empty state, and apply(group, params, grads, states, *numbers), which
    records the update and answers the numbers after it.
    """

    counted = ("step",)
    flags = ("maximize", "differentiable")  # settings that old checkpoints may lack
    choices = ("foreach",)
    refusal, advice = "", ""  # who does not support sparse gradients, and what does

    def __setstate__(self, state):
        super().__setstate__(state)
        for group in self.param_groups:
            for name in self.flags:
                group.setdefault(name, False)
            for name in self.choices:
                group.setdefault(name, None)

    def step(self, closure=None):
        """Update all parameters that have a gradient; answers what `closure` gives."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        before, self.stepped = here.stretch.mode.grad, []
        set_mode(grad=bool(self.defaults.get("differentiable")))
        try:
            for group in self.param_groups:
                params, grads = with_gradients(group["params"])
                if "flambeau.sparse" in sys.modules:  # else there are no sparse gradients
                    params, grads = self.without_sparse(group, params, grads)
                if params:
                    self.update(group, params, grads)
        finally:
            set_mode(grad=before)
        return loss

    def update(self, group, params, grads):
        """Record the update of a group: one call where all have taken the same steps."""
        if group.get("capturable"):
            refuse_capturable()
        states = [self.state_of(param, group) for param in params]
        counts = [own.numbers(self.counted) for own in states]
        self.stepped += zip(params, counts)
        if counts.count(counts[0]) == len(counts) and separately(params):
            parts = [(params, grads, states, counts[0])]
        else:
            parts = [([p], [g], [own], count)
                     for p, g, own, count in zip(params, grads, states, counts)]  # fmt: skip
        for params, grads, states, count in parts:
            after = dict(zip(self.counted, self.apply(group, params, grads, states, *count)))
            for own in states:
                own.update(after)

    def without_sparse(self, group, params, grads):
        """Update what has a sparse gradient; answers the others."""
        sparse = [i for i, grad in enumerate(grads) if grad.is_sparse]
        if not sparse:
            return params, grads
        self.update_sparse(group, [params[i] for i in sparse], [grads[i] for i in sparse])
        rest = [i for i, grad in enumerate(grads) if not grad.is_sparse]
        return [params[i] for i in rest], [grads[i] for i in rest]

    def update_sparse(self, group, params, grads):
        """Update where sparse gradients have elements; few optimizers can."""
        raise RuntimeError(f"{self.refusal or type(self).__name__} does not support sparse "
                           f"gradients{self.advice}")  # fmt: skip

    def state_of(self, param, group):
        """What is kept about a parameter; made at its first step."""
        own = self.state[param]
        if own.__class__ is not ParameterState:
            own = self.state[param] = ParameterState(own)
        if not own:
            self.new_state(own, param, group)
        return own

    def new_state(self, own, param, group):
        """Fill the state before the first step; subclasses define it."""
        raise NotImplementedError

    def apply(self, group, params, grads, states, *numbers):
        """Record one update; answers the numbers after it; subclasses define it."""
        raise NotImplementedError

    def write(self, rule, *args):
        """Record an update, or run its formula where it is to be differentiated."""
        if "c" in map(KIND, args[0]):
            args = [list(map(real_view, a)) if isinstance(a, list) else a for a in args]
        (rule.formula if self.defaults.get("differentiable") else rule.record)(*args)

    def take_back(self):
        """A step that failed when it ran was none: steps are not counted, new state is dropped."""
        for param, numbers in self.stepped:
            own = self.state.get(param, {})
            tensors = [v for v in dict.values(own) if isinstance(v, Tensor)]
            if any(t._failed() for t in tensors):
                del self.state[param]
            else:
                own.update(zip(self.counted, numbers))


def refuse_capturable():
    raise AssertionError("If capturable=True, params and state_steps must be on supported devices: "
                         "['cuda', 'xpu', 'hpu', 'privateuseone', 'xla'].")  # fmt: skip


def real_view(x):
    """A complex tensor as pairs of real numbers."""
    import flambeau as fl

    return fl.view_as_real(x) if x._spec.dtype.kind == "c" else x


def with_gradients(params):
    """The parameters that have a gradient, and their gradients."""
    chosen, grads = [], []
    for p in params:
        meta = p._meta
        if meta is not None and meta.grad is not None:
            chosen.append(p)
            grads.append(meta.grad)
    return chosen, grads


def separately(params):
    """Whether each parameter has memory of its own, so that one call may write them all."""
    return len(set(map(id, map(STORAGE, params)))) == len(params)


def number(value):
    """A setting as a Python number (it may be given as a tensor)."""
    return value.item() if isinstance(value, Tensor) else value


def kept(states, name):
    """One tensor a parameter, by its name in the state."""
    return [own[name] for own in states]
