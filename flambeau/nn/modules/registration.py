"""How a module knows its parameters, buffers and children: by assignment and by name."""

from collections import OrderedDict

from flambeau.nn.modules import hooks
from flambeau.nn.parameter import Buffer, Parameter
from flambeau.tensor import Tensor

DICTIONARIES = """_parameters _buffers _modules _backward_pre_hooks _backward_hooks _forward_hooks
    _forward_hooks_with_kwargs _forward_hooks_always_called _forward_pre_hooks
    _forward_pre_hooks_with_kwargs _state_dict_hooks _state_dict_pre_hooks
    _load_state_dict_pre_hooks _load_state_dict_post_hooks""".split()
PARAMETER_HOOKS = hooks._global_parameter_registration_hooks
BUFFER_HOOKS = hooks._global_buffer_registration_hooks
MODULE_HOOKS = hooks._global_module_registration_hooks
PLAIN = frozenset(("_parameters", "_buffers", "_modules"))  # keep insertion order anyway


class Registration:
    """The part of Module that registers what is assigned to it."""

    call_super_init = False

    def __init__(self, *args, **kwargs):
        if not self.call_super_init and (args or kwargs):
            refuse_arguments(type(self).__name__, args, kwargs)
        own = self.__dict__
        own["training"] = True
        for name in DICTIONARIES:
            own[name] = {} if name in PLAIN else OrderedDict()
        own["_non_persistent_buffers_set"] = set()
        own["_is_full_backward_hook"] = None
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    def register_buffer(self, name, tensor, persistent=True):
        """Make a tensor part of the module's state without making it a parameter."""
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        check_name(self, "buffer", name, self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"cannot assign '{kind_of(tensor)}' object to buffer '{name}' "
                            "(torch Tensor or None required)")  # fmt: skip
        if BUFFER_HOOKS:
            tensor = hooks.registered(BUFFER_HOOKS, self, name, tensor)
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def register_parameter(self, name, param):
        """Make a tensor a parameter of the module."""
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot assign parameter before Module.__init__() call")
        check_name(self, "parameter", name, self._parameters)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"cannot assign '{kind_of(param)}' object to parameter '{name}' "
                            "(torch.nn.Parameter or None required)")  # fmt: skip
        if param is not None and param.grad_fn is not None:
            raise ValueError(f"Cannot assign non-leaf Tensor to parameter '{name}'. Model "
                             f"parameters must be created explicitly. To express '{name}' as a "
                             "function of another Tensor, compute the value in the forward() "
                             "method.")  # fmt: skip
        if PARAMETER_HOOKS:
            param = hooks.registered(PARAMETER_HOOKS, self, name, param)
        self._parameters[name] = param

    def add_module(self, name, module):
        """Make another module a child of this one."""
        if module is not None and not isinstance(module, Registration):
            raise TypeError(f"{kind_of(module)} is not a Module subclass")
        if isinstance(name, str) and hasattr(self, name) and name not in self._modules:
            raise KeyError(f"attribute '{name}' already exists")
        if isinstance(name, str) and "." in name:
            raise KeyError(f'module name can\'t contain ".", got: {name}')
        check_name(self, "module", name, self._modules)
        if MODULE_HOOKS:
            module = hooks.registered(MODULE_HOOKS, self, name, module)
        self._modules[name] = module

    def register_module(self, name, module):
        """Another name of add_module."""
        self.add_module(name, module)

    # ---------------------------------------------------------------- attributes

    def __setattr__(self, name, value):
        own = self.__dict__
        params = own.get("_parameters")
        if isinstance(value, Parameter):
            if params is None:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            forget(own, name, ("_buffers", "_modules"))
            self.register_parameter(name, value)
        elif params is not None and name in params:
            if value is not None:
                raise TypeError(f"cannot assign '{kind_of(value)}' as parameter '{name}' "
                                "(torch.nn.Parameter or None expected)")  # fmt: skip
            self.register_parameter(name, value)
        elif isinstance(value, Registration):
            if "_modules" not in own:
                raise AttributeError("cannot assign module before Module.__init__() call")
            forget(own, name, ("_parameters", "_buffers"))
            if MODULE_HOOKS:
                value = hooks.registered(MODULE_HOOKS, self, name, value)
            own["_modules"][name] = value
        elif name in own.get("_modules", ()):
            if value is not None:
                raise TypeError(f"cannot assign '{kind_of(value)}' as child module '{name}' "
                                "(torch.nn.Module or None expected)")  # fmt: skip
            own["_modules"][name] = value
        else:
            set_buffer_or_attribute(self, own, name, value)

    def __getattr__(self, name):
        own = self.__dict__
        for registry in ("_parameters", "_buffers", "_modules"):
            found = own.get(registry)
            if found is not None and name in found:
                return found[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name):
        for registry in (self._parameters, self._buffers, self._modules):
            if name in registry:
                del registry[name]
                self._non_persistent_buffers_set.discard(name)
                return
        super().__delattr__(name)

    def __dir__(self):
        names = [
            *dir(type(self)),
            *self.__dict__,
            *self._parameters,
            *self._modules,
            *self._buffers,
        ]
        return sorted(name for name in names if not name[0].isdigit())

    def __getstate__(self):
        return {k: v for k, v in self.__dict__.items() if k != "_compiled_call_impl"}

    def __setstate__(self, state):
        own = self.__dict__
        for name in DICTIONARIES:
            own.setdefault(name, OrderedDict())
        own.setdefault("_non_persistent_buffers_set", set())
        own.setdefault("_is_full_backward_hook", None)
        own.update(state)
        if any(own[name] for name in DICTIONARIES if name.endswith("hooks")):
            hooks.ever = True


def set_buffer_or_attribute(module, own, name, value):
    """The last cases of an assignment: a buffer, or a plain attribute."""
    buffers = own.get("_buffers")
    if isinstance(value, Buffer) or (buffers is not None and name in buffers):
        if value is not None and not isinstance(value, Tensor):
            raise TypeError(f"cannot assign '{kind_of(value)}' as buffer '{name}' "
                            "(torch.nn.Buffer, torch.Tensor or None expected)")  # fmt: skip
        if buffers is not None and name in buffers and not isinstance(value, Buffer):
            buffers[name] = value
            return
        if buffers is None:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        forget(own, name, ("_parameters", "_modules"))
        module.register_buffer(name, value, getattr(value, "persistent", True))
    else:
        object.__setattr__(module, name, value)


def forget(own, name, registries):
    """A name means one thing only."""
    own.pop(name, None)
    for registry in registries:
        own[registry].pop(name, None)
    if "_buffers" in registries:
        own["_non_persistent_buffers_set"].discard(name)


def check_name(module, kind, name, registry):
    """Refuse names that would not work."""
    if not isinstance(name, str):
        raise TypeError(f"{kind} name should be a string. Got {kind_of(name)}")
    if "." in name:
        raise KeyError(f'{kind} name can\'t contain "."')
    if name == "":
        raise KeyError(f'{kind} name can\'t be empty string ""')
    if hasattr(module, name) and name not in registry:
        raise KeyError(f"attribute '{name}' already exists")


def kind_of(value):
    """What a value is, as error messages call it."""
    return value.type() if isinstance(value, Tensor) else type(value).__name__


def refuse_arguments(name, args, kwargs):
    """Module itself takes no arguments."""
    if kwargs:
        raise TypeError(f"{name}.__init__() got an unexpected keyword argument "
                        f"'{next(iter(kwargs))}'")  # fmt: skip
    raise TypeError(f"{name}.__init__() takes 1 positional argument but {len(args) + 1} were given")
