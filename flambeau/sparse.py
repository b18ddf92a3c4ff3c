"""torch.sparse: tensors that hold some of their elements, by index (the layout is called COO).

They come from an embedding's gradient, `to_sparse` and `sparse_coo_tensor`. Indices and values are
ordinary tensors, so what is done with them is recorded as always, and gradients reach the values.
What is not defined here raises NotImplementedError: a sparse tensor's own storage holds nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau import printing
from flambeau.absent import absent
from flambeau.arranging import cat
from flambeau.device import sparse_coo
from flambeau.ir import dtype as dt
from flambeau.ir.layout import spec_of
from flambeau.literal import tensor
from flambeau.selecting import index_put, index_put_
from flambeau.size import Size
from flambeau.tensor import FUNCTIONS, Tensor, from_array
from flambeau.trace.storage import new_storage
from flambeau.trace.tensor import assemble
from flambeau.trace.trie import here

# An optimizer's step looks whether this module was imported: else there are no sparse gradients.
NUMBERS = (bool, int, float, complex)


class SparseTensor(Tensor):
    """Zeros but for some elements.

    `_places` (dims, n) says where they are, along the first dims; `_elements` (n, …) what they are,
    with the other dims whole. Until it is `coalesced`, a place may come several times, which means
    the sum.
    """

    _places: Any
    _elements: Any
    _coalesced: bool

    is_sparse = True
    layout = property(lambda self: sparse_coo)

    # ---------------------------------------------------------------- its parts

    def _indices(self) -> Any:
        return self._places

    def _values(self) -> Any:
        return self._elements

    def indices(self) -> Any:
        """Where the elements are, (dims, n); of a coalesced tensor only."""
        self._must_be_coalesced("indices")
        return self._places

    def values(self) -> Any:
        """The elements, (n, …); of a coalesced tensor only."""
        self._must_be_coalesced("values")
        return self._elements

    def _must_be_coalesced(self, what: str) -> None:
        if not self._coalesced:
            raise RuntimeError(f"Cannot get {what} on an uncoalesced tensor, please call "
                               ".coalesce() first")  # fmt: skip

    def _nnz(self) -> int:
        return self._elements._spec.size[0]

    def sparse_dim(self) -> int:
        return self._places._spec.size[0]

    def dense_dim(self) -> int:
        return self.ndim - self.sparse_dim()

    def is_coalesced(self) -> bool:
        return self._coalesced

    def _coalesced_(self, coalesced: bool) -> Any:
        """Say whether each place comes once; nobody checks."""
        self._coalesced = coalesced
        return self

    def coalesce(self) -> Any:
        """The same with each place once, in order; the tensor itself where that is so already."""
        if self._coalesced:
            return self
        count, size = self.sparse_dim(), self._spec.size
        rows = self._places._numbers()
        for dim, (row, n) in enumerate(zip(rows, size)):
            if wrong := row[(row < 0) | (row >= n)].tolist():
                raise RuntimeError(f"size is inconsistent with indices: for dim {dim}, size is {n} "
                                   f"but found index {wrong[0]}")  # fmt: skip
        flat = np.ravel_multi_index(tuple(rows), size[:count], mode="wrap")
        places, which = np.unique(flat, return_inverse=True)
        zeros = self._elements.new_zeros((len(places), *self._elements._spec.size[1:]))
        values = zeros.index_add(0, from_array(which, dt.int64), self._elements)
        indices = np.array(np.unravel_index(places, size[:count]), np.int64)
        return made(from_array(indices, dt.int64), values, size, True)

    def to_dense(self, dtype: Any = None, *, masked_grad: Any = None) -> Any:
        """The dense tensor, of the same dtype."""
        if dtype is not None:
            raise RuntimeError("dtype argument is not supported by sparse_to_dense")
        return self._added_to(self._elements.new_zeros(self._spec.size), index_put)

    def to_sparse(self, sparse_dim: Any = None, *, layout: Any = None, **other: Any) -> Any:
        if layout in (None, sparse_coo) and sparse_dim in (None, self.sparse_dim()) and not other:
            return self
        return to_sparse(self.to_dense(), sparse_dim, layout=layout, **other)

    to_sparse_coo = to_sparse

    def _added_to(self, dense: Any, how: Any, alpha: Any = 1) -> Any:
        """dense + alpha · self, by index_put or index_put_."""
        values = self._elements if alpha == 1 else self._elements * alpha
        return how(dense, tuple(self._places.unbind(0)), values.to(dense.dtype), True)

    def _add_to_(self, dense: Any, alpha: Any = 1) -> Any:
        """dense += alpha · self."""
        check_alike(dense, self)
        return self._added_to(dense, index_put_, alpha)

    # ---------------------------------------------------------------- what every tensor has

    @property
    def requires_grad(self) -> bool:
        return self._elements.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        if requires_grad != self.requires_grad:
            refuse_leaf(requires_grad)
            self._elements = self._elements.detach()
        return self

    @property
    def grad_fn(self) -> Any:
        """Where its values came from."""
        return self._elements.grad_fn

    @property
    def is_leaf(self) -> bool:
        return not self.requires_grad

    def _failed(self) -> bool:
        return self._elements._failed()

    def stride(self, dim: Any = None) -> Any:
        return (0,) * self.ndim if dim is None else 0

    def is_contiguous(self, memory_format: Any = None) -> bool:
        return False

    def untyped_storage(self) -> Any:
        raise NotImplementedError("Cannot access storage of SparseTensorImpl")

    def numpy(self, *, force: bool = False) -> Any:
        raise TypeError("can't convert Sparse layout tensor to numpy. Use Tensor.to_dense() first.")

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        return self.numpy()

    def type(self, dtype: Any = None, non_blocking: bool = False) -> Any:
        """The name of PyTorch's class, or the tensor in another dtype."""
        name = f"torch.sparse.{self._spec.dtype.legacy}Tensor"
        return name if dtype is None else self.to(dtype)

    def _text(self, prefix: str) -> str:
        """What repr says; PyTorch has one class for all."""
        grad = self.requires_grad
        made_by = None if self.is_leaf else "SparseCooTensorWithDimsAndTensorsBackward0"
        return printing.format_sparse(
            self._places.detach()._numbers(), self._elements.detach()._numbers(),
            tuple(self._spec.size), self._spec.dtype.plain,
            default_dtype=here.stretch.mode.default_dtype, requires_grad=grad, grad_fn=made_by,
            prefix="tensor(")  # fmt: skip

    def _with(self, values: Any) -> Any:
        """Other values in the same places."""
        return made(self._places, values, self._spec.size, self._coalesced)

    def _become(self, other: Any) -> Any:
        """An in-place operation: take another's elements; the type stays."""
        self._places, self._coalesced = other._places, other._coalesced
        self._elements = other._elements.to(self._spec.dtype.plain)
        return self

    def clone(self, *, memory_format: Any = None) -> Any:
        return made(self._places.clone(), self._elements.clone(), self._spec.size, self._coalesced)

    def __deepcopy__(self, memo: Any) -> Any:
        memo[id(self)] = copy = self.clone()
        return copy

    def detach(self) -> Any:
        return self._with(self._elements.detach())

    def detach_(self) -> Any:
        self._elements = self._elements.detach()
        return self

    data = property(detach)

    def to(self, *args: Any, **kwargs: Any) -> Any:
        values = self._elements.to(*args, **kwargs)
        return self if values is self._elements else self._with(values)

    def float(self) -> Any:
        return self.to(dt.float32)

    def double(self) -> Any:
        return self.to(dt.float64)

    def half(self) -> Any:
        return self.to(dt.float16)

    def bfloat16(self) -> Any:
        return self.to(dt.bfloat16)

    def cpu(self) -> Any:
        return self

    def zero_(self) -> Any:
        """Without any elements."""
        places, values = self._places, self._elements.detach()
        self._places = places.new_empty((places._spec.size[0], 0))
        self._elements = values.new_empty((0, *values._spec.size[1:]))
        self._coalesced = True
        return self

    # ---------------------------------------------------------------- arithmetic

    def add(self, other: Any, *, alpha: Any = 1) -> Any:
        """The sum of two sparse tensors: the elements of both."""
        if not isinstance(other, SparseTensor):
            raise RuntimeError("add(sparse, dense) is not supported. Use add(dense, sparse) "
                               "instead.")  # fmt: skip
        check_alike(self, other)
        common = dt.promote(self.dtype, other.dtype)
        theirs = other._elements if alpha == 1 else other._elements * alpha
        values = cat([self._elements.to(common), theirs.to(common)])
        total = made(cat([self._places, other._places], 1), values, self._spec.size)
        return total.coalesce() if self._coalesced and other._coalesced else total

    def add_(self, other: Any, *, alpha: Any = 1) -> Any:
        return self._become(self.add(other, alpha=alpha))

    def sub(self, other: Any, *, alpha: Any = 1) -> Any:
        return self.add(other, alpha=-alpha)

    def sub_(self, other: Any, *, alpha: Any = 1) -> Any:
        return self._become(self.sub(other, alpha=alpha))

    def mul(self, other: Any) -> Any:
        return self._with(self._elements * by_number(other))

    def mul_(self, other: Any) -> Any:
        return self._become(self.mul(other))

    def div(self, other: Any) -> Any:
        return self._with(self._elements / by_number(other))

    def div_(self, other: Any) -> Any:
        return self._become(self.div(other))

    def neg(self) -> Any:
        return self._with(-self._elements)

    def t(self) -> Any:
        """A matrix with rows and columns exchanged."""
        check_matrix(self)
        rows, columns = self._spec.size
        return made(self._places.flip(0), self._elements, (columns, rows), self._nnz() < 2)

    def matmul(self, other: Any) -> Any:
        """The product of a sparse matrix with a dense matrix or vector."""
        check_matrix(self)
        if isinstance(other, SparseTensor) or other.ndim not in (1, 2):
            raise NotImplementedError("a sparse matrix is multiplied with dense matrices and "
                                      "vectors only; use .to_dense()")  # fmt: skip
        n, m = self._spec.size
        if other._spec.size[0] != m:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied ("
                               f"{n}x{m} and {'x'.join(map(str, other._spec.size))})")  # fmt: skip
        rows, columns = self._places.unbind(0)
        values = self._elements if other.ndim == 1 else self._elements.unsqueeze(1)
        parts = values * other.index_select(0, columns)
        return parts.new_zeros((n, *other._spec.size[1:])).index_add(0, rows, parts)

    mm = mv = __matmul__ = matmul

    def __rmatmul__(self, other: Any) -> Any:
        return self.t().matmul(other.t()).t()

    def __radd__(self, other: Any) -> Any:
        if isinstance(other, SparseTensor) or not isinstance(other, Tensor):
            return self.add(other)
        check_alike(other, self)
        return self._added_to(other.to(dt.promote(other.dtype, self.dtype)), index_put)

    __add__, __sub__, __mul__, __rmul__, __truediv__, __neg__ = add, sub, mul, mul, div, neg
    __iadd__, __isub__, __imul__, __itruediv__ = add_, sub_, mul_, div_


