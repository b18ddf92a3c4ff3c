"""Views: what they alias, their strides, their derivatives, how they are refused."""

from __future__ import annotations

import pytest

from tests.beside import same

X = "x = torch.arange(24.).view(2, 3, 4).clone().requires_grad_()"
VIEWS = """
y.view(6, 4)
y.view(-1)
y.view((4, 6))
y.reshape(6, 4)
y.transpose(0, 1).reshape(6, 4)
y.permute(2, 0, 1)
y.permute((2, 0, -2))
y.transpose(0, -1)
y[0].t()
y[0, 0].t()
y.mT
y[0].T
y[0].H
y.squeeze()
y[:, :1].squeeze()
y[:, :1].squeeze(1)
y[:, :1].squeeze(0)
y[:1, :1].squeeze((0, 1))
y.unsqueeze(0)
y.unsqueeze(-1)
y.unsqueeze(2)
y.transpose(0, 1).unsqueeze(1)
y.expand(5, 2, 3, 4)
y[:1].expand(3, -1, 4)
y.narrow(1, 1, 2)
y.narrow(-1, -3, 2)
y.select(0, 1)
y.select(-1, -2)
y[0]
y[-1]
y[0:1]
y[:, 1]
y[:, 1:]
y[..., 1]
y[..., ::2]
y[1, 2, 3]
y[0, :, 1:3]
y[None]
y[:, None, ..., None]
y[...]
y[:]
y[()]
y.split(1)[1]
y.split(2, 1)[1]
y.split([1, 2], 1)[1]
y.split_with_sizes([1, 2], 1)
y.chunk(2, 2)[1]
y.chunk(3, -1)
torch.split(y, 2, dim=1)
y.unbind(0)[1]
y.unbind(-1)
y.tensor_split(2, 1)[1]
y.tensor_split([1, 3], 2)
y.diagonal()
y.diagonal(1, 1, 2)
y.diagonal(-1, 1, 2)
y.diagonal(2, 0, 1)
y.diagonal(dim1=2, dim2=0)
y.as_strided((2, 2), (1, 2))
y.as_strided((2, 3), (1, 1), 5)
y[1].as_strided((2, 2), (4, 1))
y.movedim(0, 1)
y.movedim((0, 1), (2, 0))
y.swapaxes(0, 1)
y.swapdims(1, 2)
y.flatten()
y.flatten(1)
y.flatten(0, 1)
y.transpose(0, 1).flatten()
y.unflatten(1, (3, 1))
y.unflatten(2, (-1, 2))
y.ravel()
y.view_as(y)
y.expand_as(y)
y.reshape_as(y.detach().view(4, 6))
y.unfold(2, 2, 1)
y.unfold(1, 2, 2)
y.adjoint()
y.broadcast_to((2, 2, 3, 4))
torch.broadcast_to(y, (2, 2, 3, 4))
torch.atleast_2d(y[0, 0])
torch.atleast_3d(y[0])
torch.meshgrid(y[0, 0], y[0, 0], indexing="ij")[0]
torch.meshgrid(y[0, 0], y[0, 1], indexing="xy")
torch.broadcast_tensors(y, y[:1])
y[2:]
y[:0].view(4, 0)
y[:, 5:]
torch.zeros(2, 0, 3).view(0, 6)
torch.zeros(2, 0).reshape(5, 0)
torch.zeros(0).view(2, 0)
torch.zeros(1, 1).squeeze()
torch.tensor(3.).view(1, 1)
torch.tensor(3.).reshape(())
torch.tensor(3.).flatten()
torch.tensor(3.).unsqueeze(0)
torch.arange(4).view(torch.int32)
torch.arange(4, dtype=torch.int32).view(torch.float32)
torch.arange(4).view(2, 2).view(torch.int8)
torch.arange(8, dtype=torch.uint8).view(torch.int64)
torch.arange(8, dtype=torch.int32)[2:].view(torch.int64)
y.detach()
y.data
x.detach().requires_grad_()
""".strip().splitlines()


@pytest.mark.parametrize("view", VIEWS)
def test_like_pytorch(view: str) -> None:
    same(X, "y = x * 1", view)


GRADS = [
    v
    for v in VIEWS
    if "y" in v
    and "detach" not in v
    and "data" not in v
    and not v.startswith(
        (
            "y.split_with",
            "y.chunk(3",
            "torch.split",
            "y.unbind(-1",
            "y.tensor_split([",
            "torch.meshgrid(y[0, 0], y[0, 1]",
            "torch.broadcast_tensors",
        )
    )
]


@pytest.mark.parametrize("view", GRADS)
def test_derivative(view: str) -> None:
    same(
        X,
        "y = x * 1",
        f"z = {view}",
        "w = torch.arange(1., z.numel() + 1).view(z.shape)",
        "(z * z * w).sum().backward()",
        "x.grad",
    )


