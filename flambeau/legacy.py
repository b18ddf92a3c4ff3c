"""Methods of older days, and those of other kinds of tensors as dense tensors answer them."""

from __future__ import annotations

import builtins
import math
import warnings
from typing import Any

from flambeau.device import channels_last, channels_last_3d, check_device, contiguous_format
from flambeau.ir import dtype as dt
from flambeau.literal import legacy, literal
from flambeau.tensor import Tensor

# ------------------------------------------------------------------ new, resize, range


def new(self: Any, *args: Any, device: Any = None) -> Any:
    """A tensor of this one's dtype: of a size, or with given elements."""
    return legacy(args, self.dtype, device)


def deprecated(name: str) -> Any:
    """resize or resize_as, of another tensor on the same memory."""

    def method(self: Any, *args: Any) -> Any:
        warnings.warn(f"non-inplace {name} is deprecated", stacklevel=2)
        if isinstance(self, Tensor) and self.requires_grad:
            raise RuntimeError(f"{name} of tensors that require gradients is not supported; use "
                               "reshape() or view()")  # fmt: skip
        size = args[0].size() if name == "resize_as" else args
        return self.reshape(*size)

    method.__name__ = method.__qualname__ = name
    return method


def range(start: Any = 0, end: Any = None, step: Any = 1, *, out: Any = None, dtype: Any = None,
          layout: Any = None, device: Any = None, requires_grad: bool = False) -> Any:  # fmt: skip
    """start, start + step, … up to the end, which is among them; of the default dtype."""
    import flambeau as fl

    check_device(device, layout)
    start, end = (0, start) if end is None else (start, end)
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    warnings.warn("torch.range is deprecated and will be removed in a future release because its "
                  "behavior is inconsistent with Python's range builtin. Instead, use "
                  "torch.arange, which produces values in [start, end).", stacklevel=2)  # fmt: skip
    dtype = dtype or (out.dtype if out is not None else fl.get_default_dtype())
    steps = fl.arange(int((end - start) / step) + 1, dtype=dt.float64)
    result = (steps * step + start).to(dtype).requires_grad_(requires_grad)
    if out is None:
        return result
    from flambeau.filling import fill

    return fill("range", result, out)


# ------------------------------------------------------------------ element by element, in Python


def convert(value: Any, dtype: dt.DType) -> Any:
    """What a function gave, as a number of this dtype."""
    if isinstance(value, (str, bytes)) or value is None:
        raise TypeError(f"must be real number, not {type(value).__name__}")
    if dtype.kind == "c":
        return complex(value)
    if dtype.kind == "f":
        return float(value)
    return bool(value) if dtype is dt.bool_ else int(value)


def mapped(name: str, self: Any, others: tuple[Any, ...], function: Any) -> Any:
    """Overwrite each element with what the function makes of it, and of the others' there."""
    for x in (self, *others):
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}(): expected a Tensor, not {type(x).__name__}")
        if x.requires_grad:
            raise RuntimeError(f"Can't call {name}() on Variable that requires grad. Use "
                               f"var.detach().{name}() instead.")  # fmt: skip
        if x.dtype is not self.dtype:
            raise TypeError(f"{name}: expected torch.{self.dtype.legacy}Tensor for 'other' (got "
                            f"torch.{x.dtype.legacy}Tensor)")  # fmt: skip
    if not callable(function):
        raise TypeError(f"'{type(function).__name__}' object is not callable")
    columns = [x.expand(self.shape).reshape(-1).tolist() for x in (self, *others)]
    values = [convert(function(*at), self.dtype) for at in zip(*columns)]
    return self.copy_(literal(values, self.dtype).view(self.shape))


def apply_(self: Any, callable: Any) -> Any:
    """Overwrite each element with what a Python function gives for it. Slow."""
    return mapped("apply_", self, (), callable)


def map_(self: Any, tensor: Any, callable: Any) -> Any:
    """Overwrite each element with a Python function of it and of the other tensor's. Slow."""
    return mapped("map_", self, (tensor,), callable)


def map2_(self: Any, x: Any, y: Any, callable: Any) -> Any:
    """Overwrite each element with a Python function of it and of two other tensors'. Slow."""
    return mapped("map2_", self, (x, y), callable)


