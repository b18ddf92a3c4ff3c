"""Forms of older days, and methods of other kinds of tensors on dense ones, beside PyTorch."""

import pytest

from tests.beside import same

X = "x = torch.arange(6.0).view(2, 3)"
LINES = """
x.new()
x.new(2, 3).shape
x.new(x.size()).shape
x.new([1, 2])
x.new(x)
x.new(torch.ones(2, dtype=torch.long))
x.half().new([1.0])
torch.arange(3).new([1.5])
x.new(2, device="cpu").shape
torch.Tensor(2, 3).shape
torch.Tensor([2, 3])
torch.FloatTensor([1.5]), torch.LongTensor([1]), torch.ByteTensor([1, 0]), torch.BoolTensor([True])
torch.DoubleTensor(2, 2).shape, torch.IntTensor(3).dtype, torch.HalfTensor([1.0])
isinstance(x, torch.FloatTensor), isinstance(x, torch.LongTensor)
x.type("torch.LongTensor"), x.type(torch.DoubleTensor), x.type(torch.int32), x.type()
torch.autograd.Variable(x, requires_grad=True).requires_grad
torch.autograd.Variable(x, volatile=True)
isinstance(x, torch.autograd.Variable), torch.autograd.Variable(), torch.autograd.Variable(x, True)
torch.autograd.Variable([1, 2])
torch.autograd.Variable(x, requires_grad=True, volatile=True)
torch.nn.functional.mse_loss(x, x + 1, size_average=False)
torch.nn.functional.mse_loss(x, x + 1, reduce=False)
torch.nn.functional.l1_loss(x, x + 1, size_average=True, reduce=True)
torch.is_tensor(x), torch.is_tensor(1), torch.is_storage(x)
x.volatile
x.name
x.resize(3, 2)
x.resize_as(torch.zeros(3, 2))
x.data.add_(1), x
x.apply_(lambda v: v + 1)
x.t().apply_(lambda v: v * 2), x
x.apply_(3)
x.apply_(lambda v: "a")
torch.ones(2, requires_grad=True).apply_(lambda v: v)
torch.arange(3).apply_(lambda v: v + 0.5)
torch.ones(2, dtype=torch.bool).apply_(lambda v: not v)
torch.ones(2, dtype=torch.bfloat16).apply_(lambda v: v * 2)
torch.zeros(0).apply_(lambda v: v)
x.map_(torch.ones(3), lambda a, b: a * b + 1)
x.map_(torch.ones(3).double(), lambda a, b: a * b)
x.map2_(x * 2, torch.ones(2, 3), lambda a, b, c: a + b - c)
x.is_set_to(x), x.is_set_to(x[:1]), x.is_set_to(x.view(2, 3)), x.is_set_to(x.t())
x.is_same_size(x * 2), x.is_same_size(x.t()), torch.is_same_size(x, x)
x.is_nonzero()
torch.ones(1).is_nonzero()
x.const_data_ptr() == x.data_ptr()
x.dim_order(), x.t().dim_order()
torch.empty_strided((2, 3, 4), (1, 2, 6)).dim_order()
torch.empty_strided((2, 1, 3), (1, 1, 2)).dim_order()
torch.empty_strided((2, 3), (1, 1)).dim_order()
torch.ones(1, 3, 1).dim_order(), torch.ones(1, 3).dim_order(), torch.ones(()).dim_order()
torch.ones(1, 3, 1).dim_order(ambiguity_check=True)
x.dim_order(ambiguity_check=True)
x.dim_order(ambiguity_check=5)
torch.zeros(3, 3).fill_diagonal_(2)
torch.zeros(5, 2).fill_diagonal_(2)
torch.zeros(2, 5).fill_diagonal_(2, wrap=True)
torch.zeros(7, 3).fill_diagonal_(2, wrap=True)
torch.zeros(4, 3).fill_diagonal_(2, wrap=True)
torch.zeros(3, 3, 3).fill_diagonal_(1)
torch.zeros(2, 3).t().fill_diagonal_(1)
torch.zeros(3, 3, 2).fill_diagonal_(1)
torch.zeros(3).fill_diagonal_(1)
x.grad_dtype
x.module_load(x + 1), x
(x - 2).prelu(torch.tensor([0.25]))
torch.range(0, 2), torch.range(0, 2, 0.5), torch.range(2, 0, -1)
torch.range(0, 5, 2, dtype=torch.int64)
torch.range(2, 0)
torch.range(1, 2, 0)
torch.detach(x), torch.get_device(x), torch.is_distributed(x), x.is_distributed()
x.values()
x.indices()
x.coalesce()
x.is_coalesced()
x.crow_indices()
x.row_indices()
x.sparse_dim(), x.dense_dim()
x.to_dense(), x.to_dense(dtype=torch.float64), x.dequantize()
x._nnz()
x.sparse_mask(x)
x.q_scale()
x.is_sparse_csr, x.is_mkldnn, x.is_xpu, x.is_ipu, x.is_maia, x.is_mtia, x.is_vulkan, x.is_xla
x.xpu()
x.ipu()
""".strip().split("\n")

# Errors of PyTorch's dispatcher, which there is not.
OWN_WORDS = (
    "x._nnz()",
    "x.sparse_mask(x)",
    "x.q_scale()",
    "x.new(torch.ones(2, dtype=torch.long))",
)


@pytest.mark.parametrize("line", LINES)
def test_line(line):
    same(X, line, words=0 if line in OWN_WORDS else 3)


def test_the_default_tensor_type():
    same(
        "torch.set_default_tensor_type('torch.DoubleTensor')",
        "x = torch.ones(2)",
        "torch.set_default_tensor_type(torch.FloatTensor)",
        "x, torch.ones(2)",
    )


def test_deprecated_forms_warn():
    import flambeau as torch

    with pytest.warns(UserWarning, match="resize is deprecated"):
        torch.ones(4).resize(2, 2)
    with pytest.warns(UserWarning, match="arange"):
        torch.range(0, 2)
    with pytest.warns(UserWarning, match="volatile"):
        assert torch.ones(1).volatile is False


def test_a_diagonal_has_a_gradient():
    same("x = torch.ones(3, 3, requires_grad=True)", "(x * 2).fill_diagonal_(5).sum().backward()",
         "x.grad")  # fmt: skip


def test_other_layouts_are_refused():
    import flambeau as torch

    assert str(torch.sparse_coo) == "torch.sparse_coo" and torch.ones(1).layout == torch.strided
    x = torch.ones(2, layout=torch.strided)
    for make in (torch.zeros, torch.rand, torch.arange, torch.eye, torch.empty, torch.range):
        with pytest.raises(NotImplementedError, match="sparse_csr"):
            make(2, layout=torch.sparse_csr)
    for make in (torch.zeros_like, torch.rand_like, torch.empty_like):
        with pytest.raises(NotImplementedError, match="jagged"):
            make(x, layout=torch.jagged)
    with pytest.raises(NotImplementedError, match="sparse_coo"):
        torch.tril_indices(2, 2, layout=torch.sparse_coo)
    with pytest.raises(TypeError, match="layout"):
        torch.zeros(2, layout=3)
