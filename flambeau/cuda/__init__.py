"""torch.cuda on a machine where Flambeau uses no GPU: asks are answered, uses are refused.

The answers and errors are those of a PyTorch that was built for the CPU alone.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from flambeau.device import device as _device
from flambeau.ir import dtype as _dt
from flambeau.switches import AcceleratorError, OutOfMemoryError

default_generators: tuple[Any, ...] = ()
has_half = True


def _refuse(*_: Any, **__: Any) -> Any:
    raise AssertionError("Torch not compiled with CUDA enabled")


def _zero(*_: Any, **__: Any) -> int:
    return 0


def _nothing(*_: Any, **__: Any) -> None: ...


def is_available() -> bool:
    """False: tensors live on the CPU."""
    return False


def device_count() -> int:
    """None."""
    return 0


def is_initialized() -> bool:
    """Never."""
    return False


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """False: there is no GPU."""
    return False


def _is_compiled() -> bool:
    return False


def is_current_stream_capturing() -> bool:
    """False: there is no stream."""
    return False


def get_arch_list() -> list[str]:
    """None."""
    return []


def get_rng_state_all() -> list[Any]:
    """None: there is no GPU, so no generator."""
    return []


def set_rng_state_all(new_states: Any) -> None:
    """Nothing to set."""


def memory_stats(device: Any = None) -> Any:
    """Nothing to count."""
    return OrderedDict()


# There is no generator to seed, no cache and no queue: PyTorch's CPU build is silent as well.
manual_seed = manual_seed_all = seed = seed_all = empty_cache = _nothing
reset_peak_memory_stats = reset_accumulated_memory_stats = reset_max_memory_allocated = _nothing
set_per_process_memory_fraction = _nothing
memory_allocated = max_memory_allocated = memory_reserved = max_memory_reserved = _zero
memory_cached = max_memory_cached = _zero
# What needs a GPU is refused.
current_device = synchronize = set_device = get_device_name = get_device_properties = _refuse
get_device_capability = mem_get_info = initial_seed = init = get_rng_state = set_rng_state = _refuse
current_stream = default_stream = ipc_collect = can_device_access_peer = memory_summary = _refuse
utilization = temperature = power_draw = clock_rate = memory_usage = current_blas_handle = _refuse
list_gpu_processes = set_stream = caching_allocator_alloc = memory_snapshot = _refuse


class Stream:
    """A queue of work for a GPU."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError(f"torch.cuda.{type(self).__name__} requires CUDA support")


class ExternalStream(Stream):
    """A queue of work that somebody else made."""


class _Dummy:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError(f"Tried to instantiate dummy base class {type(self).__name__}")


class Event(_Dummy):
    """A place in a queue of work."""


class CUDAGraph(_Dummy):
    """Work that was recorded to be repeated."""


class graph(_Dummy):  # noqa: N801 PyTorch's name
    """Records work that is to be repeated."""


class stream:  # noqa: N801 PyTorch's name
    """Work for a queue; None is no queue, and changes nothing."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


StreamContext = stream


class device:  # noqa: N801 PyTorch's name
    """Another current GPU, until the end of a `with` block; refused unless it is no change."""

    def __init__(self, device: Any) -> None:
        wanted = _device(device) if isinstance(device, str) else device
        index = wanted if isinstance(wanted, int) else getattr(wanted, "index", None)
        self.idx: int = -1 if index is None else index

    def __enter__(self) -> None:
        if self.idx >= 0:
            raise RuntimeError("PyTorch was compiled without CUDA support")

    def __exit__(self, *_: object) -> None: ...


class device_of(device):  # noqa: N801 PyTorch's name
    """The GPU of a tensor as the current one; no tensor has any."""

    def __init__(self, obj: Any) -> None:
        super().__init__(-1)


class _NoTensors(type):
    """The class of torch.cuda.FloatTensor and its kin, of which there are no objects."""

    def __instancecheck__(cls, x: Any) -> bool:
        return False

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"type torch.cuda.{cls.__name__} not available. Torch not compiled with "
                        "CUDA enabled.")  # fmt: skip


globals().update({
    f"{d.legacy}Tensor": _NoTensors(f"{d.legacy}Tensor", (), {"dtype": d})
    for d in _dt.ALL if d in _dt.NATIVE
})  # fmt: skip


class nvtx:  # noqa: N801 a module in PyTorch
    """Marks for NVIDIA's profiler."""

    @staticmethod
    def range_push(msg: str) -> Any:
        raise RuntimeError("NVTX functions not installed. Are you sure you have a CUDA build?")

    range_pop = mark = range_start = range_end = range = range_push


def __getattr__(name: str) -> Any:
    if name == "amp":
        from importlib import import_module

        return import_module("flambeau.cuda.amp")
    raise AttributeError(f"module 'torch.cuda' has no attribute '{name}'")


__all__ = ["AcceleratorError", "OutOfMemoryError", "is_available"]
