"""Where the elements of a tensor lie, as arithmetic on sizes and strides.

Everything here is pure: tuples in, tuples out, counted in elements.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod

from flambeau.ir.dtype import DType
from flambeau.ir.record import frozen

Ints = tuple[int, ...]


def contiguous_strides(size: Sequence[int]) -> Ints:
    """Row-major strides; a size of 0 counts as 1, as in PyTorch."""
    stride, strides = 1, []
    for n in reversed(size):
        strides.append(stride)
        stride *= max(n, 1)
    return tuple(reversed(strides))


def is_contiguous(size: Ints, stride: Ints) -> bool:
    """Whether the elements lie in row-major order without gaps (dims of size 1 don't matter)."""
    expected = 1
    for n, s in zip(reversed(size), reversed(stride)):
        if n == 0:
            return True
        if n != 1:
            if s != expected:
                return False
            expected *= n
    return True if 0 not in size else True


def is_dense(size: Ints, stride: Ints) -> bool:
    """Whether the elements fill their memory without gaps or overlap, in any order of dims."""
    expected = 1
    for s, n in sorted((s, n) for n, s in zip(size, stride) if n != 1):
        if s != expected:
            return 0 in size
        expected *= n
    return True


def result_strides(size: Ints, operands: Sequence[Ints]) -> Ints:
    """Strides of a fresh elementwise result: the memory order of the operands (preserve_format).

    `operands` are strides already broadcast to `size`. Dims are sorted, by insertion, after the
    first operand that tells two of them apart; broadcast dims (stride 0) tell nothing.
    """
    order = list(range(len(size) - 1, -1, -1))  # innermost first
    for i in range(1, len(order)):
        moving = i
        for k in range(i - 1, -1, -1):
            verdict = _steps_farther(size, operands, order[k], order[moving])
            if verdict > 0:
                order[k], order[moving] = order[moving], order[k]
                moving = k
            elif verdict < 0:
                break
    strides, step = [0] * len(size), 1
    for d in order:
        strides[d] = step
        step *= max(size[d], 1)
    return tuple(strides)


def _steps_farther(size: Ints, operands: Sequence[Ints], a: int, b: int) -> int:
    """1 where dim a steps farther in memory than dim b, -1 where less far, 0 where unknown."""
    for stride in operands:
        if stride[a] == 0 or stride[b] == 0:
            continue
        if stride[a] != stride[b]:
            return 1 if stride[a] > stride[b] else -1
        if size[a] > size[b]:
            return 1
    return 0


def extent(size: Ints, stride: Ints) -> int:
    """How many elements from its offset on a view touches."""
    if 0 in size:
        return 0
    return 1 + sum((n - 1) * s for n, s in zip(size, stride))


def overlaps_itself(size: Ints, stride: Ints) -> bool:
    """Whether two indices may name one element (cheap and conservative, as PyTorch decides)."""
    expected = 1
    for s, n in sorted((s, n) for n, s in zip(size, stride) if n > 1):
        if s < expected:
            return 0 not in size
        expected = 1 + (n - 1) * s + (expected - 1)
    return False


def broadcast_sizes(sizes: Sequence[Ints]) -> Ints:
    """The common size, or RuntimeError in PyTorch's words."""
    rank = max((len(s) for s in sizes), default=0)
    result = [1] * rank
    for size in sizes:
        lead = rank - len(size)
        for d, n in enumerate(size, lead):
            if n != 1 and n != result[d]:
                if result[d] != 1:
                    raise RuntimeError(
                        f"The size of tensor a ({result[d]}) must match the size of tensor b ({n})"
                        f" at non-singleton dimension {d}\n"
                        f"  hint: two sizes match where they are equal or one is 1")  # fmt: skip
                result[d] = n
    return tuple(result)


def broadcast_strides(size: Ints, stride: Ints, to: Ints) -> Ints:
    """Strides that read `size` as if it were `to`: 0 along every dim that repeats."""
    lead = len(to) - len(size)
    return (0,) * lead + tuple(
        0 if n == 1 and m != 1 else s for n, s, m in zip(size, stride, to[lead:])
    )


@lru_cache(maxsize=4096)
def view_strides(size: Ints, stride: Ints, new: Ints) -> Ints | None:
    """Strides under which the same memory has size `new`, or None where only a copy can."""
    if prod(size) == 0:
        return stride if size == new else contiguous_strides(new)
    strides = [0] * len(new)
    d = len(new) - 1
    step, block, base = 1, 1, 1
    for k in range(len(size) - 1, -1, -1):  # walk chunks of dims that lie contiguously
        if block == 1:
            base = stride[k]
        block *= size[k]
        if k > 0 and (size[k - 1] == 1 or stride[k - 1] == block * base):
            continue
        step = 1
        while d >= 0 and (step < block or new[d] == 1):
            strides[d] = step * base
            step *= new[d]
            d -= 1
        if step != block:
            return None
        block = 1
    if not size:
        return (1,) * len(new)
    return tuple(strides) if d < 0 else None


class Spec:
    """What a tensor is, apart from where it lies: size, stride, dtype, device, requires_grad.

    Interned by `spec_of`: equal specs are one object, so that keys of the trie compare by identity.
    """

    __slots__ = ("size", "stride", "dtype", "device", "requires_grad", "numel", "contiguous",
                 "twin", "element", "extent", "_layout")  # fmt: skip

    size: Ints
    stride: Ints
    dtype: DType
    device: str
    requires_grad: bool
    numel: int
    contiguous: bool
    twin: Spec | None  # the same with requires_grad turned over
    element: Spec | None  # one element of it, without a gradient, once somebody asked
    extent: int
    _layout: Layout | None

    @property
    def layout(self) -> Layout:
        """Where the elements lie of a tensor that begins where its storage does."""
        if self._layout is None:
            self._layout = Layout(self.size, self.stride)
        return self._layout

    @property
    def shape(self) -> Ints:
        return self.size

    @property
    def ndim(self) -> int:
        return len(self.size)

    @property
    def resolved(self) -> Spec:
        """The same, as rules see it: of the plain type where a view conjugates or negates."""
        if not self.dtype.lazy:
            return self
        return spec_of(self.size, self.stride, self.dtype.plain, self.requires_grad, self.device)

    def with_grad(self, requires_grad: bool) -> Spec:
        """The same but for requires_grad."""
        if self.requires_grad == requires_grad:
            return self
        if self.twin is None:
            self.twin = spec_of(self.size, self.stride, self.dtype, requires_grad, self.device)
        return self.twin

    def __repr__(self) -> str:
        return f"{self.dtype.name}[{', '.join(map(str, self.size))}]"


_specs: dict[tuple[object, ...], Spec] = {}


def spec_of(size: Ints, stride: Ints | None, dtype: DType, requires_grad: bool = False,
            device: str = "cpu") -> Spec:  # fmt: skip
    """The one Spec with these facts; stride None means row-major."""
    if stride is None:
        stride = contiguous_strides(size)
    key = (size, stride, dtype, requires_grad, device)
    spec = _specs.get(key)
    if spec is None:
        spec = _specs[key] = Spec()
        spec.size, spec.stride, spec.dtype = size, stride, dtype
        spec.requires_grad, spec.device = requires_grad, device
        spec.numel = prod(size)
        spec.contiguous = is_contiguous(size, stride)
        spec.extent = extent(size, stride)
        spec.twin = spec.element = spec._layout = None
    return spec


@frozen
class Offset:
    """An offset that is a run-time input: the index-th of the stretch."""

    index: int

    def __repr__(self) -> str:
        return f"@{self.index}"


@frozen
class Layout:
    """Where the elements of a tensor lie in its storage, counted in elements."""

    size: Ints
    stride: Ints
    offset: int | Offset = 0

    @property
    def numel(self) -> int:
        return prod(self.size)

    @property
    def plain(self) -> bool:
        """Row-major from the storage's start."""
        return self.offset == 0 and is_contiguous(self.size, self.stride)
