"""torch.fft, stft, istft and windows: the same expressions in both frameworks."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

theirs = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")
ours = pytest.importorskip("flambeau")

# x real, z complex, both [2, 5, 6]; s [2, 64] a signal, h a window of 16
SMOOTH = """
F.fft(x) F.fft(z) F.fft(x,4) F.fft(x,9,0,'ortho') F.fft(z,dim=1,norm='forward') F.ifft(x)
F.ifft(z,7) F.ifft(z,norm='ortho') F.rfft(x) F.rfft(x,5,1) F.rfft(x,8,norm='forward') F.irfft(z)
F.irfft(z,7) F.irfft(z,6,0,'ortho') F.irfft(x) F.hfft(z) F.hfft(z,9,1,'forward') F.ihfft(x)
F.ihfft(x,5,0,'ortho') F.fft2(x) F.fft2(z,(3,8)) F.ifft2(z,norm='forward') F.rfft2(x)
F.rfft2(x,(4,7)) F.irfft2(z) F.irfft2(z,(4,7)) F.hfft2(z) F.hfft2(z,(4,7),norm='ortho') F.ihfft2(x)
F.ihfft2(x,norm='forward') F.fftn(x) F.fftn(z,dim=(2,0)) F.fftn(z,(3,-1)) F.fftn(z,dim=())
F.ifftn(x,(4,),(1,)) F.rfftn(x) F.rfftn(x,dim=(2,0)) F.irfftn(z) F.irfftn(z,(3,-1))
F.irfftn(z,dim=(1,)) F.hfftn(z) F.hfftn(z,dim=(2,0)) F.ihfftn(x) F.ihfftn(x,dim=(2,1))
F.fftshift(x) F.fftshift(z,dim=1) F.ifftshift(x,(0,2))
torch.stft(s,16,window=h,return_complex=True) torch.stft(s[0],16,5,12,h[:12],return_complex=True)
torch.stft(s,16,window=h,center=False,normalized=True,return_complex=True)
torch.stft(s,16,window=h,onesided=False,return_complex=True) torch.stft(s+1j*s,16,window=h)
torch.stft(s,16,window=h,pad_mode='constant',return_complex=False) s.stft(16,return_complex=True)
torch.stft(s,16,4,8,h[:8],center=False,align_to_window=True,return_complex=True)
torch.istft(torch.stft(s,16,window=h,return_complex=True),16,window=h)
torch.istft(torch.stft(s,16,3,window=h,return_complex=True),16,3,window=h,length=50)
torch.istft(torch.stft(s+1j*s,16,window=h),16,window=h,onesided=False,return_complex=True)
torch.istft(torch.stft(s[0],16,5,window=h,return_complex=True),16,5,window=h)
torch.istft(torch.stft(s,16,window=h,return_complex=True),16,window=h,length=80)
""".split()


def operands(torch: Any) -> dict[str, Any]:
    """The same leaves in both frameworks."""
    state = np.random.RandomState(1)
    x, y, s = (state.uniform(-1, 1, size) for size in ((2, 5, 6), (2, 5, 6), (2, 64)))
    h = 0.5 + state.uniform(0, 1, 16)
    leaves = dict(x=torch.tensor(x.tolist(), dtype=torch.float64),
                  z=torch.tensor((x + 1j * y).tolist(), dtype=torch.complex128),
                  s=torch.tensor(s.tolist(), dtype=torch.float64),
                  h=torch.tensor(h.tolist(), dtype=torch.float64))  # fmt: skip
    return {name: leaf.requires_grad_() for name, leaf in leaves.items()}


def derived(torch: Any, expression: str) -> list[Any]:
    """The value, and the gradient of a sum of squares of it."""
    leaves = operands(torch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = eval(expression, leaves | dict(torch=torch, F=torch.fft))
    size = (result.abs() ** 2).sum()
    first = torch.autograd.grad(size, list(leaves.values()), create_graph=True, allow_unused=True)
    kept = [g for g in first if g is not None]
    more = sum([(g.abs() ** 2).sum() for g in kept], 0)
    second = torch.autograd.grad(more, list(leaves.values()), allow_unused=True)
    found = [x for x in (result, *first, *second) if x is not None]
    return [x.detach().resolve_conj().tolist() for x in found]


@pytest.mark.parametrize("expression", SMOOTH)
def test_values_and_two_derivatives(expression: str) -> None:
    mine, other = derived(ours, expression), derived(theirs, expression)
    assert len(mine) == len(other)
    for x, y in zip(mine, other):
        np.testing.assert_allclose(np.array(x), np.array(y), rtol=1e-9, atol=1e-9)


FACTS = """
F.fft(i) F.rfft(i>0) F.fft(r) F.irfft(r) F.ihfft(i) F.fftfreq(5) F.fftfreq(6,0.1) F.fftfreq(0)
F.fftfreq(5,0) F.fftfreq(5,dtype=torch.float16) F.rfftfreq(5) F.rfftfreq(6,2.)
F.fftfreq(5,dtype=torch.int32) F.fft(r,0) F.fft(r,norm='x') F.fft(r.half()) F.rfft(c) F.ihfft(c)
F.fft(r,dim=3) F.fft2(r,(3,)) F.fft2(r,dim=(0,0)) F.fftn(r,(1,2,3)) F.irfft(c[:,:1])
F.rfftn(r,dim=()) F.irfftn(r,dim=()) F.fft2(r[0]) F.fftn(r[0,0]) F.rfftn(r[0,0]) F.fft(r[0,0])
F.fftshift(r,4) F.fft(r,out=torch.empty(2,5)) F.fft(r,out=torch.empty(2,5,dtype=torch.complex128))
F.irfft(c,out=torch.empty(2,8,dtype=torch.float64)) torch.hann_window(5) torch.hann_window(5,False)
torch.hann_window(1) torch.hann_window(0) torch.hann_window(-1)
torch.hann_window(5,dtype=torch.float64) torch.hann_window(5,dtype=torch.int32)
torch.hamming_window(6) torch.hamming_window(6,True,0.5,0.3) torch.blackman_window(7)
torch.bartlett_window(7) torch.bartlett_window(8,False) torch.kaiser_window(7)
torch.kaiser_window(7,False,5.) W.hann(6) W.hann(6,sym=False) W.hann(1) W.hann(0) W.hann(-1)
W.hann(3,dtype=torch.int64) W.hamming(6) W.bartlett(7) W.bartlett(7,sym=False) W.blackman(6)
W.cosine(5) W.cosine(5,sym=False) W.exponential(6) W.exponential(6,tau=2.,center=1.,sym=False)
W.exponential(5,tau=-1) W.exponential(5,center=1) W.gaussian(6,std=0.7) W.gaussian(6,sym=False)
W.gaussian(5,std=-1) W.general_cosine(6,a=[.4,.3,.2]) W.general_cosine(6,a=[])
W.general_cosine(6,a=None) W.general_hamming(6,alpha=0.6) W.kaiser(6) W.kaiser(6,beta=3.,sym=False)
W.kaiser(5,beta=-1) W.nuttall(6) torch.stft(r[0],4) torch.stft(r[0],0,return_complex=True)
torch.stft(r[0],4,0,return_complex=True) torch.stft(r[0],4,window=r[0],return_complex=True)
torch.stft(i[0],4,return_complex=True) torch.stft(r[0],4,align_to_window=True,return_complex=True)
torch.stft(c[0],4,onesided=True) torch.istft(r,4) torch.istft(c,8) torch.istft(c,2,9)
torch.istft(c,2,win_length=3) torch.istft(c[:,:0],2) torch.istft(c,2,window=torch.zeros(2))
torch.istft(c,2,return_complex=True)
""".split()


def facts(torch: Any, expression: str) -> Any:
    values = (np.arange(10) * 7 % 11 - 4.0).reshape(2, 5)
    r = torch.tensor(values.tolist())
    names = dict(torch=torch, F=torch.fft, W=torch.signal.windows, r=r, i=r.int(), c=r + 1j)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = eval(expression, names)
        except (RuntimeError, ValueError, IndexError, TypeError, NotImplementedError) as error:
            return type(error).__name__, None
    return (str(result.dtype), tuple(result.shape)), np.array(result.tolist())


@pytest.mark.parametrize("expression", FACTS)
def test_types_sizes_and_refusals(expression: str) -> None:
    (mine, values), (other, expected) = facts(ours, expression), facts(theirs, expression)
    assert mine == other
    if values is not None:
        close = 1e-3 if "16" in mine[0] else 2e-6
        np.testing.assert_allclose(values, expected, rtol=close, atol=close)


def test_a_spectrum_in_a_compiled_loop() -> None:
    results = []
    for torch in (ours, theirs):
        x = (torch.arange(32.0, dtype=torch.float64) * 0.7).sin().requires_grad_()
        for _ in range(40):
            loss = (torch.fft.rfft(x).abs() ** 2).sum() + torch.fft.irfft(torch.fft.rfft(x)).sum()
            (grad,) = torch.autograd.grad(loss, x)
            with torch.no_grad():
                x -= 0.001 * grad
        results.append(x.tolist())
    np.testing.assert_allclose(results[0], results[1], rtol=1e-9, atol=1e-12)
