"""Tensor: what it is, its gradient, and looking at its values.

Most methods come from elsewhere and are attached by methods.py: ops from the table, views from
viewing.py, x[...] from indexing.py, operators from operators.py. Touches memory only to be looked
at.
"""

from __future__ import annotations

import warnings
from struct import Struct
from typing import TYPE_CHECKING, Any

import numpy as np

from flambeau import printing
from flambeau.autograd import inplace, shortcut, walk
from flambeau.autograd.leaves import check_grad, refuse_inference
from flambeau.device import CPU, contiguous_format, preserve_format, strided
from flambeau.ir import dtype as dt
from flambeau.ir.layout import Ints, Spec, is_contiguous, spec_of
from flambeau.ops.rules import one_dim
from flambeau.runtime.buffers import Buffer, allocate
from flambeau.size import Size
from flambeau.trace import above, flush
from flambeau.trace.node import Edge
from flambeau.trace.storage import Storage, new_storage
from flambeau.trace.tensor import Counter, Recorded, assemble
from flambeau.trace.trie import here

# Elements that are numbers of Python as they lie in memory, and what reads one from there.
CODES = {dt.float32: "f", dt.float64: "d", dt.int64: "q", dt.int32: "i", dt.bool_: "?"}
AS_THEY_LIE: dict[dt.DType, Any] = {d: Struct(code).unpack_from for d, code in CODES.items()}
FUNCTIONS: dict[str, Any] = {}  # op's name → the function that records it; methods.py fills it


