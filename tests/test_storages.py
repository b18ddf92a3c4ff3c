"""Storages, copies and pickles of tensors and modules, as PyTorch has them."""

from __future__ import annotations

import os
import pickle
import threading
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from tests.beside import same

LINES = r"""
x=torch.ones(2); copy.copy(x) is x, copy.copy(x).data_ptr()==x.data_ptr()
x=torch.ones(2,requires_grad=True); y=copy.copy(x); (y.requires_grad, y.is_leaf,
    y.data_ptr()==x.data_ptr(), y.grad)
x=torch.ones(2,requires_grad=True); (x*2).sum().backward(); y=copy.copy(x); y.grad
x=torch.ones(2,requires_grad=True); (x*2).sum().backward(); y=copy.deepcopy(x); y.grad
x=torch.ones(2,requires_grad=True); (x*2).sum().backward(); y=pickle.loads(pickle.dumps(x));
    (y.grad, y.requires_grad)
x=torch.ones(2,requires_grad=True)*2; copy.deepcopy(x)
x=torch.ones(2,requires_grad=True)*2; y=pickle.loads(pickle.dumps(x)); (y.requires_grad,
    y.is_leaf,y)
x=torch.ones(2,requires_grad=True)*2; y=copy.copy(x); (y.requires_grad,y.is_leaf)
p=torch.nn.Parameter(torch.ones(2)); (p*2).sum().backward(); q=copy.deepcopy(p);
    (type(q).__name__, q.grad, q)
p=torch.nn.Parameter(torch.ones(2)); p.note=[1]; q=copy.deepcopy(p); hasattr(q,'note')
p=torch.nn.Parameter(torch.ones(2)); p.note=[1]; q=copy.copy(p); (hasattr(q,'note'),
    type(q).__name__, q.data_ptr()==p.data_ptr())
x=torch.ones(2); x.note=[1]; y=copy.deepcopy(x); (y.note, y.note is x.note)
x=torch.ones(2); x.note=[1]; y=copy.copy(x); (y.note, y.note is x.note)
m=torch.nn.Linear(2,2); n=copy.deepcopy(m); n.weight.data_ptr()!=m.weight.data_ptr()
m=torch.nn.Linear(2,2); n=copy.copy(m); (n.weight is m.weight, n._parameters is m._parameters)
m=torch.nn.Linear(2,2); n=pickle.loads(pickle.dumps(m)); (n.weight==m.weight).all()
m=torch.nn.Sequential(torch.nn.Linear(2,2)); m.append(m[0]); n=copy.deepcopy(m); n[0] is n[1]
m=torch.nn.Linear(2,2); m.register_forward_hook(print); n=copy.deepcopy(m); len(n._forward_hooks)
x=torch.arange(6.).view(2,3); d=copy.deepcopy([x,x[0],x.t()]); d[1].fill_(9); (d, d[2].stride())
x=torch.arange(6.).view(2,3).t(); y=copy.deepcopy(x); (y.stride(), y)
x=torch.arange(6.)[2:4]; y=copy.deepcopy(x); (y.storage_offset(), y.untyped_storage().nbytes())
x=torch.ones(2,dtype=torch.complex64).conj(); y=copy.deepcopy(x); (y.is_conj(), y)
x=torch.ones(3).expand(2,3); y=copy.deepcopy(x); (y.stride(),)
x=torch.arange(3.); u=x.untyped_storage(); u[0]
x=torch.arange(3.); u=x.untyped_storage(); u[20]
x=torch.arange(3.); u=x.untyped_storage(); u[3]=64; x
x=torch.arange(3.); u=x.untyped_storage(); (len(u),u.size(),u.nbytes(),u.tolist(),
    u.element_size(),u.device,u.type(),u.is_shared(),u.is_cuda)
x=torch.arange(3.); u=x.untyped_storage(); u[4:8]
x=torch.arange(3.); u=x.untyped_storage(); v=u[4:8]; v.fill_(0); x
x=torch.arange(3.); u=x.untyped_storage(); u.resize_(8); x.storage_offset(), u.nbytes()
x=torch.arange(3.); u=x.untyped_storage(); u.resize_(0); x.untyped_storage().size()
x=torch.arange(3.); u=x.untyped_storage(); u.resize_(0); u.resize_(12); x.shape
torch.UntypedStorage(3).nbytes()
torch.UntypedStorage([1,2,3]).tolist()
torch.UntypedStorage()
torch.UntypedStorage(2.5)
torch.FloatStorage([1,2])
torch.FloatStorage(3).size()
torch.FloatStorage()
torch.LongStorage([1,2])[0]
torch.LongStorage([1,2])[5]
torch.LongStorage([1,2])['a']
torch.LongStorage([1,2])[0:1]
isinstance(torch.LongStorage(1),torch.FloatStorage), isinstance(torch.LongStorage(1),
    torch.LongStorage), isinstance(torch.LongStorage(1),torch.TypedStorage)
torch.TypedStorage([1,2],dtype=torch.int64).tolist()
s=torch.FloatStorage([1,2]); s[0]=5; s.tolist()
s=torch.FloatStorage([1,2]); s.fill_(3).tolist()
s=torch.FloatStorage([1,2]); s.copy_(torch.FloatStorage([3,4])).tolist()
s=torch.FloatStorage([1,2]); (s.dtype,s.nbytes(),s.element_size(),s.type(),
    s.pickle_storage_type(), s.untyped().nbytes(), torch.is_storage(s))
s=torch.FloatStorage([1,2]); s.double()
s=torch.FloatStorage([1,2]); list(s)
s=torch.FloatStorage([1,2]); copy.deepcopy(s).tolist()
s=torch.FloatStorage([1,2]); pickle.loads(pickle.dumps(s)).tolist()
torch.Tensor(torch.FloatStorage([1,2]))
torch.tensor(torch.FloatStorage([1,2]))
torch.FloatStorage.from_buffer(b'abcdefgh','native').tolist()
torch.ByteStorage.from_buffer(b'abc').tolist()
x=torch.zeros(2); x.set_(torch.ones(3)); x
x=torch.zeros(2); x.set_(torch.ones(4).untyped_storage()); x
x=torch.zeros(2); x.set_(torch.ones(4).untyped_storage(),1,(2,),(1,)); (x, x.storage_offset())
x=torch.zeros(2); x.set_(torch.ones(4).untyped_storage(),1,(2,)); x
x=torch.zeros(2); x.set_(torch.ones(4),1,(2,),(1,)); x
x=torch.zeros(2); x.set_(); (x.shape, x.data_ptr())
x=torch.zeros(2); x.set_(torch.ones(2,dtype=torch.int64)); x
x=torch.zeros(2); x.set_(source=torch.ones(3)); x
x=torch.zeros(2); x.set_(torch.FloatStorage([1,2,3])); x
x=torch.zeros(2,requires_grad=True); x.set_(torch.ones(3)); x
x=torch.zeros(3); x.share_memory_() is x, x.is_shared(), x[1:].is_shared()
x=torch.zeros(3).share_memory_(); x.add_(1); x
m=torch.nn.Linear(2,2); m.share_memory(); all(p.is_shared() for p in m.parameters())
x=torch.zeros(3); x.is_shared()
torch.is_storage(torch.ones(2)), torch.is_storage(torch.ones(2).untyped_storage())
x=torch.ones(2); x.__reduce_ex__(2)[0].__name__
x=torch.ones(2); len(x.__reduce_ex__(2)[1])
x=torch.ones(2); y=x.__deepcopy__({}); y
x=torch.ones(2).untyped_storage(); copy.copy(x).nbytes(), copy.deepcopy(x).tolist()
g=torch.Generator(); g.manual_seed(3); a=pickle.loads(pickle.dumps(g)); (torch.rand(2,
    generator=a), a.initial_seed())
x=torch.ones(2); x.untyped_storage() is x.untyped_storage()
pickle.loads(pickle.dumps(torch.Size([1,2])))
pickle.loads(pickle.dumps(torch.strided)), pickle.loads(pickle.dumps(torch.device('cpu'))),
    pickle.loads(pickle.dumps(torch.bool))
copy.deepcopy(torch.float32), copy.copy(torch.strided), copy.deepcopy(torch.device('cpu'))
o=torch.optim.SGD([torch.nn.Parameter(torch.ones(2))],lr=.1);
    copy.deepcopy(o).param_groups[0]['lr']
torch.ones(2).as_subclass(int)
x=torch.ones(2,requires_grad=True); y=x.as_subclass(torch.nn.Parameter); (y.is_leaf,
    type(y).__name__)
"""  # an indented line goes on
IMPORTS = "import copy, pickle, warnings"


