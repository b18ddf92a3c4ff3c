"""torch.backends: switches that programs set before they start; the CPU has none of the engines.

Questions are answered truthfully: none of PyTorch's libraries is here. Switches keep what they are
set to, and change nothing.
"""

from __future__ import annotations

from typing import Any

NAMES = "cpu cuda cudnn cusparselt mkl mkldnn mps nnpack openmp opt_einsum quantized xeon".split()


class flags_of:  # noqa: N801 used as PyTorch's `flags`
    """Sets switches of a module, until the end of a `with` block."""

    def __init__(self, module: Any, given: dict[str, Any]) -> None:
        self.module, self.given = module, {k: v for k, v in given.items() if v is not None}

    def __enter__(self) -> None:
        self.before = {name: getattr(self.module, name) for name in self.given}
        vars(self.module).update(self.given)

    def __exit__(self, *_: object) -> None:
        vars(self.module).update(self.before)


def __getattr__(name: str) -> Any:
    if name in NAMES:
        from importlib import import_module

        return import_module(f"flambeau.backends.{name}")
    raise AttributeError(f"module 'torch.backends' has no attribute '{name}'")
