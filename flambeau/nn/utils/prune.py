"""Weights set to zero by masks: at random, or those that count least.

A pruned parameter becomes `name_orig`, its mask the buffer `name_mask`, and a hook computes their
product before each forward.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from numbers import Integral, Real


class BasePruningMethod(ABC):
    """A way to choose what is pruned; `compute_mask` says it."""

    _tensor_name: str
    PRUNING_TYPE = "unstructured"

    def __call__(self, module, inputs):
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abstractmethod
    def compute_mask(self, t, default_mask):
        """The mask for importance scores, within what the default mask still lets through."""

    def apply_mask(self, module):
        """The original times the mask."""
        name = self._tensor_name
        if name is None:
            raise AssertionError(f"Module {module} has to be pruned")
        original, mask = getattr(module, name + "_orig"), getattr(module, name + "_mask")
        return mask.to(dtype=original.dtype) * original

    @classmethod
    def apply(cls, module, name, *args, importance_scores=None, **kwargs):
        """Prune a parameter by this method, on top of what was pruned before."""
        method = cls(*args, **kwargs)
        method._tensor_name = name
        method = with_earlier(module, name, method)
        original = getattr(module, name)
        if importance_scores is not None:
            if importance_scores.shape != original.shape:
                raise AssertionError("importance_scores should have the same shape as parameter "
                                     f"{name} of {module}, got {importance_scores.shape} vs "
                                     f"{original.shape}")  # fmt: skip
        else:
            importance_scores = original
        first = not hasattr(module, name + "_orig")
        if first:
            default = original.detach().new_ones(original.shape)
        else:
            default = getattr(module, name + "_mask").detach().clone()
        mask = method.compute_mask(importance_scores, default_mask=default)
        if first:
            module.register_parameter(name + "_orig", original)
            del module._parameters[name]
        module.register_buffer(name + "_mask", mask)
        setattr(module, name, method.apply_mask(module))
        module.register_forward_pre_hook(method)
        return method

    def prune(self, t, default_mask=None, importance_scores=None):
        """A tensor pruned by this method."""
        scores = t if importance_scores is None else importance_scores
        if scores.shape != t.shape:
            raise AssertionError("importance_scores should have the same shape as tensor t")
        default_mask = t.new_ones(t.shape) if default_mask is None else default_mask
        return t * self.compute_mask(scores, default_mask=default_mask)

    def remove(self, module):
        """Make the pruned parameter an ordinary one again, with its zeros."""
        name = self._tensor_name
        if name is None:
            raise AssertionError(f"Module {module} has to be pruned before pruning can be removed")
        weight = self.apply_mask(module)
        if hasattr(module, name):
            delattr(module, name)
        original = module._parameters[name + "_orig"]
        original.data = weight.data
        del module._parameters[name + "_orig"], module._buffers[name + "_mask"]
        setattr(module, name, original)


def with_earlier(module, name, method):
    """Together with the method that pruned this parameter before, whose hook goes."""
    for key, hook in list(module._forward_pre_hooks.items()):
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            del module._forward_pre_hooks[key]
            if isinstance(hook, PruningContainer):
                hook.add_pruning_method(method)
                return hook
            container = PruningContainer(hook)
            container.add_pruning_method(method)
            return container
    return method


class PruningContainer(BasePruningMethod):
    """Several methods, one after the other."""

    def __init__(self, *args):
        self._pruning_methods = ()
        if len(args) == 1 and not isinstance(args[0], Iterable):
            self._tensor_name = args[0]._tensor_name
            self.add_pruning_method(args[0])
        else:
            methods = args[0] if len(args) == 1 and isinstance(args[0], Iterable) else args
            for method in methods:
                if not self._pruning_methods and method is not None:
                    self._tensor_name = method._tensor_name
                self.add_pruning_method(method)

    def add_pruning_method(self, method):
        """One more method, of the same parameter."""
        if method is not None and not isinstance(method, BasePruningMethod):
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if method is not None and self._tensor_name != method._tensor_name:
            raise ValueError("Can only add pruning methods acting on the parameter named "
                             f"'{self._tensor_name}' to PruningContainer {self}. Found "
                             f"'{method._tensor_name}'")  # fmt: skip
        self._pruning_methods += (method,)

    def __len__(self):
        return len(self._pruning_methods)

    def __iter__(self):
        return iter(self._pruning_methods)

    def __getitem__(self, index):
        return self._pruning_methods[index]

    def compute_mask(self, t, default_mask):
        """The last method's mask, of what the earlier ones left."""
        method = self._pruning_methods[-1]
        mask = default_mask.to(dtype=t.dtype)
        if method.PRUNING_TYPE == "global":
            places = (slice(None),) * t.dim()
        elif method.PRUNING_TYPE == "structured":
            dim = method.dim % t.dim()
            others = tuple(d for d in range(t.dim()) if d != dim)
            places = (slice(None),) * dim + (mask.sum(others) != 0,)
        elif method.PRUNING_TYPE == "unstructured":
            places = mask == 1
        else:
            raise ValueError(f"Unrecognized PRUNING_TYPE {method.PRUNING_TYPE}")
        new = method.compute_mask(t[places], default_mask=mask[places])
        mask = mask.clone()
        mask[places] = new.to(dtype=mask.dtype)
        return mask