@pytest.mark.parametrize("line", LINES.replace("\n    ", " ").strip().splitlines())
def test_like_pytorch(line: str) -> None:
    same(IMPORTS, *line.split("; "))


def test_plain_pickles_keep_what_is_shared_shared() -> None:
    x = torch.arange(6.0).view(2, 3)
    a, row, parameter = pickle.loads(pickle.dumps([x, x[0], torch.nn.Parameter(x)]))
    row.fill_(9)
    assert a[0].tolist() == [9] * 3 and parameter[0].tolist() == [9] * 3


def test_hooks_are_no_part_of_a_pickle() -> None:
    x = torch.ones(2, requires_grad=True)
    x.register_hook(print)
    with pytest.warns(UserWarning, match="will not be serialized"):
        pickle.dumps(x)


def test_a_storage_is_one_object() -> None:
    x = torch.ones(4)
    assert x.untyped_storage() is x[1:].untyped_storage()
    assert hash(x.untyped_storage()) == hash(x.untyped_storage())


def test_a_storage_sees_pending_work_and_is_seen() -> None:
    x = torch.ones(2) + 1
    storage = x.untyped_storage()
    assert torch.FloatStorage(wrap_storage=storage).tolist() == [2, 2]
    y = x * 3
    storage.fill_(0)
    assert x.tolist() == [0, 0] and y.tolist() == [6, 6]
    torch.FloatStorage(wrap_storage=storage)[1] = 5
    assert (x + 1).tolist() == [1, 6]


