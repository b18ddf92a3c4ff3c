"""torch.linalg: the same expressions in both frameworks."""

from __future__ import annotations

from typing import Any

import pytest

theirs = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")
ours = pytest.importorskip("flambeau")

EXPRESSIONS = """
L.norm(x) L.norm(x,2) L.norm(x,dim=(0,1)) L.norm(x,dim=(0,1,2)) L.norm(x,1,dim=(0,1)) L.norm(m,1)
L.norm(m,-1) L.norm(m,inf) L.norm(m,'fro') L.norm(m[0],'fro') L.norm(m,3) L.norm(m[0],0)
L.norm(m,1,dim=1) L.norm(m,1,keepdim=True) L.norm(m,dim=0,keepdim=True) L.norm(m,'abc')
L.norm(m.int()) L.norm(m,dtype=torch.float64) L.matrix_norm(m[0]) L.matrix_norm(x)
L.matrix_norm(x,1) L.matrix_norm(x,inf,keepdim=True) L.matrix_norm(x,'fro',(0,2))
L.matrix_norm(x,-inf,dim=(0,2)) L.matrix_norm(x,dim=1) L.matrix_norm(x,dim=(1,1))
L.matrix_norm(x,1,(2,0),keepdim=True) L.matrix_norm(x[:,:0],inf) L.matrix_norm(x[:,:0],-inf)
L.vector_norm(x,'fro') L.vector_norm(x,dim=()) L.vector_norm(x[:,:0],inf,dim=1)
L.vector_norm(x,dtype=torch.float16) L.vector_norm(x,dtype=torch.int64) L.vector_norm(x[:0],-1.)
L.vector_norm(x[:,:0],0.5,dim=1) L.vecdot(x,x) L.vecdot(x,x,dim=0) L.diagonal(x) L.matmul(x,m.t())
""".split()


def outcome(torch: Any, expression: str) -> Any:
    """Facts that must be the same, and numbers that must be close: values and gradient."""
    x = (torch.arange(24.0).reshape(2, 3, 4) - 7).requires_grad_()
    names = dict(torch=torch, L=torch.linalg, x=x, m=x[0], inf=float("inf"))
    try:
        result = eval(expression, names)
    except (RuntimeError, IndexError) as error:
        return (type(error).__name__, str(error).partition("\n")[0]), []
    except TypeError:  # PyTorch lists all signatures
        return "TypeError", []
    if result.requires_grad:
        result.double().sum().backward()
    grad = x.new_zeros(24) if x.grad is None else x.grad.flatten()  # PyTorch: no gradient at all
    facts = tuple(result.shape), str(result.dtype).removeprefix("torch.")
    return facts, result.flatten().tolist() + grad.tolist()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_as_pytorch(expression: str) -> None:
    facts, numbers = outcome(ours, expression)
    expected, values = outcome(theirs, expression)
    assert facts == expected
    assert numbers == pytest.approx(values, nan_ok=True)


@pytest.mark.parametrize("ord", ["nuc", 2, -2])
def test_norms_by_singular_values_say_what_is_missing(ord: Any) -> None:
    with pytest.raises(NotImplementedError, match="singular values"):
        ours.linalg.matrix_norm(ours.ones(2, 3), ord)
