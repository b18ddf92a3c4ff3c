"""torch's functions below nn.functional, lists of tensors, and names of several devices."""

import pytest

from tests.beside import same

X = "x, y = torch.arange(6.0).view(2, 3) / 4, torch.ones(2, 3)"
T = "t = torch.tensor([1.0, -1.0])"
LINES = """
torch.kl_div(x, y), torch.kl_div(x, y, 1), torch.kl_div(x, y, reduction=2, log_target=True)
torch.kl_div(x, y, reduction="mean")
torch.kl_div(x, y, 7)
torch.binary_cross_entropy_with_logits(x, y), torch.binary_cross_entropy_with_logits(x, y, y, y, 2)
torch.cosine_embedding_loss(x, y, t), torch.cosine_embedding_loss(x, y, t, 0.1, 1)
torch.hinge_embedding_loss(x, y), torch.hinge_embedding_loss(x, y, 0.5, 2)
torch.margin_ranking_loss(x, y, y), torch.margin_ranking_loss(x, y, y, 0.5, 1)
torch.triplet_margin_loss(x, y, y + 1), torch.triplet_margin_loss(x, y, y + 1, swap=True, reduction=1)
torch.poisson_nll_loss(x, y, True, False, 1e-8, 1)
torch.poisson_nll_loss(x, y)
torch.ctc_loss(x.view(3, 1, 2).log_softmax(2), torch.tensor([[1]]), torch.tensor([3]), torch.tensor([1]))
torch.ctc_loss(x.view(3, 1, 2).log_softmax(2), torch.tensor([[1]]), [3], [1], 0, 2, True)
torch.dropout(x, 0.5, True), torch.dropout(x, p=0.5, train=False), torch.dropout_(x, 0.5, True), x
torch.dropout(x, 1.5, True)
torch.feature_dropout(torch.ones(2, 3, 4), 0.5, True)
torch.feature_dropout_(torch.ones(2, 3, 4), 0.5, True)
torch.alpha_dropout_(x, 0.5, True)
torch.feature_alpha_dropout_(x.clone(), 0.5, True)
torch.native_dropout(x, 0.3, True), torch.native_dropout(x, 0.3, False), torch.native_dropout(x, 1.0, None)
torch.bilinear(x, y, torch.ones(2, 3, 3), None)
torch.embedding_renorm_(torch.ones(3, 2), torch.tensor([0, 2]), 1.0, 2.0)
torch.norm_except_dim(x), torch.norm_except_dim(x, 2, 1), torch.norm_except_dim(x, 2, -1)
torch.norm_except_dim(torch.arange(8.0).view(2, 2, 2), 2, 1)
torch.native_channel_shuffle(torch.arange(8.0).view(1, 4, 2), 2)
torch.spmm(x, y.t()), torch.dsmm(x, y.t())
torch.is_anomaly_enabled(), torch.set_anomaly_enabled(False), torch.is_anomaly_check_nan_enabled()
torch._foreach_add([x, y], 1), torch._foreach_add([x, y], [1.0, 2.0]), torch._foreach_add([x], [y], alpha=2)
torch._foreach_add([x], torch.tensor(2.0)), torch._foreach_sub((x,), [y], alpha=2)
torch._foreach_add([x, y], [y])
torch._foreach_add([], 1)
torch._foreach_add(x, 1)
torch._foreach_mul([x], 2), torch._foreach_div([x], 2), torch._foreach_pow([x], 2)
torch._foreach_pow(2.0, [x]), torch._foreach_pow([x], [y]), torch._foreach_mm([x], [y.t()])
torch._foreach_maximum([x], 1), torch._foreach_maximum([x], [y]), torch._foreach_clamp_max([x], [1.0])
torch._foreach_minimum_([x], [y * 0.5]), x
torch._foreach_addcmul([x], [y], [y], value=2), torch._foreach_addcmul([x], [y], [y], [2.0])
torch._foreach_addcdiv([x], [y], [y], torch.tensor([2.0])), torch._foreach_addcdiv_([x], [y], [y], 3), x
torch._foreach_lerp([x], [y], 0.5), torch._foreach_lerp([x], [y], [y]), torch._foreach_lerp([x], [y], [0.5])
torch._foreach_norm([x, y]), torch._foreach_norm([x], 1), torch._foreach_norm([x], float("inf"))
torch._foreach_max([x]), torch._foreach_powsum([x], 3), torch._foreach_clone([x])
torch._foreach_zero_([x]), torch._foreach_copy_([x], [y * 3]), x, torch._foreach_neg_([x]), x
torch._foreach_sqrt([x]), torch._foreach_exp_([x]), x
torch.set_autocast_cpu_enabled(False), torch.set_autocast_cpu_dtype(torch.bfloat16)
int(torch.nn.attention.SDPBackend.MATH), str(torch.nn.attention.SDPBackend.FLASH_ATTENTION)
torch.nn.attention.sdpa_kernel("a").__enter__()
torch.nn.DataParallel(torch.nn.Linear(3, 2))
list(torch.nn.DataParallel(torch.nn.Linear(3, 2)).state_dict())
torch.nn.DataParallel(torch.nn.Linear(3, 2))(x)
""".strip().split("\n")  # noqa: E501


