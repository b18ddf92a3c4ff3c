"""Note "Notes on Dive into Deep Learning", second half: leaves, grad_fn, backward, accumulation."""

import re

import pytest


def test_a_leaf_has_no_grad_fn_and_its_results_have_one(torch):
    x = torch.ones(2, 2, requires_grad=True)
    assert repr(x) == "tensor([[1., 1.],\n        [1., 1.]], requires_grad=True)"
    assert x.grad_fn is None
    y = x + 2
    assert repr(y) == "tensor([[3., 3.],\n        [3., 3.]], grad_fn=<AddBackward0>)"
    assert re.match(r"<AddBackward0 object at 0x[0-9a-f]+>", repr(y.grad_fn))
    assert (x.is_leaf, y.is_leaf) == (True, False)


def test_each_result_names_the_operation_that_made_it(torch):
    y = torch.ones(2, 2, requires_grad=True) + 2
    z = y * y * 3
    out = z.mean()
    assert repr(z) == "tensor([[27., 27.],\n        [27., 27.]], grad_fn=<MulBackward0>)"
    assert repr(out) == "tensor(27., grad_fn=<MeanBackward0>)"


def test_requires_grad_is_off_until_asked_for(torch):
    a = torch.randn(2, 2)
    a = (a * 3) / (a - 1)
    assert a.requires_grad is False and a.is_leaf
    assert a.requires_grad_(True) is a
    assert a.requires_grad is True
    b = (a * a).sum()
    assert b.grad_fn.name() == "SumBackward0"


def test_results_cannot_be_told_to_require_no_gradient(torch):
    y = torch.ones(2, requires_grad=True) * 2
    with pytest.raises(RuntimeError, match="you can only change requires_grad flags of leaf"):
        y.requires_grad_(False)


def mean_of_threes(x):
    y = x + 2
    return (y * y * 3).mean()


@pytest.mark.parametrize("argument", ["none", "one"])
def test_a_scalar_needs_no_argument_for_backward(torch, argument):
    x = torch.ones(2, 2, requires_grad=True)
    mean_of_threes(x).backward(*([torch.tensor(1.0)] if argument == "one" else []))
    assert repr(x.grad) == "tensor([[4.5000, 4.5000],\n        [4.5000, 4.5000]])"


def test_gradients_accumulate_until_they_are_zeroed(torch):
    x = torch.ones(2, 2, requires_grad=True)
    mean_of_threes(x).backward()
    x.sum().backward()
    assert x.grad.tolist() == [[5.5, 5.5], [5.5, 5.5]]
    out = x.sum()
    x.grad.data.zero_()
    out.backward()
    assert x.grad.tolist() == [[1, 1], [1, 1]]


def test_accumulation_is_in_the_same_memory(torch):
    x = torch.ones(2, requires_grad=True)
    x.sum().backward()
    grad = x.grad
    (2 * x).sum().backward()
    assert x.grad is grad and grad.tolist() == [3, 3]


def test_only_scalars_derive_without_weights(torch):
    x = torch.ones(2, 2, requires_grad=True)
    with pytest.raises(RuntimeError, match="implicitly created only for scalar outputs"):
        (x * 2).backward()
    (x.sum().view(1, 1) * 2).backward()  # one element is enough
    assert x.grad.tolist() == [[2, 2], [2, 2]]


def test_weights_of_backward_are_those_of_a_weighted_sum(torch):
    x = torch.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    weights = torch.tensor([[1.0, 0.1], [0.01, 0.001]])
    y = (2 * x).view(2, 2)
    y.backward(weights)
    assert x.grad.shape == x.shape
    assert x.grad.tolist() == pytest.approx([2, 0.2, 0.02, 0.002])
    (grad,) = torch.autograd.grad(torch.sum((2 * x).view(2, 2) * weights), x)
    assert torch.equal(grad, x.grad)


def test_weights_of_another_shape_are_refused(torch):
    y = torch.ones(2, 2, requires_grad=True) * 2
    with pytest.raises(RuntimeError, match="Mismatch in shape"):
        y.backward(torch.ones(2))


def test_the_whole_derivative_comes_row_by_row(torch):
    """What the note calls the derivative of a tensor by a tensor: of one scalar after another."""
    x = torch.randn(2, 3, requires_grad=True)
    y = x.t() * 2
    rows = [
        torch.autograd.grad(y[i, j], x, retain_graph=True)[0] for i in range(3) for j in range(2)
    ]
    jacobian = torch.stack(rows).view(3, 2, 2, 3)
    expected = torch.zeros(3, 2, 2, 3)
    for i in range(3):
        for j in range(2):
            expected[i, j, j, i] = 2
    assert torch.equal(jacobian, expected)


def test_the_chain_rule_joins_layers(torch):
    """Linear and nonlinear units in turn, their parameters moved by what the chain rule gives."""
    w, v = torch.tensor(0.5, requires_grad=True), torch.tensor(2.0, requires_grad=True)
    x = torch.tensor(3.0)
    hidden = torch.tanh(w * x)
    (v * hidden).backward()
    assert v.grad.item() == pytest.approx(hidden.item())
    assert w.grad.item() == pytest.approx(2 * (1 - hidden.item() ** 2) * 3, rel=1e-5)
