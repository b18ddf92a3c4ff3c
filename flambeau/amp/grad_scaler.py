"""GradScaler: losses are scaled up, so that small gradients survive in 16 bits."""

import warnings
from collections import defaultdict
from collections.abc import Iterable

import flambeau as fl
from flambeau.autograd.modes import no_grad

READY, UNSCALED, STEPPED = "ready", "unscaled", "stepped"


def fresh_state():
    return {"stage": READY, "found_inf_per_device": {}}


class GradScaler:
    """Scales losses; a step whose gradients are not finite is left out, and the scale falls."""

    def __init__(self, device="cuda", init_scale=2.0**16, growth_factor=2.0, backoff_factor=0.5,
                 growth_interval=2000, enabled=True):  # fmt: skip
        self._device, self._enabled = device, enabled
        if device == "cuda" and enabled:
            warnings.warn("torch.cuda.amp.GradScaler is enabled, but CUDA is not available.  "
                          "Disabling.", stacklevel=2)  # fmt: skip
            self._enabled = False
        if not self._enabled:
            return
        if not growth_factor > 1.0:
            raise AssertionError("The growth factor must be > 1.0.")
        if not backoff_factor < 1.0:
            raise AssertionError("The backoff factor must be < 1.0.")
        self._init_scale, self._scale = init_scale, None
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval = growth_interval
        self._init_growth_tracker, self._growth_tracker = 0, None
        self._per_optimizer_states = defaultdict(fresh_state)

    def _check_begun(self, name):
        if self._scale is None:
            raise AssertionError(
                f"Attempted {name} but _scale is None.  This may indicate your script did not use "
                "scaler.scale(loss or outputs) earlier in the iteration."
            )

    def scale(self, outputs):
        """A loss, or several, times the scale."""
        if not self._enabled:
            return outputs
        if self._scale is None:
            self._scale, self._growth_tracker = self._init_scale, self._init_growth_tracker
        if isinstance(outputs, fl.Tensor):
            return outputs * fl.tensor(self._scale, dtype=fl.float32)
        if isinstance(outputs, Iterable):
            scaled = map(self.scale, outputs)
            return type(outputs)(scaled) if isinstance(outputs, (list, tuple)) else scaled
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def unscale_(self, optimizer):
        """Divide an optimizer's gradients by the scale, and see whether they are finite."""
        if not self._enabled:
            return
        self._check_begun("unscale_")
        state = self._per_optimizer_states[id(optimizer)]
        if state["stage"] == UNSCALED:
            raise RuntimeError(
                "unscale_() has already been called on this optimizer since the last update()."
            )
        if state["stage"] == STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        found = self._unscale_grads(optimizer, 1.0 / self._scale)
        state["found_inf_per_device"] = {fl.device("cpu"): found}
        state["stage"] = UNSCALED

    @no_grad()
    def _unscale_grads(self, optimizer, factor, allow_fp16=False):
        """1.0 where some gradient was not finite, else 0.0."""
        grads = [p.grad for group in optimizer.param_groups for p in group["params"]
                 if p.grad is not None]  # fmt: skip
        if not allow_fp16 and any(grad.dtype is fl.float16 for grad in grads):
            raise ValueError("Attempting to unscale FP16 gradients.")
        finite = fl.ones((), dtype=fl.bool)
        for grad in grads:
            finite = finite & grad.isfinite().all()
            grad.mul_(factor)
        return finite.logical_not().to(fl.float32)

    def _maybe_opt_step(self, optimizer, state, *args, **kwargs):
        if sum(found.item() for found in state["found_inf_per_device"].values()):
            return None
        return optimizer.step(*args, **kwargs)

    def step(self, optimizer, *args, **kwargs):
        """The optimizer's step, unless its gradients (unscaled first) are not finite."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        self._check_begun("step")
        state = self._per_optimizer_states[id(optimizer)]
        if state["stage"] == STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if state["stage"] == READY:
            self.unscale_(optimizer)
        if not state["found_inf_per_device"]:
            raise AssertionError("No inf checks were recorded for this optimizer.")
        result = self._maybe_opt_step(optimizer, state, *args, **kwargs)
        state["stage"] = STEPPED
        return result

    def update(self, new_scale=None):
        """The next scale: lower after gradients that were not finite, higher after many steps."""
        if not self._enabled:
            return
        self._check_begun("update")
        if new_scale is not None:
            self._scale = float(new_scale)
        else:
            self._next_scale()
        self._per_optimizer_states = defaultdict(fresh_state)

    def _next_scale(self):
        found = [value.item() for state in self._per_optimizer_states.values()
                 for value in state["found_inf_per_device"].values()]  # fmt: skip
        if not found:
            raise AssertionError("No inf checks were recorded prior to update.")
        if sum(found):
            self._scale, self._growth_tracker = self._scale * self._backoff_factor, 0
            return
        self._growth_tracker += 1
        if self._growth_tracker == self._growth_interval:
            self._growth_tracker = 0
            larger = fl.tensor(self._scale * self._growth_factor, dtype=fl.float32)
            if larger.isfinite().item():
                self._scale = larger.item()

    def get_scale(self):
        """The scale (1 where scaling is off)."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else self._scale

    def get_growth_factor(self):
        return self._growth_factor

    def set_growth_factor(self, new_factor):
        self._growth_factor = new_factor

    def get_backoff_factor(self):
        return self._backoff_factor

    def set_backoff_factor(self, new_factor):
        self._backoff_factor = new_factor

    def get_growth_interval(self):
        return self._growth_interval

    def set_growth_interval(self, new_interval):
        self._growth_interval = new_interval

    def _get_growth_tracker(self):
        if not self._enabled:
            return 0
        started = self._growth_tracker is not None
        return self._growth_tracker if started else self._init_growth_tracker

    def is_enabled(self):
        """Whether losses are scaled."""
        return self._enabled

    def state_dict(self):
        """The scale and how it changes; empty where scaling is off."""
        if not self._enabled:
            return {}
        return {"scale": self.get_scale(), "growth_factor": self._growth_factor,
                "backoff_factor": self._backoff_factor, "growth_interval": self._growth_interval,
                "_growth_tracker": self._get_growth_tracker()}  # fmt: skip

    def load_state_dict(self, state_dict):
        """Take back what state_dict gave."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError("The source state dict is empty, possibly because it was saved from "
                               "a disabled instance of GradScaler.")  # fmt: skip
        self._init_scale = state_dict["scale"]
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._init_growth_tracker = state_dict["_growth_tracker"]
        if self._scale is not None:
            self._scale, self._growth_tracker = self._init_scale, self._init_growth_tracker

    def _check_inf_per_device(self, optimizer):
        """Whether some gradient is not finite; they stay as they are."""
        self._check_begun("_check_inf_per_device")
        state = self._per_optimizer_states[id(optimizer)]
        found = self._unscale_grads(optimizer, 1.0, allow_fp16=True)
        state["found_inf_per_device"] = {fl.device("cpu"): found}
        return state["found_inf_per_device"]

    def _found_inf_per_device(self, optimizer):
        return self._per_optimizer_states[id(optimizer)]["found_inf_per_device"]