def without_override(func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
    """The __torch_function__ of classes that are not asked, such as Parameter."""
    return func(*args, **(kwargs or {}))


class Tensor(Recorded):
    """A multi-dimensional array with a gradient."""

    __slots__ = ()
    __array_priority__ = 1000  # NumPy leaves mixed arithmetic to us

    if TYPE_CHECKING:  # most methods are attached at import, where a type checker cannot see them

        def __getattr__(self, name: str) -> Any: ...

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        from flambeau.literal import legacy

        made = legacy(args, here.stretch.mode.default_dtype, **kwargs)
        return object.__new__(cls)._take(made)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass  # __new__ has done it; subclasses may take other arguments

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.__module__.startswith("flambeau.") and (
            cls.__torch_function__ is not without_override
        ):
            from flambeau.overrides import activate

            activate()

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """What a subclass does with a call of a tensor function: its results are of the class."""
        from flambeau.overrides import by_default

        return by_default(cls, func, types, args, kwargs)

    def _take(self, other: Any) -> Any:
        """Become another tensor: its memory, its view of it, its history."""
        self._storage, self._spec, self._offset = other._storage, other._spec, other._offset
        self._stretch, self._slot, self._edge = other._stretch, other._slot, other._edge
        self._viewed, self._meta = other._viewed, other._meta
        return self

    # ---------------------------------------------------------------- what it is

    @property
    def shape(self) -> Size:
        """The size of each dim."""
        return Size(self._spec.size)

    def size(self, dim: int | None = None) -> Any:
        return Size(self._spec.size) if dim is None else self._spec.size[one_dim(dim, self.ndim)]

    def stride(self, dim: int | None = None) -> Any:
        return self._spec.stride if dim is None else self._spec.stride[one_dim(dim, self.ndim)]

    def storage_offset(self) -> int:
        return self._offset

    @property
    def ndim(self) -> int:
        return len(self._spec.size)

    def dim(self) -> int:
        return len(self._spec.size)

    ndimension = dim

    def numel(self) -> int:
        return self._spec.numel

    nelement = numel

    @property
    def dtype(self) -> dt.DType:
        return self._spec.dtype.plain

    @property
    def device(self) -> Any:
        return CPU

    @property
    def layout(self) -> Any:
        return strided

    is_cuda = is_sparse = is_quantized = is_meta = is_mps = is_nested = False
    is_cpu = True
    names = property(lambda self: (None,) * self.ndim)

    @property
    def itemsize(self) -> int:
        return self._spec.dtype.itemsize

    def element_size(self) -> int:
        return self._spec.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self._spec.numel * self._spec.dtype.itemsize

    def get_device(self) -> int:
        return -1

    def is_contiguous(self, memory_format: Any = contiguous_format) -> bool:
        if memory_format in (contiguous_format, preserve_format):
            return is_contiguous(self._spec.size, self._spec.stride)
        raise NotImplementedError(
            f"is_contiguous(memory_format={memory_format}) is not supported yet"
        )

    def is_floating_point(self) -> bool:
        return self._spec.dtype.kind == "f"

    def is_complex(self) -> bool:
        return self._spec.dtype.kind == "c"

    def is_signed(self) -> bool:
        return self._spec.dtype.is_signed

    def is_pinned(self, device: Any = None) -> bool:
        return False

    def pin_memory(self, device: Any = None) -> Tensor:
        return self

    def is_inference(self) -> bool:
        return self._storage.inference

    def _is_view(self) -> bool:
        return self._viewed is not None

    @property
    def _base(self) -> Any:
        return self._viewed

    @property
    def _version(self) -> int:
        if self._storage.inference:
            raise RuntimeError("Inference tensors do not track version counter.")
        return self._counter().version

    # ---------------------------------------------------------------- gradients

    @property
    def requires_grad(self) -> bool:
        if inplace.stale(self):
            inplace.refresh_history(self)
        return self._spec.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        if self._edge is not None and not requires_grad:
            raise RuntimeError(
                "you can only change requires_grad flags of leaf variables. If you want to use a "
                "computed variable in a subgraph that doesn't require differentiation use "
                "var_no_grad = var.detach()."
            )
        if requires_grad and self._spec.dtype.kind not in "fc":
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        if requires_grad:
            refuse_inference(self._storage)
        if self._spec.requires_grad != bool(requires_grad):
            self._spec = self._spec.with_grad(bool(requires_grad))
            self._stretch = None  # it enters anew, as what it is now
        return self

    @property
    def output_nr(self) -> int:
        return self._edge.number if isinstance(self._edge, Edge) else 0

    @property
    def grad(self) -> Any:
        meta = self._meta
        if self._edge is not None and (meta is None or not meta.retains_grad and meta.grad is None):
            warnings.warn(
                "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its "
                ".grad attribute won't be populated during autograd.backward(). Call "
                ".retain_grad() on it if you want its gradient.",
                stacklevel=2,
            )
        return None if meta is None else meta.grad

    @grad.setter
    def grad(self, grad: Any) -> None:
        if grad is not None:
            check_grad(self, grad)
        self._made_meta().grad = grad

    @grad.deleter
    def grad(self) -> None:
        self._made_meta().grad = None

    def backward(
        self,
        gradient: Any = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Any = None,
    ) -> None:
        if gradient is None and inputs is None and not create_graph:
            if shortcut.follow(self, bool(retain_graph)):
                return
        from flambeau import autograd

        autograd.backward(self, gradient, retain_graph, create_graph, inputs=inputs)  # type: ignore

    def detach(self) -> Tensor:
        """The same memory without history; the version is shared, too."""
        spec, stretch = self._spec.with_grad(False), self._stretch
        out = assemble(Tensor, self._storage, spec, self._offset)
        if spec is self._spec and self._edge is None:
            out._stretch, out._slot = stretch, self._slot
        if self._meta is not None and self._meta.counter is not None:
            out._made_meta().counter = self._meta.counter
        return out

    def detach_(self) -> Tensor:
        if self._viewed is not None:
            raise RuntimeError(
                "Can't detach views in-place. Use detach() instead. If you are using "
                "DistributedDataParallel (DDP) for training, and gradient_as_bucket_view "
                "is set as True, gradients are views of DDP buckets, and hence detach_() "
                "cannot be called on these gradients."
            )
        self._edge, self._spec, self._stretch = None, self._spec.with_grad(False), None
        return self

    @property
    def data(self) -> Tensor:
        """The same memory without history, and with a version of its own."""
        out = assemble(Tensor, self._storage, self._spec.with_grad(False), self._offset)
        out._made_meta().counter = Counter()
        return out

    @data.setter
    def data(self, new: Any) -> None:
        if not isinstance(new, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(new).__name__}")
        version = self._counter().version
        counter = self._made_meta().counter = Counter()
        counter.version = version
        self._storage, self._offset, self._stretch = new._storage, new._offset, None
        self._spec = new._spec.with_grad(self._spec.requires_grad)
        here.stretch.walk = False  # a backward that was walked before read other memory

    # ---------------------------------------------------------------- looking at values

    def _memory(self) -> np.ndarray:
        """The elements as they lie in memory, after everything pending that concerns them ran."""
        storage = self._storage
        if storage.stretch is not None:
            flush.settle_all(storage)
        if storage.rare is not None and storage.error is not None:
            raise storage.error
        spec = self._spec
        assert isinstance(storage.buffer, Buffer)
        return storage.buffer.array(spec.size, spec.stride, self._offset, spec.dtype.numpy)

    def _numbers(self) -> np.ndarray:
        """The elements as NumPy can compute with them (bfloat16 and float16 as float32)."""
        return dt.widen(self._memory(), self._spec.dtype)

    def item(self) -> Any:
        spec, storage = self._spec, self._storage
        if spec.numel != 1:
            raise RuntimeError(
                f"a Tensor with {spec.numel} elements cannot be converted to Scalar"
            )
        stretch = storage.stretch
        if stretch is not None and (storage.buffer is None or storage.index != storage.born):
            flush.flush(stretch)  # `settle_all`, written out
        buffer, dtype = storage.buffer, spec.dtype
        read = AS_THEY_LIE.get(dtype)
        if storage.rare is not None or read is None:
            return self._numbers().item()
        assert buffer is not None
        return read(buffer.block, buffer.start + self._offset * dtype.itemsize)[0]

    _item = item  # also where a class of tensors has an `item` of its own

    def tolist(self) -> Any:
        return self._numbers().tolist()

    def __bool__(self) -> bool:
        if self._spec.numel != 1:
            many = "more than one value" if self._spec.numel else "no values"
            raise RuntimeError(f"Boolean value of Tensor with {many} is ambiguous")
        return bool(self._item())

    def __int__(self) -> int:
        return int(self._real_one("int64_t"))

    def __float__(self) -> float:
        return float(self._real_one("double"))

    def __complex__(self) -> complex:
        return complex(self._one())

    def _real_one(self, name: str) -> Any:
        value = self._one()
        if isinstance(value, complex):
            if value.imag:
                raise RuntimeError(f"value cannot be converted to type {name} without overflow")
            return value.real
        return value

    def _one(self) -> Any:
        if self._spec.numel != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        return self._item()

    def __index__(self) -> int:
        if self._spec.numel != 1 or self._spec.dtype.kind not in "iub":
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self._memory().item())

    def __len__(self) -> int:
        if not self._spec.size:
            raise TypeError("len() of a 0-d tensor")
        return self._spec.size[0]

    def __iter__(self) -> Any:
        if not self._spec.size:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))  # type: ignore[attr-defined]

    def __reversed__(self) -> Any:
        return self.flip(0) if self._spec.size else self  # type: ignore[attr-defined]

    def __contains__(self, element: Any) -> bool:
        if isinstance(element, (Tensor, int, float, complex)):
            return bool((self == element)._memory().any())
        raise RuntimeError(
            f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a "
            f"{type(element)}."
        )

    __hash__ = object.__hash__

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        prefix = "tensor(" if type(self) is Tensor else f"{type(self).__name__}("
        return self._text(prefix)

    def _text(self, prefix: str) -> str:
        node = self.grad_fn  # type: ignore[attr-defined]
        return printing.format_tensor(
            self._numbers(),
            self._spec.dtype.plain,
            default_dtype=here.stretch.mode.default_dtype,
            requires_grad=self._spec.requires_grad,
            prefix=prefix,
            grad_fn=None if node is None else walk.node_name(node),
        )

    def __format__(self, spec: str) -> str:
        if not self._spec.size:
            return format(self.item(), spec)
        return object.__format__(self, spec)

    def __dir__(self) -> list[str]:
        return sorted(set(object.__dir__(self)))


def from_array(array: np.ndarray, dtype: dt.DType, stride: Ints | None = None) -> Any:
    """A tensor with a copy of an array's elements, which are as they lie in memory."""
    out = empty_of(spec_of(array.shape, stride, dtype))
    if array.size:
        out._storage.buffer.array(out._spec.size, out._spec.stride, 0, dtype.numpy)[...] = array
    return out


def empty_of(spec: Spec) -> Any:
    """A tensor with memory whose content nobody knows."""
    nbytes = spec.numel * spec.dtype.itemsize
    return fresh(new_storage(nbytes, allocate(nbytes)), spec)


def fresh(storage: Storage, spec: Spec) -> Any:
    """A tensor on memory that was not known before."""
    if here.stretch.mode.inference:
        storage.mark_inference()
    return assemble(Tensor, storage, spec)


above.results_are(Tensor)
__all__ = ["FUNCTIONS", "Size", "Tensor", "empty_of", "from_array"]