# ------------------------------------------------------------------ making them


def made(indices: Any, values: Any, size: Any, coalesced: bool | None = None) -> SparseTensor:
    """A sparse tensor of these parts; nobody looked whether a place comes twice, if not told."""
    storage = new_storage(0)
    storage.error = NotImplementedError("this is not supported for sparse tensors\n  hint: "
                                        "x.to_dense() is the dense tensor")  # fmt: skip
    out: Any = assemble(SparseTensor, storage, spec_of(tuple(size), None, values.dtype))
    out._places, out._elements = indices, values
    out._coalesced = values._spec.size[0] < 2 if coalesced is None else bool(coalesced)
    return out


def sparse_coo_tensor(indices: Any = None, values: Any = None, size: Any = None, *,
                      dtype: Any = None, layout: Any = None, device: Any = None,
                      pin_memory: bool = False, requires_grad: bool = False,
                      check_invariants: Any = None, is_coalesced: Any = None) -> Any:  # fmt: skip
    """Zeros but for `values` (n, …) at `indices` (dims, n); without both, zeros.

    The size is the smallest that holds all, where none is given. Raises RuntimeError for parts that
    do not fit.
    """
    if values is None:
        size = indices if size is None else size
        indices, values = np.zeros((len(size), 0), np.int64), tensor([], dtype=dtype)
    refuse_leaf(requires_grad)
    places = indices if isinstance(indices, Tensor) else tensor(indices)
    values = values if isinstance(values, Tensor) else tensor(values)
    values = values if dtype is None else values.to(dtype)
    values = values if values.ndim else values.reshape(1)
    places = places.detach().to(dt.int64)
    if size is None:
        size = smallest(places, values)
    elif check_invariants:
        check_inside(places, size)
    check_parts(places, values, size)
    return made(places, values, Size(size), is_coalesced)


