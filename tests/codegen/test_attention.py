"""The kernels of attention beside PyTorch: borders of blocks, masks, threads, derivatives."""

import numpy as np
import pytest

import flambeau
from flambeau.runtime import threads

torch = pytest.importorskip("torch")

SIZES = [  # heads, queries, keys, elements of a query, of a value
    ((2,), 3, 4, 5, 5),
    ((2, 1, 2), 40, 70, 8, 33),
    ((1, 1), 33, 140, 32, 6),
    ((), 7, 9, 16, 17),
    ((1, 3), 130, 200, 40, 64),
    ((2, 4), 64, 64, 32, 32),
    ((2,), 0, 3, 4, 4),
    ((2,), 3, 0, 4, 4),
    ((0,), 3, 3, 4, 4),
    ((2,), 3, 4, 300, 2),  # rows that are too long for the kernels
]


def masks_for(rng, heads, queries, keys, dtype):
    """No mask, one for all queries, any (with a query that sees nothing), one for each head."""
    seen = rng.random((queries, keys)) > 0.5
    seen[:1] = False
    hidden = np.where(rng.random((*heads, queries, keys)) > 0.3, 0, -np.inf).astype(dtype)
    return {"none": None, "causal": None, "keys": rng.standard_normal((1, keys)).astype(dtype),
            "seen": seen, "hidden": hidden}  # fmt: skip


def attended(framework, operands, mask, grad, **options):
    """The result and all gradients."""
    tensors = [framework.tensor(x).requires_grad_() for x in operands]
    mask = None if mask is None else framework.tensor(mask)
    attend = framework.nn.functional.scaled_dot_product_attention
    out = attend(*tensors, attn_mask=mask, **options)
    out.backward(framework.tensor(grad))
    return [out.detach().numpy(), *(x.grad.numpy() for x in tensors)]


@pytest.mark.parametrize("kind", ["none", "causal", "keys", "seen", "hidden"])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_and_gradients(dtype, size, kind):
    heads, queries, keys, width, depth = size
    rng = np.random.default_rng(3)
    sizes = (queries, width), (keys, width), (keys, depth), (queries, depth)
    *operands, grad = (rng.standard_normal((*heads, *s)).astype(dtype) for s in sizes)
    mask = masks_for(rng, heads, queries, keys, dtype)[kind]
    ours, theirs = (attended(framework, operands, mask, grad, is_causal=kind == "causal", scale=0.4)
                    for framework in (flambeau, torch))  # fmt: skip
    tolerance = 1e-4 if dtype == np.float32 else 1e-10
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance / 5)


@pytest.mark.parametrize("heads", [(1, 1), (4, 6)])
def test_bits_do_not_depend_on_threads(heads):
    rng = np.random.default_rng(1)
    *operands, grad = (rng.standard_normal((*heads, 200, 32), dtype="f") for _ in range(4))
    before, found = threads.get_num_threads(), []
    try:
        for count in (1, 2, 5):
            threads.set_num_threads(count)
            found.append(attended(flambeau, operands, None, grad, is_causal=True))
    finally:
        threads.set_num_threads(before)
    for other in found[1:]:
        for a, b in zip(found[0], other):
            assert a.tobytes() == b.tobytes()


def test_operands_as_they_lie_in_memory():
    """Parts of one tensor with heads beside each other, shared heads, rows that have gaps."""

    def run(framework):
        framework.manual_seed(0)
        x = framework.randn(2, 40, 3 * 24, requires_grad=True)
        q, k, v = (part.view(2, 40, 3, 8).transpose(1, 2) for part in x.split(24, 2))
        attend = framework.nn.functional.scaled_dot_product_attention
        out = attend(q, k, v, is_causal=True)
        gaps = attend(q[..., ::2], k[:, :, 3:, ::2], v[..., 3:, :4])
        shared = attend(q.repeat(1, 2, 1, 1), k, v, enable_gqa=True)
        (out.sin().sum() + gaps.cos().sum() + shared.tanh().sum()).backward()
        assert out.stride() == (960, 8, 24, 1)
        return [r.detach().numpy() for r in (out, gaps, shared, x.grad)]

    for a, b in zip(run(flambeau), run(torch)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["none", "causal", "hidden"])
def test_second_derivatives(kind):
    rng = np.random.default_rng(2)
    mask = masks_for(rng, (2,), 3, 4, np.float64)[kind]
    mask = None if mask is None else flambeau.tensor(mask)

    def attend(q, k, v):
        return flambeau.nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=kind == "causal"
        )

    operands = [flambeau.randn(2, n, 5, dtype=flambeau.float64, requires_grad=True)
                for n in (3, 4, 4)]  # fmt: skip
    assert flambeau.autograd.gradcheck(attend, operands)
    assert flambeau.autograd.gradgradcheck(attend, operands)
