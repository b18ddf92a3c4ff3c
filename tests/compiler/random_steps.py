"""The plain steps of random programs: elementwise, views, writes, reductions, joins; see
random_programs.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.compiler.random_programs import (
    BIG,
    act,
    broadcasts,
    dim_of,
    facts,
    fitting,
    is_float,
    pick,
    some_float,
)

# ------------------------------------------------------------------ elementwise


@act
def unary(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = some_float(torch, env, i)
    names = ("neg", "abs", "tanh", "relu", "sigmoid", "sin", "cos", "floor", "sign", "atan")
    name = names[j % len(names)]
    return getattr(torch, name)(x + 0.3 if name in ("floor", "sign") else x)


@act
def safe_unary(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = some_float(torch, env, i)
    return [lambda: x.abs().add(1).log(), lambda: x.clamp(-2.9, 2.9).exp(),
            lambda: (x * x + 1).sqrt(), lambda: 1 / (x.abs() + 1),
            lambda: torch.nn.functional.softplus(x)][j % 5]()  # fmt: skip


@act
def binary(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = pick(env, i)
    y = fitting(env, j, lambda y: broadcasts(tuple(x.shape), tuple(y.shape)))
    if k % 5 == 2:
        return (x * y).clamp(-4, 4) if x.dtype != torch.bool or y.dtype != torch.bool else x * y
    if torch.bool in (x.dtype, y.dtype):
        exact = not (is_float(x) or is_float(y))
        return x == y if exact and k % 2 else x + y
    return [lambda: x + y, lambda: x - y, None, lambda: torch.maximum(x, y),
            lambda: x.add(y, alpha=2)][k % 5]()  # fmt: skip


@act
def scalar(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = pick(env, i)
    c: Any = (k % 7 - 3) / 2 if is_float(x) else k % 3
    if x.dtype == torch.bool:
        return x ^ (k % 2 == 0)
    return [lambda: x + c, lambda: x * c, lambda: c - x, lambda: x.clamp(min=c)][j % 4]()


@act
def where(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = pick(env, i)
    y = fitting(env, j, lambda y: broadcasts(tuple(x.shape), tuple(y.shape)))
    return [lambda: torch.where(x > 0.3, x, y), lambda: torch.where(y < 0.3, x, 1),
            lambda: x.masked_fill(x > 0.3, 2), lambda: (x > 0.3) & (y < 1.3)][k % 4]()  # fmt: skip


@act
def cast(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = pick(env, i)
    dtype = (torch.float32, torch.float64, torch.int64, torch.bool, torch.int32)[j % 5]
    if is_float(x) and not dtype.is_floating_point:
        x = (x + 0.3).floor()  # results are seldom near such numbers
    return x.to(dtype)


# ------------------------------------------------------------------ views


@act
def slice_(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = fitting(env, i, lambda x: x.dim() > 0)
    d = dim_of(x, j)
    n = x.shape[d]
    start, step = k % (n + 1), 1 + k // 7 % 3
    stop = min(n, start + 1 + k // 3 % 5)
    return x[(slice(None),) * d + (slice(start, stop, step),)]


@act
def select(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = fitting(env, i, lambda x: x.dim() > 0 and 0 not in x.shape)
    return x.select(dim_of(x, j), k % x.shape[dim_of(x, j)])


@act
def permute(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = pick(env, i)
    return x.transpose(dim_of(x, j), dim_of(x, k)) if x.dim() else x.unsqueeze(0)


@act
def expand(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = pick(env, i)
    if x.numel() * 3 > BIG or x.dim() > 3:
        return x.view(x.shape)
    return x.unsqueeze(d := j % (x.dim() + 1)).expand(*x.shape[:d], 1 + k % 3, *x.shape[d:])


@act
def reshape(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = pick(env, i)
    if x.numel() == 0:
        return x.reshape(0, 3)
    halves = [n for n in (2, 3, 4, 5) if x.numel() % n == 0]
    if k % 3 == 0 or not halves:
        return x.reshape(-1)
    return x.reshape(halves[j % len(halves)], -1)


@act
def squeeze(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = pick(env, i)
    return x.squeeze() if k % 2 or x.dim() > 3 else x.unsqueeze(j % (x.dim() + 1))


@act
def diagonal(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = fitting(env, i, lambda x: x.dim() > 1)
    return x.diagonal(k % 3 - 1, 0, x.dim() - 1)


@act
def unfold(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    """Windows; what would overlap itself is copied: writes to such memory have no defined order."""
    x = fitting(env, i, lambda x: x.dim() > 0 and x.shape[-1] > 2 and x.dim() < 4)
    length, step = 2 + k % 2, 1 + j % 3
    return x.unfold(-1, length, step) if step >= length else x.unfold(-1, length, step).clone()


@act
def detach(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = pick(env, i)
    return [lambda: x.detach(), lambda: x.clone(), lambda: x.data, lambda: x.contiguous()][j % 4]()


# ------------------------------------------------------------------ writes


@act
def write(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    """An in-place call on a variable, often a view of others.

    The order in which overlapping operands are read is defined where PyTorch can tell that they
    overlap (it refuses) or that they are the same: other operands are copied.
    """
    x = pick(env, i)
    size = tuple(x.shape)
    y = fitting(env, j, lambda y: broadcasts(size, tuple(y.shape))
                and np.broadcast_shapes(size, tuple(y.shape)) == size)  # fmt: skip
    if not (x.is_contiguous() and y.is_contiguous()):
        y = y.clone()
    return written(x, y, k)


def written(x: Any, y: Any, k: int) -> Any:
    return [lambda: x.add_(y), lambda: x.copy_(y), lambda: x.sub_(y, alpha=2),
            lambda: x.copy_(y + 1), lambda: x.mul_(y * 0 + 1)][k % 5]()  # fmt: skip


@act
def wild_write(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    """An in-place call whose operands may overlap: all tiers read everything before they write."""
    x = pick(env, i)
    y = fitting(env, j, lambda y: tuple(y.shape) == tuple(x.shape) and y is not x)
    return written(x, x if y is None else y, k)


@act
def write_scalar(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = pick(env, i)
    if x.requires_grad and any(s == 0 and n > 1 for s, n in zip(x.stride(), x.shape)):
        x = x.clone()  # PyTorch cannot differentiate such a fill
    c = k % 3
    return [lambda: x.mul_(c - 1), lambda: x.fill_(c), lambda: x.zero_(), lambda: x.add_(c),
            lambda: x.clamp_(-1, c), lambda: x.tanh_(), lambda: x.neg_(),
            lambda: x.relu_()][j % 8]()  # fmt: skip


@act
def assign(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    """x[a:b] = something"""
    x = fitting(env, i, lambda x: x.dim() > 0 and x.shape[0] > 1)
    start = k % (x.shape[0] - 1)
    part = x[start : start + 1 + j % 2]
    y = fitting(env, j, lambda y: y.shape == part.shape[1:] and is_float(y) == is_float(x))
    x[start : start + 1 + j % 2] = torch.tensor(k % 4) if y is None or k % 3 == 0 else y
    return None


@act
def shift(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    """Overlapping parts of one tensor."""
    x = fitting(env, i, lambda x: x.dim() > 0 and x.shape[0] > 1)
    if k % 3 == 0:
        x[1:] = x[:-1].clone()
    elif k % 3 == 1:
        x[:-1] += x[1:].clone()
    else:
        x[1:].add_(x[:1])
    return None


@act
def under_no_grad(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = pick(env, i)
    with torch.no_grad():
        return x.mul_(k % 3) if j % 2 else x + 1


# ------------------------------------------------------------------ reductions and products


@act
def reduce(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = pick(env, i)
    if x.dim() == 0 or k % 5 == 0:
        return x.sum()
    d, keep = dim_of(x, j), bool(k % 2)
    if k % 5 == 1 and is_float(x):
        return x.mean(d, keepdim=keep)
    if k % 5 == 2 and x.shape[d]:
        return x.amax(d, keepdim=keep)
    if k % 5 == 3 and x.shape[d]:
        return x.sum((0, x.dim() - 1) if x.dim() > 1 else 0, keepdim=keep)
    return x.sum(d, keepdim=keep)


@act
def reduce_more(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = fitting(env, i, lambda x: is_float(x) and x.dim() > 0 and 0 not in x.shape)
    d = dim_of(x, j)
    return [lambda: x.softmax(d), lambda: x.log_softmax(d), lambda: x.cumsum(d),
            lambda: x.var(d, correction=0), lambda: x.max(d).values, lambda: x.argmax(d),
            lambda: x.any(d), lambda: x.logsumexp(d)][k % 8]()  # fmt: skip


@act
def matmul(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = fitting(env, i, lambda x: is_float(x) and 0 < x.dim() < 4)
    y = fitting(env, j, lambda y: y.dtype == x.dtype and (
        y.dim() == 1 and y.shape[0] == x.shape[-1]
        or y.dim() == 2 and x.dim() > 1 and y.shape[0] == x.shape[-1]))  # fmt: skip
    if y is None:
        y = x.transpose(-1, -2) if x.dim() > 1 else x
    return (x @ y) * 0.125 if k % 2 else torch.tanh((x @ y) * 0.125 + 1)


# ------------------------------------------------------------------ joins and picks


@act
def join(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = pick(env, i)
    y = fitting(env, j, lambda y: y.shape == x.shape)
    if k % 2 or x.dim() == 0:
        return torch.stack([x, y, x], j % (x.dim() + 1))
    return torch.cat([x, y], dim_of(x, j))


@act
def take(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = fitting(env, i, lambda x: x.dim() > 0 and 0 not in x.shape)
    d = dim_of(x, j)
    index = torch.tensor([k % x.shape[d], 0, (k // 2) % x.shape[d]])
    if k % 3 == 0:
        return x.index_select(d, index)
    if k % 3 == 1:
        return x[index % x.shape[0]]
    return x.flip(d) if k % 2 else x.roll(1 + k, d)


@act
def create(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = pick(env, i)
    return [lambda: torch.zeros(1 + k % 4, 4), lambda: torch.arange(1 + k),
            lambda: torch.rand(3, 4), lambda: torch.ones_like(x), lambda: torch.full((4,), k / 2),
            lambda: torch.randn(4),
            lambda: torch.nn.functional.dropout(some_float(torch, env, i), 0.5),
            ][j % 7]()  # fmt: skip


# ------------------------------------------------------------------ looks and losses


@act
def drop(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    if len(env) > 2:
        del env[i % len(env)]
    return None


@act
def look(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    return facts(pick(env, i))


@act
def backward(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = fitting(env, i, lambda x: x.requires_grad and x.grad_fn is not None)
    if x is not None:
        x.sum().backward(retain_graph=bool(k % 2))
    return None
