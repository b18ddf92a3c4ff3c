"""torch.cpu: the device that everything runs on."""

from flambeau.cpu import amp


def is_available():
    """True: tensors live here."""
    return True


def device_count():
    """One."""
    return 1


def current_device():
    """Its name."""
    return "cpu"


def synchronize(device=None):
    """Nothing is waited for: who looks at a value gets it."""


__all__ = ["amp", "current_device", "device_count", "is_available", "synchronize"]
