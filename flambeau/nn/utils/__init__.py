"""Tools around modules: gradient clipping, normed and pruned weights, packed sequences, fusion."""

from importlib import import_module

from flambeau.nn.utils import rnn
from flambeau.nn.utils.clip import (
    clip_grad_norm,
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
)
from flambeau.nn.utils.spectral_norm import remove_spectral_norm, spectral_norm
from flambeau.nn.utils.vector import parameters_to_vector, vector_to_parameters
from flambeau.nn.utils.weight_norm import remove_weight_norm, weight_norm

# Imported when they are first asked for: name → module.
LATE = dict.fromkeys("parametrizations parametrize prune stateless fusion init".split())
LATE |= dict.fromkeys(
    """fuse_conv_bn_eval fuse_conv_bn_weights fuse_linear_bn_eval
    fuse_linear_bn_weights""".split(), "fusion"
)  # fmt: skip
LATE["skip_init"] = "init"


def __getattr__(name):
    if name not in LATE:
        raise AttributeError(f"module 'torch.nn.utils' has no attribute '{name}'")
    module = import_module(f"{__name__}.{LATE[name] or name}")
    found = module if LATE[name] is None else getattr(module, name)
    globals()[name] = found
    return found


__all__ = [
    "clip_grad_norm", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_",
    "get_total_norm", "parameters_to_vector", "remove_spectral_norm",
    "remove_weight_norm", "rnn", "spectral_norm", "vector_to_parameters", "weight_norm", *LATE,
]  # fmt: skip