# ------------------------------------------------------------------ layouts and memory


def is_set_to(self: Any, tensor: Any) -> bool:
    """Whether both show the same memory in the same way."""
    return (
        self._storage is tensor._storage
        and self._offset == tensor._offset
        and self._spec.size == tensor._spec.size
        and self._spec.stride == tensor._spec.stride
    )


def dim_order(self: Any, ambiguity_check: Any = False) -> tuple[int, ...]:
    """The dims from the one with the largest stride to that with the smallest.

    `ambiguity_check` (True, or the memory formats that may be meant) refuses tensors whose layout
    is that of several orders.
    """
    if not isinstance(ambiguity_check, (bool, list)):
        raise TypeError("The ambiguity_check argument must be a bool or a list of memory formats.")
    if isinstance(ambiguity_check, list):
        orders = {contiguous_format: None, channels_last: (0, 2, 3, 1),
                  channels_last_3d: (0, 2, 3, 4, 1)}  # fmt: skip
        if any(found not in orders for found in ambiguity_check):
            raise TypeError("The ambiguity_check argument must be a bool or a list of memory "
                            "formats.")  # fmt: skip
    order = tuple(builtins.range(self.ndim))
    if not self.is_contiguous():
        order = tuple(sorted(order, key=lambda d: outermost(self._spec, d)))
    if ambiguity_check is False or not self.ndim:
        return order
    if several_orders(self._spec.size, self._spec.stride):
        if isinstance(ambiguity_check, list):
            fitting = [f for f in ambiguity_check if lies(self, orders[f])]
            if len(fitting) == 1:
                return orders[fitting[0]] or tuple(builtins.range(self.ndim))
        raise RuntimeError("The tensor does not have unique dim order, or cannot map to exact one "
                           "of the given memory formats.")  # fmt: skip
    return order


def outermost(spec: Any, dim: int) -> tuple[float, int]:
    """Sorts dims by stride, those of equal stride by size; expanded ones come first."""
    return -(spec.stride[dim] or math.inf), -spec.size[dim]


def several_orders(size: Any, stride: Any) -> bool:
    """Whether another order of dims would give the same strides."""
    return 0 in size or 1 in size or 0 in stride or len(set(stride)) < len(stride)


def lies(self: Any, order: Any) -> bool:
    """Whether the elements lie dense in this order of dims; None: row-major."""
    dims = order or tuple(builtins.range(self.ndim))
    if len(dims) != self.ndim:
        return False
    expected = 1
    for d in reversed(dims):
        if self._spec.size[d] != 1 and self._spec.stride[d] != expected:
            return False
        expected *= self._spec.size[d]
    return True


def storage_type(self: Any) -> Any:
    """The class of the tensor's typed storage."""
    from flambeau import storage

    return getattr(storage, f"{self.dtype.legacy}Storage")


