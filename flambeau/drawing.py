"""Draws into a tensor that is there: uniform_, normal_, bernoulli_ and their kin."""

from __future__ import annotations

import math
from typing import Any

from flambeau.complexes import view_as_real
from flambeau.random import state_of
from flambeau.runtime import draws
from flambeau.tensor import FUNCTIONS, Tensor


def put(self: Any, name: str, generator: Any, *parameters: Any) -> Any:
    """Fill a tensor with fresh draws, in the order of its memory."""
    spec = self._spec
    if spec.contiguous:
        return self.copy_(FUNCTIONS[name](state_of(generator), spec.size, spec.dtype, *parameters))
    order = draws.draw_order(spec.size, spec.stride)
    size = tuple(spec.size[d] for d in order)
    drawn = FUNCTIONS[name](state_of(generator), size, spec.dtype, *parameters)
    back = tuple(order.index(d) for d in range(len(order)))
    return self.copy_(drawn.permute(back))


def check_float(self: Any, name: str) -> None:
    if self._spec.dtype.kind != "f":
        raise NotImplementedError(f"\"{name}\" not implemented for '{self._spec.dtype.legacy}'")


def uniform_(
    self: Any, a: float = 0.0, b: float = 1.0, *, generator: Any = None, **ends: Any
) -> Any:
    """Uniform in [from, to)."""
    low, high = ends.get("from", a), ends.get("to", b)
    if self._spec.dtype.kind == "c":
        view_as_real(self).uniform_(low, high, generator=generator)
        return self
    check_float(self, "check_uniform_bounds")
    if low > high:
        raise RuntimeError(
            f"uniform_ expects to return a [from, to) range, but found from={low} > to={high}"
        )
    return put(self, "_uniform", generator, float(low), float(high))


def normal_(self: Any, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Any:
    """Normal numbers; of complex ones both parts have the mean, and together the deviation."""
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {float(std)}")
    if self._spec.dtype.kind == "c":
        view_as_real(self).normal_(mean, std / math.sqrt(2), generator=generator)
        return self
    check_float(self, "normal_kernel_cpu")
    return put(self, "_normal", generator, float(mean), float(std), self._spec.contiguous)


def log_normal_(self: Any, mean: float = 1.0, std: float = 2.0, *, generator: Any = None) -> Any:
    """exp of normal numbers."""
    if std <= 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std:g}")
    check_float(self, "log_normal_cpu")
    return put(self, "_log_normal", generator, float(mean), float(std))


def exponential_(self: Any, lambd: float = 1.0, *, generator: Any = None) -> Any:
    """Exponentially distributed numbers."""
    check_float(self, "exponential_cpu")
    if lambd <= 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
    return put(self, "_exponential", generator, float(lambd))


def cauchy_(self: Any, median: float = 0.0, sigma: float = 1.0, *, generator: Any = None) -> Any:
    """Cauchy-distributed numbers."""
    if sigma <= 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma:g}")
    check_float(self, "cauchy_cpu")
    return put(self, "_cauchy", generator, float(median), float(sigma))


def geometric_(self: Any, p: float, *, generator: Any = None) -> Any:
    """How many trials until the first success."""
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p}")
    return put(self, "_geometric", generator, float(p))


def bernoulli_(self: Any, p: Any = 0.5, *, generator: Any = None) -> Any:
    """1 with probability p, else 0."""
    if isinstance(p, Tensor):
        chances = p.detach().expand(self._spec.size)
        drawn = FUNCTIONS["_bernoulli_tensor"](
            state_of(generator), chances, self._spec.dtype, p._spec.dtype
        )
        return self.copy_(drawn)
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
    return put(self, "_bernoulli", generator, float(p))


def random_(self: Any, *bounds: Any, generator: Any = None, **ends: Any) -> Any:
    """Whole numbers: of the whole type, below `to`, or from `from` to before `to`."""
    if "from" in ends or "to" in ends:
        bounds = (ends.get("from", bounds[0] if bounds else 0), ends.get("to"))
    if not bounds:
        return put(self, "_random", generator)
    low, high = (0, bounds[0]) if len(bounds) == 1 else bounds
    if high is None:
        return put(self, "_random_from", generator, int(low))
    draws.clean_range(int(low), int(high), self._spec.dtype)
    return put(self, "_randint", generator, int(low), int(high))


METHODS = """uniform_ normal_ log_normal_ exponential_ cauchy_ geometric_ bernoulli_
    random_""".split()
