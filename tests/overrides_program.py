"""Subclasses of tensors under PyTorch and under Flambeau: prints where they differ.

A program of its own, since in a process with such a class all functions ask for overrides.
"""

from __future__ import annotations

import ast
from typing import Any

import torch as oracle

import flambeau

CASES = """
class S(torch.Tensor): pass
x=torch.ones(2).as_subclass(S)
kinds(x+1, x.sum(), x[0], torch.cat([x,x]), 1+x, x.T, x==1)

class S(torch.Tensor): pass
x=torch.ones(2).as_subclass(S)
kind(x.sum().item()), kind(x.shape), x.tolist(), kind(x.max(0)[0]), kind(x.split(1)[0])

class S(torch.Tensor): pass
x=torch.ones(2).as_subclass(S); x+1

class S(torch.Tensor): pass
x=torch.ones(2).as_subclass(S)
kinds(torch.nn.functional.relu(x), torch.nn.Linear(2,1)(x))

class S(torch.Tensor): pass
x=torch.ones(2,requires_grad=True).as_subclass(S)
y=(x*2).sum()
y.backward()
kinds(y)

class S(torch.Tensor): pass
x=S([1.,2.]); x*=2; x

class S(torch.Tensor): pass
x=torch.ones(2).as_subclass(S)
kinds(torch.linalg.norm(x), torch.fft.fft(x), torch.special.expit(x), torch.linalg.vector_norm(x))

class S(torch.Tensor): pass
class U(S): pass
kinds(torch.ones(2).as_subclass(S)+torch.ones(2).as_subclass(U))

class S(torch.Tensor): pass
class U(torch.Tensor): pass
torch.ones(2).as_subclass(S)+torch.ones(2).as_subclass(U)

class S(torch.Tensor): pass
x=torch.ones(2)
kinds(x+x)

class S(torch.Tensor): pass
x=torch.ones(2).as_subclass(S)
kinds(x.mean(0), torch.stack([x,x]), x.detach(), x.clone(), x.view(1,2))

class L(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        calls.append(func.__name__)
        return super().__torch_function__(func, types, args, kwargs or {})
calls=[]; x=torch.ones(2).as_subclass(L); y=torch.add(x,1); z=x.mul(2); calls

class D:
    def __init__(self,v): self.v=v
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return cls(func(*[a.v if isinstance(a,D) else a for a in args], **(kwargs or {})))
[
    torch.overrides.is_tensor_like(D(1)),
    torch.mean(D(torch.ones(2))).v,
    torch.add(D(torch.ones(2)),D(torch.ones(2))).v,
]

class D:
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return NotImplemented
torch.overrides.is_tensor_like(D()), torch.add(D(), 1)

class M(torch.overrides.TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        seen.append(func.__name__); return func(*args, **(kwargs or {}))
seen=[]
with M():
    x=torch.ones(2)+1
(x, 'ones' in seen)

[
    torch.overrides.has_torch_function((torch.ones(1),)),
    torch.overrides.is_tensor_like(torch.ones(1)),
    torch.overrides.is_tensor_like(1),
]

class P(torch.nn.Parameter): pass
p=P(torch.ones(2))
kinds(p*2, p)

class S(torch.Tensor):
    @staticmethod
    def __new__(cls, data, meta): return torch.as_tensor(data).as_subclass(cls)
    def __init__(self, data, meta): self.info=meta
x=S([1.,2.],'m')
x.info, kind(x+1), hasattr(x+1,'info')

class S(torch.Tensor): pass
with getattr(torch, "_C", torch).DisableTorchFunctionSubclass():
    y = torch.ones(2).as_subclass(S) + 1
kinds(y)
"""


def kind(x: Any) -> str:
    return type(x).__name__


def kinds(*values: Any) -> list[str]:
    return [kind(x) for x in values]


def run(torch: Any, case: str) -> str:
    """What the last line gives, as text."""
    scope: dict[str, Any] = {"torch": torch, "kind": kind, "kinds": kinds}
    *body, last = ast.parse(case).body
    try:
        exec(compile(ast.Module(body, []), "<case>", "exec"), scope)
        assert isinstance(last, ast.Expr)
        return repr(eval(compile(ast.Expression(last.value), "<last>", "eval"), scope))
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split()[:6])}"


cases = CASES.strip().split("\n\n")
for case in cases:
    theirs, ours = run(oracle, case), run(flambeau, case)
    if theirs != ours:
        print(f"{case}\n  PyTorch:  {theirs}\n  Flambeau: {ours}")
print(len(cases), "cases")
