"""Tensor: storage, layout, gradient; most of its methods come from the table of ops."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.autograd import backward as walk
from flambeau.autograd import inplace
from flambeau.ir import dtype as dt
from flambeau.ir.layout import broadcast_strides, contiguous_strides, spec_of, view_strides
from flambeau.ops import matmul, pointwise, reduce, views
from flambeau.ops.declare import TABLE
from flambeau.ops.functions import function_of, inplace_of
from flambeau.ops.rules import infer_size, one_dim
from flambeau.runtime.buffers import Buffer, adopt, allocate
from flambeau.trace import flush, recorder
from flambeau.trace.node import Edge
from flambeau.trace.recorder import record_view
from flambeau.trace.storage import Storage
from flambeau.trace.tensor import Recorded, assemble
from flambeau.trace.trie import here


class Size(tuple):
    """A tuple of sizes that prints as PyTorch's."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"torch.Size({list(self)})"

    def numel(self) -> int:
        """The product of the sizes."""
        n = 1
        for s in self:
            n *= s
        return n


class Tensor(Recorded):
    """A multi-dimensional array with a gradient."""

    __slots__ = ()

    @property
    def shape(self) -> Size:
        """The size of each dim."""
        return Size(self.spec.size)

    def size(self, dim: int | None = None) -> Any:
        return Size(self.spec.size) if dim is None else self.spec.size[one_dim(dim, self.ndim)]

    def stride(self, dim: int | None = None) -> Any:
        return self.spec.stride if dim is None else self.spec.stride[one_dim(dim, self.ndim)]

    def storage_offset(self) -> int:
        return self.offset

    @property
    def ndim(self) -> int:
        return len(self.spec.size)

    def dim(self) -> int:
        return len(self.spec.size)

    def numel(self) -> int:
        return self.spec.numel

    @property
    def dtype(self) -> dt.DType:
        return self.spec.dtype

    @property
    def requires_grad(self) -> bool:
        return self.spec.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        if self.edge is not None and not requires_grad:
            raise RuntimeError("you can only change requires_grad flags of leaf variables.")
        if requires_grad and self.spec.dtype.kind not in "fc":
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        if self.spec.requires_grad != requires_grad:
            self.spec = self.spec.with_grad(requires_grad)
            self.stretch = None  # it enters anew, as what it is now
        return self

    @property
    def is_leaf(self) -> bool:
        return self.edge is None

    @property
    def grad_fn(self) -> Any:
        if inplace.stale(self):
            inplace.refresh_history(self)
        return self.edge.node if isinstance(self.edge, Edge) else self.edge

    @property
    def grad(self) -> Any:
        return self.meta.grad if self.meta is not None else None

    @grad.setter
    def grad(self, grad: Any) -> None:
        self._meta().grad = grad

    # ---------------------------------------------------------------- looking at values

    def _memory(self) -> np.ndarray:
        """The elements as they lie in memory, after everything pending that concerns them ran."""
        storage = self.storage
        if storage.stretch is not None:
            flush.settle_all(storage)
        if storage.error is not None:
            raise storage.error
        spec = self.spec
        assert isinstance(storage.buffer, Buffer)
        return storage.buffer.array(spec.size, spec.stride, self.offset, spec.dtype.numpy)

    def item(self) -> Any:
        if self.spec.numel != 1:
            raise RuntimeError(f"a Tensor with {self.spec.numel} elements cannot be converted to Scalar")
        return dt.widen(self._memory(), self.spec.dtype).item()

    def tolist(self) -> Any:
        return dt.widen(self._memory(), self.spec.dtype).tolist()

    def numpy(self) -> np.ndarray:
        return self._memory().copy()

    def detach(self) -> Tensor:
        out = assemble(Tensor, self.storage, self.spec.with_grad(False), self.offset)
        if self.meta is not None and self.meta.counter is not None:
            out._meta().counter = self.meta.counter
        return out

    # ---------------------------------------------------------------- views

    def as_strided(self, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
        start = None if storage_offset is None else storage_offset - self.offset
        return record_view(AS_STRIDED, self, start, 1, tuple(size), tuple(stride))

    def view(self, *shape: Any) -> Tensor:
        shape = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        size = infer_size(shape, self.spec.numel)
        stride = view_strides(self.spec.size, self.spec.stride, size)
        if stride is None:
            raise RuntimeError("view size is not compatible with input tensor's size and stride (at "
                               "least one dimension spans across two contiguous subspaces). Use "
                               ".reshape(...) instead.")  # fmt: skip
        return record_view(views.reshaped, self, None, 1, size, stride)

    def reshape(self, *shape: Any) -> Tensor:
        shape = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        size = infer_size(shape, self.spec.numel)
        stride = view_strides(self.spec.size, self.spec.stride, size)
        if stride is None:
            return self.clone(memory_format="torch.contiguous_format").view(size)
        return record_view(views.reshaped, self, None, 1, size, stride)

    def permute(self, *dims: Any) -> Tensor:
        dims = dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
        return record_view(views.permute, self, None, 1, tuple(one_dim(d, self.ndim) for d in dims))

    def t(self) -> Tensor:
        if self.ndim > 2:
            raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {self.ndim}D")
        return record_view(views.t, self, None, 1, tuple(range(self.ndim))[::-1])

    def expand(self, *size: Any) -> Tensor:
        size = size[0] if len(size) == 1 and isinstance(size[0], (tuple, list)) else size
        lead = len(size) - self.ndim
        size = tuple(self.spec.size[d - lead] if n == -1 else n for d, n in enumerate(size))
        stride = broadcast_strides(self.spec.size, self.spec.stride, size)
        return record_view(views.expand, self, None, 1, size, stride)

    def select(self, dim: int, index: int) -> Tensor:
        dim = one_dim(dim, self.ndim)
        n = self.spec.size[dim]
        if not -n <= index < n:
            raise IndexError(f"index {index} is out of bounds for dimension {dim} with size {n}")
        return record_view(views.select, self, index % n, self.spec.stride[dim], dim)

    def _slice(self, dim: int, start: int, length: int, step: int = 1) -> Tensor:
        return record_view(views.slice_, self, start, self.spec.stride[dim], dim, length, step)

    def __getitem__(self, index: Any) -> Tensor:
        if isinstance(index, int):
            return self.select(0, index)
        if isinstance(index, slice):
            start, stop, step = index.indices(self.spec.size[0])
            return self._slice(0, start, len(range(start, stop, step)), step)
        raise NotImplementedError(f"indexing with {type(index).__name__}")

    # ---------------------------------------------------------------- the rest

    def to(self, dtype: dt.DType) -> Tensor:
        return self if dtype is self.spec.dtype else FUNCTIONS["cast"](self, dtype)

    def copy_(self, src: Any) -> Tensor:
        source = src if src.spec.size == self.spec.size else src.expand(self.spec.size)
        return recorder.record_write(pointwise.copy, self, source)

    def zero_(self) -> Tensor:
        return recorder.record_write(pointwise.full, self, self.spec.size, 0, self.spec.dtype)

    def new_zeros(self, size: Any, dtype: Any = None) -> Tensor:
        return FUNCTIONS["full"](tuple(size), 0, dtype=dtype or self.spec.dtype)

    def sum_to_size(self, *size: Any) -> Tensor:
        size = size[0] if len(size) == 1 and isinstance(size[0], (tuple, list)) else size
        lead = self.ndim - len(size)
        dims = tuple(range(lead)) + tuple(
            d + lead for d, n in enumerate(size) if n == 1 and self.spec.size[d + lead] != 1
        )
        out = FUNCTIONS["sum"](self, dims, True) if dims else self
        return out.view(tuple(size)) if lead else out

    def backward(self, gradient: Any = None, retain_graph: bool | None = None,
                 create_graph: bool = False) -> None:  # fmt: skip
        if not self.spec.requires_grad:
            raise RuntimeError("element 0 of tensors does not require grad and does not have a grad_fn")
        if gradient is None:
            if self.spec.numel != 1:
                raise RuntimeError("grad can be implicitly created only for scalar outputs")
            gradient = FUNCTIONS["full"](self.spec.size, 1, dtype=self.spec.dtype)
        retain = create_graph if retain_graph is None else retain_graph
        walk.backward([self], [gradient], retain, create_graph)

    def __repr__(self) -> str:
        return f"tensor({self.tolist()})"


recorder.results_are(Tensor)
AS_STRIDED = views.view(
    "as_strided(input, size, stride)",
    public="",
    shape=lambda mode, input, size, stride: (size, stride),
    samples=views.no_samples,
    grad=dict(),
)
FUNCTIONS = {name: function_of(op) for name, op in TABLE.items() if op.kind != "view"}
for _name, _op in TABLE.items():
    if "Tensor" in _op.public:
        setattr(Tensor, _name, FUNCTIONS[_name])
        if _op.inplace:
            setattr(Tensor, _name + "_", inplace_of(_op))
Tensor.__add__ = Tensor.__radd__ = Tensor.add
Tensor.__mul__ = Tensor.__rmul__ = Tensor.mul
Tensor.__sub__ = Tensor.sub
Tensor.__neg__ = Tensor.neg
Tensor.__truediv__ = FUNCTIONS["true_divide"]
Tensor.__matmul__ = Tensor.mm


def tensor(data: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    array = np.array(data)
    if array.dtype == np.float64 and not isinstance(data, np.ndarray):
        array = array.astype(np.float32)
    dtype = dtype or dt.FROM_NUMPY[array.dtype]
    return from_array(dt.narrow(array, dtype), dtype).requires_grad_(requires_grad)


def from_array(array: np.ndarray, dtype: dt.DType) -> Tensor:
    """A tensor with a copy of an array's elements."""
    buffer = allocate(array.nbytes)
    spec = spec_of(array.shape, contiguous_strides(array.shape), dtype)
    if array.size:
        buffer.array(spec.size, spec.stride, 0, dtype.numpy)[...] = array
    storage = Storage(array.nbytes, buffer)
    storage.device = "cpu"
    return assemble(Tensor, storage, spec)


__all__ = ["Size", "Tensor", "adopt", "from_array", "here", "matmul", "reduce", "tensor"]
