"""Schedules made of schedules."""

from bisect import bisect_right

from flambeau.optim.lr_scheduler.base import LRScheduler, set_setting
from flambeau.optim.lr_scheduler.plateau import ReduceLROnPlateau


def check_parts(name, optimizer, schedulers):
    """All belong to one optimizer, and need no metric."""
    for place, part in enumerate(schedulers):
        if not hasattr(part, "optimizer"):
            raise TypeError(f"{name} at index {place} should have `optimizer` as its attribute.")
        if isinstance(part, ReduceLROnPlateau):
            raise ValueError(
                f"{name} does not support `ReduceLROnPlateau` scheduler as it requires additional "
                "kwargs to be specified when calling `step`, but got one at index "
                f"{place} in the given schedulers sequence."
            )
        if part.optimizer is not optimizer:
            raise ValueError(
                f"{name} expects all schedulers to belong to the same optimizer, but got scheduler "
                f"{type(part).__name__} at index {place} has {part.optimizer}, which is different "
                f"from {type(optimizer).__name__}."
            )


class Combined(LRScheduler):
    """What schedules made of schedules have in common."""

    def state_dict(self):
        """The parts' states take the place of the parts."""
        state = {k: v for k, v in super().state_dict().items() if k != "_schedulers"}
        return state | {"_schedulers": [part.state_dict() for part in self._schedulers]}

    def load_state_dict(self, state_dict):
        parts = state_dict["_schedulers"]
        self.__dict__.update({k: v for k, v in state_dict.items() if k != "_schedulers"})
        for part, state in zip(self._schedulers, parts):
            part.load_state_dict(state)


class ChainedScheduler(Combined):
    """Several schedules at once: each changes what the one before it has set."""

    def __init__(self, schedulers, optimizer=None):
        if len(schedulers) < 1:
            raise ValueError("ChainedScheduler expects at least one scheduler to be chained, but "
                             "got no scheduler.")  # fmt: skip
        optimizer = optimizer or schedulers[0].optimizer
        check_parts(type(self).__name__, optimizer, schedulers)
        self._schedulers, self.optimizer = schedulers, optimizer
        self._last_lr = self.rates()

    def step(self):
        """One step of each."""
        for part in self._schedulers:
            part.step()
        self._last_lr = self.rates()


class SequentialLR(Combined):
    """Several schedules, one after the other; the next one begins at each milestone."""

    def __init__(self, optimizer, schedulers, milestones, last_epoch=-1):
        if len(schedulers) < 1:
            raise ValueError("SequentialLR expects at least one scheduler, but got no scheduler.")
        check_parts(type(self).__name__, optimizer, schedulers)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                "Sequential Schedulers expects number of schedulers provided to be one more than "
                f"the number of milestone points, but got number of schedulers {len(schedulers)} "
                f"and the number of milestones to be equal to {len(milestones)}"
            )
        self._schedulers, self._milestones = schedulers, milestones
        self.last_epoch, self.optimizer = last_epoch + 1, optimizer
        for group in optimizer.param_groups:
            set_setting(group, "lr", group["initial_lr"])
        for part in schedulers:
            take_back(part)
        schedulers[0]._initial_step()
        self._last_lr = schedulers[0].get_last_lr()

    def step(self):
        """One step of the schedule whose turn it is."""
        self.last_epoch += 1
        which = bisect_right(self._milestones, self.last_epoch)
        part = self._schedulers[which]
        if which > 0 and self._milestones[which - 1] == self.last_epoch:
            part.go_to(0)
        else:
            part.step()
        self._last_lr = part.get_last_lr()


def take_back(scheduler):
    """Undo the step that a schedule took when it was made."""
    if isinstance(scheduler, Combined):
        for part in scheduler._schedulers:
            take_back(part)
    else:
        scheduler.last_epoch -= 1