def fill_diagonal_(self: Any, fill_value: Any, wrap: bool = False) -> Any:
    """Overwrite x[i, i, …]; with `wrap` the diagonal of a tall matrix starts again below."""
    if self.ndim < 2:
        raise RuntimeError("dimensions must larger than 1")
    if self.ndim > 2 and len(set(self.shape)) > 1:
        raise RuntimeError("all dimensions of input must be of equal length")
    if not self.numel():
        return self
    height, width = self.shape[0], self.shape[-1]
    steps = builtins.range(min(height, width))
    if wrap and self.ndim == 2:
        steps = builtins.range(-(-height * width // (width + 1)))
        rows, columns = zip(*(divmod(i * (width + 1), width) for i in steps))
        index: Any = literal(list(rows), dt.int64), literal(list(columns), dt.int64)
    else:
        index = (literal(list(steps), dt.int64),) * self.ndim
    self[index] = fill_value
    return self


def module_load(self: Any, other: Any, assign: bool = False) -> Any:
    """How a module's parameter takes a loaded value: over its own memory, or in its stead."""
    return other.detach() if assign else self.copy_(other).detach()


def prelu(self: Any, weight: Any) -> Any:
    """x where it is positive, else weight · x, by channel."""
    from flambeau.nn.functional import prelu as function

    return function(self, weight)


def detach(input: Any) -> Any:
    """The same memory without history."""
    return input.detach()


def get_device(input: Any) -> int:
    """-1, for the CPU."""
    return input.get_device()


# ------------------------------------------------------------------ other kinds of tensors


def expects(name: str, layout: str) -> Any:
    """A method of tensors of another layout."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(f"{name} expected {layout} tensor layout but got Strided")

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"Refused: this tensor is dense, and {name}() is for {layout} tensors."
    return method


def from_sparse(name: str, there: str) -> Any:
    """A method that is a function of sparse.py, which is imported when it is first needed."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        from flambeau import sparse

        return getattr(sparse, there)(self, *args, **kwargs)

    method.__name__ = method.__qualname__ = name
    return method


def no_kind(name: str, kind: str) -> Any:
    """A method of tensors of another kind."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{name}() is for {kind} tensors, which this one is not")

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"Refused: it is for {kind} tensors."
    return method


def to_dense(self: Any, dtype: Any = None, *, masked_grad: Any = None) -> Any:
    """The tensor itself, which is dense, in another dtype where one is named."""
    return self if dtype is None else self.to(dtype)


def dequantize(self: Any) -> Any:
    """The tensor as float32: there are no quantized ones."""
    return self.to(dt.float32)


def is_distributed(self: Any) -> bool:
    """False: a tensor lies in one process."""
    return False


def no_device(name: str, error: Exception) -> Any:
    """A method that moves a tensor to a device that there is not."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise error

    method.__name__ = method.__qualname__ = name
    return method


def volatile(self: Any) -> bool:
    """False, with a warning: no tensor is any more."""
    warnings.warn("volatile was removed (Variable.volatile is always False)", stacklevel=2)
    return False


LAYOUTS = {
    "sparse": "values",
    "sparse coordinate": "indices coalesce is_coalesced",
    "sparse row compressed": "crow_indices col_indices",
    "sparse column compressed": "ccol_indices row_indices",
}
KINDS = {
    "COO": "_indices _values _nnz _coalesced_ sparse_resize_ sparse_resize_and_clear_",
    "sparse": "to_sparse_csr to_sparse_csc to_sparse_bsr to_sparse_bsc resize_as_sparse_",
    "quantized": """int_repr qscheme q_scale q_zero_point q_per_channel_scales
        q_per_channel_zero_points q_per_channel_axis""",
    "nested": "to_padded_tensor",
    "MKL-DNN": "to_mkldnn",
}
SPARSE = {
    "to_sparse": "to_sparse",
    "to_sparse_coo": "to_sparse",
    "sparse_mask": "sparse_mask",
    "_embedding_sparse_backward": "embedding_gradient",
}
OTHER_KINDS = "is_ipu is_maia is_mkldnn is_mtia is_sparse_csr is_vulkan is_xla is_xpu"
PUBLIC = ["range", "detach", "get_device", "is_distributed", "dequantize"]
METHODS = """new storage_type apply_ map_ map2_ is_set_to dim_order fill_diagonal_ module_load prelu
    to_dense dequantize is_distributed""".split()
NAMED: dict[str, Any] = {
    **{name: expects(name, kind) for kind, names in LAYOUTS.items() for name in names.split()},
    **{name: no_kind(name, kind) for kind, names in KINDS.items() for name in names.split()},
    **{name: deprecated(name) for name in ("resize", "resize_as")},
    **{name: from_sparse(name, there) for name, there in SPARSE.items()},
    **dict.fromkeys(OTHER_KINDS.split(), False),
    "const_data_ptr": lambda self: self.data_ptr(),
    "dense_dim": lambda self: self.ndim,
    "sparse_dim": lambda self: 0,
    "is_nonzero": lambda self: bool(self),
    "is_same_size": lambda self, other: self._spec.size == other._spec.size,
    "grad_dtype": property(lambda self: self.dtype),
    "name": property(lambda self: None),
    "volatile": property(volatile),
    "ipu": no_device("ipu", RuntimeError("PyTorch is not linked with support for ipu devices")),
    "xpu": no_device("xpu", AssertionError("Torch not compiled with XPU enabled")),
    "mtia": no_device("mtia", AssertionError("Torch not compiled with MTIA enabled.")),
}  # fmt: skip
