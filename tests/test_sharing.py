"""Memory shared with NumPy: both sides see each other's writes, at once, for as long as they "
"share."""

from __future__ import annotations

import copy
import gc
import io
import pickle

import numpy as np
import pytest

import flambeau as torch
from flambeau.trace.flush import counters
from tests.beside import same

# ------------------------------------------------------------------ numpy()


def test_writes_through_the_array_are_seen() -> None:
    x = torch.zeros(3)
    a = x.numpy()
    a[0] = 5
    assert x.tolist() == [5, 0, 0]
    assert (x + 1).tolist() == [6, 1, 1]


def test_writes_to_the_tensor_are_seen_at_once() -> None:
    x = torch.zeros(2, 3)
    a = x.numpy()
    x.add_(1)
    assert a.tolist() == [[1] * 3] * 2
    x[0, 1] = 7
    assert a[0, 1] == 7
    x.t()[2] = torch.tensor([8.0, 9.0])
    assert a[:, 2].tolist() == [8, 9]
    x.view(6).mul_(2)
    assert a[0, 0] == 2


def test_pending_reads_see_the_values_of_before() -> None:
    x = torch.arange(3.0)
    y = x + 1
    a = x.numpy()
    a[:] = 100
    assert y.tolist() == [1, 2, 3]


def test_later_reads_are_snapshots() -> None:
    x = torch.arange(3.0)
    a = x.numpy()
    y = x + 1
    a[:] = 100
    z = x + 1
    assert y.tolist() == [1, 2, 3]
    assert z.tolist() == [101, 101, 101]


def test_large_memory_is_read_at_once() -> None:
    x = torch.zeros(600_000)
    a = x.numpy()
    y = x + 1
    a[:] = 100
    assert y[0].item() == 1
    assert (x + 1)[0].item() == 101


def test_a_slice_keeps_the_memory_shared() -> None:
    x = torch.zeros(4)
    part = x.numpy()[1:]
    gc.collect()
    y = x + 1
    part[:] = 9
    assert y.tolist() == [1, 1, 1, 1]
    assert x.tolist() == [0, 9, 9, 9]


def test_a_view_of_the_array_keeps_it_alive() -> None:
    a = torch.arange(6.0).view(2, 3).numpy().T.reshape(-1)[::2]
    gc.collect()
    junk = [torch.rand(6).tolist() for _ in range(10)]
    assert len(junk) == 10 and a.tolist() == [0, 1, 2]


def test_when_the_array_is_gone_the_tensor_is_lazy_again() -> None:
    x = torch.zeros(3)
    a = x.numpy()
    del a
    before = counters.flushes
    x.add_(1)
    x.mul_(2)
    assert counters.flushes == before
    assert x.tolist() == [2, 2, 2]


def test_two_arrays() -> None:
    x = torch.zeros(3)
    a, b = x.numpy(), x[1:].numpy()
    del a
    x.add_(1)
    assert b.tolist() == [1, 1]


def test_a_detached_tensor_shares() -> None:
    w = torch.ones(2, requires_grad=True)
    a = w.detach().numpy()
    a[0] = 3
    assert w.tolist() == [3, 1]
    with torch.no_grad():
        w -= 1
    assert a.tolist() == [2, 0]


def test_asarray() -> None:
    x = torch.zeros(2)
    np.asarray(x)[0] = 1
    assert x.tolist() == [1, 0]
    assert np.array(x).tolist() == [1, 0]
    assert np.asarray(x, dtype=np.float64).dtype == np.float64


NUMPY = """
torch.arange(6).view(2, 3).t().numpy()
torch.arange(6)[2:].numpy()
torch.zeros(0, 3).numpy()
torch.tensor(3).numpy()
torch.tensor([True, False]).numpy()
torch.ones(2, dtype=torch.float16).numpy()
torch.ones(2, dtype=torch.bfloat16).numpy()
torch.ones(2, requires_grad=True).numpy()
torch.ones(2, requires_grad=True).numpy(force=True)
torch.arange(3.).expand(2, 3).numpy()
np.sin(torch.ones(2))
np.float64(2) * torch.ones(3)
torch.ones(3) * np.float64(2)
torch.ones(3) + np.int64(2)
np.add(np.ones(2), torch.ones(2).numpy())
torch.tensor(2) == np.int64(2)
np.stack([torch.ones(2), torch.zeros(2)])
np.mean(torch.arange(4.).numpy())
""".strip().splitlines()


@pytest.mark.parametrize("line", NUMPY)
def test_like_pytorch(line: str) -> None:
    same(line)


# ------------------------------------------------------------------ from_numpy


def test_from_numpy_shares_both_ways() -> None:
    a = np.arange(6.0).reshape(2, 3)
    x = torch.from_numpy(a)
    a[0, 0] = 9
    assert x[0, 0].item() == 9
    x.add_(1)
    assert a[0, 0] == 10
    x[1] = 0
    assert a[1].tolist() == [0, 0, 0]


def test_from_numpy_of_a_view_whose_owner_stays() -> None:
    whole = np.zeros(5)
    x = torch.from_numpy(whole[1:4])
    y = x + 1
    whole[:] = 7
    assert y.tolist() == [1, 1, 1]
    assert x.tolist() == [7, 7, 7]
    x.zero_()
    assert whole.tolist() == [7, 0, 0, 0, 7]


def test_memory_outlives_its_array() -> None:
    x = torch.from_numpy(np.arange(1000.0))
    gc.collect()
    junk = [np.random.rand(1000) for _ in range(20)]
    assert len(junk) == 20 and x.tolist() == list(range(1000))


