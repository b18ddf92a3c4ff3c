"""assert_close: numbers, tensors, arrays, and containers of them, compared part by part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from flambeau.info import promote_types
from flambeau.ir import dtype as dt
from flambeau.tensor import Tensor
from flambeau.trace.trie import here

# dtype → relative and absolute tolerance; what is not here has to be equal.
TOLERANCES = {
    dt.float16: (1e-3, 1e-5),
    dt.bfloat16: (1.6e-2, 1e-5),
    dt.float32: (1.3e-6, 1e-5),
    dt.float64: (1e-7, 1e-7),
    dt.complex32: (1e-3, 1e-5),
    dt.complex64: (1.3e-6, 1e-5),
    dt.complex128: (1e-7, 1e-7),
}
NUMBERS = {int: dt.int64, float: dt.float64, complex: dt.complex128}
Path = tuple[Any, ...]


class Mismatch(AssertionError):
    """Two parts that are not close; path: where they stand in the containers."""

    def __init__(self, text: str, path: Path) -> None:
        places = "".join(f"[{key!r}]" for key in path)
        super().__init__(f"{text}\n\nThe failure occurred for item {places}" if path else text)


class Comparison:
    """The options of one assert_close."""

    def __init__(self, rtol: float | None, atol: float | None, equal_nan: bool,
                 allow_subclasses: bool, checks: dict[str, bool]) -> None:  # fmt: skip
        if (rtol is None) != (atol is None):
            raise ValueError("Both 'rtol' and 'atol' must be either specified or omitted, but got "
                             f"no {'rtol' if rtol is None else 'atol'}.")  # fmt: skip
        self.rtol, self.atol, self.equal_nan = rtol, atol, equal_nan
        self.allow_subclasses, self.checks = allow_subclasses, checks

    def compare(self, actual: Any, expected: Any, path: Path = ()) -> None:
        """Raise Mismatch where two things are not close."""
        both = actual, expected
        if all(isinstance(x, Sequence) and not isinstance(x, str) for x in both):
            self.sequences(actual, expected, path)
        elif all(isinstance(x, Mapping) for x in both):
            self.mappings(actual, expected, path)
        elif actual is None or expected is None:
            if actual is not expected:
                raise Mismatch(f"None mismatch: {actual} is not {expected}", path)
        elif all(isinstance(x, (bool, np.bool_)) for x in both):
            if bool(actual) is not bool(expected):
                raise Mismatch(f"Booleans mismatch: {actual} is not {expected}", path)
        elif all(is_number(x) for x in both):
            self.numbers(actual, expected, path)
        elif all(isinstance(x, Tensor) for x in both) and self.related(*both):
            self.tensors(actual, expected, path)
        elif all(isinstance(x, np.ndarray) for x in both):
            from flambeau.sharing import as_tensor

            self.tensors(as_tensor(actual), as_tensor(expected), path)
        else:
            raise TypeError("No comparison pair was able to handle inputs of type "
                            f"{shown(actual)} and {shown(expected)}.")  # fmt: skip

    def related(self, actual: Any, expected: Any) -> bool:
        """Whether the classes of two tensors may be compared."""
        a, b = type(actual), type(expected)
        return a is b or self.allow_subclasses

    def sequences(self, actual: Any, expected: Any, path: Path) -> None:
        if len(actual) != len(expected):
            raise Mismatch(
                f"The length of the sequences mismatch: {len(actual)} != {len(expected)}", path
            )
        for i, (a, b) in enumerate(zip(actual, expected)):
            self.compare(a, b, (*path, i))

    def mappings(self, actual: Any, expected: Any, path: Path) -> None:
        missing = sorted(set(expected) - set(actual), key=repr)
        additional = sorted(set(actual) - set(expected), key=repr)
        if missing or additional:
            raise Mismatch("The keys of the mappings do not match:\nMissing keys in the actual "
                           f"mapping: {missing}\nAdditional keys in the actual mapping: "
                           f"{additional}", path)  # fmt: skip
        for key in sorted_if_possible(actual):
            self.compare(actual[key], expected[key], (*path, key))

    def numbers(self, actual: Any, expected: Any, path: Path) -> None:
        a, b = type(actual), type(expected)
        if self.checks["dtype"] and a is not b:
            raise Mismatch(f"The (d)types do not match: {a} != {b}.", path)
        rtol, atol = self.tolerances(number_dtype(actual), number_dtype(expected))
        if not close(np.asarray(actual), np.asarray(expected), rtol, atol, self.equal_nan).all():
            raise Mismatch(apart(actual, expected, rtol, atol), path)

    def tensors(self, actual: Any, expected: Any, path: Path) -> None:
        for name in ("shape", "device", "dtype", "layout", "stride()"):
            a, b = attribute(actual, name), attribute(expected, name)
            if a != b and self.checks.get(name.removesuffix("()"), True):
                text = f"The values for attribute '{name}' do not match: {a} != {b}."
                raise Mismatch(text, path)
        rtol, atol = self.tolerances(actual.dtype, expected.dtype)
        common = actual.dtype
        if expected.dtype is not common:
            common = promote_types(common, expected.dtype)
        left, right = values(actual, common), values(expected, common)
        matches = close(left, right, rtol, atol, self.equal_nan)
        if matches.all():
            return
        if not actual.ndim:
            raise Mismatch(apart(left.item(), right.item(), rtol, atol), path)
        raise Mismatch(report(left, right, matches, rtol, atol), path)

    def tolerances(self, a: dt.DType, b: dt.DType) -> tuple[float, float]:
        """Those given, or the wider of what the types allow."""
        if self.rtol is not None and self.atol is not None:
            return self.rtol, self.atol
        found = TOLERANCES.get(a, (0.0, 0.0)), TOLERANCES.get(b, (0.0, 0.0))
        return max(found[0][0], found[1][0]), max(found[0][1], found[1][1])


def is_number(x: Any) -> bool:
    return isinstance(x, (int, float, complex, np.number)) and not isinstance(x, bool)


def number_dtype(x: Any) -> dt.DType:
    """The type whose tolerance a number has."""
    if isinstance(x, np.number) and not isinstance(x, (float, complex)):
        return dt.FROM_NUMPY[x.dtype]
    return next(dtype for cls, dtype in NUMBERS.items() if isinstance(x, cls))


def shown(x: Any) -> str:
    """A class as PyTorch prints it."""
    return "<class 'torch.Tensor'>" if type(x) is Tensor else str(type(x))


def sorted_if_possible(keys: Any) -> list[Any]:
    try:
        return sorted(keys)
    except TypeError:
        return list(keys)


def attribute(x: Any, name: str) -> Any:
    return x.stride() if name == "stride()" else getattr(x, name)


def values(x: Any, dtype: dt.DType) -> np.ndarray:
    """The elements in a type in which differences are exact enough: integers as int64."""
    array = x.detach().to(dtype)._numbers()
    return array.astype(np.int64) if array.dtype.kind in "bui" and array.dtype != np.uint64 else (
        array)  # fmt: skip


def close(a: np.ndarray, b: np.ndarray, rtol: float, atol: float, equal_nan: bool) -> np.ndarray:
    """Where |a - b| <= atol + rtol · |b|, or both are the same infinity, or NaN if that counts."""
    if rtol < 0 or atol < 0:
        raise ValueError(f"rtol and atol must not be negative, but got {rtol} and {atol}")
    with np.errstate(all="ignore"):
        matches = a == b
        if rtol or atol:
            matches = matches | np.isfinite(b) & (np.abs(a - b) <= atol + rtol * np.abs(b))
        if equal_nan:
            matches = matches | np.isnan(a) & np.isnan(b)
    return np.asarray(matches)


def apart(actual: Any, expected: Any, rtol: float, atol: float) -> str:
    """What is wrong with two numbers."""
    absolute = abs(actual - expected)
    relative = absolute / abs(expected) if expected else float("inf")
    return "\n".join((
        f"Scalars are not {'close' if rtol or atol else 'equal'}!", "",
        f"Expected {expected} but got {actual}.",
        f"Absolute difference: {absolute}{allowed(atol, rtol, atol)}",
        f"Relative difference: {relative}{allowed(rtol, rtol, atol)}",
    ))  # fmt: skip


def report(a: np.ndarray, b: np.ndarray, matches: np.ndarray, rtol: float, atol: float) -> str:
    """How many elements differ, and where the largest differences are."""
    count, total = matches.size - int(np.count_nonzero(matches)), matches.size
    with np.errstate(all="ignore"):
        absolute = np.where(matches, 0, np.abs(a - b))
        quotient = absolute / np.abs(b)
        if a.dtype.kind in "biu":  # what PyTorch makes of a quotient of integers
            quotient = quotient.astype(here.stretch.mode.default_dtype.numpy)
        relative = np.where(matches, 0, quotient)
    return "\n".join((
        f"Tensor-likes are not {'close' if rtol or atol else 'equal'}!", "",
        f"Mismatched elements: {count} / {total} ({count / total:.1%})",
        f"Greatest absolute difference: {largest(absolute)}{allowed(atol, rtol, atol)}",
        f"Greatest relative difference: {largest(relative)}"
        f"{allowed(rtol, rtol, atol)}",
    ))  # fmt: skip


def largest(difference: np.ndarray) -> str:
    """The largest, and its index."""
    index = np.unravel_index(int(np.argmax(difference)), difference.shape)
    return f"{difference[index].item()} at index {tuple(map(int, index))}"


def allowed(limit: float, rtol: float, atol: float) -> str:
    return f" (up to {limit} allowed)" if rtol or atol else ""


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """Raise AssertionError unless |actual - expected| <= atol + rtol · |expected| everywhere.

    Tensors, arrays and numbers, and sequences and mappings of them. Without tolerances, those of
    the dtypes. msg: the text of the error, or a function of the text that it would have.
    """
    checks = {"device": check_device, "dtype": check_dtype, "layout": check_layout,
              "stride": check_stride}  # fmt: skip
    comparison = Comparison(rtol, atol, equal_nan, allow_subclasses, checks)
    try:
        comparison.compare(actual, expected)
    except Mismatch as error:
        text = msg(str(error)) if callable(msg) else msg or str(error)
        raise AssertionError(text) from None


OLD_TOLERANCES = {dt.float16: (1e-3, 1e-3), dt.float32: (1e-4, 1e-5), dt.float64: (1e-5, 1e-8)}


def assert_allclose(
    actual: Any,
    expected: Any,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = True,
    msg: str = "",
) -> None:
    """The old form of assert_close: wider tolerances, and dtypes are not compared."""
    from flambeau.sharing import as_tensor

    actual = as_tensor(actual)
    expected = as_tensor(expected, dtype=actual.dtype)
    if rtol is None and atol is None:
        rtol, atol = OLD_TOLERANCES.get(actual.dtype, (0.0, 0.0))
    assert_close(actual, expected, rtol=rtol, atol=atol, equal_nan=equal_nan, check_dtype=False,
                 msg=msg or None)  # fmt: skip