class Identity(BasePruningMethod):
    """Prunes nothing."""

    def compute_mask(self, t, default_mask):
        return default_mask


class _ByAmount(BasePruningMethod):
    """Prunes a share, or a number of, elements."""

    def __init__(self, amount):
        check_amount(amount)
        self.amount = amount

    def count(self, size):
        n = number_of(self.amount, size)
        check_fits(n, size)
        return n


class RandomUnstructured(_ByAmount):
    """Prunes elements at random."""

    def compute_mask(self, t, default_mask):
        from flambeau import rand_like

        mask, n = default_mask.clone(), self.count(t.nelement())
        if n:
            _, worst = rand_like(t.detach()).view(-1).topk(n)
            mask.view(-1)[worst] = 0
        return mask


class L1Unstructured(_ByAmount):
    """Prunes the elements nearest to zero."""

    def compute_mask(self, t, default_mask):
        mask, n = default_mask.clone(), self.count(t.nelement())
        if n:
            _, worst = t.detach().abs().reshape(-1).topk(n, largest=False)
            mask.view(-1)[worst] = 0
        return mask


class _Structured(_ByAmount):
    """Prunes whole slices along a dim."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount, dim=-1):
        super().__init__(amount)
        self.dim = dim

    def compute_mask(self, t, default_mask):
        check_structured(t)
        size = t.shape[self.dim]
        n = self.count(size)
        if not n:
            return default_mask
        kept = t.new_ones((size,))
        kept[self.worst(t, n)] = 0
        view = [1] * t.dim()
        view[self.dim] = size
        return default_mask.to(dtype=t.dtype) * kept.view(view)


class RandomStructured(_Structured):
    """Prunes slices at random."""

    def worst(self, t, n):
        from flambeau import rand

        return rand(t.shape[self.dim]).topk(n, largest=False)[1]


class LnStructured(_Structured):
    """Prunes the slices with the smallest norms."""

    def __init__(self, amount, n, dim=-1):
        super().__init__(amount, dim)
        self.n = n

    def worst(self, t, n):
        dim = self.dim % t.dim()
        others = tuple(d for d in range(t.dim()) if d != dim)
        return t.detach().norm(self.n, others).topk(n, largest=False)[1]


class CustomFromMask(BasePruningMethod):
    """Prunes what a given mask says."""

    PRUNING_TYPE = "global"

    def __init__(self, mask):
        self.mask = mask

    def compute_mask(self, t, default_mask):
        if default_mask.shape != self.mask.shape:
            raise AssertionError("mask shapes must match")
        return default_mask * self.mask.to(dtype=default_mask.dtype)


# ------------------------------------------------------------------ functions


def identity(module, name):
    """Give a parameter a mask that prunes nothing."""
    Identity.apply(module, name)
    return module


def random_unstructured(module, name, amount):
    """Prune a share (or a number) of a parameter's elements at random."""
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module, name, amount, importance_scores=None):
    """Prune the elements that are nearest to zero, or score lowest."""
    L1Unstructured.apply(module, name, amount=amount, importance_scores=importance_scores)
    return module