def test_without_its_array_memory_is_lazy() -> None:
    x = torch.from_numpy(np.arange(4.0))
    before = counters.flushes
    x.add_(1)
    y = x * 2
    assert counters.flushes == before
    assert y.tolist() == [2, 4, 6, 8]


def test_a_data_set_does_not_make_training_eager() -> None:
    data = np.random.rand(5000, 64)  # more than a snapshot
    x, w = torch.from_numpy(data), torch.zeros(64, dtype=torch.float64)
    w.tolist()
    before = counters.flushes
    for i in range(5):
        batch = x[i * 10 : i * 10 + 10]
        w += (batch * 2).sum(0)
    assert counters.flushes == before
    assert np.allclose(w.tolist(), 2 * data[:50].sum(0))


ARRAYS = """
torch.from_numpy(np.arange(6).reshape(2, 3).T)
torch.from_numpy(np.arange(6)[::2])
torch.from_numpy(np.arange(6)[::-1])
torch.from_numpy(np.zeros(3, dtype=[("a", "i4"), ("b", "i1")])["a"])
torch.from_numpy(np.zeros(3, ">f4"))
torch.from_numpy(np.array([None]))
torch.from_numpy(np.array(["a"]))
torch.from_numpy([1])
torch.from_numpy(np.zeros((0, 3)))
torch.from_numpy(np.array(5, np.int16))
torch.from_numpy(np.broadcast_to(np.arange(3.), (2, 3)))
torch.from_numpy(np.ones(2, bool))
torch.as_tensor([1, 2])
torch.as_tensor(np.ones(2))
torch.as_tensor(np.ones(2), dtype=torch.float32)
torch.as_tensor(3.)
torch.asarray([1., 2.])
torch.asarray(np.arange(3), copy=True)
torch.asarray(torch.ones(2), requires_grad=True)
torch.frombuffer(bytearray(b"abcd"), dtype=torch.uint8)
torch.frombuffer(bytearray(8), dtype=torch.float32, count=1, offset=4)
torch.tensor(np.arange(6).reshape(2, 3).T)
torch.tensor(np.float32(2))
torch.tensor(np.arange(3, dtype=np.uint8))
torch.Tensor(np.arange(3))
torch.FloatTensor(np.arange(3.))
""".strip().splitlines()


@pytest.mark.parametrize("line", ARRAYS)
def test_arrays_like_pytorch(line: str) -> None:
    same(line)


def test_a_read_only_array_warns() -> None:
    a = np.arange(3)
    a.flags.writeable = False
    with pytest.warns(UserWarning, match="not writable"):
        torch.from_numpy(a)


def test_as_tensor_shares_where_it_can() -> None:
    a = np.zeros(2)
    torch.as_tensor(a)[0] = 1
    assert a.tolist() == [1, 0]
    x = torch.zeros(2)
    assert torch.as_tensor(x) is x
    torch.tensor(a)[1] = 5
    assert a.tolist() == [1, 0]


# ------------------------------------------------------------------ copies and pickles


def test_deepcopy_keeps_what_is_shared_shared() -> None:
    x = torch.zeros(2, 3) + 1
    row, x2 = copy.deepcopy([x[0], x])
    row.add_(1)
    assert x2.tolist() == [[2] * 3, [1] * 3]
    assert x.tolist() == [[1] * 3] * 2


def test_deepcopy_of_a_leaf_keeps_its_gradient() -> None:
    w = torch.ones(2, requires_grad=True)
    (w * 3).sum().backward()
    v = copy.deepcopy(w)
    assert v.requires_grad and v.grad.tolist() == [3, 3] and v.grad is not w.grad


def test_deepcopy_refuses_what_has_a_history() -> None:
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(torch.ones(2, requires_grad=True) * 2)


def test_pickle() -> None:
    x = torch.arange(6.0).view(2, 3).t()
    x.note = "kept"
    a, b = pickle.loads(pickle.dumps([x, x[0]]))
    assert a.tolist() == x.tolist() and a.stride() == (1, 3) and a.note == "kept"
    b.zero_()
    assert a[0].tolist() == [0, 0]
    for dtype in (torch.bool, torch.bfloat16, torch.int8):
        y = pickle.loads(pickle.dumps(torch.ones(2).to(dtype)))
        assert y.dtype is dtype and y.tolist() == [1, 1]
    assert pickle.loads(pickle.dumps(torch.bool)) is torch.bool
    assert pickle.load(io.BytesIO(pickle.dumps(torch.Size([2])))) == torch.Size([2])


def test_data_ptr_and_storage() -> None:
    x = torch.zeros(4)
    y = x[1:]
    assert y.data_ptr() == x.data_ptr() + 4
    assert x.untyped_storage().data_ptr() == x.data_ptr()
    assert y.untyped_storage().nbytes() == 16
    before = x.data_ptr()
    x.add_(1)
    x.tolist()
    assert x.data_ptr() == before
    assert torch.zeros(0).data_ptr() == 0


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop"])
def test_optimizers_write_to_memory_that_numpy_sees(name: str) -> None:
    shared, plain = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    plain.load_state_dict(shared.state_dict())
    arrays = [p.detach().numpy() for p in shared.parameters()]
    for model in (shared, plain):
        optimizer = getattr(torch.optim, name)(model.parameters(), lr=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            model(torch.ones(1, 2)).pow(2).sum().backward()
            optimizer.step()
    for array, p, q in zip(arrays, shared.parameters(), plain.parameters()):
        assert array.tolist() == p.tolist() == q.tolist()