def test_a_storage_that_numpy_saw_keeps_its_size() -> None:
    x = torch.ones(2)
    array = x.numpy()
    with pytest.raises(RuntimeError, match="not resizable"):
        x.untyped_storage().resize_(100)
    assert array.tolist() == [1, 1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="shared by fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_forked_processes_share_memory() -> None:
    x = torch.zeros(3).share_memory_()
    y = torch.zeros(3)
    y.tolist()
    child = os.fork()
    if child == 0:
        x.add_(1)
        y.add_(1)
        x[0] = 7
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert x.tolist() == [7, 1, 1] and y.tolist() == [0, 0, 0]


def test_training_in_shared_memory() -> None:
    """A parameter is updated where it lies, even by a compiled step."""
    model = torch.nn.Linear(2, 1).share_memory()
    where = model.weight.data_ptr()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
    assert model.weight.data_ptr() == where and model.weight.is_shared()


def test_pickles_from_other_threads() -> None:
    x = torch.ones(3) * 2
    out: list[Any] = []
    thread = threading.Thread(target=lambda: out.append(pickle.loads(pickle.dumps(x))))
    thread.start()
    thread.join()
    assert out[0].tolist() == [2, 2, 2] and np.array_equal(out[0].numpy(), x.numpy())


def test_typed_storages_warn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flambeau.storage._warned", [])
    x = torch.arange(3.0)
    with pytest.warns(UserWarning, match="TypedStorage is deprecated"):
        storage = x[1:].storage()
    assert type(storage) is torch.storage.TypedStorage and storage.tolist() == [0, 1, 2]
    x.storage()[0] = 5.0
    assert x.tolist() == [5, 1, 2] and storage.data_ptr() == x.data_ptr()


def test_attributes_of_users_meet_none_of_ours() -> None:
    x = torch.arange(3.0)
    for name in "spec offset slot stretch base meta edge".split():
        assert not hasattr(x, name)
        setattr(x, name, name)
    assert (x * 2).tolist() == [0, 2, 4] and x.base == "base" and x.meta == "meta"
