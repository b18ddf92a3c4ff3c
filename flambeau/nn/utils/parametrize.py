"""Parameters that are functions of others: `module.weight` computes what a module makes of them.

A module gets a class of its own with a property for each parametrized name; the originals live in
`module.parametrizations.weight`, which is the chain of functions.
"""

import collections
import copy
from contextlib import contextmanager

from flambeau.autograd.modes import no_grad
from flambeau.nn.modules.container import ModuleDict, ModuleList
from flambeau.nn.parameter import Parameter
from flambeau.tensor import Tensor

_depth = 0  # of cached() blocks
_computed = {}  # (id of the module, name) → tensor, within such a block


@contextmanager
def cached():
    """Within this block, each parametrized tensor is computed once."""
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        if not _depth:
            _computed.clear()


class ParametrizationList(ModuleList):
    """The functions that make one tensor, and what they make it of: original, or original0, …"""

    def __init__(self, modules, original, unsafe=False):
        if not modules:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        size, dtype = original.shape, original.dtype
        with no_grad():
            new = self.inverted(original)
        self.is_tensor = isinstance(new, Tensor)
        self.ntensors = 1 if self.is_tensor else len(new)
        if self.is_tensor:
            keep(self, "original", original, new)
        else:
            for number, part in enumerate(new):
                if not isinstance(part, Tensor):
                    raise ValueError("'right_inverse' must return a Tensor or a Sequence of "
                                     f"tensors (list, tuple...). Got element {number} of the "
                                     f"sequence with type {type(part).__name__}.")  # fmt: skip
                kept = Parameter(part) if isinstance(original, Parameter) else part
                kept.requires_grad_(original.requires_grad)
                register(self, f"original{number}", kept)
        if not unsafe:
            self.check(size, dtype)

    def inverted(self, value):
        """What makes this value: right_inverse of the last function first."""
        for module in reversed(self):
            inverse = getattr(module, "right_inverse", None)
            if inverse is None:
                continue
            try:
                value = inverse(value)
            except NotImplementedError:
                continue
        if not isinstance(value, (Tensor, collections.abc.Sequence)):
            raise ValueError("'right_inverse' must return a Tensor or a Sequence of tensors "
                             f"(list, tuple...). Got {type(value).__name__}")  # fmt: skip
        return value

    def check(self, size, dtype):
        """The result looks like what it replaces."""
        result = self()
        if not isinstance(result, Tensor):
            raise ValueError(
                f"A parametrization must return a tensor. Got {type(result).__name__}."
            )
        for what, old, new in (("dtype", dtype, result.dtype), ("shape", size, result.shape)):
            if old != new:
                raise ValueError(f"Registering a parametrization may not change the {what} of the "
                                 "tensor, unless `unsafe` flag is enabled.\n"
                                 f"unparametrized {what}: {old}\n"
                                 f"parametrized {what}: {new}")  # fmt: skip

    def right_inverse(self, value):
        """Set the originals so that the result is `value`."""
        with no_grad():
            for module in reversed(self):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(f"parametrization {type(module).__name__} does not "
                                       "implement right_inverse.")  # fmt: skip
                value = module.right_inverse(value)
            if self.is_tensor:
                set_original(self.original, value)
                return
            if len(value) != self.ntensors:
                raise ValueError("'right_inverse' must return a sequence of tensors of length "
                                 f"{self.ntensors}. Got a sequence of length "
                                 f"{len(value)}.")  # fmt: skip
            for number, part in enumerate(value):
                set_original(getattr(self, f"original{number}"), part)

    def forward(self):
        if self.is_tensor:
            x = self[0](self.original)
        else:
            x = self[0](*(getattr(self, f"original{n}") for n in range(self.ntensors)))
        for module in list(self)[1:]:
            x = module(x)
        return x


def keep(owner, name, original, new):
    """Keep the original tensor itself, with the new content."""
    if original.dtype != new.dtype:
        raise ValueError("When `right_inverse` outputs one tensor, it may not change the dtype.\n"
                         f"original.dtype: {original.dtype}\n"
                         f"right_inverse(original).dtype: {new.dtype}")  # fmt: skip
    set_original(original, new)
    register(owner, name, original)


def set_original(original, new):
    """Put another content into a tensor that others may hold."""
    if not isinstance(new, Tensor):
        raise ValueError(f"`right_inverse` should return a tensor. Got {type(new).__name__}")
    if new is not original:
        original.data = new.detach()


def register(owner, name, tensor):
    """A parameter as a parameter, another tensor as a buffer."""
    if isinstance(tensor, Parameter):
        owner.register_parameter(name, tensor)
    else:
        owner.register_buffer(name, tensor)


# ------------------------------------------------------------------ the module's class


