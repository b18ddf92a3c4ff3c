"""Note "Notes on Dive into Deep Learning", first half: tensors, memory, broadcasting, NumPy."""

import numpy as np
import pytest


def test_empty_rand_zeros(torch):
    assert torch.empty(5, 3).shape == (5, 3) and torch.empty(5, 3).dtype is torch.float32
    x = torch.rand(5, 3)
    assert x.min() >= 0 and x.max() < 1 and len(set(x.flatten().tolist())) == 15
    x = torch.zeros(5, 3, dtype=torch.long)
    assert x.dtype is torch.int64 and x.tolist() == [[0] * 3] * 5


def test_a_tensor_from_data_finds_its_dtype(torch):
    x = torch.tensor([5.5, 3])
    assert repr(x) == "tensor([5.5000, 3.0000])" and x.dtype is torch.float32
    assert torch.tensor([5, 3]).dtype is torch.int64
    assert torch.tensor([True]).dtype is torch.bool


def test_new_tensors_take_after_an_old_one_unless_told(torch):
    old = torch.tensor([5, 3], dtype=torch.int16)
    assert old.new_ones(5, 3).dtype is torch.int16
    x = old.new_ones(5, 3, dtype=torch.float64)
    assert x.dtype is torch.float64 and x.device == old.device and x.sum() == 15
    y = torch.randn_like(x, dtype=torch.float)
    assert y.dtype is torch.float32 and y.shape == x.shape
    assert torch.randn_like(x).dtype is torch.float64


def test_a_size_is_a_tuple(torch):
    x = torch.zeros(5, 3)
    assert x.size() == x.shape and isinstance(x.shape, tuple) and isinstance(x.shape, torch.Size)
    rows, columns = x.shape
    assert (rows, columns) == (5, 3) and x.shape[1] == 3 and 5 in x.shape
    assert x.shape + (2,) == (5, 3, 2) and x.shape[:1] == (5,) and hash(x.shape) == hash((5, 3))
    assert x.shape.numel() == 15 and x.size(0) == x.size(-2) == 5
    assert repr(x.size()) == "torch.Size([5, 3])"
    with pytest.raises(TypeError):
        x.shape[0] = 4


def test_four_ways_to_add(torch):
    x, y = torch.rand(5, 3), torch.rand(5, 3)
    expected = x + y
    assert torch.equal(torch.add(x, y), expected)
    result = torch.empty(5, 3)
    assert torch.add(x, y, out=result) is result
    assert torch.equal(result, expected)
    assert y.add_(x) is y
    assert torch.equal(y, expected)


def test_what_is_indexed_shares_memory(torch):
    x = torch.zeros(5, 3)
    y = x[0, :]
    y += 1
    assert x[0].tolist() == [1, 1, 1] and x[1:].sum() == 0
    x[0, 2] = 9
    assert y.tolist() == [1, 1, 9]
    assert y.data_ptr() == x.data_ptr()


def test_indexing_with_a_tensor_or_mask_copies(torch):
    x = torch.zeros(5, 3)
    for index in (torch.tensor([0, 1]), [0, 1], x == 0):
        y = x[index]
        y += 1
        assert x.sum() == 0
    x[x == 0] = 2  # but it can be assigned to
    assert x.sum() == 30


def test_views_share_and_infer_one_size(torch):
    x = torch.zeros(5, 3)
    y, z = x.view(15), x.view(-1, 5)
    assert (x.size(), y.size(), z.size()) == ((5, 3), (15,), (3, 5))
    x += 1
    assert y.sum() == 15 and z.sum() == 15
    z[2, 4] = 8
    assert x[4, 2] == 8 and y[14] == 8
    assert y is not x and id(y) != id(x) and y.data_ptr() == x.data_ptr()


def test_views_that_cannot_be(torch):
    x = torch.zeros(5, 3)
    with pytest.raises(RuntimeError, match=r"shape '\[4, 4\]' is invalid for input of size 15"):
        x.view(4, 4)
    with pytest.raises(RuntimeError, match="only one dimension can be inferred"):
        x.view(-1, -1)
    with pytest.raises(RuntimeError, match=r"Use .reshape\(...\) instead"):
        x.t().view(15)


def test_reshape_copies_only_where_it_must(torch):
    x = torch.zeros(5, 3)
    assert x.reshape(15).data_ptr() == x.data_ptr()
    copied = x.t().reshape(15)
    assert copied.data_ptr() != x.data_ptr()
    x += 1
    assert copied.sum() == 0


def test_a_clone_is_a_copy(torch):
    x = torch.ones(5, 3)
    copy = x.clone().view(15)
    x -= 1
    assert x.sum() == 0 and copy.tolist() == [1] * 15


