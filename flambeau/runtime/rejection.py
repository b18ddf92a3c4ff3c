"""Draws that take as many numbers of the stream as they need: gamma, Dirichlet, Poisson, binomial.

Sources: G. Marsaglia, W. Tsang, "A simple method for generating gamma variables", ACM TOMS 26(3),
2000. W. Hörmann, "The transformed rejection method for generating Poisson random variables", 1993,
and "The generation of binomial random variates", J. Stat. Comput. Simul. 46, 1993. Small means:
products of uniforms (Poisson), gaps between successes (binomial; L. Devroye, "Non-uniform random
variate generation", 1986, X.4).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from flambeau.ir.dtype import DType, float64, narrow, widen
from flambeau.runtime.draws import Array, _round_to
from flambeau.runtime.generator import State, fields, raw64

AHEAD = 256  # uniforms that are read at once
BY_REJECTION = 10  # the mean from which rejection is used
TAIL = (0.0810614667953272, 0.0413406959554092, 0.0276779256849983, 0.0207906721037650,
        0.0166446911898211, 0.0138761288230707, 0.0118967099458917, 0.0104112652619720,
        0.00925546218271273, 0.00833056343336287)  # fmt: skip


class Stream:
    """float64 uniforms and normals, one by one. The state moves on in `close`, by what was used."""

    def __init__(self, state: State) -> None:
        self.state, self.ahead = state, state.copy()
        self.numbers: list[float] = []
        self.at = self.used = 0
        f = fields(state)
        self.kept = float(f["normal"]) if f["has_normal"] else None

    def uniform(self) -> float:
        """In [0, 1)."""
        if self.at == len(self.numbers):
            drawn = (raw64(self.ahead, AHEAD) & np.uint64(2**53 - 1)) * 2.0**-53
            self.numbers, self.at = drawn.tolist(), 0
        self.at += 1
        self.used += 1
        return self.numbers[self.at - 1]

    def normal(self) -> float:
        """By Box and Muller; the second of a pair is kept."""
        if self.kept is not None:
            drawn, self.kept = self.kept, None
            return drawn
        theta, radius = 2.0 * math.pi * self.uniform(), math.log1p(-self.uniform())
        radius = math.sqrt(-2.0 * radius)
        self.kept = radius * math.sin(theta)
        return radius * math.cos(theta)

    def close(self) -> None:
        raw64(self.state, self.used)
        f = fields(self.state)
        f["has_normal"], f["normal"] = self.kept is not None, self.kept or 0.0


def each(draw: Callable[..., float], state: State, *parameters: Array) -> Array:
    """One draw for each element, in order."""
    stream = Stream(state)
    drawn = [draw(stream, *numbers) for numbers in zip(*(p.ravel().tolist() for p in parameters))]
    stream.close()
    return np.array(drawn, np.float64).reshape(parameters[0].shape)


def gamma(state: State, alpha: Array, dtype: DType) -> Array:
    """Gamma of shape alpha and rate 1, at least the type's smallest normal number."""
    alpha = widen(alpha, dtype)
    drawn = narrow(each(_gamma, state, alpha.astype(np.float64), *_constants(alpha)), dtype)
    return narrow(np.maximum(widen(drawn, dtype), smallest(dtype)), dtype)


def dirichlet(state: State, alpha: Array, dtype: DType) -> Array:
    """Rows that add up to 1, from gammas in float64."""
    wide = widen(alpha, dtype).astype(np.float64)
    drawn = np.maximum(each(_gamma, state, wide, *_constants(wide)), smallest(float64))
    shares = widen(narrow(drawn / drawn.sum(-1, keepdims=True), dtype), dtype)
    one = narrow(np.ones(1, shares.dtype), dtype)
    below_one = widen((one.view(f"u{one.itemsize}") - 1).astype(f"u{one.itemsize}")
                      .view(one.dtype), dtype)  # fmt: skip
    return narrow(np.clip(shares, smallest(dtype), below_one), dtype)


def smallest(dtype: DType) -> float:
    """The smallest normal number."""
    return float(np.finfo(dtype.numpy).tiny)


def _constants(alpha: Array) -> tuple[Array, Array]:
    """Marsaglia and Tsang's d, and 1 / alpha, in the type of alpha, as PyTorch has them."""
    raised = np.where(alpha < 1, alpha + 1, alpha)
    with np.errstate(divide="ignore"):
        d, inverse = raised - np.float32(1) / np.float32(3), 1 / alpha
    return d.astype(np.float64), inverse.astype(np.float64)


