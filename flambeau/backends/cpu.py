"""What the processor can do."""

from __future__ import annotations


def get_cpu_capability() -> str:
    """The widest vectors that it has: "AVX512", "AVX2" or "DEFAULT"."""
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    if features.get("avx512f"):
        return "AVX512"
    return "AVX2" if features.get("avx2") else "DEFAULT"
