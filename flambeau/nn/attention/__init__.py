"""torch.nn.attention: which kernels scaled_dot_product_attention may use. There is one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

WARN_FOR_UNFUSED_KERNELS = False


class SDPBackend(IntEnum):
    """Kernels that PyTorch chooses from."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4

    def __str__(self) -> str:
        return f"SDPBackend.{self.name}"


@contextmanager
def sdpa_kernel(backends: Any, set_priority: bool = False) -> Iterator[dict[Any, Any]]:
    """Accepted: whichever kernels are named, attention is compiled like everything else.

    Raises AssertionError for what is no SDPBackend.
    """
    listed = backends if isinstance(backends, (list, tuple)) else [backends]
    if any(not isinstance(backend, SDPBackend) for backend in listed):
        raise AssertionError("Backend must be an instance of SDPBackend or a list of SDPBackend "
                             f"instances, got {type(backends).__name__}")  # fmt: skip
    yield {}


def list_flash_attention_impls() -> list[str]:
    """None: there are no other kernels to choose."""
    return []


def current_flash_attention_impl() -> None:
    """None."""


__all__ = ["SDPBackend", "WARN_FOR_UNFUSED_KERNELS", "current_flash_attention_impl",
           "list_flash_attention_impls", "sdpa_kernel"]  # fmt: skip
