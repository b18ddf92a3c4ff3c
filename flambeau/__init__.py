"""Flambeau: PyTorch's interface and meaning; lazy, compiled, in Python.

`import flambeau as torch` is all that a program needs. Submodules are imported when they are first
asked for; nothing here imports a compiler.
"""

from __future__ import annotations

import importlib
from typing import Any

from flambeau import literal as _literal
from flambeau import methods as _methods
from flambeau.autograd.modes import enable_grad, is_grad_enabled, no_grad
from flambeau.device import (
    channels_last,
    channels_last_3d,
    contiguous_format,
    device,
    layout,
    memory_format,
    preserve_format,
    strided,
)
from flambeau.info import (
    can_cast,
    finfo,
    get_num_threads,
    iinfo,
    is_floating_point,
    is_inference,
    is_nonzero,
    is_same_size,
    is_signed,
    is_storage,
    is_tensor,
    numel,
    promote_types,
    result_type,
    set_num_threads,
    typename,
    use_deterministic_algorithms,
)
from flambeau.ir import dtype as _dt
from flambeau.ir.dtype import DType as dtype  # noqa: N813 PyTorch's name
from flambeau.printing import get_printoptions, set_printoptions
from flambeau.tensor import Size, Tensor
from flambeau.torch_version import __version__  # noqa: F401 the interface's, then Flambeau's own
from flambeau.trace import interrupt as _interrupt

_interrupt.install()

inf, nan, pi, e = float("inf"), float("nan"), 3.141592653589793, 2.718281828459045
newaxis = None

globals().update({d.name: d for d in _dt.ALL})
globals().update(_dt.ALIASES)
globals().update(_literal.LEGACY)
globals().update(_methods.PUBLIC)

_SUBMODULES = frozenset(
    """__config__ _dynamo _inductor _logging _utils accelerator amp autograd backends compiler cpu
    cuda distributed distributions export fft func futures fx hub jit library linalg masked mps mtia
    multiprocessing nested nn onnx optim overrides package profiler random return_types
    serialization signal sparse special storage testing torch_version types utils version
    xpu""".split()
)


_MODES = "default lite reduce-overhead max-autotune-no-cudagraphs max-autotune".split()


def compile(model: Any = None, *, fullgraph: bool = False, dynamic: bool | None = None,
            backend: Any = None, mode: str | None = None, options: Any = None,
            name: str | None = None, disable: bool = False, recompile_limit: int | None = None,
            isolate_recompiles: bool = False, shapes_spec: Any = None) -> Any:  # fmt: skip
    """The function itself: everything is compiled anyway. Works as a decorator, too.

    Arguments are checked, and change nothing.
    """
    if mode is not None and options is not None:
        raise RuntimeError(
            "Either mode or options can be specified, but both can't be specified at the same time."
        )
    if mode is not None and backend in (None, "inductor") and mode not in _MODES:
        raise RuntimeError(f"Unrecognized mode={mode}, should be one of: {', '.join(_MODES)}")
    if model is None:
        return compile
    if not callable(model):
        raise AssertionError(f"A callable function is expected, but {type(model)} is provided.")
    return model


def __getattr__(name: str) -> Any:
    from importlib.util import find_spec

    if name in _SUBMODULES and find_spec(f"flambeau.{name}") is not None:
        return importlib.import_module(f"flambeau.{name}")
    home = "storage" if name.endswith("Storage") else _ELSEWHERE.get(name)
    home = "foreach" if name.startswith("_foreach_") else home
    if home is None:
        raise AttributeError(f"module 'torch' has no attribute '{name}'")
    home, _, other = home.partition(":")  # other: what it is called there, if not the same
    module = importlib.import_module(f"flambeau.{home}")
    globals()[name] = found = getattr(module, other or name)
    return found


