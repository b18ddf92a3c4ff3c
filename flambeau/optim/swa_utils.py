"""Averages of a model's weights: stochastic weight averaging and exponential moving averages.

P. Izmailov et al.: Averaging Weights Leads to Wider Optima, 2018.
"""

import itertools
import math
from copy import deepcopy

import flambeau as fl
from flambeau.autograd.modes import no_grad
from flambeau.nn import Module
from flambeau.optim.lr_scheduler.base import LRScheduler, for_each_group

__all__ = ["SWALR", "AveragedModel", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn",
           "get_swa_multi_avg_fn", "update_bn"]  # fmt: skip


def is_lerped(x):
    return x.is_floating_point() or x.is_complex()


def check_decay(decay):
    if decay < 0.0 or decay > 1.0:
        raise ValueError(
            f"Invalid decay value {decay} provided. Please provide a value in [0,1] range."
        )


def get_ema_multi_avg_fn(decay=0.999):
    """A function (averages, current values, count) that makes moving averages, for lists."""
    check_decay(decay)

    @no_grad()
    def ema_update(ema_param_list, current_param_list, _):
        for average, now in zip(ema_param_list, current_param_list):
            if is_lerped(average):
                average.lerp_(now, 1 - decay)
            else:
                average.copy_(average * decay + now * (1 - decay))

    return ema_update


def get_swa_multi_avg_fn():
    """A function (averages, current values, count) that makes equal averages, for lists."""

    @no_grad()
    def swa_update(averaged_param_list, current_param_list, num_averaged):
        share = 1 / (float(num_averaged) + 1)
        for average, now in zip(averaged_param_list, current_param_list):
            if is_lerped(average):
                average.lerp_(now, share)
            else:
                average.copy_(average + (now - average) * share)

    return swa_update


def get_ema_avg_fn(decay=0.999):
    """A function (average, current value, count) that gives the next moving average."""
    check_decay(decay)

    @no_grad()
    def ema_update(ema_param, current_param, num_averaged):
        return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_swa_avg_fn():
    """A function (average, current value, count) that gives the next equal average."""

    @no_grad()
    def swa_update(averaged_param, current_param, num_averaged):
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


class AveragedModel(Module):
    """A copy of a model whose parameters are averages: update_parameters(model) adds to them."""

    def __init__(self, model, device=None, avg_fn=None, multi_avg_fn=None, use_buffers=False):
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", fl.tensor(0, dtype=fl.long, device=device))
        self.avg_fn, self.multi_avg_fn = avg_fn, multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args, **kwargs):
        """What the averaged model gives."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model):
        """Add a model's parameters to the averages; other buffers are copied."""
        ours, theirs = (self.averaged(m) for m in (self.module, model))
        count = int(self.n_averaged.item())
        if count == 0:
            for average, now in zip(ours, theirs):
                average.copy_(now)
        elif self.avg_fn is not None:
            for average, now in zip(ours, theirs):
                average.copy_(self.avg_fn(average, now, self.n_averaged))
        else:
            average_all = self.multi_avg_fn or get_swa_multi_avg_fn()
            by_type = {}
            for average, now in zip(ours, theirs):
                some = by_type.setdefault((average.dtype, now.dtype), ([], []))
                some[0].append(average)
                some[1].append(now)
            for averages, values in by_type.values():
                average_all(averages, values, self.n_averaged)
        if not self.use_buffers:
            for old, new in zip(self.module.buffers(), model.buffers()):
                old.detach().copy_(new.detach())
        self.n_averaged += 1

    def averaged(self, model):
        """What of a model is averaged."""
        buffers = model.buffers() if self.use_buffers else ()
        return [x.detach() for x in itertools.chain(model.parameters(), buffers)]


@no_grad()
def update_bn(loader, model, device=None):
    """Run a loader's batches (of tuples the first parts) through a model, so that its batch
    normalisations know the statistics."""
    from flambeau.nn.modules.batchnorm import _BatchNorm

    layers = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    if not layers:
        return
    training, momenta = model.training, [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
    model.train()
    for batch in loader:
        batch = batch[0] if isinstance(batch, (list, tuple)) else batch
        model(batch if device is None else batch.to(device))
    for layer, momentum in zip(layers, momenta):
        layer.momentum = momentum
    model.train(training)


ANNEAL = {"cos": lambda t: (1 - math.cos(math.pi * t)) / 2, "linear": lambda t: t}


class SWALR(LRScheduler):
    """To swa_lr in anneal_epochs, and then constant."""

    def __init__(self, optimizer, swa_lr, anneal_epochs=10, anneal_strategy="cos", last_epoch=-1):
        for lr, group in zip(for_each_group(optimizer, "swa_lr", swa_lr), optimizer.param_groups):
            group["swa_lr"] = lr
        if anneal_strategy not in ANNEAL:
            raise ValueError("anneal_strategy must be one of 'cos' or 'linear', instead got "
                             f"{anneal_strategy}")  # fmt: skip
        self._anneal_strategy = anneal_strategy
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def share(self, step):
        """How far the learning rate has come."""
        return ANNEAL[self._anneal_strategy](max(0, min(1, step / max(1, self.anneal_epochs))))

    def get_lr(self):
        self.warn_outside()
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self.share(step - 1), self.share(step)
        return [group["swa_lr"] * now + start_of(group, before) * (1 - now)
                for group in self.optimizer.param_groups]  # fmt: skip


def start_of(group, share):
    """The learning rate before annealing, from the one at a share of the way."""
    if share == 1:
        return group["swa_lr"]
    return (group["lr"] - share * group["swa_lr"]) / (1 - share)
