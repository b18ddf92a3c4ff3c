"""Rows for the cost of a call alone: four elements, and one look at the end of a hundred calls."""

from __future__ import annotations

from benchmarks.rows import Row


def multiply_add(torch, loops=50):
    """A chain of x * b + 1.0, each call reading the result of the one before."""
    x, b = torch.ones(4), torch.full((4,), 0.5)
    while True:
        for _ in range(loops):
            x = x * b + 1.0
        yield x[0].item()


def mixed(torch, loops=10):
    """Ten different calls a loop: arithmetic, views, a reduction."""
    x, b = torch.linspace(-1, 1, 4), torch.full((4,), 0.5)
    while True:
        for _ in range(loops):
            y = (x.view(2, 2).t() * 0.5).reshape(4)
            y = torch.tanh(y) - torch.relu(y)
            x = b - y * y.sum()
        yield x[0].item()


def multiply_add_backward(torch, loops=50):
    """The same chain with gradients: forward, backward and the gradient looked at."""
    w = torch.full((4,), 0.9, requires_grad=True)
    b = torch.full((4,), 0.1)
    while True:
        x = w
        for _ in range(loops):
            x = x * w + b
        x.sum().backward()
        yield w.grad[0].item()
        w.grad = None


def mixed_backward(torch, loops=20):
    """Five different calls a loop, with gradients."""
    w = torch.linspace(0.1, 0.4, 4).requires_grad_()
    while True:
        x = w
        for _ in range(loops):
            x = torch.sigmoid(x * w - x.view(2, 2).t().reshape(4))
        x.mean().backward()
        yield w.grad[0].item()
        w.grad = None


ROWS = [
    Row("recording", "x * b + 1.0", multiply_add, per=100),
    Row("recording", "ten kinds of call", mixed, per=100),
    Row("recording", "x * w + b, and backward", multiply_add_backward, per=101),
    Row("recording", "six kinds of call, and backward", mixed_backward, per=121),
]
