"""Views, writes and gradients through memory that several tensors share, beside PyTorch."""

from __future__ import annotations

import pytest

import flambeau
from flambeau.settings import settings
from tests.beside import same

TIERS = [{"patience": 0}, {"compile": False}, {"eager": True}]


@pytest.fixture(params=TIERS, ids=str, autouse=True)
def tier(request):
    with settings.override(**request.param):
        yield


def three_times(*lines: str) -> None:
    """Call by call, compiled, replayed."""
    for _ in range(3):
        same(*lines)


X = "x = torch.arange(6.0)"
M = "m = torch.arange(12.0).view(3, 4)"
W = "w = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)"

WRITES = [
    (X, "x[1:] = x[:-1].clone()", "x"),
    (X, "x[:-1] = x[1:].clone()", "x"),
    (X, "x[1:] = x[:-1]", "x"),
    (X, "x[:-1] += x[1:]", "x"),
    (X, "x[:3] += x[3:]", "x"),
    (X, "x[::2] += x[1::2]", "x"),
    (X, "x[1:].add_(x[1:])", "x"),
    (X, "y = x[2:4]", "x += 1", "y *= 10", "x[3] = -1", "[x, y]"),
    (X, "y = x.view(2, 3)", "z = y.t()", "z[1] = 7", "y[0] += 1", "[x, y, z]"),
    (X, "y = x.clone()", "x.zero_()", "[x, y]"),
    (X, "y = x + 1", "x.zero_()", "[x, y]"),
    (X, "y = x[1:4]", "z = y * 2", "y.fill_(5)", "w = y * 2", "[x, y, z, w]"),
    (X, "y = x[0]", "x[0] = 9", "y + 1"),
    (X, "y = x.expand(2, 6)", "x += 1", "y"),
    (X, "y = x.view(2, 3).sum(0)", "x.mul_(2)", "[y, x.view(2, 3).sum(0)]"),
    (M, "m.t_()", "m"),
    (M, "a = m[1]", "m.t_()", "m[0] = 5", "[a, m]"),
    (M, "m.t()[2] = torch.tensor([7.0, 8, 9])", "m"),
    (M, "m[:, 1:3] = m[:, 0:2].clone()", "m"),
    (M, "m[1:] += m[:-1].clone()", "m"),
    (M, "m.diagonal().fill_(0)", "m"),
    (M, "m[[0, 2]] = m[[2, 0]]", "m"),
    (M, "m[0], m[1] = m[1], m[0]", "m"),
    (M, "m[0], m[1] = m[1].clone(), m[0].clone()", "m"),
    (M, "row = m[1]", "for i in range(4): row[i] = row[i] + (row[i - 1] if i else 0)", "m"),
    (M, "m.unsqueeze_(0)", "m[0, 0] = 1", "m"),
    (M, "d = m.detach()", "d += 1", "m.data.mul_(2)", "[m, d]"),
    (M, "s = m.untyped_storage().data_ptr() == m[1].untyped_storage().data_ptr()", "s"),
    (M, "n = torch.empty(3, 4)", "torch.add(m, 1, out=n)", "torch.mul(n, n, out=n)", "n"),
    (M, "torch.add(m[:1], m[1:2], out=m[2:])", "m"),
    ("x = torch.zeros(10)", "a, b = x[:5], x[5:]", "a += 1", "b += a", "x.view(2, 5)[1] *= 3", "x"),
    ("x = torch.zeros(4)", "views = [x[i:] for i in range(4)]", "for v in views: v += 1", "x"),
    ("x = torch.zeros(3)", "y = x", "y += 1", "x = x + 1", "[x, y]"),
    ("h = [torch.zeros(2)]", "for t in range(3): h.append(h[-1] + t)", "h[1] += 10", "h"),
]

