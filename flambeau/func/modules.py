"""Modules as functions of their parameters and buffers."""

from flambeau.nn.modules.batchnorm import _BatchNorm
from flambeau.nn.utils.stateless import call_with


def functional_call(module, parameter_and_buffer_dicts, args=None, kwargs=None, *,
                    tie_weights=True, strict=False):  # fmt: skip
    """Call a module with tensors by their paths in the place of its parameters and buffers.

    The tensors come in one dictionary, or in several whose paths must differ. tie_weights: what the
    module has under several paths is replaced under all; strict: all must be given, and no other.
    """
    given = parameter_and_buffer_dicts
    if not isinstance(given, dict):
        if not isinstance(given, (list, tuple)):
            raise ValueError("Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of "
                             f"dicts, but got {type(given)}")  # fmt: skip
        if not all(isinstance(part, dict) for part in given):
            raise ValueError("Expected all elements of parameter_and_buffer_dicts to be "
                             "dictionaries")  # fmt: skip
        paths = [path for part in given for path in part]
        again = sorted({path for path in paths if paths.count(path) > 1})
        if again:
            raise ValueError(f"{again} appeared in multiple dictionaries; behavior of functional "
                             "call is ambiguous")  # fmt: skip
        given = {path: tensor for part in given for path, tensor in part.items()}
    return call_with(module, given, args, kwargs, tie_weights, strict)


def stack_module_state(models):
    """(parameters, buffers) of several modules alike, each by its path, stacked along a new dim 0.

    The parameters are new leaves. Raises RuntimeError for no modules, or such of several classes or
    modes.
    """
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if not (all(m.training for m in models) or all(not m.training for m in models)):
        raise RuntimeError(
            "stack_module_state: Expected all models to have the same training/eval mode."
        )
    if any(type(m) is not type(models[0]) for m in models):
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    params = [dict(m.named_parameters()) for m in models]
    buffers = [dict(m.named_buffers()) for m in models]
    return ({path: stacked([p[path] for p in params]) for path in params[0]},
            {path: stacked([b[path] for b in buffers]) for path in buffers[0]})  # fmt: skip


def stacked(tensors):
    """Copies of tensors in one, a leaf where they are."""
    from flambeau import no_grad, stack

    wants = [x.requires_grad for x in tensors]
    if any(wants) and not all(wants):
        raise RuntimeError(
            f"Expected {tensors} to either all require grad or none of them require grad"
        )
    with no_grad():
        return stack(tensors).requires_grad_(wants[0])


def replace_all_batch_norm_modules_(root):
    """Let every batch norm below a module use the batch alone, without running statistics."""
    for module in root.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean = module.running_var = module.num_batches_tracked = None
            module.track_running_stats = False
    return root


def functionalize(func, *, remove="mutations"):
    """The function itself: what is recorded has no mutations left when it is compiled."""
    if remove not in ("mutations", "mutations_and_views"):
        raise RuntimeError(
            "functionalize(f, remove='mutations'): valid options for removing are: "
            f"remove='mutations' or 'mutations_and_views'. Got {remove}"
        )
    return func
