"""Switches of a whole program: default device and type, precision, determinism, warnings."""

from __future__ import annotations

from typing import Any

from flambeau.creation import set_default_dtype
from flambeau.device import CPU, check_device, device
from flambeau.ir import dtype as dt
from flambeau.trace.trie import here

_precision = "highest"
_warn_only = False
_warn_always = False
_interop = 0


def get_default_device() -> device:
    """Where tensors are made: on the CPU."""
    return CPU


def set_default_device(device: Any) -> None:
    """Accepted for the CPU; refused for devices that there are not."""
    check_device(device)


def set_default_tensor_type(t: Any) -> None:
    """Another default dtype, by the name or class of its tensors: 'torch.DoubleTensor'."""
    name = t if isinstance(t, str) else f"torch.{t.__name__}"
    name = name.removeprefix("torch.").removesuffix("Tensor")
    found = next((d for d in dt.ALL if d.legacy == name), None)
    if found is None:
        raise TypeError("only floating-point types are supported as the default type" if
                        name.startswith("cuda.") else f"invalid type object: {t}")  # fmt: skip
    set_default_dtype(found)


def get_float32_matmul_precision() -> str:
    """How exact products of float32 have to be."""
    return _precision


def set_float32_matmul_precision(precision: str) -> None:
    """'highest', 'high' or 'medium': accepted; all are computed as exactly as 'highest' asks."""
    global _precision
    if precision not in ("highest", "high", "medium"):
        import warnings

        warnings.warn(f"{precision} is not one of 'highest', 'high', or 'medium'; the current "
                      "setting is kept", stacklevel=2)  # fmt: skip
        return
    _precision = precision


def are_deterministic_algorithms_enabled() -> bool:
    """Whether use_deterministic_algorithms was asked for; results are the same anyway."""
    return here.stretch.mode.deterministic


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """Whether it was asked to warn rather than refuse; there is nothing to warn of."""
    return _warn_only and are_deterministic_algorithms_enabled()


def get_deterministic_debug_mode() -> int:
    """0, 1 to warn, 2 to refuse."""
    if not are_deterministic_algorithms_enabled():
        return 0
    return 1 if _warn_only else 2


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """use_deterministic_algorithms by number or word: 'default', 'warn', 'error'."""
    global _warn_only
    from flambeau.info import use_deterministic_algorithms

    words = ("default", "warn", "error")
    if isinstance(debug_mode, str):
        if debug_mode not in words:
            raise RuntimeError("invalid value of debug_mode, expected one of `default`, `warn`, "
                               f"`error`, but got {debug_mode}")  # fmt: skip
        debug_mode = words.index(debug_mode)
    if debug_mode not in (0, 1, 2):
        raise RuntimeError(
            f"invalid value of debug_mode, expected 0, 1, or 2, but got {debug_mode}"
        )
    _warn_only = debug_mode == 1
    use_deterministic_algorithms(debug_mode > 0)


def set_warn_always(b: bool) -> None:
    """Whether warnings that come once come each time; kept, and changes nothing."""
    global _warn_always
    _warn_always = bool(b)


def is_warn_always_enabled() -> bool:
    """What set_warn_always was told."""
    return _warn_always


def get_num_interop_threads() -> int:
    """How many threads run independent work beside each other."""
    from flambeau.info import get_num_threads

    return _interop or get_num_threads()


def set_num_interop_threads(num: int) -> None:
    """Kept, and changes nothing: calls run one after the other."""
    global _interop
    if num <= 0:
        raise RuntimeError("expected positive number of threads")
    _interop = int(num)


def set_flush_denormal(mode: bool) -> bool:
    """False: numbers below the smallest normal one are never taken for zero."""
    return not mode


def compiled_with_cxx11_abi() -> bool:
    """True, as current builds of PyTorch say; no C++ is involved."""
    return True


def get_device_module(device: Any = None) -> Any:
    """The module of a device: torch.cpu, torch.cuda."""
    import importlib

    kind = "cpu" if device is None else globals()["device"](device).type
    try:
        return importlib.import_module(f"flambeau.{kind}")
    except ImportError:
        raise RuntimeError(f"Device '{kind}' does not have a corresponding module registered as "
                           f"'torch.{kind}'.") from None  # fmt: skip


# ------------------------------------------------------------------ numbers that may be symbols


def sym_int(a: Any) -> int:
    """A number without its fraction."""
    return int(a)


def sym_float(a: Any) -> float:
    """A number as a float."""
    return float(a)


def sym_not(a: Any) -> bool:
    """The opposite."""
    return not a


def sym_max(a: Any, b: Any) -> Any:
    """The larger; a float where one is."""
    return float(max(a, b)) if isinstance(a, float) or isinstance(b, float) else max(a, b)


def sym_min(a: Any, b: Any) -> Any:
    """The smaller; a float where one is."""
    return float(min(a, b)) if isinstance(a, float) or isinstance(b, float) else min(a, b)


def sym_ite(b: bool, t: Any, f: Any) -> Any:
    """One or the other."""
    return t if b else f


def sym_sum(args: Any) -> Any:
    """The sum of numbers."""
    return sum(args)


# ------------------------------------------------------------------ errors that GPUs have


class OutOfMemoryError(RuntimeError):
    """Raised where a GPU's memory is not enough; never, as there is none."""


class AcceleratorError(RuntimeError):
    """Raised where a GPU fails; never, as there is none."""


class Stream:
    """A queue of work for a GPU, of which there is none."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError("torch.Stream requires an accelerator, and there is none")


class Event:
    """A place in a queue of work for a GPU, of which there is none."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError("torch.Event requires an accelerator, and there is none")


# Which libraries PyTorch was built with: NumPy brings LAPACK and an FFT.
has_lapack = has_spectral = True
has_mkl = has_openmp = False

__all__ = """AcceleratorError Event OutOfMemoryError Stream are_deterministic_algorithms_enabled
    compiled_with_cxx11_abi get_default_device get_deterministic_debug_mode get_device_module
    get_float32_matmul_precision get_num_interop_threads has_lapack has_mkl has_openmp has_spectral
    is_deterministic_algorithms_warn_only_enabled is_warn_always_enabled set_default_device
    set_default_tensor_type set_deterministic_debug_mode set_float32_matmul_precision
    set_flush_denormal set_num_interop_threads set_warn_always sym_float sym_int sym_ite sym_max
    sym_min sym_not sym_sum""".split()
