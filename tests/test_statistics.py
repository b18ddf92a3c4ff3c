"""Ranks, counts, averages, differences and integrals beside PyTorch."""

import pytest

from .beside import same

START = """import math
nan, inf = math.nan, math.inf
x = torch.tensor([[3., 1, 4, 1, 5], [9, 2, 6, 5, 3], [5, 8, 9, 7, 9]])
h = torch.tensor([[3., nan, 4, nan, 5], [nan, 2, 6, 5, 3], [nan, nan, nan, nan, nan]])
n = torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3], [5, 8, 9, 7, 9]])
b = torch.tensor([True, False, False, True])
e, z = torch.empty(0, 3), torch.tensor(3.)
g = torch.tensor([[3., 1, 4], [9, 2, 6]], dtype=torch.float64, requires_grad=True)
q = torch.tensor([0., 0.3, 1.])
w = torch.tensor([0.5, 1., 2., 0.25, 1.])
c = torch.tensor([1 + 2j, 3 - 1j, 0.5j])""".split("\n")

RANKS = """x.median() x.median(1) torch.median(x,0,keepdim=True) h.median() h.median(1)
h.nanmedian() h.nanmedian(1) torch.nanmedian(h,-1,True) n.median(0) z.median() z.median(0)
e.median() e.median(1) e.nanmedian() e.median(0) b.median() c.median() n.mode() n.mode(0,True)
x.mode(dim=1) z.mode() e.mode(0) b.mode() c.mode() x.cummax(1) x.cummin(0) h.cummax(1) h.cummin(0)
n.cummax(1) b.cummax(0) e.cummax(0) z.cummin(0) c.cummax(0) x.cummax(2) x.quantile(0.4)
x.quantile(q) x.quantile(q,1) x.quantile(q,dim=0,keepdim=True)
torch.quantile(x,0.35,1,interpolation='nearest') x.quantile(q,1,interpolation='lower')
x.quantile(q,1,interpolation='higher') x.quantile(0.3,1,interpolation='midpoint') h.quantile(q,1)
h.nanquantile(q,1) h.nanquantile(0.5) x.quantile(2.) x.quantile(q*2) x.quantile(q.double())
n.quantile(0.5) e.quantile(0.5) x.quantile(0.5,interpolation='other') z.quantile(q)
z.quantile(0.5,0) x.quantile(q,keepdim=True) x.logcumsumexp(1) h.logcumsumexp(1) z.logcumsumexp(0)
e.logcumsumexp(0) n.logcumsumexp(0) torch.view_as_real(c.logcumsumexp(0)) torch.hash_tensor(x)
torch.hash_tensor(n,1,keepdim=True) torch.hash_tensor(e) torch.hash_tensor(x,mode=1)
torch.hash_tensor(c)"""

AVERAGES = """h.nansum() h.nansum(1) torch.nansum(h,(0,1),True) n.nansum() c.nansum()
h.nansum(1,dtype=torch.float64) h.nanmean() h.nanmean(1) h.nanmean(0,keepdim=True) n.nanmean()
x.cov() n.cov() x.cov(correction=0) torch.cov(x,fweights=torch.tensor([1,2,0,1,3]))
torch.cov(x,aweights=w) torch.cov(x,correction=0,fweights=n[0],aweights=w)
torch.view_as_real(c.cov()) x.corrcoef() torch.view_as_real(c.corrcoef()) x[0].cov()
x[0].corrcoef() x.cov(fweights=w) x.cov(aweights=n[0]) b.cov() x.cov(fweights=n)
x.cov(fweights=n[0][:2]) x.cov(aweights=-w) x[None].cov() x[None].corrcoef() torch.dist(x,x+1)
torch.dist(x,x*2,3) torch.dist(n,n) x.renorm(2,0,5.) x.renorm(1,1,9.) x.renorm(-1,0,5.)
x.renorm(2,0,-1.) z.renorm(2,0,1.)"""

COUNTS = """torch.histc(x) x.histc(4) torch.histc(x,bins=4,min=2,max=6) torch.histc(x,4,6,2)
x.histc(0) n.histc(4) torch.histc(e,3) torch.histc(torch.ones(4),3) x.histogram(4)
x.histogram(4,range=(2.,7.)) torch.histogram(x,torch.tensor([1.,4.,5.,9.]))
torch.histogram(x,4,density=True) torch.histogram(x,4,weight=x) n.histogram(4) h.histogram(4)
x.histogram(0) x.histogram(4,range=(7.,2.)) x.histogram(n[0]) x.histogram(x)
x.histogram(4,weight=w) x.histogram(torch.tensor([1.,2.]),range=(1.,2.))
torch.histogramdd(x[:,:2],[2,3]) torch.histogramdd(x[:,:2],2,range=[1.,9.,0.,8.])
torch.histogramdd(x[:,:2],2,density=True) torch.histogramdd(x[:,:1],[torch.tensor([1.,4.,9.])])
torch.histogramdd(x[0],2) torch.histogramdd(x[:,:2],[2])
torch.histogramdd(x[:,:2],2,range=[1.,2.]) torch.histogramdd(x[:,:2],2,weight=torch.ones(3))"""

