"""How a tensor looks: its elements, widths and suffixes, letter for letter as PyTorch writes them.

Called by `Tensor.__repr__` with one materialised NumPy array. Never touches a tensor, so that
printing costs one look at the values and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from flambeau.ir import dtype as dtypes
from flambeau.ir.dtype import DType
from flambeau.ir.record import frozen, record


@record
class PrintOptions:
    """What `set_printoptions` sets."""

    precision: int = 4
    threshold: float = 1000  # more elements than this are summarised
    edgeitems: int = 3  # what is left at each end of a summarised dimension
    linewidth: int = 80
    sci_mode: bool | None = None  # None: decided by the values


_PROFILES: dict[str, dict[str, Any]] = {
    "default": dict(precision=4, threshold=1000, edgeitems=3, linewidth=80),
    "short": dict(precision=2, threshold=1000, edgeitems=2, linewidth=80),
    "full": dict(precision=4, threshold=math.inf, edgeitems=3, linewidth=80),
}
_options = PrintOptions()


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Change how tensors are printed.

    A profile ('default', 'short', 'full'; another name changes nothing) comes first, single
    options then override it.
    `sci_mode` is set by every call: leaving it out hands the choice back to the values.
    """
    chosen = dict(_PROFILES.get(profile or "", {}))
    given = dict(precision=precision, threshold=threshold, edgeitems=edgeitems, linewidth=linewidth)
    chosen.update({name: value for name, value in given.items() if value is not None})
    for name, value in chosen.items():
        setattr(_options, name, value)
    _options.sci_mode = sci_mode


def get_printoptions() -> dict[str, Any]:
    """The options in force, by name."""
    return {name: getattr(_options, name) for name in _options.__match_args__}


@contextmanager
def printoptions(**options: Any) -> Iterator[None]:
    """`set_printoptions` for the length of a `with` block."""
    before = get_printoptions()
    set_printoptions(**options)
    try:
        yield
    finally:
        set_printoptions(**before)


def format_tensor(
    array: np.ndarray,
    dtype: DType,
    *,
    default_dtype: DType = dtypes.float32,
    requires_grad: bool = False,
    grad_fn: str | None = None,
    device: str | None = None,
    prefix: str = "tensor(",
) -> str:
    """What `repr(tensor)` says.

    `array` holds the values as `ir.dtype.widen` gives them: bfloat16 and float16 as float32,
    complex32 as complex64. `grad_fn` is the name of the node's class ('AddBackward0'). `device` is
    named only where it is not the default one. `prefix` opens the text and its last line gives the
    indent: 'tensor(', 'MyTensor(', 'Parameter containing:\\ntensor('.
    """
    indent = len(prefix) - (prefix.rfind("\n") + 1)
    body = "[]" if array.size == 0 else _body(array, indent, _options)
    suffixes = [f"device='{device}'"] if device else []
    suffixes += _size_suffix(array)
    if not _goes_without_saying(array, dtype, default_dtype):
        suffixes.append(f"dtype={dtype}")
    if grad_fn is not None:
        suffixes.append(f"grad_fn=<{grad_fn}>")
    elif requires_grad:
        suffixes.append("requires_grad=True")
    return _append_suffixes(prefix + body, suffixes, indent) + ")"


def format_sparse(
    indices: np.ndarray,
    values: np.ndarray,
    size: tuple[int, ...],
    dtype: DType,
    *,
    default_dtype: DType,
    requires_grad: bool = False,
    grad_fn: str | None = None,
    prefix: str = "tensor(",
) -> str:
    """What `repr(tensor)` says of a sparse one: its indices and values, and what it is."""
    indent = len(prefix)
    lines = []
    for name, array in (("indices=tensor(", indices), ("values=tensor(", values)):
        body = "[]" if not array.size else _body(array, indent + len(name), _options)
        lines.append(name + body + ("" if array.size else f", size={array.shape}") + ")")
    suffixes = [f"nnz={len(values)}"]
    if not _goes_without_saying(values, dtype, default_dtype):
        suffixes.append(f"dtype={dtype}")
    suffixes.append("layout=torch.sparse_coo")
    if grad_fn is not None:
        suffixes.append(f"grad_fn=<{grad_fn}>")
    elif requires_grad:
        suffixes.append("requires_grad=True")
    first = f"size={size}"
    text = prefix + (",\n" + " " * indent).join([*lines, first])
    return _append_suffixes(text, suffixes, indent, indent + len(first)) + ")"


def _size_suffix(array: np.ndarray) -> list[str]:
    """The size, where the brackets may not show it."""
    unseen = array.ndim != 1 if array.size == 0 else _options.edgeitems == 0
    return [f"size={array.shape}"] if unseen else []


def _goes_without_saying(array: np.ndarray, dtype: DType, default: DType) -> bool:
    """Whether a reader can tell the dtype from the elements."""
    if array.size == 0:
        return dtype is default
    return dtype in (default, default.to_complex(), dtypes.int64, dtypes.bool_)