def give_class(module):
    """A class of its own for the module, which holds its properties."""
    old = type(module)

    def getstate(self):
        raise RuntimeError("Serialization of parametrized modules is only supported through "
                           "state_dict(). See:\nhttps://pytorch.org/tutorials/beginner/"
                           "saving_loading_models.html#saving-loading-a-general-checkpoint-for-"
                           "inference-and-or-resuming-training")  # fmt: skip

    def deepcopy(self, memo):
        known = memo.get(id(self))
        if known is not None:
            return known
        replica = self.__new__(type(self))
        memo[id(self)] = replica
        replica.__dict__ = copy.deepcopy(self.__dict__, memo)
        return replica

    members = {"__getstate__": getstate}
    if not hasattr(old, "__deepcopy__"):
        members["__deepcopy__"] = deepcopy
    module.__class__ = type(f"Parametrized{old.__name__}", (old,), members)


def give_property(module, name):
    """Reading the name computes it; writing to it sets the originals."""

    def get(self):
        if not _depth:
            return self.parametrizations[name]()
        key = id(self), name
        if key not in _computed:
            _computed[key] = self.parametrizations[name]()
        return _computed[key]

    def set_(self, value):
        self.parametrizations[name].right_inverse(value)

    setattr(type(module), name, property(get, set_))


def register_parametrization(module, tensor_name, parametrization, *, unsafe=False):
    """Let a module make one of another's tensors; its right_inverse makes the original."""
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        chain = module.parametrizations[tensor_name]
        if not unsafe:
            check_addition(module, tensor_name, parametrization)
        chain.append(parametrization)
        chain.unsafe |= unsafe
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        original = getattr(module, tensor_name)
        chain = ParametrizationList([parametrization], original, unsafe=unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            give_class(module)
            module.parametrizations = ModuleDict()
        give_property(module, tensor_name)
        module.parametrizations[tensor_name] = chain
    else:
        raise ValueError(f"Module '{module}' does not have a parameter, a buffer, or a "
                         f"parametrized element with name '{tensor_name}'")  # fmt: skip
    return module


def check_addition(module, name, parametrization):
    """One more function must not change what the tensor looks like."""
    old = getattr(module, name)
    new = parametrization(old)
    if not isinstance(new, Tensor):
        raise ValueError(f"A parametrization must return a tensor. Got {type(new).__name__}.")
    for what in ("dtype", "shape"):
        if getattr(new, what) != getattr(old, what):
            raise ValueError(f"Registering a parametrization may not change the {what} of the "
                             "tensor, unless the `unsafe` flag is enabled.\n"
                             f"module.{name}.{what}: {getattr(old, what)}\n"
                             f"parametrization(module.{name}).{what}: "
                             f"{getattr(new, what)}")  # fmt: skip
    if hasattr(parametrization, "right_inverse"):
        back = parametrization.right_inverse(new)
        for what in ("dtype", "shape"):
            if not isinstance(back, Tensor) or getattr(back, what) != getattr(old, what):
                raise ValueError("parametrization.right_inverse must return a tensor like the "
                                 "one that was given, unless the `unsafe` flag is "
                                 "enabled.")  # fmt: skip


def is_parametrized(module, tensor_name=None):
    """Whether a module has parametrized tensors, or one of this name."""
    chains = getattr(module, "parametrizations", None)
    if chains is None or not isinstance(chains, ModuleDict):
        return False
    return len(chains) > 0 if tensor_name is None else tensor_name in chains


def remove_parametrizations(module, tensor_name, leave_parametrized=True):
    """Make a tensor an ordinary one again: as it is now, or as the original is."""
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    chain = module.parametrizations[tensor_name]
    if chain.is_tensor:
        tensor = chain.original
        if leave_parametrized:
            with no_grad():
                set_original(tensor, getattr(module, tensor_name))
    elif leave_parametrized:
        result = getattr(module, tensor_name).detach()
        tensor = Parameter(result) if any(True for _ in chain.parameters(recurse=False)) else result
    else:
        raise ValueError("Cannot leave unparametrized (`leave_parametrized=False`) a tensor that "
                         "is parametrized in terms of a sequence of tensors.")  # fmt: skip
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    register(module, tensor_name, tensor)
    if not is_parametrized(module):
        delattr(module, "parametrizations")
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module):
    """The class that a module had before it was parametrized."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(from_module, to_module, tensor_name=None):
    """Give another module the same parametrizations, with the same parameters."""
    if not is_parametrized(from_module):
        return to_module
    if not isinstance(from_module.parametrizations, ModuleDict):
        raise AssertionError("from_module.parametrizations must be a ModuleDict")
    names = list(from_module.parametrizations) if tensor_name is None else [tensor_name]
    for name in names:
        chain = from_module.parametrizations[name]
        if not hasattr(to_module, name):
            register(to_module, name, copy.deepcopy(getattr(from_module, name).detach()))
        for function in chain:
            register_parametrization(to_module, name, function)
        target = to_module.parametrizations[name]
        originals = ["original"] if chain.is_tensor else [
            f"original{n}" for n in range(chain.ntensors)]  # fmt: skip
        for original in originals:
            setattr(target, original, getattr(chain, original))
    return to_module


__all__ = [
    "ParametrizationList", "cached", "is_parametrized", "register_parametrization",
    "remove_parametrizations", "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]  # fmt: skip
