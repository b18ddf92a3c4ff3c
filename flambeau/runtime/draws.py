"""What each distribution draws from the stream: the NumPy meaning of every random op.

Each function advances `state` and returns n values in the order they were drawn, as they lie in
memory (bfloat16 as uint16). A target that is not contiguous takes them along `draw_order`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from flambeau.ir.dtype import (
    DType,
    bfloat16,
    bool_,
    compute_dtype,
    float16,
    float32,
    float64,
    int64,
    narrow,
    uint32,
    uint64,
    widen,
)
from flambeau.runtime.exact import box_muller, fma, libm
from flambeau.runtime.generator import State, fields, raw32, raw64

Array = np.ndarray

DIGITS = {float16: 11, bfloat16: 8, float32: 24, float64: 53}  # of the mantissa
WIDE_RANGE = 2**28  # from here on an integer takes two words, so that % skews it less
WIDE_PERMUTATION = (2**32 - 1) // 20


def draw_order(shape: Sequence[int], *strides: Sequence[int]) -> tuple[int, ...]:
    """The dims, slowest first, in which a target is filled: memory order, as far as there is one.

    `strides` are the target's, then those of a tensor read beside it (bernoulli_ of a tensor).
    Drawn values, shaped alike, go to `target.permute(draw_order)` in row-major order.
    """
    order = list(range(len(shape)))[::-1]
    for i in range(1, len(order)):
        at = i
        for before in range(i - 1, -1, -1):
            slower = _compare(shape, strides, order[before], order[at])
            if slower > 0:
                order[before], order[at] = order[at], order[before]
                at = before
            elif slower < 0:
                break
    return tuple(order[::-1])


def _compare(shape: Sequence[int], strides: tuple[Sequence[int], ...], a: int, b: int) -> int:
    """1 where dim a must be slower than dim b, -1 where faster, 0 where nothing tells."""
    for stride in strides:
        if stride[a] == 0 or stride[b] == 0:
            continue
        if stride[a] != stride[b]:
            return 1 if stride[a] > stride[b] else -1
        if shape[a] > shape[b]:
            return 1
    return 0


def _round_to(values: Array, dtype: DType) -> Array:
    """Values as elements of `dtype`; float64 reaches float16 by way of float32, as in PyTorch."""
    return narrow(values.astype(np.float32) if dtype in (float16, bfloat16) else values, dtype)


def _unit(state: State, n: int, dtype: DType) -> Array:
    """n numbers in [0, 1): two words each for float64, else one."""
    if dtype is float64:
        return (raw64(state, n) & np.uint64(2**53 - 1)) * 2.0**-53
    return (raw32(state, n) & np.uint32(2**24 - 1)).astype(np.float32) * np.float32(2**-24)


def uniform(state: State, n: int, dtype: DType, low: float = 0.0, high: float = 1.0) -> Array:
    """Numbers in [low, high)."""
    work = compute_dtype(dtype)
    a, b = (work.numpy.type(v) for v in (low, high))
    drawn = _round_to(fma(_unit(state, n, work), b - a, a), dtype)
    lowest, highest = _round_to(np.array([low, high]), dtype)
    return np.where(drawn == highest, lowest, drawn)


def normal(
    state: State, n: int, dtype: DType, mean: float = 0.0, std: float = 1.0,
    contiguous: bool = True,
) -> Array:  # fmt: skip
    """Normals: from 16 on in blocks of 16, the last of which is drawn anew where n is no multiple.

    Fewer, or for a target that is not contiguous, one after the other, the second of a pair kept.
    """
    if n < 16 or not contiguous:
        return _round_to(_normals_one_by_one(state, n, mean, std), dtype)
    work = compute_dtype(dtype)
    # float16 and bfloat16 draw block by block: those in the last, broken block are not drawn twice
    u = _unit(state, n if work is dtype else n - n % 16, work)
    drawn = np.empty(n, work.numpy)
    drawn[: n - n % 16] = box_muller(u[: n - n % 16], mean, std)
    if n % 16:
        drawn[n - 16 :] = box_muller(_unit(state, 16, work), mean, std)
    return _round_to(drawn, dtype)


def _normals_one_by_one(state: State, n: int, mean: float, std: float) -> Array:
    """float64 normals in pairs (cosine, sine); an odd one stays in the state."""
    f = fields(state)
    kept = [f["normal"]] if f["has_normal"] and n else []
    u = _unit(state, (n - len(kept) + 1) // 2 * 2, float64).reshape(-1, 2)
    radius = np.sqrt(-2.0 * libm(math.log1p, -u[:, 1]))
    theta = 2.0 * math.pi * u[:, 0]
    pairs = np.stack([radius * libm(math.cos, theta), radius * libm(math.sin, theta)], 1)
    drawn = np.concatenate([np.array(kept, np.float64), pairs.reshape(-1)])
    if n:
        spare = len(drawn) > n
        f["has_normal"], f["normal"] = spare, drawn[-1] if spare else 0.0
    return fma(drawn[:n], std, mean)


def log_normal(state: State, n: int, dtype: DType, mean: float = 1.0, std: float = 2.0) -> Array:
    """exp of a normal, drawn one by one whatever n is."""
    return _round_to(libm(_exp, _normals_one_by_one(state, n, mean, std)), dtype)


def _exp(x: float) -> float:
    """math.exp raises where C's answers infinity."""
    return math.exp(x) if x < 710 else float(np.exp(min(x, 1e3)))


