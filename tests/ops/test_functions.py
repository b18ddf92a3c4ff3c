"""Front functions with overloads: the same expressions in both frameworks.

Values, dtypes, sizes, strides, the names of nodes, gradients of every leaf, and classes of errors
agree.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from . import cases

theirs = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")
ours = pytest.importorskip("flambeau")

SMOOTH = """
x.sum() x.sum(0) x.sum((0,1)) x.sum(axis=1) x.sum(1,keepdims=True) x.sum(0,True) torch.sum(x,-1)
x.cumsum(axis=1) torch.softmax(x,axis=0) torch.unsqueeze(x,axis=1) x.logsumexp(axis=0,keepdims=True)
x.sort(axis=0)[0] torch.median(x,axis=1,keepdims=True)[0] x.unsqueeze(axis=0).squeeze(axis=0)
x.swapaxes(axis0=0,axis1=1) torch.linalg.norm(x,axis=1) torch.topk(x,2,axis=0)[0]
torch.reshape(x,shape=(-1,)) x.view(size=(-1,)) torch.permute(x,dims=(1,0)) x.repeat(repeats=(2,1))
torch.tile(x,dims=(2,)) x.expand(size=(2,*x.shape))
x.sum(dim=None,keepdim=True) x.mean() x.mean(1) x.mean(dim=(0,1),keepdim=True) x.prod() x.prod(0)
x.prod(1,keepdim=True) x.max() x.min() x.max(0)[0] x.max(1,keepdim=True).values
torch.min(x,0).values torch.max(x,y) torch.min(x,y) torch.max(x,dim=1)[0]
torch.max(input=x,other=y) x.amax() x.amax((0,1)) x.amin(1,True) x.var() x.var(0) x.var(0,False)
x.var(False) x.var(1,correction=0) x.var(1,keepdim=True) x.std() x.std(0,unbiased=False)
torch.std(x,dim=1,keepdim=True) torch.var_mean(x)[0] torch.var_mean(x,1)[1] torch.std_mean(x)[0]
x.norm() x.norm(1) x.norm(p=3,dim=1) torch.norm(x,2,0) x.norm(dim=1,keepdim=True) x.norm('fro')
x.norm(float('inf')) x.logsumexp(1) torch.logsumexp(x,(0,1)) x.softmax(1) torch.softmax(x,-1)
x.log_softmax(0) F.softmax(x,dim=1) F.log_softmax(x,dim=1) F.softmax(x,dim=1,dtype=torch.float64)
x.cumsum(1) torch.cumsum(x,dim=0) x.cumprod(1) x**2 x**3 x**0 x**-1 x**0.5 p**1.5 p**y 2**x 2.5**x
torch.pow(2,x) torch.pow(x,3.0) x.pow(p) x.square() torch.square(x) x+1 1+x x-1 1-x 2*x x*2 x/2 2/p
x+y x-y x*y x/p -x abs(x) x%2 x%p torch.div(x,p) torch.div(x,p,rounding_mode='floor')
torch.div(x,2,rounding_mode='trunc') torch.remainder(x,2) torch.fmod(x,p) x.fmod(2)
torch.add(x,y,alpha=2) torch.sub(x,y,alpha=0.5) torch.rsub(x,y) x.clamp(-1,1) x.clamp(min=0)
x.clamp(max=0.5) torch.clamp(x,0,1) x.clip(0,1) x.clamp(y,p) x.clamp(min=y) x.clamp(max=y)
x.maximum(y) torch.minimum(x,y) torch.where(x>0,x,y) torch.where(x>0,x,0.) torch.where(x>0,0,x)
torch.where(x>0,1.,0.) x.where(x>0,y) x.where(x>0,0) x.masked_fill(x>0,1) x.masked_fill(x>0,v[0])
x.lerp(y,0.3) torch.lerp(x,y,p) x.addcmul(y,p) x.addcdiv(y,p,value=0.5) x.round()
x.round(decimals=1) x.floor() x.trunc() x.frac() x.nan_to_num() x.relu() F.relu(x) torch.relu(x)
x.sigmoid() x.tanh() F.gelu(x) F.gelu(x,approximate='tanh') F.silu(x) F.softplus(x)
F.softplus(x,2.0,1.0) F.leaky_relu(x) F.leaky_relu(x,0.3) F.elu(x) F.elu(x,1.5) F.selu(x)
F.celu(x,1.3) F.hardtanh(x) F.hardtanh(x,-0.5,0.5) F.relu6(x) F.mish(x) F.logsigmoid(x)
F.hardswish(x) F.hardsigmoid(x) F.softsign(x) F.tanhshrink(x) F.threshold(x,0.1,2.0)
F.softmin(x,dim=1) F.normalize(x) F.cosine_similarity(x,y) x@w v@v x@u b@w b@u v@x.t()
v@x.t()[:,:1] b@b.mT b@c4 c4@b x@b[0].mT torch.matmul(c4,b) torch.mm(x,w) torch.bmm(b,b.mT)
torch.mv(w,u4) torch.dot(v,v) torch.outer(v,u4) torch.ger(v,v) torch.inner(x,y) torch.addmm(v4,x,w)
torch.addmm(v4,x,w,beta=0.5,alpha=2) torch.addmv(v,w,u4) torch.baddbmm(b,b,b.mT@b)
F.linear(x,w.t()) F.linear(x,w.t(),v4) F.linear(b,m34) F.linear(b,m34,v) F.linear(v,w.t(),v4)
F.linear(v,w.t()) F.linear(c4,m34,v) F.mse_loss(x,y) F.mse_loss(x,y,reduction='sum')
F.mse_loss(x,y,reduction='none') F.l1_loss(x,y) F.l1_loss(x,y,reduction='none')
F.smooth_l1_loss(x,y) F.smooth_l1_loss(x,y,beta=0.3) F.huber_loss(x,y)
F.smooth_l1_loss(x,y,beta=0.0) F.huber_loss(x,y,delta=0.5) F.kl_div(x,p.detach())
F.kl_div(x,y.detach(),log_target=True,reduction='batchmean') F.cross_entropy(x,i)
F.cross_entropy(x,i,reduction='sum') F.cross_entropy(x,i,reduction='none')
F.cross_entropy(x,i,weight=q) F.cross_entropy(x,i,ignore_index=1)
F.cross_entropy(x,i,label_smoothing=0.1) F.cross_entropy(x,i,weight=q,label_smoothing=0.1)
F.cross_entropy(x,i,label_smoothing=0.2,reduction='sum')
F.cross_entropy(x,i,label_smoothing=0.2,reduction='none') F.cross_entropy(x,p.detach())
F.cross_entropy(x,p.detach(),weight=q)
F.cross_entropy(x,p.detach(),label_smoothing=0.1,reduction='none') F.cross_entropy(v,i[0])
F.cross_entropy(b,k) F.cross_entropy(b,k,weight=q,ignore_index=2) F.nll_loss(x,i)
F.nll_loss(x,i,q,reduction='sum') F.nll_loss(x,i,ignore_index=0,reduction='none')
F.binary_cross_entropy(s,t) F.binary_cross_entropy(s,t,reduction='none')
F.binary_cross_entropy_with_logits(x,t) F.binary_cross_entropy_with_logits(x,t,pos_weight=q)
F.binary_cross_entropy_with_logits(x,t,weight=q,reduction='sum') x.sum_to_size(1,3)
x.sum_to_size(3) torch.abs(x) torch.absolute(x) torch.negative(x) torch.subtract(x,y)
torch.multiply(x,y) torch.divide(x,p) torch.true_divide(x,p) x.clamp_min(0) x.clamp_max(0)
torch.clamp_min(x,y) torch.clamp_max(x,y) F.softshrink(x) F.hardshrink(x) F.softshrink(x,0.1)
torch.hardshrink(x,1.1) x.hardshrink()
""".split()

# Which of its overloads PyTorch itself calls inside a composition (a squeeze in place, a division
# by an integer) is no part of the meaning.
OVERLOADS = {"SqueezeBackward4": "SqueezeBackward1", "DivBackward1": "DivBackward0"}

# Composed of several calls, where PyTorch has one node.
COMPOSED = """
F.prelu(x,v[:1]) F.prelu(x,v)
F.glu(e) torch.aminmax(x,dim=1).min
""".split()

PLAIN = """
x//2 x//y torch.floor_divide(x,p) x.argmax() x.argmax(1) x.argmax(axis=1) x.argmin(0,keepdim=True)
x.max(1).indices x.max(1)[1] torch.min(x,1).indices (x>0).any() (x>0).all() x.any(1) n.all(0)
(x>0).sum() (x>0).sum(1) n.sum() n.max() n.max(0)[0] n.prod() n.cumsum(0) n+1 n+1.5 n-1 n*2 n/2
n//2 n%2 n%-3 -n//2 n**2 2**n n>1 n==2 n!=n n<=1.5 x==x x!=y x>=0 x<0 n&1 n|2 n^3 ~n n<<1 n>>1 1<<n
(x>0)&(y>0) (x>0)|(y>0) (x>0)^(y>0) ~(x>0) u8-1 u8+250 u8*2 u8//2 u8%3 ~u8 -u8 u8==255 u8+u8 i8-128
i8*i8 abs(i8) n.clamp(1,2) n.clamp(0.5) torch.where(n>1,n,0) torch.where(n>1,n,0.5)
torch.where(n>1,1,2) n.masked_fill(n>1,9) x.logical_not() torch.logical_and(x,n)
torch.logical_xor(n,n) torch.isclose(x,x+1e-9) torch.allclose(x,x+1e-9) torch.allclose(x,y)
torch.equal(x,x) torch.equal(x,v) torch.isnan(x) torch.isfinite(x) torch.isinf(x) torch.signbit(x)
torch.isposinf(x) n.float()/n n.bool() h+1 h*h h/3 bf+1 bf*bf h@h.t() bf@bf.t() h.sum() bf.sum()
bf.mean() h.softmax(1) bf.log_softmax(1) h.exp() bf.sigmoid() bf+x h+bf x.double()+x x+z0 n+z0 h+z0
n*z0 n+True (x>0)+1 (x>0)*2.5 (x>0)+(y>0) torch.result_type(n,1.5) n.mean() n.var() x.sum(5)
x.sum((0,0)) x.max(3) x.argmax(9) x@x x@v.t()@v torch.mm(v,v) x+m34 x.clamp()
torch.div(x,y,rounding_mode='up') n/0 n//0 n%0 x//0 x%0 n.double()@n.double().t() n@n.t()
torch.add(n,n,alpha=1.5) (x>0)-(y>0) -(x>0) n**-1 x.masked_fill(n,1) x.masked_fill(x>0,v)
n.masked_fill(n>0,1.5) torch.where(x,x,y) x.softmax(4) F.cross_entropy(x,i.float()) F.nll_loss(x,k)
F.cross_entropy(x,i+7) F.cross_entropy(x,torch.zeros(5).long()) F.mse_loss(x,y,reduction='no')
x.norm('nuc2') x.add_(y) x.mul_(2) x.div_(2) x.pow_(2) x.clamp_(0,1) x.sub_(1) x.relu_() x.sqrt_()
n.add_(1.5) n.div_(2) n.floor_divide_(2) x.floor_divide_(2) n.pow_(2) x.masked_fill_(x>0,1)
x.clip_(0,1) x.square_() x.eq_(0) x.logical_not_() x.cumsum_(0) n.bitwise_and_(1) x.lerp_(y,0.5)
x.addcmul_(y,y) x.round_() x.zero_() x.neg_() x.remainder_(2) x.fmod_(2) x.nan_to_num_()
x.sigmoid_() x.tanh_() x.exp_() x.abs_() F.relu(x,inplace=True) F.leaky_relu(x,0.2,inplace=True)
F.elu(x,inplace=True) F.relu6(x,True) x.addmm_(x[:,:2],x[:,:2].t()[:,:3]@w[:,:3]) x[0,0].add(n)
z0+1 z0*n z0/2 z0+x.double() torch.max(x,1,True).values.shape torch.sum(n,0,dtype=torch.float32)
n.sum(dtype=torch.int8) x.prod(dtype=torch.float64) x.mean(dtype=torch.float64)
x.cumsum(0,dtype=torch.float64)
F.binary_cross_entropy(y,t) F.binary_cross_entropy(s,y) F.binary_cross_entropy(s/0,t)
F.binary_cross_entropy(s.round(),t) F.softshrink(x/0) F.softshrink(x,-1) F.prelu(x,v[:2])
F.prelu(x,x) F.prelu(v,v)
""".split()


def scope(torch: Any, grad: bool) -> dict[str, Any]:
    """Operands of the expressions, the same numbers in both frameworks."""
    state, names = np.random.RandomState(0), {}

    def make(name: str, *size: int, low: float = -2, high: float = 2, dtype: Any = None,
             leaf: bool = True) -> None:  # fmt: skip
        values = np.asarray(state.uniform(low, high, size))
        if dtype is None or dtype in (torch.float16, torch.bfloat16):
            tensor = torch.tensor(values.tolist(), dtype=dtype or torch.float32)
        else:
            tensor = torch.tensor(values.astype(int).tolist(), dtype=dtype)
        names[name] = tensor.requires_grad_(grad and leaf and dtype is None)

    sizes = dict(x=(2, 3), y=(2, 3), v=(3,), v4=(4,), u=(3,), u4=(4,), w=(3, 4), m34=(3, 4),
                 b=(2, 3, 4), c4=(2, 2, 4, 4), e=(2, 4))  # fmt: skip
    for name, size in sizes.items():
        make(name, *size)
    make("p", 2, 3, low=0.2, high=2)
    make("s", 2, 3, low=0.1, high=0.9)
    make("t", 2, 3, low=0, high=1, leaf=False)
    make("q", 3, low=0.2, high=2, leaf=False)
    make("n", 2, 3, low=0, high=5, dtype=torch.int64)
    make("i", 2, low=0, high=3, dtype=torch.int64)
    make("k", 2, 4, low=0, high=3, dtype=torch.int64)
    make("u8", 4, low=0, high=9, dtype=torch.uint8)
    make("i8", 4, low=-128, high=127, dtype=torch.int8)
    make("h", 2, 3, dtype=torch.float16)
    make("bf", 2, 3, dtype=torch.bfloat16)
    make("z0", low=0.3, high=0.9)
    return names | {"torch": torch, "F": torch.nn.functional}


def evaluate(torch: Any, expression: str, grad: bool, facts: Any) -> tuple[cases.Outcome, str]:
    """What an expression gives; with `grad` also the gradient of each leaf, and its node's name."""
    names, node = scope(torch, grad), []

    def run() -> Any:
        result = eval(expression, names)
        if not grad:
            return str(result) if isinstance(result, tuple) else result
        node.append(result.grad_fn.name() if result.grad_fn is not None else "")
        if result.requires_grad:
            result.double().sum().backward()
        leaves = [names[n] for n in "x y v v4 u u4 w m34 b c4 e p s".split()]
        return [result, *[leaf.detach() * 0 if leaf.grad is None else leaf.grad for leaf in leaves]]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cases.outcome(run, facts), "".join(node)


