"""inference_mode: what is made inside is marked, and meets no gradient outside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

theirs = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")
ours = pytest.importorskip("flambeau")

# a: made inside; v: a view of it made inside; n: made inside from x, which requires grad.
MARKED = """
a.is_inference() v.is_inference() n.is_inference() n.requires_grad a[0].is_inference()
a.detach().is_inference() a.data.is_inference() a.clone().is_inference() (a+1).is_inference()
x.is_inference() x.detach().is_inference() inside(lambda:x[:2].is_inference())
inside(lambda:x.detach().is_inference()) inside(lambda:x.clone().is_inference())
inside(lambda:x.max(0)[0].is_inference()) inside(lambda:torch.tensor([1.]).is_inference())
inside(lambda:torch.from_numpy(np.ones(2)).is_inference())
inside(lambda:torch.rand(2).is_inference()) inside(lambda:torch.empty(2).is_inference())
inside(lambda:a.add_(1).is_inference()) inside(lambda:torch.ones(3).copy_(x).is_inference())
torch.ones(3).copy_(a).is_inference() inside(lambda:torch.nn.Linear(2,2).weight.is_inference())
inside(lambda:torch.enable_grad()(lambda:(x*2).requires_grad)())
inside(lambda:torch.inference_mode(False)(lambda:(x*2).requires_grad)())
inside(lambda:torch.inference_mode(False)(lambda:(x*2).is_inference())())
inside(lambda:torch.ones(2).requires_grad_().requires_grad) a.data.add_(1).is_inference()
""".split()

REFUSED = """
a.add_(1) a.zero_() v.add_(1) a[0].add_(1) a.unsqueeze(0).mul_(2) a.__setitem__(0,5) a.copy_(x)
torch.no_grad()(lambda:a.add_(1))() torch.add(x.detach(),1,out=a) a.normal_()
a._version a.requires_grad_() torch.nn.Parameter(a) torch.nn.init.zeros_(a) a*x x*a (x*1).mul_(a)
torch.nn.Linear(3,3)(a) x@a x/a a**x (x*1).exp_().mul_(a)
""".split()


def scope(torch: Any) -> dict[str, Any]:
    x = torch.ones(3, requires_grad=True)
    with torch.inference_mode():
        a = torch.ones(3)
        names = dict(torch=torch, np=np, x=x, a=a, v=a[:2], n=x * 2)

    def inside(function: Any) -> Any:
        with torch.inference_mode():
            return function()

    return names | {"inside": inside}


def outcome(torch: Any, expression: str) -> Any:
    names = scope(torch)
    try:
        return eval(expression, names)
    except RuntimeError as error:
        return str(error).partition("\n")[0]


@pytest.mark.parametrize("expression", MARKED)
def test_marks(expression: str) -> None:
    assert outcome(ours, expression) is outcome(theirs, expression)


@pytest.mark.parametrize("expression", REFUSED)
def test_refusals(expression: str) -> None:
    mine, other = outcome(ours, expression), outcome(theirs, expression)
    assert isinstance(mine, str) and mine == other


def test_a_sum_needs_no_operand_and_so_takes_one_from_inference_mode() -> None:
    for torch in (ours, theirs):
        names = scope(torch)
        x, a = names["x"], names["a"]
        (x + a).sum().backward()
        assert x.grad.tolist() == [1, 1, 1]


def test_the_same_calls_with_and_without_an_inference_tensor() -> None:
    """The second is refused although the first was recorded, and the third goes on."""
    x, plain = ours.ones(3, requires_grad=True), ours.ones(3)
    with ours.inference_mode():
        marked = ours.ones(3) * 1
    for _ in range(3):
        assert (x * plain).sum().item() == 3
        with pytest.raises(RuntimeError, match="cannot be saved for backward"):
            (x * marked).sum()
        assert (x + marked).sum().item() == 6
