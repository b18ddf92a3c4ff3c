"""Optimizer: parameter groups, state, and what every step has in common."""

import functools
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from copy import deepcopy
from itertools import chain

from flambeau.nn.modules.hooks import add_hook
from flambeau.optim.state import ParameterState
from flambeau.tensor import Tensor
from flambeau.trace import flush

required = object()
HOOKS = """_optimizer_step_pre_hooks _optimizer_step_post_hooks _optimizer_state_dict_pre_hooks
    _optimizer_state_dict_post_hooks _optimizer_load_state_dict_pre_hooks
    _optimizer_load_state_dict_post_hooks""".split()


class Optimizer:
    """The base class of all optimizers."""

    def take_back(self):
        """Called when what a step recorded failed as it ran; a user's own update needs nothing."""

    def __init__(self, params, defaults):
        if isinstance(params, Tensor):
            raise TypeError("params argument given to the optimizer should be an iterable of "
                            "Tensors "
                            f"or dicts, but got {params.type()}")  # fmt: skip
        self.defaults = defaults
        for name in HOOKS:
            setattr(self, name, OrderedDict())
        self.state = defaultdict(dict)
        self.param_groups = []
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        step = cls.__dict__.get("step")
        if step is not None and not hasattr(step, "hooked"):
            cls.step = with_hooks(step)

    def step(self, closure=None):
        """Update all parameters; subclasses define it."""
        raise NotImplementedError

    def add_param_group(self, param_group):
        """Add parameters with settings of their own."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        group = param_group
        group["params"] = in_order(group["params"])
        split_names(group)
        for param in group["params"]:
            check_parameter(param)
        for name, default in self.defaults.items():
            if default is required and name not in group:
                raise ValueError("parameter group didn't specify a value of required "
                                 f"optimization parameter {name}")  # fmt: skip
            group.setdefault(name, default)
        check_names(self.param_groups, group)
        if len(group["params"]) != len(set(group["params"])):
            warnings.warn("optimizer contains a parameter group with duplicate parameters; in "
                          "future, "
                          "this will cause an error; see "
                          "github.com/pytorch/pytorch/issues/40967 for "
                          "more information", stacklevel=3)  # fmt: skip
        known = set(chain.from_iterable(g["params"] for g in self.param_groups))
        if not known.isdisjoint(group["params"]):
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(group)

    def zero_grad(self, set_to_none=True):
        """Forget (or zero) the gradients of all parameters."""
        for group in self.param_groups:
            for param in group["params"]:
                meta = param._meta
                if meta is None or meta.grad is None:
                    continue
                if set_to_none:
                    meta.grad = None
                else:
                    meta.grad = meta.grad.detach()
                    meta.grad.zero_()

    def __repr__(self):
        lines = [f"{type(self).__name__} ("]
        for number, group in enumerate(self.param_groups):
            lines.append(f"\nParameter Group {number}" if number else "Parameter Group 0")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join(lines) + "\n)"

    def __getstate__(self):
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state):
        self.__dict__.update(state)
        for name in HOOKS:
            self.__dict__.setdefault(name, OrderedDict())
        self.defaults.setdefault("differentiable", False)

    # ---------------------------------------------------------------- saving and loading

    def state_dict(self):
        """Settings and state, with parameters as numbers."""
        for hook in self._optimizer_state_dict_pre_hooks.values():
            hook(self)
        number = {}
        groups = []
        for group in self.param_groups:
            for param in group["params"]:
                number.setdefault(param, len(number))
            packed = {key: value for key, value in group.items() if key != "params"}
            groups.append(packed | {"params": [number[p] for p in group["params"]]})
        state = {number.get(key, key): plain(value) for key, value in self.state.items()}
        result = {"state": state, "param_groups": groups}
        for hook in self._optimizer_state_dict_post_hooks.values():
            changed = hook(self, result)
            result = result if changed is None else changed
        return result

    def load_state_dict(self, state_dict):
        """Take settings and state from a state_dict."""
        state_dict = state_dict.copy()
        for hook in self._optimizer_load_state_dict_pre_hooks.values():
            changed = hook(self, state_dict)
            state_dict = state_dict if changed is None else changed
        saved = deepcopy(state_dict["param_groups"])
        check_groups(self.param_groups, saved)
        numbers = chain.from_iterable(g["params"] for g in saved)
        params = chain.from_iterable(g["params"] for g in self.param_groups)
        param_of = dict(zip(numbers, params))
        state = defaultdict(dict)
        for key, value in state_dict["state"].items():
            param = param_of.get(key)
            state[key if param is None else param] = (
                value if param is None else self.loaded(value, param)
            )
        groups = [restored(old, new) for old, new in zip(self.param_groups, saved)]
        self.__setstate__({"state": state, "param_groups": groups})
        for hook in self._optimizer_load_state_dict_post_hooks.values():
            hook(self)

    def loaded(self, value, param, key=None):
        """A loaded value in the type of the parameter that it belongs to; no copy is made."""
        if isinstance(value, Tensor):
            return value if key == "step" or param.dtype.kind != "f" else value.to(param.dtype)
        if isinstance(value, dict):
            kind = ParameterState if "step" in value else dict
            return kind((k, self.loaded(v, param, k)) for k, v in value.items())
        if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
            return type(value)(self.loaded(v, param) for v in value)
        return value

    # ---------------------------------------------------------------- hooks

    def register_step_pre_hook(self, hook):
        """Call hook(optimizer, args, kwargs) before every step."""
        return add_hook(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook):
        """Call hook(optimizer, args, kwargs) after every step."""
        return add_hook(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook, prepend=False):
        """Call hook(optimizer) before state_dict is made."""
        return add_hook(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook, prepend=False):
        """Call hook(optimizer, state_dict) after state_dict is made."""
        return add_hook(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(self, hook, prepend=False):
        """Call hook(optimizer, state_dict) before a state_dict is loaded."""
        return add_hook(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(self, hook, prepend=False):
        """Call hook(optimizer) after a state_dict was loaded."""
        return add_hook(self._optimizer_load_state_dict_post_hooks, hook, prepend)


_global_pre, _global_post = OrderedDict(), OrderedDict()


def register_optimizer_step_pre_hook(hook):
    """Call hook(optimizer, args, kwargs) before the step of every optimizer."""
    return add_hook(_global_pre, hook)


def register_optimizer_step_post_hook(hook):
    """Call hook(optimizer, args, kwargs) after the step of every optimizer."""
    return add_hook(_global_post, hook)


def with_hooks(step):
    """A step that calls hooks around itself, and after which everything pending runs."""

    @functools.wraps(step)
    def hooked(self, *args, **kwargs):
        if _global_pre or self._optimizer_step_pre_hooks:
            args, kwargs = after_pre_hooks(self, step, args, kwargs)
        result = step(self, *args, **kwargs)
        if _global_post or self._optimizer_step_post_hooks:
            for hook in (*self._optimizer_step_post_hooks.values(), *_global_post.values()):
                hook(self, args, kwargs)
        try:
            flush.flush_current()
        except BaseException:
            self.take_back()
            raise
        return result

    hooked.hooked = True
    return hooked


def after_pre_hooks(optimizer, step, args, kwargs):
    """The arguments of a step, as the hooks before it leave them."""
    for hook in (*_global_pre.values(), *optimizer._optimizer_step_pre_hooks.values()):
        changed = hook(optimizer, args, kwargs)
        if changed is not None:
            if not (isinstance(changed, tuple) and len(changed) == 2):
                raise RuntimeError(f"{step} must return None or a tuple of (new_args, "
                                   f"new_kwargs), but got {changed}.")  # fmt: skip
            args, kwargs = changed
    return args, kwargs


# ------------------------------------------------------------------ groups


def in_order(params):
    """The parameters of a group as a list."""
    if isinstance(params, Tensor):
        return [params]
    if isinstance(params, set):
        raise TypeError("optimizer parameters need to be organized in ordered collections, but the "
                        "ordering of tensors in sets will change between runs. Please use a list "
                        "instead.")  # fmt: skip
    return list(params)


def split_names(group):
    """Pairs (name, parameter) become two lists."""
    params = group["params"]
    named = [isinstance(p, tuple) for p in params]
    if any(named):
        if not all(named):
            raise ValueError("all optimizer params should be with/without names. Some param names "
                             "are missing")  # fmt: skip
        group["param_names"] = [name for name, _ in params]
        group["params"] = [param for _, param in params]


def check_parameter(param):
    """Refuse what cannot be optimized."""
    if not isinstance(param, Tensor):
        raise TypeError("optimizer can only optimize Tensors, but one of the params is "
                        + type(param).__name__)  # fmt: skip
    if not (param.is_leaf or (param._meta is not None and param._meta.retains_grad)):
        raise ValueError("can't optimize a non-leaf Tensor")


def check_names(groups, group):
    """Names are given for all groups or for none."""
    if groups and ("param_names" in groups[0]) != ("param_names" in group):
        have = "with" if "param_names" in group else "without"
        other = "without" if have == "with" else "with"
        raise ValueError("all optimizer param groups should be with/without names. cannot add "
                         f"param group {have} names to the optimizer {other} names")  # fmt: skip


def check_groups(groups, saved):
    """Loaded groups must be as many and as large."""
    if len(groups) != len(saved):
        raise ValueError("loaded state dict has a different number of parameter groups")
    if any(len(g["params"]) != len(s["params"]) for g, s in zip(groups, saved)):
        raise ValueError("loaded state dict contains a parameter group that doesn't match the size "
                         "of optimizer's group")  # fmt: skip


def restored(group, saved):
    """Loaded settings with the optimizer's own parameters."""
    saved["params"] = group["params"]
    if "param_names" in group:
        saved.setdefault("param_names", group["param_names"])
    return saved


def plain(value):
    """A parameter's state as an ordinary dictionary."""
    return dict(value.items()) if isinstance(value, ParameterState) else value