REFUSED = """
x.transpose(0, 1).view(24)
x.view(5, 5)
x.view(-1, 5)
x.view(-1, -1)
x.view(-2, 3)
x.reshape(7)
x.expand(3, 3, 4)
x.expand(3, 4)
x[0, 0].expand(-1, 1, 3)
x.select(0, 5)
x[5]
x[-3]
x[0, 0, 0, 0]
x[::-1]
x[1.5]
torch.tensor(1)[0]
torch.tensor(1)[:]
x.narrow(0, 1, 5)
x.narrow(0, 0, -1)
x.split(-1)
x.split([1, 2], 0)
x.chunk(0)
x.permute(0, 0, 1)
x.permute(0)
x.squeeze(3)
x.unsqueeze(5)
x.transpose(0, 3)
x.t()
torch.ones(2).mT
x.unflatten(1, (4, 2))
x.flatten(2, 1)
x.unfold(0, 5, 1)
x.unfold(0, 1, 0)
x.diagonal(0, 1, 1)
x.as_strided((9, 9), (9, 9))
x.as_strided((2,), (1, 1))
x.movedim((0, 1), (0, 0))
torch.unbind(torch.tensor(1))
list(torch.tensor(1))
x.unsqueeze_(0)
torch.arange(3, dtype=torch.uint8).view(torch.int16)
""".strip().splitlines()


@pytest.mark.parametrize("view", REFUSED)
def test_refused(view: str) -> None:
    same(X, view)


WRITES = [
    ("y = x[0]", "y.mul_(2)"),
    ("y = x.t()", "y[0] = 7"),
    ("y = x.view(6)", "y[::2] = torch.tensor([1., 2., 3.])"),
    ("y = x.unbind(0)[1]", "y += 1"),
    ("y = x.split(1)[0]", "y.zero_()"),
    ("y = x.diagonal()", "y.fill_(9)"),
    ("y = x.expand(2, 2, 3)[0]", "y.add_(1)"),
    ("y = x.reshape(3, 2)", "y.mul_(3)"),
    ("y = x.t().reshape(6)", "y.mul_(3)"),
    ("y = x.flatten()", "y[0] = 5"),
    ("y = x[:, 1:].t()", "y.copy_(torch.ones(2))"),
    ("y = x.detach()", "y.add_(1)"),
    ("y = x.data", "y.add_(1)"),
    ("y = x.clone()", "y.add_(1)"),
    ("y = x.contiguous()", "y.add_(1)"),
    ("y = x.float()", "y.add_(1)"),
    ("y = x.double()", "y.add_(1)"),
    ("y = x[[0, 1]]", "y.add_(1)"),
    ("y = x[0:1]", "x[1:2] = y"),
    ("y = x.view(torch.int32)", "y.zero_()"),
    ("y = x.as_strided((2, 2), (3, 1), 1)", "y.neg_()"),
    ("y = x.unsqueeze(0)", "y.squeeze_()", "y.t_()", "y.sub_(1)"),
]


@pytest.mark.parametrize("lines", WRITES, ids=" ; ".join)
def test_writes_are_seen(lines: tuple[str, ...]) -> None:
    same("x = torch.arange(6.).view(2, 3)", "before = x + 0", *lines, "[x, y, before, x._version]")


IN_PLACE = """
x.unsqueeze_(1)
x.squeeze_()
x.t_()
x.transpose_(0, 1)
x.swapaxes_(0, 1)
x.as_strided_((3,), (2,))
(x * 2).unsqueeze_(0)
(x * 2).detach_()
""".strip().splitlines()


@pytest.mark.parametrize("line", IN_PLACE)
@pytest.mark.parametrize("grad", [False, True])
def test_in_place_views(line: str, grad: bool) -> None:
    base = f"b = torch.arange(6.).view(2, 3).requires_grad_({grad})"
    look = "[[v.tolist(), v.shape, v.stride(), v.requires_grad, v._version] for v in (x, z)]"
    same(base, "x = b * 1", f"z = {line}", look)


def test_is_a_view() -> None:
    same(
        "x = torch.zeros(2, 3)",
        "y = x[0]",
        "[y._is_view(), y._base is x, x._is_view(), y[1]._base is x]",
    )


def test_gradient_through_an_in_place_view() -> None:
    same(
        X, "y = x * 1", "z = y.unsqueeze(0)", "z.squeeze_(0)", "(z * z).sum().backward()", "x.grad"
    )


@pytest.mark.parametrize("first", ["uint8", "bool", "float32", "bfloat16"])
@pytest.mark.parametrize("stride", [(1, 0), (0, 1), (3, 7), (1, 9)])
@pytest.mark.parametrize("line", ["a + b", "b - a", "a == b", "torch.maximum(b, a)"])
def test_an_operand_that_is_cast_is_laid_out_anew_before(line: str, first: str, stride) -> None:
    if first == "bool" and "-" in line:
        pytest.skip("truth values are not subtracted")
    base = f"a = torch.zeros(99, dtype=torch.{first}).as_strided((9, 2), {stride})"
    same(base, "b = torch.zeros(99).as_strided((9, 2), (1, 9))", f"({line}).stride()")


@pytest.mark.parametrize("line", ["F.rms_norm(x, (2,))", "F.layer_norm(x, (2,))"])
def test_normalised_rows_are_contiguous(line: str) -> None:
    same("F = torch.nn.functional", "x = torch.arange(6.).view(2, 3).t()", f"{line}.stride()")
