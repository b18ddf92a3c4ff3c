"""Attention and transformers beside PyTorch's: the same numbers, gradients, masks and errors."""

import warnings

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch")


def assert_same(run):
    """`run(torch)` gives the same arrays under both."""
    results = []
    for framework in (flambeau, torch):
        framework.manual_seed(5)
        results.append([np.asarray(r.detach().numpy()) for r in run(framework)])
    assert len(results[0]) == len(results[1])
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, rtol=5e-5, atol=5e-6)


def causal(torch, n):
    return torch.nn.Transformer.generate_square_subsequent_mask(n)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"is_causal": True, "scale": 0.3},
        {"dropout_p": 0.4},
        {"mask": "torch.arange(20).reshape(4, 5) % 3 == 0"},
        {"mask": "torch.full((4, 5), -float('inf')).triu(2)"},
        {"mask": "torch.zeros(4, 5, dtype=torch.bool)"},
        {"enable_gqa": True},
    ],
    ids=str,
)
def test_scaled_dot_products(options):
    def run(torch):
        given = {k: v for k, v in options.items() if k != "mask"}
        if "mask" in options:
            given["attn_mask"] = eval(options["mask"], {"torch": torch})
        heads = 2 if "enable_gqa" in options else 4
        q = torch.randn(2, 4, 4, 8, requires_grad=True)
        k, v = (torch.randn(2, heads, 5, 8, requires_grad=True) for _ in range(2))
        out = torch.nn.functional.scaled_dot_product_attention(q, k, v, **given)
        out.sin().sum().backward()
        return [out, q.grad, k.grad, v.grad]

    assert_same(run)


@pytest.mark.parametrize("settings", [
    {}, {"dropout": 0.3, "bias": False}, {"kdim": 6, "vdim": 7, "add_bias_kv": True},
    {"batch_first": True, "add_zero_attn": True},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("weights", [True, False])
def test_many_heads(settings, weights):
    def run(torch):
        net = torch.nn.MultiheadAttention(8, 2, **settings)
        q = torch.randn(3, 3, 8, requires_grad=True)
        k = torch.randn(3, 3, settings.get("kdim", 8))
        v = torch.randn(3, 3, settings.get("vdim", 8))
        hidden = torch.tensor([[False, False, True], [False] * 3, [False, True, True]])
        out, shares = net(q, k, v, need_weights=weights, key_padding_mask=hidden)
        out.sum().backward()
        more = [net(q, k, v, attn_mask=causal(torch, 3), is_causal=True, need_weights=weights)[0]]
        more += [shares, net(q, k, v, average_attn_weights=False)[1]] if weights else []
        return [out, q.grad, *more, *[p.grad for p in net.parameters()]]

    assert_same(run)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("settings", [{}, {"norm_first": True, "batch_first": True, "bias": False}])
def test_transformer_trains(settings):
    def run(torch):
        net = torch.nn.Transformer(8, 2, 2, 2, 16, dropout=0.2, activation="gelu", **settings)
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
        src, tgt = torch.randn(5, 5, 8), torch.randn(5, 5, 8)
        losses = []
        for _ in range(4):
            out = net(src, tgt, tgt_mask=causal(torch, 5), tgt_is_causal=True)
            loss = (out - src).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss)
        return losses

    assert_same(run)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_padded_places_are_zero_in_evaluation():
    def run(torch):
        layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        net = torch.nn.TransformerEncoder(layer, 2).eval()
        padding = torch.tensor([[False] * 4, [False, False, True, True]])
        x = torch.randn(2, 4, 8)
        with torch.no_grad():
            return [net(x, src_key_padding_mask=padding), net(x)]

    assert_same(run)


EXPRESSIONS = """
nn.TransformerDecoderLayer(8, 2)
nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, batch_first=True), 2, nn.LayerNorm(8))
list(nn.MultiheadAttention(8, 2, kdim=3, vdim=4, add_bias_kv=True).state_dict())
nn.Transformer.generate_square_subsequent_mask(3)
nn.TransformerEncoderLayer(8, 2, activation='x')
nn.MultiheadAttention(8, 3)
nn.MultiheadAttention(0, 1)
nn.MultiheadAttention(8, 2)(x[..., :4], x, x)
nn.MultiheadAttention(8, 2)(x, x[:3], x)
nn.MultiheadAttention(8, 2)(x, x, x[0])
nn.MultiheadAttention(8, 2)(x[0, 0], x, x)
nn.MultiheadAttention(8, 2)(x, x, x, attn_mask=torch.zeros(3, 4))
nn.MultiheadAttention(8, 2)(x, x, x, attn_mask=torch.zeros(4))
nn.MultiheadAttention(8, 2)(x, x, x, attn_mask=torch.zeros(4, 4).int())
nn.MultiheadAttention(8, 2)(x, x, x, key_padding_mask=torch.zeros(2, 3).bool())
nn.MultiheadAttention(8, 2)(x, x, x, is_causal=True)
nn.MultiheadAttention(8, 2)(x[:, 0], x[:, 0], x[:, 0], attn_mask=torch.zeros(1, 4, 4))
F.scaled_dot_product_attention(x, x, x, attn_mask=torch.zeros(2, 2), is_causal=True)
F.scaled_dot_product_attention(x, x, x, attn_mask=torch.zeros(2, 2).int())
F.scaled_dot_product_attention(x, x.double(), x)
F.scaled_dot_product_attention(x[0, 0], x, x)
F.scaled_dot_product_attention(x, x, x, dropout_p=1.5)
""".strip().splitlines()


def shown(torch, expression):
    """What an expression gives or raises, as text."""
    names = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional, "x": torch.ones(4, 2, 8)}
    try:
        return str(eval(expression, names))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_shows_what_pytorch_shows(expression):
    assert shown(flambeau, expression) == shown(torch, expression)


@pytest.mark.parametrize("options", [{"batch_first": True, "norm_first": True}, {}], ids=str)
def test_why_nested_tensors_are_not_used(options):
    said = []
    for framework in (flambeau, torch):
        layer = framework.nn.TransformerEncoderLayer(8, 2, **options)
        with pytest.warns(UserWarning, match="enable_nested_tensor is True") as caught:
            framework.nn.TransformerEncoder(layer, 1)
        said.append(str(caught[0].message))
    assert said[0] == said[1]


def test_encoders_know_relu_after_a_subclass_was_made():
    """From then on functions ask their arguments' classes: F.relu is another object."""

    class Mine(flambeau.Tensor):
        pass

    layer = flambeau.nn.TransformerEncoderLayer(8, 2, batch_first=True)
    assert (Mine([1.0]) + 1).tolist() == [2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        flambeau.nn.TransformerEncoder(layer, 2)


@pytest.mark.parametrize("sizes", [
    ((1, 2, 3, 4), (1, 2, 3, 5), (1, 2, 3, 4)), ((1, 2, 3, 4), (1, 2, 3, 2), (1, 2, 3, 4)),
    ((1, 2, 3, 4), (1, 2, 5, 4), (1, 2, 3, 4)), ((2, 2, 3, 4), (3, 2, 3, 4), (3, 2, 3, 4)),
])  # fmt: skip
def test_operands_that_do_not_fit_are_refused(sizes):
    """PyTorch's kernel does not look at how many values there are; ours would read past them."""
    with pytest.raises(RuntimeError, match="batch2 tensor to be|must match the size"):
        flambeau.nn.functional.scaled_dot_product_attention(*map(flambeau.zeros, sizes))