def _append_suffixes(
    text: str, suffixes: list[str], indent: int, column: int | None = None
) -> str:
    # PyTorch counts the line that holds the elements two characters long, for the comma to come.
    column = len(text) - text.rfind("\n") + 1 if column is None else column
    for suffix in suffixes:
        if column + len(suffix) + 2 > _options.linewidth:
            text += ",\n" + " " * indent + suffix
            column = indent + len(suffix)
        else:
            text += ", " + suffix
            column += len(suffix) + 2
    return text


# ---- elements -----------------------------------------------------------------------------------

Write = Callable[[Any], str]


@frozen
class Page:
    """How the elements of one tensor are written and how many go on a line."""

    write: Write
    width: int  # of an element and the ', ' after it
    linewidth: int
    edge: int | None  # how many elements a summary leaves at each end; None: all are written


def _body(array: np.ndarray, indent: int, options: PrintOptions) -> str:
    """The elements in their brackets, without prefix and suffixes."""
    if array.ndim == 0:
        return _writer(array, options)[0](array.item())
    if array.size <= options.threshold:
        return _brackets(array, indent, Page(*_writer(array, options), options.linewidth, None))
    if options.edgeitems == 0:
        return "[...]"
    shown = _edges(array, options.edgeitems)
    page = Page(*_writer(shown, options), options.linewidth, options.edgeitems)
    return _brackets(array, indent, page)


def _edges(array: np.ndarray, edge: int) -> np.ndarray:
    """Only the elements that a summary shows: they alone decide the width."""
    for dim, size in enumerate(array.shape):
        if size > 2 * edge:
            array = array.take([*range(edge), *range(size - edge, size)], axis=dim)
    return array


def _brackets(array: np.ndarray, indent: int, page: Page) -> str:
    """`array` as nested lists, the rows of a dimension under each other."""
    if array.ndim == 1:
        words = _parts(array, page.edge, lambda ends: list(map(page.write, ends.tolist())), " ...")
        per_line = max(1, (page.linewidth - indent) // page.width)
        words = [", ".join(words[i : i + per_line]) for i in range(0, len(words), per_line)]
    else:
        deeper = indent + 1
        words = _parts(
            array, page.edge, lambda ends: [_brackets(row, deeper, page) for row in ends], "..."
        )
    between = "," + "\n" * max(1, array.ndim - 1) + " " * (indent + 1)
    return "[" + between.join(words) + "]"


def _parts(
    array: np.ndarray, edge: int | None, words: Callable[[np.ndarray], list[str]], dots: str
) -> list[str]:
    """The words for all of `array`, or for its two ends and dots between them."""
    if edge is None or len(array) <= 2 * edge:
        return words(array)
    return [*words(array[:edge]), dots, *words(array[-edge:])]


# ---- numbers ------------------------------------------------------------------------------------


def _writer(array: np.ndarray, options: PrintOptions) -> tuple[Write, int]:
    """A function that writes one element of `array`, and the room that an element takes."""
    if array.dtype.kind == "c":
        real, real_width = _float_writer(array.real, options)
        imag, imag_width = _float_writer(array.imag, options)
        return _complex_writer(real, imag), real_width + imag_width + 3
    if array.dtype.kind == "f":
        write, width = _float_writer(array, options)
    else:
        width = max(len(str(value)) for value in array.ravel().tolist())
        write = _aligned(str, width)
    return write, width + 2


def _float_writer(array: np.ndarray, options: PrintOptions) -> tuple[Write, int]:
    """A function that writes the floats of `array` in the one style that suits them, aligned.

    Zeros, infinities and NaN have no say in style and width, and may stick out.
    """
    array = array.astype(np.float64)
    telling = array[np.isfinite(array) & (array != 0)]
    whole = bool((telling == np.ceil(telling)).all())
    scientific = _spread_is_wide(np.abs(telling), whole)
    if options.sci_mode is not None and telling.size:
        scientific = options.sci_mode
    if scientific:
        write: Write = f"{{:.{options.precision}e}}".format
    else:
        write = _write_whole if whole else f"{{:.{options.precision}f}}".format
    width = max(map(len, map(write, telling.tolist())), default=1)
    return _aligned(write, width), width


def _spread_is_wide(sizes: np.ndarray, whole: bool) -> bool:
    """Whether absolute values this large, small or far apart call for exponents."""
    if sizes.size == 0:
        return False
    low, high = sizes.min(), sizes.max()
    with np.errstate(over="ignore"):
        return bool(high / low > 1000 or high > 1e8 or (not whole and low < 1e-4))


def _write_whole(value: float) -> str:
    return f"{value:.0f}." if math.isfinite(value) else f"{value:.0f}"


def _aligned(write: Write, width: int) -> Write:
    return lambda value: write(value).rjust(width)


def _complex_writer(real: Write, imag: Write) -> Write:
    def write(value: complex) -> str:
        second = imag(value.imag).lstrip() + "j"
        return real(value.real) + ("" if second[0] in "+-" else "+") + second

    return write
