"""Cases for the tests of ops: operands that turn into tensors of either framework, and comparisons.

A case comes from a row's samples: `new(2, 3)` of ops/samples.py is an Operand here.
"""

from __future__ import annotations

import math
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flambeau.ir import dtype as dt
from flambeau.ops.samples import Refused, Sample
from flambeau.ops.table import TABLE

DTYPES = (dt.float32, dt.float64, dt.float16, dt.bfloat16, dt.bool_, dt.uint8, dt.int8, dt.int32,
          dt.int64, dt.complex64, dt.complex128)  # fmt: skip
# How far results may lie apart: relative, absolute.
TOLERANCE = {dt.float64: (1e-10, 1e-10), dt.float32: (2e-5, 2e-5), dt.float16: (2e-3, 2e-3),
             dt.bfloat16: (1.6e-2, 1.6e-2), dt.complex32: (2e-3, 2e-3), dt.complex64: (5e-5, 5e-5),
             dt.complex128: (1e-10, 1e-10)}  # fmt: skip
# PyTorch rounds each step to the narrow type here; Flambeau rounds once.
STEPWISE = {"grid_sampler_2d", "grid_sampler_3d", "prod", "prod_all", "nll_loss", "nll_loss2d"}
# Where PyTorch's own approximations are good to so many digits less than these.
ROUGH = {"polygamma": 1e2, "special_airy_ai": 1e6, "special_bessel_j0": 1e5,
         "special_bessel_j1": 1e5, "special_bessel_y0": 1e5, "special_bessel_y1": 1e5}  # fmt: skip
# Nodes that PyTorch names after the function around them or with a namespace; where all bounds are
# numbers, clamp_tensor is not what it calls.
UNNAMED = {"conj_physical", "celu_scaled", "nll_loss2d", "floor_divide", "clamp_tensor",
           "_pack_padded", "_rrelu_with_noise", "heaviside"}  # fmt: skip
# Derivatives that PyTorch lacks or refuses where Flambeau has them.
UNDERIVED = {"hardsigmoid", "scatter_add", "_cdist", "multi_margin_loss", "multilabel_margin_loss",
             "_layer_norm"}  # fmt: skip
# The same, of complex results alone.
UNDERIVED_COMPLEX = {"soft_margin_loss", "scatter_reduce", "nan_to_num", "silu", "softmax",
                     "log_softmax", "embedding"}  # fmt: skip
POLYNOMIALS = {name for name in TABLE if "_polynomial_" in name}  # those of NaN are not initialised
# Where PyTorch's own answer to NaN and infinity is an accident of its algorithm: Welford's mean of
# infinities depends on their order, vectorised gelu(inf) is NaN, and convolutions skip the zeros
# around the input or multiply by them; what a grid of NaN reads depends on vectors.
UNSPICED = {*POLYNOMIALS,
            "_cdist", "var_mean", "std_mean", "gelu", "convolution", "_layer_norm", "_group_norm",
            "grid_sampler_2d", "grid_sampler_3d"}  # fmt: skip


@dataclass(frozen=True)
class Operand:
    """An array that becomes a tensor, and the views to take of it."""

    array: np.ndarray
    dtype: dt.DType
    views: tuple[tuple[Any, ...], ...] = ()

    def t(self) -> Operand:
        return Operand(self.array, self.dtype, (*self.views, ("t",)))

    def transpose(self, a: int, b: int) -> Operand:
        return Operand(self.array, self.dtype, (*self.views, ("transpose", a, b)))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *args: Operand(self.array, self.dtype, (*self.views, (name, *args)))

    def viewed(self, tensor: Any) -> Any:
        for name, *args in self.views:
            tensor = getattr(tensor, name)(*args)
        return tensor


@dataclass
class New:
    """What samples call to make operands, in one dtype, reproducibly."""

    dtype: dt.DType
    seed: int = 0
    extremes: bool = False
    state: Any = field(init=False)

    def __post_init__(self) -> None:
        self.state = np.random.RandomState(self.seed)

    def __call__(self, *size: int, low: float = -3.0, high: float = 3.0, nonzero: bool = False,
                 kinked: bool = False, **_: Any) -> Operand:  # fmt: skip
        values = self.state.uniform(low, high, size)
        if self.dtype.kind == "c":
            values = values + 1j * self.state.uniform(low, high, size)
        elif self.dtype.kind == "f":
            if nonzero or kinked:
                values = np.where(np.abs(values) < 0.2, values + np.copysign(0.4, values), values)
            if self.extremes:
                values = spiced(values, self.state)
        else:
            values = integers(values, self.dtype, nonzero)
        return Operand(np.asarray(values), self.dtype)

    def index(self, *size: int, low: int = 0, high: int = 2) -> Operand:
        return Operand(self.state.randint(low, max(high, low + 1), size), dt.int64)

    def mask(self, *size: int) -> Operand:
        return Operand(self.state.randint(0, 2, size).astype(bool), dt.bool_)


