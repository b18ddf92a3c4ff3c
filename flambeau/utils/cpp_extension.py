"""torch.utils.cpp_extension: extensions in C++, which have no tensors here to work on."""

from __future__ import annotations

from typing import Any

CUDA_HOME = ROCM_HOME = None


def _refuse(*_: Any, **__: Any) -> Any:
    raise NotImplementedError(
        "extensions in C++ are built against PyTorch's own library, which Flambeau does not have; "
        "write them with tensor functions, or as a torch.autograd.Function over NumPy"
    )


load = load_inline = CppExtension = CUDAExtension = SyclExtension = include_paths = _refuse
library_paths = get_compiler_abi_compatibility_and_version = is_ninja_available = _refuse


class BuildExtension:
    """The command that builds extensions."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _refuse()

    with_options = classmethod(_refuse)


__all__ = ["BuildExtension", "CUDAExtension", "CppExtension", "load", "load_inline"]
