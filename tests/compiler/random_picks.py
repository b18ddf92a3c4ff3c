"""Steps of random programs that read and write by index and by mask, sort, and move elements;
see random_programs.py.
"""

from __future__ import annotations

from typing import Any

from tests.compiler.random_programs import (
    BIG,
    act,
    apart,
    dim_of,
    fitting,
    is_filled,
    is_float,
    pick,
)


def filled(env: list[Any], i: int) -> Any:
    return fitting(env, i, is_filled)


def places(torch: Any, x: Any, d: int, k: int) -> Any:
    """An index for each element of x, along dim d."""
    return (torch.arange(x.numel()).reshape(x.shape) + k) % x.shape[d]


@act
def gather(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = filled(env, i)
    d = dim_of(x, j)
    index = places(torch, x, d, k)
    return [lambda: x.gather(d, index), lambda: torch.zeros_like(x).scatter_add(d, index, x),
            lambda: torch.take_along_dim(x, index, d),
            lambda: torch.zeros_like(x).scatter(d, index, 1)][k % 4]()  # fmt: skip


@act
def put(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    """Writes by index; where an index comes twice the values are added up."""
    x = filled(env, i).detach().clone() if k % 3 else apart(filled(env, i))
    n = x.shape[0]
    once, twice = torch.tensor([k % n]), torch.tensor([k % n, 0, k % n])
    rows = x[twice].detach() * 1
    return [lambda: x.index_add_(0, twice, rows), lambda: x.index_copy_(0, once, rows[:1]),
            lambda: x.index_put_((twice,), rows, accumulate=True),
            lambda: x.index_fill_(0, twice, 1), lambda: x.put_(once, x.reshape(-1)[-1:].clone()),
            lambda: x.scatter_(0, once.reshape((1,) * x.dim()), 2)][j % 6]()  # fmt: skip


@act
def put_at(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    """x[…] = y, in many forms."""
    x = apart(filled(env, i))
    n, m = x.shape[0], x.shape[-1]
    index = torch.tensor([k % n, 0])
    if j % 5 == 0:
        x[index] = 1
    elif j % 5 == 1:
        x[..., torch.tensor([k % m])] = 2
    elif j % 5 == 2:
        x[x > 0.3] = 0
    elif j % 5 == 3:
        x[index] += 1
    else:
        x[-1:, ...] = x[:1].clone()
    return x


@act
def masked(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    """How many there are is known when it has run."""
    x = pick(env, i)
    mask = x > 0.3
    return [lambda: x[mask], lambda: x.masked_select(~mask), lambda: mask.nonzero(),
            lambda: x.nonzero().sum(0), lambda: x.masked_fill(mask, -1)][k % 5]()  # fmt: skip


@act
def fill_masked(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = apart(pick(env, i))
    return x.masked_fill_(x > 0.3, k % 3) if j % 2 else x.masked_fill_(x < -0.3, 1)


@act
def sort(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = filled(env, i)
    x = x.detach()  # which of two comes first may be a matter of rounding
    d = dim_of(x, j)
    if x.dtype == torch.bool:
        return x.to(torch.uint8).sort(dim=d, stable=True).values
    return [lambda: x.sort(dim=d, stable=True).values,
            lambda: x.sort(dim=d, descending=True, stable=True).values,
            lambda: x.topk(1 + k % x.shape[d], d).values, lambda: x.kthvalue(1, d).values,
            lambda: x.median(d).values, lambda: torch.unique(x.detach())][k % 6]()  # fmt: skip


@act
def rearrange(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = filled(env, i)
    d = dim_of(x, j)
    if x.numel() * 3 > BIG:
        return x.flip(d)
    f = torch.nn.functional
    return [lambda: x.flip(0, -1) if x.dim() > 1 else x.flip(0), lambda: x.roll(k, d),
            lambda: x.repeat_interleave(2, d), lambda: torch.cat([x[:1], x, x[1:]]),
            lambda: f.pad(x, (1, k % 3), value=1), lambda: f.pad(x, (-1, 2)),
            lambda: x.tril() if x.dim() > 1 else x.repeat(2), lambda: x.movedim(d, 0),
            lambda: x.chunk(2, d)[-1] * 1, lambda: x.unbind(d)[k % x.shape[d]].clone(),
            lambda: torch.stack(x.split(1, d)[:2]), lambda: x.triu(1) if x.dim() > 1 else x.tile(2),
            ][k % 12]()  # fmt: skip


@act
def embed(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = fitting(env, i, lambda x: is_float(x) and x.dim() == 2 and 0 not in x.shape)
    if x is None:
        return torch.nn.functional.one_hot(torch.tensor([k % 4, 1]), 4)
    index = torch.tensor([[k % x.shape[0], 0], [0, (k // 2) % x.shape[0]]])
    return torch.nn.functional.embedding(index, x)