# Names that live in modules which are imported late.
_ELSEWHERE = {
    "DisableTorchFunction": "overrides",
    "DisableTorchFunctionSubclass": "overrides",
    "from_dlpack": "exchange",
    "from_file": "exchange",
    "frombuffer": "exchange",
    "autocast": "amp",
    "inference_mode": "autograd.modes",
    "is_inference_mode_enabled": "autograd.modes",
    "load": "serialization",
    "save": "serialization",
    "set_grad_enabled": "autograd.modes",
    "to_dlpack": "exchange",
    "explain": "cli.explanation",
    "vmap": "func",
}

_LATE = {
    "amp.autocast_mode": """is_autocast_enabled set_autocast_enabled get_autocast_dtype
        set_autocast_dtype is_autocast_cpu_enabled get_autocast_cpu_dtype get_autocast_gpu_dtype
        set_autocast_cpu_enabled set_autocast_cpu_dtype set_autocast_gpu_dtype
        is_autocast_cache_enabled set_autocast_cache_enabled clear_autocast_cache
        autocast_increment_nesting autocast_decrement_nesting""",
    "convolving": """conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d
        conv_tbc""",
    "pooling": """max_pool1d max_pool2d max_pool3d max_pool1d_with_indices avg_pool1d
        adaptive_avg_pool1d adaptive_max_pool1d""",
    "normalizing": """layer_norm rms_norm group_norm native_layer_norm native_group_norm
        native_batch_norm pairwise_distance""",
    "normalizing:torch_batch_norm": "batch_norm",
    "normalizing:torch_instance_norm": "instance_norm",
    "gridding": "grid_sampler affine_grid_generator",
    "sparse": """sparse_coo_tensor sparse_csr_tensor sparse_csc_tensor sparse_bsr_tensor
        sparse_bsc_tensor sparse_compressed_tensor""",
    "amp": "GradScaler",
    "device": "_mkldnn jagged sparse_bsc sparse_bsr sparse_coo sparse_csc sparse_csr",
    "futures": "Future",
    "autograd.anomaly": "is_anomaly_check_nan_enabled is_anomaly_enabled set_anomaly_enabled",
    "lowlevel": """alpha_dropout_ bilinear binary_cross_entropy_with_logits cosine_embedding_loss
        ctc_loss dropout dropout_ dsmm embedding_renorm_ feature_alpha_dropout_ feature_dropout
        feature_dropout_ hinge_embedding_loss kl_div margin_ranking_loss native_channel_shuffle
        native_dropout norm_except_dim poisson_nll_loss spmm triplet_margin_loss""",
    "variates": """poisson binomial _standard_gamma _standard_gamma_grad _sample_dirichlet
        _dirichlet_grad""",
    "switches": """AcceleratorError Event OutOfMemoryError Stream get_default_device
        are_deterministic_algorithms_enabled compiled_with_cxx11_abi get_deterministic_debug_mode
        get_device_module get_float32_matmul_precision get_num_interop_threads
        has_lapack has_mkl has_openmp has_spectral
        is_deterministic_algorithms_warn_only_enabled is_warn_always_enabled set_default_device
        set_default_tensor_type set_deterministic_debug_mode set_float32_matmul_precision
        set_flush_denormal set_num_interop_threads set_warn_always sym_float sym_int sym_ite
        sym_max sym_min sym_not sym_sum""",
}
_ELSEWHERE.update({name: home for home, names in _LATE.items() for name in names.split()})

__all__ = [
    "Size",
    "Tensor",
    "can_cast",
    "channels_last",
    "channels_last_3d",
    "contiguous_format",
    "device",
    "dtype",
    "enable_grad",
    "finfo",
    "get_num_threads",
    "get_printoptions",
    "iinfo",
    "is_floating_point",
    "is_grad_enabled",
    "is_inference",
    "is_nonzero",
    "is_same_size",
    "is_signed",
    "is_storage",
    "is_tensor",
    "layout",
    "memory_format",
    "no_grad",
    "numel",
    "preserve_format",
    "promote_types",
    "result_type",
    "set_num_threads",
    "set_printoptions",
    "strided",
    "typename",
    "use_deterministic_algorithms",
]
