"""state_dict and load_state_dict."""

from collections import OrderedDict, namedtuple
from collections.abc import Mapping

from flambeau.autograd.modes import no_grad
from flambeau.nn.modules.hooks import add_hook
from flambeau.nn.parameter import Parameter, is_lazy
from flambeau.tensor import Tensor

EXTRA = "_extra_state"  # the key under which get_extra_state() is kept


class _IncompatibleKeys(namedtuple("IncompatibleKeys", "missing_keys unexpected_keys")):
    """What load_state_dict could not match."""

    __slots__ = ()

    def __repr__(self):
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


class State:
    """The part of Module that saves and loads."""

    _version = 1
    dump_patches = False

    def state_dict(self, *args, destination=None, prefix="", keep_vars=False):
        """The parameters and persistent buffers by their paths."""
        destination, prefix, keep_vars = (*args, *(destination, prefix, keep_vars)[len(args) :])
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        local = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = local
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(
                    destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars
                )
        for hook in self._state_dict_hooks.values():
            changed = hook(self, destination, prefix, local)
            if getattr(hook, "_from_public_api", False):
                if changed is not None:
                    raise RuntimeError("state_dict post-hook must return None")
            elif changed is not None:
                destination = changed
        return destination

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        """This module's own entries."""
        for name, tensor in self.saved_members().items():
            destination[prefix + name] = tensor if keep_vars else tensor.detach()
        if overrides(self, "get_extra_state"):
            destination[prefix + EXTRA] = self.get_extra_state()

    def saved_members(self):
        """Own parameters and persistent buffers."""
        transient = self._non_persistent_buffers_set
        buffers = {k: b for k, b in self._buffers.items() if k not in transient}
        return {k: t for k, t in (*self._parameters.items(), *buffers.items()) if t is not None}

    def get_extra_state(self):
        """What else belongs into the state_dict; to be overridden together with set_extra_state."""
        raise RuntimeError("Reached a code path in Module.get_extra_state() that should never be "
                           "called. Override it to use it.")  # fmt: skip

    def set_extra_state(self, state):
        """Take back what get_extra_state returned."""
        raise RuntimeError("Reached a code path in Module.set_extra_state() that should never be "
                           "called. Override it to use it.")  # fmt: skip

    # ---------------------------------------------------------------- loading

    def load_state_dict(self, state_dict, strict=True, assign=False):
        """Copy values by path into parameters and buffers (or put the given tensors there)."""
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        metadata = getattr(state_dict, "_metadata", None)
        state = OrderedDict(state_dict)
        if metadata is not None:
            state._metadata = metadata
        loading = Loading(metadata or {}, assign)
        loading.visit(self, state, "")
        found = _IncompatibleKeys(loading.missing, loading.unexpected)
        errors = loading.errors
        if strict:
            errors = complaints(found) + errors
        if errors:
            raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t"
                               + "\n\t".join(errors))  # fmt: skip
        return found

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, strict, missing_keys,
                              unexpected_keys, error_msgs):  # fmt: skip
        """Load this module's own entries; problems are added to the lists."""
        for hook in self._load_state_dict_pre_hooks.values():
            hook(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
                 error_msgs)  # fmt: skip
        assign = local_metadata.get("assign_to_params_buffers", False)
        members = self.saved_members()
        for name, target in members.items():
            key = prefix + name
            if key not in state_dict:
                missing_keys.append(key)
                continue
            error = self.load_one(name, key, target, state_dict[key], assign)
            if error:
                error_msgs.append(error)
        if overrides(self, "set_extra_state"):
            if prefix + EXTRA in state_dict:
                self.set_extra_state(state_dict[prefix + EXTRA])
            else:
                missing_keys.append(prefix + EXTRA)
        elif prefix + EXTRA in state_dict:
            unexpected_keys.append(prefix + EXTRA)
        unexpected_keys.extend(self.strangers(state_dict, prefix, members))

    def load_one(self, name, key, target, value, assign):
        """Load one entry; returns what is wrong with it."""
        if not isinstance(value, Tensor):
            return (f'While copying the parameter named "{key}", expected torch.Tensor or '
                    f"Tensor-like object from checkpoint but received {type(value)}")  # fmt: skip
        if is_lazy(target):  # then so is the value: else the load hook has given the target a size
            return None
        if target.ndim == 0 and value.ndim == 1 and value.shape[0] == 1:
            value = value[0]  # what old files hold for 0-dim tensors
        if value.shape != target.shape:
            return (f"size mismatch for {key}: copying a param with shape {value.shape} from "
                    f"checkpoint, the shape in current model is {target.shape}.")  # fmt: skip
        if assign:
            if isinstance(target, Parameter) and not isinstance(value, Parameter):
                value = Parameter(value, requires_grad=target.requires_grad)
            setattr(self, name, value)
        else:
            with no_grad():
                target.copy_(value)
        return None

    def strangers(self, state_dict, prefix, members):
        """Keys under this prefix that nobody owns."""
        for key in state_dict:
            if key.startswith(prefix) and key != prefix + EXTRA:
                name, *below = key[len(prefix) :].split(".", 1)
                if below and name in self._modules:
                    continue
                if below or name not in members:
                    yield key

    # ---------------------------------------------------------------- hooks

    def register_state_dict_post_hook(self, hook):
        """Call hook(module, state_dict, prefix, local_metadata) after state_dict is made."""
        hook._from_public_api = True
        return add_hook(self._state_dict_hooks, hook)

    def _register_state_dict_hook(self, hook):
        return add_hook(self._state_dict_hooks, hook)

    def register_state_dict_pre_hook(self, hook):
        """Call hook(module, prefix, keep_vars) before state_dict is made."""
        return add_hook(self._state_dict_pre_hooks, hook)

    def _register_load_state_dict_pre_hook(self, hook, with_module=False):
        return add_hook(
            self._load_state_dict_pre_hooks, WithModule(hook, self if with_module else None)
        )

    def register_load_state_dict_pre_hook(self, hook):
        """Call hook(module, state_dict, prefix, …) before values are loaded."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def register_load_state_dict_post_hook(self, hook):
        """Call hook(module, incompatible_keys) after values were loaded."""
        return add_hook(self._load_state_dict_post_hooks, hook)


class WithModule:
    """A load hook that may want the module first."""

    def __init__(self, hook, module):
        self.hook, self.module = hook, module

    def __call__(self, *args):
        return self.hook(*args) if self.module is None else self.hook(self.module, *args)


class Loading:
    """One load_state_dict: what is missing, unexpected or wrong."""

    def __init__(self, metadata, assign):
        self.metadata, self.assign = metadata, assign
        self.missing, self.unexpected, self.errors = [], [], []

    def visit(self, module, state, prefix):
        """Load a module, then those below it."""
        local = dict(self.metadata.get(prefix[:-1], {}))
        if self.assign:
            local["assign_to_params_buffers"] = True
        module._load_from_state_dict(
            state, prefix, local, True, self.missing, self.unexpected, self.errors
        )
        for name, child in module._modules.items():
            if child is not None:
                path = f"{prefix}{name}."
                below = {k: v for k, v in state.items() if k.startswith(path)}
                self.visit(child, below, path)
        found = _IncompatibleKeys(self.missing, self.unexpected)
        for hook in module._load_state_dict_post_hooks.values():
            if hook(module, found) is not None:
                raise AssertionError("Hooks registered with ``register_load_state_dict_post_hook`` "
                                     "are not expected to return new values, if incompatible_keys "
                                     "need to be modified, it should be done inplace.")  # fmt: skip


def complaints(found):
    """What strict loading says about keys."""
    errors = []
    for what, keys in (("Missing", found.missing_keys), ("Unexpected", found.unexpected_keys)):
        if keys:
            names = ", ".join(f'"{k}"' for k in keys)
            errors.append(f"{what} key(s) in state_dict: {names}. ")
    return errors


def overrides(module, name):
    """Whether a subclass has its own version of a method."""
    return getattr(type(module), name) is not getattr(State, name)