def exponential(state: State, n: int, dtype: DType, rate: float = 1.0) -> Array:
    """-log(1 - u) / rate, in float64."""
    return _round_to(-1.0 / rate * libm(math.log1p, -_unit(state, n, float64)), dtype)


def cauchy(state: State, n: int, dtype: DType, median: float = 0.0, sigma: float = 1.0) -> Array:
    """median + sigma * tan(pi * (u - 1/2)), in float64."""
    tangent = libm(math.tan, math.pi * (_unit(state, n, float64) - 0.5))
    return _round_to(fma(tangent, sigma, median), dtype)


def geometric(state: State, n: int, dtype: DType, p: float) -> Array:
    """How many trials until the first success; whole numbers from 1 on."""
    with np.errstate(divide="ignore"):  # a draw of zero takes for ever
        trials = np.ceil(np.log(_unit(state, n, float64)) / math.log1p(-p))
    return _round_to(trials, dtype) if dtype.kind == "f" else trials.astype(dtype.numpy)


def bernoulli(state: State, n: int, dtype: DType, p: float) -> Array:
    """1 with probability p, else 0: two words each."""
    return _round_to((_unit(state, n, float64) < p).astype(np.float32), dtype)


def bernoulli_tensor(state: State, p: Array, p_dtype: DType, dtype: DType) -> Array:
    """1 with the probability that stands at its place in p: one word each unless p is float64."""
    chance = widen(p.reshape(-1), p_dtype)
    if not ((chance >= 0) & (chance <= 1)).all():
        raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false.")
    drawn = _unit(state, p.size, float64 if p_dtype is float64 else float32) < chance
    return _round_to(drawn.astype(np.float32), dtype)


def dropout_scale(dtype: DType, p: float) -> float:
    """1 / (1 - p) as `dtype` has it: what dropout multiplies by where it keeps an element."""
    one = np.ones(1, compute_dtype(dtype).numpy)
    return float(widen(_round_to(one / one.dtype.type(1.0 - p), dtype), dtype)[0])


def dropout_mask(state: State, n: int, dtype: DType, p: float) -> Array:
    """What dropout multiplies by: 0 with probability p, else the scale."""
    kept = widen(bernoulli(state, n, dtype, 1.0 - p), dtype)
    return _round_to(kept * kept.dtype.type(dropout_scale(dtype, p)), dtype)


class Span(NamedTuple):
    """Which integers are drawn, and whether each takes two words; a size of 0 stands for 2**64."""

    low: int
    size: int
    wide: bool


def span_of_type(dtype: DType) -> Span:
    """The whole of an integer type from 0 on, or what a float type counts without a gap."""
    if dtype in (uint32, uint64):
        raise NotImplementedError(f"random_() of {dtype}: draw int64 in a range and convert")
    return Span(0, _last(dtype) + 1, dtype in (int64, float64))


def span_between(low: int, high: int, dtype: DType) -> Span:
    """low <= drawn < high, of any type: randint, and random_(from, to)."""
    low, high = clean_range(low, high, dtype)
    return Span(low, high - low, high - low >= WIDE_RANGE)


def span_from(low: int, dtype: DType) -> Span:
    """From `low` to the largest of the type: random_(from, None)."""
    if low == -(2**63):
        return Span(0, 0, True)
    if dtype.kind == "f":
        low = _next_above(low, dtype)
    size = _last(dtype) - low + 1
    return Span(low, size, size >= WIDE_RANGE)