def facts_of_result(facts: Any) -> Any:
    return lambda r: facts(r) if hasattr(r, "stride") else (type(r).__name__, (), (), str(r))


@pytest.mark.parametrize("expression", SMOOTH)
def test_value_gradient_and_node(expression: str) -> None:
    mine, my_node = evaluate(ours, expression, True, facts_of_result(cases.our_facts))
    other, node = evaluate(theirs, expression, True, facts_of_result(cases.their_facts))
    assert not cases.difference(mine, other)
    assert my_node == OVERLOADS.get(node, node)


@pytest.mark.parametrize("expression", COMPOSED)
def test_value_and_gradient(expression: str) -> None:
    mine, _ = evaluate(ours, expression, True, facts_of_result(cases.our_facts))
    other, _ = evaluate(theirs, expression, True, facts_of_result(cases.their_facts))
    assert not cases.difference(mine, other)


WARNED = """
x.var((0,1),correction=6) x[:1,:1].std() x[:,:1].var(1) torch.var_mean(x[0,0]) x[:0].var(0)
torch.std_mean(x,1,correction=2.5) x[:0].std(1) x[:,:1].var(1,correction=0)
""".split()


@pytest.mark.parametrize("expression", WARNED)
def test_warnings(expression: str) -> None:
    given = []
    for torch in (ours, theirs):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            eval(expression, scope(torch, False))
        given.append([(w.category, str(w.message).split(" (Triggered")[0]) for w in caught])
    assert given[0] == given[1]