@pytest.mark.parametrize("line", LINES)
def test_line(line):
    same(X, T, line, words=0, tolerance=1e-5)


def test_every_list_function_is_there():
    import flambeau

    oracle = pytest.importorskip("torch")
    names = [name for name in dir(oracle) if name.startswith("_foreach_")]
    assert [name for name in names if not callable(getattr(flambeau, name, None))] == []


def test_gradients_of_lists():
    same(
        "x, y = (torch.arange(3.0).add(1).requires_grad_() for _ in range(2))",
        "sum(z.sum() for z in torch._foreach_mul(torch._foreach_exp([x, y]), [x, y])).backward()",
        "[x.grad, y.grad]",
        tolerance=1e-5,
    )


def test_attention_with_chosen_kernels():
    same(
        "from importlib import import_module",
        "attention = import_module(torch.__name__ + '.nn.attention')",
        "q = torch.randn(1, 2, 3, 4)",
        "with attention.sdpa_kernel([attention.SDPBackend.MATH]):",
        "    out = torch.nn.functional.scaled_dot_product_attention(q, q, q)",
        "out",
    )


FLEX = """from importlib import import_module
flex = import_module(torch.__name__ + ".nn.attention.flex_attention")
q, k, v = (torch.randn(2, 4, 5, 8) for _ in range(3))"""
CALLS = """
flex.flex_attention(q, k, v)
flex.flex_attention(q, k, v, lambda s, b, h, i, j: s + (i - j) * 0.1 * (h + 1), scale=0.3)
flex.flex_attention(q, k[:, :2], v[:, :2], enable_gqa=True)
flex.flex_attention(q, k[:, :2], v[:, :2])
flex.flex_attention(q, k, v, block_mask=flex.create_block_mask(lambda b, h, i, j: i >= j, None, None, 5, 5, device="cpu", BLOCK_SIZE=8))
flex.create_mask(lambda b, h, i, j: i >= j, 1, 2, 3, 4, device="cpu").tolist()
flex.create_mask(flex.and_masks(lambda b, h, i, j: i >= j, lambda b, h, i, j: i - j < 2), 1, 1, 4, 4, device="cpu")
flex.create_mask(flex.or_masks(lambda b, h, i, j: i < j, lambda b, h, i, j: i - j > 1), 1, 1, 4, 4, device="cpu")
""".strip().split("\n")  # noqa: E501


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("call", CALLS)
def test_flex_attention(call):
    same(*FLEX.split("\n"), call, tolerance=1e-5, words=0)


def test_what_is_saved():
    same("x = torch.ones(2, requires_grad=True)", "y = x * 2", "z = y * y",
         "torch.autograd.graph.increment_version(y)", "z.sum().backward()")  # fmt: skip
    same("x = torch.ones(2)", "v = x._version", "torch.autograd.graph.increment_version([x, x])",
         "x._version - v")  # fmt: skip
    same("x = torch.arange(3.0, requires_grad=True)", "with torch.autograd.graph.save_on_cpu():",
         "    y = x * x", "y.sum().backward()", "x.grad")  # fmt: skip
    same("with torch.autograd.graph.disable_saved_tensors_hooks('none of them'):",
         "    torch.autograd.graph.saved_tensors_hooks(abs, abs).__enter__()")  # fmt: skip


def test_threads_of_backward():
    same("with torch.autograd.set_multithreading_enabled(False):",
         "    inside = torch.autograd.grad_mode.set_multithreading_enabled(True).prev",
         "torch.autograd.set_multithreading_enabled(True)", "inside")  # fmt: skip


def test_batch_norms_without_running_statistics():
    same("from importlib import import_module", "func = import_module(torch.__name__ + '.func')",
         "net = torch.nn.Sequential(torch.nn.BatchNorm1d(3))",
         "out = func.replace_all_batch_norm_modules_(net)",
         "net(torch.randn(4, 3)), out is net, repr(net), list(net.state_dict())")  # fmt: skip
