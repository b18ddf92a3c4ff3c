"""Switches of products and attention on GPUs, which are not here."""

from __future__ import annotations

from typing import Any

_switches = {"flash": True, "mem_efficient": True, "math": True, "cudnn": True}


class _Matmul:
    """How exact products are; TF32 is another way to ask for set_float32_matmul_precision."""

    allow_fp16_reduced_precision_reduction = True
    allow_bf16_reduced_precision_reduction = True
    allow_fp16_accumulation = False
    fp32_precision = "none"

    @property
    def allow_tf32(self) -> bool:
        from flambeau.switches import get_float32_matmul_precision

        return get_float32_matmul_precision() != "highest"

    @allow_tf32.setter
    def allow_tf32(self, value: bool) -> None:
        from flambeau.switches import set_float32_matmul_precision

        set_float32_matmul_precision("high" if value else "highest")


matmul = _Matmul()


def is_built() -> bool:
    """False: tensors live on the CPU."""
    return False


def flash_sdp_enabled() -> bool:
    return _switches["flash"]


def enable_flash_sdp(enabled: bool) -> None:
    _switches["flash"] = bool(enabled)


def mem_efficient_sdp_enabled() -> bool:
    return _switches["mem_efficient"]


def enable_mem_efficient_sdp(enabled: bool) -> None:
    _switches["mem_efficient"] = bool(enabled)


def math_sdp_enabled() -> bool:
    return _switches["math"]


def enable_math_sdp(enabled: bool) -> None:
    _switches["math"] = bool(enabled)


def cudnn_sdp_enabled() -> bool:
    return _switches["cudnn"]


def enable_cudnn_sdp(enabled: bool) -> None:
    _switches["cudnn"] = bool(enabled)


class sdp_kernel:  # noqa: N801 PyTorch's name
    """Which ways to compute attention may be taken, until the end of a `with` block."""

    def __init__(self, enable_flash: bool = True, enable_math: bool = True,
                 enable_mem_efficient: bool = True, enable_cudnn: bool = True) -> None:  # fmt: skip
        self.given = {"flash": enable_flash, "math": enable_math,
                      "mem_efficient": enable_mem_efficient, "cudnn": enable_cudnn}  # fmt: skip

    def __enter__(self) -> None:
        self.before = dict(_switches)
        _switches.update(self.given)

    def __exit__(self, *_: object) -> None:
        _switches.update(self.before)


def preferred_linalg_library(backend: Any = None) -> str:
    """The one there is: LAPACK by NumPy."""
    return "default"
