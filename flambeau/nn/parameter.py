"""Parameter and Buffer: tensors that a Module registers when they are assigned to it."""

from flambeau.autograd.leaves import refuse_inference
from flambeau.tensor import Tensor
from flambeau.trace.tensor import assemble
from flambeau.trace.trie import here


class _Kinds(type(Tensor)):
    """A tensor of any class counts as a Parameter or Buffer where it is marked so."""

    def __instancecheck__(cls, instance):
        if super().__instancecheck__(instance):
            return True
        mark = cls.__dict__.get("_mark")
        return mark is not None and isinstance(instance, Tensor) and hasattr(instance, mark)


def same_memory(cls, data, requires_grad):
    """A tensor of another class on the memory of `data`, without its history."""
    if requires_grad and data.spec.dtype.kind not in "fc":
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
    if requires_grad:
        refuse_inference(data.storage)
    out = assemble(cls, data.storage, data.spec.with_grad(bool(requires_grad)), data.offset)
    if data.meta is not None and data.meta.counter is not None:
        out._meta().counter = data.meta.counter
    return out


def no_elements():
    """What a Parameter or Buffer without data holds."""
    from flambeau.tensor import FUNCTIONS

    return FUNCTIONS["full"]((0,), 0, dtype=here.stretch.mode.default_dtype)


class Parameter(Tensor, metaclass=_Kinds):
    """A tensor that is a parameter of the module to which it is assigned."""

    __slots__ = ()
    _mark = "_is_param"

    def __new__(cls, data=None, requires_grad=True):
        return same_memory(cls, no_elements() if data is None else data, requires_grad)

    def __init__(self, data=None, requires_grad=True):
        pass  # __new__ has done it

    def __deepcopy__(self, memo):
        known = memo.get(id(self))
        if known is None:
            data = self.detach().clone(memory_format="torch.preserve_format")
            known = memo[id(self)] = type(self)(data, self.requires_grad)
        return known

    def __repr__(self):
        return "Parameter containing:\n" + self._text("tensor(")

    def __reduce_ex__(self, protocol):
        return rebuild_parameter, (type(self), self.detach(), self.requires_grad)


def rebuild_parameter(cls, data, requires_grad):
    """A pickled parameter again."""
    return cls(data, requires_grad)


class Buffer(Tensor, metaclass=_Kinds):
    """Makes the tensor given a buffer of the module to which it is assigned."""

    __slots__ = ()
    _mark = "_is_buffer"

    def __new__(cls, data=None, *, persistent=True):
        data = no_elements() if data is None else data
        out = data.detach().requires_grad_(data.requires_grad)
        out._is_buffer, out.persistent = True, persistent
        return out


__all__ = ["Buffer", "Parameter"]
