"""Steps of random programs whose results are the same bits everywhere, whatever their operands are:
NaN, infinities, zeros of both signs, denormals, integers that wrap; see random_programs.py.

No sums of floats and no product followed by a sum: their rounding depends on the order, and on
whether both are one instruction.
"""

from __future__ import annotations

from typing import Any

from tests.compiler.random_programs import (
    act,
    broadcasts,
    dim_of,
    fitting,
    is_filled,
    is_float,
    pick,
)


def partner(env: list[Any], x: Any, j: int) -> Any:
    return fitting(env, j, lambda y: broadcasts(tuple(x.shape), tuple(y.shape)))


def an_integer(torch: Any, env: list[Any], i: int) -> Any:
    found = fitting(env, i, lambda x: not is_float(x) and x.dtype != torch.bool)
    return torch.arange(-2, 2) if found is None else found


@act
def exact_unary(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = pick(env, i)
    if x.dtype == torch.bool:
        return [lambda: ~x, lambda: x.logical_not(), lambda: x.any(), lambda: x.all()][j % 4]()
    if not is_float(x):
        return [lambda: -x, lambda: x.abs(), lambda: x.sign(), lambda: ~x, lambda: x * x,
                lambda: x**3][j % 6]()  # fmt: skip
    names = ("neg", "abs", "sign", "floor", "ceil", "trunc", "round", "isnan", "isinf", "isfinite",
             "signbit", "sqrt", "reciprocal", "relu", "square", "nan_to_num")  # fmt: skip
    x = torch.where(x == x, x, 1) if j % len(names) == 10 else x  # the sign of NaN is nobody's
    return getattr(torch, names[j % len(names)])(x)


@act
def exact_binary(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = pick(env, i)
    y = partner(env, x, j)
    if torch.bool in (x.dtype, y.dtype):
        return [lambda: x == y, lambda: x.logical_xor(y),
                lambda: torch.where(x != 0, y, x)][k % 3]()  # fmt: skip
    return [lambda: x + y, lambda: x - y, lambda: torch.true_divide(x, y), lambda: x < y,
            lambda: x >= y, lambda: x == y, lambda: torch.where(x < y, x, y),
            lambda: torch.where(y != y, 1, x), lambda: x.ne(y),
            lambda: x.logical_or(y)][k % 10]()  # fmt: skip


@act
def exact_scalar(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = pick(env, i)
    if x.dtype == torch.bool:
        return x & (k % 2 == 0)
    c: Any = (k % 7 - 3) / 2 if is_float(x) else k % 5 - 2
    return [lambda: x + c, lambda: c - x, lambda: x * 2, lambda: x.clamp(min=c),
            lambda: x > c, lambda: x.clamp(-1, 3), lambda: x.masked_fill(x <= c, 1),
            ][j % 7]()  # fmt: skip


@act
def exact_cast(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    """What an integer cannot hold is no number that any two machines agree on."""
    x = pick(env, i)
    floats = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
    whole = (torch.int64, torch.int32, torch.int8, torch.uint8, torch.int16, torch.bool)
    if k % 2:
        return x.to(floats[j % len(floats)])
    if is_float(x) and j % 6 != 5:
        x = torch.where(x.abs() < 100, x, 0)
        x = x.abs() if j % 6 == 3 else x
    return x.to(whole[j % len(whole)])


@act
def integers(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = an_integer(torch, env, i)
    y = fitting(env, j, lambda y: y.dtype == x.dtype and broadcasts(tuple(x.shape), tuple(y.shape)))
    y = x if y is None else y
    some = y.clamp(1, 7)
    c = 1 + k % 5
    return [lambda: x // some, lambda: x % some, lambda: x & y, lambda: x | y, lambda: x ^ y,
            lambda: x * y, lambda: x << (y & 3), lambda: x >> (y & 3), lambda: x // c,
            lambda: x % c, lambda: torch.fmod(x, some),
            lambda: torch.div(x, some, rounding_mode="trunc"), lambda: torch.maximum(x, y),
            lambda: torch.gcd(some, 6 * some - 5), lambda: x // -c if x.dtype != torch.uint8 else x,
            lambda: torch.true_divide(x, c)][k % 16]()  # fmt: skip


@act
def exact_reduce(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = fitting(env, i, is_filled)
    d, keep = dim_of(x, j), bool(k % 2)
    if not is_float(x):
        return [lambda: x.sum(), lambda: x.sum(d, keepdim=keep), lambda: x.prod(d),
                lambda: x.cumsum(d), lambda: x.any(d), lambda: x.all(),
                lambda: x.argmax(d) if x.dtype != torch.bool else x.sum(d),
                lambda: x.amax(d), lambda: x.amin(), lambda: x.cumprod(d)][k % 10]()  # fmt: skip
    return [lambda: x.argmax(d), lambda: x.argmin(), lambda: x.any(d, keepdim=keep),
            lambda: x.all(), lambda: (x + 0.0).amax(d, keepdim=keep), lambda: (x + 0.0).amin(),
            lambda: (x + 0.0).sort(dim=d, stable=True).values,
            lambda: x.argsort(dim=d, stable=True),
            lambda: x.isnan().sum(d), lambda: x.max(d).indices, lambda: x.min(d).indices,
            lambda: (x + 0.0).cummax(d).values][k % 12]()  # fmt: skip


@act
def exact_extremes(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    """Which of two zeros is the larger one is not said: they are made alike before."""
    x = fitting(env, i, is_float)
    x = torch.zeros(3) if x is None else x + 0.0
    y = fitting(env, j, lambda y: is_float(y) and broadcasts(tuple(x.shape), tuple(y.shape)))
    y = x if y is None else y + 0.0
    by = y.abs().clamp(0.25, 8)  # by less, PyTorch's own answer depends on where an element lies
    return [lambda: torch.maximum(x, y), lambda: torch.minimum(x, y), lambda: torch.fmax(x, y),
            lambda: torch.fmin(x, y), lambda: x.copysign(by), lambda: torch.heaviside(x, y),
            lambda: torch.clamp(x, y, y + 1) + 0.0, lambda: torch.nextafter(x.float(), y.float()),
            lambda: torch.fmod(x, by), lambda: torch.remainder(x, by),
            lambda: torch.div(x, by, rounding_mode="floor"), lambda: torch.ldexp(x.float(), k - 8),
            ][k % 12]()  # fmt: skip


@act
def exact_write(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = pick(env, i)
    size = tuple(x.shape)
    y = fitting(env, j, lambda y: y.dtype == x.dtype and broadcasts(size, tuple(y.shape))
                and tuple(torch.broadcast_shapes(size, tuple(y.shape))) == size)  # fmt: skip
    y = y.clone()
    if x.dtype == torch.bool:
        return [lambda: x.logical_not_(), lambda: x.copy_(y), lambda: x.logical_and_(y)][k % 3]()
    return [lambda: x.add_(y), lambda: x.copy_(y), lambda: x.sub_(y), lambda: x.neg_(),
            lambda: x.clamp_(-2, 2) if x.dtype != torch.uint8 else x.clamp_(0, 2), lambda: x.abs_(),
            lambda: x.zero_(), lambda: x.mul_(2)][k % 8]()  # fmt: skip