DIFFERENCES = """x.diff() x.diff(2) torch.diff(x,dim=0) torch.diff(x,n=9) torch.diff(x,n=0)
x.diff(prepend=x[:,:2]) x.diff(append=x[:1],dim=0) x.diff(prepend=x[0]) x.diff(append=x[:2])
z.diff() x.diff(-1) b.diff() n.diff() torch.gradient(x) torch.gradient(x,dim=1)
torch.gradient(x,edge_order=2) torch.gradient(x,spacing=2.)
torch.gradient(x,spacing=[2.,0.5],edge_order=2) torch.gradient(n,dim=0)
torch.gradient(x[0],spacing=[torch.tensor([0.,1.,3.,4.,8.])])
torch.gradient(x[0],spacing=[torch.tensor([0.,1.,3.,4.,8.])],edge_order=2)
torch.gradient(x,dim=(0,0)) torch.gradient(x,dim=2) torch.gradient(x,spacing=[1.])
torch.gradient(x,edge_order=3) torch.gradient(x[:1]) torch.gradient(n.to(torch.uint8))
torch.trapezoid(x) torch.trapezoid(x,dx=0.5) torch.trapezoid(x,x[0]) torch.trapz(x,x,dim=0)
torch.trapezoid(n,dx=2) torch.trapezoid(x,dim=2) torch.trapezoid(z) torch.trapezoid(b)
torch.trapezoid(x,w[:2]) torch.trapezoid(x,z) torch.cumulative_trapezoid(x)
torch.cumulative_trapezoid(x,x[0],dim=-1) torch.trapezoid(x,x,dx=1)
torch.cumulative_trapezoid(x,dx=0.5,dim=0) torch.trapezoid(x[0],x) torch.trapezoid(x[:,:0])"""

NUMBERS = """torch.positive(x) torch.positive(b) torch.frexp(x) torch.frexp(h) torch.frexp(n)
torch.ldexp(x,n) torch.ldexp(n,n) torch.float_power(x,2) torch.float_power(2,x)
torch.float_power(n,n) torch.float_power(c,2) torch.float_power(2,3) x.float_power_(2)
torch.nextafter(x,-x) torch.nextafter(x.half(),-x.half())
torch.nextafter(x.bfloat16(),-x.bfloat16()) torch.nextafter(n,n)
torch.nextafter(torch.zeros(2).bfloat16(),torch.tensor([1.,-1.]).bfloat16()) torch.polygamma(2,x)
torch.polygamma(-1,x) torch.polygamma(1.5,x) x.polygamma(1) torch.mvlgamma(x+2,2) x.mvlgamma(0)
torch.mvlgamma(b,1) n.mvlgamma_(1) torch.gcd(n,n*2) torch.lcm(n,n+1) torch.gcd(x,x)
torch.heaviside(x-3,x) torch.heaviside(x,n) torch.logit(x/10) torch.logit(x/4,0.1) torch.logit(c)
torch.logit(x.bfloat16(),1e-3) torch.special.xlogy(2,x) torch.special.xlog1py(x,2)
torch.special.zeta(2,x) torch.special.zeta(x,2) torch.special.bessel_j1(c) torch.igamma(n,n)
torch.special.chebyshev_polynomial_t(x,3) torch.special.hermite_polynomial_h(2,n)
torch.special.polygamma(1,x) torch.special.multigammaln(x,2) torch.special.erfcx(x.half())"""


@pytest.mark.parametrize(
    "line", " ".join([RANKS, AVERAGES, COUNTS, DIFFERENCES, NUMBERS]).split(), ids=str
)
def test_same_as_pytorch(line):
    same(*START, line)


DERIVATIVES = """g.median() g.median(1).values g.nanmedian() g.mode(1).values g.cummax(1).values
g.cummin(0).values g.quantile(0.3) g.quantile(0.3,1) g.nanquantile(0.6,0) g.logcumsumexp(1)
(-g).logcumsumexp(0) g.nansum() g.nanmean(1) g.cov() g.corrcoef() torch.dist(g,g*2)
g.renorm(2,0,5.) g.diff() torch.gradient(g,edge_order=1)[0] torch.trapezoid(g,g)
torch.cumulative_trapezoid(g,dx=2) torch.frexp(g)[0] torch.ldexp(g,g) torch.float_power(g,g)
torch.polygamma(1,g) torch.mvlgamma(g+2,2) torch.nextafter(g,g+1) torch.logit(g/10)
torch.logit(g/4,0.3) torch.special.ndtr(g) torch.special.i1e(g) torch.special.log_ndtr(g)
torch.special.zeta(2.5,g) torch.igammac(g.detach(),g)"""


@pytest.mark.parametrize("line", DERIVATIVES.split(), ids=str)
def test_derivatives_are_those_of_pytorch(line):
    body = [*START, f"y = {line}", "k = torch.arange(1., y.numel() + 1, dtype=y.dtype)"]
    same(*body, "torch.autograd.grad((y.reshape(-1) * k).sum(), g)[0]")
