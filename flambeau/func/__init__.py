"""Functions of functions: derivatives, Jacobians, maps over a batch, modules as functions."""

from flambeau.func.batching import vmap
from flambeau.func.forward import hessian, jacfwd, jvp, linearize
from flambeau.func.modules import (
    functional_call,
    functionalize,
    replace_all_batch_norm_modules_,
    stack_module_state,
)
from flambeau.func.reverse import grad, grad_and_value, jacrev, vjp

__all__ = [
    "functional_call", "functionalize", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev",
    "jvp", "linearize", "replace_all_batch_norm_modules_", "stack_module_state", "vjp", "vmap",
]  # fmt: skip