def _gamma(stream: Stream, alpha: float, d: float, inverse: float) -> float:
    """A cubed normal; shapes below 1 are raised by 1, and the draw scaled by u^(1 / alpha)."""
    if alpha == 0:
        return 0.0
    scale = (1 - stream.uniform()) ** inverse if alpha < 1 else 1.0
    c = 1 / math.sqrt(9 * d)
    while True:
        x = stream.normal()
        v = 1 + c * x
        if v <= 0:
            continue
        v = v * v * v
        u, square = 1 - stream.uniform(), x * x
        if u < 1 - float(np.float32(0.0331)) * square * square:
            return scale * d * v
        if math.log(u) < 0.5 * square + d * (1 - v + math.log(v)):
            return scale * d * v


def poisson(state: State, rate: Array, dtype: DType) -> Array:
    """Poisson of the rate at each place."""
    rates = widen(rate, dtype).astype(np.float64)
    if not (rates >= 0).all():
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    return _round_to(each(_poisson, state, rates), dtype)


def _poisson(stream: Stream, rate: float) -> float:
    if rate >= BY_REJECTION:
        return _poisson_by_rejection(stream, rate)
    if rate == 0:
        return 0.0
    limit, product, count = math.exp(-rate), stream.uniform(), 0
    while product > limit:
        product *= stream.uniform()
        count += 1
    return float(count)


def _poisson_by_rejection(stream: Stream, rate: float) -> float:
    """Hörmann's PTRS."""
    b = 0.931 + 2.53 * math.sqrt(rate)
    a = -0.059 + 0.02483 * b
    log_rate, inverse_alpha = math.log(rate), 1.1239 + 1.1328 / (b - 3.4)
    squeeze = 0.9277 - 3.6224 / (b - 2)
    while True:
        u, v = stream.uniform() - 0.5, stream.uniform()
        us = 0.5 - abs(u)
        k = _floor((2 * a / us + b) * u + rate + 0.43) if us else -math.inf
        if us >= 0.07 and v <= squeeze:
            return k
        if k < 0 or (us < 0.013 and v > us):
            continue
        shown = _log(v) + math.log(inverse_alpha) - math.log(a / (us * us) + b)
        if shown <= -rate + k * log_rate - math.lgamma(k + 1):
            return k


def _floor(x: float) -> float:
    return float(math.floor(x)) if math.isfinite(x) else x


def _log(x: float) -> float:
    return math.log(x) if x else -math.inf


def binomial(state: State, count: Array, prob: Array, dtype: DType) -> Array:
    """Successes among `count` trials of chance `prob`."""
    count, prob = widen(count, dtype), widen(prob, dtype)
    given = (x.astype(np.float64) for x in (count, prob, 1 - prob))
    return _round_to(each(_binomial, state, *given), dtype)


def _binomial(stream: Stream, count: float, prob: float, miss: float) -> float:
    if count <= 0 or prob <= 0:
        return 0.0
    if prob >= 1:
        return count
    if prob > 0.5:
        return count - _binomial_of_rare(stream, count, miss)
    return _binomial_of_rare(stream, count, prob) if prob <= 0.5 else math.nan


def _binomial_of_rare(stream: Stream, count: float, prob: float) -> float:
    if count * prob >= BY_REJECTION:
        return _binomial_by_rejection(stream, count, prob)
    log_miss, trials, successes = math.log1p(-prob), 0.0, 0
    while True:
        u = stream.uniform()
        trials += math.ceil(math.log(u) / log_miss) if u else math.inf
        if trials > count:
            return float(successes)
        successes += 1


def _binomial_by_rejection(stream: Stream, n: float, p: float) -> float:
    """Hörmann's BTRS."""
    deviation = math.sqrt(n * p * (1 - p))
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * p
    centre, odds, mode = n * p + 0.5, p / (1 - p), math.floor((n + 1) * p)
    squeeze, alpha = 0.92 - 4.2 / b, (2.83 + 5.1 / b) * deviation
    while True:
        u, v = stream.uniform() - 0.5, stream.uniform()
        us = 0.5 - abs(u)
        k = _floor((2 * a / us + b) * u + centre) if us else -math.inf
        if us >= 0.07 and v <= squeeze:
            return k
        if k < 0 or k > n:
            continue
        shown = _log(v * alpha / (a / (us * us) + b))
        limit = (mode + 0.5) * math.log((mode + 1) / (odds * (n - mode + 1)))
        limit += (n + 1) * math.log((n - mode + 1) / (n - k + 1))
        limit += (k + 0.5) * math.log(odds * (n - k + 1) / (k + 1))
        limit += _tail(mode) + _tail(n - mode) - _tail(k) - _tail(n - k)
        if shown <= limit:
            return k


def _tail(k: float) -> float:
    """log k! less Stirling's formula (its series from 10 on)."""
    if k <= 9:
        return TAIL[int(k)]
    square = (k + 1) * (k + 1)
    return (1 / 12 - (1 / 360 - 1 / 1260 / square) / square) / (k + 1)