def smallest(places: Any, values: Any) -> tuple[int, ...]:
    """The smallest size in which all the places are."""
    if places.ndim != 2:
        raise RuntimeError(f"indices must be sparse_dim x nnz, but got: {list(places._spec.size)}")
    found = places._numbers()
    lowest = found.min(1, initial=0)
    for d in np.flatnonzero(lowest < 0):
        raise RuntimeError(f"found negative index {lowest[d]} for dim {d}")
    return (*(int(n) + 1 for n in found.max(1, initial=-1)), *values._spec.size[1:])


def check_inside(places: Any, size: Any) -> None:
    """Refuse places that are not within the size (`check_invariants=True`)."""
    for d, found in enumerate(places._numbers()):
        if found.min(initial=0) < 0:
            raise RuntimeError(f"found negative index {found.min()} for dim {d}")
        if found.max(initial=-1) >= size[d]:
            raise RuntimeError(f"size is inconsistent with indices: for dim {d}, size is {size[d]} "
                               f"but found index {found.max()}")  # fmt: skip


def check_parts(places: Any, values: Any, size: Any) -> None:
    """Indices, values and size that fit, in PyTorch's words."""
    first = places._spec.size[0] if places.ndim else 0
    rest = values.ndim - 1
    if first + rest != len(size):
        raise RuntimeError("'len(size) == sparse_dim + dense_dim' is not satisfied: len(size) = "
                           f"{len(size)}, sparse_dim = {first}, dense_dim = {rest}")  # fmt: skip
    if places.ndim != 2:
        raise RuntimeError(f"indices must be sparse_dim x nnz, but got: {list(places._spec.size)}")
    if places._spec.size[1] != values._spec.size[0]:
        raise RuntimeError("indices and values must have same nnz, but got nnz from indices: "
                           f"{places._spec.size[1]}, nnz from values: "
                           f"{values._spec.size[0]}")  # fmt: skip
    if tuple(values._spec.size[1:]) != tuple(size[first:]):
        expected = [values._spec.size[0], *size[first:]]
        raise RuntimeError(f"values has incorrect size, expected {expected}, got "
                           f"{list(values._spec.size)}")  # fmt: skip


