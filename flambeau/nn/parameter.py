"""Parameter and Buffer: tensors that a Module registers when they are assigned to it."""

from flambeau.autograd.leaves import refuse_inference
from flambeau.tensor import Tensor, without_override
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
    if requires_grad and data._spec.dtype.kind not in "fc":
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
    if requires_grad:
        refuse_inference(data._storage)
    out = assemble(cls, data._storage, data._spec.with_grad(bool(requires_grad)), data._offset)
    if data._meta is not None and data._meta.counter is not None:
        out._made_meta().counter = data._meta.counter
    return out


def no_elements():
    """What a Parameter or Buffer without data holds."""
    from flambeau.tensor import FUNCTIONS

    return FUNCTIONS["full"]((0,), 0, dtype=here.stretch.mode.default_dtype)


class Parameter(Tensor, metaclass=_Kinds):
    """A tensor that is a parameter of the module to which it is assigned."""

    __slots__ = ()
    __torch_function__ = staticmethod(without_override)
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
        from flambeau._utils import reduce_parameter

        return reduce_parameter(self)


class Buffer(Tensor, metaclass=_Kinds):
    """Makes the tensor given a buffer of the module to which it is assigned."""

    __slots__ = ()
    __torch_function__ = staticmethod(without_override)
    _mark = "_is_buffer"

    def __new__(cls, data=None, *, persistent=True):
        data = no_elements() if data is None else data
        out = data.detach().requires_grad_(data.requires_grad)
        out._is_buffer, out.persistent = True, persistent
        return out


# ------------------------------------------------------------------ sizes known later


def is_lazy(param):
    """Whether a parameter or buffer still waits for its size."""
    return isinstance(param, UninitializedTensorMixin)


class UninitializedTensorMixin:
    """A parameter or buffer whose size is known when data comes; until then it has no elements.

    Everything that reads a tensor reads its `_spec`, which is refused here; the few things that
    make sense without a size read it under its other name.
    """

    __slots__ = ()
    _known = Tensor._spec  # the slot itself

    @property
    def _spec(self):
        raise ValueError(
            "Attempted to use an uninitialized parameter. This error happens when you are using a "
            "`LazyModule` or explicitly manipulating "
            f"`torch.nn.parameter.{type(self).__name__}` objects. When using LazyModules Call "
            "`forward` with a dummy batch to initialize the parameters before calling torch "
            "functions"
        )

    @_spec.setter
    def _spec(self, spec):
        self._known = spec

    def materialize(self, shape, device=None, dtype=None):
        """Become a tensor of this size, whose content nobody knows."""
        from flambeau import empty

        dtype = self._known.dtype if dtype is None else dtype
        self.data = empty(shape, dtype=dtype, device=device)
        self.__class__ = self.cls_to_become

    @property
    def shape(self):
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually "
            "happens in `load_state_dict` when trying to load an uninitialized parameter into an "
            "initialized one. Call `forward` to initialize the parameters before accessing their "
            "attributes."
        )

    dtype = property(lambda self: self._known.dtype)
    ndim = property(lambda self: len(self._known.size))
    is_leaf = property(lambda self: True)
    grad_fn = property(lambda self: None)

    @property
    def requires_grad(self):
        return self._known.requires_grad

    @requires_grad.setter
    def requires_grad(self, value):
        self._known = self._known.with_grad(bool(value))

    @property
    def data(self):
        return without_elements(self).detach()

    @data.setter
    def data(self, new):
        self._storage, self._offset, self._stretch = new._storage, new._offset, None
        self._known = new._spec.with_grad(self._known.requires_grad)

    def share_memory_(self):
        raise RuntimeError(
            "Can't share memory on an uninitialized parameter or buffer. Call `forward` to "
            "initialize the parameters before calling `module.share_memory()`."
        )

    def __repr__(self):
        return f"<{type(self).__name__}>"

    def __reduce_ex__(self, protocol):
        return type(self), (self._known.requires_grad,)


def without_elements(lazy):
    """The empty tensor that an uninitialized one is underneath."""
    return assemble(Tensor, lazy._storage, lazy._known, lazy._offset)


def usable(name):
    """A method that works before the size is known."""

    def method(self, *args, **kwargs):
        plain = without_elements(self)
        result = getattr(plain, name)(*args, **kwargs)
        return self if result is plain else result

    method.__name__ = name
    return method


for _name in """size to cpu cuda half float double char short int long is_floating_point is_complex
        get_device""".split():
    setattr(UninitializedTensorMixin, _name, usable(_name))


class UninitializedParameter(UninitializedTensorMixin, Parameter):
    """A parameter whose size is known when data comes: `materialize` makes it a Parameter."""

    __slots__ = ()
    cls_to_become = Parameter

    def __new__(cls, requires_grad=True, device=None, dtype=None):
        from flambeau import empty

        return same_memory(cls, empty(0, device=device, dtype=dtype), requires_grad)

    def __init__(self, requires_grad=True, device=None, dtype=None):
        pass  # __new__ has done it

    def __deepcopy__(self, memo):
        known = memo.get(id(self))
        if known is None:
            known = memo[id(self)] = type(self)(self.requires_grad, dtype=self.dtype)
        return known


class UninitializedBuffer(UninitializedTensorMixin, Tensor):
    """A buffer whose size is known when data comes: `materialize` makes it a tensor."""

    __slots__ = ()
    __torch_function__ = staticmethod(without_override)
    cls_to_become = Tensor

    def __new__(cls, requires_grad=False, device=None, dtype=None, persistent=True):
        from flambeau import empty

        out = same_memory(cls, empty(0, device=device, dtype=dtype), requires_grad)
        out._is_buffer, out.persistent = True, persistent
        return out

    def __init__(self, requires_grad=False, device=None, dtype=None, persistent=True):
        pass  # __new__ has done it


__all__ = [
    "Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter",
    "UninitializedTensorMixin", "is_lazy",
]  # fmt: skip
