"""Weights as a length times a direction (T. Salimans, D. Kingma, 2016), by a hook."""

import warnings

from flambeau.nn.parameter import Parameter


def norm_except_dim(v, dim):
    """The norm over all dims but one; over all of them where dim is -1 or None."""
    if dim is None or dim == -1:
        return v.norm()
    others = tuple(d for d in range(v.dim()) if d != dim % v.dim())
    return (v * v).sum(others, keepdim=True).sqrt() if others else v.abs()


def weight_of(v, g, dim):
    """g · v / |v|."""
    return v * (g / norm_except_dim(v, dim))


class WeightNorm:
    """The hook: computes the weight before each forward."""

    def __init__(self, name, dim):
        self.name, self.dim = name, -1 if dim is None else dim

    def compute_weight(self, module):
        g, v = getattr(module, self.name + "_g"), getattr(module, self.name + "_v")
        return weight_of(v, g, self.dim)

    @staticmethod
    def apply(module, name, dim):
        """Replace a parameter by its length and its direction."""
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, WeightNorm) and hook.name == name:
                raise RuntimeError(
                    f"Cannot register two weight_norm hooks on the same parameter {name}"
                )
        hook = WeightNorm(name, dim)
        weight = getattr(module, name)
        del module._parameters[name]
        length = norm_except_dim(weight, hook.dim)
        module.register_parameter(name + "_g", Parameter(length.detach()))
        module.register_parameter(name + "_v", Parameter(weight.detach()))
        setattr(module, name, hook.compute_weight(module))
        module.register_forward_pre_hook(hook)
        return hook

    def remove(self, module):
        """Make the weight a parameter again."""
        weight = self.compute_weight(module)
        delattr(module, self.name)
        del module._parameters[self.name + "_g"], module._parameters[self.name + "_v"]
        setattr(module, self.name, Parameter(weight.detach()))

    def __call__(self, module, inputs):
        setattr(module, self.name, self.compute_weight(module))


def weight_norm(module, name="weight", dim=0):
    """Length and direction of a weight become its parameters; an old form."""
    warnings.warn("`torch.nn.utils.weight_norm` is deprecated in favor of "
                  "`torch.nn.utils.parametrizations.weight_norm`.",
                  FutureWarning, stacklevel=2)  # fmt: skip
    WeightNorm.apply(module, name, dim)
    return module


def remove_hook(module, kind, name, what):
    """Take a hook of this kind away, and let it undo what it did."""
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, kind) and hook.name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"{what} of '{name}' not found in {module}")


def remove_weight_norm(module, name="weight"):
    """Make the weight an ordinary parameter again."""
    return remove_hook(module, WeightNorm, name, "weight_norm")


__all__ = ["WeightNorm", "remove_weight_norm", "weight_norm"]
