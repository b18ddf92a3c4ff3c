"""Hooks of modules: around forward, around backward, for one module or for all."""

import warnings
from collections import OrderedDict

from flambeau.nn.modules.old_hooks import hook_last_node
from flambeau.utils.hooks import RemovableHandle

GLOBAL_PRE, GLOBAL_FORWARD = OrderedDict(), OrderedDict()
GLOBAL_BACKWARD, GLOBAL_BACKWARD_PRE = OrderedDict(), OrderedDict()
_always_called, _with_kwargs = OrderedDict(), OrderedDict()
_global_parameter_registration_hooks = OrderedDict()
_global_buffer_registration_hooks = OrderedDict()
_global_module_registration_hooks = OrderedDict()
_full = {"global": None}  # of which form the hooks of all modules are; None before the first
ever = False  # whether any hook was ever registered: without, a module's call is its forward


def hooked(module):
    """Whether anything but forward has to be called."""
    own = module.__dict__
    return bool(own["_forward_hooks"] or own["_forward_pre_hooks"] or own["_backward_hooks"]
                or own["_backward_pre_hooks"] or GLOBAL_PRE or GLOBAL_FORWARD
                or GLOBAL_BACKWARD or GLOBAL_BACKWARD_PRE)  # fmt: skip


class Hooks:
    """The part of Module that keeps hooks and calls them."""

    def register_forward_pre_hook(self, hook, *, prepend=False, with_kwargs=False):
        """Call hook(module, args) before forward; what it returns replaces args."""
        extra = self._forward_pre_hooks_with_kwargs
        return add_hook(self._forward_pre_hooks, hook, prepend, [(extra, with_kwargs)])

    def register_forward_hook(self, hook, *, prepend=False, with_kwargs=False, always_call=False):
        """Call hook(module, args, output) after forward; what it returns replaces the output."""
        extras = [(self._forward_hooks_with_kwargs, with_kwargs),
                  (self._forward_hooks_always_called, always_call)]  # fmt: skip
        return add_hook(self._forward_hooks, hook, prepend, extras)

    def register_full_backward_hook(self, hook, prepend=False):
        """Call hook(module, grad_input, grad_output) when gradients for the inputs are there."""
        if self._is_full_backward_hook is False:
            raise RuntimeError("Cannot use both regular backward hooks and full backward hooks on "
                               "a single Module. Please use only one of them.")  # fmt: skip
        self._is_full_backward_hook = True
        return add_hook(self._backward_hooks, hook, prepend)

    def register_full_backward_pre_hook(self, hook, prepend=False):
        """Call hook(module, grad_output) before gradients pass through the module."""
        return add_hook(self._backward_pre_hooks, hook, prepend)

    def register_backward_hook(self, hook):
        """The old form, which sees the last node of forward alone; use the full one."""
        if self._is_full_backward_hook is True:
            raise RuntimeError("Cannot use both regular backward hooks and full backward hooks on "
                               "a single Module. Please use only one of them.")  # fmt: skip
        self._is_full_backward_hook = False
        return add_hook(self._backward_hooks, hook)

    def call_with_hooks(self, args, kwargs):
        """forward, with everything that is hooked to it."""
        try:
            return self.call_all(args, kwargs)
        except Exception:
            self.call_after_failure(args, kwargs)
            raise

    def call_all(self, args, kwargs):
        args, kwargs = self.before_forward(args, kwargs)
        passage = Passage.of(self)
        if passage is not None:
            args = passage.enter(args)
        result = self.forward(*args, **kwargs)
        for key, hook in (*GLOBAL_FORWARD.items(), *self._forward_hooks.items()):
            given = (args, kwargs) if key in self._forward_hooks_with_kwargs or (
                key in _with_kwargs) else (args,)  # fmt: skip
            changed = hook(self, *given, result)
            result = result if changed is None else changed
        result = result if passage is None else passage.leave(result)
        old = old_backward_hooks(self)
        if old:
            hook_last_node(self, args, result, old)
        return result

    def before_forward(self, args, kwargs):
        for key, hook in (*GLOBAL_PRE.items(), *self._forward_pre_hooks.items()):
            if key in self._forward_pre_hooks_with_kwargs:
                changed = hook(self, args, kwargs)
                if changed is None:
                    continue
                if not (isinstance(changed, tuple) and len(changed) == 2):
                    raise RuntimeError("forward pre-hook must return None or a tuple of "
                                       f"(new_args, new_kwargs), but got {changed}.")  # fmt: skip
                args, kwargs = changed
            else:
                changed = hook(self, args)
                if changed is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)
        return args, kwargs

    def call_after_failure(self, args, kwargs):
        """Hooks that were registered with always_call see a failed forward too."""
        for key in _always_called:
            given = (args, kwargs) if key in _with_kwargs else (args,)
            GLOBAL_FORWARD[key](self, *given, None)
        for key in self._forward_hooks_always_called:
            hook = self._forward_hooks[key]
            given = (args, kwargs) if key in self._forward_hooks_with_kwargs else (args,)
            hook(self, *given, None)


