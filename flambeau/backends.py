"""torch.backends: switches that programs set before they start; the CPU has none of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


def _no(*_: Any) -> bool:
    return False


cudnn = SimpleNamespace(
    enabled=False,
    benchmark=False,
    deterministic=False,
    allow_tf32=False,
    is_available=_no,
    version=lambda: None,
)
cuda = SimpleNamespace(matmul=SimpleNamespace(allow_tf32=False), is_built=_no)
mps = SimpleNamespace(is_available=_no, is_built=_no)
mkl = mkldnn = openmp = SimpleNamespace(is_available=_no, enabled=False)
