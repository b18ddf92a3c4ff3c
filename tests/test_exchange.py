"""Memory of others: NumPy's functions on tensors, DLPack, buffers and files."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from tests.beside import oracle, same

LINES = r"""
np.asarray(torch.ones(2)).dtype
np.array(torch.ones(2),dtype=np.int64)
np.add(torch.ones(2),1)
np.add(torch.ones(2),np.ones(2))
np.add(np.ones(2),torch.ones(2))
np.ones(2)+torch.ones(2)
torch.ones(2)+np.ones(2)
np.ones(2)*torch.ones(2)
np.ones(2)-torch.ones(2,requires_grad=True)
np.ones(2)==torch.ones(2)
np.ones(2)<torch.ones(2)
np.ones(2)@torch.ones(2)
np.sin(torch.ones(2))
np.sin(torch.ones(2,requires_grad=True))
np.exp(torch.tensor(1.))
np.argmax(torch.ones(2,3))
np.abs(torch.tensor([-1,2]))
np.sqrt(torch.tensor([4,9]))
np.concatenate([torch.ones(2),torch.zeros(1)])
np.stack([torch.ones(2),torch.zeros(2)])
np.dot(torch.ones(2),torch.ones(2))
np.allclose(torch.ones(2),1)
np.array_equal(torch.ones(2),np.ones(2))
np.testing.assert_allclose(torch.ones(2),np.ones(2))
np.isnan(torch.ones(2))
np.greater(torch.ones(2),0)
np.where(torch.tensor([True,False]),1,2)
np.asarray(torch.ones(2,dtype=torch.bfloat16))
np.asarray(torch.ones(2,requires_grad=True))
np.array([torch.tensor(1.),torch.tensor(2.)])
np.array([torch.ones(2),torch.ones(2)]).shape
np.array(torch.tensor(3))
np.float32(2)*torch.ones(2)
np.float64(2)+torch.ones(2,dtype=torch.int64)
np.int64(2)**torch.ones(2)
np.float64(2)<torch.ones(2)
torch.ones(2)*np.float64(2)
torch.ones(2,dtype=torch.int64)+np.float64(2)
torch.ones(2)==np.ones(2)
torch.add(torch.ones(2),np.float32(1))
torch.tensor(np.float64(1)).dtype
torch.zeros(np.int64(2))
x=torch.arange(4); x[np.array([1,2])]
x=torch.arange(4); x[np.array([True,False,True,False])]
x=torch.zeros(3); x[:]=np.arange(3.); x
a=np.zeros(3); a[:]=torch.ones(3); a
a=np.zeros(3); a[torch.tensor([0,2])]=1; a
a=np.arange(3); a[torch.tensor(1)]
a=np.arange(3); a+=torch.ones(3,dtype=torch.int64); a
torch.ones(2).__array_priority__
torch.ones(2).__array__().dtype
torch.ones(2).__array__(np.float64).dtype
torch.ones(2).__array_wrap__(np.ones(2))
torch.ones(2).__array_wrap__(np.ones(2,bool))
torch.frombuffer(bytearray(b"abcd"),dtype=torch.uint8)
torch.frombuffer(b"abcd",dtype=torch.uint8)
torch.frombuffer(bytearray(b"abcd"),dtype=torch.int32)
torch.frombuffer(bytearray(b"abcde"),dtype=torch.int32)
torch.frombuffer(bytearray(b"abcdefgh"),dtype=torch.int16,count=2,offset=2)
torch.frombuffer(bytearray(b""),dtype=torch.uint8)
torch.frombuffer(bytearray(b"abcd"),dtype=torch.uint8,count=9)
torch.frombuffer(bytearray(b"abcd"),dtype=torch.uint8,offset=9)
torch.frombuffer(bytearray(b"abcd"),dtype=torch.uint8,count=0)
torch.frombuffer(bytearray(b"abcd"),dtype=torch.bfloat16).dtype
torch.frombuffer(bytearray(8),dtype=torch.float32,requires_grad=True)
torch.frombuffer(bytearray(8),dtype=torch.bool)
torch.frombuffer(np.arange(3.),dtype=torch.float64)
torch.frombuffer(5,dtype=torch.float64)
b=bytearray(4); x=torch.frombuffer(b,dtype=torch.uint8); x[0]=7; b
b=bytearray(4); x=torch.frombuffer(b,dtype=torch.uint8); b[1]=9; x
b=bytearray(b'\x01\x02\x03\x04'); torch.frombuffer(b,dtype=torch.bfloat16)
import array; torch.frombuffer(array.array('f',[1,2]),dtype=torch.float32)
np.from_dlpack(torch.arange(3.))
np.from_dlpack(torch.arange(6).view(2,3).t()).strides
np.from_dlpack(torch.ones(2,requires_grad=True))
np.from_dlpack(torch.ones(2,dtype=torch.bfloat16))
np.from_dlpack(torch.ones(2,dtype=torch.bool))
np.from_dlpack(torch.ones(2,dtype=torch.complex64))
np.from_dlpack(torch.ones(2,dtype=torch.complex64).conj())
x=torch.zeros(3); a=np.from_dlpack(x); x[0]=5; a
x=torch.from_dlpack(np.arange(3.)); x
a=np.arange(3.); x=torch.from_dlpack(a); a[0]=7; x
a=np.arange(3.); x=torch.from_dlpack(a); x[0]=7; a
x=torch.from_dlpack(np.arange(6).reshape(2,3)[:,1:]); (x,x.stride())
x=torch.arange(3.); y=torch.from_dlpack(x); y[0]=9; x
x=torch.arange(3.); y=torch.utils.dlpack.from_dlpack(torch.utils.dlpack.to_dlpack(x)); y[0]=9; x
x=torch.arange(3.); y=torch.to_dlpack(x); type(y).__name__
x=torch.arange(3.); c=torch.to_dlpack(x); torch.from_dlpack(c); torch.from_dlpack(c)
[int(n) for n in torch.ones(2).__dlpack_device__()]
type(torch.ones(2).__dlpack__()).__name__
torch.ones(2).__dlpack__(stream=1)
torch.ones(2,requires_grad=True).__dlpack__()
torch.from_dlpack(np.arange(3.),copy=True) if 1 else 0
torch.from_dlpack(5)
torch.from_dlpack(np.array(['a']))
a=np.arange(3.); a.flags.writeable=False; torch.from_dlpack(a)
torch.from_file.__name__
""".strip().splitlines()


@pytest.mark.parametrize("line", LINES)
def test_like_pytorch(line: str) -> None:
    same(*line.split("; "))


DTYPES = """bool uint8 int8 int16 int32 int64 uint16 uint32 uint64 float16 bfloat16 float32 float64
    complex64 complex128""".split()


@pytest.mark.parametrize("dtype", DTYPES)
def test_memory_is_shared_with_pytorch(dtype: str) -> None:
    """Both ways, with writes on either side seen by the other."""
    x = torch.zeros(2, 3).to(getattr(torch, dtype))
    theirs = oracle.from_dlpack(x.t())
    assert theirs.dtype is getattr(oracle, dtype) and theirs.stride() == (1, 3)
    x.fill_(1)
    assert theirs.sum().item() == 6 or dtype == "bool"
    theirs[0, 0] = 0
    assert not x[0, 0].item()
    y = oracle.zeros(4).to(getattr(oracle, dtype))
    ours = torch.from_dlpack(y[1:])
    assert ours.dtype is getattr(torch, dtype) and ours.shape == (3,)
    y.fill_(1)
    assert bool(ours[2])
    ours[0] = 0
    assert not y[1].item() and y[0].item()


def test_memory_outlives_the_one_who_gave_it() -> None:
    x = torch.from_dlpack(oracle.arange(1000.0))
    y = oracle.from_dlpack(torch.arange(1000.0))
    gc.collect()
    junk = [np.ones(1000) for _ in range(20)]
    assert len(junk) == 20 and x.tolist() == list(range(1000)) == y.tolist()


def test_a_capsule_that_nobody_consumes() -> None:
    for _ in range(3):
        torch.to_dlpack(torch.ones(3))
    gc.collect()


def test_a_buffer_is_shared() -> None:
    data = bytearray(8)
    x = torch.frombuffer(data, dtype=torch.int32)
    y = x + 1
    data[0] = 5
    assert x.tolist() == [5, 0] and y.tolist() == [1, 1]
    x.add_(1)
    assert data[0] == 6 and data[4] == 1


def test_a_read_only_buffer_warns() -> None:
    with pytest.warns(UserWarning, match="not writable"):
        assert torch.frombuffer(b"ab", dtype=torch.uint8).tolist() == [97, 98]


def test_files(tmp_path: Path) -> None:
    path = str(tmp_path / "data")
    np.arange(4, dtype=np.float32).tofile(path)
    x = torch.from_file(path, size=4)
    x.add_(1)
    assert x.tolist() == [1, 2, 3, 4] and np.fromfile(path, np.float32).tolist() == [0, 1, 2, 3]
    y = torch.from_file(path, True, 4)
    y.add_(1)
    assert np.fromfile(path, np.float32).tolist() == [1, 2, 3, 4]
    assert torch.from_file(path, size=2, dtype=torch.int64).dtype is torch.int64
    made = torch.from_file(str(tmp_path / "new"), shared=True, size=3)
    made[0] = 1
    assert np.fromfile(tmp_path / "new", np.float32).tolist() == [1, 0, 0]
    with pytest.raises(RuntimeError, match="is smaller than the required mapping size"):
        torch.from_file(path, size=5)
    with pytest.raises(RuntimeError, match="unable to open file"):
        torch.from_file(str(tmp_path / "none"), size=1)


def test_comparisons_with_arrays() -> None:
    x: Any = torch.ones(2)
    assert (x == np.array([1, 2])).tolist() == [True, False]
    assert (np.array([1, 2]) == x).tolist() == [True, False]
