"""Contractions, writes by index, views as copies, pieces, look-ups: the same in both frameworks."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

theirs = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")
ours = pytest.importorskip("flambeau")

ERRORS = (RuntimeError, ValueError, IndexError, TypeError, NotImplementedError)

# x [3, 4], y [4, 3], s [3, 3], b [2, 3, 4], c [2, 4, 3], v [4]: leaves of float64; i, j: indices
SMOOTH = """
torch.einsum('ij,jk',x,y) torch.einsum('ij,jk->ki',x,y) torch.einsum('ii',s) torch.einsum('ii->i',s)
torch.einsum('ij->',x) torch.einsum('ij->j',x) torch.einsum('bij,bjk->bik',b,c)
torch.einsum('...ij,...jk',b,c) torch.einsum('...ij,jk->...ik',b,y) torch.einsum('i,j->ij',v,v)
torch.einsum('bij,bij,j->b',b,b,v) torch.einsum('ij,jk,kl->il',x,y,x) torch.einsum(x,[0,1],y,[1,2])
torch.einsum(x,[0,1],y,[1,2],[2,0]) torch.einsum(b,[...,0,1],y,[1,2],[...,2])
torch.einsum('ij,kj->ik',x,v[None]) torch.einsum('Ba,aB->aB',x,y) torch.einsum('...j->j',b)
torch.einsum('ijj->i',c[:,:3]) torch.einsum('ij',[x]) torch.einsum('ij,ij->ij',x,x)
torch.tensordot(x,y,1) torch.tensordot(x,y,([0],[1])) torch.tensordot(b,c,([0,2],[0,1]))
torch.tensordot(x,v,0) torch.tensordot(x,y[:1],([1],[0])) torch.kron(x,y) torch.kron(x,v) x.kron(s)
torch.addr(y,v,v[:3]) torch.addr(y,v,v[:3],beta=.5,alpha=2) y.addr(v,v[:3],beta=0)
torch.addbmm(s,b,c) torch.addbmm(s,b,c,beta=2,alpha=.5) torch.block_diag(x,v,y)
torch.combinations(v,2) torch.combinations(v,3,True)
torch.hsplit(x,2)[1] torch.vsplit(x,(1,2))[1] torch.dsplit(b,2)[0] torch.unsafe_chunk(x,2)[0]
torch.tensor_split(x,torch.tensor([1,3]),1)[1]
torch.expand_copy(v,(2,4)) torch.permute_copy(x,(1,0)) torch.squeeze_copy(v[None])
torch.select_copy(x,0,1) torch.slice_copy(x,1,1,3) torch.t_copy(x) torch.unbind_copy(x)[1]
torch.split_with_sizes_copy(x,(1,3),1)[1] torch.view_copy(x,(2,6)) torch.diagonal_copy(s,1)
torch.unfold_copy(x,1,2,1) torch.as_strided_copy(x,(2,2),(1,2)) torch.narrow_copy(x,1,1,2)
torch.select_scatter(x,v,0,1) torch.slice_scatter(x,v[None],0,1,2) x.diagonal_scatter(v[:3])
torch.slice_scatter(x,y[:3,:2],1,0,4,2)
x.scatter_reduce(0,i,s,'sum') x.scatter_reduce(0,i,s,'prod') x.scatter_reduce(0,i,s,'mean')
x.scatter_reduce(0,i,s,'amax') x.scatter_reduce(0,i,s,'amin',include_self=False)
x.scatter_reduce(0,i,s,'prod',include_self=False) x.scatter_reduce(0,i,s,'mean',include_self=False)
x.index_reduce(1,j,y[:3],'amax') x.index_reduce(1,j,s,'prod') x.index_reduce(1,j,s,'mean')
torch.segment_reduce(v,'sum',lengths=torch.tensor([2,0,2]))
torch.segment_reduce(y,'mean',lengths=torch.tensor([1,3]))
torch.segment_reduce(v,'max',lengths=torch.tensor([1,3]),initial=0.2)
torch.segment_reduce(y,'prod',offsets=torch.tensor([0,1,4]))
x.put(j,v[:3]) x.put(j,v[:3],True) x.t().put(j,v[:3]) x.masked_fill(x>0,2)
""".split()


def operands(torch: Any) -> dict[str, Any]:
    """The same leaves in both frameworks."""
    state = np.random.RandomState(3)
    sizes = dict(x=(3, 4), y=(4, 3), s=(3, 3), b=(2, 3, 4), c=(2, 4, 3), v=(4,))
    values = {name: state.uniform(-1, 1, size).tolist() for name, size in sizes.items()}
    return {n: torch.tensor(v, dtype=torch.float64).requires_grad_() for n, v in values.items()}


def indices(torch: Any) -> dict[str, Any]:
    return dict(
        torch=torch, i=torch.tensor([[0, 1, 2], [0, 1, 1], [2, 0, 0]]), j=torch.tensor([3, 0, 1])
    )


def derived(torch: Any, expression: str) -> list[Any]:
    """The value with its size and strides, and two derivatives of a sum of squares of it."""
    leaves = operands(torch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = eval(expression, leaves | indices(torch))
    first = torch.autograd.grad(
        (result**2).sum(), list(leaves.values()), create_graph=True, allow_unused=True
    )
    found = [result, *(g for g in first if g is not None)]
    if "segment" not in expression:  # PyTorch has no second derivative of it
        more = sum([(g**2).sum() for g in first if g is not None], 0)
        second = torch.autograd.grad(more, list(leaves.values()), allow_unused=True)
        found += [g for g in second if g is not None]
    return [(tuple(result.shape), result.stride()), *(g.detach().numpy() for g in found)]


@pytest.mark.parametrize("expression", SMOOTH)
def test_values_and_two_derivatives(expression: str) -> None:
    (mine, *values), (other, *expected) = derived(ours, expression), derived(theirs, expression)
    assert mine == other
    assert len(values) == len(expected)
    for x, y in zip(values, expected):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-9)


# a [2, 3] of int64, f the same as float32, z: no elements
FACTS = """
torch.einsum('ij->ik',f) torch.einsum('ij,jk',f) torch.einsum('ij',f,f) torch.einsum('i',f)
torch.einsum('...ijk',f) torch.einsum('i.j',f) torch.einsum('ij->ii',f) torch.einsum('i1',f)
torch.einsum('ii',f) torch.einsum('ij,jk',f,f) torch.einsum(f,[0,60]) torch.einsum('')
torch.einsum('ij,kj->ik',a,a) torch.einsum('ij->...ji',f) torch.einsum('...i...',f)
torch.tensordot(f,f,2) torch.tensordot(f,f,1) torch.tensordot(f,f,3) torch.tensordot(f,f,-1)
torch.tensordot(f,f,([0],[0,1])) torch.kron(a,f) torch.addr(a,a[0],a[1]) torch.addr(f,f,f[0])
torch.addr(torch.zeros(3,3,dtype=torch.int64),a[0],a[1],beta=.5) torch.block_diag(f[None])
torch.block_diag() torch.block_diag(a,f) torch.combinations(f) torch.combinations(a[0],0)
torch.combinations(a[0],-1) torch.combinations(a[0],4) torch.hsplit(f,2) torch.vsplit(f[0],1)
torch.dsplit(f,1) torch.hsplit(f,'a') torch.tensor_split(f,torch.tensor(2.))
torch.select_scatter(f,f[0],1,0) torch.slice_scatter(f,f,0,1) torch.diagonal_scatter(f,f[0])
f.scatter_reduce(0,a,f,'sum') f.scatter_reduce(0,a%2,f,'middle') f.scatter_reduce(0,a%2,a,'sum')
a.scatter_reduce(0,a%2,a,'mean') a.scatter_reduce(0,a%2,a,'amin',include_self=False)
(a>2).scatter_reduce(0,a%2,a>3,'prod') f.index_reduce(0,a[0],f,'prod')
f.index_reduce(1,a[0],f,'sum') f.index_reduce(1,a[0],f,'amin') f.index_reduce(1,a[:1],f,'amin')
a.index_reduce(1,a[0],a,'mean') torch.segment_reduce(f[0],'sum') torch.segment_reduce(a[0],'sum')
torch.segment_reduce(f[0],'sum',lengths=a[0]) torch.segment_reduce(f[0],'sum',lengths=a[0]+9)
torch.segment_reduce(f[0],'min',lengths=torch.tensor([0,3]))
torch.segment_reduce(f[0],'mean',lengths=torch.tensor([0,3]))
f.put(a,f) f.put(a,a) f.put(a.int(),f) f.put(a[0],f) f.put(a+7,f) z.put(a,f) z.put(a[:0],z)
torch.isin(a,torch.tensor([1,5])) torch.isin(a,2,invert=True) torch.isin(2,a) torch.isin(2,2)
torch.isin(a>1,a>1) torch.isin(f,a) torch.unravel_index(a,(2,3)) torch.unravel_index(f,(2,3))
torch.unravel_index(a,(2,-3)) torch.unravel_index(a,6) torch.nonzero_static(a,size=2)
torch.nonzero_static(a,size=7,fill_value=9) torch.nonzero_static(a,size=-1)
torch.empty_permuted((2,3,4),(2,0,1)).stride() torch.empty_permuted((2,3),(0,0))
f.half().masked_fill(f>1,-1e9) f.masked_fill(f>1,-1e39) f.masked_fill(f>1,float('-inf'))
a.masked_fill(a>1,torch.tensor(1j)) a.masked_fill(a>1,1.5) a.byte().masked_fill(a>1,-1)
a.byte().masked_fill(a>1,256) a.masked_fill(a,1) f.masked_scatter(f,f) f.masked_scatter(f>1,f[0,:1])
torch.full((2,),300,dtype=torch.uint8) torch.full((2,),1e9,dtype=torch.float16)
torch.full((2,),np.float64(3)) torch.full((2,),np.int8(3)) torch.full((2,),np.bool_(True))
torch.zeros(2).fill_(1e39) torch.full((2,),float('nan'),dtype=torch.int32)
f[a.short()] f.gather(1,a.short()) f.take(a.int()) f.index_fill(0,a[0].int(),1)
f.index_copy(1,a[0].int(),f) f.index_add(1,a[0],f[0]) f.index_add(1,a[0],a)
f.take_along_dim(a.int(),1) torch.topk(f>1,1) torch.kthvalue(f>1,1)
torch.searchsorted(f[0],f,side='middle') torch._chunk_cat([f,f[:,:2]],0,2)
torch.searchsorted(f,2.) torch.searchsorted(f[0],2.,sorter=a[0]) torch.searchsorted(f[0],f,sorter=a)
torch.searchsorted(f[0],f,side='left',right=True) torch.unique(f,dim=3)
torch.unique(torch.zeros(0,3),dim=1) torch.bincount(f[0]) torch.bincount(a[0],f[0,:2])
torch.bincount(a[0],minlength=-1) torch.repeat_interleave(f,a[0],1)
torch.repeat_interleave(f,a[0,:2],1) torch.repeat_interleave(f,-1) torch.repeat_interleave(f,f[0],1)
torch.repeat_interleave(f,a[0],1,output_size=2) torch.cartesian_prod(a) torch.meshgrid(a,a)
torch.meshgrid(a[0],f[0]) torch.broadcast_shapes((2,-1)) torch.hstack(f) torch.tril_indices(-1,2)
torch.arange(3,dtype=torch.bool) torch.linspace(0,1,7,dtype=torch.float16) torch.linspace(-3,2,7)
torch.linspace(-3,1.5,7,dtype=torch.int64) torch.linspace(1j,2,4) torch.linspace(0,4,51)
torch.normal(f,-1.) torch.normal(f,-f) torch.normal(a,f)
""".split()


def facts(torch: Any, expression: str) -> Any:
    """Types, sizes, strides and values of what an expression gives; an error's class."""
    a = torch.arange(6).reshape(2, 3)
    names = dict(torch=torch, np=np, a=a, f=a.to(torch.float32), z=torch.zeros(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return plain(eval(expression, names))
        except ERRORS as error:
            return type(error).__name__


def plain(x: Any) -> Any:
    if isinstance(x, (tuple, list)):
        return [plain(part) for part in x]
    if not hasattr(x, "stride"):
        return x
    return str(x.dtype), tuple(x.shape), x.stride() if x.numel() else (), str(x.tolist())


@pytest.mark.parametrize("expression", FACTS)
def test_values_types_and_refusals(expression: str) -> None:
    assert facts(ours, expression) == facts(theirs, expression)


@pytest.mark.parametrize("reduce", ["sum", "prod", "mean", "amax", "amin"])
@pytest.mark.parametrize("include_self", [True, False])
def test_scatter_reduce_in_a_compiled_loop(reduce: str, include_self: bool) -> None:
    results = []
    for torch in (ours, theirs):
        x = (torch.arange(12.0, dtype=torch.float64) * 0.7).sin().reshape(4, 3).requires_grad_()
        index = torch.tensor([[0, 1, 3], [0, 3, 3], [2, 1, 0]])
        for _ in range(40):
            out = x.scatter_reduce(0, index, (x[:3] * 2).cos(), reduce, include_self=include_self)
            (grad,) = torch.autograd.grad(torch.einsum("ij,kj->ik", out, x).sum(), x)
            with torch.no_grad():
                x -= 0.001 * grad
        results.append(x.detach().numpy())
    np.testing.assert_allclose(*results, rtol=1e-9, atol=1e-9)