def spiced(values: np.ndarray, state: Any) -> np.ndarray:
    """Some NaN, infinities and zeros of both signs among the values."""
    flat = np.array(values, dtype=np.float64).reshape(-1)
    for special in (math.nan, math.inf, -math.inf, 0.0, -0.0):
        if flat.size:
            flat[state.randint(0, flat.size, max(flat.size // 12, 1))] = special
    return flat.reshape(np.shape(values))


def integers(values: np.ndarray, dtype: dt.DType, nonzero: bool) -> np.ndarray:
    """Whole numbers of the type, near the ones drawn."""
    whole = np.round(values).astype(np.int64)
    if dtype.kind == "b":
        return whole > 0
    whole = np.abs(whole) if dtype.kind == "u" else whole
    whole = whole.astype(dtype.numpy)
    return np.where(whole == 0, 1, whole) if nonzero else whole


def samples_of(op: Any, dtype: dt.DType, extremes: bool = False) -> Iterator[Sample]:
    """The cases of a row in one dtype; the same ones in every run."""
    new = New(dtype, zlib.crc32(op.name.encode()), extremes)
    yield from op.samples(new) if op.samples else ()


def tested() -> list[Any]:
    """The rows that have samples."""
    return [op for op in TABLE.values() if any(True for _ in samples_of(op, dt.float32))]


# ------------------------------------------------------------------ tensors of either framework


def ours(x: Any, requires_grad: bool = False) -> Any:
    """An operand as a tensor of Flambeau; lists and others are gone through."""
    import flambeau

    if isinstance(x, (list, tuple)):
        return type(x)(ours(a, requires_grad) for a in x)
    if isinstance(x, dt.DType):
        return x
    if not isinstance(x, Operand):
        return x
    leaf = flambeau.tensor(x.array.tolist(), dtype=x.dtype).reshape(x.array.shape)
    if requires_grad and x.dtype.kind in "fc":
        leaf.requires_grad_()
    return x.viewed(leaf), leaf


def theirs(x: Any, requires_grad: bool = False) -> Any:
    """An operand as a tensor of PyTorch."""
    import torch

    if isinstance(x, (list, tuple)):
        return type(x)(theirs(a, requires_grad) for a in x)
    if isinstance(x, dt.DType):
        return getattr(torch, x.name)
    if not isinstance(x, Operand):
        return x
    leaf = torch.tensor(x.array.tolist(), dtype=getattr(torch, x.dtype.name)).reshape(x.array.shape)
    if requires_grad and x.dtype.kind in "fc":
        leaf.requires_grad_()
    return x.viewed(leaf), leaf


def arguments(sample: Sample, make: Callable[..., Any], op: Any = None) -> Any:
    """Arguments of a call, and the leaves among them: those that `op` has derivatives for."""
    leaves: list[Any] = []

    def argument(x: Any, name: str) -> Any:
        if isinstance(x, (list, tuple)) and any(isinstance(a, Operand) for a in x):
            return type(x)(argument(a, name) for a in x)
        if not isinstance(x, Operand):
            return make(x)
        grad = op is not None and name in op.grad and x.dtype.kind in "fc"
        tensor, leaf = make(x, grad)
        if grad:
            leaves.append(leaf)
        return tensor

    names = [p.name for p in op.params] if op is not None else [""] * len(sample.args)
    args = [argument(a, name) for a, name in zip(sample.args, names)]
    return args, {k: argument(v, k) for k, v in sample.kwargs.items()}, leaves


# ------------------------------------------------------------------ comparing


@dataclass(frozen=True)
class Outcome:
    """What a call gave: results as arrays with their facts, or the class of its error."""

    results: tuple[tuple[Any, ...], ...] = ()
    error: type[BaseException] | None = None
    words: str = ""


def outcome(call: Callable[[], Any], facts: Callable[[Any], tuple[Any, ...]]) -> Outcome:
    """Run a call; errors are outcomes too."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = call()
            many = isinstance(result, (tuple, list))
            return Outcome(tuple(facts(r) for r in (result if many else (result,))))
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        return Outcome((), type(error), str(error).split("\n")[0])


def our_facts(x: Any) -> tuple[Any, ...]:
    if not hasattr(x, "_spec"):
        return (type(x).__name__, (), (), x)
    spec = x._spec
    return spec.dtype.name, spec.size, spec.stride, np.array(x.tolist(), dtype=object)


def their_facts(x: Any) -> tuple[Any, ...]:
    if not hasattr(x, "stride"):
        return (type(x).__name__, (), (), x)
    return str(x.dtype)[6:], tuple(x.shape), x.stride(), np.array(x.tolist(), dtype=object)


def difference(mine: Outcome, other: Outcome, strides: bool = True, slack: float = 1) -> str:
    """What differs, in words; '' where nothing does."""
    if mine.error or other.error:
        if mine.error and other.error and issubclass(mine.error, other.error):
            return ""
        return f"ours {mine.error and mine.error.__name__} {mine.words!r}, " \
               f"theirs {other.error and other.error.__name__} {other.words!r}"  # fmt: skip
    if len(mine.results) != len(other.results):
        return f"{len(mine.results)} results, theirs {len(other.results)}"
    for (dtype, size, stride, values), (dtype2, size2, stride2, values2) in zip(
        mine.results, other.results
    ):
        if (dtype, size) != (dtype2, size2):
            return f"ours {dtype}{list(size)}, theirs {dtype2}{list(size2)}"
        if strides and stride != stride2 and 0 not in size:
            return f"strides {stride}, theirs {stride2}"
        if text := far_apart(values, values2, dtype, slack):
            return text
    return ""


def far_apart(mine: Any, other: Any, dtype: str, slack: float) -> str:
    rtol, atol = TOLERANCE.get(dt.BY_NAME.get(dtype, dt.int64), (0.0, 0.0))
    rtol, atol = rtol * slack, atol * slack
    a, b = np.asarray(mine), np.asarray(other)
    if a.dtype == object:
        kind = (np.complex128 if dtype.startswith("complex") else np.float64) if rtol else object
        a, b = a.astype(kind), b.astype(kind)
    close = np.isclose(a, b, rtol, atol, equal_nan=True) if rtol else a == b
    if np.all(close):
        return ""
    where = np.argwhere(~np.atleast_1d(close))[0]
    place = tuple(where) if a.ndim else ()
    return f"values {a[place]!r}, theirs {b[place]!r} at {list(map(int, place))}"


def refused(sample: Sample) -> bool:
    return isinstance(sample, Refused)