def refuse_leaf(requires_grad: bool) -> None:
    if requires_grad:
        raise NotImplementedError("a sparse tensor that requires a gradient itself is not "
                                  "supported; make it of values that do")  # fmt: skip


def to_sparse(input: Any, sparse_dim: Any = None, *, layout: Any = None, blocksize: Any = None,
              dense_dim: Any = None) -> Any:  # fmt: skip
    """The elements that are not zero; of the first `sparse_dim` dims, the others stay whole."""
    if layout not in (None, sparse_coo) or blocksize is not None or dense_dim is not None:
        raise NotImplementedError(f"to_sparse(layout={layout}) is not supported; use "
                                  "torch.sparse_coo")  # fmt: skip
    if not input.ndim:
        raise NotImplementedError("to_sparse() of a tensor without dims is not supported")
    dims = input.ndim if sparse_dim is None else sparse_dim
    if not 0 <= dims <= input.ndim:
        raise RuntimeError("dense_to_sparse: sparse_dim argument must be in "
                           f"[0,{input.ndim}] range, but {dims} is given")  # fmt: skip
    if not dims:
        raise RuntimeError("dense_to_sparse: sparse_dim argument must be in >0 when self.dim()>0")
    kept = input.detach()._memory() != 0
    found = np.array(np.nonzero(kept.any(tuple(range(dims, input.ndim)))), np.int64)
    places = from_array(found, dt.int64)
    return made(places, input[tuple(places.unbind(0))], input._spec.size, True)


