"""LRScheduler: counts epochs, sets learning rates, warns where steps come in the wrong order."""

import types
import warnings
from functools import wraps

from flambeau.optim.optimizer import Optimizer
from flambeau.tensor import Tensor

EPOCH_DEPRECATION_WARNING = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where "
    "possible. Please use `scheduler.step()` to step the scheduler. During the deprecation, "
    "if epoch is different from None, the closed form is used instead of the new chainable form, "
    "where available. Please open an issue if you are unable to replicate your use case: "
    "https://github.com/pytorch/pytorch/issues/new/choose."
)
TOO_EARLY = (
    "Detected call of `lr_scheduler.step()` before `optimizer.step()`. In PyTorch 1.1.0 and "
    "later, you should call them in the opposite order: `optimizer.step()` before "
    "`lr_scheduler.step()`.  Failure to do this will result in PyTorch skipping the first value of "
    "the learning rate schedule. See more details at "
    "https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate"
)
REPLACED = (
    "Seems like `optimizer.step()` has been overridden after learning rate scheduler "
    "initialization. Please, make sure to call `optimizer.step()` before `lr_scheduler.step()`. "
    "See more details at "
    "https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate"
)
NO_START = (
    "param 'initial_lr' is not specified in param_groups[{}] when resuming scheduler with "
    "last_epoch >= 0.\nThis typically happens when:\n1. You're trying to resume training from a "
    "checkpoint but haven't properly loaded the optimizer state\n2. You're using last_epoch >= 0 "
    "for a fresh training run (not recommended)"
)


class LRScheduler:
    """The base class: get_lr() says the learning rates of the epoch self.last_epoch.

    A subclass may define _get_closed_form_lr(), which step(epoch) uses.
    """

    def __init__(self, optimizer, last_epoch=-1):
        check_optimizer(optimizer)
        self.optimizer = optimizer
        for place, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", value_of(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(NO_START.format(place))
        self.base_lrs = [value_of(group["initial_lr"]) for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        count_steps(optimizer)
        self._initial_step()

    def _initial_step(self):
        """The step that sets the learning rates of the first epoch."""
        self._step_count = 0
        self._is_initial = True
        self._get_lr_called_within_step = False
        self.optimizer._opt_called = False
        try:
            self.step()
        finally:
            self._is_initial = False

    def state_dict(self):
        """Everything but the optimizer."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict):
        """Take back what state_dict gave."""
        self.__dict__.update(state_dict)

    def get_last_lr(self):
        """The learning rates of the last step."""
        return [value_of(lr) for lr in self._last_lr]

    def get_lr(self):
        """The learning rates of this epoch; subclasses define it."""
        raise NotImplementedError

    def step(self, epoch=None):
        """Go on by an epoch (or to one), and set the learning rates."""
        if self._step_count == 1:
            self.warn_of_order()
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_DEPRECATION_WARNING, UserWarning, stacklevel=2)
        self.go_to(epoch)

    def go_to(self, epoch):
        """step() without its warnings."""
        closed = None
        if epoch is None:
            self.last_epoch += 1
        else:
            self.last_epoch = epoch
            closed = getattr(self, "_get_closed_form_lr", None)
        self._get_lr_called_within_step = True
        try:
            self.set_rates(self.get_lr() if closed is None else closed())
        finally:
            self._get_lr_called_within_step = False

    def set_rates(self, values):
        """Give the groups their learning rates, and remember them."""
        for group, lr in zip(self.optimizer.param_groups, values):
            set_setting(group, "lr", lr)
        self._last_lr = self.rates()

    def rates(self):
        """Copies of the learning rates as they are."""
        return [value_of(group["lr"]) for group in self.optimizer.param_groups]

    def current(self):
        """The learning rates as they are."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def warn_of_order(self):
        """The second step: by now the optimizer should have taken one."""
        if not hasattr(self.optimizer.step, "_counted"):
            warnings.warn(REPLACED, UserWarning, stacklevel=3)
        elif not self.optimizer._opt_called:
            warnings.warn(TOO_EARLY, UserWarning, stacklevel=3)

    def warn_outside(self):
        """get_lr is for step() alone."""
        if not self._get_lr_called_within_step:
            warnings.warn("To get the last learning rate computed by the scheduler, please use "
                          "`get_last_lr()`.", UserWarning, stacklevel=3)  # fmt: skip


def check_optimizer(optimizer):
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")


def value_of(lr):
    """A learning rate that does not change any more."""
    return lr.clone() if isinstance(lr, Tensor) else lr


def set_setting(group, name, value):
    """A setting given as a tensor stays that tensor."""
    if isinstance(group[name], Tensor):
        group[name].fill_(value.item() if isinstance(value, Tensor) else value)
    else:
        group[name] = value


def for_each_group(optimizer, name, value):
    """One value for all groups, or a list with one for each."""
    if not isinstance(value, (list, tuple)):
        return [value] * len(optimizer.param_groups)
    if len(value) != len(optimizer.param_groups):
        raise ValueError(f"{name} must have the same length as optimizer.param_groups. {name} has "
                         f"{len(value)} values, param_groups has "
                         f"{len(optimizer.param_groups)}.")  # fmt: skip
    return list(value)


def count_steps(optimizer):
    """Let the optimizer note that it has taken a step."""
    if hasattr(optimizer.step, "_counted"):
        return
    plain = type(optimizer).step

    @wraps(plain)
    def step(self, *args, **kwargs):
        self._opt_called = True
        return plain(self, *args, **kwargs)

    step._counted = True
    optimizer.step = types.MethodType(step, optimizer)


def functions_left_out(functions):
    """Of callable objects their attributes are kept; functions are not."""
    return [None if isinstance(f, types.FunctionType) else dict(f.__dict__) for f in functions]
