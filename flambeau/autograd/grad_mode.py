"""The switches of autograd under PyTorch's name for their module, and those that change nothing."""

from __future__ import annotations

from flambeau.autograd.modes import enable_grad, inference_mode, no_grad, set_grad_enabled

_threads = True


class set_multithreading_enabled:  # noqa: N801 PyTorch's name
    """Whether backward may use several threads; kept, as kernels share out their work anyway."""

    def __init__(self, mode: bool) -> None:
        global _threads
        self.prev, self.mode = _threads, mode
        _threads = mode

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        global _threads
        _threads = self.prev


def is_multithreading_enabled() -> bool:
    """What set_multithreading_enabled was told."""
    return _threads


__all__ = ["enable_grad", "inference_mode", "is_multithreading_enabled", "no_grad",
           "set_grad_enabled", "set_multithreading_enabled"]  # fmt: skip