def _last(dtype: DType) -> int:
    if dtype.kind == "f":
        return int(2 ** DIGITS[dtype])
    return 1 if dtype is bool_ else int(np.iinfo(dtype.numpy).max)


def integers(state: State, n: int, span: Span, dtype: DType) -> Array:
    """low + word % size, as elements of `dtype`."""
    words = raw64(state, n) if span.wide else raw32(state, n)
    if span.size:
        words = words % words.dtype.type(span.size)
    drawn = words.astype(np.uint64) + np.uint64(span.low % 2**64)
    return _round_to(drawn.view(np.int64), dtype)


def random_(state: State, n: int, dtype: DType) -> Array:
    """Integers from all of `span_of_type`."""
    return integers(state, n, span_of_type(dtype), dtype)


def randint(state: State, n: int, low: int, high: int, dtype: DType = int64) -> Array:
    """Integers in [low, high)."""
    return integers(state, n, span_between(low, high, dtype), dtype)


def clean_range(low: int, high: int, dtype: DType) -> tuple[int, int]:
    """The range narrowed to bounds that a float type can hold; no change for integers."""
    if low >= high:
        raise RuntimeError(
            f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
        )
    if dtype.kind != "f":
        return low, high
    low, high = _next_above(low, dtype), _next_below(high, dtype)
    if low >= high:
        raise RuntimeError(
            "random_ expects 'from' casted to dtype to be less than 'to' casted to dtype, "
            f"but got from={low} >= to={high}"
        )
    return low, high


def _round(value: int, dtype: DType) -> int:
    rounded = widen(_round_to(np.array([value]).astype(np.float64), dtype), dtype)
    return int(rounded[0])


def _gap(value: int, dtype: DType) -> int:
    """The distance of neighbours of `dtype` around a value that it cannot hold."""
    return 1 << (abs(value).bit_length() - DIGITS[dtype])


def _next_above(low: int, dtype: DType) -> int:
    rounded = _round(low + 1, dtype)
    return low if rounded >= low else rounded + _gap(low + 1, dtype)


def _next_below(high: int, dtype: DType) -> int:
    rounded = _round(high - 1, dtype)
    return high if rounded < high else rounded - _gap(high - 1, dtype)


def randperm(state: State, n: int, dtype: DType = int64) -> Array:
    """The numbers below n in random order (Fisher and Yates' shuffle)."""
    if n >= WIDE_PERMUTATION:
        return _randperm_wide(state, n, dtype)
    steps = raw32(state, max(n - 1, 0)) % np.arange(n, 1, -1, dtype=np.uint32)
    order = list(range(n))
    for i, step in enumerate(steps.tolist()):
        order[i], order[i + step] = order[i + step], order[i]
    return _round_to(np.array(order, np.int64), dtype)


def _randperm_wide(state: State, n: int, dtype: DType) -> Array:
    """For so many that 32 bits would skew: each number takes the place of an earlier one."""
    places = raw64(state, n) % np.arange(1, n + 1, dtype=np.uint64)
    order = np.zeros(n, np.int64)
    for i, place in enumerate(places):
        order[i] = order[place]
        order[place] = i
    return _round_to(order, dtype)


def multinomial(
    state: State, weights: Array, dtype: DType, n: int, replacement: bool = False
) -> Array:
    """n indices for each row of weights (1-d or 2-d), drawn in proportion to them, as int64."""
    rows = widen(np.atleast_2d(weights), dtype)
    check_weights(rows)
    if replacement and n > 1:
        drawn = np.stack([_search(_unit(state, n, float64), row) for row in rows])
    else:
        race = widen(exponential(state, rows.size, dtype).reshape(rows.shape), dtype)
        with np.errstate(divide="ignore", invalid="ignore"):
            race = widen(_round_to(rows / race, dtype), dtype)
        drawn = np.argsort(-race, axis=1, kind="stable")[:, :n]
    return drawn if weights.ndim == 2 else drawn[0]


def check_weights(rows: Array) -> None:
    """Refuse what multinomial cannot draw from."""
    if not ((rows >= 0) & (rows < np.inf)).all():
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if (rows.sum(1) == 0).any():
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")


def _search(u: Array, weights: Array) -> Array:
    cumulative = np.cumsum(weights, dtype=weights.dtype)
    cumulative /= cumulative[-1]
    cumulative[-1] = 1
    return np.searchsorted(cumulative.astype(np.float64), u)
