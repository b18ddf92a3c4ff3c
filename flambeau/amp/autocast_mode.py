"""autocast: products in bfloat16 (or float16), what needs precision in float32."""

import functools
import warnings

import flambeau as fl
from flambeau.trace.autocast import in_type, local
from flambeau.trace.modes import switch
from flambeau.trace.trie import here

KINDS = """cpu cuda ipu xpu mkldnn opengl opencl ideep hip ve fpga maia xla lazy vulkan mps meta hpu
    mtia privateuseone""".split()
DEFAULTS = {"cpu": fl.bfloat16}  # device type → the type that set_autocast_dtype has set


def check_device_type(device_type):
    """Refuse what is no device's name."""
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if device_type.split(":")[0] not in KINDS:
        raise RuntimeError(f"Expected one of {', '.join(KINDS)} device type at start of device "
                           f"string: {device_type}")  # fmt: skip
    return device_type.split(":")[0]


def is_autocast_available(device_type):
    """Whether a device type knows autocast."""
    return check_device_type(device_type) in ("cpu", "cuda", "xpu", "hpu", "mps", "mtia", "xla")


def get_autocast_dtype(device_type):
    """What autocast computes products in where it is not told."""
    mode = here.stretch.mode
    if check_device_type(device_type) == "cpu" and mode.autocast is not None:
        return mode.autocast
    return DEFAULTS.get(device_type, fl.float16)


def set_autocast_dtype(device_type, dtype):
    """Change what autocast computes products in where it is not told."""
    DEFAULTS[check_device_type(device_type)] = dtype
    if device_type == "cpu" and here.stretch.mode.autocast is not None:
        here.stretch.mode = switch(here.stretch.mode, autocast=dtype)


def is_autocast_enabled(device_type="cuda"):
    """Whether autocast is on for a device type."""
    return check_device_type(device_type) == "cpu" and here.stretch.mode.autocast is not None


def set_autocast_enabled(device_type, enabled=None):
    """Turn autocast on or off for a device type."""
    if enabled is None:
        device_type, enabled = "cuda", device_type
    if check_device_type(device_type) == "cpu":
        dtype = get_autocast_dtype("cpu") if enabled else None
        here.stretch.mode = switch(here.stretch.mode, autocast=dtype)


def is_autocast_cpu_enabled():
    """The old name of is_autocast_enabled("cpu")."""
    old("is_autocast_cpu_enabled()", "is_autocast_enabled('cpu')")
    return is_autocast_enabled("cpu")


def get_autocast_cpu_dtype():
    """The old name of get_autocast_dtype("cpu")."""
    old("get_autocast_cpu_dtype()", "get_autocast_dtype('cpu')")
    return get_autocast_dtype("cpu")


def set_autocast_cpu_enabled(enabled):
    """The old name of set_autocast_enabled("cpu", enabled)."""
    old("set_autocast_cpu_enabled(enabled)", "set_autocast_enabled('cpu', enabled)")
    set_autocast_enabled("cpu", enabled)


def set_autocast_cpu_dtype(dtype):
    """The old name of set_autocast_dtype("cpu", dtype)."""
    old("set_autocast_cpu_dtype(dtype)", "set_autocast_dtype('cpu', dtype)")
    set_autocast_dtype("cpu", dtype)


def set_autocast_gpu_dtype(dtype):
    """The old name of set_autocast_dtype("cuda", dtype)."""
    old("set_autocast_gpu_dtype(dtype)", "set_autocast_dtype('cuda', dtype)")
    set_autocast_dtype("cuda", dtype)


def get_autocast_gpu_dtype():
    """The old name of get_autocast_dtype("cuda")."""
    old("get_autocast_gpu_dtype()", "get_autocast_dtype('cuda')")
    return get_autocast_dtype("cuda")


def old(name, new):
    warnings.warn(f"torch.{name} is deprecated. Please use torch.{new} instead.",
                  DeprecationWarning, stacklevel=3)  # fmt: skip


def is_autocast_cache_enabled():
    """Whether casts of parameters are remembered until the outermost block ends."""
    return local.enabled


