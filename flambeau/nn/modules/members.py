"""What a module contains: walks over parameters, buffers, children, and changes to them all."""

import flambeau.ir.dtype as dt
from flambeau.autograd.modes import no_grad


class Members:
    """The part of Module that visits what is in it."""

    def named_members(self, members, prefix, recurse, remove_duplicate):
        """Yield (name, member), each member once; `members` gives a module's own."""
        seen = set()
        walk = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        for path, module in walk if recurse else [(prefix, self)]:
            for name, member in members(module):
                if member is None or member in seen:
                    continue
                if remove_duplicate:
                    seen.add(member)
                yield (f"{path}.{name}" if path else name), member

    def named_parameters(self, prefix="", recurse=True, remove_duplicate=True):
        """Yield (name, parameter) of this module and those below it."""
        own = lambda module: module._parameters.items()  # noqa: E731
        yield from self.named_members(own, prefix, recurse, remove_duplicate)

    def parameters(self, recurse=True):
        """Yield the parameters of this module and those below it."""
        for _, param in self.named_parameters(recurse=recurse):
            yield param

    def named_buffers(self, prefix="", recurse=True, remove_duplicate=True):
        """Yield (name, buffer) of this module and those below it."""
        own = lambda module: module._buffers.items()  # noqa: E731
        yield from self.named_members(own, prefix, recurse, remove_duplicate)

    def buffers(self, recurse=True):
        """Yield the buffers of this module and those below it."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def named_children(self):
        """Yield (name, module) of the modules directly below this one, each once."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self):
        """Yield the modules directly below this one."""
        for _, module in self.named_children():
            yield module

    def named_modules(self, memo=None, prefix="", remove_duplicate=True):
        """Yield (path, module) of this module and all below it."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(memo, path, remove_duplicate)

    def modules(self):
        """Yield this module and all below it."""
        for _, module in self.named_modules():
            yield module

    # ---------------------------------------------------------------- by path

    def get_submodule(self, target):
        """The module at a dotted path."""
        module = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
            module = getattr(module, name)
            if not isinstance(module, Members):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return module

    def get_parameter(self, target):
        """The parameter at a dotted path."""
        return self.get_registered(target, "_parameters", "an nn.Parameter")

    def get_buffer(self, target):
        """The buffer at a dotted path."""
        return self.get_registered(target, "_buffers", "a buffer")

    def get_registered(self, target, registry, kind):
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
        if name not in getattr(module, registry):
            raise AttributeError(f"`{name}` is not {kind}")
        return getattr(module, registry)[name]

    def set_submodule(self, target, module, strict=False):
        """Put a module at a dotted path."""
        if not target:
            raise ValueError("Cannot set the submodule without a target name!")
        path, _, name = target.rpartition(".")
        if not isinstance(module, Members):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        parent = self.get_submodule(path)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{parent._get_name()} has no attribute `{name}`")
        if hasattr(parent, name) and not isinstance(getattr(parent, name), Members):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    # ---------------------------------------------------------------- changes to all

    def apply(self, fn):
        """Call `fn` with every module below this one, then with this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def _apply(self, fn, recurse=True):
        """Replace the content of every parameter, gradient and buffer by `fn` of it."""
        for module in self.children() if recurse else ():
            module._apply(fn)
        for param in self._parameters.values():
            if param is not None:
                replace_content(param, fn)
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
        return self

    def to(self, *args, **kwargs):
        """Move or cast parameters and buffers; only floating point ones are cast."""
        dtype = dtype_among(args, kwargs)
        if dtype is not None and dtype.kind not in "fc":
            raise TypeError("nn.Module.to only accepts floating point or complex dtypes, but got "
                            f"desired dtype={dtype}")  # fmt: skip

        def convert(t):
            if dtype is None or t.dtype.kind in "fc":
                return t.to(*args, **kwargs)
            return t

        return self._apply(convert)

    def type(self, dst_type):
        """Cast all parameters and buffers."""
        return self._apply(lambda t: t.type(dst_type))

    def float(self):
        """Cast floating point parameters and buffers to float32."""
        return self.cast_floats(dt.float32)

    def double(self):
        """Cast floating point parameters and buffers to float64."""
        return self.cast_floats(dt.float64)

    def half(self):
        """Cast floating point parameters and buffers to float16."""
        return self.cast_floats(dt.float16)

    def bfloat16(self):
        """Cast floating point parameters and buffers to bfloat16."""
        return self.cast_floats(dt.bfloat16)

    def cast_floats(self, dtype):
        return self._apply(lambda t: t.to(dtype) if t.is_floating_point() else t)

    def cpu(self):
        """Move parameters and buffers to the CPU, where they are."""
        return self._apply(lambda t: t.cpu())

    def cuda(self, device=None):
        """Move parameters and buffers to a GPU: refused, as by a build without one."""
        return self._apply(lambda t: t.cuda(device))

    def to_empty(self, *, device, recurse=True):
        """Give parameters and buffers fresh memory without values."""
        from flambeau import empty_like

        return self._apply(lambda t: empty_like(t, device=device), recurse=recurse)

    def share_memory(self):
        """Put parameters and buffers into memory that other processes can see."""
        return self._apply(lambda t: t.share_memory_())

    def requires_grad_(self, requires_grad=True):
        """Whether gradients reach the parameters."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none=True):
        """Forget (or zero) the gradients of all parameters."""
        for param in self.parameters():
            if param.grad is not None:
                clear_gradient(param, set_to_none)


def clear_gradient(param, set_to_none):
    """One parameter's part of zero_grad."""
    if set_to_none:
        param.grad = None
    else:
        grad = param.grad
        if grad.grad_fn is not None:
            grad.detach_()
        else:
            grad.requires_grad_(False)
        grad.zero_()


def replace_content(param, fn):
    """Put `fn` of a parameter and of its gradient into the parameter itself."""
    grad = param.grad
    with no_grad():
        new = fn(param)
        if new is param and grad is None:
            return
        if grad is not None:
            param.grad = None
            grad_new = fn(grad)
        param.data = new
        if grad is not None:
            param.grad = grad_new.requires_grad_(grad.requires_grad)


def dtype_among(args, kwargs):
    """The dtype that `to(...)` was asked for, if any."""
    for value in (*args, *kwargs.values()):
        if isinstance(value, dt.DType):
            return value
        if hasattr(value, "_spec"):
            return value._spec.dtype
    return None
