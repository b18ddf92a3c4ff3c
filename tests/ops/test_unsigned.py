"""uint16, uint32 and uint64: what PyTorch has kernels for is there, the rest is refused."""

from __future__ import annotations

from typing import Any

import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")

EXPRESSIONS = """x+x x-1 1-x x//x x%x x**2 -x ~x x<x x>=1 x<<x x.abs() x.max() x.min(0)
    x.argmax() x.amax() x.clamp(0,1) t.maximum(x,x) t.gcd(x,x) x.logical_not() x+b x+1.5 x+f
    x<f f.maximum(x) x*x x==x x.sum() x.prod() x.cumsum(0) x.sort()[0] x.float() t.cat([x,x])
    x&x t.where(x==2,x,x) x/x""".split()


def outcome(expression: str, t: Any, dtype: str) -> Any:
    x = t.tensor([1, 2, 3], dtype=getattr(t, dtype))
    try:
        y = eval(expression, dict(t=t, x=x, f=t.ones(3), b=t.ones(3) > 0))
        y = y[0] if isinstance(y, tuple) else y
        return str(y.dtype), y.tolist()
    except (NotImplementedError, RuntimeError) as error:
        return type(error), str(error).split("\n")[0]


@pytest.mark.parametrize("dtype", ["uint16", "uint32", "uint64"])
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_as_in_pytorch(expression: str, dtype: str) -> None:
    assert outcome(expression, flambeau, dtype) == outcome(expression, torch, dtype)
