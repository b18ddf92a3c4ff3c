"""torch.testing: what is close, what is said where it is not, and the tensors that it makes."""

from __future__ import annotations

import pytest

import flambeau as torch
from tests.beside import oracle, run, same

LINES = r"""
torch.testing.assert_close(torch.tensor([1.,2]),torch.tensor([1.,3]))
torch.testing.assert_close(torch.tensor([1.,2]),torch.tensor([1.,3]),rtol=0,atol=0)
torch.testing.assert_close(torch.tensor([1.,2]),torch.tensor([1.,3]),rtol=0.1)
torch.testing.assert_close(torch.tensor([1.,2]),torch.tensor([1.,3]),rtol=0.1,atol=.1)
torch.testing.assert_close(torch.tensor([[1.,2],[3,4]]),torch.tensor([[1.,2],[4,7]]))
torch.testing.assert_close(torch.tensor([1,2]),torch.tensor([1,3]))
torch.testing.assert_close(torch.tensor([True,False]),torch.tensor([True,True]))
torch.testing.assert_close(torch.tensor(1.),torch.tensor(2.))
torch.testing.assert_close(torch.tensor([1.]),torch.tensor([1.,2.]))
torch.testing.assert_close(torch.tensor([1.]),torch.tensor([1]))
torch.testing.assert_close(torch.tensor([1.]),torch.tensor([1]),check_dtype=False)
torch.testing.assert_close(torch.ones(2,2).t(),torch.ones(2,2),check_stride=True)
torch.testing.assert_close(torch.arange(6.).view(2,3).t(),torch.arange(6.).view(2,
    3).t().contiguous(),check_stride=True)
torch.testing.assert_close(torch.tensor([float('nan')]),torch.tensor([float('nan')]))
torch.testing.assert_close(torch.tensor([float('nan')]),torch.tensor([float('nan')]),
    equal_nan=True)
torch.testing.assert_close(torch.tensor([float('inf'),1]),torch.tensor([float('inf'),2]))
torch.testing.assert_close(torch.tensor([float('inf')]),torch.tensor([1.]))
torch.testing.assert_close(1.0,2.0)
torch.testing.assert_close(1,2)
torch.testing.assert_close(1,2,rtol=0,atol=0)
torch.testing.assert_close(1,1.0)
torch.testing.assert_close(1,1.0,check_dtype=False)
torch.testing.assert_close(1j,2j)
torch.testing.assert_close(True,False)
torch.testing.assert_close(True,True)
torch.testing.assert_close(None,None)
torch.testing.assert_close(None,1)
torch.testing.assert_close('a','a')
torch.testing.assert_close([torch.tensor(1.)],[torch.tensor(2.)])
torch.testing.assert_close([1.,[2.,3.]],[1.,[2.,4.]])
torch.testing.assert_close((1.,2.),[1.,2.])
torch.testing.assert_close([1.],[1.,2.])
torch.testing.assert_close({'a':1.},{'a':2.})
torch.testing.assert_close({'a':1.},{'b':2.})
torch.testing.assert_close({'a':1.},{'a':1.,'b':2.})
torch.testing.assert_close({'a':torch.ones(2)},{'a':torch.ones(2)})
torch.testing.assert_close(np.ones(2),np.ones(2)*2)
torch.testing.assert_close(np.ones(2),torch.ones(2,dtype=torch.float64))
torch.testing.assert_close(np.ones(2),torch.ones(2,dtype=torch.float64),allow_subclasses=False)
torch.testing.assert_close(1.,torch.tensor(1.))
torch.testing.assert_close(torch.ones(2),[1.,1.])
torch.testing.assert_close(torch.ones(2),torch.ones(2)+1e-6)
torch.testing.assert_close(torch.ones(2,dtype=torch.float64),torch.ones(2,
    dtype=torch.float64)+1e-6)
torch.testing.assert_close(torch.ones(2,dtype=torch.bfloat16),torch.ones(2,
    dtype=torch.bfloat16)+1e-2)
torch.testing.assert_close(torch.ones(2),torch.zeros(2),msg='mine')
torch.testing.assert_close(torch.ones(2),torch.zeros(2),msg=lambda m: 'x '+m)
torch.testing.assert_close(torch.zeros(0),torch.zeros(0))
torch.testing.assert_close(torch.zeros(0,2),torch.zeros(0,3))
torch.testing.assert_close(torch.complex(torch.ones(1),torch.ones(1)),
    torch.complex(torch.ones(1),torch.zeros(1)))
torch.testing.assert_close(torch.tensor([250],dtype=torch.uint8),torch.tensor([5],
    dtype=torch.uint8))
torch.testing.assert_close(torch.tensor([1.,2],requires_grad=True),torch.tensor([1.,2]))
torch.testing.assert_close(torch.tensor([0.,2]),torch.tensor([1.,0]))
torch.testing.assert_close([],[])
torch.testing.assert_close(object(),object())
torch.testing.assert_close(float('nan'),float('nan'))
torch.testing.assert_close(float('nan'),float('nan'),equal_nan=True)
torch.testing.assert_close(torch.ones(3,dtype=torch.int64)*10**10,torch.ones(3,
    dtype=torch.int64)*10**10+1)
torch.testing.assert_close(torch.tensor(2**62),torch.tensor(2**62+1))
torch.testing.make_tensor((2,3),dtype=torch.float32,device='cpu')
torch.testing.make_tensor((2,3),dtype=torch.int64,device='cpu',low=0,high=5)
torch.testing.make_tensor(3,dtype=torch.bool,device='cpu')
torch.testing.make_tensor((2,),dtype=torch.complex64,device='cpu',requires_grad=True)
torch.testing.make_tensor((4,),dtype=torch.float32,device='cpu',noncontiguous=True).stride()
torch.testing.make_tensor((4,),dtype=torch.float32,device='cpu',exclude_zero=True)
torch.testing.make_tensor((4,),dtype=torch.uint8,device='cpu')
torch.testing.make_tensor((4,),dtype=torch.int32,device='cpu',low=-2,high=2,exclude_zero=True)
torch.testing.make_tensor((2,),dtype=torch.int64,device='cpu',requires_grad=True)
torch.testing.make_tensor((2,),dtype=torch.float32,device='cpu',low=2,high=1)
torch.testing.make_tensor((2,),dtype=torch.float16,device='cpu')
torch.testing.make_tensor(2,3,dtype=torch.bfloat16,device='cpu')
"""  # an indented line goes on


@pytest.mark.parametrize("line", LINES.replace("\n    ", "").strip().splitlines())
def test_like_pytorch(line: str) -> None:
    """Values, and every word of the errors."""
    theirs, ours = run(oracle, (line,)), run(torch, (line,))
    if isinstance(theirs, Exception):
        assert type(ours) is type(theirs)
        assert str(ours).replace("flambeau.tensor", "torch") == str(theirs)
    else:
        same(line)


def test_negative_tolerances_are_refused() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        torch.testing.assert_close(1.0, 1.0, rtol=-1.0, atol=0.0)


@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8", "bool", "complex64", "bfloat16"])
def test_made_tensors_lie_within_their_bounds(dtype: str) -> None:
    kind = getattr(torch, dtype)
    x = torch.testing.make_tensor(100, dtype=kind, device="cpu", noncontiguous=True)
    assert x.dtype is kind and x.stride() == (2,)
    high = torch.view_as_real(x) if kind.is_complex else x
    assert float(high.float().abs().max()) <= 9