GRADIENTS = [
    (W, "a = w * w", "w.data.mul_(5)", "a.sum().backward()", "w.grad"),
    (W, "a = w * 2", "b = a * a", "a.data.mul_(5)", "b.sum().backward()", "w.grad"),
    (W, "a = w * 2", "b = a * a", "a.detach().mul_(5)", "b.sum().backward()", "w.grad"),
    (W, "a = w * 2", "b = a.exp()", "b.data.zero_()", "b.sum().backward()", "w.grad"),
    (W, "a = w * w", "w.data = torch.ones(3) * 7", "a.sum().backward()", "w.grad"),
    (W, "n = torch.ones(3) * 7", "n.tolist()", "a = w * w", "a.sum().backward()", "w.grad"),
    (W, "n = torch.ones(3) * 7", "n.tolist()", "a = w * w", "w.data = n", "a.sum().backward()",
     "w.grad"),
    (W, "d = w.data", "a = w * d", "w.detach().mul_(2)", "a.sum().backward()", "w.grad"),
    (W, "d = w.detach()", "a = w * d", "w.detach().mul_(2)", "a.sum().backward()", "w.grad"),
    (W, "a = (w * w).sum()", "with torch.no_grad(): w += 1", "a.backward()", "w.grad"),
    (W, "a = w * 2", "with torch.no_grad(): w += 1", "a.sum().backward()", "[w, w.grad]"),
    (W, "a = w * 3", "a[0] = 0", "(a * a).sum().backward()", "w.grad"),
    (W, "a = w * 3", "a[1:] *= a[:-1].clone()", "a.sum().backward()", "w.grad"),
    (W, "a = w * 3", "v = a[1:]", "v.mul_(2)", "(a * a).sum().backward()", "w.grad"),
    (W, "a = w * 3", "v = a[1:]", "a.mul_(2)", "(v * v).sum().backward()", "w.grad"),
    (W, "a = torch.zeros(3)", "a[1:] = w[:2]", "(a * a).sum().backward()", "[a, w.grad]"),
    (W, "a = torch.zeros(2, 3)", "a[0] = w", "a[1] = w * 2", "b = a.t()", "b[0] = 0",
     "(a * a).sum().backward()", "w.grad"),
    (W, "a = w * 2", "b = a.sigmoid()", "a += 1", "b.sum().backward()", "w.grad"),
    (W, "a = w * 2", "b = a * a", "a += 1", "b.sum().backward()", "w.grad"),
    (W, "w += 1"),
    (W, "w[0] = 1"),
    (W, "w.detach()[0] = 9", "(w * w).sum().backward()", "w.grad"),
    (W, "y = w * w", "w.detach()[0] = 9", "y.sum().backward()", "w.grad"),
    (W, "y = w * w", "w.detach().numpy()[0] = 9", "y.sum().backward()", "w.grad"),
    (W, "n = w.detach().numpy()", "y = w * w", "n[1] = 9", "y.sum().backward()", "[w, w.grad]"),
    (W, "(w * 2).sum().backward()", "g = w.grad", "(w * 3).sum().backward()", "[g, w.grad is g]"),
    (W, "(w * 2).sum().backward()", "g = w.grad", "w.grad = None", "(w * 3).sum().backward()",
     "[g, w.grad, w.grad is g]"),
    (W, "(w * 2).sum().backward()", "w.grad.zero_()", "(w * 3).sum().backward()", "w.grad"),
    (W, "(w * 2).sum().backward()", "w.data -= w.grad", "w.grad.data.fill_(5)",
     "(w * w).sum().backward()", "[w, w.grad]"),
    (W, "a = w * 2", "a.sum().backward(retain_graph=True)", "a.sum().backward()", "w.grad"),
    (W, "a = (w * w).sum()", "a.backward()", "a.backward()"),
    (W, "a = w * 2", "a[0] = 1", "a.sum().backward()", "a.sum().backward()"),
    (W, "w.grad = torch.ones(3)", "(w * w).sum().backward()", "w.grad"),
    (W, "v = w.view(3, 1)", "(v @ v.t()).sum().backward()", "w.grad"),
]

SHARED = [
    ("a = np.zeros(3, dtype=np.float32)", "t = torch.from_numpy(a)", "t += 1", "a[0] = 5",
     "u = t * 2", "a[1] = 7", "[t, u, a]"),
    ("t = torch.zeros(3)", "a = t.numpy()", "t.add_(2)", "a[2] = 9", "[t, a]"),
    ("t = torch.arange(6.0).view(2, 3)", "a = t[1].numpy()", "t.mul_(10)", "a[0] = -1", "[t, a]"),
    ("t = torch.zeros(4)", "a = t.numpy()", "b = t + 1", "a[:] = 3", "c = t + 1", "[b, c]"),
    ("t = torch.zeros(4)", "a = t.numpy()", "v = t[1:3]", "v.fill_(2)", "a[1] += 1", "[v, t, a]"),
    ("t = torch.zeros(4)", "a = t.numpy()[1:]", "s = [0]",
     "for i in range(3):\n    t += 1\n    s.append(float(a.sum()))", "s"),
]


@pytest.mark.parametrize("lines", WRITES, ids="; ".join)
def test_writes(lines):
    three_times(*lines)


@pytest.mark.parametrize("lines", GRADIENTS, ids="; ".join)
def test_gradients(lines):
    three_times(*lines)


@pytest.mark.parametrize("lines", SHARED, ids="; ".join)
def test_memory_shared_with_numpy(lines):
    three_times(*lines)


def test_parameters_are_updated_where_they_lie():
    """An in-place write makes no copy of the memory, in any tier."""
    w = flambeau.zeros(1000)
    w.tolist()
    address = w.data_ptr()
    for _ in range(5):
        w.add_(1)
        w[3:7] = 0
        w.mul_(2)
        assert w[0].item() > 0
        assert w.data_ptr() == address


def test_a_view_that_begins_a_stretch_leaves_nothing_in_the_one_before():
    """A view of what needs a gradient, after a backward: where it begins is none of that one's."""
    w = flambeau.arange(4.0).requires_grad_()
    for start in (1, None, 2, None, 1, None):
        w.grad = None
        (w * 2).sum().backward()
        if start is not None:
            assert (w[start:] * 1).tolist() == [float(n) for n in range(start, 4)]
        assert w.grad.tolist() == [2.0] * 4


MOVING = [
    "x[i:i + 3].detach() * 2",
    "x[i:i + 3].detach().mul_(2)",
    "x[i:i + 3].data + 1",
    "x[i].detach() * 2",
    "x.clone().as_strided_((3,), (1,), i) + 1",
    "x[i:i + 3].detach().unsqueeze_(0) + 1",
    "x[i:i + 3].detach().exp().detach()[1:] * 2",
    "torch.from_numpy(a)[i:i + 3].detach() + 1",
]


@pytest.mark.parametrize("expression", MOVING)
def test_views_that_begin_at_zero_at_first(expression):
    """Where views begin is told at run time, though the first begins where its memory does."""
    three_times("x = torch.arange(12.0)", "a = torch.arange(12.0).numpy()",
                f"[({expression}) for i in (0, 4, 8, 2)] + [x]")  # fmt: skip