class Passage:
    """Lets gradients at the borders of one module call be seen by its backward hooks."""

    def __init__(self, module, hooks, pre_hooks):
        self.module, self.hooks, self.pre_hooks = module, hooks, pre_hooks
        self.grad_output = None
        self.inputs = 0
        self.places = ()

    @classmethod
    def of(cls, module):
        hooks = [] if _full["global"] is False else list(GLOBAL_BACKWARD.values())
        if module._is_full_backward_hook is not False:
            hooks += module._backward_hooks.values()
        pre_hooks = [*GLOBAL_BACKWARD_PRE.values(), *module._backward_pre_hooks.values()]
        return cls(module, hooks, pre_hooks) if hooks or pre_hooks else None

    def enter(self, args):
        """Pass the inputs through a node that ends in `reached_inputs`."""
        places = [i for i, a in enumerate(args) if is_tensor(a)]
        self.inputs, self.places = len(args), places
        if not self.hooks or not any(args[i].requires_grad for i in places):
            self.places = ()
            return args
        return replaced(args, places, border(self.reached_inputs, [args[i] for i in places]))

    def leave(self, result):
        """Pass the outputs through a node that ends in `reached_outputs`."""
        outs = result if isinstance(result, (tuple, list)) else (result,)
        if not isinstance(result, tuple) and not is_tensor(result):
            warnings.warn("For backward hooks to be called, module output should be a Tensor or a "
                          f"tuple of Tensors but received {type(result)}",
                          stacklevel=6)  # fmt: skip
            return result
        places = [i for i, a in enumerate(outs) if is_tensor(a)]
        if not any(outs[i].requires_grad for i in places):
            return result
        self.outputs, self.out_places = len(outs), places
        outs = replaced(
            tuple(outs), places, border(self.reached_outputs, [outs[i] for i in places])
        )
        if isinstance(result, tuple) and hasattr(result, "_fields"):
            return type(result)(*outs)
        return type(result)(outs) if isinstance(result, (tuple, list)) else outs[0]

    def reached_outputs(self, grads):
        """Gradients of the outputs are there: pre-hooks may change them."""
        spread_grads = spread(grads, self.out_places, self.outputs)
        for hook in self.pre_hooks:
            changed = hook(self.module, spread_grads)
            if changed is not None:
                spread_grads = changed if isinstance(changed, tuple) else (changed,)
        self.grad_output = spread_grads
        if not self.places:  # no input wants a gradient: this is the last time we are passed
            for hook in self.hooks:
                if hook(self.module, (None,) * self.inputs, self.grad_output) is not None:
                    raise RuntimeError("backward hook for Modules where no input requires gradient "
                                       "should always return None or None for all "
                                       "gradients.")  # fmt: skip
        return tuple(spread_grads[i] for i in self.out_places)

    def reached_inputs(self, grads):
        """Gradients of the inputs are there: hooks may change them."""
        grad_input = spread(grads, self.places, self.inputs)
        for hook in self.hooks:
            changed = hook(self.module, grad_input, self.grad_output)
            if changed is not None:
                grad_input = changed if isinstance(changed, tuple) else (changed,)
                if len(grad_input) != self.inputs:
                    raise RuntimeError("Backward hook returned an invalid number of grad_input, "
                                       f"got {len(grad_input)}, but expected "
                                       f"{self.inputs}")  # fmt: skip
        return tuple(grad_input[i] for i in self.places)