def random_structured(module, name, amount, dim):
    """Prune slices along a dim at random."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(module, name, amount, n, dim, importance_scores=None):
    """Prune the slices along a dim with the smallest n-norms."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module, name, mask):
    """Prune what a mask says."""
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(parameters, pruning_method, importance_scores=None, **kwargs):
    """Prune elements of several parameters, chosen among all of them."""
    from flambeau import cat

    if not isinstance(parameters, Iterable):
        raise TypeError("global_unstructured(): parameters is not an Iterable")
    parameters = list(parameters)
    scores = {} if importance_scores is None else importance_scores
    if not isinstance(scores, dict):
        raise TypeError("global_unstructured(): importance_scores must be of type dict")
    values = [scores.get((m, n), getattr(m, n)) for m, n in parameters]
    flat = cat([v.detach().reshape(-1) for v in values])
    masks = [getattr(m, n + "_mask", v.new_ones(v.shape)) for (m, n), v in zip(parameters, values)]
    container = PruningContainer()
    container._tensor_name = "temp"
    method = pruning_method(**kwargs)
    method._tensor_name = "temp"
    container.add_pruning_method(method)
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError('Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. '
                        f"Found method {pruning_method} of type "
                        f"{method.PRUNING_TYPE}")  # fmt: skip
    final = container.compute_mask(flat, cat([mask.reshape(-1) for mask in masks]))
    start = 0
    for (module, name), value in zip(parameters, values):
        count = value.numel()
        custom_from_mask(module, name, final[start : start + count].view(value.shape))
        start += count


def remove(module, name):
    """Make a pruned parameter an ordinary one again, with its zeros."""
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"Parameter '{name}' of module {module} has to be pruned before pruning can "
                     "be removed")  # fmt: skip


def is_pruned(module):
    """Whether something in a module is pruned."""
    return any(isinstance(hook, BasePruningMethod) for part in module.modules()
               for hook in part._forward_pre_hooks.values())  # fmt: skip


def check_amount(amount):
    """A share in [0, 1], or a number."""
    if not isinstance(amount, Real):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    if (isinstance(amount, Integral) and amount < 0) or (
        not isinstance(amount, Integral) and not 0.0 <= float(amount) <= 1.0
    ):
        raise ValueError(f"amount={amount} should either be a float in the range [0, 1] or a "
                         "non-negative integer")  # fmt: skip


def check_fits(n, size):
    if n > size:
        raise ValueError(
            f"amount={n} should be smaller than the number of parameters to prune={size}"
        )


def check_structured(t):
    if t.dim() <= 1:
        raise ValueError("Structured pruning can only be applied to multidimensional tensors. "
                         f"Found tensor of shape {t.shape} with {t.dim()} dims")  # fmt: skip


def number_of(amount, size):
    """How many elements a share, or a number, is."""
    return amount if isinstance(amount, Integral) else round(amount * size)


__all__ = [
    "BasePruningMethod", "CustomFromMask", "Identity", "L1Unstructured", "LnStructured",
    "PruningContainer", "RandomStructured", "RandomUnstructured", "custom_from_mask",
    "global_unstructured", "identity", "is_pruned", "l1_unstructured", "ln_structured",
    "random_structured", "random_unstructured", "remove",
]  # fmt: skip
