"""A layout in the words of PyTorch's views: `ᵀ`, `[2:5]`, `.expand(8, 3)`.

Used by show.py. A layout is read beside another one, that of the storage as it was made.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

from flambeau.ir.layout import Ints, Layout, Offset, is_contiguous, view_strides

MOST_PERMUTED = 5  # dims up to which permutations are tried out


def show_size(size: Sequence[int]) -> str:
    """[8, 3], as PyTorch writes a size."""
    return f"[{', '.join(map(str, size))}]"


def show_view(layout: Layout, own: Layout) -> str:
    """How `layout` sees a storage that was made with the layout `own`: '' where it is the same.

    An offset that is a run-time input comes first: `@0`, where the view begins.
    """
    prefix, start = "", layout.offset
    if isinstance(start, Offset):
        prefix, start = str(start), 0
        own = Layout(own.size, own.stride)
    size, stride = layout.size, layout.stride
    if same(size, stride, own) and start == own.offset:
        return prefix
    core = tuple(1 if s == 0 and n > 1 else n for n, s in zip(size, stride))
    narrow = Layout(core, stride, start)
    words = plainly(narrow, own)
    if words is not None and core != size:
        words = expanded(narrow, own, size)
    return prefix + (words if words is not None else strided(Layout(size, stride, start)))


def expanded(core: Layout, own: Layout, size: Ints) -> str:
    """A view that repeats: dims in front are made by `expand` itself."""
    arguments = f".expand({', '.join(map(str, size))})"
    for skip in range(len(size), -1, -1):
        if all(n == 1 for n in core.size[:skip]):
            rest = plainly(Layout(core.size[skip:], core.stride[skip:], core.offset), own)
            if rest is not None and (len(rest) == 0 or skip == 0):
                return rest + arguments
    words = plainly(core, own)
    return f"{words}{arguments}"


def plainly(layout: Layout, own: Layout) -> str | None:
    """A view without repetition, in as few words as possible; None where there are none."""
    size, stride, start = layout.size, layout.stride, layout.offset
    if same(size, stride, own) and start == own.offset:
        return ""
    if start == own.offset:
        flat = view_strides(own.size, own.stride, size)
        if flat is not None and same(size, stride, Layout(size, flat)):
            return f".view({', '.join(map(str, size))})" if size else ".view(())"
    return transposed(layout, own) or sliced(layout, own) or None


def transposed(layout: Layout, own: Layout) -> str | None:
    """The same dims in another order, whole or sliced."""
    dims = len(layout.size)
    if dims != len(own.size) or not 2 <= dims <= MOST_PERMUTED:
        return None
    for order in permutations(range(dims)):
        if order == tuple(range(dims)):
            continue
        back = [order.index(d) for d in range(dims)]
        before = Layout(tuple(layout.size[d] for d in back), tuple(layout.stride[d] for d in back),
                        layout.offset)  # fmt: skip
        part = "" if same(before.size, before.stride, own) and before.offset == own.offset else (
            sliced(before, own))  # fmt: skip
        if part is not None:
            return part + order_word(order)
    return None


def order_word(order: tuple[int, ...]) -> str:
    """ᵀ for two dims that change places."""
    if order == (1, 0):
        return "ᵀ"
    if order == (*range(len(order) - 2), len(order) - 1, len(order) - 2):
        return ".mT"
    return f".permute({', '.join(map(str, order))})"


def sliced(layout: Layout, own: Layout) -> str | None:
    """A part along each dim: [2:5, :, 0]."""
    starts = places(layout, own)
    if starts is None:
        return None
    sizes, strides = list(layout.size), list(layout.stride)
    words: list[str] = []
    for n, s, first in zip(own.size, own.stride, starts):
        step = strides[0] // s if strides and s and strides[0] % s == 0 else 0
        spare = len(own.size) - len(words) - len(sizes)  # dims that may be taken away by a number
        if not strides or step <= 0 and (sizes[0] != 1 or spare > 0):
            words.append(str(first))
            continue
        length, step = sizes.pop(0), max(step, 1)
        strides.pop(0)
        if first + (length - 1) * step >= n and length:
            return None
        words.append(slice_word(first, length, step, n))
    if sizes:
        return None
    while words and words[-1] == ":":
        words.pop()
    return f"[{', '.join(words)}]" if words else None


def slice_word(first: int, length: int, step: int, n: int) -> str:
    """first:end:step, without what is left at its default."""
    end = first + (length - 1) * step + 1
    text = f"{first or ''}:{'' if end == n else end}"
    return text if step == 1 or length < 2 else f"{text}:{step}"


def places(layout: Layout, own: Layout) -> list[int] | None:
    """An offset as a position in each dim of the storage."""
    if isinstance(layout.offset, Offset) or isinstance(own.offset, Offset):
        return None
    rest = layout.offset - own.offset
    starts = [0] * len(own.size)
    for d in sorted(range(len(own.size)), key=lambda d: -own.stride[d]):
        if own.stride[d] > 0 and own.size[d] > 1:
            starts[d] = min(rest // own.stride[d], own.size[d] - 1)
            rest -= starts[d] * own.stride[d]
    return starts if rest == 0 and layout.offset >= own.offset else None


def same(size: Ints, stride: Ints, own: Layout) -> bool:
    """Equal but for the strides of dims that have one element at most."""
    return size == own.size and all(
        a == b or n <= 1 for n, a, b in zip(size, stride, own.stride)
    )


def strided(layout: Layout) -> str:
    """What no shorter word says."""
    start = "" if layout.offset == 0 else f", {layout.offset}"
    return f".as_strided({tuple(layout.size)}, {tuple(layout.stride)}{start})"


def show_strides(layout: Layout) -> str:
    """' strides (1, 8)' where elements do not lie in row-major order."""
    if is_contiguous(layout.size, layout.stride):
        return ""
    return f" strides {layout.stride}"


__all__ = ["show_size", "show_strides", "show_view"]