def border(react, tensors):
    """The same tensors behind one node whose backward is `react(grads)`."""
    from flambeau.autograd.function import Function

    class BackwardHookFunction(Function):
        @staticmethod
        def forward(ctx, *tensors):
            ctx.set_materialize_grads(False)
            ctx.mark_non_differentiable(*[t for t in tensors if not t.requires_grad])
            return tuple(t.view_as(t) for t in tensors)

        @staticmethod
        def backward(ctx, *grads):
            return react(grads)

    return BackwardHookFunction.apply(*tensors)


def old_backward_hooks(module):
    """Hooks of the old form, of all modules and of this one."""
    hooks = list(GLOBAL_BACKWARD.values()) if _full["global"] is False else []
    if module._is_full_backward_hook is False:
        hooks += module._backward_hooks.values()
    return hooks


def is_tensor(value):
    return hasattr(value, "_spec")


def replaced(values, places, new):
    """A tuple with the values at some places exchanged."""
    exchanged = dict(zip(places, new))
    return tuple(exchanged.get(i, v) for i, v in enumerate(values))


def spread(values, places, count):
    """Values at their places among None."""
    found = dict(zip(places, values))
    return tuple(found.get(i) for i in range(count))


def add_hook(hooks, hook, prepend=False, extras=()):
    """Keep a hook; its handle takes it out of every dictionary that mentions it."""
    global ever
    ever = True
    handle = RemovableHandle(hooks, extra_dict=[d for d, _ in extras])
    hooks[handle.id] = hook
    for extra, wanted in extras:
        if wanted:
            extra[handle.id] = True
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle


def register_module_forward_pre_hook(hook):
    """Call hook(module, args) before every module's forward."""
    return add_hook(GLOBAL_PRE, hook)


def register_module_forward_hook(hook, *, with_kwargs=False, always_call=False):
    """Call hook(module, args, output) after every module's forward."""
    extras = [(_with_kwargs, with_kwargs), (_always_called, always_call)]
    return add_hook(GLOBAL_FORWARD, hook, extras=extras)


def set_form(full):
    """All hooks of all modules have one form."""
    if _full["global"] is (not full):
        raise RuntimeError("Cannot use both regular backward hooks and full backward hooks as a "
                           "global Module hook. Please use only one of them.")  # fmt: skip
    _full["global"] = full


def register_module_backward_hook(hook):
    """The old form of register_module_full_backward_hook."""
    set_form(False)
    return add_hook(GLOBAL_BACKWARD, hook)


def register_module_full_backward_hook(hook):
    """Call hook(module, grad_input, grad_output) in every module's backward."""
    set_form(True)
    return add_hook(GLOBAL_BACKWARD, hook)


def register_module_parameter_registration_hook(hook):
    """Call hook(module, name, parameter) for each that is registered; it may return another."""
    return add_hook(_global_parameter_registration_hooks, hook)


def register_module_buffer_registration_hook(hook):
    """Call hook(module, name, buffer) for each that is registered; it may return another."""
    return add_hook(_global_buffer_registration_hooks, hook)


def register_module_module_registration_hook(hook):
    """Call hook(module, name, submodule) for each that is registered; it may return another."""
    return add_hook(_global_module_registration_hooks, hook)


def registered(registry, module, name, value):
    """What registration hooks make of a value."""
    for hook in registry.values():
        changed = hook(module, name, value)
        value = value if changed is None else changed
    return value


def register_module_full_backward_pre_hook(hook):
    """Call hook(module, grad_output) before every module's backward."""
    return add_hook(GLOBAL_BACKWARD_PRE, hook)