def test_gradients_go_through_a_clone(torch):
    x = torch.ones(2, requires_grad=True)
    copy = x.clone()
    assert copy.grad_fn.name() == "CloneBackward0"
    (copy * 3).sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_item_makes_a_python_number(torch):
    x = torch.randn(1)
    assert type(x.item()) is float and x.item() == x[0]
    assert type(torch.tensor(3).item()) is int and torch.tensor(True).item() is True
    with pytest.raises(RuntimeError, match="cannot be converted to Scalar"):
        torch.zeros(2).item()


def test_more_than_a_hundred_operations(torch):
    for name in "transpose sin matmul inverse det svd randn cumsum sort gather einsum".split():
        assert callable(getattr(torch, name))
    assert len([name for name in dir(torch.Tensor) if not name.startswith("_")]) > 100
    square = torch.tensor([[2.0, 1.0], [1.0, 1.0]])
    assert torch.allclose(square.inverse() @ square, torch.eye(2), atol=1e-6)


def test_a_row_and_a_column_broadcast(torch):
    x, y = torch.arange(1, 3).view(1, 2), torch.arange(1, 4).view(3, 1)
    assert repr(x) == "tensor([[1, 2]])"
    assert repr(y) == "tensor([[1],\n        [2],\n        [3]])"
    assert repr(x + y) == "tensor([[2, 3],\n        [3, 4],\n        [4, 5]])"
    repeated = x.repeat(3, 1) + y.repeat(1, 2)
    assert torch.equal(x + y, repeated)
    assert torch.equal(x.expand(3, 2) + y.expand(3, 2), repeated)
    assert x.expand(3, 2).stride() == (0, 1)  # no element is copied for it


def test_sizes_that_do_not_broadcast(torch):
    with pytest.raises(RuntimeError, match="must match the size of tensor b"):
        torch.zeros(2, 3) + torch.zeros(2)
    with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
        torch.zeros(1, 2).add_(torch.zeros(3, 1))


def test_adding_makes_a_new_tensor(torch):
    x, y = torch.tensor([1, 2]), torch.tensor([3, 4])
    before, memory = id(y), y
    y = y + x
    assert id(y) != before and y.data_ptr() != memory.data_ptr()
    assert memory.tolist() == [3, 4]


@pytest.mark.parametrize("way", ["slice", "out", "iadd", "add_"])
def test_adding_in_place_keeps_identity_and_memory(torch, way):
    x, y = torch.tensor([1, 2]), torch.tensor([3, 4])
    before, memory = id(y), y.data_ptr()
    if way == "slice":
        y[:] = y + x
    elif way == "out":
        torch.add(x, y, out=y)
    elif way == "iadd":
        y += x
    else:
        y.add_(x)
    assert id(y) == before and y.data_ptr() == memory and y.tolist() == [4, 6]


def test_a_slice_copies_a_list_but_views_a_tensor(torch):
    numbers = [1, 2]
    copy = numbers[:]
    copy[0] = 9
    assert numbers == [1, 2]
    tensor = torch.tensor(numbers)
    view = tensor[:]
    view[0] = 9
    assert view is not tensor and tensor.tolist() == [9, 2]


def test_numpy_shares_memory_both_ways(torch):
    a = torch.ones(5)
    b = a.numpy()
    a += 1
    assert b.tolist() == [2] * 5 and b.dtype == np.float32
    b += 1
    assert a.tolist() == [3] * 5


def test_from_numpy_shares_memory_both_ways(torch):
    a = np.ones(5)
    b = torch.from_numpy(a)
    assert b.dtype is torch.float64
    a += 1
    assert repr(b) == "tensor([2., 2., 2., 2., 2.], dtype=torch.float64)"
    b += 1
    assert a.tolist() == [3] * 5


def test_torch_tensor_always_copies(torch):
    a = np.ones(5)
    c = torch.tensor(a)
    a += 1
    assert c.tolist() == [1] * 5 and c.dtype is torch.float64
    assert torch.as_tensor(a).numpy() is not a and np.shares_memory(torch.as_tensor(a).numpy(), a)


def test_numpy_of_what_requires_grad(torch):
    with pytest.raises(RuntimeError, match=r"Use tensor.detach\(\).numpy\(\) instead"):
        torch.ones(2, requires_grad=True).numpy()


def test_to_moves_and_changes_dtype(torch):
    x = torch.ones(2)
    assert x.to("cpu") is x and x.to(torch.float32) is x
    z = x.to("cpu", torch.double)
    assert z.dtype is torch.float64 and z.device == torch.device("cpu")
    if not torch.cuda.is_available():
        return
    device = torch.device("cuda")
    y = torch.ones_like(x, device=device)
    assert (x.to(device) + y).to("cpu", torch.double).tolist() == [2, 2]
