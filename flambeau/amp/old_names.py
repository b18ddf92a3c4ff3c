"""torch.cuda.amp and torch.cpu.amp: the old names, which name the device and warn."""

import functools
import warnings

from flambeau import amp


def warn_of(name, device):
    warnings.warn(f"`torch.{device}.amp.{name}(args...)` is deprecated. Please use "
                  f"`torch.amp.{name}('{device}', args...)` instead.", FutureWarning,
                  stacklevel=3)  # fmt: skip


def names_for(device, dtype):
    """autocast, GradScaler, custom_fwd and custom_bwd of one device."""

    class autocast(amp.autocast):
        def __init__(self, enabled=True, dtype=dtype, cache_enabled=True):
            warn_of("autocast", device)
            super().__init__(device, dtype, enabled, cache_enabled)

    class GradScaler(amp.GradScaler):
        def __init__(self, *args, **kwargs):
            warn_of("GradScaler", device)
            super().__init__(device, *args, **kwargs)

    fwd, bwd = (with_device(function, device) for function in (amp.custom_fwd, amp.custom_bwd))
    return autocast, GradScaler, fwd, bwd


def with_device(function, device):
    """custom_fwd or custom_bwd as it was when it took no device."""

    @functools.wraps(function)
    def inside(*args, **kwargs):
        name = function.__name__
        warnings.warn(f"`torch.{device}.amp.{name}(args...)` is deprecated. Please use "
                      f"`torch.amp.{name}(args..., device_type='{device}')` instead.",
                      FutureWarning, stacklevel=2)  # fmt: skip
        return function(*args, device_type=device, **kwargs)

    return inside
