"""A module called with other parameters than its own."""

import contextlib
import warnings

from flambeau.nn.modules.module import Module


def functional_call(module, parameters_and_buffers, args=None, kwargs=None, *, tie_weights=True,
                    strict=False):  # fmt: skip
    """The old place of torch.func.functional_call."""
    warnings.warn("`torch.nn.utils.stateless.functional_call` is deprecated as of PyTorch 2.0 and "
                  "will be removed in a future version of PyTorch. Please use "
                  "`torch.func.functional_call` instead which is a drop-in replacement.",
                  FutureWarning, stacklevel=2)  # fmt: skip
    return call_with(module, parameters_and_buffers, args, kwargs, tie_weights, strict)


def call_with(module, parameters_and_buffers, args=None, kwargs=None, tie_weights=True,
              strict=False):  # fmt: skip
    """Call a module with tensors by their paths in the place of its parameters and buffers.

    With tie_weights, what the module has under several paths is replaced under all of them; with
    strict, every parameter and buffer must be given, and nothing else.
    """
    if not isinstance(module, Module):
        raise TypeError(f"Expected module to be an nn.Module, but got {type(module)}")
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    with exchanged(module, dict(parameters_and_buffers), tie_weights, strict):
        return module(*args, **(kwargs or {}))


@contextlib.contextmanager
def exchanged(module, tensors, tie_weights, strict):
    """Put tensors into a module for a while; in-place registrations come back in `tensors`."""
    own = dict(module.named_parameters(remove_duplicate=False))
    own |= dict(module.named_buffers(remove_duplicate=False))
    check_names(module, own, tensors, strict)
    tensors = {path: tensor for path, tensor in tensors.items() if path in own}
    if tie_weights:
        tensors = tied(own, tensors)
    before = []
    try:
        for path, tensor in tensors.items():
            before.append((*place(module, path), path))
            registry, name = place(module, path)[0], path.rpartition(".")[2]
            registry[name] = tensor
        yield
    finally:
        for registry, old, path in reversed(before):
            registry[path.rpartition(".")[2]] = old


def place(module, path):
    """The registry that holds a parameter or buffer, and what is there now."""
    parent, _, name = path.rpartition(".")
    owner = module.get_submodule(parent)
    registry = owner._parameters if name in owner._parameters else owner._buffers
    return registry, registry[name]


def tied(own, tensors):
    """Other paths of what is replaced are replaced too."""
    known = {}
    for path, tensor in tensors.items():
        known.setdefault(id(own[path]), tensor)
        if known[id(own[path])] is not tensor:
            raise ValueError(f"functional_call got multiple values for keys {same_as(own, path)}, "
                             "which are tied. Consider using tie_weights=False")  # fmt: skip
    others = {path: known[id(t)] for path, t in own.items() if id(t) in known}
    return others | tensors


def same_as(own, path):
    return sorted(p for p, t in own.items() if t is own[path])


def check_names(module, own, tensors, strict):
    """Tensors for what the module has."""
    unexpected = [path for path in tensors if path not in own]
    missing = [path for path in own if path not in tensors]
    if not strict or not (unexpected or missing):
        return
    errors = []
    for what, keys in (("Unexpected", unexpected), ("Missing", missing)):
        if keys:
            errors.append(f"{what} key(s): " + ", ".join(map(repr, sorted(keys))) + ".")
    raise RuntimeError(f"Error(s) in reparametrizing for {module._get_name()}:\n\t"
                       + "\n\t".join(errors))  # fmt: skip


__all__ = ["functional_call"]