def set_autocast_cache_enabled(enabled):
    """Whether to remember casts of parameters."""
    local.enabled = enabled


def clear_autocast_cache():
    """Forget the casts of parameters."""
    local.cache.clear()


def autocast_increment_nesting():
    """A block begins; answers how many there are."""
    local.depth += 1
    return local.depth


def autocast_decrement_nesting():
    """A block ends; answers how many are left."""
    local.depth -= 1
    return local.depth


class autocast:
    """A context manager and decorator: calls inside run in the precision that suits them."""

    def __init__(self, device_type, dtype=None, enabled=True, cache_enabled=None):
        self.device = check_device_type(device_type)
        self.custom_backend_name = "privateuseone"
        if not is_autocast_available(self.device):
            raise RuntimeError(
                f"User specified an unsupported autocast device_type '{self.device}'"
            )
        self.fast_dtype = get_autocast_dtype(self.device) if dtype is None else dtype
        self._cache_enabled = local.enabled if cache_enabled is None else cache_enabled
        if self.device == "cuda" and enabled:
            warnings.warn("CUDA is not available or torch_xla is imported. Disabling autocast.",
                          stacklevel=2)  # fmt: skip
        elif self.device not in ("cpu", "cuda") and enabled:
            raise NotImplementedError(f"autocast for {self.device} is not supported; there are "
                                      "only tensors on the CPU: use autocast('cpu')")  # fmt: skip
        elif enabled and self.fast_dtype not in (fl.bfloat16, fl.float16):
            warnings.warn(
                "In CPU autocast, but the target dtype is not supported. Disabling autocast.\nCPU "
                "Autocast only supports dtypes of torch.bfloat16, torch.float16 currently.",
                stacklevel=2,
            )
            enabled = False
        self._enabled = enabled and self.device == "cpu"

    def __enter__(self):
        self.before = here.stretch.mode.autocast
        self.prev_cache_enabled = local.enabled
        if self.device == "cpu":
            dtype = self.fast_dtype if self._enabled else None
            here.stretch.mode = switch(here.stretch.mode, autocast=dtype)
        autocast_increment_nesting()
        local.enabled = self._cache_enabled
        return self

    def __exit__(self, *_):
        if autocast_decrement_nesting() == 0:
            clear_autocast_cache()
        here.stretch.mode = switch(here.stretch.mode, autocast=self.before)
        local.enabled = self.prev_cache_enabled
        return False

    def __call__(self, function):
        @functools.wraps(function)
        def inside(*args, **kwargs):
            with self:
                return function(*args, **kwargs)

        return inside


# ------------------------------------------------------------------ custom Functions


def all_in(x, dtype):
    """Float tensors, also inside containers, in another type."""
    if isinstance(x, fl.Tensor):
        return in_type(dtype, here.stretch.mode, x)
    if isinstance(x, dict):
        return {all_in(key, dtype): all_in(value, dtype) for key, value in x.items()}
    if isinstance(x, (tuple, list)):
        return type(x)(all_in(value, dtype) for value in x)
    return x


def custom_fwd(fwd=None, *, device_type, cast_inputs=None):
    """For the forward of a Function: what autocast is inside, and remember it for backward.

    cast_inputs: where autocast is on, cast float arguments to this type and turn autocast off.
    """
    check_device_type(device_type)
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def inside(*args, **kwargs):
        args[0]._dtype = get_autocast_dtype(device_type)
        on = is_autocast_enabled(device_type)
        args[0]._fwd_used_autocast = on and cast_inputs is None
        if cast_inputs is None or not on:
            return fwd(*args, **kwargs)
        with autocast(device_type, enabled=False):
            return fwd(*all_in(args, cast_inputs), **all_in(kwargs, cast_inputs))

    return inside


def custom_bwd(bwd=None, *, device_type):
    """For the backward of a Function: autocast is as it was in forward."""
    check_device_type(device_type)
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def inside(*args, **kwargs):
        with autocast(device_type, enabled=args[0]._fwd_used_autocast, dtype=args[0]._dtype):
            return bwd(*args, **kwargs)

    return inside
