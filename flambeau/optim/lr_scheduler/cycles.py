"""Schedules that raise the learning rate and lower it, with momentum the other way round."""

import math
import types

from flambeau.optim.lr_scheduler.base import LRScheduler, check_optimizer, for_each_group
from flambeau.optim.lr_scheduler.base import set_setting as put


def takes_beta1(optimizer):
    """Whether momentum is called beta1."""
    if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
        raise ValueError(
            "optimizer must support momentum or beta1 with `cycle_momentum` option enabled"
        )
    return "betas" in optimizer.defaults


def set_momentum(group, beta1, momentum):
    if beta1:
        group["betas"] = (momentum, *group["betas"][1:])
    else:
        group["momentum"] = momentum


# What the height of a cycle is multiplied by: mode → (what it depends on, function).
SCALES = {
    "triangular": ("cycle", lambda self, x: 1.0),
    "triangular2": ("cycle", lambda self, x: 1 / 2.0 ** (x - 1)),
    "exp_range": ("iterations", lambda self, x: self.gamma**x),
}


class CyclicLR(LRScheduler):
    """Up to max_lr and back to base_lr, again and again (L. Smith: Cyclical Rates, 2017)."""

    def __init__(self, optimizer, base_lr, max_lr, step_size_up=2000, step_size_down=None,
                 mode="triangular", gamma=1.0, scale_fn=None, scale_mode="cycle",
                 cycle_momentum=True, base_momentum=0.8, max_momentum=0.9,
                 last_epoch=-1):  # fmt: skip
        check_optimizer(optimizer)
        self.optimizer = optimizer
        base_lrs = for_each_group(optimizer, "base_lr", base_lr)
        if last_epoch == -1:
            for lr, group in zip(base_lrs, optimizer.param_groups):
                put(group, "lr", lr)
        self.max_lrs = for_each_group(optimizer, "max_lr", max_lr)
        up = float(step_size_up)
        self.total_size = up + (up if step_size_down is None else float(step_size_down))
        self.step_ratio = up / self.total_size
        if mode not in SCALES and scale_fn is None:
            raise ValueError("mode is invalid and scale_fn is None")
        self.mode, self.gamma = mode, gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = SCALES[mode][0] if scale_fn is None else scale_mode
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1 = takes_beta1(optimizer)
            self.base_momentums = for_each_group(optimizer, "base_momentum", base_momentum)
            self.max_momentums = for_each_group(optimizer, "max_momentum", max_momentum)
            if last_epoch == -1:
                self.begin_momentum()
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def begin_momentum(self):
        """Momentum is high where the learning rate is low."""
        each = zip(self.max_momentums, self.base_momentums, self.optimizer.param_groups)
        for most, least, group in each:
            set_momentum(group, self.use_beta1, most)
            group["max_momentum"], group["base_momentum"] = most, least

    def scale_fn(self, x):
        """What the height of a cycle is multiplied by."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        return SCALES[self.mode][1](self, x)

    def get_lr(self):
        """Also sets momentum."""
        self.warn_outside()
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        ratio = self.step_ratio
        height = x / ratio if x <= ratio else (x - 1) / (ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            each = zip(self.max_momentums, self.base_momentums, self.optimizer.param_groups)
            for most, least, group in each:
                set_momentum(group, self.use_beta1, most - (most - least) * height * scale)
        return [base + (most - base) * height * scale
                for base, most in zip(self.base_lrs, self.max_lrs)]  # fmt: skip

    def state_dict(self):
        """A function is left out; of a callable object its attributes are kept."""
        state = super().state_dict()
        custom = state.pop("_scale_fn_custom")
        if custom is not None:
            custom = None if isinstance(custom, types.FunctionType) else dict(custom.__dict__)
        return state | {"_scale_fn_custom": custom}

    def load_state_dict(self, state_dict):
        state = dict(state_dict)
        attributes = state.pop("_scale_fn_custom")
        super().load_state_dict(state)
        if attributes is not None:
            self._scale_fn_custom.__dict__.update(attributes)


def along_cosine(start, end, share):
    return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)


def along_line(start, end, share):
    return (end - start) * share + start


ANNEAL = {"cos": along_cosine, "linear": along_line}


class OneCycleLR(LRScheduler):
    """Up once and far down (L. Smith, N. Topin: Super-Convergence, 2017); a step is a batch."""

    def __init__(self, optimizer, max_lr, total_steps=None, epochs=None, steps_per_epoch=None,
                 pct_start=0.3, anneal_strategy="cos", cycle_momentum=True, base_momentum=0.85,
                 max_momentum=0.95, div_factor=25.0, final_div_factor=1e4, three_phase=False,
                 last_epoch=-1):  # fmt: skip
        check_optimizer(optimizer)
        self.optimizer = optimizer
        self.total_steps = count_of(total_steps, epochs, steps_per_epoch)
        self._schedule_phases = phases(float(pct_start * self.total_steps), self.total_steps,
                                       three_phase)  # fmt: skip
        if pct_start < 0 or pct_start > 1 or not isinstance(pct_start, float):
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ANNEAL:
            raise ValueError("anneal_strategy must be one of 'cos' or 'linear', instead got "
                             f"{anneal_strategy}")  # fmt: skip
        self._anneal_func_type = anneal_strategy
        max_lrs = for_each_group(optimizer, "max_lr", max_lr)
        if last_epoch == -1:
            for most, group in zip(max_lrs, optimizer.param_groups):
                group["initial_lr"] = most / div_factor
                group["max_lr"] = most
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1 = takes_beta1(optimizer)
            least = for_each_group(optimizer, "base_momentum", base_momentum)
            most = for_each_group(optimizer, "max_momentum", max_momentum)
            if last_epoch == -1:
                for high, low, group in zip(most, least, optimizer.param_groups):
                    set_momentum(group, self.use_beta1, high)
                    group["max_momentum"], group["base_momentum"] = high, low
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        """Also sets momentum."""
        self.warn_outside()
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(f"Tried to step {step} times. The specified number of total steps is "
                             f"{self.total_steps}")  # fmt: skip
        anneal, start = ANNEAL[self._anneal_func_type], 0.0
        for phase in self._schedule_phases:
            end = phase["end_step"]
            if step <= end or phase is self._schedule_phases[-1]:
                break
            start = end
        share = (step - start) / (end - start)
        if self.cycle_momentum:
            for group in self.optimizer.param_groups:
                begin, finish = (group[phase[f"{end}_momentum"]] for end in ("start", "end"))
                set_momentum(group, self.use_beta1, anneal(begin, finish, share))
        return [anneal(group[phase["start_lr"]], group[phase["end_lr"]], share)
                for group in self.optimizer.param_groups]  # fmt: skip


def count_of(total_steps, epochs, steps_per_epoch):
    """How many steps there will be."""
    if total_steps is not None:
        check_positive("total_steps", total_steps)
        return total_steps
    if epochs is None or steps_per_epoch is None:
        raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
    check_positive("epochs", epochs)
    check_positive("steps_per_epoch", steps_per_epoch)
    return epochs * steps_per_epoch


def check_positive(name, value):
    if value <= 0 or not isinstance(value, int):
        raise ValueError(f"Expected positive integer {name}, but got {value}")


def phases(rise, total, three):
    """When each phase ends, and between which settings it goes; `rise`: steps of the first."""
    ends = [rise - 1, 2 * rise - 2, total - 1] if three else [rise - 1, total - 1]
    rates = ["initial_lr", "max_lr", "initial_lr", "min_lr"]
    momenta = ["max_momentum", "base_momentum", "max_momentum", "max_momentum"]
    if not three:
        del rates[2], momenta[2]
    return [{"end_step": end, "start_lr": rates[i], "end_lr": rates[i + 1],
             "start_momentum": momenta[i], "end_momentum": momenta[i + 1]}
            for i, end in enumerate(ends)]  # fmt: skip