@pytest.mark.parametrize("expression", ["x//2", "2//x", "torch.floor_divide(x,y)", "(x*1)//x"])
def test_floor_divide_has_no_derivative(expression: str) -> None:
    for torch in (ours, theirs):
        result = eval(expression, scope(torch, True))
        with pytest.raises(RuntimeError, match="derivative for aten::floor_divide is not"):
            result.sum().backward()


@pytest.mark.parametrize("size", [3, 3000])
@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
def test_binary_cross_entropy_of_what_is_no_probability(size: int, wrong: float) -> None:
    """In both tiers: the first times call by call, later compiled."""
    for _ in range(4):
        for input, target, name in ((wrong, 0.5, "input"), (0.5, wrong, "target")):
            x = ours.full((size,), 0.5, requires_grad=True) * 1
            x[size // 2] = input
            loss = ours.nn.functional.binary_cross_entropy(x, ours.full((size,), target))
            with pytest.raises(RuntimeError, match=f"all elements of {name} should be between"):
                loss.item()


@pytest.mark.parametrize("expression", PLAIN)
def test_value_or_error(expression: str) -> None:
    mine, _ = evaluate(ours, expression, False, facts_of_result(cases.our_facts))
    other, _ = evaluate(theirs, expression, False, facts_of_result(cases.their_facts))
    assert not cases.difference(mine, other)
