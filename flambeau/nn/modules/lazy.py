"""LazyModuleMixin: layers that learn the sizes of their parameters from the first input."""

from flambeau.autograd.modes import no_grad
from flambeau.nn.parameter import is_lazy


class LazyModuleMixin:
    """Mixed into a Module, before it: `initialize_parameters(*input)` runs at the first call.

    Afterwards the module is an instance of `cls_to_become`, where that is given.
    """

    cls_to_become = None

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._load_hook = self._register_load_state_dict_pre_hook(self._lazy_load_hook)
        self._initialize_hook = self.register_forward_pre_hook(
            self._infer_parameters, with_kwargs=True
        )

    def initialize_parameters(self, *args, **kwargs):
        """Give the parameters their sizes; every lazy layer has its own."""
        raise NotImplementedError(
            f"initialize_parameters is not implemented for {type(self).__name__}"
        )

    def has_uninitialized_params(self):
        """Whether a parameter or buffer of this module waits for its size."""
        return any(map(is_lazy, (*self._parameters.values(), *self._buffers.values())))

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        """What waits for its size is saved as it is."""
        for name, tensor in self.saved_members().items():
            kept = is_lazy(tensor) or keep_vars
            destination[prefix + name] = tensor if kept else tensor.detach()

    def _lazy_load_hook(self, state_dict, prefix, local_metadata, strict, missing_keys,
                        unexpected_keys, error_msgs):  # fmt: skip
        """Take sizes from the values that are about to be loaded."""
        for name, target in self.saved_members().items():
            value = state_dict.get(prefix + name)
            if value is not None and is_lazy(target) and not is_lazy(value):
                with no_grad():
                    target.materialize(value.shape)

    def _infer_parameters(self, module, args, kwargs=None):
        """Take sizes from the first input, and become an ordinary module."""
        module.initialize_parameters(*args, **(kwargs or {}))
        if module.has_uninitialized_params():
            raise RuntimeError(f"module {self._get_name()} has not been fully initialized")
        module._initialize_hook.remove()
        module._load_hook.remove()
        del module._initialize_hook, module._load_hook
        if module.cls_to_become is not None:
            module.__class__ = module.cls_to_become

    def _replicate_for_data_parallel(self):
        raise RuntimeError(
            "Modules with uninitialized parameters can't be used with `DataParallel`. Run a dummy "
            "forward pass to correctly initialize the modules"
        )