def sparse_mask(input: Any, mask: Any) -> Any:
    """The elements of a dense tensor where a sparse one has some."""
    if not isinstance(mask, SparseTensor):
        raise NotImplementedError("sparse_mask(): the mask must be a sparse tensor")
    check_alike(input, mask)
    return mask._with(input[tuple(mask._places.unbind(0))])


def embedding_gradient(g: Any, indices: Any, rows: int, padding: int, scale: bool) -> Any:
    """The gradient of an embedding's table: a row for each index, but for those of the padding."""
    if scale:
        raise RuntimeError("embedding_backward: scale_grad_by_freq not supported with sparse "
                           "gradients")  # fmt: skip
    places = indices.reshape(-1).to(dt.int64)
    values = g.reshape(places._spec.size[0], g._spec.size[-1])
    if padding >= 0:
        kept = from_array(np.flatnonzero(places._memory() != padding), dt.int64)
        places, values = places.index_select(0, kept), values.index_select(0, kept)
    return made(places.unsqueeze(0), values, (rows, g._spec.size[-1]))


# ------------------------------------------------------------------ what fits


def by_number(other: Any) -> Any:
    """A number, or a tensor that holds one."""
    if isinstance(other, NUMBERS):
        return other
    if isinstance(other, Tensor) and not other.ndim and not isinstance(other, SparseTensor):
        return other
    raise NotImplementedError("a sparse tensor is multiplied with and divided by numbers only; use "
                              ".to_dense()")  # fmt: skip


def check_alike(a: Any, b: Any) -> None:
    """Tensors of one size, and with as many sparse dims."""
    if a._spec.size != b._spec.size:
        raise RuntimeError("add: expected sizes of 'self' and 'other' to match, but "
                           f"{list(a._spec.size)} != {list(b._spec.size)}")  # fmt: skip
    if a.is_sparse and a.sparse_dim() != b.sparse_dim():
        raise RuntimeError("cannot add tensors with different numbers of sparse dims")


def check_matrix(x: Any) -> None:
    if x.sparse_dim() != 2 or x.ndim != 2:
        raise NotImplementedError("this is supported for sparse matrices only; use .to_dense()")


def mm(input: Any, mat2: Any, reduce: Any = None) -> Any:
    """torch.sparse.mm: a sparse matrix times a dense one, or the other way round."""
    if reduce is not None:
        raise NotImplementedError("torch.sparse.mm(reduce=...) is not supported")
    return input @ mat2 if input.is_sparse or mat2.is_sparse else FUNCTIONS["mm"](input, mat2)


__getattr__ = absent(
    __name__,
    """addmm sampled_addmm sum softmax log_softmax spdiags spsolve as_sparse_gradcheck
    check_sparse_tensor_invariants SparseSemiStructuredTensor to_sparse_semi_structured
    sparse_csr_tensor sparse_csc_tensor sparse_bsr_tensor sparse_bsc_tensor
    sparse_compressed_tensor""",
    "sparse tensors are of the layout torch.sparse_coo, and do little; use x.to_dense()",
)
