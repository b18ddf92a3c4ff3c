"""Module: the base class of all networks and layers."""

from flambeau.nn.modules import hooks as h
from flambeau.nn.modules.hooks import (
    Hooks,
    register_module_backward_hook,
    register_module_buffer_registration_hook,
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)
from flambeau.nn.modules.members import Members
from flambeau.nn.modules.registration import Registration
from flambeau.nn.modules.state import State, _IncompatibleKeys


def _forward_unimplemented(self, *args):
    """Define the computation that every call performs; every subclass has its own."""
    raise NotImplementedError(
        f'Module [{type(self).__name__}] is missing the required "forward" function'
    )


class Module(Registration, Members, Hooks, State):
    """A part of a network: parameters, buffers, children, and a forward computation."""

    forward = _forward_unimplemented

    def __call__(self, *args, **kwargs):
        if h.ever and h.hooked(self):
            return self.call_with_hooks(args, kwargs)
        return self.forward(*args, **kwargs)

    def compile(self, *args, **kwargs):
        """Nothing to do: every module is compiled as it runs."""

    def train(self, mode=True):
        """Training behaviour (dropout, statistics) for this module and those below it."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self):
        """Evaluation behaviour; the same as train(False)."""
        return self.train(False)

    def _get_name(self):
        return type(self).__name__

    def extra_repr(self):
        """What to print between the parentheses; layers override it."""
        return ""

    def __repr__(self):
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({name}): {indented(repr(m))}" for name, m in self._modules.items()]
        if not children and len(lines) <= 1:
            return f"{self._get_name()}({extra})"
        return self._get_name() + "(\n  " + "\n  ".join(lines + children) + "\n)"


def indented(text, spaces=2):
    """All lines but the first moved to the right."""
    first, *rest = text.split("\n")
    return "\n".join([first, *(" " * spaces + line for line in rest)])


__all__ = [
    "Module", "_IncompatibleKeys", "register_module_backward_hook",
    "register_module_buffer_registration_hook", "register_module_forward_hook",
    "register_module_forward_pre_hook", "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook", "register_module_module_registration_hook",
    "register_module_parameter_registration_hook",
]  # fmt: skip
